// Largest and smallest elements, and where they are: amax, amin, aminmax, max, min, argmax, argmin.
#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "ops/ordering.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;
using kernels::FoldOp;

namespace {

constexpr int kAll = kFunction | kMethod;

/// No element has no extremum.
void require_elements(const char* op, const Tensor& input, DimMask mask) {
  if (input->numel() > 0) return;
  if (mask == all_dims(input.dim())) {
    throw ShapeError(core::text(op,
                                ": expected reduction dim to be specified for an input without "
                                "elements, got a ",
                                core::describe(input)));
  }
  for (int d = 0; d < input.dim(); ++d) {
    if (has_dim(mask, d) && input.size(d) == 0) {
      throw IndexError(core::text(op, ": expected reduction dim ", d,
                                  " to have non-zero size, got a ", core::describe(input)));
    }
  }
}

// --- the value alone: ties share the gradient ----------------------------------------------------

struct ExtremumRule : autograd::Rule {
  static constexpr const char* name = "Extremum";
  DimMask mask;
  bool keepdim;
  bool largest;
  bool whole;  // max() and min() without dim: a NaN result is shared by the NaN elements

  unsigned saves_inputs(unsigned) const { return 1; }
  unsigned saves_outputs(unsigned) const { return 1; }

  ExtremumRule shifted() const {
    ExtremumRule rule = *this;
    rule.mask <<= 1;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const {
    const Tensor& x = in[0];
    if (x->numel() == 0)
      return core::make_tensor(reduced_sizes(x.sizes(), mask, keepdim), x.dtype());
    return fold(x, mask, keepdim, largest ? FoldOp::Max : FoldOp::Min, x.dtype());
  }

  void pull(autograd::Pull& p) const {
    const Tensor x = p.input(0);
    const Tensor y = restore(p.output(), x.dim(), mask, keepdim);
    const Tensor g = restore(p.grad(), x.dim(), mask, keepdim);
    Tensor chosen = eq(x, y).detach();
    if (whole) chosen = logical_or(chosen, logical_and(isnan(x), isnan(y))).detach();
    const Tensor ties = sum(chosen, dims_of(mask, x.dim()), true);
    p.set(0, where(chosen, g, Scalar(0.0)) / ties);
  }
};

Tensor extremum(const char* op, const Tensor& input, DimMask mask, bool keepdim, bool largest,
                bool whole = false) {
  require_elements(op, input, mask);
  return autograd::enter(ExtremumRule{{}, mask, keepdim, largest, whole}, input);
}

// --- with the place: the gradient goes to that element -------------------------------------------

struct Places {
  Tensor values;  // undefined unless asked for
  Tensor indices;
};

Places find_places(const Tensor& input, DimMask mask, bool keepdim, bool smallest, bool values) {
  const Dims sizes = reduced_sizes(input.sizes(), mask, keepdim);
  Places out;
  out.indices = core::make_tensor(sizes, DType::Int64);
  if (out.indices->numel() == 0) {
    if (values) out.values = core::make_tensor(sizes, input.dtype());
    return out;
  }
  Tensor x = converted(input, kernel_dtype(input.dtype()));
  kernels::ArgParameters p;
  // Indices count in logical order: dimensions may not be reordered when several are reduced.
  if (!as_blocks(x, mask, mask == all_dims(x->dim()), p.shape)) x = gathered(x, mask, p.shape);
  p.type = fold_type(x.dtype());
  p.smallest = smallest;
  if (values) out.values = core::make_tensor(sizes, x.dtype());
  const int64_t scratch = kernels::arg_scratch(p.shape);
  const Tensor memory = scratch ? core::make_tensor({scratch}, DType::Int64) : Tensor();
  core::launch(&kernels::arg_extremum,
               {values ? core::out(out.values) : core::none(), core::out(out.indices), core::in(x),
                scratch ? core::out(memory) : core::none()},
               p);
  if (values) out.values = converted(out.values, input.dtype());
  return out;
}

struct ExtremumWithIndexRule : autograd::Rule {
  static constexpr const char* name = "ExtremumWithIndex";
  int64_t dim;
  bool keepdim;
  bool largest;

  unsigned saves_outputs(unsigned) const { return 2; }

  ExtremumWithIndexRule shifted() const {
    ExtremumWithIndexRule rule = *this;
    ++rule.dim;
    return rule;
  }
  std::vector<Tensor> forward(autograd::Inputs in) const {
    Places found = find_places(in[0], DimMask{1} << dim, keepdim, !largest, true);
    std::vector<Tensor> result;
    result.reserve(2);
    result.push_back(std::move(found.values));
    result.push_back(std::move(found.indices));
    return result;
  }

  void pull(autograd::Pull& p) const { pull_picked(p, dim, keepdim); }
};

std::vector<Tensor> extremum_along(const char* op, const Tensor& input, int64_t dim, bool keepdim,
                                   bool largest) {
  const int64_t d = wrap_dim(op, dim, input.dim());
  if (input.dim() > 0 && input.size(d) == 0) require_elements(op, input, DimMask{1} << d);
  return autograd::enter(ExtremumWithIndexRule{{}, d, keepdim, largest}, input);
}

struct ArgRule : autograd::Rule {
  static constexpr const char* name = "ArgExtremum";
  static constexpr bool differentiable = false;
  DimMask mask;
  bool keepdim;
  bool largest;
  ArgRule shifted() const {
    ArgRule rule = *this;
    rule.mask <<= 1;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const {
    return find_places(in[0], mask, keepdim, !largest, false).indices;
  }
  void pull(autograd::Pull&) const {}
};

Tensor arg_extremum(const char* op, const Tensor& input, std::optional<int64_t> dim, bool keepdim,
                    bool largest) {
  if (input.dtype() == DType::Bool) {
    throw DTypeError(core::text(op, ": bool tensors are not supported; convert with .int() first"));
  }
  const DimMask mask = dim ? dim_mask(op, *dim, input.dim()) : all_dims(input.dim());
  if (input->numel() == 0 && !dim) {
    throw IndexError(core::text(op,
                                ": expected reduction dim to be specified for an input without "
                                "elements, got a ",
                                core::describe(input)));
  }
  require_elements(op, input, mask);
  return autograd::enter(ArgRule{{}, mask, keepdim, largest}, input);
}

}  // namespace

Tensor amax(const Tensor& input, OptionalInts dim, bool keepdim) {
  return extremum("amax", input, dim_mask("amax", dim, input.dim()), keepdim, true);
}
Tensor amin(const Tensor& input, OptionalInts dim, bool keepdim) {
  return extremum("amin", input, dim_mask("amin", dim, input.dim()), keepdim, false);
}
std::vector<Tensor> aminmax(const Tensor& input, std::optional<int64_t> dim, bool keepdim) {
  const DimMask mask = dim ? dim_mask("aminmax", *dim, input.dim()) : all_dims(input.dim());
  return {extremum("aminmax", input, mask, keepdim, false),
          extremum("aminmax", input, mask, keepdim, true)};
}
Tensor max(const Tensor& input) {
  return extremum("max", input, all_dims(input.dim()), false, true, true);
}
Tensor min(const Tensor& input) {
  return extremum("min", input, all_dims(input.dim()), false, false, true);
}
std::vector<Tensor> max(const Tensor& input, int64_t dim, bool keepdim) {
  return extremum_along("max", input, dim, keepdim, true);
}
std::vector<Tensor> min(const Tensor& input, int64_t dim, bool keepdim) {
  return extremum_along("min", input, dim, keepdim, false);
}
Tensor argmax(const Tensor& input, std::optional<int64_t> dim, bool keepdim) {
  return arg_extremum("argmax", input, dim, keepdim, true);
}
Tensor argmin(const Tensor& input, std::optional<int64_t> dim, bool keepdim) {
  return arg_extremum("argmin", input, dim, keepdim, false);
}

// --- registration --------------------------------------------------------------------------------

TAPEGRAD_OP(
    kAll, "amax(Tensor input, int[1]? dim=None, bool keepdim=False, *, Tensor? out=None) -> Tensor",
    R"(Largest element, of all or along dimensions. NaN wins; ties share the gradient equally.

Args:
    input: a tensor
    dim: a dimension, or several; all when absent
    keepdim: keep the reduced dimensions with size 1
    out: a tensor to write the result into

Raises:
    ShapeError, IndexError: no elements to choose from

Example:
    >>> import tapegrad as tg
    >>> tg.amax(tg.tensor([[1., 5.], [3., 4.]]), dim=1)
    tensor([5., 4.]))",
    &amax);
TAPEGRAD_OP(
    kAll, "amin(Tensor input, int[1]? dim=None, bool keepdim=False, *, Tensor? out=None) -> Tensor",
    R"(Smallest element, of all or along dimensions. NaN wins; ties share the gradient equally.

Arguments and errors as of amax().

Example:
    >>> import tapegrad as tg
    >>> tg.amin(tg.tensor([[1., 5.], [3., 4.]]), dim=1)
    tensor([1., 3.]))",
    &amin);
TAPEGRAD_OP(
    kAll, "aminmax(Tensor input, *, int? dim=None, bool keepdim=False) -> (Tensor min, Tensor max)",
    R"(Smallest and largest element, of all or along a dimension.

Example:
    >>> import tapegrad as tg
    >>> tg.aminmax(tg.tensor([3., 1., 2.])).max
    tensor(3.))",
    &aminmax);

#define TAPEGRAD_REGISTER_EXTREMUM(name, elementwise, doc)                                        \
  TAPEGRAD_OP(                                                                                    \
      kAll, #name "(Tensor input) -> Tensor", doc, +[](const Tensor& x) { return name(x); });     \
  TAPEGRAD_OP(                                                                                    \
      kAll,                                                                                       \
      #name "(Tensor input, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)", "", \
      +[](const Tensor& x, int64_t dim, bool keepdim) { return name(x, dim, keepdim); });         \
  TAPEGRAD_OP(                                                                                    \
      kAll, #name "(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor", "",              \
      +[](const Tensor& x, const Tensor& other) { return elementwise(x, other); });
TAPEGRAD_REGISTER_EXTREMUM(max, maximum,
                           R"(Largest element of all; along a dimension, also where it is.

max(input) returns a tensor, max(input, dim) the pair (values, indices), and max(input, other) is
maximum(). NaN wins. Without dim ties share the gradient, with it all goes to the element at the
index, the first of equal ones.

Args:
    input: a tensor
    dim: the dimension
    keepdim: keep the dimension with size 1

Raises:
    ShapeError, IndexError: no elements to choose from

Example:
    >>> import tapegrad as tg
    >>> tg.max(tg.tensor([[1., 5.], [3., 4.]]), dim=1).indices
    tensor([1, 1]))")
TAPEGRAD_REGISTER_EXTREMUM(min, minimum,
                           R"(Smallest element of all; along a dimension, also where it is.

min(input) returns a tensor, min(input, dim) the pair (values, indices), and min(input, other) is
minimum(). Otherwise as max().

Example:
    >>> import tapegrad as tg
    >>> tg.min(tg.tensor([[1., 5.], [3., 4.]]), dim=1).values
    tensor([1., 3.]))")
#undef TAPEGRAD_REGISTER_EXTREMUM

TAPEGRAD_OP(kAll, "argmax(Tensor input, int? dim=None, bool keepdim=False) -> Tensor",
            R"(Index of the largest element: the first of equal ones, of NaN if there is one.

Args:
    input: a tensor, not bool
    dim: the dimension; the index into the flattened tensor when absent
    keepdim: keep the dimension with size 1

Returns:
    an int64 tensor

Raises:
    DTypeError: a bool tensor
    IndexError: no elements to choose from

Example:
    >>> import tapegrad as tg
    >>> tg.argmax(tg.tensor([[1., 5.], [3., 4.]]))
    tensor(1))",
            &argmax);
TAPEGRAD_OP(kAll, "argmin(Tensor input, int? dim=None, bool keepdim=False) -> Tensor",
            R"(Index of the smallest element: the first of equal ones, of NaN if there is one.

Arguments and errors as of argmax().

Example:
    >>> import tapegrad as tg
    >>> tg.argmin(tg.tensor([[1., 5.], [3., 4.]]), dim=0)
    tensor([0, 1]))",
            &argmin);

}  // namespace tapegrad
