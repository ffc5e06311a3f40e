// Averages over windows, and their adjoint: each gradient is spread over its window.
#include "core/parallel.h"
#include "kernels/isa/lanes.h"
#include "kernels/isa/pooling_windows.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 16384;
constexpr int64_t kBlock = 16;    // channels, or outputs of a row, at a time
constexpr int64_t kColumns = 64;  // of gradients at a time
constexpr int64_t kLine = 256;    // the longest line whose columns are added up first
constexpr int64_t kWidest = 32;   // window whose gradients are added up for a line first

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t tasks_of(int64_t elements) {
  return elements >= kGrain ? 1 : kGrain / (elements < 1 ? 1 : elements);
}

// --- channels side by side -----------------------------------------------------------------------

template <class T, int64_t kWidth>
TAPEGRAD_INLINE void average_pixel(const T* x, T* y, const PoolParameters& p,
                                   const PoolWindow& window, int64_t rest) {
  const int64_t width = kWidth ? kWidth : rest;
  const T divisor = window.divisor<T>(p);
  alignas(64) T sum[kBlock];
#pragma omp simd
  for (int64_t j = 0; j < width; ++j) sum[j] = T(0);
  for_lines(p.windows, window.d, window.h, [&](int64_t, int64_t line) {
    const T* from = x + (line + window.w.start) * p.channels;
    for (int64_t kw = window.w.from; kw < window.w.to; ++kw) {
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) sum[j] += from[kw * p.channels + j];
    }
  });
#pragma omp simd
  for (int64_t j = 0; j < width; ++j) y[j] = sum[j] / divisor;
}

template <class T>
void average_last(const T* x, T* y, const PoolParameters& p) {
  const PoolWindows& s = p.windows;
  const int64_t rows = s.out[0] * s.out[1], c = p.channels;
  const PoolRow ranges(s);
  const auto run = [&](int64_t begin, int64_t end) __attribute__((noinline)) {
    for (int64_t t = begin; t < end; ++t) {
      const T* from = x + t / rows * volume(s.in) * c;
      const PoolRange d = pool_range(s, 0, t % rows / s.out[1]), h = pool_range(s, 1, t % s.out[1]);
      for (int64_t ow = 0; ow < s.out[2]; ++ow) {
        const PoolWindow window(d, h, ranges[ow]);
        T* to = y + (t * s.out[2] + ow) * c;
        int64_t j = 0;
        for (; j + kBlock <= c; j += kBlock)
          average_pixel<T, kBlock>(from + j, to + j, p, window, 0);
        if (j < c) average_pixel<T, 0>(from + j, to + j, p, window, c - j);
      }
    }
  };
  core::parallel_for(0, p.planes * rows, tasks_of(s.out[2] * c * volume(s.kernel)), run);
}

// --- planes one after the other ------------------------------------------------------------------

/// The sum over one window; one of whole lines is one line itself.
template <class T>
[[gnu::noinline]] T window_sum(const T* x, const PoolWindows& s, const PoolWindow& window) {
  constexpr int64_t kLong = 32;
  T sum = T(0);
  const int64_t length = window.w.to - window.w.from;
  if (length == s.in[2]) {
    const int64_t lines = window.h.to - window.h.from;
    for (int64_t kd = window.d.from; kd < window.d.to; ++kd) {
      const int64_t row = (window.d.start + kd) * s.in[1] + window.h.start + window.h.from;
      sum += fold_line<Sum<T>>(x + row * s.in[2], lines * length);
    }
    return sum;
  }
  for_lines(s, window.d, window.h, [&](int64_t, int64_t line) __attribute__((always_inline)) {
    const T* from = x + line + window.w.start + window.w.from;
    if (length >= kLong) {
      sum += fold_line<Sum<T>>(from, length);
    } else {
      for (int64_t i = 0; i < length; ++i) sum += from[i];
    }
  });
  return sum;
}

/// `n` outputs of a row, up to kBlock, whose windows lie inside of it; `x` is the plane, shifted to
/// the first window. As many as make a whole vector are computed, and the rest dropped.
template <class T, int64_t kStride>
TAPEGRAD_INLINE void average_chunk(const T* x, T* y, const PoolWindows& s, const PoolRange& d,
                                   const PoolRange& h, T divisor, int64_t n) {
  alignas(64) T sum[kBlock];
  const int64_t stride = kStride ? kStride : s.stride[2];
#pragma omp simd
  for (int64_t j = 0; j < kBlock; ++j) sum[j] = T(0);
  for_lines(s, d, h, [&](int64_t, int64_t line) __attribute__((always_inline)) {
    for (int64_t kw = 0; kw < s.kernel[2]; ++kw) {
      const T* value = x + line + kw;
#pragma omp simd
      for (int64_t j = 0; j < kBlock; ++j) sum[j] += value[j * stride];
    }
  });
#pragma omp simd
  for (int64_t j = 0; j < kBlock; ++j) sum[j] /= divisor;
  for (int64_t j = 0; j < n; ++j) y[j] = sum[j];
}

/// The windows of a row that lie inside of it differ only by where they start. Returns from which
/// output on they are to be computed one by one: see Note [Whole vectors in short rows].
template <class T, int64_t kStride>
[[gnu::noinline]] int64_t average_inside(const T* x, const T* end, T* y, const PoolParameters& p,
                                         const PoolInside& inside, const PoolRange& d,
                                         const PoolRange& h) {
  const PoolWindows& s = p.windows;
  const int64_t stride = kStride ? kStride : s.stride[2];
  const int64_t reach = last_element(s, d, h) + (kBlock - 1) * stride;
  const T divisor = PoolWindow(d, h, PoolRange{0, 0, s.kernel[2]}).divisor<T>(p);
  for (int64_t j = inside.from; j < inside.to; j += kBlock) {
    const T* from = x + j * stride - s.padding[2];
    if (from + reach >= end) return j;
    average_chunk<T, kStride>(from, y + j, s, d, h, divisor, smaller(kBlock, inside.to - j));
  }
  return inside.to;
}

/// The outputs of a row one by one, from the sums of its lines.
template <class T>
TAPEGRAD_INLINE void average_by_columns(const T* x, T* y, const PoolParameters& p,
                                        const PoolRange& d, const PoolRange& h,
                                        const PoolRow& ranges) {
  const PoolWindows& s = p.windows;
  alignas(64) T sums[kLine];
#pragma omp simd
  for (int64_t i = 0; i < s.in[2]; ++i) sums[i] = T(0);
  for_lines(s, d, h, [&](int64_t, int64_t line) __attribute__((always_inline)) {
    const T* from = x + line;
#pragma omp simd
    for (int64_t i = 0; i < s.in[2]; ++i) sums[i] += from[i];
  });
  for (int64_t j = 0; j < s.out[2]; ++j) {
    const PoolWindow window(d, h, ranges[j]);
    T total = T(0);
    for (int64_t k = window.w.from; k < window.w.to; ++k) total += sums[window.w.start + k];
    y[j] = total / window.divisor<T>(p);
  }
}

template <class T>
void average_plane(const T* x, const T* end, T* y, const PoolParameters& p, const PoolRow& ranges) {
  const PoolWindows& s = p.windows;
  const bool one_by_one = pool_by_lines(s);
  const PoolInside inside(s);
  for (int64_t row = 0; row < s.out[0] * s.out[1]; ++row) {
    T* to = y + row * s.out[2];
    const PoolRange d = pool_range(s, 0, row / s.out[1]), h = pool_range(s, 1, row % s.out[1]);
    if (one_by_one && s.in[2] <= kLine) {
      average_by_columns(x, to, p, d, h, ranges);
      continue;
    }
    int64_t known = inside.from;  // the outputs from inside.from to here
    if (!one_by_one) {
      const auto run = s.stride[2] == 1   ? &average_inside<T, 1>
                       : s.stride[2] == 2 ? &average_inside<T, 2>
                                          : &average_inside<T, 0>;
      known = run(x, end, to, p, inside, d, h);
    }
    for (int64_t j = 0; j < s.out[2]; ++j) {
      if (j == inside.from) j = known;
      if (j == s.out[2]) break;
      const PoolWindow window(d, h, ranges[j]);
      to[j] = window_sum(x, s, window) / window.divisor<T>(p);
    }
  }
}

template <class T>
TAPEGRAD_INLINE void average_of_pairs(const T* upper, const T* lower, T* y, T divisor, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j)
    y[j] = ((upper[2 * j] + upper[2 * j + 1]) + (lower[2 * j] + lower[2 * j + 1])) / divisor;
}

/// See Note [Whole vectors in short rows].
template <class T>
void average_pairs(const T* x, T* y, const PoolParameters& p) {
  const PairRows rows(p);
  const T divisor = p.divisor ? static_cast<T>(p.divisor) : T(4);
  core::parallel_for(0, rows.count, tasks_of(rows.width * 4),
                     [&](int64_t begin, int64_t end) __attribute__((noinline)) {
                       for (int64_t r = begin; r < end; ++r) {
                         const T* upper = x + rows.origin(r);
                         T* to = y + r * rows.width;
                         const bool whole = rows.reads_whole(r) && rows.writes_whole(r, end);
                         for (int64_t j = 0; j < rows.width; j += kBlock) {
                           const T* lower = upper + rows.pitch;
                           if (whole)
                             average_of_pairs(upper + 2 * j, lower + 2 * j, to + j, divisor,
                                              kBlock);
                           else
                             average_of_pairs(upper + 2 * j, lower + 2 * j, to + j, divisor,
                                              smaller(kBlock, rows.width - j));
                         }
                       }
                     });
}

/// The mean of each plane.
template <class T>
void average_planes(const T* x, T* y, const PoolParameters& p) {
  const int64_t in = volume(p.windows.in);
  const T divisor = static_cast<T>(p.divisor ? p.divisor : in);
  core::parallel_for(
      0, p.planes, tasks_of(in), [=](int64_t begin, int64_t end) __attribute__((noinline)) {
        for (int64_t t = begin; t < end; ++t) {
          const T* from = x + t * in;
          y[t] = fold_values<Sum<T>>(
                     in, [from](int64_t i) __attribute__((always_inline)) { return from[i]; }) /
                 divisor;
        }
      });
}

template <class T>
void run_average(void* const* data, const PoolParameters& p) {
  T* y = static_cast<T*>(data[0]);
  const T* x = static_cast<const T*>(data[1]);
  const PoolWindows& s = p.windows;
  if (p.channels > 1) {
    average_last(x, y, p);
  } else if (is_whole(s)) {
    average_planes(x, y, p);
  } else if (is_pairs(s)) {
    average_pairs(x, y, p);
  } else {
    const PoolRow ranges(s);
    core::parallel_for(0, p.planes, tasks_of(volume(s.out) * volume(s.kernel)),
                       [&](int64_t begin, int64_t end) __attribute__((noinline)) {
                         for (int64_t t = begin; t < end; ++t)
                           average_plane(x + t * volume(s.in), x + p.planes * volume(s.in),
                                         y + t * volume(s.out), p, ranges);
                       });
  }
}

// --- the adjoint ---------------------------------------------------------------------------------

template <class T>
void spread_last(T* gx, const T* g, const PoolParameters& p) {
  constexpr int64_t kStrip = 64;
  const PoolWindows& s = p.windows;
  const int64_t c = p.channels, strips = (c + kStrip - 1) / kStrip, in = volume(s.in);
  const bool tiled = is_tiled(s);
  const PoolRow ranges(s);
  const auto strip = [&](int64_t sample, int64_t first, int64_t width) {
    alignas(64) T share[kStrip];
    T* to = gx + sample * in * c + first;
    if (!tiled) clear_strip(to, in, c, width);
    PoolRange d{}, h{};
    for (int64_t o = 0, ow = 0, row = 0; o < volume(s.out); ++o) {
      if (ow == 0) {
        d = pool_range(s, 0, row / s.out[1]);
        h = pool_range(s, 1, row % s.out[1]);
      }
      const int64_t from = (sample * volume(s.out) + o) * c + first;
      const PoolWindow window(d, h, ranges[ow]);
      if (++ow == s.out[2]) {
        ow = 0;
        ++row;
      }
      const T divisor = window.divisor<T>(p);
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) share[j] = g[from + j] / divisor;
      for_lines(s, window.d, window.h, [&](int64_t, int64_t line) {
        for (int64_t kw = window.w.from; kw < window.w.to; ++kw) {
          T* cell = to + (line + window.w.start + kw) * c;
          if (tiled) {
#pragma omp simd
            for (int64_t j = 0; j < width; ++j) cell[j] = share[j];
          } else {
#pragma omp simd
            for (int64_t j = 0; j < width; ++j) cell[j] += share[j];
          }
        }
      });
    }
  };
  core::parallel_for(0, p.planes * strips, tasks_of(in * smaller(c, kStrip)),
                     [&](int64_t begin, int64_t end) __attribute__((noinline)) {
                       for (int64_t t = begin; t < end; ++t) {
                         const int64_t first = t % strips * kStrip;
                         strip(t / strips, first, smaller(kStrip, c - first));
                       }
                     });
}

/// What one row of gradients gives to `width` columns of a line, from `first` on. Each is put where
/// its window starts, zeros between them; a column adds up what starts up to a window before it.
template <class T>
TAPEGRAD_INLINE void spread_columns(const T* g, T* to, const PoolParameters& p,
                                    const PoolInside& inside, const PoolRange& d,
                                    const PoolRange& h, int64_t first, int64_t width) {
  const PoolWindows& s = p.windows;
  const int64_t before = s.kernel[2] - 1, stride = s.stride[2];
  alignas(64) T start[kColumns + kWidest];
#pragma omp simd
  for (int64_t i = 0; i < width + before; ++i) start[i] = T(0);
  const int64_t offset = s.padding[2] + first - before;  // of element 0 of `start`
  const T whole = PoolWindow(d, h, PoolRange{0, 0, s.kernel[2]}).divisor<T>(p);
  const int64_t last = smaller(divided_up(first + width + s.padding[2], stride), s.out[2]);
  for (int64_t j = offset > 0 ? divided_up(offset, stride) : 0; j < last; ++j) {
    const bool middle = j >= inside.from && j < inside.to;
    const T divisor = middle ? whole : PoolWindow(d, h, pool_range(s, 2, j)).divisor<T>(p);
    start[j * stride - offset] = g[j] / divisor;
  }
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) to[i] = start[i + before];
  for (int64_t k = 1; k <= before; ++k) {
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) to[i] += start[i + before - k];
  }
}

template <class T>
TAPEGRAD_INLINE void spread_row(T* gx, const T* g, const PoolParameters& p,
                                const PoolInside& inside, const PoolRange& d, const PoolRange& h) {
  alignas(64) T columns[kColumns];
  for (int64_t first = 0; first < p.windows.in[2]; first += kColumns) {
    const int64_t width = smaller(kColumns, p.windows.in[2] - first);
    spread_columns(g, columns, p, inside, d, h, first, width);
    for_lines(p.windows, d, h, [&](int64_t, int64_t line) __attribute__((always_inline)) {
      T* cell = gx + line + first;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) cell[i] += columns[i];
    });
  }
}

/// The adjoint of average_by_columns.
template <class T>
TAPEGRAD_INLINE void spread_by_columns(T* gx, const T* g, const PoolParameters& p,
                                       const PoolRange& d, const PoolRange& h,
                                       const PoolRow& ranges) {
  const PoolWindows& s = p.windows;
  alignas(64) T sums[kLine];
#pragma omp simd
  for (int64_t i = 0; i < s.in[2]; ++i) sums[i] = T(0);
  for (int64_t j = 0; j < s.out[2]; ++j) {
    const PoolWindow window(d, h, ranges[j]);
    const T share = g[j] / window.divisor<T>(p);
    for (int64_t k = window.w.from; k < window.w.to; ++k) sums[window.w.start + k] += share;
  }
  for_lines(s, d, h, [&](int64_t, int64_t line) __attribute__((always_inline)) {
    T* to = gx + line;
#pragma omp simd
    for (int64_t i = 0; i < s.in[2]; ++i) to[i] += sums[i];
  });
}

template <class T>
void spread_plane(T* gx, const T* g, const PoolParameters& p, const PoolRow& ranges) {
  const PoolWindows& s = p.windows;
  const int64_t in = volume(s.in);
  const bool one_by_one = pool_by_lines(s) || s.kernel[2] > kWidest;
  const PoolInside inside(s);
#pragma omp simd
  for (int64_t i = 0; i < in; ++i) gx[i] = T(0);
  for (int64_t row = 0; row < s.out[0] * s.out[1]; ++row) {
    const T* from = g + row * s.out[2];
    const PoolRange d = pool_range(s, 0, row / s.out[1]), h = pool_range(s, 1, row % s.out[1]);
    if (!one_by_one) {
      spread_row(gx, from, p, inside, d, h);
      continue;
    }
    if (s.in[2] <= kLine) {
      spread_by_columns(gx, from, p, d, h, ranges);
      continue;
    }
    for (int64_t ow = 0; ow < s.out[2]; ++ow) {
      const PoolWindow window(d, h, ranges[ow]);
      const T share = from[ow] / window.divisor<T>(p);
      for_lines(s, d, h, [&](int64_t, int64_t line) __attribute__((always_inline)) {
        T* cell = gx + line + window.w.start;
        for (int64_t kw = window.w.from; kw < window.w.to; ++kw) cell[kw] += share;
      });
    }
  }
}

template <class T>
void spread_planes(T* gx, const T* g, const PoolParameters& p) {
  const int64_t in = volume(p.windows.in);
  const T divisor = static_cast<T>(p.divisor ? p.divisor : in);
  core::parallel_for(0, p.planes, tasks_of(in),
                     [=](int64_t begin, int64_t end) __attribute__((noinline)) {
                       for (int64_t t = begin; t < end; ++t) {
                         const T share = g[t] / divisor;
                         T* to = gx + t * in;
#pragma omp simd
                         for (int64_t i = 0; i < in; ++i) to[i] = share;
                       }
                     });
}

template <class T>
TAPEGRAD_INLINE void spread_pairs_row(T* to, const T* g, T divisor, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    const T share = g[j] / divisor;
    to[2 * j] = share;
    to[2 * j + 1] = share;
  }
}

template <class T>
void spread_pairs(T* gx, const T* g, const PoolParameters& p) {
  const PairRows rows(p);
  const T divisor = p.divisor ? static_cast<T>(p.divisor) : T(4);
  core::parallel_for(0, rows.count, tasks_of(rows.width * 4),
                     [&](int64_t begin, int64_t end) __attribute__((noinline)) {
                       for (int64_t r = begin; r < end; ++r) {
                         const T* from = g + r * rows.width;
                         const bool whole = rows.spreads_whole(r, end);
                         for (int half = 0; half < 2; ++half) {
                           T* to = gx + rows.origin(r) + half * rows.pitch;
                           for (int64_t j = 0; j < rows.width; j += kBlock) {
                             if (whole)
                               spread_pairs_row(to + 2 * j, from + j, divisor, kBlock);
                             else
                               spread_pairs_row(to + 2 * j, from + j, divisor,
                                                smaller(kBlock, rows.width - j));
                           }
                           rows.clear_end(to);
                         }
                         rows.clear_last(gx, r);
                       }
                     });
}

template <class T>
void run_spread(void* const* data, const PoolParameters& p) {
  T* gx = static_cast<T*>(data[0]);
  const T* g = static_cast<const T*>(data[1]);
  const PoolWindows& s = p.windows;
  if (p.channels > 1) {
    spread_last(gx, g, p);
  } else if (is_whole(s)) {
    spread_planes(gx, g, p);
  } else if (is_pairs(s)) {
    spread_pairs(gx, g, p);
  } else {
    const PoolRow ranges(s);
    core::parallel_for(0, p.planes, tasks_of(volume(s.in)),
                       [&](int64_t begin, int64_t end) __attribute__((noinline)) {
                         for (int64_t t = begin; t < end; ++t)
                           spread_plane(gx + t * volume(s.in), g + t * volume(s.out), p, ranges);
                       });
  }
}

}  // namespace

void pool_average(void* const* data, const PoolParameters& p) {
  if (p.is_double)
    run_average<double>(data, p);
  else
    run_average<float>(data, p);
}

void pool_spread(void* const* data, const PoolParameters& p) {
  if (p.is_double)
    run_spread<double>(data, p);
  else
    run_spread<float>(data, p);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
