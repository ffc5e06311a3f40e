// Normalisation of rows: layer, RMS, group and instance norm, forwards and backwards. Statistics as
// in Note [Statistics in one reading].
#include "core/parallel.h"
#include "kernels/isa/lanes.h"
#include "kernels/normalization.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 16384;

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t tasks_of(int64_t elements) {
  return elements >= kGrain ? 1 : kGrain / (elements < 1 ? 1 : elements);
}

template <class T>
struct TwoSums {
  T first, second;
};

/// The sums of first(i) and second(i), in lanes; where elements are read once for both.
template <class T, class Terms>
TAPEGRAD_INLINE TwoSums<T> fold_two(int64_t n, Terms terms) {
  constexpr int64_t kChain = 16 * kLanes;
  Lanes<Sum<T>> first, second;
  int64_t i = 0;
  for (; i + kChain <= n; i += kChain) {
    Lanes<Sum<T>> inner_first, inner_second;
    for (int64_t k = i; k < i + kChain; k += kLanes) {
#pragma omp simd
      for (int64_t j = 0; j < kLanes; ++j) terms(k + j, inner_first.lane[j], inner_second.lane[j]);
    }
#pragma omp simd
    for (int64_t j = 0; j < kLanes; ++j) {
      first.lane[j] += inner_first.lane[j];
      second.lane[j] += inner_second.lane[j];
    }
  }
  for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
    for (int64_t j = 0; j < kLanes; ++j) terms(i + j, first.lane[j], second.lane[j]);
  }
#pragma omp simd
  for (int64_t j = 0; j < n - i; ++j) terms(i + j, first.lane[j], second.lane[j]);
  return {first.total(), second.total()};
}

/// Sums of x - k and (x - k)^2.
template <class T>
[[gnu::noinline]] TwoSums<T> deviations(const T* x, int64_t n, T k) {
  return fold_two<T>(n, [=](int64_t i, T& first, T& second) __attribute__((always_inline)) {
    const T d = x[i] - k;
    first += d;
    second = fma(d, d, second);
  });
}

/// Sums of g and g (x - mean), or, with weights, of g w and g w (x - mean).
template <class T>
[[gnu::noinline]] TwoSums<T> products(const T* g, const T* x, const T* w, int64_t n, T mean) {
  if (!w) {
    return fold_two<T>(n, [=](int64_t i, T& first, T& second) __attribute__((always_inline)) {
      first += g[i];
      second = fma(g[i], x[i] - mean, second);
    });
  }
  return fold_two<T>(n, [=](int64_t i, T& first, T& second) __attribute__((always_inline)) {
    const T weighted = g[i] * w[i];
    first += weighted;
    second = fma(weighted, x[i] - mean, second);
  });
}

template <class T>
TAPEGRAD_INLINE void row_statistics(const T* x, const RowNormParameters& p, T* mean, T* inverse) {
  const auto count = static_cast<double>(p.length);
  if (!p.centered) {
    const double square = static_cast<double>(deviations(x, p.length, T(0)).second) / count;
    *mean = T(0);
    *inverse = static_cast<T>(1 / sqrt(square + p.eps));
    return;
  }
  T k = x[0];
  double offset = 0, variance = 0;
  for (int pass = 0; pass < 2; ++pass) {
    k = pass == 0 ? k : static_cast<T>(static_cast<double>(k) + offset);
    const TwoSums<T> sums = deviations(x, p.length, k);
    offset = static_cast<double>(sums.first) / count;
    variance = static_cast<double>(sums.second) / count - offset * offset;
    if (!(offset * offset > 4 * variance)) break;
  }
  if (variance < 0) variance = 0;
  *mean = static_cast<T>(static_cast<double>(k) + offset);
  *inverse = static_cast<T>(1 / sqrt(variance + p.eps));
}

/// Weights element by element; `w` and `b` may be null.
template <class T>
TAPEGRAD_INLINE void map_row(const T* x, T* y, int64_t n, T mean, T inverse, const T* w,
                             const T* b) {
  if (w && b) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = fma((x[i] - mean) * inverse, w[i], b[i]);
  } else if (w) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * inverse * w[i];
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * inverse;
    if (!b) return;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] += b[i];
  }
}

template <class T>
void run_norm(void* const* data, const RowNormParameters& p) {
  T* y = static_cast<T*>(data[0]);
  T* mean = static_cast<T*>(data[1]);
  T* inverse = static_cast<T*>(data[2]);
  const T* x = static_cast<const T*>(data[3]);
  const T* w = static_cast<const T*>(data[4]);
  const T* b = static_cast<const T*>(data[5]);
  const int64_t channels = p.length / p.inner;
  core::parallel_for(0, p.n * p.groups, tasks_of(p.length),
                     [=, &p](int64_t begin, int64_t end) __attribute__((noinline)) {
                       for (int64_t r = begin; r < end; ++r) {
                         const int64_t first = r % p.groups * channels;
                         const T* from = x + r * p.length;
                         T* to = y + r * p.length;
                         row_statistics(from, p, mean + r, inverse + r);
                         const T middle = mean[r], scale = inverse[r];
                         if (p.inner == 1 || !(w || b)) {
                           map_row(from, to, p.length, middle, scale, w ? w + first : nullptr,
                                   b ? b + first : nullptr);
                           continue;
                         }
                         for (int64_t c = 0; c < channels; ++c) {
                           const T factor = w ? w[first + c] * scale : scale,
                                   shift = b ? b[first + c] : T(0);
                           const T* xs = from + c * p.inner;
                           T* ys = to + c * p.inner;
#pragma omp simd
                           for (int64_t i = 0; i < p.inner; ++i)
                             ys[i] = fma(xs[i] - middle, factor, shift);
                         }
                       }
                     });
}

/// The gradient of a row's elements: g w inverse + (x - mean) slope + shift.
template <class T>
struct RowMap {
  T slope, shift;
  TAPEGRAD_INLINE RowMap(const RowNormParameters& p, TwoSums<T> sums, T inverse) {
    const T each = inverse / static_cast<T>(p.length);
    slope = -sums.second * each * inverse * inverse;
    shift = p.centered ? -sums.first * each : T(0);
  }
};

/// One weight an element. The gradients of weight and bias are added to gw and gb.
template <class T>
TAPEGRAD_INLINE void row_gradient(const T* g, const T* x, const T* w, T* gx, T* gw, T* gb,
                                  const RowNormParameters& p, T mean, T inverse) {
  const int64_t n = p.length;
  const RowMap<T> m(p, products(g, x, w, n, mean), inverse);
  if (w) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i)
      gx[i] = fma(g[i] * w[i], inverse, fma(x[i] - mean, m.slope, m.shift));
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) gx[i] = fma(g[i], inverse, fma(x[i] - mean, m.slope, m.shift));
  }
  if (gw) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) gw[i] = fma(g[i], (x[i] - mean) * inverse, gw[i]);
  }
  if (gb) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) gb[i] += g[i];
  }
}

/// One weight a channel of `inner` elements.
template <class T>
TAPEGRAD_INLINE void channels_gradient(const T* g, const T* x, const T* w, T* gx, T* gw, T* gb,
                                       const RowNormParameters& p, T mean, T inverse) {
  const int64_t channels = p.length / p.inner;
  TwoSums<T> sums{T(0), T(0)};
  for (int64_t c = 0; c < channels; ++c) {
    const TwoSums<T> part = products<T>(g + c * p.inner, x + c * p.inner, nullptr, p.inner, mean);
    const T factor = w ? w[c] : T(1);
    sums.first = fma(part.first, factor, sums.first);
    sums.second = fma(part.second, factor, sums.second);
    if (gw) gw[c] = part.second * inverse;
    if (gb) gb[c] = part.first;
  }
  const RowMap<T> m(p, sums, inverse);
  for (int64_t c = 0; c < channels; ++c) {
    const T scale = w ? w[c] * inverse : inverse;
    const int64_t at = c * p.inner;
#pragma omp simd
    for (int64_t i = 0; i < p.inner; ++i)
      gx[at + i] = fma(g[at + i], scale, fma(x[at + i] - mean, m.slope, m.shift));
  }
}

/// to[i] = the sum of from[i + k * stride], k < count.
template <class T>
void add_partials(const T* from, int64_t count, int64_t stride, T* to, int64_t width) {
  constexpr int64_t kPiece = 512;
  core::parallel_for(0, (width + kPiece - 1) / kPiece, tasks_of(kPiece * count),
                     [=](int64_t begin, int64_t end) __attribute__((noinline)) {
                       for (int64_t t = begin; t < end; ++t) {
                         const int64_t first = t * kPiece, last = smaller(first + kPiece, width);
#pragma omp simd
                         for (int64_t i = first; i < last; ++i) to[i] = from[i];
                         for (int64_t k = 1; k < count; ++k) {
#pragma omp simd
                           for (int64_t i = first; i < last; ++i) to[i] += from[k * stride + i];
                         }
                       }
                     });
}

template <class T>
void run_gradient(void* const* data, const RowNormParameters& p) {
  T* gx = static_cast<T*>(data[0]);
  T* gw = static_cast<T*>(data[1]);
  T* gb = static_cast<T*>(data[2]);
  const T* g = static_cast<const T*>(data[3]);
  const T* x = static_cast<const T*>(data[4]);
  const T* mean = static_cast<const T*>(data[5]);
  const T* inverse = static_cast<const T*>(data[6]);
  const T* w = static_cast<const T*>(data[7]);
  T* partial = static_cast<T*>(data[8]);
  const int64_t channels = p.length / p.inner, width = p.groups * channels;
  const int64_t chunk = row_norm_chunk(p), chunks = (p.n + chunk - 1) / chunk;
  const auto run = [=, &p](int64_t begin, int64_t end) __attribute__((noinline)) {
    for (int64_t t = begin; t < end; ++t) {
      T* to_w = gw ? partial + 2 * t * width : nullptr;
      T* to_b = gb ? partial + (2 * t + 1) * width : nullptr;
      for (T* to : {to_w, to_b}) {
        for (int64_t i = 0; to && i < width; ++i) to[i] = T(0);
      }
      const int64_t last = smaller((t + 1) * chunk, p.n) * p.groups;
      for (int64_t r = t * chunk * p.groups; r < last; ++r) {
        const int64_t first = r % p.groups * channels, at = r * p.length;
        const T* ws = w ? w + first : nullptr;
        T* gws = to_w ? to_w + first : nullptr;
        T* gbs = to_b ? to_b + first : nullptr;
        if (p.inner == 1)
          row_gradient(g + at, x + at, ws, gx + at, gws, gbs, p, mean[r], inverse[r]);
        else
          channels_gradient(g + at, x + at, ws, gx + at, gws, gbs, p, mean[r], inverse[r]);
      }
    }
  };
  core::parallel_for(0, chunks, tasks_of(chunk * p.groups * p.length), run);
  if (gw) add_partials(partial, chunks, 2 * width, gw, width);
  if (gb) add_partials(partial + width, chunks, 2 * width, gb, width);
}

}  // namespace

void row_norm(void* const* data, const RowNormParameters& p) {
  if (p.is_double)
    run_norm<double>(data, p);
  else
    run_norm<float>(data, p);
}

void row_norm_gradient(void* const* data, const RowNormParameters& p) {
  if (p.is_double)
    run_gradient<double>(data, p);
  else
    run_gradient<float>(data, p);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
