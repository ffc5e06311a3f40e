// Vector math as it is compiled for x86-64-v2; see vector_math_cases.h.
#include "vector_math_reference.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define TAPEGRAD_ISA v2
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v2")
#include "vector_math_loops.h"
#pragma GCC pop_options
#include "vector_math_cases.h"

VECTOR_MATH_TESTS(__builtin_cpu_supports("x86-64-v2"))
#else
#define TAPEGRAD_ISA base
#include "vector_math_cases.h"
#include "vector_math_loops.h"

VECTOR_MATH_TESTS(true)
#endif
