// Where the largest or smallest element of each row is.
#include "core/parallel.h"
#include "kernels/isa/lanes.h"
#include "kernels/reduce.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 16384;

constexpr int64_t at_least_one(int64_t x) { return x < 1 ? 1 : x; }
constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/// Whether `b`, which comes later, replaces `a`.
template <class Op, class T>
TAPEGRAD_INLINE bool replaces(T b, T a) {
  constexpr bool largest = __is_same(Op, Max<T>);
  const int better = static_cast<int>(largest ? b > a : b < a) | static_cast<int>(is_nan(b));
  return (better & static_cast<int>(!is_nan(a))) != 0;
}

/// The first place of the extremum: its value is found in lanes, then looked for.
template <class Op, class T>
int64_t find_in_line(const T* x, int64_t n) {
  if (n < kLanes) {
    T best = x[0];
    int64_t at = 0;
    for (int64_t i = 1; i < n; ++i) {
      const bool better = replaces<Op>(x[i], best);
      best = better ? x[i] : best;
      at = better ? i : at;
    }
    return at;
  }
  const T best = fold_line<Op>(x, n);
  int64_t i = 0;
  if (is_nan(best)) {
    while (!is_nan(x[i])) ++i;
    return i;
  }
  // Whole groups without the value are skipped at once.
  for (; i + kLanes <= n; i += kLanes) {
    int found = 0;
#pragma omp simd reduction(| : found)
    for (int64_t j = 0; j < kLanes; ++j) found |= x[i + j] == best;
    if (found) break;
  }
  while (i < n - 1 && !(x[i] == best)) ++i;
  return i;
}

template <class Op, class T>
void lines(const T* x, T* values, int64_t* indices, int64_t* scratch, const BlockShape& s) {
  const int64_t chunks = fold_chunks(s);
  int64_t* target = chunks <= 1 ? indices : scratch;
  const int64_t piece = chunks <= 1 ? s.r : kLineChunk;
  core::parallel_for(0, s.a * chunks, at_least_one(kGrain / piece),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t t = begin; t < end; ++t) {
                         const int64_t first = (t % chunks) * piece;
                         const T* line = x + (t / chunks) * s.a_stride + first;
                         target[t] = first + find_in_line<Op>(line, smaller(piece, s.r - first));
                       }
                     });
  for (int64_t a = 0; a < s.a; ++a) {
    const T* line = x + a * s.a_stride;
    int64_t at = target[a * chunks];
    for (int64_t k = 1; k < chunks; ++k) {
      const int64_t other = target[a * chunks + k];
      if (replaces<Op>(line[other], line[at])) at = other;
    }
    indices[a] = at;
    if (values) values[a] = line[at];
  }
}

template <class Op, class T>
void blocks(const T* x, T* values, int64_t* indices, const BlockShape& s) {
  constexpr int64_t kWidth = 256;
  const int64_t strips = (s.c + kWidth - 1) / kWidth;
  core::parallel_for(0, s.a * strips, at_least_one(kGrain / (s.r * smaller(s.c, kWidth))),
                     [&](int64_t begin, int64_t end) {
                       alignas(64) T best[kWidth];
                       for (int64_t t = begin; t < end; ++t) {
                         const int64_t first = t % strips * kWidth,
                                       width = smaller(kWidth, s.c - first);
                         const T* from = x + t / strips * s.a_stride + first;
                         int64_t* at = indices + t / strips * s.c + first;
                         for (int64_t j = 0; j < width; ++j) {
                           best[j] = from[j];
                           at[j] = 0;
                         }
                         for (int64_t r = 1; r < s.r; ++r) {
                           const T* line = from + r * s.r_stride;
#pragma omp simd
                           for (int64_t j = 0; j < width; ++j) {
                             const bool better = replaces<Op>(line[j], best[j]);
                             best[j] = better ? line[j] : best[j];
                             at[j] = better ? r : at[j];
                           }
                         }
                         if (!values) continue;
                         for (int64_t j = 0; j < width; ++j)
                           values[t / strips * s.c + first + j] = best[j];
                       }
                     });
}

template <class Op, class T>
void run(void* const* data, const ArgParameters& p) {
  T* values = static_cast<T*>(data[0]);
  auto* indices = static_cast<int64_t*>(data[1]);
  const T* x = static_cast<const T*>(data[2]);
  if (p.shape.c == 1)
    lines<Op>(x, values, indices, static_cast<int64_t*>(data[3]), p.shape);
  else
    blocks<Op>(x, values, indices, p.shape);
}

template <class T>
void run_type(void* const* data, const ArgParameters& p) {
  if (p.smallest)
    run<Min<T>, T>(data, p);
  else
    run<Max<T>, T>(data, p);
}

}  // namespace

void arg_extremum(void* const* data, const ArgParameters& p) {
  switch (p.type) {
    case FoldType::Float:
      return run_type<float>(data, p);
    case FoldType::Double:
      return run_type<double>(data, p);
    case FoldType::Int64:
      return run_type<int64_t>(data, p);
    default:
      return run_type<uint8_t>(data, p);
  }
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
