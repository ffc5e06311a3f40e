// Loops of the vector math of one level, to be included inside `#pragma GCC target`, with
// TAPEGRAD_ISA defined, after vector_math_reference.h. No standard header may follow: its inline
// functions would be compiled for this level.
#pragma once

#include "kernels/isa/vector_math.h"

namespace {
namespace level = tapegrad::kernels::TAPEGRAD_ISA;

#define UNARY_LOOP(name)                                                           \
  template <class T>                                                               \
  __attribute__((noinline)) void loop_##name(const T* x, T* y, std::int64_t n) {   \
    for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(level::name(x[i])); \
  }
#define BINARY_LOOP(name)                                                                    \
  template <class T>                                                                         \
  __attribute__((noinline)) void loop_##name(const T* a, const T* b, T* y, std::int64_t n) { \
    for (std::int64_t i = 0; i < n; ++i) y[i] = level::name(a[i], b[i]);                     \
  }
UNARY_LOOP(exp)
UNARY_LOOP(exp2)
UNARY_LOOP(expm1)
UNARY_LOOP(log)
UNARY_LOOP(log2)
UNARY_LOOP(log10)
UNARY_LOOP(log1p)
UNARY_LOOP(log1p_exp)
UNARY_LOOP(sigmoid)
UNARY_LOOP(sqrt)
UNARY_LOOP(rsqrt)
UNARY_LOOP(reciprocal)
UNARY_LOOP(sin)
UNARY_LOOP(cos)
UNARY_LOOP(tan)
UNARY_LOOP(asin)
UNARY_LOOP(acos)
UNARY_LOOP(atan)
UNARY_LOOP(sinh)
UNARY_LOOP(cosh)
UNARY_LOOP(tanh)
UNARY_LOOP(asinh)
UNARY_LOOP(acosh)
UNARY_LOOP(atanh)
UNARY_LOOP(erf)
UNARY_LOOP(erfc)
UNARY_LOOP(floor)
UNARY_LOOP(ceil)
UNARY_LOOP(trunc)
UNARY_LOOP(round)
UNARY_LOOP(abs)
UNARY_LOOP(isnan)
UNARY_LOOP(isfinite)
UNARY_LOOP(sign)
BINARY_LOOP(pow)
BINARY_LOOP(atan2)
BINARY_LOOP(hypot)
BINARY_LOOP(fmod)
BINARY_LOOP(copysign)
BINARY_LOOP(maximum)
BINARY_LOOP(minimum)
BINARY_LOOP(fmax)
BINARY_LOOP(fmin)

// A plain loop keeps to kTrigLimit; map_block does not.
template <class T>
__attribute__((noinline)) void loop_sin_blocks(const T* x, T* y, std::int64_t n) {
  level::map_block(
      x, n,
      [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) y[i] = level::sin(x[i]);
      },
      [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          y[i] = static_cast<T>(level::sin(static_cast<long double>(x[i])));
        }
      });
}

#undef UNARY_LOOP
#undef BINARY_LOOP
}  // namespace
