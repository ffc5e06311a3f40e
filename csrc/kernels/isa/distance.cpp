// Distances: each task owns rows of the result, and sums in the order of the depth.
#include "kernels/distance.h"

#include "core/parallel.h"
#include "kernels/isa/vector_math.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kWidth = 64;
constexpr int64_t kGrain = 16384;  // differences that are worth a thread

template <class T>
struct Count {
  TAPEGRAD_INLINE static T step(T sum, T d, T) { return sum + (d != T(0) ? T(1) : T(0)); }
  TAPEGRAD_INLINE static T end(T sum, T) { return sum; }
};
template <class T>
struct Absolute {
  TAPEGRAD_INLINE static T step(T sum, T d, T) { return sum + abs(d); }
  TAPEGRAD_INLINE static T end(T sum, T) { return sum; }
};
template <class T>
struct Euclid {
  TAPEGRAD_INLINE static T step(T sum, T d, T) { return sum + d * d; }
  TAPEGRAD_INLINE static T end(T sum, T) { return sqrt(sum); }
};
template <class T>
struct Largest {
  TAPEGRAD_INLINE static T step(T sum, T d, T) {
    const T a = abs(d);
    return a > sum || a != a ? a : sum;  // NOLINT(misc-redundant-expression): NaN
  }
  TAPEGRAD_INLINE static T end(T sum, T) { return sum; }
};
template <class T>
struct Power {
  TAPEGRAD_INLINE static T step(T sum, T d, T p) { return sum + pow(abs(d), p); }
  TAPEGRAD_INLINE static T end(T sum, T p) { return pow(sum, T(1) / p); }
};

template <class T, class Measure>
void row_of_distances(T* out, const T* x, const T* y, const DistanceArgs& args) {
  const T p = static_cast<T>(args.p);
  for (int64_t from = 0; from < args.columns; from += kWidth) {
    const int64_t width = args.columns - from < kWidth ? args.columns - from : kWidth;
    T sum[kWidth];
    for (int64_t j = 0; j < kWidth; ++j) sum[j] = T(0);
    for (int64_t k = 0; k < args.depth; ++k) {
      const T* other = y + k * args.columns + from;
      const T own = x[k];
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) sum[j] = Measure::step(sum[j], own - other[j], p);
    }
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) out[from + j] = Measure::end(sum[j], p);
  }
}

template <class T, class Measure>
void all_rows(void* const* data, const DistanceArgs& args) {
  const int64_t work = args.columns * (args.depth > 0 ? args.depth : 1);
  const int64_t grain = work >= kGrain ? 1 : kGrain / (work > 0 ? work : 1);
  core::parallel_for(0, args.batch * args.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      row_of_distances<T, Measure>(
          static_cast<T*>(data[0]) + i * args.columns,
          static_cast<const T*>(data[1]) + i * args.depth,
          static_cast<const T*>(data[2]) + i / args.rows * args.depth * args.columns, args);
    }
  });
}

template <class T>
void by_kind(void* const* data, const DistanceArgs& args) {
  switch (args.kind) {
    case Distance::kCount:
      return all_rows<T, Count<T>>(data, args);
    case Distance::kSum:
      return all_rows<T, Absolute<T>>(data, args);
    case Distance::kEuclid:
      return all_rows<T, Euclid<T>>(data, args);
    case Distance::kLargest:
      return all_rows<T, Largest<T>>(data, args);
    case Distance::kPower:
      return all_rows<T, Power<T>>(data, args);
  }
}

// --- gradient: slope() is d distance / d difference, given the distance and its share ------------

template <class T>
TAPEGRAD_INLINE T sign_of(T x) {
  return x > T(0) ? T(1) : x < T(0) ? T(-1) : T(0);
}

template <class T>
struct AbsoluteSlope {
  TAPEGRAD_INLINE static T share(T g, T, T) { return g; }
  TAPEGRAD_INLINE static T slope(T difference, T, T) { return sign_of(difference); }
};
template <class T>
struct LargestSlope {
  TAPEGRAD_INLINE static T share(T g, T, T) { return g; }
  TAPEGRAD_INLINE static T slope(T difference, T distance, T) {
    return abs(difference) == distance ? sign_of(difference) : T(0);
  }
};
template <class T>
struct PowerSlope {
  TAPEGRAD_INLINE static T share(T g, T distance, T p) {
    return distance == T(0) ? T(0) : g / pow(distance, p - T(1));
  }
  TAPEGRAD_INLINE static T slope(T difference, T, T p) {
    return difference == T(0) ? T(0) : sign_of(difference) * pow(abs(difference), p - T(1));
  }
};

template <class T, class Slope>
void row_of_gradient(T* out, const T* x, const T* y, const T* g, const T* d,
                     const DistanceArgs& args) {
  const T p = static_cast<T>(args.p);
  for (int64_t k = 0; k < args.depth; ++k) out[k] = T(0);
  for (int64_t j = 0; j < args.columns; ++j) {
    const T* other = y + j * args.depth;
    const T distance = d[j], share = Slope::share(g[j], distance, p);
#pragma omp simd
    for (int64_t k = 0; k < args.depth; ++k)
      out[k] += share * Slope::slope(x[k] - other[k], distance, p);
  }
}

template <class T, class Slope>
void all_gradients(void* const* data, const DistanceArgs& args) {
  const int64_t work = args.columns * args.depth;
  const int64_t grain = work >= kGrain ? 1 : kGrain / (work > 0 ? work : 1);
  core::parallel_for(0, args.batch * args.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      row_of_gradient<T, Slope>(
          static_cast<T*>(data[0]) + i * args.depth,
          static_cast<const T*>(data[1]) + i * args.depth,
          static_cast<const T*>(data[2]) + i / args.rows * args.columns * args.depth,
          static_cast<const T*>(data[3]) + i * args.columns,
          static_cast<const T*>(data[4]) + i * args.columns, args);
    }
  });
}

template <class T>
void gradient_by_kind(void* const* data, const DistanceArgs& args) {
  switch (args.kind) {
    case Distance::kSum:
      return all_gradients<T, AbsoluteSlope<T>>(data, args);
    case Distance::kLargest:
      return all_gradients<T, LargestSlope<T>>(data, args);
    default:
      return all_gradients<T, PowerSlope<T>>(data, args);
  }
}

}  // namespace

void distance_gradient(void* const* data, const DistanceArgs& args) {
  if (args.is_double) {
    gradient_by_kind<double>(data, args);
  } else {
    gradient_by_kind<float>(data, args);
  }
}

void distance(void* const* data, const DistanceArgs& args) {
  if (args.is_double) {
    by_kind<double>(data, args);
  } else {
    by_kind<float>(data, args);
  }
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
