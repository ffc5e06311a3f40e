// Maxima of windows, and the two linear maps that follow from where they are: gradients are
// scattered there, second derivatives gathered from there. See Note [Places in a window].
#include "core/parallel.h"
#include "kernels/isa/lanes.h"
#include "kernels/isa/pooling_windows.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 16384;
constexpr int64_t kBlock = 16;  // channels, or outputs of a row, at a time

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t tasks_of(int64_t elements) {
  return elements >= kGrain ? 1 : kGrain / (elements < 1 ? 1 : elements);
}

template <class T>
TAPEGRAD_INLINE int is_nan(T x) {
  return int(x != x);  // NOLINT(misc-redundant-expression)
}

/// As in PyTorch: the first of equal ones, but the last NaN.
template <class T>
TAPEGRAD_INLINE bool takes(T value, T best) {
  return bool(int(value > best) | is_nan(value));
}

// --- channels side by side -----------------------------------------------------------------------

template <class T, int64_t kWidth>
TAPEGRAD_INLINE void max_pixel(const T* x, T* y, int32_t* places, const PoolParameters& p,
                               const PoolWindow& window, int64_t rest) {
  const PoolWindows& s = p.windows;
  const int64_t width = kWidth ? kWidth : rest, step = s.dilation[2] * p.channels;
  alignas(64) T best[kBlock];
  alignas(64) int32_t at[kBlock];
  const int32_t first = window.first_place(s);
#pragma omp simd
  for (int64_t j = 0; j < width; ++j) {
    best[j] = -kInfinity<T>;
    at[j] = first;
  }
  for_lines(s, window.d, window.h, [&](int64_t place, int64_t line) {
    const T* from = x + (line + window.w.start) * p.channels;
    for (int64_t kw = window.w.from; kw < window.w.to; ++kw) {
      const T* value = from + kw * step;
      const auto k = static_cast<int32_t>(place + kw);
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) {
        const bool take = takes(value[j], best[j]);
        best[j] = take ? value[j] : best[j];
        at[j] = take ? k : at[j];
      }
    }
  });
#pragma omp simd
  for (int64_t j = 0; j < width; ++j) y[j] = best[j];
  if (!places) return;
#pragma omp simd
  for (int64_t j = 0; j < width; ++j) places[j] = at[j];
}

template <class T>
void max_last(const T* x, T* y, int32_t* places, const PoolParameters& p) {
  const PoolWindows& s = p.windows;
  const int64_t rows = s.out[0] * s.out[1], c = p.channels;
  const PoolRow row(s);
  const auto run = [&](int64_t begin, int64_t end) __attribute__((noinline)) {
    for (int64_t t = begin; t < end; ++t) {
      const T* from = x + t / rows * volume(s.in) * c;
      const PoolRange d = pool_range(s, 0, t % rows / s.out[1]), h = pool_range(s, 1, t % s.out[1]);
      for (int64_t ow = 0; ow < s.out[2]; ++ow) {
        const PoolWindow window(d, h, row[ow]);
        const int64_t to = (t * s.out[2] + ow) * c;
        int64_t j = 0;
        for (; j + kBlock <= c; j += kBlock)
          max_pixel<T, kBlock>(from + j, y + to + j, places ? places + to + j : nullptr, p, window,
                               0);
        if (j < c)
          max_pixel<T, 0>(from + j, y + to + j, places ? places + to + j : nullptr, p, window,
                          c - j);
      }
    }
  };
  core::parallel_for(0, p.planes * rows, tasks_of(s.out[2] * c * volume(s.kernel)), run);
}

// --- planes one after the other ------------------------------------------------------------------

/// One output, its window written out.
template <class T>
[[gnu::noinline]] void max_cell(const T* x, T* y, int32_t* places, const PoolWindows& s,
                                const PoolWindow& window) {
  constexpr int64_t kLong = 32;
  T best = -kInfinity<T>;
  int32_t at = window.first_place(s);
  const int64_t length = window.w.to - window.w.from;
  const auto line_of = [&](int64_t place, int64_t line) __attribute__((always_inline)) {
    const T* from = x + line + window.w.start;
    if (length >= kLong && s.dilation[2] == 1) {
      const T top = fold_line<Max<T>>(from + window.w.from, length);
      if (!takes(top, best)) return;
    }
    for (int64_t kw = window.w.from; kw < window.w.to; ++kw) {
      const T value = from[kw * s.dilation[2]];
      if (!takes(value, best)) continue;
      best = value;
      at = static_cast<int32_t>(place + kw);
    }
  };
  for_lines(s, window.d, window.h, line_of);
  *y = best;
  if (places) *places = at;
}

/// The maxima of the columns of a row's windows, side by side, and after them those of the windows.
/// Of equal ones the first line wins, then the first column; of NaNs the last.
template <class T>
struct MaxColumns {
  static constexpr int64_t kWidest = 256;
  alignas(64) T best[kWidest];
  alignas(64) int32_t at[kWidest];

  static bool suit(const PoolWindows& s) {
    return pool_by_lines(s) && s.in[2] <= kWidest && s.kernel[0] * s.kernel[1] > 1;
  }

  TAPEGRAD_INLINE void add_block(const T* line, int32_t place, int64_t from, int64_t n) {
    if (n < kBlock) {
      for (int64_t j = from; j < from + n; ++j) add(line, place, j);
      return;
    }
#pragma omp simd
    for (int64_t j = from; j < from + kBlock; ++j) add(line, place, j);
  }
  TAPEGRAD_INLINE void add(const T* line, int32_t place, int64_t j) {
    const bool take = takes(line[j], best[j]);
    best[j] = take ? line[j] : best[j];
    at[j] = take ? place : at[j];
  }

  /// See Note [Whole vectors in short rows].
  [[gnu::noinline]] void fill(const T* x, const T* end, const PoolWindows& s, const PoolRange& d,
                              const PoolRange& h) {
    const int64_t n = s.in[2], rounded = (n + kBlock - 1) / kBlock * kBlock;
    const auto first = static_cast<int32_t>((d.from * s.kernel[1] + h.from) * s.kernel[2]);
    for (int64_t j = 0; j < rounded; ++j) {
      best[j] = -kInfinity<T>;
      at[j] = first;
    }
    for_lines(s, d, h, [&](int64_t place, int64_t line) __attribute__((always_inline)) {
      const bool whole = x + line + rounded <= end;
      for (int64_t j = 0; j < n; j += kBlock)
        add_block(x + line, static_cast<int32_t>(place), j, whole ? kBlock : n - j);
    });
  }

  TAPEGRAD_INLINE void window(T* y, int32_t* place, const PoolRange& w) const {
    const T* values = best + w.start;
    const int32_t* lines = at + w.start;
    T top = values[w.from];
    int32_t line = lines[w.from], column = static_cast<int32_t>(w.from);
    for (int64_t k = w.from + 1; k < w.to; ++k) {
      const T value = values[k];
      const int nan = is_nan(value), later = int(!is_nan(top)) | int(lines[k] >= line);
      const int tie = int(value == top) & int(lines[k] < line);
      const bool take = bool(int(value > top) | tie | (nan & later));
      top = take ? value : top;
      line = take ? lines[k] : line;
      column = take ? static_cast<int32_t>(k) : column;
    }
    *y = top;
    if (place) *place = line + column;
  }
};

template <class T>
void max_plane_by_columns(const T* x, const T* end, T* y, int32_t* places, const PoolWindows& s,
                          const PoolRow& ranges) {
  MaxColumns<T> columns;
  for (int64_t row = 0; row < s.out[0] * s.out[1]; ++row) {
    const int64_t to = row * s.out[2];
    columns.fill(x, end, s, pool_range(s, 0, row / s.out[1]), pool_range(s, 1, row % s.out[1]));
    for (int64_t j = 0; j < s.out[2]; ++j)
      columns.window(y + to + j, places ? places + to + j : nullptr, ranges[j]);
  }
}

/// `n` outputs of a row, up to kBlock, whose windows lie inside of it; `x` is the plane, shifted to
/// the first window. As many as make a whole vector are computed, and the rest dropped.
template <class T, int64_t kStride, bool kPlaces>
TAPEGRAD_INLINE void max_chunk(const T* x, T* y, int32_t* places, const PoolWindows& s,
                               const PoolRange& d, const PoolRange& h, int64_t n) {
  alignas(64) T best[kBlock];
  alignas(64) int32_t at[kBlock];
  const int64_t stride = kStride ? kStride : s.stride[2];
  const auto first = static_cast<int32_t>((d.from * s.kernel[1] + h.from) * s.kernel[2]);
#pragma omp simd
  for (int64_t j = 0; j < kBlock; ++j) {
    best[j] = -kInfinity<T>;
    at[j] = first;
  }
  for_lines(s, d, h, [&](int64_t place, int64_t line) __attribute__((always_inline)) {
    for (int64_t kw = 0; kw < s.kernel[2]; ++kw) {
      const T* value = x + line + kw * s.dilation[2];
      const auto k = static_cast<int32_t>(place + kw);
#pragma omp simd
      for (int64_t j = 0; j < kBlock; ++j) {
        const bool take = takes(value[j * stride], best[j]);
        best[j] = take ? value[j * stride] : best[j];
        if constexpr (kPlaces) at[j] = take ? k : at[j];
      }
    }
  });
  if (n == kBlock) {
#pragma omp simd
    for (int64_t j = 0; j < kBlock; ++j) y[j] = best[j];
#pragma omp simd
    for (int64_t j = 0; j < (kPlaces ? kBlock : 0); ++j) places[j] = at[j];
    return;
  }
  for (int64_t j = 0; j < n; ++j) y[j] = best[j];
  for (int64_t j = 0; kPlaces && j < n; ++j) places[j] = at[j];
}

/// The windows of a row that lie inside of it differ only by where they start. Returns from which
/// output on they are to be computed one by one: see Note [Whole vectors in short rows].
template <class T, int64_t kStride, bool kPlaces>
[[gnu::noinline]] int64_t max_inside(const T* x, const T* end, T* y, int32_t* places,
                                     const PoolWindows& s, const PoolInside& inside,
                                     const PoolRange& d, const PoolRange& h) {
  const int64_t stride = kStride ? kStride : s.stride[2];
  const int64_t reach = last_element(s, d, h) + (kBlock - 1) * stride;
  int64_t j = inside.from;
  for (; j < inside.to; j += kBlock) {
    const T* from = x + j * stride - s.padding[2];
    if (from + reach >= end) return j;
    max_chunk<T, kStride, kPlaces>(from, y + j, kPlaces ? places + j : nullptr, s, d, h,
                                   smaller(kBlock, inside.to - j));
  }
  return inside.to;
}

template <class T, bool kPlaces>
auto max_by_stride(const PoolWindows& s) {
  return s.stride[2] == 1   ? &max_inside<T, 1, kPlaces>
         : s.stride[2] == 2 ? &max_inside<T, 2, kPlaces>
                            : &max_inside<T, 0, kPlaces>;
}

template <class T>
void max_plane(const T* x, const T* end, T* y, int32_t* places, const PoolWindows& s,
               const PoolRow& ranges) {
  const bool one_by_one = pool_by_lines(s);
  const PoolInside inside(s);
  for (int64_t row = 0; row < s.out[0] * s.out[1]; ++row) {
    const int64_t to = row * s.out[2];
    int32_t* at = places ? places + to : nullptr;
    const PoolRange d = pool_range(s, 0, row / s.out[1]), h = pool_range(s, 1, row % s.out[1]);
    int64_t known = inside.from;  // the outputs from inside.from to here
    if (!one_by_one) {
      const auto run = at ? max_by_stride<T, true>(s) : max_by_stride<T, false>(s);
      known = run(x, end, y + to, at, s, inside, d, h);
    }
    for (int64_t j = 0; j < s.out[2]; ++j) {
      if (j == inside.from) j = known;
      if (j == s.out[2]) break;
      max_cell(x, y + to + j, at ? at + j : nullptr, s, PoolWindow(d, h, ranges[j]));
    }
  }
}

template <class T>
TAPEGRAD_INLINE void max_of_pairs(const T* upper, const T* lower, T* y, int32_t* places,
                                  int64_t n) {
  if (places) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
      T best = upper[2 * j];
      int32_t at = 0;
      at = takes(upper[2 * j + 1], best) ? 1 : at;
      best = takes(upper[2 * j + 1], best) ? upper[2 * j + 1] : best;
      at = takes(lower[2 * j], best) ? 2 : at;
      best = takes(lower[2 * j], best) ? lower[2 * j] : best;
      at = takes(lower[2 * j + 1], best) ? 3 : at;
      best = takes(lower[2 * j + 1], best) ? lower[2 * j + 1] : best;
      y[j] = best;
      places[j] = at;
    }
  } else {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
      const T a = Max<T>::combine(upper[2 * j], upper[2 * j + 1]);
      const T b = Max<T>::combine(lower[2 * j], lower[2 * j + 1]);
      y[j] = Max<T>::combine(a, b);
    }
  }
}

/// Windows of 2 by 2 side by side. See Note [Whole vectors in short rows].
template <class T>
void max_pairs(const T* x, T* y, int32_t* places, const PoolParameters& p) {
  const PairRows rows(p);
  core::parallel_for(0, rows.count, tasks_of(rows.width * 4),
                     [&](int64_t begin, int64_t end) __attribute__((noinline)) {
                       for (int64_t r = begin; r < end; ++r) {
                         const T* upper = x + rows.origin(r);
                         const int64_t to = r * rows.width;
                         const bool whole = rows.reads_whole(r) && rows.writes_whole(r, end);
                         for (int64_t j = 0; j < rows.width; j += kBlock) {
                           int32_t* at = places ? places + to + j : nullptr;
                           if (whole)
                             max_of_pairs(upper + 2 * j, upper + rows.pitch + 2 * j, y + to + j, at,
                                          kBlock);
                           else
                             max_of_pairs(upper + 2 * j, upper + rows.pitch + 2 * j, y + to + j, at,
                                          smaller(kBlock, rows.width - j));
                         }
                       }
                     });
}

template <class T>
void run_max(void* const* data, const PoolParameters& p) {
  T* y = static_cast<T*>(data[0]);
  auto* places = static_cast<int32_t*>(data[1]);
  const T* x = static_cast<const T*>(data[2]);
  const PoolWindows& s = p.windows;
  if (p.channels > 1) {
    max_last(x, y, places, p);
  } else if (is_pairs(s)) {
    max_pairs(x, y, places, p);
  } else {
    const int64_t out = volume(s.out);
    const PoolRow ranges(s);
    const auto plane = MaxColumns<T>::suit(s) ? &max_plane_by_columns<T> : &max_plane<T>;
    core::parallel_for(0, p.planes, tasks_of(out * volume(s.kernel)),
                       [&](int64_t begin, int64_t end) __attribute__((noinline)) {
                         for (int64_t t = begin; t < end; ++t)
                           plane(x + t * volume(s.in), x + p.planes * volume(s.in), y + t * out,
                                 places ? places + t * out : nullptr, s, ranges);
                       });
  }
}

// --- the gradient: each goes to where the maximum was --------------------------------------------

/// to[j] = g[j] where the place is k, else 0.
template <class T>
TAPEGRAD_INLINE void put_where(T* to, const T* g, const int32_t* places, int32_t k, int64_t width) {
  int64_t j = 0;
  for (; j + kBlock <= width; j += kBlock) {
#pragma omp simd
    for (int64_t i = 0; i < kBlock; ++i) to[j + i] = places[j + i] == k ? g[j + i] : T(0);
  }
#pragma omp simd
  for (int64_t i = j; i < width; ++i) to[i] = places[i] == k ? g[i] : T(0);
}

/// `width` channels of one sample.
template <class T>
void scatter_strip(T* to, const T* g, const int32_t* places, const PoolWindows& s,
                   const PoolOffsets& offsets, const PoolRow& row, int64_t c, int64_t width) {
  constexpr int64_t kFew = 4;  // places, for which to look at each of them is fastest
  const bool by_place = is_tiled(s) && volume(s.kernel) <= kFew;
  if (!by_place) clear_strip(to, volume(s.in), c, width);
  for (int64_t line = 0; line < s.out[0] * s.out[1]; ++line) {
    const PoolRange d = pool_range(s, 0, line / s.out[1]), h = pool_range(s, 1, line % s.out[1]);
    for (int64_t ow = 0; ow < s.out[2]; ++ow) {
      const int64_t o = line * s.out[2] + ow;
      const PoolWindow window(d, h, row[ow]);
      T* origin = to + window.origin(s) * c;
      const T* from = g + o * c;
      const int32_t* at = places + o * c;
      if (by_place) {
        for (int64_t k = 0; k < volume(s.kernel); ++k)
          put_where(origin + offsets[k] * c, from, at, static_cast<int32_t>(k), width);
      } else {
        for (int64_t j = 0; j < width; ++j) origin[offsets[at[j]] * c + j] += from[j];
      }
    }
  }
}

template <class T>
void scatter_last(T* gx, const T* g, const int32_t* places, const PoolParameters& p) {
  constexpr int64_t kStrip = 64;
  const PoolWindows& s = p.windows;
  const PoolOffsets offsets(s);
  const PoolRow row(s);
  const int64_t c = p.channels, strips = (c + kStrip - 1) / kStrip, in = volume(s.in);
  core::parallel_for(0, p.planes * strips, tasks_of(in * smaller(c, kStrip)),
                     [&](int64_t begin, int64_t end) __attribute__((noinline)) {
                       for (int64_t t = begin; t < end; ++t) {
                         const int64_t first = t % strips * kStrip;
                         const int64_t from = t / strips * volume(s.out) * c + first;
                         scatter_strip(gx + t / strips * in * c + first, g + from, places + from, s,
                                       offsets, row, c, smaller(kStrip, c - first));
                       }
                     });
}

template <class T>
void scatter_plane(T* gx, const T* g, const int32_t* places, const PoolWindows& s,
                   const PoolOffsets& offsets, const PoolRow& ranges) {
  const int64_t in = volume(s.in);
#pragma omp simd
  for (int64_t i = 0; i < in; ++i) gx[i] = T(0);
  for (int64_t row = 0; row < s.out[0] * s.out[1]; ++row) {
    const int64_t from = row * s.out[2];
    const PoolRange d = pool_range(s, 0, row / s.out[1]), h = pool_range(s, 1, row % s.out[1]);
    const int64_t origin = PoolWindow(d, h, PoolRange{0, 0, 0}).origin(s);
    for (int64_t o = 0; o < s.out[2]; ++o)
      gx[origin + ranges[o].start + offsets[places[from + o]]] += g[from + o];
  }
}

/// Both elements of each pair of one row: those of place and of place + 1.
template <class T>
TAPEGRAD_INLINE void scatter_pairs_row(T* to, const T* g, const int32_t* places, int32_t place,
                                       int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    to[2 * j] = places[j] == place ? g[j] : T(0);
    to[2 * j + 1] = places[j] == place + 1 ? g[j] : T(0);
  }
}

template <class T>
void scatter_pairs(T* gx, const T* g, const int32_t* places, const PoolParameters& p) {
  const PairRows rows(p);
  core::parallel_for(0, rows.count, tasks_of(rows.width * 4),
                     [&](int64_t begin, int64_t end) __attribute__((noinline)) {
                       for (int64_t r = begin; r < end; ++r) {
                         const int64_t from = r * rows.width;
                         const bool whole = rows.spreads_whole(r, end);
                         for (int half = 0; half < 2; ++half) {
                           T* to = gx + rows.origin(r) + half * rows.pitch;
                           for (int64_t j = 0; j < rows.width; j += kBlock) {
                             if (whole)
                               scatter_pairs_row(to + 2 * j, g + from + j, places + from + j,
                                                 2 * half, kBlock);
                             else
                               scatter_pairs_row(to + 2 * j, g + from + j, places + from + j,
                                                 2 * half, smaller(kBlock, rows.width - j));
                           }
                           rows.clear_end(to);
                         }
                         rows.clear_last(gx, r);
                       }
                     });
}

template <class T>
void run_scatter(void* const* data, const PoolParameters& p) {
  T* gx = static_cast<T*>(data[0]);
  const T* g = static_cast<const T*>(data[1]);
  const auto* places = static_cast<const int32_t*>(data[2]);
  const PoolWindows& s = p.windows;
  if (p.channels > 1) {
    scatter_last(gx, g, places, p);
  } else if (is_pairs(s)) {
    scatter_pairs(gx, g, places, p);
  } else {
    const PoolOffsets offsets(s);
    const PoolRow ranges(s);
    core::parallel_for(0, p.planes, tasks_of(volume(s.in)),
                       [&](int64_t begin, int64_t end) __attribute__((noinline)) {
                         for (int64_t t = begin; t < end; ++t)
                           scatter_plane(gx + t * volume(s.in), g + t * volume(s.out),
                                         places + t * volume(s.out), s, offsets, ranges);
                       });
  }
}

/// f(output, position in the plane, first element of the sample, channel) for each output.
template <class F>
TAPEGRAD_INLINE void for_places(const int32_t* places, const PoolParameters& p, F f) {
  const PoolWindows& s = p.windows;
  const PoolOffsets offsets(s);
  const int64_t rows = s.out[0] * s.out[1], c = p.channels;
  const auto run = [&](int64_t begin, int64_t end) __attribute__((noinline)) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t ow = 0; ow < s.out[2]; ++ow) {
        const int64_t origin = PoolWindow(s, t % rows / s.out[1], t % s.out[1], ow).origin(s);
        const int64_t at = (t * s.out[2] + ow) * c;
        for (int64_t j = 0; j < c; ++j)
          f(at + j, origin + offsets[places[at + j]], t / rows * volume(s.in) * c, j);
      }
    }
  };
  core::parallel_for(0, p.planes * rows, tasks_of(s.out[2] * c), run);
}

template <class T>
void run_gather(void* const* data, const PoolParameters& p) {
  T* y = static_cast<T*>(data[0]);
  const T* x = static_cast<const T*>(data[1]);
  for_places(static_cast<const int32_t*>(data[2]), p,
             [=](int64_t out, int64_t position, int64_t sample, int64_t channel) {
               y[out] = x[sample + position * p.channels + channel];
             });
}

}  // namespace

void pool_max(void* const* data, const PoolParameters& p) {
  if (p.is_double)
    run_max<double>(data, p);
  else
    run_max<float>(data, p);
}

void pool_scatter(void* const* data, const PoolParameters& p) {
  if (p.is_double)
    run_scatter<double>(data, p);
  else
    run_scatter<float>(data, p);
}

void pool_gather(void* const* data, const PoolParameters& p) {
  if (p.is_double)
    run_gather<double>(data, p);
  else
    run_gather<float>(data, p);
}

void pool_positions(void* const* data, const PoolParameters& p) {
  auto* positions = static_cast<int64_t*>(data[0]);
  for_places(static_cast<const int32_t*>(data[1]), p,
             [=](int64_t out, int64_t position, int64_t, int64_t) { positions[out] = position; });
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
