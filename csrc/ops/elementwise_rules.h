// The tape rules of the elementwise rows: one template for unary rows, one for binary ones. The
// derivative is one fused kernel when nothing watches it, and the row's formula on tensors when
// something does (a graph of the graph, tangents).
#pragma once

#include <string>
#include <type_traits>

#include "autograd/entry.h"
#include "autograd/inplace.h"
#include "core/text.h"
#include "ops/curve.h"
#include "ops/formulas.h"
#include "ops/promotion.h"
#include "tapegrad/error.h"

namespace tapegrad::ops {

using kernels::LoopParameters;

struct NoParameters {};
template <class Row>
using Parameters = std::conditional_t<Row::parametric, LoopParameters, NoParameters>;

inline LoopParameters loop_parameters(const LoopParameters& p) { return p; }
inline LoopParameters loop_parameters(NoParameters) { return {}; }

/// Whether operations on these are seen by tape, tangents or batches.
inline bool watched(std::initializer_list<const Tensor*> tensors) {
  unsigned flags = 0;
  for (const Tensor* t : tensors) {
    if (t->defined()) flags |= autograd::entry_flags(*t);
  }
  if (!core::thread_state.grad_enabled) flags &= ~static_cast<unsigned>(TensorImpl::kNeedsGrad);
  return (flags & TensorImpl::kEntryMask & ~TensorImpl::kInference) != 0;
}

inline int float_index(DType dtype) { return dtype == DType::Float64 ? 1 : 0; }

/// Uninitialised result for operands of these shapes, in the memory order of the first that has the
/// full shape.
Tensor make_result(const char* op, const Tensor& a, const Tensor& b, DType dtype);

[[noreturn]] void refuse_dtype(const char* op, const Tensor& input, const char* wanted);

template <class Row, class... Rows>
inline constexpr bool kIsOneOf = (std::is_same_v<Row, Rows> || ...);

/// Rows of a few instructions an element; see Note [Large results pass the caches].
template <class Row>
inline constexpr bool kLight =
    Row::domain == Domain::Float
        ? kIsOneOf<Row, unary_sqrt, unary_reciprocal, unary_leaky_relu, binary_div>
        : !kIsOneOf<Row, binary_pow, binary_fmod, binary_remainder, binary_floor_divide>;

// --- unary
// -----------------------------------------------------------------------------------------------------------

template <Domain domain>
DType unary_result(DType dtype) {
  return domain == Domain::Bool    ? DType::Bool
         : domain == Domain::Float ? floating_result(dtype)
                                   : dtype;
}

/// Activations that, as PyTorch's, take no integers.
template <class Row>
inline constexpr bool kFloatsOnly =
    std::is_same_v<Row, unary_gelu> || std::is_same_v<Row, unary_gelu_tanh> ||
    std::is_same_v<Row, unary_silu> || std::is_same_v<Row, unary_elu> ||
    std::is_same_v<Row, unary_softplus> || std::is_same_v<Row, unary_leaky_relu> ||
    std::is_same_v<Row, unary_hardsigmoid> || std::is_same_v<Row, unary_hardswish> ||
    std::is_same_v<Row, unary_mish> || std::is_same_v<Row, unary_hardshrink> ||
    std::is_same_v<Row, unary_softshrink> || std::is_same_v<Row, unary_logsigmoid>;

template <class Row>
void check_unary(const Tensor& x) {
  if (is_complex(x.dtype())) refuse_dtype(Row::name, x, "a real tensor");
  if (kFloatsOnly<Row> && !is_floating_point(x.dtype()))
    refuse_dtype(Row::name, x, "a floating-point tensor");
  if (Row::domain == Domain::Bits && is_floating_point(x.dtype()))
    refuse_dtype(Row::name, x, "an integer or bool tensor");
}

template <class Row>
void run_unary(const Tensor& out, const Tensor& x, const LoopParameters& p) {
  const kernels::Compute compute =
      kernels::compute_type(Row::domain == Domain::Float ? floating_result(x.dtype()) : x.dtype());
  kernels::run_elementwise(kernels::unary_loops(Row::op).f[static_cast<int>(compute)], compute,
                           Row::domain == Domain::Bool, p, out, {&x}, {.is_light = kLight<Row>});
}

template <class Row>
struct UnaryRule : autograd::Rule {
  static constexpr const char* name = Row::name;
  static constexpr bool differentiable = Row::domain != Domain::Bool && Row::domain != Domain::Bits;
  static constexpr bool broadcasts = true;
  [[no_unique_address]] Parameters<Row> parameters;

  unsigned saves_inputs(unsigned) const { return Row::saves == Saves::X ? 1u : 0u; }
  unsigned saves_outputs(unsigned) const { return Row::saves == Saves::Y ? 1u : 0u; }

  Tensor forward(autograd::Inputs in) const {
    const Tensor& x = in[0];
    check_unary<Row>(x);
    Tensor out = core::make_like(x, unary_result<Row::domain>(x.dtype()));
    run_unary<Row>(out, x, loop_parameters(parameters));
    return out;
  }
  Tensor derivative(const Tensor& g, const Tensor& x, const Tensor& y) const {
    const LoopParameters p = loop_parameters(parameters);
    // Without anything saved the formula is one operation, or g itself.
    if (Row::saves == Saves::None || watched({&g, &x, &y}))
      return Row::template pull<Tensor>(g, x, y, TensorParameters{p});
    const Tensor& saved = Row::saves == Saves::Y ? y : x;
    const DType dtype = g.dtype();
    const kernels::Compute compute = kernels::compute_type(dtype);
    const kernels::Loop loop = kernels::unary_loops(Row::op).pull[float_index(dtype)];
    Tensor result = core::make_like(saved, dtype);
    kernels::run_elementwise(loop, compute, false, p, result, {&g, &saved});
    return result;
  }
  void pull(autograd::Pull& pull) const {
    const Tensor x = Row::saves == Saves::X ? pull.input(0) : Tensor();
    const Tensor y = Row::saves == Saves::Y ? pull.output(0) : Tensor();
    pull.set(0, derivative(pull.grad(), x, y));
  }
  /// The Jacobian is diagonal: a tangent passes through as a gradient does.
  Tensor push(autograd::Push& push) const {
    return derivative(push.tangent(0), push.input(0), push.output(0));
  }
  bool curved(unsigned) const { return Row::saves != Saves::None; }
  Tensor curve(autograd::Push& push, const Tensor& rows) const {
    return push_curve(Row::op, loop_parameters(parameters),
                      Row::saves == Saves::Y ? push.output() : push.input(0), rows);
  }
};

template <class Row>
Tensor unary(const Tensor& x, Parameters<Row> parameters = {}) {
  UnaryRule<Row> rule;
  rule.parameters = parameters;
  return autograd::enter(std::move(rule), x);
}

/// Checks of an in-place write that nothing watches; true when the loop may write into `self`
/// directly.
bool direct_write(const char* op, const Tensor& self, const Tensor* other, DType result);

template <class Row>
Tensor& unary_inplace(Tensor& self, Parameters<Row> parameters = {}) {
  const std::string op = std::string(Row::name) + "_";
  check_unary<Row>(self);
  const DType result = unary_result<Row::domain>(self.dtype());
  if (!watched({&self}) && direct_write(op.c_str(), self, nullptr, result)) {
    run_unary<Row>(self, self, loop_parameters(parameters));
    self->bump_version();
    return self;
  }
  autograd::check_writable(op.c_str(), self);
  // What the derivative reads of the input must survive the write.
  return autograd::assign_inplace(
      op.c_str(), self, unary<Row>(Row::saves == Saves::X ? clone(self) : self, parameters));
}

// --- binary
// ----------------------------------------------------------------------------------------------------------

void check_bits(const char* op, const Tensor& a, const Tensor& b, DType common);
void check_bool_arithmetic(const char* op, DType common);

template <class Row>
DType binary_compute_dtype(const Tensor& a, const Tensor& b) {
  const DType common = result_type(a, b);
  if (is_complex(common)) refuse_dtype(Row::name, a, "real tensors");
  if constexpr (Row::domain == Domain::Bits) check_bits(Row::name, a, b, common);
  if constexpr (std::is_same_v<Row, binary_sub>) check_bool_arithmetic("sub", common);
  return Row::domain == Domain::Float ? floating_result(common) : common;
}

template <class Row>
void run_binary(const Tensor& out, const Tensor& a, const Tensor& b, DType dtype,
                const LoopParameters& p) {
  const kernels::Compute compute = kernels::compute_type(dtype);
  kernels::run_elementwise(kernels::binary_loops(Row::op).f[static_cast<int>(compute)], compute,
                           Row::domain == Domain::Bool, p, out, {&a, &b},
                           {.counts_rows = true, .is_light = kLight<Row>});
}

template <class Row>
struct BinaryRule : autograd::Rule {
  static constexpr const char* name = Row::name;
  static constexpr bool differentiable = Row::domain != Domain::Bool && Row::domain != Domain::Bits;
  static constexpr bool broadcasts = true;
  static constexpr bool bilinear = std::is_same_v<Row, binary_mul>;
  [[no_unique_address]] Parameters<Row> parameters;

  static unsigned masks(unsigned needs) {
    return static_cast<unsigned>(((needs & 1) ? Row::saves_a : 0) |
                                 ((needs & 2) ? Row::saves_b : 0));
  }
  unsigned saves_inputs(unsigned needs) const { return masks(needs) & (kA | kB); }
  unsigned saves_outputs(unsigned needs) const { return (masks(needs) & kY) ? 1u : 0u; }

  Tensor forward(autograd::Inputs in) const {
    const DType dtype = binary_compute_dtype<Row>(in[0], in[1]);
    Tensor out =
        make_result(Row::name, in[0], in[1], Row::domain == Domain::Bool ? DType::Bool : dtype);
    run_binary<Row>(out, in[0], in[1], dtype, loop_parameters(parameters));
    return out;
  }
  template <bool kFirst>
  Tensor derivative(const Tensor& g, const Tensor& a, const Tensor& b, const Tensor& y) const {
    const LoopParameters p = loop_parameters(parameters);
    constexpr int saves = kFirst ? Row::saves_a : Row::saves_b;
    if constexpr (Row::fused && saves != kNone) {
      if (!watched({&g, (saves & kA) ? &a : &g, (saves & kB) ? &b : &g, (saves & kY) ? &y : &g})) {
        const kernels::BinaryLoops& loops = kernels::binary_loops(Row::op);
        const int index = float_index(g.dtype());
        Tensor result = core::make_like(g, g.dtype());
        kernels::run_elementwise(
            kFirst ? loops.pull_a[index] : loops.pull_b[index], kernels::compute_type(g.dtype()),
            false, p, result,
            {&g, (saves & kA) ? &a : &g, (saves & kB) ? &b : &g, (saves & kY) ? &y : &g});
        return result;
      }
    }
    if constexpr (kFirst)
      return Row::template pull_a<Tensor>(g, a, b, y, TensorParameters{p});
    else
      return Row::template pull_b<Tensor>(g, a, b, y, TensorParameters{p});
  }
  void pull(autograd::Pull& pull) const {
    for (int i = 0; i < 2; ++i) {
      if (!pull.needs(i)) continue;
      const int saves = i == 0 ? Row::saves_a : Row::saves_b;
      const Tensor a = (saves & kA) ? pull.input(0) : Tensor();
      const Tensor b = (saves & kB) ? pull.input(1) : Tensor();
      const Tensor y = (saves & kY) ? pull.output(0) : Tensor();
      pull.set(i, i == 0 ? derivative<true>(pull.grad(), a, b, y)
                         : derivative<false>(pull.grad(), a, b, y));
    }
  }
  Tensor push(autograd::Push& push) const {
    Tensor total;
    const Tensor& y = push.output();
    for (int i = 0; i < 2; ++i) {
      if (!push.tangent(i).defined()) continue;
      const Tensor t = expand(to(push.tangent(i), y.dtype()), y.sizes());
      const Tensor part = i == 0 ? derivative<true>(t, push.input(0), push.input(1), y)
                                 : derivative<false>(t, push.input(0), push.input(1), y);
      total = total.defined() ? total + part : part;
    }
    return total;
  }
  /// Not where the slopes along the moving inputs read none of them.
  bool curved(unsigned moving) const {
    const unsigned read = masks(moving);
    return (read & kY) != 0 || (read & moving) != 0;
  }
};

template <class Row>
Tensor binary(const Tensor& a, const Tensor& b, Parameters<Row> parameters = {}) {
  BinaryRule<Row> rule;
  rule.parameters = parameters;
  return autograd::enter(std::move(rule), a, b);
}

template <class Row>
Tensor& binary_inplace(Tensor& self, const Tensor& other, Parameters<Row> parameters = {}) {
  const DType dtype = binary_compute_dtype<Row>(self, other);
  const std::string op = std::string(Row::name) + "_";
  const DType result = Row::domain == Domain::Bool ? DType::Bool : dtype;
  if (!watched({&self, &other}) && direct_write(op.c_str(), self, &other, result)) {
    run_binary<Row>(self, self, other, dtype, loop_parameters(parameters));
    self->bump_version();
    return self;
  }
  autograd::check_writable(op.c_str(), self);
  const bool keep = ((Row::saves_a | Row::saves_b) & kA) != 0;
  return autograd::assign_inplace(op.c_str(), self,
                                  binary<Row>(keep ? clone(self) : self, other, parameters));
}

}  // namespace tapegrad::ops
