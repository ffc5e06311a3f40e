// The vocabulary of the elementwise rows for tensors, and the rows turned into functors whose
// derivatives record: what differentiates a derivative. The scalar vocabulary is in
// kernels/isa/functors.h.
#pragma once

#include <string_view>

#include "kernels/elementwise.h"
#include "tapegrad/ops.h"

namespace tapegrad::ops {

using L = Scalar;

inline Tensor choose(const Tensor& condition, const Tensor& a, const Tensor& b) {
  return where(condition, a, b);
}
inline Tensor zero_of(const Tensor& like) { return zeros_like(like); }
inline Tensor operator==(const Tensor& a, const Tensor& b) { return eq(a, b); }
inline Tensor operator==(const Tensor& a, Scalar b) { return eq(a, b); }
inline Tensor operator!=(const Tensor& a, Scalar b) { return ne(a, b); }
inline Tensor operator&(const Tensor& a, const Tensor& b) { return logical_and(a, b); }
inline Tensor operator|(const Tensor& a, const Tensor& b) { return logical_or(a, b); }
inline Tensor normal_cdf_fast(const Tensor& x) {
  return (erf(x * L(0.70710678118654752440)) + L(1)) * L(0.5);
}
inline Tensor expm1_below(const Tensor& x) { return expm1(x); }
inline Tensor one_of(const Tensor& like) { return ones_like(like); }
inline Tensor half_of(const Tensor& like) { return full_like(like, 0.5); }
inline Tensor outside_of(const Tensor& g, Scalar value) { return full_like(g, value); }
inline Tensor cos_pi(const Tensor& x) { return cos(x * L(3.14159265358979323846)); }
inline Tensor trigamma(const Tensor& x) { return polygamma(1, x); }
inline Tensor zeta_next(Scalar s, const Tensor& q) { return special_zeta(s.to_double() + 1, q); }
inline Tensor zeta_next(const Tensor& s, const Tensor& q) { return special_zeta(s + L(1), q); }
inline Tensor i1(const Tensor& x) { return special_i1(x); }
inline Tensor i0e(const Tensor& x) { return special_i0e(x); }
inline Tensor i1e(const Tensor& x) { return special_i1e(x); }
inline Tensor erfcx(const Tensor& x) { return special_erfcx(x); }
inline Tensor log1p_exp(const Tensor& x) { return logaddexp(x, L(0)); }
inline Tensor mish_gate(const Tensor& x) { return tanh(log1p_exp(x)); }
/// Derivatives that PyTorch does not have either.
[[noreturn]] void undefined_derivative(const char* op);
inline Tensor undefined_derivative(const Tensor&, const char* op) { undefined_derivative(op); }
inline Tensor gelu_inner(const Tensor& x) {
  return x * (x * x * L(0.035677408136300125) + L(0.79788456080286541));
}

/// p[i] of a row.
struct TensorParameters {
  kernels::LoopParameters values;
  Scalar operator[](int i) const { return values.d[i]; }
};

enum class Saves { None, X, Y };
enum class Domain { Same, Float, Bool, Bits };
inline constexpr int kNone = 0;
inline constexpr int kA = 1;
inline constexpr int kB = 2;
inline constexpr int kY = 4;

/// Whether a binary row reads p[i].
constexpr bool takes_parameters(std::string_view name) {
  return name == "add_scaled" || name == "isclose" || name == "lerp_number";
}

#define TAPEGRAD_UNARY_FORMULA_(parametric_, name_, domain_, saves_, f_, pull_, ...)              \
  struct unary_##name_ {                                                                          \
    static constexpr const char* name = #name_;                                                   \
    static constexpr bool parametric = parametric_;                                               \
    static constexpr kernels::UnaryOp op = kernels::UnaryOp::name_;                               \
    static constexpr Domain domain = Domain::domain_;                                             \
    static constexpr Saves saves = Saves::saves_;                                                 \
    template <class T>                                                                            \
    static Tensor pull([[maybe_unused]] const T& g, [[maybe_unused]] const T& x,                  \
                       [[maybe_unused]] const T& y, [[maybe_unused]] const TensorParameters& p) { \
      return pull_;                                                                               \
    }                                                                                             \
  };
#define TAPEGRAD_BINARY_FORMULA_(name_, domain_, mode_, saves_a_, saves_b_, f_, pull_a_, pull_b_, \
                                 ...)                                                             \
  struct binary_##name_ {                                                                         \
    static constexpr const char* name = #name_;                                                   \
    static constexpr bool parametric = takes_parameters(#name_);                                  \
    static constexpr kernels::BinaryOp op = kernels::BinaryOp::name_;                             \
    static constexpr Domain domain = Domain::domain_;                                             \
    static constexpr bool fused = #mode_[0] == 'F';                                               \
    static constexpr int saves_a = saves_a_;                                                      \
    static constexpr int saves_b = saves_b_;                                                      \
    template <class T>                                                                            \
    static Tensor pull_a([[maybe_unused]] const T& g, [[maybe_unused]] const T& a,                \
                         [[maybe_unused]] const T& b, [[maybe_unused]] const T& y,                \
                         [[maybe_unused]] const TensorParameters& p) {                            \
      return pull_a_;                                                                             \
    }                                                                                             \
    template <class T>                                                                            \
    static Tensor pull_b([[maybe_unused]] const T& g, [[maybe_unused]] const T& a,                \
                         [[maybe_unused]] const T& b, [[maybe_unused]] const T& y,                \
                         [[maybe_unused]] const TensorParameters& p) {                            \
      return pull_b_;                                                                             \
    }                                                                                             \
  };
#define TAPEGRAD_UNARY_FORMULA(...) TAPEGRAD_UNARY_FORMULA_(false, __VA_ARGS__)
#define TAPEGRAD_PARAMETRIC_FORMULA(...) TAPEGRAD_UNARY_FORMULA_(true, __VA_ARGS__)

TAPEGRAD_UNARY_ROWS(TAPEGRAD_UNARY_FORMULA)
TAPEGRAD_PARAMETRIC_ROWS(TAPEGRAD_PARAMETRIC_FORMULA)
TAPEGRAD_BINARY_ROWS(TAPEGRAD_BINARY_FORMULA_)
TAPEGRAD_BINARY_PARAMETRIC_ROWS(TAPEGRAD_BINARY_FORMULA_)

#undef TAPEGRAD_UNARY_FORMULA
#undef TAPEGRAD_PARAMETRIC_FORMULA
#undef TAPEGRAD_UNARY_FORMULA_
#undef TAPEGRAD_BINARY_FORMULA_

}  // namespace tapegrad::ops
