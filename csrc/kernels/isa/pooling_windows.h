// Windows of pooling, one dimension at a time, and places in them. For instruction-set objects
// only; knows no element types.
#pragma once

#include <cstdint>

#include "kernels/isa/vector_math_core.h"
#include "kernels/pooling.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

/// The elements start + k * dilation of a dimension, from <= k < to.
struct PoolRange {
  int64_t start, from, to;
};

TAPEGRAD_INLINE int64_t divided_up(int64_t a, int64_t b) { return b == 1 ? a : (a + b - 1) / b; }

TAPEGRAD_INLINE PoolRange pool_range(const PoolWindows& w, int d, int64_t o) {
  if (w.adaptive) {
    const int64_t start = o * w.in[d] / w.out[d];
    return {start, 0, ((o + 1) * w.in[d] + w.out[d] - 1) / w.out[d] - start};
  }
  const int64_t start = o * w.stride[d] - w.padding[d];
  const int64_t from = start >= 0 ? 0 : divided_up(-start, w.dilation[d]);
  const int64_t end = divided_up(w.in[d] - start, w.dilation[d]);
  return {start, from, end < w.kernel[d] ? end : w.kernel[d]};
}

/// What an average counts in one dimension.
TAPEGRAD_INLINE int64_t pool_count(const PoolParameters& p, int d, const PoolRange& r) {
  const PoolWindows& w = p.windows;
  if (!p.count_padding || w.adaptive) return r.to - r.from;
  const int64_t end = r.start + w.kernel[d], limit = w.in[d] + w.padding[d];
  return (end < limit ? end : limit) - r.start;
}

/// A window: its ranges, and the element that they start from.
struct PoolWindow {
  PoolRange d, h, w;
  TAPEGRAD_INLINE PoolWindow(const PoolRange& depth, const PoolRange& height,
                             const PoolRange& width)
      : d(depth), h(height), w(width) {}
  TAPEGRAD_INLINE PoolWindow(const PoolWindows& s, int64_t od, int64_t oh, int64_t ow)
      : d(pool_range(s, 0, od)), h(pool_range(s, 1, oh)), w(pool_range(s, 2, ow)) {}
  TAPEGRAD_INLINE int64_t origin(const PoolWindows& s) const {
    return (d.start * s.in[1] + h.start) * s.in[2] + w.start;
  }
  TAPEGRAD_INLINE int32_t first_place(const PoolWindows& s) const {
    return static_cast<int32_t>((d.from * s.kernel[1] + h.from) * s.kernel[2] + w.from);
  }
  template <class T>
  TAPEGRAD_INLINE T divisor(const PoolParameters& p) const {
    if (p.divisor != 0) return static_cast<T>(p.divisor);
    return static_cast<T>(pool_count(p, 0, d) * pool_count(p, 1, h) * pool_count(p, 2, w));
  }
};

/// The ranges of a row's windows, worked out once: those of adaptive windows take divisions.
class PoolRow {
 public:
  explicit PoolRow(const PoolWindows& s) : s_(s), known_(s.out[2] < kTable ? s.out[2] : kTable) {
    for (int64_t j = 0; j < known_; ++j) table_[j] = pool_range(s, 2, j);
  }
  TAPEGRAD_INLINE PoolRange operator[](int64_t j) const {
    return j < known_ ? table_[j] : pool_range(s_, 2, j);
  }

 private:
  static constexpr int64_t kTable = 64;
  const PoolWindows& s_;
  int64_t known_;
  PoolRange table_[kTable];
};

/// From a place in a window to the distance from the window's origin.
class PoolOffsets {
 public:
  explicit PoolOffsets(const PoolWindows& s) : s_(s) {
    const int64_t volume = s.kernel[0] * s.kernel[1] * s.kernel[2];
    known_ = volume < kTable ? volume : kTable;
    for (int64_t k = 0; k < known_; ++k) table_[k] = compute(k);
  }
  TAPEGRAD_INLINE int64_t operator[](int64_t place) const {
    return place < known_ ? table_[place] : compute(place);
  }

 private:
  static constexpr int64_t kTable = 256;
  int64_t compute(int64_t place) const {
    const int64_t w = place % s_.kernel[2], h = place / s_.kernel[2] % s_.kernel[1];
    const int64_t d = place / s_.kernel[2] / s_.kernel[1];
    return (d * s_.dilation[0] * s_.in[1] + h * s_.dilation[1]) * s_.in[2] + w * s_.dilation[2];
  }
  const PoolWindows& s_;
  int64_t known_;
  int64_t table_[kTable];
};

TAPEGRAD_INLINE int64_t volume(const int64_t (&sizes)[3]) { return sizes[0] * sizes[1] * sizes[2]; }

/// f(kd, kh, the element at w.start of that line) for each line of a window.
template <class F>
TAPEGRAD_INLINE void for_lines(const PoolWindows& s, const PoolRange& d, const PoolRange& h, F f) {
  for (int64_t kd = d.from; kd < d.to; ++kd) {
    for (int64_t kh = h.from; kh < h.to; ++kh) {
      const int64_t plane = d.start + kd * s.dilation[0], row = h.start + kh * s.dilation[1];
      f((kd * s.kernel[1] + kh) * s.kernel[2], (plane * s.in[1] + row) * s.in[2]);
    }
  }
}

/// The outputs of a row whose windows lie inside of it, from <= j < to; the others are at its ends.
struct PoolInside {
  int64_t from, to;
  explicit PoolInside(const PoolWindows& s) {
    const int64_t stride = s.stride[2], reach = (s.kernel[2] - 1) * s.dilation[2];
    const int64_t room = s.in[2] + s.padding[2] - reach;
    const int64_t first = divided_up(s.padding[2], stride), last = divided_up(room, stride);
    from = first < s.out[2] ? first : s.out[2];
    to = room <= 0 || last < from ? from : (last < s.out[2] ? last : s.out[2]);
  }
};

/// Whether a row of outputs is too short, or its windows too uneven, to be worked on side by side.
TAPEGRAD_INLINE bool pool_by_lines(const PoolWindows& s) {
  return s.dilation[2] == 1 && (s.adaptive || (s.kernel[2] >= 8 && s.out[2] < 8));
}

/// Whether each element is in one window, and none between windows or in padding.
TAPEGRAD_INLINE bool is_tiled(const PoolWindows& s) {
  bool tiled = !s.adaptive;
  for (int d = 0; d < 3; ++d) {
    tiled = tiled && s.stride[d] == s.kernel[d] && s.padding[d] == 0 &&
            (s.dilation[d] == 1 || s.kernel[d] == 1) && s.out[d] * s.kernel[d] == s.in[d];
  }
  return tiled;
}

/// Whether there is one window, the whole plane.
TAPEGRAD_INLINE bool is_whole(const PoolWindows& s) { return is_tiled(s) && volume(s.out) == 1; }

/// Whether the windows are 2 by 2, side by side, inside of the planes.
TAPEGRAD_INLINE bool is_pairs(const PoolWindows& s) {
  bool pairs = !s.adaptive && s.kernel[0] == 1 && s.stride[0] == 1 && s.padding[0] == 0;
  for (int d = 1; d < 3; ++d) {
    pairs = pairs && s.kernel[d] == 2 && s.stride[d] == 2 && s.padding[d] == 0 &&
            s.dilation[d] == 1 && 2 * s.out[d] <= s.in[d];
  }
  return pairs;
}

/// Note [Whole vectors in short rows]
/// A row of 12 outputs is no whole vector, and what is left after whole vectors costs more than
/// these. So rows are worked on in pieces of 16, past their end: what is read there belongs to the
/// next row, and what is written there is overwritten with the next row, which the same thread
/// does next. The last rows of a thread, and those at the end of the memory, are cut exactly.
struct PairRows {
  static constexpr int64_t kPiece = 16;
  int64_t count, width, height, pitch, plane, plane_rows, end, rounded;
  explicit PairRows(const PoolParameters& p)
      : count(p.planes * p.windows.out[0] * p.windows.out[1]),
        width(p.windows.out[2]),
        height(p.windows.out[1]),
        pitch(p.windows.in[2]),
        plane(p.windows.in[1] * p.windows.in[2]),
        plane_rows(p.windows.in[1]),
        end(p.planes * p.windows.in[0] * plane),
        rounded((width + kPiece - 1) / kPiece * kPiece) {}
  /// The first element of the pairs of output row r.
  TAPEGRAD_INLINE int64_t origin(int64_t r) const {
    return r / height * plane + r % height * 2 * pitch;
  }
  TAPEGRAD_INLINE bool reads_whole(int64_t r) const {
    return origin(r) + pitch + 2 * rounded <= end;
  }
  TAPEGRAD_INLINE bool writes_whole(int64_t r, int64_t rows_end) const {
    return (r + 1) * width + (rounded - width) <= rows_end * width;
  }
  /// For gradients, which are written in pairs: up to where this thread's next rows begin to end.
  TAPEGRAD_INLINE bool spreads_whole(int64_t r, int64_t rows_end) const {
    return writes_whole(r, rows_end) && r + 1 < rows_end &&
           origin(r) + pitch + 2 * rounded <= origin(rows_end - 1);
  }
  /// Zeros for the element that an odd row has left.
  template <class T>
  TAPEGRAD_INLINE void clear_end(T* row) const {
    for (int64_t i = 2 * width; i < pitch; ++i) row[i] = T(0);
  }
  /// Zeros for the row that an odd plane has left, after its last row of outputs.
  template <class T>
  TAPEGRAD_INLINE void clear_last(T* gx, int64_t r) const {
    if (r % height != height - 1) return;
    T* last = gx + r / height * plane;
    for (int64_t i = 2 * height * pitch; i < plane_rows * pitch; ++i) last[i] = T(0);
  }
};

/// Zeros in `width` channels of `pixels`, `channels` apart.
template <class T>
TAPEGRAD_INLINE void clear_strip(T* to, int64_t pixels, int64_t channels, int64_t width) {
  for (int64_t i = 0; i < pixels; ++i) {
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) to[i * channels + j] = T(0);
  }
}

/// From the first element of a window inside of its row to its last, both counted from the row's
/// window at element 0.
TAPEGRAD_INLINE int64_t last_element(const PoolWindows& s, const PoolRange& d, const PoolRange& h) {
  const int64_t plane = d.start + (d.to - 1) * s.dilation[0];
  const int64_t row = h.start + (h.to - 1) * s.dilation[1];
  return (plane * s.in[1] + row) * s.in[2] + (s.kernel[2] - 1) * s.dilation[2];
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
