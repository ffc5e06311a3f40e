// Declarations of the elementwise operations: those of the rows, and those that take more than
// tensors. All broadcast and promote as in PyTorch; a Scalar is weak. In-place forms (name_) write
// into their first argument and return it.
#pragma once

#include <optional>
#include <string_view>

#include "tapegrad/elementwise_rows.h"
#include "tapegrad/tensor.h"

namespace tapegrad {

class Generator;

#define TAPEGRAD_DECLARE_UNARY(name, ...)        \
  TAPEGRAD_API Tensor name(const Tensor& input); \
  TAPEGRAD_API Tensor& name##_(Tensor& self);
#define TAPEGRAD_DECLARE_BINARY(name, ...)                            \
  TAPEGRAD_API Tensor name(const Tensor& input, const Tensor& other); \
  TAPEGRAD_API Tensor name(const Tensor& input, Scalar other);        \
  TAPEGRAD_API Tensor& name##_(Tensor& self, const Tensor& other);    \
  TAPEGRAD_API Tensor& name##_(Tensor& self, Scalar other);
TAPEGRAD_UNARY_ROWS(TAPEGRAD_DECLARE_UNARY)
TAPEGRAD_BINARY_ROWS(TAPEGRAD_DECLARE_BINARY)
#undef TAPEGRAD_DECLARE_UNARY
#undef TAPEGRAD_DECLARE_BINARY

TAPEGRAD_API Tensor add(const Tensor& input, const Tensor& other, Scalar alpha = 1);
TAPEGRAD_API Tensor add(const Tensor& input, Scalar other, Scalar alpha = 1);
TAPEGRAD_API Tensor& add_(Tensor& self, const Tensor& other, Scalar alpha = 1);
TAPEGRAD_API Tensor& add_(Tensor& self, Scalar other, Scalar alpha = 1);
TAPEGRAD_API Tensor sub(const Tensor& input, const Tensor& other, Scalar alpha = 1);
TAPEGRAD_API Tensor sub(const Tensor& input, Scalar other, Scalar alpha = 1);
TAPEGRAD_API Tensor& sub_(Tensor& self, const Tensor& other, Scalar alpha = 1);
TAPEGRAD_API Tensor& sub_(Tensor& self, Scalar other, Scalar alpha = 1);
/// other - alpha * input.
TAPEGRAD_API Tensor rsub(const Tensor& input, const Tensor& other, Scalar alpha = 1);
TAPEGRAD_API Tensor rsub(const Tensor& input, Scalar other, Scalar alpha = 1);
TAPEGRAD_API Tensor div(const Tensor& input, const Tensor& other,
                        std::optional<std::string_view> rounding_mode = {});
TAPEGRAD_API Tensor div(const Tensor& input, Scalar other,
                        std::optional<std::string_view> rounding_mode = {});
TAPEGRAD_API Tensor& div_(Tensor& self, const Tensor& other,
                          std::optional<std::string_view> rounding_mode = {});
TAPEGRAD_API Tensor& div_(Tensor& self, Scalar other,
                          std::optional<std::string_view> rounding_mode = {});
TAPEGRAD_API Tensor pow(const Tensor& input, const Tensor& exponent);
TAPEGRAD_API Tensor pow(const Tensor& input, Scalar exponent);
TAPEGRAD_API Tensor pow(Scalar input, const Tensor& exponent);
TAPEGRAD_API Tensor& pow_(Tensor& self, const Tensor& exponent);
TAPEGRAD_API Tensor& pow_(Tensor& self, Scalar exponent);
TAPEGRAD_API Tensor where(const Tensor& condition, const Tensor& input, const Tensor& other);
TAPEGRAD_API Tensor where(const Tensor& condition, const Tensor& input, Scalar other);
TAPEGRAD_API Tensor where(const Tensor& condition, Scalar input, const Tensor& other);
TAPEGRAD_API Tensor round(const Tensor& input, int64_t decimals = 0);
TAPEGRAD_API Tensor bitwise_not(const Tensor& input);
TAPEGRAD_API Tensor clamp(const Tensor& input, std::optional<Scalar> min = {},
                          std::optional<Scalar> max = {});
/// Bounds as tensors; an undefined one is no bound.
TAPEGRAD_API Tensor clamp(const Tensor& input, const Tensor& min, const Tensor& max);
TAPEGRAD_API Tensor gelu(const Tensor& input, std::string_view approximate = "none");
TAPEGRAD_API Tensor silu(const Tensor& input);
TAPEGRAD_API Tensor softplus(const Tensor& input, double beta = 1, double threshold = 20);
TAPEGRAD_API Tensor leaky_relu(const Tensor& input, double negative_slope = 0.01);
TAPEGRAD_API Tensor elu(const Tensor& input, double alpha = 1.0, double scale = 1.0,
                        double input_scale = 1.0);
TAPEGRAD_API Tensor addcmul(const Tensor& input, const Tensor& tensor1, const Tensor& tensor2,
                            Scalar value = 1);
TAPEGRAD_API Tensor addcdiv(const Tensor& input, const Tensor& tensor1, const Tensor& tensor2,
                            Scalar value = 1);
TAPEGRAD_API Tensor lerp(const Tensor& input, const Tensor& end, const Tensor& weight);
TAPEGRAD_API Tensor lerp(const Tensor& input, const Tensor& end, double weight);
TAPEGRAD_API Tensor float_power(const Tensor& input, const Tensor& exponent);
TAPEGRAD_API Tensor ldexp(const Tensor& input, const Tensor& other);
TAPEGRAD_API Tensor isclose(const Tensor& input, const Tensor& other, double rtol = 1e-5,
                            double atol = 1e-8, bool equal_nan = false);
TAPEGRAD_API bool allclose(const Tensor& input, const Tensor& other, double rtol = 1e-5,
                           double atol = 1e-8, bool equal_nan = false);
TAPEGRAD_API bool equal(const Tensor& input, const Tensor& other);
TAPEGRAD_API Tensor isin(const Tensor& elements, const Tensor& test_elements,
                         bool assume_unique = false, bool invert = false);
TAPEGRAD_API Tensor logit(const Tensor& input, std::optional<double> eps = {});
TAPEGRAD_API Tensor nan_to_num(const Tensor& input, std::optional<double> nan = {},
                               std::optional<double> posinf = {},
                               std::optional<double> neginf = {});
/// The derivative of order n of digamma; n = 0 is digamma itself.
TAPEGRAD_API Tensor polygamma(int64_t n, const Tensor& input);
TAPEGRAD_API Tensor mvlgamma(const Tensor& input, int64_t p);

TAPEGRAD_API Tensor special_entr(const Tensor& input);
TAPEGRAD_API Tensor special_erfcx(const Tensor& input);
TAPEGRAD_API Tensor special_i0e(const Tensor& input);
TAPEGRAD_API Tensor special_i1(const Tensor& input);
TAPEGRAD_API Tensor special_i1e(const Tensor& input);
TAPEGRAD_API Tensor special_log_ndtr(const Tensor& input);
TAPEGRAD_API Tensor special_ndtr(const Tensor& input);
TAPEGRAD_API Tensor special_ndtri(const Tensor& input);
TAPEGRAD_API Tensor special_xlog1py(const Tensor& input, const Tensor& other);
/// Hurwitz's zeta function, the sum over k >= 0 of (other + k)**-input.
TAPEGRAD_API Tensor special_zeta(const Tensor& input, const Tensor& other);
TAPEGRAD_API Tensor special_zeta(Scalar input, const Tensor& other);

TAPEGRAD_API Tensor celu(const Tensor& input, double alpha = 1.0);
TAPEGRAD_API Tensor selu(const Tensor& input);
TAPEGRAD_API Tensor hardtanh(const Tensor& input, Scalar min_val = -1.0, Scalar max_val = 1.0);
TAPEGRAD_API Tensor relu6(const Tensor& input);
TAPEGRAD_API Tensor hardsigmoid(const Tensor& input);
TAPEGRAD_API Tensor hardswish(const Tensor& input);
TAPEGRAD_API Tensor hardshrink(const Tensor& input, double lambd = 0.5);
TAPEGRAD_API Tensor softshrink(const Tensor& input, double lambd = 0.5);
TAPEGRAD_API Tensor threshold(const Tensor& input, Scalar threshold, Scalar value);
TAPEGRAD_API Tensor logsigmoid(const Tensor& input);
TAPEGRAD_API Tensor mish(const Tensor& input);
TAPEGRAD_API Tensor softsign(const Tensor& input);
TAPEGRAD_API Tensor tanhshrink(const Tensor& input);
TAPEGRAD_API Tensor prelu(const Tensor& input, const Tensor& weight);
TAPEGRAD_API Tensor glu(const Tensor& input, int64_t dim = -1);
TAPEGRAD_API Tensor rrelu(const Tensor& input, double lower = 1.0 / 8, double upper = 1.0 / 3,
                          bool training = false, Generator* generator = nullptr);

inline Tensor operator-(const Tensor& a) { return neg(a); }
#define TAPEGRAD_DECLARE_OPERATOR(symbol, name)                                          \
  inline Tensor operator symbol(const Tensor& a, const Tensor& b) { return name(a, b); } \
  inline Tensor operator symbol(const Tensor& a, Scalar b) { return name(a, b); }
TAPEGRAD_DECLARE_OPERATOR(+, add)
TAPEGRAD_DECLARE_OPERATOR(-, sub)
TAPEGRAD_DECLARE_OPERATOR(*, mul)
TAPEGRAD_DECLARE_OPERATOR(/, div)
TAPEGRAD_DECLARE_OPERATOR(<, lt)
TAPEGRAD_DECLARE_OPERATOR(<=, le)
TAPEGRAD_DECLARE_OPERATOR(>, gt)
TAPEGRAD_DECLARE_OPERATOR(>=, ge)
#undef TAPEGRAD_DECLARE_OPERATOR
inline Tensor operator+(Scalar a, const Tensor& b) { return add(b, a); }
inline Tensor operator-(Scalar a, const Tensor& b) { return rsub(b, a); }
inline Tensor operator*(Scalar a, const Tensor& b) { return mul(b, a); }
TAPEGRAD_API Tensor operator/(Scalar a, const Tensor& b);
inline Tensor& operator+=(Tensor& a, const Tensor& b) { return add_(a, b); }
inline Tensor& operator-=(Tensor& a, const Tensor& b) { return sub_(a, b); }
inline Tensor& operator*=(Tensor& a, const Tensor& b) { return mul_(a, b); }
inline Tensor& operator/=(Tensor& a, const Tensor& b) { return div_(a, b); }

/// The dtype of an operation on both, with PyTorch's categories (dimensions, 0-d tensors, weak
/// numbers).
TAPEGRAD_API DType result_type(const Tensor& a, const Tensor& b);

}  // namespace tapegrad
