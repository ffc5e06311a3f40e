// Loops of kernels/pixels.h: whole rows, which one task writes.
#include "kernels/pixels.h"

#include "core/parallel.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 32768;  // elements that are worth a thread

constexpr int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/// Calls f(T()) with a type of that size.
template <class F>
void by_size(int size, F f) {
  if (size == 1)
    f(uint8_t());
  else if (size == 2)
    f(uint16_t());
  else if (size == 4)
    f(uint32_t());
  else
    f(uint64_t());
}

template <class T>
void copy_row(T* to, const T* from, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) to[i] = from[i];
}

template <class T>
void run_shuffle(T* out, const T* in, const ShufflePixels& p) {
  const int64_t rows = p.rows, r = p.r, w = p.w,
                part = p.h * w;  // elements between the parts of a row
  core::parallel_for(0, p.planes * rows * p.h, larger(1, kGrain / larger(1, r * w)),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t t = begin; t < end; ++t) {
                         const int64_t y = t / rows % p.h, i = t % rows, plane = t / (rows * p.h);
                         const int64_t split = ((plane * rows + i) * r * p.h + y) * w,
                                       joined = t * r * w;
                         if (p.back) {
                           T* to = out + split;
                           const T* from = in + joined;
                           for (int64_t j = 0; j < r; ++j) {
                             for (int64_t x = 0; x < w; ++x) to[j * part + x] = from[x * r + j];
                           }
                         } else if (r == 2) {
                           T* to = out + joined;
                           const T *a = in + split, *b = a + part;
                           for (int64_t x = 0; x < w; ++x) {
                             to[2 * x] = a[x];
                             to[2 * x + 1] = b[x];
                           }
                         } else {
                           T* to = out + joined;
                           for (int64_t j = 0; j < r; ++j) {
                             for (int64_t x = 0; x < w; ++x)
                               to[x * r + j] = in[split + j * part + x];
                           }
                         }
                       }
                     });
}

template <class T>
struct Padding {
  const PadImages& p;
  const int32_t* columns;
  T value;

  T at(const T* row, int64_t x) const { return columns[x] < 0 ? value : row[columns[x]]; }
  void row(T* out, const T* in) const {
    if (!in) {
      for (int64_t x = 0; x < p.w_out; ++x) out[x] = value;
      return;
    }
    for (int64_t x = 0; x < p.middle; ++x) out[x] = at(in, x);
    if (p.count > 0) copy_row(out + p.middle, in + columns[p.middle], p.count);
    for (int64_t x = p.middle + p.count; x < p.w_out; ++x) out[x] = at(in, x);
  }
};

template <class T>
void run_pad(T* out, const T* in, const int32_t* tables, const PadImages& p) {
  const int32_t *planes = tables, *rows = planes + p.d_out;
  const Padding<T> padding{p, rows + p.h_out, static_cast<T>(p.value)};
  core::parallel_for(0, p.outer * p.d_out * p.h_out, larger(1, kGrain / larger(1, p.w_out)),
                     [&](int64_t begin, int64_t end) {
                       // Counted on: divisions would cost more than a short row.
                       int64_t y = begin % p.h_out, z = begin / p.h_out % p.d_out;
                       int64_t image = begin / (p.h_out * p.d_out);
                       for (int64_t t = begin; t < end; ++t) {
                         const bool inside = rows[y] >= 0 && planes[z] >= 0;
                         const int64_t row = (image * p.d_in + planes[z]) * p.h_in + rows[y];
                         padding.row(out + t * p.w_out, inside ? in + row * p.w_in : nullptr);
                         if (++y < p.h_out) continue;
                         y = 0;
                         if (++z < p.d_out) continue;
                         z = 0;
                         ++image;
                       }
                     });
}

/// Adds a padded row to the row it came from, or begins that row with it.
template <class T>
void gather_row(T* out, const T* in, const int32_t* columns, const GatherPadding& p, bool begin) {
  if (begin) {
    for (int64_t x = 0; x < p.w_out; ++x) out[x] = T(0);
  }
  if (p.count > 0) {
    T* to = out + columns[p.middle];
    const T* from = in + p.middle;
#pragma omp simd
    for (int64_t x = 0; x < p.count; ++x) to[x] += from[x];
  }
  for (int64_t x = 0; x < p.middle; ++x) out[columns[x]] += in[x];
  for (int64_t x = p.middle + p.count; x < p.w_in; ++x) out[columns[x]] += in[x];
}

template <class T>
void run_gather(T* out, const T* in, const int32_t* tables, const GatherPadding& p) {
  const int32_t *plane_starts = tables, *planes = plane_starts + p.d_out + 1;
  const int32_t *row_starts = planes + p.d_in, *rows = row_starts + p.h_out + 1;
  const int32_t* columns = rows + p.h_in;
  core::parallel_for(0, p.outer * p.d_out * p.h_out, larger(1, kGrain / larger(1, p.w_in)),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t t = begin; t < end; ++t) {
                         const int64_t y = t % p.h_out, z = t / p.h_out % p.d_out;
                         const T* image = in + t / (p.h_out * p.d_out) * p.d_in * p.h_in * p.w_in;
                         T* to = out + t * p.w_out;
                         bool first = true;
                         for (int32_t i = plane_starts[z]; i < plane_starts[z + 1]; ++i) {
                           for (int32_t j = row_starts[y]; j < row_starts[y + 1]; ++j) {
                             gather_row(to, image + (planes[i] * p.h_in + rows[j]) * p.w_in,
                                        columns, p, first);
                             first = false;
                           }
                         }
                         for (int64_t x = 0; first && x < p.w_out; ++x) to[x] = T(0);
                       }
                     });
}

}  // namespace

void shuffle_pixels(void* const* data, const ShufflePixels& p) {
  by_size(p.item_size, [&](auto type) {
    using T = decltype(type);
    run_shuffle(static_cast<T*>(data[0]), static_cast<const T*>(data[1]), p);
  });
}

void pad_images(void* const* data, const PadImages& p) {
  by_size(p.item_size, [&](auto type) {
    using T = decltype(type);
    run_pad(static_cast<T*>(data[0]), static_cast<const T*>(data[1]),
            static_cast<const int32_t*>(data[2]), p);
  });
}

void gather_padding(void* const* data, const GatherPadding& p) {
  const auto* tables = static_cast<const int32_t*>(data[2]);
  if (p.is_double)
    run_gather(static_cast<double*>(data[0]), static_cast<const double*>(data[1]), tables, p);
  else
    run_gather(static_cast<float*>(data[0]), static_cast<const float*>(data[1]), tables, p);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
