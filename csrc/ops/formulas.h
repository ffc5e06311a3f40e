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
    static constexpr bool parametric = std::string_view(#name_) == "add_scaled";                  \
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
