// Vector math: all elementary functions as branch-free scalar code; see vector_math_core.h for the
// rules.
#pragma once

#include "kernels/isa/vector_math_core.h"
#include "kernels/isa/vector_math_erf.h"
#include "kernels/isa/vector_math_exp.h"
#include "kernels/isa/vector_math_log.h"
#include "kernels/isa/vector_math_pow.h"
#include "kernels/isa/vector_math_special.h"
#include "kernels/isa/vector_math_trig.h"
