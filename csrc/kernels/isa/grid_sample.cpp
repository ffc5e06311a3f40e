// Sampling of images at given places, and its gradients. A block of places gets its taps (an offset
// and a weight for each pixel that counts) at once. The channels of a pixel lie side by side, so
// that a tap is a short line of numbers; or, where they are few, each channel is a plane, and the
// places are worked on side by side. Every element of a result is written by one task, in a fixed
// order.
#include "core/parallel.h"
#include "kernels/isa/vector_math.h"
#include "kernels/resample.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kBlock = 64;        // places
constexpr int64_t kChannels = 32;     // that a task of the gradient of the images takes
constexpr int64_t kLine = 16;         // partial sums of a product of lines
constexpr int kMostTaps = 16;         // 4 x 4, 2 x 2 x 2
constexpr int64_t kGrain = 16384;     // pixels that are worth a thread
constexpr int32_t kOutside = -1;      // an offset: this tap counts as zero
constexpr double kFar = -100;         // where coordinates that no integer holds are taken to be
constexpr double kLargest = 1 << 30;  // the largest coordinate that is rounded to an integer
constexpr double kCubic = -0.75;

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/// One axis of the images, and what a coordinate of the grid means on it.
template <class T>
struct Axis {
  int64_t size;
  T scale;  // pixel = grid * scale + offset
  T offset;
  SampleBorder border;
  T low, span;  // of the reflection

  Axis(int64_t n, const GridSample& p) : size(n), border(p.border) {
    const T s = static_cast<T>(n);
    scale = p.align_corners ? (s - T(1)) / T(2) : s / T(2);
    offset = p.align_corners ? (s - T(1)) / T(2) : (s - T(1)) / T(2);
    low = p.align_corners ? T(0) : T(-0.5);
    span = p.align_corners ? s - T(1) : s;
  }

  /// The place in the image that stands for x, and the derivative of that.
  template <SampleBorder kBorder>
  TAPEGRAD_INLINE T folded(T x, T& slope) const {
    slope = T(1);
    if constexpr (kBorder == SampleBorder::Zeros) return bounded(x);
    const T most = static_cast<T>(size - 1);
    if constexpr (kBorder == SampleBorder::Reflection) {
      const T d = x - low;
      const T a = abs(d);
      const T flips = floor(a / span);
      const T rest = a - flips * span;
      const bool odd = flips - T(2) * floor(flips / T(2)) != T(0);
      slope = odd != (d < T(0)) ? T(-1) : T(1);
      x = (odd ? span - rest : rest) + low;
      slope = span > T(0) ? slope : T(0);
      x = span > T(0) ? x : T(0);
    }
    const bool cut = !(x > T(0)) || !(x < most);
    slope = cut ? T(0) : slope;
    x = x < T(0) ? T(0) : x;
    x = x > most ? most : x;
    return bounded(x);
  }
  TAPEGRAD_INLINE static T bounded(T x) { return abs(x) < T(kLargest) ? x : T(kFar); }
  TAPEGRAD_INLINE int32_t index(T x) const {
    const auto i = static_cast<int32_t>(x);
    return i < 0 || i >= static_cast<int32_t>(size) ? kOutside : i;
  }
};

/// The pixels along one axis that count for each place of a block.
template <class T>
struct AxisTaps {
  int count = 0;
  alignas(64) int32_t index[4][kBlock];
  alignas(64) T weight[4][kBlock];
  alignas(64) T slope[4][kBlock];  // d weight / d coordinate of the grid

  template <SampleBorder kBorder>
  void linear(const Axis<T> axis, const T* x) {
    count = 2;
#pragma omp simd
    for (int64_t j = 0; j < kBlock; ++j) {
      T m;
      const T at = axis.template folded<kBorder>(x[j] * axis.scale + axis.offset, m);
      const T down = floor(at);
      index[0][j] = axis.index(down);
      index[1][j] = axis.index(down + T(1));
      weight[0][j] = down + T(1) - at;
      weight[1][j] = at - down;
      slope[0][j] = -m * axis.scale;
      slope[1][j] = m * axis.scale;
    }
  }
  template <SampleBorder kBorder>
  void nearest(const Axis<T> axis, const T* x) {
    count = 1;
#pragma omp simd
    for (int64_t j = 0; j < kBlock; ++j) {
      T m;
      index[0][j] =
          axis.index(round(axis.template folded<kBorder>(x[j] * axis.scale + axis.offset, m)));
      weight[0][j] = T(1);
      slope[0][j] = T(0);
    }
  }
  template <SampleBorder kBorder>
  void cubic(const Axis<T> axis, const T* x) {
    count = 4;
    const T a = T(kCubic);
#pragma omp simd
    for (int64_t j = 0; j < kBlock; ++j) {
      T m;
      const T at = Axis<T>::bounded(x[j] * axis.scale + axis.offset);
      const T down = floor(at);
      const T t = at - down;
      for (int k = 0; k < 4; ++k) {
        const T d = abs(t - static_cast<T>(k - 1));
        const T sign = k < 2 ? axis.scale : -axis.scale;
        const bool near = k == 1 || k == 2;
        index[k][j] = axis.index(axis.template folded<kBorder>(down + static_cast<T>(k - 1), m));
        weight[k][j] = near ? ((a + T(2)) * d - (a + T(3))) * d * d + T(1)
                            : ((a * d - T(5) * a) * d + T(8) * a) * d - T(4) * a;
        slope[k][j] = sign * (near ? (T(3) * (a + T(2)) * d - T(2) * (a + T(3))) * d
                                   : (T(3) * a * d - T(10) * a) * d + T(8) * a);
      }
    }
  }

  template <SampleBorder kBorder>
  void find_within(SampleMode mode, const Axis<T>& axis, const T* x) {
    if (mode == SampleMode::Bilinear)
      linear<kBorder>(axis, x);
    else if (mode == SampleMode::Nearest)
      nearest<kBorder>(axis, x);
    else
      cubic<kBorder>(axis, x);
  }
  [[gnu::noinline]] void find(SampleMode mode, const Axis<T>& axis, const T* x) {
    if (axis.border == SampleBorder::Zeros)
      find_within<SampleBorder::Zeros>(mode, axis, x);
    else if (axis.border == SampleBorder::Border)
      find_within<SampleBorder::Border>(mode, axis, x);
    else
      find_within<SampleBorder::Reflection>(mode, axis, x);
  }
};

template <class T>
struct Taps {
  int count;
  alignas(64) int32_t offset[kMostTaps][kBlock];
  alignas(64) T weight[kMostTaps][kBlock];
};

/// The channels of a pixel.
template <class T>
struct Line {
  int64_t n;

  TAPEGRAD_INLINE void clear(T* out) const {
    for (int64_t c = 0; c < n; ++c) out[c] = T(0);
  }
  TAPEGRAD_INLINE void add(T* out, T a, const T* x) const {
#pragma omp simd
    for (int64_t c = 0; c < n; ++c) out[c] += a * x[c];
  }
  TAPEGRAD_INLINE void four(T* out, const T* a, const T* const* x) const {
    const T a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
    const T *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
#pragma omp simd
    for (int64_t c = 0; c < n; ++c) out[c] = a0 * x0[c] + a1 * x1[c] + a2 * x2[c] + a3 * x3[c];
  }
  TAPEGRAD_INLINE T dot(const T* x, const T* y) const {
    alignas(64) T sums[kLine];
    for (int64_t j = 0; j < kLine; ++j) sums[j] = T(0);
    int64_t c = 0;
    for (; c + kLine <= n; c += kLine) {
#pragma omp simd
      for (int64_t j = 0; j < kLine; ++j) sums[j] += x[c + j] * y[c + j];
    }
    for (int64_t j = 0; c + j < n; ++j) sums[j] += x[c + j] * y[c + j];
    for (int64_t width = kLine / 2; width > 0; width /= 2) {
      for (int64_t j = 0; j < width; ++j) sums[j] += sums[j + width];
    }
    return sums[0];
  }
};

/// The axes of the images, and the taps of a block of places.
template <class T>
struct Places {
  const GridSample& p;
  Axis<T> x, y, z;
  explicit Places(const GridSample& parameters) : p(parameters), x(p.w, p), y(p.h, p), z(p.d, p) {}

  int64_t image() const { return p.d * p.h * p.w * p.channels; }

  /// f(sample, first place, places) for all blocks, on threads.
  template <class F>
  void for_blocks(F f) const {
    const int64_t blocks = (p.places + kBlock - 1) / kBlock;
    core::parallel_for(0, p.n * blocks, larger(1, kGrain / (kBlock * larger(1, p.channels))),
                       [&](int64_t begin, int64_t end) {
                         for (int64_t t = begin; t < end; ++t) {
                           const int64_t first = t % blocks * kBlock;
                           f(t / blocks, first, smaller(kBlock, p.places - first));
                         }
                       });
  }

  /// Of n places; what stands for the others of a block is not to be used.
  [[gnu::noinline]] void axis_taps(AxisTaps<T>* axes, const T* grid, int64_t n) const {
    alignas(64) T at[kBlock];
    for (int64_t j = n; j < kBlock; ++j) at[j] = T(0);
    for (int a = 0; a < p.dims; ++a) {
      for (int64_t j = 0; j < n; ++j) at[j] = grid[j * p.dims + a];
      axes[a].find(p.mode, a == 0 ? x : a == 1 ? y : z, at);
    }
  }

  /// All taps; weights with the slope of axis `derived` in place of its weight (-1: of none).
  [[gnu::noinline]] void taps(const AxisTaps<T>* axes, int derived, Taps<T>& out) const {
    const int m = axes[0].count;
    out.count = p.dims == 3 ? m * m * m : m * m;
    for (int t = 0; t < out.count; ++t) {
      const int kx = t % m, ky = t / m % m, kz = t / (m * m);
      const T* wx = derived == 0 ? axes[0].slope[kx] : axes[0].weight[kx];
      const T* wy = derived == 1 ? axes[1].slope[ky] : axes[1].weight[ky];
      const int32_t *ix = axes[0].index[kx], *iy = axes[1].index[ky];
      const auto w = static_cast<int32_t>(p.w), h = static_cast<int32_t>(p.h);
#pragma omp simd
      for (int64_t j = 0; j < kBlock; ++j) {
        out.offset[t][j] = ix[j] < 0 || iy[j] < 0 ? kOutside : iy[j] * w + ix[j];
        out.weight[t][j] = wx[j] * wy[j];
      }
      if (p.dims == 2) continue;
      const T* wz = derived == 2 ? axes[2].slope[kz] : axes[2].weight[kz];
      const int32_t* iz = axes[2].index[kz];
#pragma omp simd
      for (int64_t j = 0; j < kBlock; ++j) {
        const bool outside = out.offset[t][j] < 0 || iz[j] < 0;
        out.offset[t][j] = outside ? kOutside : iz[j] * h * w + out.offset[t][j];
        out.weight[t][j] *= wz[j];
      }
    }
  }
};

template <class T>
struct Sampler : Places<T> {
  using Places<T>::p;
  using Places<T>::image;
  Line<T> line;
  explicit Sampler(const GridSample& parameters)
      : Places<T>(parameters), line{parameters.channels} {}

  void sample(T* out, const T* images, const Taps<T>& taps, int64_t j) const {
    if (taps.count == 4) {
      const T* pixels[4];
      T weights[4];
      bool inside = true;
      for (int t = 0; t < 4; ++t) {
        inside = inside && taps.offset[t][j] >= 0;
        pixels[t] = images + taps.offset[t][j] * p.channels;
        weights[t] = taps.weight[t][j];
      }
      if (inside) {
        line.four(out, weights, pixels);
        return;
      }
    }
    line.clear(out);
    for (int t = 0; t < taps.count; ++t) {
      const int64_t at = taps.offset[t][j];
      if (at >= 0) line.add(out, taps.weight[t][j], images + at * p.channels);
    }
  }

  void forward(T* out, const T* images, const T* grid) const {
    this->for_blocks([&](int64_t i, int64_t first, int64_t n) {
      AxisTaps<T> axes[3];
      Taps<T> all;
      this->axis_taps(axes, grid + (i * p.places + first) * p.dims, n);
      this->taps(axes, -1, all);
      for (int64_t j = 0; j < n; ++j)
        sample(out + (i * p.places + first + j) * p.channels, images + i * image(), all, j);
    });
  }

  void grid_gradient(T* gradient, const T* g, const T* images, const T* grid) const {
    this->for_blocks([&](int64_t i, int64_t first, int64_t n) {
      AxisTaps<T> axes[3];
      Taps<T> all;
      alignas(64) T products[kMostTaps][kBlock];
      const int64_t start = i * p.places + first;
      this->axis_taps(axes, grid + start * p.dims, n);
      for (int a = 0; a < p.dims; ++a) {
        this->taps(axes, a, all);
        for (int64_t j = 0; j < n; ++j) {
          T sum = T(0);
          for (int t = 0; t < all.count; ++t) {
            const int64_t at = all.offset[t][j];
            if (at < 0) continue;
            if (a == 0) {
              products[t][j] =
                  line.dot(g + (start + j) * p.channels, images + i * image() + at * p.channels);
            }
            sum += all.weight[t][j] * products[t][j];
          }
          gradient[(start + j) * p.dims + a] = sum;
        }
      }
    });
  }

  void image_gradient(T* gradient, const T* g, const T* grid) const {
    const int64_t groups = (p.channels + kChannels - 1) / kChannels;
    const int64_t grain = larger(1, kGrain / (kChannels * larger(1, p.places)));
    core::parallel_for(0, p.n * groups, grain, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t i = task / groups, from = task % groups * kChannels;
        const Line<T> part{smaller(kChannels, p.channels - from)};
        T* to = gradient + i * image() + from;
        for (int64_t e = 0; e < image(); e += p.channels) part.clear(to + e);
        for (int64_t first = 0; first < p.places; first += kBlock) {
          const int64_t n = smaller(kBlock, p.places - first), start = i * p.places + first;
          AxisTaps<T> axes[3];
          Taps<T> all;
          this->axis_taps(axes, grid + start * p.dims, n);
          this->taps(axes, -1, all);
          for (int64_t j = 0; j < n; ++j) {
            for (int t = 0; t < all.count; ++t) {
              const int64_t at = all.offset[t][j];
              if (at < 0) continue;
              part.add(to + at * p.channels, all.weight[t][j], g + (start + j) * p.channels + from);
            }
          }
        }
      }
    });
  }
};

/// The same for few channels, each of them a plane.
template <class T>
struct Planes : Places<T> {
  using Places<T>::p;
  using Places<T>::image;
  using Places<T>::Places;
  int64_t plane() const { return p.d * p.h * p.w; }

  /// out += what one tap brings to a block of places.
  TAPEGRAD_INLINE static void add_tap(T* out, const T* from, const int32_t* offset,
                                      const T* weight) {
#pragma omp simd
    for (int64_t j = 0; j < kBlock; ++j) {
      const T value = weight[j] * from[offset[j] < 0 ? 0 : offset[j]];
      out[j] += offset[j] < 0 ? T(0) : value;
    }
  }
  /// out = what the four taps bring that most modes have.
  static void four_taps(T* out, const T* from, const Taps<T>& taps) {
#pragma omp simd
    for (int64_t j = 0; j < kBlock; ++j) {
      T sum = T(0);
#pragma GCC unroll 4
      for (int t = 0; t < 4; ++t) {
        const int32_t at = taps.offset[t][j];
        const T value = taps.weight[t][j] * from[at < 0 ? 0 : at];
        sum += at < 0 ? T(0) : value;
      }
      out[j] = sum;
    }
  }
  TAPEGRAD_INLINE static void clear(T* block) {
    for (int64_t j = 0; j < kBlock; ++j) block[j] = T(0);
  }

  void forward(T* out, const T* images, const T* grid) const {
    this->for_blocks([&](int64_t i, int64_t first, int64_t n) {
      AxisTaps<T> axes[3];
      Taps<T> all;
      this->axis_taps(axes, grid + (i * p.places + first) * p.dims, n);
      this->taps(axes, -1, all);
      for (int64_t c = 0; c < p.channels; ++c) {
        alignas(64) T sums[kBlock];
        const T* from = images + i * image() + c * plane();
        if (all.count == 4) {
          four_taps(sums, from, all);
        } else {
          clear(sums);
          for (int t = 0; t < all.count; ++t) add_tap(sums, from, all.offset[t], all.weight[t]);
        }
        T* to = out + (i * p.channels + c) * p.places + first;
        for (int64_t j = 0; j < n; ++j) to[j] = sums[j];
      }
    });
  }

  /// Adds a block's part of one channel to the gradient of that plane.
  [[gnu::noinline]] static void scatter(T* to, const T* g, const Taps<T>& taps, int64_t n) {
    for (int t = 0; t < taps.count; ++t) {
      alignas(64) T value[kBlock];
      const int32_t* offset = taps.offset[t];
      const T* weight = taps.weight[t];
#pragma omp simd
      for (int64_t j = 0; j < kBlock; ++j) {
        const T product = weight[j] * g[j];
        value[j] = offset[j] < 0 ? T(0) : product;
      }
      for (int64_t j = 0; j < n; ++j) to[offset[j] < 0 ? 0 : offset[j]] += value[j];
    }
  }

  /// A block's part of both gradients, of channels from <= c < to; each may be left out.
  void block(T* of_image, T* of_grid, const T* g, const T* images, const T* grid, int64_t n,
             int64_t from, int64_t to) const {
    AxisTaps<T> axes[3];
    Taps<T> all;
    alignas(64) T own[kBlock];  // the gradient of one channel's places
    alignas(64) T products[kMostTaps][kBlock];
    this->axis_taps(axes, grid, n);
    this->taps(axes, -1, all);
    for (int t = 0; of_grid && t < all.count; ++t) clear(products[t]);
    clear(own);
    for (int64_t c = of_grid ? 0 : from; c < (of_grid ? p.channels : to); ++c) {
      for (int64_t j = 0; j < n; ++j) own[j] = g[c * p.places + j];
      if (of_image && c >= from && c < to) scatter(of_image + c * plane(), own, all, n);
      for (int t = 0; of_grid && t < all.count; ++t)
        add_tap(products[t], images + c * plane(), all.offset[t], own);
    }
    for (int a = 0; of_grid && a < p.dims; ++a) {
      this->taps(axes, a, all);
      alignas(64) T sums[kBlock];
      clear(sums);
      for (int t = 0; t < all.count; ++t) {
#pragma omp simd
        for (int64_t j = 0; j < kBlock; ++j) {
          const T product = all.weight[t][j] * products[t][j];
          sums[j] += all.offset[t][j] < 0 ? T(0) : product;
        }
      }
      for (int64_t j = 0; j < n; ++j) of_grid[j * p.dims + a] = sums[j];
    }
  }

  /// Whole images a task, or where these are too few for the threads, planes and blocks.
  void gradient(T* of_images, T* of_grid, const T* g, const T* images, const T* grid) const {
    const bool whole = of_images && p.n >= p.threads;
    const int64_t groups = whole ? 1 : p.channels;
    const int64_t grain = larger(1, kGrain / larger(1, p.places));
    if (of_images) {
      core::parallel_for(0, p.n * groups, grain, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
          const int64_t i = task / groups, c = task % groups, to = whole ? p.channels : c + 1;
          T* own = of_images + i * image();
          for (int64_t e = c * plane(); e < to * plane(); ++e) own[e] = T(0);
          for (int64_t first = 0; first < p.places; first += kBlock) {
            const int64_t start = (i * p.places + first) * p.dims;
            block(own, whole && of_grid ? of_grid + start : nullptr,
                  g + i * p.channels * p.places + first, images + i * image(), grid + start,
                  smaller(kBlock, p.places - first), c, to);
          }
        }
      });
    }
    if (whole || !of_grid) return;
    this->for_blocks([&](int64_t i, int64_t first, int64_t n) {
      const int64_t start = (i * p.places + first) * p.dims;
      block(nullptr, of_grid + start, g + i * p.channels * p.places + first, images + i * image(),
            grid + start, n, 0, 0);
    });
  }
};

template <class T>
void run_gradient(void* const* data, const GridSample& p) {
  T *of_images = static_cast<T*>(data[0]), *of_grid = static_cast<T*>(data[1]);
  const T* g = static_cast<const T*>(data[2]);
  const T* images = static_cast<const T*>(data[3]);
  const T* grid = static_cast<const T*>(data[4]);
  if (p.planes) {
    Planes<T>(p).gradient(of_images, of_grid, g, images, grid);
    return;
  }
  const Sampler<T> work(p);
  if (of_images) work.image_gradient(of_images, g, grid);
  if (of_grid) work.grid_gradient(of_grid, g, images, grid);
}

template <class T>
void run_forward(void* const* data, const GridSample& p) {
  T* out = static_cast<T*>(data[0]);
  const T *images = static_cast<const T*>(data[1]), *grid = static_cast<const T*>(data[2]);
  if (p.planes)
    Planes<T>(p).forward(out, images, grid);
  else
    Sampler<T>(p).forward(out, images, grid);
}

}  // namespace

void grid_sample(void* const* data, const GridSample& p) {
  if (p.is_double)
    run_forward<double>(data, p);
  else
    run_forward<float>(data, p);
}

void grid_sample_gradient(void* const* data, const GridSample& p) {
  if (p.is_double)
    run_gradient<double>(data, p);
  else
    run_gradient<float>(data, p);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
