// The elementwise operations: public functions and registrations of the rows, made by macro.
#include <deque>
#include <string>

#include "ops/elementwise_rules.h"
#include "ops/registry.h"

namespace tapegrad {
namespace ops {

Tensor make_result(const char* op, const Tensor& a, const Tensor& b, DType dtype) {
  if (a.sizes() == b.sizes()) return core::make_like(core::is_dense(a) ? a : b, dtype);
  if (b->dim() == 0) return core::make_like(a, dtype);
  if (a->dim() == 0) return core::make_like(b, dtype);
  const Dims shape = broadcast_shapes(op, a.sizes(), b.sizes());
  if (IntSpan(shape) == a.sizes()) return core::make_like(a, dtype);
  if (IntSpan(shape) == b.sizes()) return core::make_like(b, dtype);
  return core::make_tensor(shape, dtype);
}

void refuse_dtype(const char* op, const Tensor& input, const char* wanted) {
  throw DTypeError(core::text(op, ": expected ", wanted, ", got a ", core::describe(input)));
}

void check_bits(const char* op, const Tensor& a, const Tensor& b, DType common) {
  if (!is_floating_point(common)) return;
  throw DTypeError(core::text(op, ": expected integer or bool tensors, got ", core::describe(a),
                              " and ", core::describe(b)));
}

void check_bool_arithmetic(const char* op, DType common) {
  if (common != DType::Bool) return;
  throw DTypeError(core::text(
      op, ": subtraction of two bool tensors is not supported; use logical_xor() or ^ instead"));
}

void undefined_derivative(const char* op) {
  throw GradError(
      core::text(op, ": this derivative is not defined, as in PyTorch; detach() the input"));
}

bool direct_write(const char* op, const Tensor& self, const Tensor* other, DType result) {
  if (!can_cast(result, self.dtype())) return false;
  // Loops that compare write bytes.
  if (result == DType::Bool && self.dtype() != DType::Bool) return false;
  if (other && !(other->sizes() == self.sizes())) {
    if ((*other)->numel() != 1 || (*other)->dim() > self->dim()) {
      if (!(IntSpan(broadcast_shapes(op, self.sizes(), other->sizes())) == self.sizes()))
        return false;
    }
  }
  // Memory that the loop writes before it has read it: only the same elements in the same places
  // are safe.
  if (other && (*other)->storage() == self->storage() && !other->is_same(self)) return false;
  autograd::check_writable(op, self);
  return true;
}

namespace {

/// Documentation of a row, with its example as a doctest.
std::string_view row_doc(const char* name, const char* doc, const char* a, const char* b,
                         const char* result) {
  static std::deque<std::string> texts;  // registrations keep views
  std::string call = std::string("tg.") + name + "(tg.tensor(" + a + ")";
  if (b) call += std::string(", tg.tensor(") + b + ")";
  texts.push_back(std::string(doc) + ".\n\nArgs:\n    input: a tensor of any shape" +
                  (b ? "\n    other: a tensor or number that broadcasts with input" : "") +
                  "\n    out: a tensor to write the result into\n\nRaises:\n    ShapeError: "
                  "operands that do not broadcast\n"
                  "    DTypeError: a dtype that the operation does not take\n\nExample:\n    >>> "
                  "import math\n    >>> import tapegrad as tg\n    >>> " +
                  call + ")\n    " + result);
  return texts.back();
}

constexpr int kAll = kFunction | kMethod;

/// A division by zero has no integer result: refused before the loop runs.
void check_divisor(const char* op, const Tensor& a, const Tensor& b) {
  if (is_floating_point(result_type(a, b))) return;
  const Tensor zero = eq(b.detach(), Scalar(0)).detach();
  const Tensor flat = core::is_dense(zero) ? zero : contiguous(zero);
  const auto* bytes = static_cast<const unsigned char*>(flat.data());
  for (int64_t i = 0; i < flat.numel(); ++i) {
    if (bytes[i]) throw ValueError(core::text(op, ": ZeroDivisionError: integer division by zero"));
  }
}

template <class Row>
void check_operands([[maybe_unused]] const Tensor& a, [[maybe_unused]] const Tensor& b) {
  if constexpr (std::is_same_v<Row, binary_floor_divide> || std::is_same_v<Row, binary_remainder> ||
                std::is_same_v<Row, binary_fmod> || std::is_same_v<Row, binary_div_trunc>) {
    check_divisor(Row::name, a, b);
  }
}

void check_unary_bool(const char* op, const Tensor& x) {
  if (x.dtype() == DType::Bool) {
    throw DTypeError(core::text(
        op, ": bool tensors are not supported; use logical_not() or convert with .int()"));
  }
}

}  // namespace
}  // namespace ops

using namespace ops;

// --- rows
// ------------------------------------------------------------------------------------------------------------

#define TAPEGRAD_DEFINE_UNARY(name, domain, saves, f, pull, doc, example, result)          \
  Tensor name(const Tensor& input) {                                                       \
    if constexpr (unary_##name::op == kernels::UnaryOp::neg ||                             \
                  unary_##name::op == kernels::UnaryOp::relu) {                            \
      check_unary_bool(#name, input);                                                      \
    }                                                                                      \
    return unary<unary_##name>(input);                                                     \
  }                                                                                        \
  Tensor& name##_(Tensor& self) { return unary_inplace<unary_##name>(self); }              \
  TAPEGRAD_OP(kAll, #name "(Tensor input, *, Tensor? out=None) -> Tensor",                 \
              row_doc(#name, doc, example, nullptr, result), &name);                       \
  TAPEGRAD_OP(                                                                             \
      kAll, #name "_(Tensor(a!) input) -> Tensor(a!)", "In-place version of " #name "().", \
      +[](const Tensor& self) {                                                            \
        Tensor written = self;                                                             \
        return name##_(written);                                                           \
      });
TAPEGRAD_UNARY_ROWS(TAPEGRAD_DEFINE_UNARY)
#undef TAPEGRAD_DEFINE_UNARY

#define TAPEGRAD_REGISTER_INPLACE(name, OtherType, other)                         \
  TAPEGRAD_OP(                                                                    \
      kAll, #name "_(Tensor(a!) input, " #OtherType " " #other ") -> Tensor(a!)", \
      "In-place version of " #name "().",                                         \
      +[](const Tensor& self, TAPEGRAD_CXX_##OtherType value) {                   \
        Tensor written = self;                                                    \
        return name##_(written, value);                                           \
      });
#define TAPEGRAD_CXX_Tensor const Tensor&
#define TAPEGRAD_CXX_Scalar Scalar

#define TAPEGRAD_DEFINE_BINARY(name, domain, mode, saves_a, saves_b, f, pull_a, pull_b, doc,    \
                               example_a, example_b, result)                                    \
  Tensor name(const Tensor& input, const Tensor& other) {                                       \
    check_operands<binary_##name>(input, other);                                                \
    return binary<binary_##name>(input, other);                                                 \
  }                                                                                             \
  Tensor name(const Tensor& input, Scalar other) { return name(input, wrapped_number(other)); } \
  Tensor& name##_(Tensor& self, const Tensor& other) {                                          \
    check_operands<binary_##name>(self, other);                                                 \
    return binary_inplace<binary_##name>(self, other);                                          \
  }                                                                                             \
  Tensor& name##_(Tensor& self, Scalar other) { return name##_(self, wrapped_number(other)); }  \
  TAPEGRAD_OP(                                                                                  \
      kAll, #name "(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",                \
      row_doc(#name, doc, example_a, example_b, result),                                        \
      +[](const Tensor& a, const Tensor& b) { return name(a, b); });                            \
  TAPEGRAD_OP(                                                                                  \
      kAll, #name "(Tensor input, Scalar other, *, Tensor? out=None) -> Tensor", "",            \
      +[](const Tensor& a, Scalar b) { return name(a, b); });                                   \
  TAPEGRAD_REGISTER_INPLACE(name, Tensor, other)                                                \
  TAPEGRAD_REGISTER_INPLACE(name, Scalar, other)
TAPEGRAD_BINARY_ROWS(TAPEGRAD_DEFINE_BINARY)
#undef TAPEGRAD_DEFINE_BINARY

Tensor operator/(Scalar a, const Tensor& b) { return div(wrapped_number(a), b); }

}  // namespace tapegrad
