// Separable resampling, blocks as columns, sums over bags. Every output element is written by one
// task, in a fixed order, so that the results do not depend on the number of threads.
#include "kernels/resample.h"

#include "core/parallel.h"
#include "kernels/isa/vector_math.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 16384;  // multiplications that are worth a thread

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
constexpr int64_t grain_for(int64_t each) { return larger(1, kGrain / larger(1, each)); }

// --- resampling ----------------------------------------------------------------------------------

template <class T>
struct Taps {
  const int32_t* start;
  const int32_t* count;
  const T* weight;  // weight[k * size + i]
  int64_t size;
  int64_t taps;

  static Taps of(const void* ranges, const void* weights, int64_t size, int64_t taps) {
    const auto* r = static_cast<const int32_t*>(ranges);
    return {r, r ? r + size : nullptr, static_cast<const T*>(weights), size, taps};
  }
  bool any() const { return start != nullptr; }
  /// Whether every index has two neighbours.
  bool twos(int64_t most) const {
    bool all = most == 2;
    for (int64_t i = 0; all && i < size; ++i) all = count[i] == 2;
    return all;
  }
  /// Whether index i is a copy of its one neighbour.
  bool alone(int64_t i) const { return count[i] == 1 && weight[i] == T(1); }
};

/// out = sum over k of weight k times row k.
template <class T>
void blend_rows(T* out, const T* first, int64_t stride, int64_t n, const Taps<T>& taps, int64_t i) {
  const int64_t count = taps.count[i];
  const T* w = taps.weight + i;
  if (count == 0) {
    for (int64_t j = 0; j < n; ++j) out[j] = T(0);
    return;
  }
  const T w0 = w[0];
  if (count == 1) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) out[j] = w0 * first[j];
    return;
  }
  const T w1 = w[taps.size];
  const T* second = first + stride;
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) out[j] = w0 * first[j] + w1 * second[j];
  int64_t k = 2;
  for (; k + 1 < count; k += 2) {
    const T a = w[k * taps.size], b = w[(k + 1) * taps.size];
    const T *x = first + k * stride, *y = x + stride;
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) out[j] += a * x[j] + b * y[j];
  }
  if (k == count) return;
  const T a = w[k * taps.size];
  const T* x = first + k * stride;
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) out[j] += a * x[j];
}

/// One row along itself, single numbers: gathers. Places beyond an index's count are not used,
/// whatever stands there.
template <class T>
void blend_columns(T* out, const T* in, int64_t n_in, int64_t step, const Taps<T>& taps) {
  const int32_t *start = taps.start, *count = taps.count;
  const int64_t n = taps.size;
  const auto last = static_cast<int32_t>(n_in - 1), apart = static_cast<int32_t>(step);
  const T* w = taps.weight;
  if (taps.taps == 1) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) out[i] = count[i] > 0 ? w[i] * in[start[i]] : T(0);
    return;
  }
  const T* w1 = w + n;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const int32_t at = start[i];
    const int32_t next = at + apart < last ? at + apart : last;
    const T a = w[i] * in[at], b = w1[i] * in[next];
    out[i] = (count[i] > 0 ? a : T(0)) + (count[i] > 1 ? b : T(0));
  }
  for (int64_t k = 2; k < taps.taps; ++k) {
    const T* wk = w + k * n;
    const auto tap = static_cast<int32_t>(k);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
      const int32_t at = start[i] + tap * apart;
      const T a = wk[i] * in[at < last ? at : last];
      out[i] += count[i] > tap ? a : T(0);
    }
  }
}

template <class T>
struct Resampler {
  const Resample& p;
  Taps<T> rows;
  Taps<T> columns;
  T* scratch;
  bool fours = false;  // two rows of two pixels make one

  /// A row of columns_in into one of columns_out.
  void along(T* out, const T* in) const {
    if (p.inner == 1) {
      blend_columns(out, in, p.columns_in, p.step, columns);
      return;
    }
    for (int64_t i = 0; i < p.columns_out; ++i) {
      const T* from = in + columns.start[i] * p.inner;
      T* to = out + i * p.inner;
      if (columns.alone(i)) {
#pragma omp simd
        for (int64_t j = 0; j < p.inner; ++j) to[j] = from[j];
      } else {
        blend_rows(to, from, p.inner, p.inner, columns, i);
      }
    }
  }

  /// One pixel of two rows of two: what both maps do, at once.
  void four(T* out, const T* in, int64_t wide_in, int64_t y, int64_t x) const {
    const T a0 = rows.weight[y], a1 = rows.weight[rows.size + y];
    const T b0 = columns.weight[x], b1 = columns.weight[columns.size + x];
    const T *upper = in + columns.start[x] * p.inner, *lower = upper + wide_in;
    const T *upper1 = upper + p.inner, *lower1 = lower + p.inner;
#pragma omp simd
    for (int64_t j = 0; j < p.inner; ++j)
      out[j] = b0 * (a0 * upper[j] + a1 * lower[j]) + b1 * (a0 * upper1[j] + a1 * lower1[j]);
  }

  /// Rows begin ... end - 1 of one result.
  void rows_of(T* out, const T* in, int64_t begin, int64_t end, T* room) const {
    const int64_t wide_in = p.columns_in * p.inner, wide_out = p.columns_out * p.inner;
    if (!rows.any()) {
      for (int64_t i = begin; i < end; ++i) along(out + i * wide_out, in + i * wide_in);
    } else if (!columns.any()) {
      for (int64_t i = begin; i < end; ++i)
        blend_rows(out + i * wide_out, in + rows.start[i] * wide_in, wide_in, wide_in, rows, i);
    } else if (fours) {
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t x = 0; x < p.columns_out; ++x)
          four(out + i * wide_out + x * p.inner, in + rows.start[i] * wide_in, wide_in, i, x);
      }
    } else if (p.rows_first) {
      for (int64_t i = begin; i < end; ++i) {
        const T* from = in + rows.start[i] * wide_in;
        if (!rows.alone(i)) {
          blend_rows(room, from, wide_in, wide_in, rows, i);
          from = room;
        }
        along(out + i * wide_out, from);
      }
    } else {
      const int64_t from = rows.start[begin];
      int64_t to = from;
      for (int64_t i = begin; i < end; ++i) to = larger(to, rows.start[i] + rows.count[i]);
      for (int64_t r = from; r < to; ++r) along(room + (r - from) * wide_out, in + r * wide_in);
      for (int64_t i = begin; i < end; ++i)
        blend_rows(out + i * wide_out, room + (rows.start[i] - from) * wide_out, wide_out, wide_out,
                   rows, i);
    }
  }

  void run(T* out, const T* in) const {
    const int64_t blocks = (p.rows_out + p.block - 1) / p.block;
    const int64_t size_in = p.rows_in * p.columns_in * p.inner;
    const int64_t size_out = p.rows_out * p.columns_out * p.inner;
    const int64_t each = smaller(p.block, p.rows_out) * p.columns_out * p.inner *
                         larger(1, p.row_taps) * larger(1, p.column_taps);
    core::parallel_for(0, p.outer * blocks, grain_for(each), [&](int64_t begin, int64_t end) {
      T* room = scratch ? scratch + core::thread_index() * p.scratch : nullptr;
      for (int64_t t = begin; t < end; ++t) {
        const int64_t o = t / blocks, first = t % blocks * p.block;
        rows_of(out + o * size_out, in + o * size_in, first, smaller(first + p.block, p.rows_out),
                room);
      }
    });
  }
};

template <class T>
void run_resample(void* const* data, const Resample& p) {
  Resampler<T> work{p, Taps<T>::of(data[3], data[4], p.rows_out, p.row_taps),
                    Taps<T>::of(data[5], data[6], p.columns_out, p.column_taps),
                    static_cast<T*>(data[2])};
  work.fours = p.inner > 1 && p.columns_out <= p.columns_in && work.rows.twos(p.row_taps) &&
               work.columns.twos(p.column_taps);
  work.run(static_cast<T*>(data[0]), static_cast<const T*>(data[1]));
}

// --- blocks --------------------------------------------------------------------------------------

/// The positions x for which 0 <= x * stride + offset < size.
struct Span {
  int64_t begin;
  int64_t end;
};
inline Span inside(int64_t offset, int64_t stride, int64_t size, int64_t positions) {
  const int64_t begin = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  const int64_t end = offset >= size ? 0 : (size - 1 - offset) / stride + 1;
  return {smaller(begin, positions), larger(smaller(begin, positions), smaller(end, positions))};
}

template <class T>
void run_unfold(T* columns, const T* images, const Blocks& p) {
  const int64_t length = p.oh * p.ow, taps = p.kh * p.kw;
  core::parallel_for(0, p.planes * taps, grain_for(length), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t oy = r % taps / p.kw * p.dilation_h - p.padding_h;
      const int64_t ox = r % p.kw * p.dilation_w - p.padding_w;
      const Span xs = inside(ox, p.stride_w, p.w, p.ow);
      const T* image = images + r / taps * p.h * p.w;
      for (int64_t y = 0; y < p.oh; ++y) {
        T* out = columns + r * length + y * p.ow;
        const int64_t row = y * p.stride_h + oy;
        const bool empty = row < 0 || row >= p.h;
        const T* in = image + (empty ? 0 : row * p.w + ox);
        const int64_t from = empty ? p.ow : xs.begin, to = empty ? p.ow : xs.end;
        for (int64_t x = 0; x < from; ++x) out[x] = T(0);
        if (p.stride_w == 1) {
#pragma omp simd
          for (int64_t x = from; x < to; ++x) out[x] = in[x];
        } else {
          for (int64_t x = from; x < to; ++x) out[x] = in[x * p.stride_w];
        }
        for (int64_t x = to; x < p.ow; ++x) out[x] = T(0);
      }
    }
  });
}

template <class T>
void fold_plane(T* image, const T* columns, const Blocks& p) {
  for (int64_t i = 0; i < p.h * p.w; ++i) image[i] = T(0);
  for (int64_t k = 0; k < p.kh * p.kw; ++k) {
    const int64_t oy = k / p.kw * p.dilation_h - p.padding_h;
    const int64_t ox = k % p.kw * p.dilation_w - p.padding_w;
    const Span ys = inside(oy, p.stride_h, p.h, p.oh), xs = inside(ox, p.stride_w, p.w, p.ow);
    for (int64_t y = ys.begin; y < ys.end; ++y) {
      const T* in = columns + (k * p.oh + y) * p.ow;
      T* out = image + (y * p.stride_h + oy) * p.w + ox;
      if (p.stride_w == 1) {
#pragma omp simd
        for (int64_t x = xs.begin; x < xs.end; ++x) out[x] += in[x];
      } else {
        for (int64_t x = xs.begin; x < xs.end; ++x) out[x * p.stride_w] += in[x];
      }
    }
  }
}

template <class T>
void run_fold(T* images, const T* columns, const Blocks& p) {
  const int64_t size = p.kh * p.kw * p.oh * p.ow;
  core::parallel_for(0, p.planes, grain_for(size), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) fold_plane(images + i * p.h * p.w, columns + i * size, p);
  });
}

// --- bags ----------------------------------------------------------------------------------------

template <class T>
void sum_of_bag(T* out, const T* table, const int64_t* rows, const T* factors, int64_t count,
                int64_t width) {
  for (int64_t j = 0; j < width; ++j) out[j] = T(0);
  int64_t k = 0;
  for (; k + 1 < count; k += 2) {
    const T *x = table + rows[k] * width, *y = table + rows[k + 1] * width;
    const T a = factors ? factors[k] : T(1), b = factors ? factors[k + 1] : T(1);
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) out[j] = (out[j] + a * x[j]) + b * y[j];
  }
  if (k == count) return;
  const T* x = table + rows[k] * width;
  const T a = factors ? factors[k] : T(1);
#pragma omp simd
  for (int64_t j = 0; j < width; ++j) out[j] += a * x[j];
}

template <class F>
void for_bags(const Bags& p, F f) {
  const int64_t each = p.width * (1 + p.entries / larger(1, p.count));
  core::parallel_for(0, p.count, grain_for(each), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) f(b);
  });
}

template <class T>
void run_bag_sum(void* const* data, const Bags& p) {
  T* out = static_cast<T*>(data[0]);
  const T* table = static_cast<const T*>(data[1]);
  const auto* rows = static_cast<const int64_t*>(data[2]);
  const auto* starts = static_cast<const int64_t*>(data[3]);
  const T* factors = static_cast<const T*>(data[4]);
  for_bags(p, [&](int64_t b) {
    const int64_t from = starts[b];
    sum_of_bag(out + b * p.width, table, rows + from, factors ? factors + from : nullptr,
               starts[b + 1] - from, p.width);
  });
}

template <class T>
void run_bag_argmax(void* const* data, const Bags& p) {
  auto* out = static_cast<int64_t*>(data[0]);
  const T* table = static_cast<const T*>(data[1]);
  const auto* rows = static_cast<const int64_t*>(data[2]);
  const auto* starts = static_cast<const int64_t*>(data[3]);
  for_bags(p, [&](int64_t b) {
    int64_t* best = out + b * p.width;
    const bool empty = starts[b] == starts[b + 1];
    for (int64_t j = 0; j < p.width; ++j) best[j] = empty ? -1 : rows[starts[b]];
    for (int64_t k = starts[b] + 1; k < starts[b + 1]; ++k) {
      const T* x = table + rows[k] * p.width;
      for (int64_t j = 0; j < p.width; ++j) {
        if (x[j] > table[best[j] * p.width + j]) best[j] = rows[k];
      }
    }
  });
}

}  // namespace

void resample(void* const* data, const Resample& p) {
  if (p.is_double)
    run_resample<double>(data, p);
  else
    run_resample<float>(data, p);
}

void unfold_blocks(void* const* data, const Blocks& p) {
  if (p.is_double)
    run_unfold(static_cast<double*>(data[0]), static_cast<const double*>(data[1]), p);
  else
    run_unfold(static_cast<float*>(data[0]), static_cast<const float*>(data[1]), p);
}

void fold_blocks(void* const* data, const Blocks& p) {
  if (p.is_double)
    run_fold(static_cast<double*>(data[0]), static_cast<const double*>(data[1]), p);
  else
    run_fold(static_cast<float*>(data[0]), static_cast<const float*>(data[1]), p);
}

void bag_sum(void* const* data, const Bags& p) {
  if (p.is_double)
    run_bag_sum<double>(data, p);
  else
    run_bag_sum<float>(data, p);
}

void bag_argmax(void* const* data, const Bags& p) {
  if (p.is_double)
    run_bag_argmax<double>(data, p);
  else
    run_bag_argmax<float>(data, p);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
