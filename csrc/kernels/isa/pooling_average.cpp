// Averages over windows, and their adjoint: each gradient is spread over its window.
#include "core/parallel.h"
#include "kernels/isa/lanes.h"
#include "kernels/isa/pooling_windows.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 16384;
constexpr int64_t kBlock = 16;  // channels, or outputs of a row of pairs, at a time
constexpr int64_t kRow = 64;    // outputs of any other row at a time

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
  const auto run = [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const T* from = x + t / rows * volume(s.in) * c;
      for (int64_t ow = 0; ow < s.out[2]; ++ow) {
        const PoolWindow window(s, t % rows / s.out[1], t % s.out[1], ow);
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

/// The outputs first ... first + count - 1 of a row for which element kw of the window is inside,
/// counted from `first`.
struct Inside {
  int64_t from, to;
  Inside(const PoolWindows& s, int64_t kw, int64_t first, int64_t count) {
    const int64_t shift = kw - s.padding[2], stride = s.stride[2];
    const int64_t least = shift < 0 ? divided_up(-shift, stride) - first : 0;
    const int64_t most = s.in[2] > shift ? divided_up(s.in[2] - shift, stride) - first : 0;
    from = least > 0 ? least : 0;
    to = smaller(most, count);
  }
};

template <class T, int64_t kStride>
TAPEGRAD_INLINE void average_row(const T* x, T* y, const PoolParameters& p, const PoolRange& d,
                                 const PoolRange& h, int64_t first, int64_t count) {
  const PoolWindows& s = p.windows;
  const int64_t stride = kStride ? kStride : s.stride[2];
  alignas(64) T sum[kRow];
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) sum[j] = T(0);
  for_lines(s, d, h, [&](int64_t, int64_t line) {
    for (int64_t kw = 0; kw < s.kernel[2]; ++kw) {
      const Inside inside(s, kw, first, count);
      const T* value = x + line + first * stride + kw - s.padding[2];
#pragma omp simd
      for (int64_t j = inside.from; j < inside.to; ++j) sum[j] += value[j * stride];
    }
  });
  for (int64_t j = 0; j < count; ++j)
    y[j] = sum[j] / PoolWindow(d, h, pool_range(s, 2, first + j)).divisor<T>(p);
}

/// The sum over one window of long lines; a window of whole lines is one line itself.
template <class T>
TAPEGRAD_INLINE T sum_of_lines(const T* x, const PoolWindows& s, const PoolWindow& window) {
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
  for_lines(s, window.d, window.h, [&](int64_t, int64_t line) {
    sum += fold_line<Sum<T>>(x + line + window.w.start + window.w.from, length);
  });
  return sum;
}

template <class T>
void average_plane(const T* x, T* y, const PoolParameters& p) {
  const PoolWindows& s = p.windows;
  const bool lines = pool_by_lines(s);
  for (int64_t row = 0; row < s.out[0] * s.out[1]; ++row) {
    const int64_t od = row / s.out[1], oh = row % s.out[1], to = row * s.out[2];
    if (lines) {
      for (int64_t ow = 0; ow < s.out[2]; ++ow) {
        const PoolWindow window(s, od, oh, ow);
        y[to + ow] = sum_of_lines(x, s, window) / window.divisor<T>(p);
      }
      continue;
    }
    const PoolRange d = pool_range(s, 0, od), h = pool_range(s, 1, oh);
    for (int64_t first = 0; first < s.out[2]; first += kRow) {
      const int64_t count = smaller(kRow, s.out[2] - first);
      if (s.stride[2] == 1)
        average_row<T, 1>(x, y + to + first, p, d, h, first, count);
      else if (s.stride[2] == 2)
        average_row<T, 2>(x, y + to + first, p, d, h, first, count);
      else
        average_row<T, 0>(x, y + to + first, p, d, h, first, count);
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
  core::parallel_for(0, rows.count, tasks_of(rows.width * 4), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* upper = x + rows.origin(r);
      T* to = y + r * rows.width;
      const bool whole = rows.reads_whole(r) && rows.writes_whole(r, end);
      for (int64_t j = 0; j < rows.width; j += kBlock) {
        const T* lower = upper + rows.pitch;
        if (whole)
          average_of_pairs(upper + 2 * j, lower + 2 * j, to + j, divisor, kBlock);
        else
          average_of_pairs(upper + 2 * j, lower + 2 * j, to + j, divisor,
                           smaller(kBlock, rows.width - j));
      }
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
  } else if (is_pairs(s)) {
    average_pairs(x, y, p);
  } else {
    core::parallel_for(0, p.planes, tasks_of(volume(s.out) * volume(s.kernel)),
                       [&](int64_t begin, int64_t end) {
                         for (int64_t t = begin; t < end; ++t)
                           average_plane(x + t * volume(s.in), y + t * volume(s.out), p);
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
  const auto strip = [&](int64_t sample, int64_t first, int64_t width) {
    alignas(64) T share[kStrip];
    T* to = gx + sample * in * c + first;
    if (!tiled) clear_strip(to, in, c, width);
    for (int64_t o = 0; o < volume(s.out); ++o) {
      const int64_t row = o / s.out[2], from = (sample * volume(s.out) + o) * c + first;
      const PoolWindow window(s, row / s.out[1], row % s.out[1], o % s.out[2]);
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
                     [&](int64_t begin, int64_t end) {
                       for (int64_t t = begin; t < end; ++t) {
                         const int64_t first = t % strips * kStrip;
                         strip(t / strips, first, smaller(kStrip, c - first));
                       }
                     });
}

template <class T, int64_t kStride>
TAPEGRAD_INLINE void spread_row(T* gx, const T* g, const PoolParameters& p, const PoolRange& d,
                                const PoolRange& h, int64_t first, int64_t count) {
  const PoolWindows& s = p.windows;
  const int64_t stride = kStride ? kStride : s.stride[2];
  alignas(64) T share[kRow];
  for (int64_t j = 0; j < count; ++j)
    share[j] = g[j] / PoolWindow(d, h, pool_range(s, 2, first + j)).divisor<T>(p);
  for_lines(s, d, h, [&](int64_t, int64_t line) {
    for (int64_t kw = 0; kw < s.kernel[2]; ++kw) {
      const Inside inside(s, kw, first, count);
      T* cell = gx + line + first * stride + kw - s.padding[2];
#pragma omp simd
      for (int64_t j = inside.from; j < inside.to; ++j) cell[j * stride] += share[j];
    }
  });
}

template <class T>
void spread_plane(T* gx, const T* g, const PoolParameters& p) {
  const PoolWindows& s = p.windows;
  const int64_t in = volume(s.in);
  const bool lines = pool_by_lines(s);
#pragma omp simd
  for (int64_t i = 0; i < in; ++i) gx[i] = T(0);
  for (int64_t row = 0; row < s.out[0] * s.out[1]; ++row) {
    const int64_t od = row / s.out[1], oh = row % s.out[1], from = row * s.out[2];
    const PoolRange d = pool_range(s, 0, od), h = pool_range(s, 1, oh);
    if (lines) {
      for (int64_t ow = 0; ow < s.out[2]; ++ow) {
        const PoolWindow window(d, h, pool_range(s, 2, ow));
        const T share = g[from + ow] / window.divisor<T>(p);
        for_lines(s, d, h, [&](int64_t, int64_t line) {
          T* cell = gx + line + window.w.start;
#pragma omp simd
          for (int64_t kw = window.w.from; kw < window.w.to; ++kw) cell[kw] += share;
        });
      }
      continue;
    }
    for (int64_t first = 0; first < s.out[2]; first += kRow) {
      const int64_t count = smaller(kRow, s.out[2] - first);
      if (s.stride[2] == 1)
        spread_row<T, 1>(gx, g + from + first, p, d, h, first, count);
      else
        spread_row<T, 0>(gx, g + from + first, p, d, h, first, count);
    }
  }
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
  core::parallel_for(0, rows.count, tasks_of(rows.width * 4), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* from = g + r * rows.width;
      const bool whole = rows.spreads_whole(r, end);
      for (int half = 0; half < 2; ++half) {
        T* to = gx + rows.origin(r) + half * rows.pitch;
        for (int64_t j = 0; j < rows.width; j += kBlock) {
          if (whole)
            spread_pairs_row(to + 2 * j, from + j, divisor, kBlock);
          else
            spread_pairs_row(to + 2 * j, from + j, divisor, smaller(kBlock, rows.width - j));
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
  } else if (is_pairs(s)) {
    spread_pairs(gx, g, p);
  } else {
    core::parallel_for(0, p.planes, tasks_of(volume(s.in)), [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t)
        spread_plane(gx + t * volume(s.in), g + t * volume(s.out), p);
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
