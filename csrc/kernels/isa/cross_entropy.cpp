// Cross-entropy of class indices, fused with its gradient, and the negative log-likelihood.
//
// Note [Gradient in the forward pass]: the exponentials of a row are needed for its loss and again
// for its gradient. When a gradient will be wanted, the forward pass therefore stores it, in the
// memory that a saved softmax would take; the backward pass has only to scale it.
#include "core/parallel.h"
#include "kernels/isa/softmax_blocks.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 16384;

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

template <class T>
struct CrossEntropy {
  const CrossEntropyParameters& p;
  const BlockShape& s;
  T* losses;    // one a sample
  T* gradient;  // may be null
  const T* x;
  const int64_t* target;
  const T* weight;  // may be null
  T scale;
  T keep;  // share of a target that it keeps, and what each class gets of the rest
  T spread;

  T weight_of(int64_t t) const { return t == p.ignore_index ? T(0) : weight ? weight[t] : T(1); }

  void line(int64_t a) const {
    const T* row = x + a * s.a_stride;
    T* g = gradient ? gradient + a * s.r : nullptr;
    const int64_t t = target[a];
    if (t == p.ignore_index) {
      losses[a] = T(0);
      for (int64_t i = 0; g && i < s.r; ++i) g[i] = T(0);
      return;
    }
    const T w = weight_of(t), at_target = row[t];
    const T max = fold_line<MaxOfNumbers<T>>(row, s.r);
    const T sum = g ? exp_line<true>(row, max, g, s.r) : exp_line<false, T>(row, max, nullptr, s.r);
    T chosen = at_target - max;
    if (spread != T(0)) chosen = keep * chosen + spread * sum_below(row, max);
    losses[a] = w * (log(sum) - chosen);
    if (!g) return;
    const T factor = w * scale / sum, shift = spread * scale;
#pragma omp simd
    for (int64_t i = 0; i < s.r; ++i) g[i] = g[i] * factor - shift;
    g[t] = g[t] - keep * w * scale;
  }

  [[gnu::noinline]] T sum_below(const T* row, T max) const {
    return fold_values<Sum<T>>(
        s.r, [=](int64_t i) __attribute__((always_inline)) { return row[i] - max; });
  }

  /// Samples first ... first + width - 1 of those at `from`, row r at from + r * stride; gradients
  /// may overwrite the input.
  TAPEGRAD_INLINE void strip(const T* from, int64_t stride, int64_t first, int64_t width,
                             int64_t loop_width, T* g, int64_t g_stride) const {
    StripMath<T> m;
    m.template find_max<MaxOfNumbers<T>>(from, stride, s.r, loop_width);
    alignas(64) T at_target[kStrip] = {};
    for (int64_t j = 0; j < width; ++j) {
      const int64_t t = target[first + j];
      at_target[j] = t == p.ignore_index ? T(0) : from[t * stride + j] - m.max[j];
    }
    if (spread != T(0)) smooth(m.max, from, stride, loop_width, at_target);
    if (g)
      m.template exponentials<true>(from, stride, g, g_stride, s.r, loop_width);
    else
      m.template exponentials<false>(from, stride, nullptr, 0, s.r, loop_width);
    alignas(64) T log_sum[kStrip];
#pragma omp simd
    for (int64_t j = 0; j < loop_width; ++j) log_sum[j] = log(m.sum[j]);
    alignas(64) T factor[kStrip];
    for (int64_t j = 0; j < width; ++j) {
      const int64_t t = target[first + j];
      const T w = weight_of(t);
      losses[first + j] = t == p.ignore_index ? T(0) : w * (log_sum[j] - at_target[j]);
      factor[j] = w * scale;
    }
    if (!g) return;
    for (int64_t j = width; j < loop_width; ++j) factor[j] = T(0);
#pragma omp simd
    for (int64_t j = 0; j < loop_width; ++j) factor[j] = factor[j] / m.sum[j];
    const T shift = spread * scale;
    for (int64_t r = 0; r < s.r; ++r) {
      T* to = g + r * g_stride;
#pragma omp simd
      for (int64_t j = 0; j < loop_width; ++j) to[j] = to[j] * factor[j] - shift;
    }
    for (int64_t j = 0; j < width; ++j) {
      const int64_t t = target[first + j];
      if (t != p.ignore_index) {
        g[t * g_stride + j] -= keep * weight_of(t) * scale;
      } else {
        for (int64_t r = 0; r < s.r; ++r) g[r * g_stride + j] = T(0);  // also of NaN
      }
    }
  }

  /// What the targets of a strip are worth when they share with all classes.
  [[gnu::noinline]] void smooth(const T* max, const T* from, int64_t stride, int64_t width,
                                T* chosen) const {
    alignas(64) T below[kStrip];
    for (int64_t j = 0; j < width; ++j) below[j] = T(0);
    for (int64_t r = 0; r < s.r; ++r) {
      const T* line = from + r * stride;
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) below[j] += line[j] - max[j];
    }
    for (int64_t j = 0; j < width; ++j) chosen[j] = keep * chosen[j] + spread * below[j];
  }

  void tile(int64_t first, T* buffer) const {
    const int64_t samples = smaller(kStrip, s.a - first);
    load_tile(x + first * s.a_stride, s.a_stride, s.r, samples, buffer);
    strip(buffer, kStrip, first, samples, kStrip, gradient ? buffer : nullptr, kStrip);
    if (gradient) store_tile(buffer, s.r, samples, gradient + first * s.r, s.r);
  }

  void run() const {
    if (s.c > 1) {
      const int64_t strips = (s.c + kStrip - 1) / kStrip;
      core::parallel_for(
          0, s.a * strips, grain_of(kGrain, s.r * kStrip), [&](int64_t begin, int64_t end) {
            for (int64_t t = begin; t < end; ++t) {
              const int64_t a = t / strips, first = t % strips * kStrip;
              const int64_t width = smaller(kStrip, s.c - first);
              T* g = gradient ? gradient + a * s.r * s.c + first : nullptr;
              strip(x + a * s.a_stride + first, s.r_stride, a * s.c + first, width, width, g, s.c);
            }
          });
    } else if (s.r < kShortLine) {
      core::parallel_for(0, (s.a + kStrip - 1) / kStrip, grain_of(kGrain, s.r * kStrip),
                         [&](int64_t begin, int64_t end) {
                           alignas(64) T buffer[kShortLine * kStrip];
                           for (int64_t t = begin; t < end; ++t) tile(t * kStrip, buffer);
                         });
    } else {
      core::parallel_for(0, s.a, grain_of(kGrain, s.r), [&](int64_t begin, int64_t end) {
        for (int64_t a = begin; a < end; ++a) line(a);
      });
    }
  }
};

template <class T>
void run_cross_entropy(void* const* data, const CrossEntropyParameters& p) {
  T* losses = static_cast<T*>(p.sum ? data[5] : data[0]);
  const CrossEntropy<T> work{p,
                             p.shape,
                             losses,
                             static_cast<T*>(data[1]),
                             static_cast<const T*>(data[2]),
                             static_cast<const int64_t*>(data[3]),
                             static_cast<const T*>(data[4]),
                             static_cast<T>(p.scale),
                             static_cast<T>(1 - p.smoothing),
                             static_cast<T>(p.smoothing / static_cast<double>(p.shape.r))};
  work.run();
  if (!p.sum) return;
  const int64_t n = p.shape.a * p.shape.c;
  T total = T(0);
  for (int64_t first = 0; first < n; first += kLineChunk)
    total += fold_line<Sum<T>>(losses + first, smaller(kLineChunk, n - first));
  *static_cast<T*>(data[0]) = total * static_cast<T>(p.scale);
}

template <class T>
void run_nll(void* const* data, const NllParameters& p) {
  const BlockShape& s = p.shape;
  T* out = static_cast<T*>(data[0]);
  const T* in = static_cast<const T*>(data[1]);
  const auto* target = static_cast<const int64_t*>(data[2]);
  const T* weight = static_cast<const T*>(data[3]);
  core::parallel_for(
      0, s.a, grain_of(kGrain, p.backward ? s.r * s.c : s.c), [&](int64_t begin, int64_t end) {
        for (int64_t a = begin; a < end; ++a) {
          T* block = out + a * s.r * s.c;
          for (int64_t i = 0; p.backward && i < s.r * s.c; ++i) block[i] = T(0);
          for (int64_t j = 0; j < s.c; ++j) {
            const int64_t t = target[a * s.c + j];
            const bool ignored = t == p.ignore_index;
            const T w = ignored ? T(0) : weight ? weight[t] : T(1);
            if (p.backward) {
              if (!ignored) block[t * s.c + j] = -w * in[a * s.c + j];
            } else {
              out[a * s.c + j] = ignored ? T(0) : -w * in[a * s.a_stride + t * s.r_stride + j];
            }
          }
        }
      });
}

}  // namespace

void cross_entropy(void* const* data, const CrossEntropyParameters& p) {
  if (p.is_double)
    run_cross_entropy<double>(data, p);
  else
    run_cross_entropy<float>(data, p);
}

void nll(void* const* data, const NllParameters& p) {
  if (p.is_double)
    run_nll<double>(data, p);
  else
    run_nll<float>(data, p);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
