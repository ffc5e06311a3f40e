// Kernels that walk along rows of contiguous (a, n, c) tensors or over lines: running extrema with
// their places, running log-sum-exp, linear recurrences, counts in bins and runs of equal elements.
// Rows are shared by the threads, never cut, so that one thread and many do the same.
#pragma once

#include "kernels/sort.h"

namespace tapegrad::kernels {

/// Running extremum: operands values, indices, x. The later of equal ones; NaN stays.
struct RunningExtremum {
  RowShape shape;
  DType dtype = DType::Float32;
  bool smallest = false;
};
void running_extremum(void* const* data, const RunningExtremum& p);

/// log(exp(x[0]) + ... + exp(x[k])): operands out, x (float32 or float64).
struct RunningLogSumExp {
  RowShape shape;
  bool is_double = false;
};
void running_logsumexp(void* const* data, const RunningLogSumExp& p);

/// y[k] = g[k] + a[k] * y[k - 1], or with `reverse` y[k + 1] instead; operands y, g, a (float32 or
/// float64).
struct LinearRecurrence {
  RowShape shape;
  bool is_double = false;
  bool reverse = false;
};
void linear_recurrence(void* const* data, const LinearRecurrence& p);

/// Runs of equal elements of a line; operands groups (int64, written: the number of runs), values
/// (the first of each run), places (int64: the run of each element, null or by `order`), counts
/// (int64 or null), x, order (int64 or null: where x[i] came from).
struct FindRuns {
  DType dtype = DType::Float32;
  int64_t count = 0;
};
void find_runs(void* const* data, const FindRuns& p);

/// Counts (or sums of weights) of the values 0, 1, ...; operands out (int64 or float64, zeros), x
/// (int64), weights (float64 or null).
struct CountValues {
  int64_t count = 0;
};
void count_values(void* const* data, const CountValues& p);

/// Counts of equal bins of [low, high], whose last one is closed; operands out (int64, zeros), x
/// (float32 or float64).
struct CountBins {
  int64_t count = 0;
  int64_t bins = 1;
  double low = 0;
  double high = 1;
  bool is_double = false;
};
void count_bins(void* const* data, const CountBins& p);

}  // namespace tapegrad::kernels
