// Losses over the margins between the scores of one row, and their gradients.
#include "kernels/loss_margin.h"

#include "core/parallel.h"
#include "kernels/isa/lanes.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 16384;

int64_t rows_of(int64_t row) { return row > 0 ? (kGrain + row - 1) / row : 1; }

template <class T>
TAPEGRAD_INLINE T hinge(T gap, bool squared) {
  const T open = gap < T(0) ? T(0) : gap;
  return squared ? open * open : open;
}

/// The sum of what scores lack of a margin. A function of its own: each copy takes kilobytes.
template <class T>
[[gnu::noinline]] T sum_open(const T* row, T base, bool squared, int64_t n) {
  return fold_values<Sum<T>>(
      n, [=](int64_t j) __attribute__((always_inline)) { return hinge(base + row[j], squared); });
}

template <class T>
void run_margin(void* const* data, const MultiMarginParameters& p) {
  T* losses = static_cast<T*>(data[0]);
  const T* x = static_cast<const T*>(data[1]);
  const auto* target = static_cast<const int64_t*>(data[2]);
  const T* weight = static_cast<const T*>(data[3]);
  const T margin = static_cast<T>(p.margin), classes = static_cast<T>(p.classes);
  const bool squared = p.squared;
  core::parallel_for(0, p.rows, rows_of(p.classes), [=, &p](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * p.classes;
      const int64_t t = target[r];
      const T base = margin - row[t];
      const T total =
          sum_open(row, base, squared, t) + sum_open(row + t + 1, base, squared, p.classes - t - 1);
      losses[r] = (weight ? weight[t] * total : total) / classes;
    }
  });
}

template <class T>
void run_margin_gradient(void* const* data, const MultiMarginParameters& p) {
  T* out = static_cast<T*>(data[0]);
  const T* g = static_cast<const T*>(data[1]);
  const T* x = static_cast<const T*>(data[2]);
  const auto* target = static_cast<const int64_t*>(data[3]);
  const T* weight = static_cast<const T*>(data[4]);
  const T margin = static_cast<T>(p.margin);
  const T scale = static_cast<T>(p.scale / static_cast<double>(p.classes));
  const bool squared = p.squared;
  core::parallel_for(0, p.rows, rows_of(p.classes), [=, &p](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * p.classes;
      T* to = out + r * p.classes;
      const int64_t t = target[r];
      const T base = margin - row[t];
      const T share = scale * g[p.single_g ? 0 : r], factor = weight ? share * weight[t] : share;
#pragma omp simd
      for (int64_t j = 0; j < p.classes; ++j) {
        const T gap = base + row[j];
        const T slope = squared ? T(2) * gap * factor : factor;
        to[j] = gap > T(0) ? slope : T(0);
      }
      to[t] = T(0);
      to[t] = -fold_line<Sum<T>>(to, p.classes);
    }
  });
}

/// Copies a row, with -infinity in the places of its targets; their number.
template <class T>
int64_t without_targets(const T* row, const int64_t* target, int64_t classes, T* rest) {
  for (int64_t j = 0; j < classes; ++j) rest[j] = row[j];
  int64_t count = 0;
  for (; count < classes && target[count] >= 0; ++count) rest[target[count]] = -kInfinity<T>;
  return count;
}

template <class T>
void run_labels(void* const* data, const MultiLabelParameters& p) {
  T* losses = static_cast<T*>(data[0]);
  const T* x = static_cast<const T*>(data[1]);
  const auto* target = static_cast<const int64_t*>(data[2]);
  T* scratch = static_cast<T*>(data[3]);
  core::parallel_for(0, p.rows, rows_of(p.classes), [=, &p](int64_t begin, int64_t end) {
    T* rest = scratch + core::thread_index() * p.classes;
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * p.classes;
      const int64_t* labels = target + r * p.classes;
      const int64_t count = without_targets(row, labels, p.classes, rest);
      T total = T(0);
      for (int64_t k = 0; k < count; ++k) {
        const T base = T(1) - row[labels[k]];
        total += sum_open(rest, base, false, p.classes);
      }
      losses[r] = total / static_cast<T>(p.classes);
    }
  });
}

template <class T>
void run_labels_gradient(void* const* data, const MultiLabelParameters& p) {
  T* out = static_cast<T*>(data[0]);
  const T* g = static_cast<const T*>(data[1]);
  const T* x = static_cast<const T*>(data[2]);
  const auto* target = static_cast<const int64_t*>(data[3]);
  T* scratch = static_cast<T*>(data[4]);
  const T scale = static_cast<T>(p.scale / static_cast<double>(p.classes));
  core::parallel_for(0, p.rows, rows_of(p.classes), [=, &p](int64_t begin, int64_t end) {
    T* rest = scratch + core::thread_index() * p.classes;
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * p.classes;
      const int64_t* labels = target + r * p.classes;
      T* to = out + r * p.classes;
      const int64_t count = without_targets(row, labels, p.classes, rest);
      for (int64_t j = 0; j < p.classes; ++j) to[j] = T(0);
      for (int64_t k = 0; k < count; ++k) {
        const T base = T(1) - row[labels[k]];
        T open = T(0);  // counts: exact in any order
#pragma omp simd reduction(+ : open)
        for (int64_t j = 0; j < p.classes; ++j) {
          const T one = base + rest[j] > T(0) ? T(1) : T(0);
          to[j] += one;
          open += one;
        }
        to[labels[k]] -= open;
      }
      const T factor = scale * g[p.single_g ? 0 : r];
#pragma omp simd
      for (int64_t j = 0; j < p.classes; ++j) to[j] *= factor;
    }
  });
}

}  // namespace

void multi_margin(void* const* data, const MultiMarginParameters& p) {
  if (p.is_double)
    run_margin<double>(data, p);
  else
    run_margin<float>(data, p);
}

void multi_margin_gradient(void* const* data, const MultiMarginParameters& p) {
  if (p.is_double)
    run_margin_gradient<double>(data, p);
  else
    run_margin_gradient<float>(data, p);
}

void multilabel_margin(void* const* data, const MultiLabelParameters& p) {
  if (p.is_double)
    run_labels<double>(data, p);
  else
    run_labels<float>(data, p);
}

void multilabel_margin_gradient(void* const* data, const MultiLabelParameters& p) {
  if (p.is_double)
    run_labels_gradient<double>(data, p);
  else
    run_labels_gradient<float>(data, p);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
