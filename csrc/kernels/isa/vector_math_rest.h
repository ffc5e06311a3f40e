// Functions without a vectorised form yet, by the C library.
#pragma once

#include "kernels/isa/vector_math.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

#define TAPEGRAD_LIBM(name)                                                            \
  [[gnu::always_inline]] inline float name(float x) { return __builtin_##name##f(x); } \
  [[gnu::always_inline]] inline double name(double x) { return __builtin_##name(x); }
#define TAPEGRAD_LIBM2(name)                                          \
  [[gnu::always_inline]] inline float name(float x, float y) {        \
    return __builtin_##name##f(x, y);                                 \
  }                                                                   \
  [[gnu::always_inline]] inline double name(double x, double y) {     \
    return __builtin_##name(x, y);                                    \
  }
TAPEGRAD_LIBM(tan)
TAPEGRAD_LIBM(asin)
TAPEGRAD_LIBM(acos)
TAPEGRAD_LIBM(atan)
TAPEGRAD_LIBM(asinh)
TAPEGRAD_LIBM(acosh)
TAPEGRAD_LIBM(atanh)
TAPEGRAD_LIBM2(atan2)
TAPEGRAD_LIBM2(hypot)
TAPEGRAD_LIBM2(fmod)

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
