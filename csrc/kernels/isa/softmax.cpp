// Softmax, log-softmax, log-sum-exp and their gradients. See Note [Lines, tiles and strips].
#include "core/parallel.h"
#include "kernels/isa/softmax_blocks.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 16384;

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/// log-sum-exp from the maximum (NaN if there is one) and the sum of exponentials below it: an
/// infinite maximum, or NaN, is the result itself.
template <class T>
TAPEGRAD_INLINE T log_sum_exp(T max, T sum) {
  return abs(max) < kInfinity<T> ? log(sum) + max : max;
}

template <class T>
void softmax_line(const T* x, T* y, int64_t n, SoftmaxOp op) {
  if (op == SoftmaxOp::LogSumExp) {
    const T top = fold_line<Max<T>>(x, n);
    *y = log_sum_exp(top, exp_line<false, T>(x, top, nullptr, n));
    return;
  }
  const T max = fold_line<MaxOfNumbers<T>>(x, n);
  if (op == SoftmaxOp::Softmax) {
    const T factor = T(1) / exp_line<true>(x, max, y, n);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] *= factor;
  } else {
    const T log_sum = log(exp_line<false, T>(x, max, nullptr, n));
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - max) - log_sum;
  }
}

template <class T>
TAPEGRAD_INLINE void softmax_strip(const T* x, int64_t stride, T* y, int64_t y_stride, int64_t rows,
                                   int64_t width, SoftmaxOp op) {
  StripMath<T> m;
  if (op == SoftmaxOp::LogSumExp) {
    m.template find_max<Max<T>>(x, stride, rows, width);
    m.template exponentials<false>(x, stride, nullptr, 0, rows, width);
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) y[j] = log_sum_exp(m.max[j], m.sum[j]);
    return;
  }
  m.template find_max<MaxOfNumbers<T>>(x, stride, rows, width);
  if (op == SoftmaxOp::Softmax) {
    m.template exponentials<true>(x, stride, y, y_stride, rows, width);
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) m.sum[j] = T(1) / m.sum[j];
    for (int64_t r = 0; r < rows; ++r) {
      T* to = y + r * y_stride;
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) to[j] *= m.sum[j];
    }
  } else {
    m.template exponentials<false>(x, stride, nullptr, 0, rows, width);
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) m.sum[j] = log(m.sum[j]);
    for (int64_t r = 0; r < rows; ++r) {
      const T* line = x + r * stride;
      T* to = y + r * y_stride;
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) to[j] = (line[j] - m.max[j]) - m.sum[j];
    }
  }
}

template <class T>
void run_softmax(void* const* data, const SoftmaxParameters& p) {
  const BlockShape& s = p.shape;
  T* y = static_cast<T*>(data[0]);
  const T* x = static_cast<const T*>(data[1]);
  const int64_t out_rows = p.op == SoftmaxOp::LogSumExp ? 1 : s.r;
  if (s.c > 1) {
    const int64_t strips = (s.c + kStrip - 1) / kStrip;
    core::parallel_for(
        0, s.a * strips, grain_of(kGrain, s.r * kStrip), [&](int64_t begin, int64_t end) {
          for (int64_t t = begin; t < end; ++t) {
            const int64_t a = t / strips, first = t % strips * kStrip;
            softmax_strip(x + a * s.a_stride + first, s.r_stride, y + a * out_rows * s.c + first,
                          s.c, s.r, smaller(kStrip, s.c - first), p.op);
          }
        });
  } else if (s.r < kShortLine) {
    const int64_t tiles = (s.a + kStrip - 1) / kStrip;
    core::parallel_for(0, tiles, grain_of(kGrain, s.r * kStrip), [&](int64_t begin, int64_t end) {
      alignas(64) T tile[kShortLine * kStrip];
      for (int64_t t = begin; t < end; ++t) {
        const int64_t first = t * kStrip, samples = smaller(kStrip, s.a - first);
        load_tile(x + first * s.a_stride, s.a_stride, s.r, samples, tile);
        softmax_strip(tile, kStrip, tile, kStrip, s.r, kStrip, p.op);
        store_tile(tile, out_rows, samples, y + first * out_rows, out_rows);
      }
    });
  } else {
    core::parallel_for(0, s.a, grain_of(kGrain, s.r), [&](int64_t begin, int64_t end) {
      for (int64_t a = begin; a < end; ++a)
        softmax_line(x + a * s.a_stride, y + a * out_rows, s.r, p.op);
    });
  }
}

// --- gradients: y (g - sum(g y)) and g - exp(y) sum(g) -------------------------------------------

template <class T>
void gradient_line(const T* g, const T* y, T* out, int64_t n, SoftmaxOp op) {
  if (op == SoftmaxOp::Softmax) {
    const T dot = fold_values<Sum<T>>(
        n, [g, y](int64_t i) __attribute__((always_inline)) { return g[i] * y[i]; });
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) out[i] = (g[i] - dot) * y[i];
  } else {
    const T sum = fold_line<Sum<T>>(g, n);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) out[i] = g[i] - exp(y[i]) * sum;
  }
}

template <class T>
TAPEGRAD_INLINE void gradient_strip(const T* g, const T* y, int64_t stride, T* out,
                                    int64_t out_stride, int64_t rows, int64_t width, SoftmaxOp op) {
  alignas(64) T sum[kStrip];
#pragma omp simd
  for (int64_t j = 0; j < width; ++j) sum[j] = T(0);
  for (int64_t r = 0; r < rows; ++r) {
    const T* gr = g + r * stride;
    const T* yr = y + r * stride;
    if (op == SoftmaxOp::Softmax) {
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) sum[j] += gr[j] * yr[j];
    } else {
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) sum[j] += gr[j];
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    const T* gr = g + r * stride;
    const T* yr = y + r * stride;
    T* to = out + r * out_stride;
    if (op == SoftmaxOp::Softmax) {
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) to[j] = (gr[j] - sum[j]) * yr[j];
    } else {
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) to[j] = gr[j] - exp(yr[j]) * sum[j];
    }
  }
}

template <class T>
void run_gradient(void* const* data, const SoftmaxGradientParameters& p) {
  const BlockShape& s = p.shape;
  T* out = static_cast<T*>(data[0]);
  const T* g = static_cast<const T*>(data[1]);
  const T* y = static_cast<const T*>(data[2]);
  if (s.c > 1) {
    const int64_t strips = (s.c + kStrip - 1) / kStrip;
    core::parallel_for(0, s.a * strips, grain_of(kGrain, s.r * kStrip),
                       [&](int64_t begin, int64_t end) {
                         for (int64_t t = begin; t < end; ++t) {
                           const int64_t a = t / strips, first = t % strips * kStrip;
                           const int64_t at = a * s.a_stride + first;
                           gradient_strip(g + at, y + at, s.r_stride, out + a * s.r * s.c + first,
                                          s.c, s.r, smaller(kStrip, s.c - first), p.op);
                         }
                       });
  } else if (s.r < kShortLine) {
    const int64_t tiles = (s.a + kStrip - 1) / kStrip;
    core::parallel_for(0, tiles, grain_of(kGrain, s.r * kStrip), [&](int64_t begin, int64_t end) {
      alignas(64) T g_tile[kShortLine * kStrip];
      alignas(64) T y_tile[kShortLine * kStrip];
      for (int64_t t = begin; t < end; ++t) {
        const int64_t first = t * kStrip, samples = smaller(kStrip, s.a - first);
        load_tile(g + first * s.a_stride, s.a_stride, s.r, samples, g_tile);
        load_tile(y + first * s.a_stride, s.a_stride, s.r, samples, y_tile);
        gradient_strip(g_tile, y_tile, kStrip, g_tile, kStrip, s.r, kStrip, p.op);
        store_tile(g_tile, s.r, samples, out + first * s.r, s.r);
      }
    });
  } else {
    core::parallel_for(0, s.a, grain_of(kGrain, s.r), [&](int64_t begin, int64_t end) {
      for (int64_t a = begin; a < end; ++a)
        gradient_line(g + a * s.a_stride, y + a * s.a_stride, out + a * s.r, s.r, p.op);
    });
  }
}

}  // namespace

void softmax(void* const* data, const SoftmaxParameters& p) {
  if (p.is_double)
    run_softmax<double>(data, p);
  else
    run_softmax<float>(data, p);
}

void softmax_gradient(void* const* data, const SoftmaxGradientParameters& p) {
  if (p.is_double)
    run_gradient<double>(data, p);
  else
    run_gradient<float>(data, p);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
