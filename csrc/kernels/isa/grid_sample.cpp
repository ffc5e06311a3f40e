// Sampling of images at given places, and its gradients. A block of places gets its taps (an offset
// and a weight for each pixel that counts) at once; the channels of a pixel lie side by side, so
// that a tap is a short line of numbers. Every element of a result is written by one task, in a
// fixed order.
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
  void linear(const Axis<T> axis, const T* x, int64_t n) {
    count = 2;
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
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
  void nearest(const Axis<T> axis, const T* x, int64_t n) {
    count = 1;
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
      T m;
      index[0][j] =
          axis.index(round(axis.template folded<kBorder>(x[j] * axis.scale + axis.offset, m)));
      weight[0][j] = T(1);
      slope[0][j] = T(0);
    }
  }
  template <SampleBorder kBorder>
  void cubic(const Axis<T> axis, const T* x, int64_t n) {
    count = 4;
    const T a = T(kCubic);
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
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
  void find_within(SampleMode mode, const Axis<T>& axis, const T* x, int64_t n) {
    if (mode == SampleMode::Bilinear)
      linear<kBorder>(axis, x, n);
    else if (mode == SampleMode::Nearest)
      nearest<kBorder>(axis, x, n);
    else
      cubic<kBorder>(axis, x, n);
  }
  [[gnu::noinline]] void find(SampleMode mode, const Axis<T>& axis, const T* x, int64_t n) {
    if (axis.border == SampleBorder::Zeros)
      find_within<SampleBorder::Zeros>(mode, axis, x, n);
    else if (axis.border == SampleBorder::Border)
      find_within<SampleBorder::Border>(mode, axis, x, n);
    else
      find_within<SampleBorder::Reflection>(mode, axis, x, n);
  }
};

template <class T>
struct Taps {
  int count;
  alignas(64) int32_t offset[kMostTaps][kBlock];
  alignas(64) T weight[kMostTaps][kBlock];
};

/// The channels of a pixel: as many as `kCount` says, or any number (0).
template <class T, int kCount>
struct Line {
  int64_t n;
  TAPEGRAD_INLINE int64_t size() const { return kCount > 0 ? kCount : n; }

  TAPEGRAD_INLINE void clear(T* out) const {
    for (int64_t c = 0; c < size(); ++c) out[c] = T(0);
  }
  TAPEGRAD_INLINE void add(T* out, T a, const T* x) const {
#pragma omp simd
    for (int64_t c = 0; c < size(); ++c) out[c] += a * x[c];
  }
  TAPEGRAD_INLINE void four(T* out, const T* a, const T* const* x) const {
    const T a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
    const T *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
#pragma omp simd
    for (int64_t c = 0; c < size(); ++c) out[c] = a0 * x0[c] + a1 * x1[c] + a2 * x2[c] + a3 * x3[c];
  }
  TAPEGRAD_INLINE T dot(const T* x, const T* y) const {
    if constexpr (kCount > 0) {
      T sum = T(0);
      for (int64_t c = 0; c < kCount; ++c) sum += x[c] * y[c];
      return sum;
    } else {
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
  }
};

/// The axes of the images, and the taps of a block of places.
template <class T>
struct Places {
  const GridSample& p;
  Axis<T> x, y, z;
  explicit Places(const GridSample& parameters) : p(parameters), x(p.w, p), y(p.h, p), z(p.d, p) {}

  [[gnu::noinline]] void axis_taps(AxisTaps<T>* axes, const T* grid, int64_t n) const {
    alignas(64) T at[kBlock];
    for (int a = 0; a < p.dims; ++a) {
      for (int64_t j = 0; j < n; ++j) at[j] = grid[j * p.dims + a];
      axes[a].find(p.mode, a == 0 ? x : a == 1 ? y : z, at, n);
    }
  }

  /// All taps; weights with the slope of axis `derived` in place of its weight (-1: of none).
  [[gnu::noinline]] void taps(const AxisTaps<T>* axes, int64_t n, int derived, Taps<T>& out) const {
    const int m = axes[0].count;
    out.count = p.dims == 3 ? m * m * m : m * m;
    for (int t = 0; t < out.count; ++t) {
      const int kx = t % m, ky = t / m % m, kz = t / (m * m);
      const T* wx = derived == 0 ? axes[0].slope[kx] : axes[0].weight[kx];
      const T* wy = derived == 1 ? axes[1].slope[ky] : axes[1].weight[ky];
      const int32_t *ix = axes[0].index[kx], *iy = axes[1].index[ky];
      const auto w = static_cast<int32_t>(p.w), h = static_cast<int32_t>(p.h);
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) {
        out.offset[t][j] = ix[j] < 0 || iy[j] < 0 ? kOutside : iy[j] * w + ix[j];
        out.weight[t][j] = wx[j] * wy[j];
      }
      if (p.dims == 2) continue;
      const T* wz = derived == 2 ? axes[2].slope[kz] : axes[2].weight[kz];
      const int32_t* iz = axes[2].index[kz];
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) {
        const bool outside = out.offset[t][j] < 0 || iz[j] < 0;
        out.offset[t][j] = outside ? kOutside : iz[j] * h * w + out.offset[t][j];
        out.weight[t][j] *= wz[j];
      }
    }
  }
};

template <class T, int kCount>
struct Sampler : Places<T> {
  using Places<T>::p;
  Line<T, kCount> line;
  explicit Sampler(const GridSample& parameters)
      : Places<T>(parameters), line{parameters.channels} {}

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
    for_blocks([&](int64_t i, int64_t first, int64_t n) {
      AxisTaps<T> axes[3];
      Taps<T> all;
      this->axis_taps(axes, grid + (i * p.places + first) * p.dims, n);
      this->taps(axes, n, -1, all);
      for (int64_t j = 0; j < n; ++j)
        sample(out + (i * p.places + first + j) * p.channels, images + i * image(), all, j);
    });
  }

  void grid_gradient(T* gradient, const T* g, const T* images, const T* grid) const {
    for_blocks([&](int64_t i, int64_t first, int64_t n) {
      AxisTaps<T> axes[3];
      Taps<T> all;
      alignas(64) T products[kMostTaps][kBlock];
      const int64_t start = i * p.places + first;
      this->axis_taps(axes, grid + start * p.dims, n);
      for (int a = 0; a < p.dims; ++a) {
        this->taps(axes, n, a, all);
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
    const int64_t groups = kCount > 0 ? 1 : (p.channels + kChannels - 1) / kChannels;
    const int64_t grain = larger(1, kGrain / (kChannels * larger(1, p.places)));
    core::parallel_for(0, p.n * groups, grain, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t i = task / groups, from = task % groups * kChannels;
        const Line<T, kCount> part{smaller(kChannels, p.channels - from)};
        T* to = gradient + i * image() + from;
        for (int64_t e = 0; e < image(); e += p.channels) part.clear(to + e);
        for (int64_t first = 0; first < p.places; first += kBlock) {
          const int64_t n = smaller(kBlock, p.places - first), start = i * p.places + first;
          AxisTaps<T> axes[3];
          Taps<T> all;
          this->axis_taps(axes, grid + start * p.dims, n);
          this->taps(axes, n, -1, all);
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

/// Calls f with the sampler for this number of channels.
template <class T, class F>
void with_sampler(const GridSample& p, F f) {
  if (p.channels == 1)
    f(Sampler<T, 1>(p));
  else if (p.channels == 3)
    f(Sampler<T, 3>(p));
  else
    f(Sampler<T, 0>(p));
}

template <class T>
void run_gradient(void* const* data, const GridSample& p) {
  const T* g = static_cast<const T*>(data[2]);
  const T* images = static_cast<const T*>(data[3]);
  const T* grid = static_cast<const T*>(data[4]);
  with_sampler<T>(p, [&](const auto& work) {
    if (data[0]) work.image_gradient(static_cast<T*>(data[0]), g, grid);
    if (data[1]) work.grid_gradient(static_cast<T*>(data[1]), g, images, grid);
  });
}

template <class T>
void run_forward(void* const* data, const GridSample& p) {
  with_sampler<T>(p, [&](const auto& work) {
    work.forward(static_cast<T*>(data[0]), static_cast<const T*>(data[1]),
                 static_cast<const T*>(data[2]));
  });
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
