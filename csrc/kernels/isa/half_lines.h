// Lines of half numbers to floats and back. For instruction-set objects only.
#pragma once

#include "core/half.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

template <class T>
constexpr bool kIsHalf = __is_same(T, Half) || __is_same(T, BFloat16);

[[maybe_unused]] void to_floats(const BFloat16* from, float* to, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) to[i] = core::to_float(from[i]);
}
[[maybe_unused]] void from_floats(const float* from, BFloat16* to, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) to[i] = core::to_bfloat16(from[i]);
}

#if defined(__F16C__) && !defined(__clang__)
// The one place where g++ has to be told an instruction: of a loop over _Float16 it makes one
// conversion an element, and conversion by integers takes a multiple of the time.
typedef short HalfBits __attribute__((vector_size(16)));
typedef float HalfValues __attribute__((vector_size(32)));

[[maybe_unused]] void to_floats(const Half* from, float* to, int64_t n) {
  HalfBits bits = {};
  for (; n >= 8; n -= 8, from += 8, to += 8) {
    __builtin_memcpy(&bits, from, sizeof bits);
    const HalfValues values = __builtin_ia32_vcvtph2ps256(bits);
    __builtin_memcpy(to, &values, sizeof values);
  }
  if (n == 0) return;
  __builtin_memcpy(&bits, from, static_cast<size_t>(n) * sizeof(Half));
  const HalfValues values = __builtin_ia32_vcvtph2ps256(bits);
  __builtin_memcpy(to, &values, static_cast<size_t>(n) * sizeof(float));
}
[[maybe_unused]] void from_floats(const float* from, Half* to, int64_t n) {
  HalfValues values = {};
  for (; n >= 8; n -= 8, from += 8, to += 8) {
    __builtin_memcpy(&values, from, sizeof values);
    const HalfBits bits = __builtin_ia32_vcvtps2ph256(values, 0);
    __builtin_memcpy(to, &bits, sizeof bits);
  }
  if (n == 0) return;
  __builtin_memcpy(&values, from, static_cast<size_t>(n) * sizeof(float));
  const HalfBits bits = __builtin_ia32_vcvtps2ph256(values, 0);
  __builtin_memcpy(to, &bits, static_cast<size_t>(n) * sizeof(Half));
}
#else
[[maybe_unused]] void to_floats(const Half* from, float* to, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) to[i] = core::to_float(from[i]);
}
[[maybe_unused]] void from_floats(const float* from, Half* to, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) to[i] = core::to_half(from[i]);
}
#endif

}  // namespace
}  // namespace tapegrad::kernels::TAPEGRAD_ISA
