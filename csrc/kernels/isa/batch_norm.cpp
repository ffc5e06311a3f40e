// Statistics of channels, and what batch norm makes of them, forwards and backwards.
//
// Note [Statistics in one reading]
// Mean and variance come from the sums of x - k and (x - k)^2 over one reading, with k the mean of
// the channel's first elements. That is exact enough unless k lies far from the mean, measured in
// standard deviations; then the channel is read once more, with its mean as k.
#include "core/parallel.h"
#include "kernels/isa/lanes.h"
#include "kernels/normalization.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 16384;
constexpr int64_t kStrip = 32;  // columns at a time
constexpr int64_t kFirst = 64;  // elements that k is the mean of

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t tasks_of(int64_t elements) {
  return elements >= kGrain ? 1 : kGrain / (elements < 1 ? 1 : elements);
}

/// Two sums over elements of a channel: of d = x - k and d^2, or of g and g d.
struct Sums {
  double first, second;
};

template <bool kGradient, class T>
TAPEGRAD_INLINE void add_terms(T x, [[maybe_unused]] const T* g, T k, T& first, T& second) {
  const T d = x - k;
  if constexpr (kGradient) {
    first += *g;
    second = fma(*g, d, second);
  } else {
    first += d;
    second = fma(d, d, second);
  }
}

// --- planes one after the other ------------------------------------------------------------------

/// Over all samples of channel c. Lanes over lanes, as in fold_values.
template <bool kGradient, class T>
[[gnu::noinline]] Sums plane_sums(const T* x, const T* g, const ChannelShape& s, int64_t c, T k) {
  constexpr int64_t kChain = 16 * kLanes;
  Lanes<Sum<T>> first, second, inner_first, inner_second;
  int64_t since = 0;
  const auto flush = [&]() __attribute__((always_inline)) {
#pragma omp simd
    for (int64_t j = 0; j < kLanes; ++j) {
      first.lane[j] += inner_first.lane[j];
      second.lane[j] += inner_second.lane[j];
      inner_first.lane[j] = inner_second.lane[j] = T(0);
    }
    since = 0;
  };
  for (int64_t n = 0; n < s.n; ++n) {
    const int64_t at = (n * s.c + c) * s.s;
    for (int64_t begin = 0; begin < s.s; begin += kChain) {
      const int64_t length = smaller(kChain, s.s - begin);
      const T* xs = x + at + begin;
      const T* gs = kGradient ? g + at + begin : nullptr;
      int64_t i = 0;
      for (; i + kLanes <= length; i += kLanes) {
#pragma omp simd
        for (int64_t j = 0; j < kLanes; ++j)
          add_terms<kGradient>(xs[i + j], gs + i + j, k, inner_first.lane[j], inner_second.lane[j]);
      }
#pragma omp simd
      for (int64_t j = 0; j < length - i; ++j)
        add_terms<kGradient>(xs[i + j], gs + i + j, k, inner_first.lane[j], inner_second.lane[j]);
      since += length;
      if (since >= kChain) flush();
    }
  }
  flush();
  return {static_cast<double>(first.total()), static_cast<double>(second.total())};
}

// --- channels side by side -----------------------------------------------------------------------

/// Rows of channels, several as one where they are short.
struct WideRows {
  int64_t group, wide, rows, rest;  // the rest: channels' rows that make no wide row
  explicit WideRows(const ChannelShape& s)
      : group(channel_group(s)),
        wide(group * s.c),
        rows(s.n * s.s / group),
        rest(s.n * s.s - rows * group) {}
  int64_t chunks() const { return rows / kChannelRows + 1; }
};

template <bool kGradient, int64_t kWidth, class T>
TAPEGRAD_INLINE void strip_sums(const T* x, const T* g, const T* k, int64_t stride, int64_t rows,
                                int64_t count, T* to_first, T* to_second) {
  const int64_t width = kWidth ? kWidth : count;
  alignas(64) T first[kStrip], second[kStrip], shift[kStrip];
#pragma omp simd
  for (int64_t j = 0; j < width; ++j) {
    first[j] = second[j] = T(0);
    shift[j] = k[j];
  }
  for (int64_t r = 0; r < rows; ++r) {
    const T* xs = x + r * stride;
    const T* gs = kGradient ? g + r * stride : nullptr;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j)
      add_terms<kGradient>(xs[j], gs + j, shift[j], first[j], second[j]);
  }
#pragma omp simd
  for (int64_t j = 0; j < width; ++j) {
    to_first[j] = first[j];
    to_second[j] = second[j];
  }
}

/// The sums of all channels; k has a number for each wide column.
template <bool kGradient, class T>
void column_sums(const T* x, const T* g, const ChannelShape& s, const T* k, double* sums,
                 T* partial) {
  const WideRows w(s);
  const int64_t chunks = w.chunks(), strips = (w.wide + kStrip - 1) / kStrip;
  const auto run = [&](int64_t begin, int64_t end) __attribute__((noinline)) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t chunk = t / strips, column = t % strips * kStrip;
      const int64_t row = chunk * kChannelRows, rows = smaller(kChannelRows, w.rows - row);
      const int64_t at = row * w.wide + column, width = smaller(kStrip, w.wide - column);
      const T* gs = kGradient ? g + at : nullptr;
      T* to = partial + 2 * chunk * w.wide + column;
      if (width == kStrip)
        strip_sums<kGradient, kStrip>(x + at, gs, k + column, w.wide, rows, 0, to, to + w.wide);
      else
        strip_sums<kGradient, 0>(x + at, gs, k + column, w.wide, rows, width, to, to + w.wide);
    }
  };
  core::parallel_for(0, chunks * strips, tasks_of(smaller(w.rows, kChannelRows) * kStrip), run);
  for (int64_t c = 0; c < s.c; ++c) {
    double first = 0, second = 0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const T* from = partial + 2 * chunk * w.wide;
      for (int64_t j = c; j < w.wide; j += s.c) {
        first += from[j];
        second += from[w.wide + j];
      }
    }
    T rest_first = T(0), rest_second = T(0);
    for (int64_t r = 0; r < w.rest; ++r) {
      const int64_t at = w.rows * w.wide + r * s.c + c;
      add_terms<kGradient>(x[at], kGradient ? g + at : nullptr, k[c], rest_first, rest_second);
    }
    sums[2 * c] = first + rest_first;
    sums[2 * c + 1] = second + rest_second;
  }
}

/// values[c] for each wide column.
template <class T>
void widen(const ChannelShape& s, int64_t wide, T* values) {
  for (int64_t j = s.c; j < wide; ++j) values[j] = values[j - s.c];
}

// --- statistics ----------------------------------------------------------------------------------

struct Spread {
  double mean, variance;
  bool far;  // from k: to be read again
};

TAPEGRAD_INLINE Spread spread_of(Sums sums, double count, double k) {
  const double offset = sums.first / count;
  const double variance = sums.second / count - offset * offset;
  return {k + offset, variance > 0 ? variance : (variance != variance ? variance : 0),
          offset * offset > 4 * variance};
}

template <class T>
struct StatisticsOut {
  T* mean;
  T* inverse;
  T* variance;
  double eps;
  TAPEGRAD_INLINE void write(int64_t c, const Spread& spread) const {
    mean[c] = static_cast<T>(spread.mean);
    variance[c] = static_cast<T>(spread.variance);
    inverse[c] = static_cast<T>(1 / sqrt(spread.variance + eps));
  }
};

template <class T>
void plane_statistics(const T* x, const ChannelShape& s, const StatisticsOut<T>& out) {
  const auto count = static_cast<double>(s.n * s.s);
  core::parallel_for(
      0, s.c, tasks_of(s.n * s.s), [&](int64_t begin, int64_t end) __attribute__((noinline)) {
        for (int64_t c = begin; c < end; ++c) {
          const int64_t first = smaller(s.s, kFirst);
          T k = fold_line<Sum<T>>(x + c * s.s, first) / static_cast<T>(first);
          Spread spread = spread_of(plane_sums<false, T>(x, nullptr, s, c, k), count, k);
          if (spread.far) {
            k = static_cast<T>(spread.mean);
            spread = spread_of(plane_sums<false, T>(x, nullptr, s, c, k), count, k);
          }
          out.write(c, spread);
        }
      });
}

template <class T>
void column_statistics(const T* x, const ChannelShape& s, const StatisticsOut<T>& out,
                       double* scratch) {
  const WideRows w(s);
  const auto count = static_cast<double>(s.n * s.s);
  double* sums = scratch;
  T* k = reinterpret_cast<T*>(scratch + 2 * s.c);
  T* partial = k + w.wide;
  const int64_t first = smaller(s.n * s.s, kFirst);
  for (int64_t c = 0; c < s.c; ++c) k[c] = T(0);
  for (int64_t r = 0; r < first; ++r) {
#pragma omp simd
    for (int64_t c = 0; c < s.c; ++c) k[c] += x[r * s.c + c];
  }
  for (int64_t c = 0; c < s.c; ++c) k[c] /= static_cast<T>(first);
  for (int pass = 0; pass < 2; ++pass) {
    widen(s, w.wide, k);
    column_sums<false, T>(x, nullptr, s, k, sums, partial);
    bool far = false;
    for (int64_t c = 0; c < s.c; ++c) {
      const Spread spread = spread_of({sums[2 * c], sums[2 * c + 1]}, count, k[c]);
      far = far || spread.far;
      out.write(c, spread);
    }
    if (!far) return;
    for (int64_t c = 0; c < s.c; ++c) k[c] = out.mean[c];
  }
}

template <class T>
void run_statistics(void* const* data, const BatchNormParameters& p) {
  const StatisticsOut<T> out{static_cast<T*>(data[0]), static_cast<T*>(data[1]),
                             static_cast<T*>(data[2]), p.eps};
  const T* x = static_cast<const T*>(data[3]);
  if (p.shape.last)
    column_statistics(x, p.shape, out, static_cast<double*>(data[4]));
  else
    plane_statistics(x, p.shape, out);
}

// --- a linear map for each channel ---------------------------------------------------------------

template <class T>
TAPEGRAD_INLINE T inverse_deviation(const BatchNormParameters& p, const T* spread, int64_t c) {
  return p.from_variance ? static_cast<T>(1 / sqrt(static_cast<double>(spread[c]) + p.eps))
                         : spread[c];
}

/// y = (x - mean) * scale + shift
template <class T>
void run_norm(void* const* data, const BatchNormParameters& p) {
  const ChannelShape& s = p.shape;
  T* y = static_cast<T*>(data[0]);
  const T* x = static_cast<const T*>(data[1]);
  const T* mean = static_cast<const T*>(data[2]);
  const T* spread = static_cast<const T*>(data[3]);
  const T* weight = static_cast<const T*>(data[4]);
  const T* bias = static_cast<const T*>(data[5]);
  const auto scale_of = [=, &p](int64_t c) __attribute__((always_inline)) {
    return inverse_deviation(p, spread, c) * (weight ? weight[c] : T(1));
  };
  if (!s.last) {
    core::parallel_for(
        0, s.n * s.c, tasks_of(s.s), [=, &s](int64_t begin, int64_t end) __attribute__((noinline)) {
          for (int64_t t = begin; t < end; ++t) {
            const int64_t c = t % s.c;
            const T middle = mean[c], scale = scale_of(c), shift = bias ? bias[c] : T(0);
            const T* from = x + t * s.s;
            T* to = y + t * s.s;
#pragma omp simd
            for (int64_t i = 0; i < s.s; ++i) to[i] = fma(from[i] - middle, scale, shift);
          }
        });
    return;
  }
  const WideRows w(s);
  T* middle = static_cast<T*>(data[6]);
  T* scale = middle + w.wide;
  T* shift = scale + w.wide;
  for (int64_t c = 0; c < s.c; ++c) {
    middle[c] = mean[c];
    scale[c] = scale_of(c);
    shift[c] = bias ? bias[c] : T(0);
  }
  for (T* values : {middle, scale, shift}) widen(s, w.wide, values);
  const int64_t total = s.n * s.s * s.c, rows = (total + w.wide - 1) / w.wide;
  core::parallel_for(0, rows, tasks_of(w.wide),
                     [=](int64_t begin, int64_t end) __attribute__((noinline)) {
                       for (int64_t r = begin; r < end; ++r) {
                         const T* from = x + r * w.wide;
                         T* to = y + r * w.wide;
                         const int64_t width = smaller(w.wide, total - r * w.wide);
#pragma omp simd
                         for (int64_t j = 0; j < width; ++j)
                           to[j] = fma(from[j] - middle[j], scale[j], shift[j]);
                       }
                     });
}

// --- gradients -----------------------------------------------------------------------------------

/// gx = g * scale + (x - mean) * slope + shift, where the last two come from the dependence of the
/// statistics on x.
template <class T>
struct GradientMap {
  T mean, scale, slope, shift;
};

template <class T>
class BatchGradient {
 public:
  BatchGradient(void* const* data, const BatchNormParameters& p)
      : p_(p),
        gx_(static_cast<T*>(data[0])),
        gw_(static_cast<T*>(data[1])),
        gb_(static_cast<T*>(data[2])),
        g_(static_cast<const T*>(data[3])),
        x_(static_cast<const T*>(data[4])),
        mean_(static_cast<const T*>(data[5])),
        spread_(static_cast<const T*>(data[6])),
        weight_(static_cast<const T*>(data[7])),
        scratch_(static_cast<double*>(data[8])),
        needs_sums_(gw_ || gb_ || p.through_statistics) {}

  void run() const {
    if (p_.shape.last)
      columns();
    else
      planes();
  }

 private:
  /// Writes the gradients of weight and bias too.
  TAPEGRAD_INLINE GradientMap<T> map(int64_t c, Sums sums) const {
    const T inverse = inverse_deviation(p_, spread_, c);
    const T scale = inverse * (weight_ ? weight_[c] : T(1));
    if (gw_) gw_[c] = static_cast<T>(sums.second) * inverse;
    if (gb_) gb_[c] = static_cast<T>(sums.first);
    if (!p_.through_statistics) return {mean_[c], scale, T(0), T(0)};
    const double count = static_cast<double>(p_.shape.n * p_.shape.s), wide = inverse;
    return {mean_[c], scale, static_cast<T>(-sums.second / count * wide * wide) * scale,
            static_cast<T>(-sums.first / count) * scale};
  }

  void planes() const {
    const ChannelShape& s = p_.shape;
    const bool through = p_.through_statistics;
    core::parallel_for(0, s.c, tasks_of(s.n * s.s),
                       [&, this](int64_t begin, int64_t end) __attribute__((noinline)) {
                         for (int64_t c = begin; c < end; ++c) {
                           Sums sums{0, 0};
                           if (needs_sums_) sums = plane_sums<true, T>(x_, g_, s, c, mean_[c]);
                           const GradientMap<T> m = map(c, sums);
                           for (int64_t n = 0; gx_ && n < s.n; ++n) {
                             const int64_t at = (n * s.c + c) * s.s;
                             const T* x = x_ + at;
                             const T* g = g_ + at;
                             T* to = gx_ + at;
                             if (through) {
#pragma omp simd
                               for (int64_t i = 0; i < s.s; ++i)
                                 to[i] = fma(g[i], m.scale, fma(x[i] - m.mean, m.slope, m.shift));
                             } else {
#pragma omp simd
                               for (int64_t i = 0; i < s.s; ++i) to[i] = g[i] * m.scale;
                             }
                           }
                         }
                       });
  }

  void columns() const {
    const ChannelShape& s = p_.shape;
    const WideRows w(s);
    double* sums = scratch_;
    T* middle = reinterpret_cast<T*>(scratch_ + 2 * s.c);
    T* scale = middle + w.wide;
    T* slope = scale + w.wide;
    T* shift = slope + w.wide;
    for (int64_t c = 0; c < s.c; ++c) middle[c] = mean_[c];
    widen(s, w.wide, middle);
    if (needs_sums_) column_sums<true, T>(x_, g_, s, middle, sums, shift + w.wide);
    for (int64_t c = 0; c < s.c; ++c) {
      const GradientMap<T> m =
          map(c, needs_sums_ ? Sums{sums[2 * c], sums[2 * c + 1]} : Sums{0, 0});
      scale[c] = m.scale;
      slope[c] = m.slope;
      shift[c] = m.shift;
    }
    if (!gx_) return;
    for (T* values : {scale, slope, shift}) widen(s, w.wide, values);
    const int64_t total = s.n * s.s * s.c, rows = (total + w.wide - 1) / w.wide;
    const bool through = p_.through_statistics;
    const T* xs = x_;
    const T* gs = g_;
    T* gx = gx_;
    core::parallel_for(
        0, rows, tasks_of(w.wide), [=](int64_t begin, int64_t end) __attribute__((noinline)) {
          for (int64_t r = begin; r < end; ++r) {
            const int64_t at = r * w.wide, width = smaller(w.wide, total - at);
            const T* x = xs + at;
            const T* g = gs + at;
            T* to = gx + at;
            if (through) {
#pragma omp simd
              for (int64_t j = 0; j < width; ++j)
                to[j] = fma(g[j], scale[j], fma(x[j] - middle[j], slope[j], shift[j]));
            } else {
#pragma omp simd
              for (int64_t j = 0; j < width; ++j) to[j] = g[j] * scale[j];
            }
          }
        });
  }

  const BatchNormParameters& p_;
  T* gx_;
  T* gw_;
  T* gb_;
  const T* g_;
  const T* x_;
  const T* mean_;
  const T* spread_;
  const T* weight_;
  double* scratch_;
  bool needs_sums_;
};

}  // namespace

void batch_statistics(void* const* data, const BatchNormParameters& p) {
  if (p.is_double)
    run_statistics<double>(data, p);
  else
    run_statistics<float>(data, p);
}

void batch_norm(void* const* data, const BatchNormParameters& p) {
  if (p.is_double)
    run_norm<double>(data, p);
  else
    run_norm<float>(data, p);
}

void batch_norm_gradient(void* const* data, const BatchNormParameters& p) {
  if (p.is_double)
    BatchGradient<double>(data, p).run();
  else
    BatchGradient<float>(data, p).run();
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
