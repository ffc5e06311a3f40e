// Kernels of order: sorting rows, their first elements, one order statistic, the most frequent one.
// A tensor is seen as contiguous (a, n, c); rows run along n. Equal elements keep their order, NaN
// is the greatest of all; results do not depend on the number of threads.
#pragma once

#include <cstdint>

#include "tapegrad/dtype.h"

namespace tapegrad::kernels {

struct RowShape {
  int64_t a = 1;
  int64_t n = 1;
  int64_t c = 1;
  int64_t rows() const { return a * c; }
};

/// The first k of each row in order; operands values (may be null), indices (may be null), x,
/// scratch. With k < n they are selected; then `ordered` says whether their order matters.
struct SortRows {
  RowShape shape;
  DType dtype = DType::Float32;
  int64_t k = 1;
  bool descending = false;
  bool ordered = true;
};

/// Which element of a row RowStatistic looks for.
enum class Rank : uint8_t {
  Kth,        // the k-th smallest, from 1 on
  Median,     // the lower median; the first NaN if there is one
  NanMedian,  // the lower median of the numbers
  Mode,       // the smallest of the most frequent ones; the last place where it stands
};

/// One element of each row; operands values, indices, x, scratch.
struct RowStatistic {
  RowShape shape;
  DType dtype = DType::Float32;
  Rank rank = Rank::Kth;
  int64_t k = 1;
};

/// Bytes of scratch memory that the two kernels above need.
int64_t sort_scratch(const RowShape& shape, DType dtype);

void sort_rows(void* const* data, const SortRows& p);
void row_statistic(void* const* data, const RowStatistic& p);

}  // namespace tapegrad::kernels
