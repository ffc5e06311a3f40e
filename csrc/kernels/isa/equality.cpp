// Loops of kernels/equality.h.
#include "kernels/equality.h"

#include "core/parallel.h"
#include "kernels/isa/vector_math_core.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 65536;
constexpr int64_t kBlock = 1024;

template <class T>
int64_t unequal_in(const T* a, const T* b, int64_t n) {
  int found = 0;
#pragma omp simd reduction(+ : found)
  for (int64_t i = 0; i < n; ++i) found += a[i] != b[i] ? 1 : 0;
  return found;
}

/// What is written is whether there was a difference, whichever thread met it first.
template <class T>
int64_t any_unequal(const void* a, const void* b, int64_t count) {
  const T* x = static_cast<const T*>(a);
  const T* y = static_cast<const T*>(b);
  int64_t result = 0;
  core::parallel_for(0, count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += kBlock) {
      if (__atomic_load_n(&result, __ATOMIC_RELAXED) != 0) return;
      if (unequal_in(x + at, y + at, end - at < kBlock ? end - at : kBlock) == 0) continue;
      __atomic_store_n(&result, 1, __ATOMIC_RELAXED);
      return;
    }
  });
  return result;
}

}  // namespace

void count_unequal(void* const* data, const CountUnequal& p) {
  const auto run = [&](auto zero) {
    return any_unequal<decltype(zero)>(data[1], data[2], p.count);
  };
  int64_t& result = *static_cast<int64_t*>(data[0]);
  switch (p.dtype) {
    case DType::Float32:
      result = run(float());
      return;
    case DType::Float64:
      result = run(double());
      return;
    case DType::Int64:
      result = run(int64_t());
      return;
    case DType::Int32:
      result = run(int32_t());
      return;
    case DType::Int16:
      result = run(int16_t());
      return;
    default:
      result = run(uint8_t());
  }
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
