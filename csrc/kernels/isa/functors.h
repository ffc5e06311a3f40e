// The scalar vocabulary of the elementwise rows for float, double and int64_t (the Tensor one is in
// ops/formulas.h), and the rows turned into functors. For instruction-set objects only.
#pragma once

#include <cstdint>

#include "kernels/elementwise.h"
#include "kernels/isa/vector_math.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

template <class T>
[[gnu::always_inline]] inline T choose(bool condition, T a, T b) {
  return condition ? a : b;
}
template <class T>
[[gnu::always_inline]] inline T zero_of(T) {
  return T(0);
}
template <class T>
[[gnu::always_inline]] inline T square(T x) {
  return x * x;
}
/// The argument of tanh in GELU's approximation (Hendrycks and Gimpel, 2016).
template <class T>
[[gnu::always_inline]] inline T gelu_inner(T x) {
  return x * (x * x * T(0.035677408136300125) + T(0.79788456080286541));
}
template <class T>
[[gnu::always_inline]] inline T clamp_to(T x, T low, T high) {
  const T raised = x < low ? low : x;
  return raised > high ? high : raised;
}
template <class T>
[[gnu::always_inline]] inline bool isinf(T x) {
  return abs(x) == T(__builtin_inf());
}

template <class T>
[[gnu::always_inline]] inline T one_of(T) {
  return T(1);
}
template <class T>
[[gnu::always_inline]] inline T half_of(T) {
  return T(0.5);
}
template <class T>
[[gnu::always_inline]] inline bool isposinf(T x) {
  return x == T(__builtin_inf());
}
template <class T>
[[gnu::always_inline]] inline bool isneginf(T x) {
  return x == T(-__builtin_inf());
}
template <class T>
[[gnu::always_inline]] inline T outside_of(T, T value) {
  return value;
}
/// Rows that call this have no derivative: the tensor vocabulary throws, this is never run.
template <class T>
[[gnu::always_inline]] inline T undefined_derivative(T g, const char*) {
  return g;
}
/// log(z / (1 - z)) of x bounded by [low, high]; NaN there where `outside` is NaN.
template <class T>
[[gnu::always_inline]] inline T log_odds(T x, T low, T high, T outside) {
  const T z = clamp_to(x, low, high);
  return log(z / (T(1) - z)) + choose(x == z, T(0), outside);
}
template <class T>
[[gnu::always_inline]] inline T number_of(T x, T nan, T high, T low) {
  return isnan(x) ? nan : isposinf(x) ? high : isneginf(x) ? low : x;
}
/// tanh(log(1 + exp(x))) by one exponential.
template <class T>
[[gnu::always_inline]] inline T mish_gate(T x) {
  const T e = exp(x > T(20) ? T(20) : x);
  const T n = e * (e + T(2));
  return n / (n + T(2));
}
// int64_t: what is an identity or trivial on integers.
using Int = int64_t;
[[gnu::always_inline]] inline Int abs(Int x) { return x < 0 ? -x : x; }
[[gnu::always_inline]] inline Int sign(Int x) { return (x > 0) - (x < 0); }
[[gnu::always_inline]] inline Int floor(Int x) { return x; }
[[gnu::always_inline]] inline Int ceil(Int x) { return x; }
[[gnu::always_inline]] inline Int trunc(Int x) { return x; }
[[gnu::always_inline]] inline Int round(Int x) { return x; }
[[gnu::always_inline]] inline bool isnan(Int) { return false; }
[[gnu::always_inline]] inline bool isinf(Int) { return false; }
[[gnu::always_inline]] inline bool isfinite(Int) { return true; }
[[gnu::always_inline]] inline bool isposinf(Int) { return false; }
[[gnu::always_inline]] inline bool isneginf(Int) { return false; }
[[gnu::always_inline]] inline bool signbit(Int x) { return x < 0; }
[[gnu::always_inline]] inline Int maximum(Int a, Int b) { return a < b ? b : a; }
[[gnu::always_inline]] inline Int minimum(Int a, Int b) { return b < a ? b : a; }
[[gnu::always_inline]] inline Int fmax(Int a, Int b) { return a < b ? b : a; }
[[gnu::always_inline]] inline Int fmin(Int a, Int b) { return b < a ? b : a; }

// Division by zero is refused before the loop runs; INT64_MIN / -1 wraps.
[[gnu::always_inline]] inline Int trunc_divide(Int a, Int b) {
  return b == 0 ? 0 : b == -1 ? -a : a / b;
}
[[gnu::always_inline]] inline Int fmod(Int a, Int b) { return b == 0 || b == -1 ? 0 : a % b; }
[[gnu::always_inline]] inline Int remainder(Int a, Int b) {
  const Int r = fmod(a, b);
  return r != 0 && ((r < 0) != (b < 0)) ? r + b : r;
}
[[gnu::always_inline]] inline Int floor_divide(Int a, Int b) {
  const Int q = trunc_divide(a, b);
  return fmod(a, b) != 0 && ((a < 0) != (b < 0)) ? q - 1 : q;
}
inline Int gcd(Int a, Int b) {
  while (b != 0) {
    const Int r = fmod(a, b);
    a = b;
    b = r;
  }
  return abs(a);
}
inline Int lcm(Int a, Int b) { return a == 0 || b == 0 ? 0 : abs(a / gcd(a, b) * b); }
[[gnu::always_inline]] inline Int pow(Int base, Int exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  Int result = 1;
  while (exponent != 0) {
    if (exponent & 1) result *= base;
    base *= base;
    exponent >>= 1;
  }
  return result;
}
[[gnu::always_inline]] inline Int shift_left(Int a, Int b) { return b < 0 || b > 63 ? 0 : a << b; }
[[gnu::always_inline]] inline Int shift_right(Int a, Int b) {
  return a >> (b < 0 || b > 63 ? 63 : b);
}

template <class T>
[[gnu::always_inline]] inline bool is_close(T a, T b, T relative, T absolute, T equal_nan) {
  const T distance = abs(a - b);
  // Sums of 0 and 1: branches would keep the loop from becoming vector code.
  const int near = int(isfinite(distance)) & int(distance <= absolute + abs(relative * b));
  const int both_nan = int(equal_nan != T(0)) & int(isnan(a)) & int(isnan(b));
  return (int(a == b) | near | both_nan) != 0;
}
/// From the nearer end, as PyTorch's lerp.
template <class T>
[[gnu::always_inline]] inline T lerp(T a, T b, T weight) {
  return abs(weight) < T(0.5) ? a + weight * (b - a) : b - (b - a) * (T(1) - weight);
}

template <class T>
[[gnu::always_inline]] inline T trunc_divide(T a, T b) {
  return trunc(a / b);
}
/// Python's %, from fmod's result: that of the divisor's sign.
template <class T>
[[gnu::always_inline]] inline T remainder_from(T r, T b) {
  return r != T(0) && ((r < T(0)) != (b < T(0))) ? r + b : r;
}
template <class T>
[[gnu::always_inline]] inline T remainder(T a, T b) {
  return remainder_from(fmod(a, b), b);
}
/// Python's //: from the exact remainder, since floor(a / b) can be off by one after rounding.
template <class T>
[[gnu::always_inline]] inline T floor_quotient(T a, T b, T r) {
  const T q = (a - r) / b;
  const T lowered = r != T(0) && ((r < T(0)) != (b < T(0))) ? q - T(1) : q;
  const T whole = floor(lowered);
  const T nearest = lowered - whole > T(0.5) ? whole + T(1) : whole;
  const T signed_zero = copysign(T(0), a / b);
  return b == T(0) ? a / b : lowered == T(0) ? signed_zero : nearest;
}
template <class T>
[[gnu::always_inline]] inline T floor_divide(T a, T b) {
  return floor_quotient(a, b, fmod(a, b));
}

/// p[i] of a row.
template <class T>
struct RowParameters {
  T value[3];
  explicit RowParameters(const LoopParameters& p) {
    for (int i = 0; i < 3; ++i) {
      if constexpr (__is_same(T, int64_t))
        value[i] = p.i[i];
      else
        value[i] = static_cast<T>(p.d[i]);
    }
  }
  [[gnu::always_inline]] T operator[](int i) const { return value[i]; }
};

enum class Saves { None, X, Y };
enum class Domain { Same, Float, Bool, Bits };

#define TAPEGRAD_UNARY_FUNCTOR(name, domain_, saves_, f_, pull_, ...)                  \
  struct unary_##name {                                                                \
    static constexpr Domain domain = Domain::domain_;                                  \
    static constexpr Saves saves = Saves::saves_;                                      \
    template <class T>                                                                 \
    [[gnu::always_inline]] static auto f([[maybe_unused]] T x,                         \
                                         [[maybe_unused]] const RowParameters<T>& p) { \
      [[maybe_unused]] typedef T L;                                                    \
      return f_;                                                                       \
    }                                                                                  \
    template <class T>                                                                 \
    [[gnu::always_inline]] static T pull([[maybe_unused]] T g, [[maybe_unused]] T x,   \
                                         [[maybe_unused]] T y,                         \
                                         [[maybe_unused]] const RowParameters<T>& p) { \
      [[maybe_unused]] typedef T L;                                                    \
      return pull_;                                                                    \
    }                                                                                  \
  };

#define TAPEGRAD_BINARY_FUNCTOR(name, domain_, mode_, saves_a_, saves_b_, f_, pull_a_, pull_b_,  \
                                ...)                                                             \
  struct binary_##name {                                                                         \
    static constexpr Domain domain = Domain::domain_;                                            \
    static constexpr bool fused = #mode_[0] == 'F';                                              \
    static constexpr int saves_a = saves_a_;                                                     \
    static constexpr int saves_b = saves_b_;                                                     \
    template <class T>                                                                           \
    [[gnu::always_inline]] static auto f(T a, T b, [[maybe_unused]] const RowParameters<T>& p) { \
      [[maybe_unused]] typedef T L;                                                              \
      return f_;                                                                                 \
    }                                                                                            \
    template <class T>                                                                           \
    [[gnu::always_inline]] static T pull_a([[maybe_unused]] T g, [[maybe_unused]] T a,           \
                                           [[maybe_unused]] T b, [[maybe_unused]] T y,           \
                                           [[maybe_unused]] const RowParameters<T>& p) {         \
      [[maybe_unused]] typedef T L;                                                              \
      return pull_a_;                                                                            \
    }                                                                                            \
    template <class T>                                                                           \
    [[gnu::always_inline]] static T pull_b([[maybe_unused]] T g, [[maybe_unused]] T a,           \
                                           [[maybe_unused]] T b, [[maybe_unused]] T y,           \
                                           [[maybe_unused]] const RowParameters<T>& p) {         \
      [[maybe_unused]] typedef T L;                                                              \
      return pull_b_;                                                                            \
    }                                                                                            \
  };

inline constexpr int kNone = 0;
inline constexpr int kA = 1;
inline constexpr int kB = 2;
inline constexpr int kY = 4;

TAPEGRAD_UNARY_ROWS(TAPEGRAD_UNARY_FUNCTOR)
TAPEGRAD_PARAMETRIC_ROWS(TAPEGRAD_UNARY_FUNCTOR)
TAPEGRAD_BINARY_ROWS(TAPEGRAD_BINARY_FUNCTOR)
TAPEGRAD_BINARY_PARAMETRIC_ROWS(TAPEGRAD_BINARY_FUNCTOR)

#undef TAPEGRAD_UNARY_FUNCTOR
#undef TAPEGRAD_BINARY_FUNCTOR

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
