// Masks: masked_fill, masked_select, and the places of nonzero elements.
#include "core/launch.h"
#include "core/text.h"
#include "kernels/index.h"
#include "ops/indexing.h"
#include "ops/registry.h"
#include "tapegrad/error.h"

namespace tapegrad {
namespace ops {

Tensor nonzero_positions(const Tensor& input) {
  const Tensor x = contiguous(input.detach());
  const int64_t count = x.numel();
  const int64_t chunks = (count + kernels::kNonzeroChunk - 1) / kernels::kNonzeroChunk;
  if (chunks == 0) return core::make_tensor({0}, DType::Int64);
  const Tensor starts = core::make_tensor({chunks}, DType::Int64);
  const kernels::FindNonzero p{x.dtype(), count};
  core::launch(&kernels::find_nonzero, {core::none(), core::in(x), core::out(starts)}, p);
  int64_t* start = static_cast<int64_t*>(starts.data());
  int64_t total = 0;
  for (int64_t c = 0; c < chunks; ++c) {
    const int64_t found = start[c];
    start[c] = total;
    total += found;
  }
  Tensor positions = core::make_tensor({total}, DType::Int64);
  if (total > 0)
    core::launch(&kernels::find_nonzero, {core::out(positions), core::in(x), core::out(starts)}, p);
  return positions;
}

}  // namespace ops

using namespace ops;

namespace {

using autograd::Inputs;
using autograd::Pull;

constexpr int kAll = kFunction | kMethod;

/// Inputs: x, value (0-d, of x's dtype), mask.
struct MaskedFillRule : autograd::Rule {
  static constexpr const char* name = "MaskedFill";
  static constexpr bool linear = true;
  bool in_place = false;
  unsigned saves_inputs(unsigned) const { return 4u; }
  Tensor batch(const autograd::Batch& b) const {
    if (b.is_batched(1)) {  // the kernel takes one number
      const Tensor filled = where(b.seen(2), b.seen(1), b.seen(0));
      return autograd::lower_batch(filled, 0, b.level(), b.size());
    }
    const int64_t ndim = b.max_dim();
    return autograd::enter(*this, b.aligned(0, ndim), b.inner(1), b.aligned(2, ndim));
  }
  Tensor forward(Inputs in) const {
    const Tensor& x = in[0];
    const Tensor& mask = in[2];
    Tensor result;
    if (in_place) {
      result = same_memory(x);
    } else if (x.sizes() == mask.sizes()) {
      result = core::make_like(x, x.dtype());
    } else {
      const Dims sizes = broadcast_shapes("masked_fill", x.sizes(), mask.sizes());
      result = x.sizes() == IntSpan(sizes) ? core::make_like(x, x.dtype())
                                           : core::make_tensor(sizes, x.dtype());
    }
    if (result.numel() == 0) return result;
    kernels::MaskedFill p;
    p.dtype = x.dtype();
    kernels::plan_begin(p.plan, result.sizes());
    kernels::plan_add(p.plan, result.sizes(), result.strides());
    kernels::plan_add(p.plan, x.sizes(), x.strides());
    kernels::plan_add(p.plan, mask.sizes(), mask.strides());
    kernels::plan_finish(p.plan);
    core::launch(&kernels::masked_fill,
                 {core::out(result), core::in(x), core::in(mask), core::in(in[1])}, p);
    return result;
  }
  void pull(Pull& p) const {
    const Tensor mask = p.input(2);
    const Tensor zero = core::make_scalar(0, p.grad().dtype());
    if (p.needs(0)) p.set(0, autograd::enter(MaskedFillRule{}, p.grad(), zero, mask));
    // The engine sums this to the 0-d value.
    if (p.needs(1)) p.set(1, autograd::enter(MaskedFillRule{}, p.grad(), zero, logical_not(mask)));
  }
};

void check_fill_mask(const char* op, const Tensor& x, const Tensor& mask, const Tensor& value) {
  if (mask.dtype() != DType::Bool) {
    throw DTypeError(core::text(op, ": mask must be a bool tensor, got a ", core::describe(mask),
                                "; compare or convert it with .bool()"));
  }
  if (value.dim() != 0) {
    throw ShapeError(core::text(op, ": value must be a number or a 0-d tensor, got a ",
                                core::describe(value), "; use where() for more values"));
  }
  broadcast_shapes(op, x.sizes(), mask.sizes());
}

Tensor& masked_fill_(Tensor& self, const Tensor& mask, const Tensor& value) {
  check_fill_mask("masked_fill_", self, mask, value);
  if (!(IntSpan(broadcast_shapes("masked_fill_", self.sizes(), mask.sizes())) == self.sizes())) {
    throw ShapeError(core::text("masked_fill_: mask of shape ", shape_string(mask.sizes()),
                                " does not broadcast to the written ", core::describe(self)));
  }
  const Tensor number = apart_from(self, to(value, self.dtype()));
  const Tensor where_true = apart_from(self, mask);
  const IndexInputs inputs({&self, &number, &where_true});
  return enter_inplace("masked_fill_", self, MaskedFillRule{}, inputs);
}

}  // namespace

Tensor masked_fill(const Tensor& input, const Tensor& mask, const Tensor& value) {
  check_fill_mask("masked_fill", input, mask, value);
  return autograd::enter(MaskedFillRule{}, input, to(value, input.dtype()), mask);
}

Tensor masked_select(const Tensor& input, const Tensor& mask) {
  if (mask.dtype() != DType::Bool) {
    throw DTypeError(core::text("masked_select: mask must be a bool tensor, got a ",
                                core::describe(mask), "; compare or convert it with .bool()"));
  }
  const Dims sizes = broadcast_shapes("masked_select", input.sizes(), mask.sizes());
  if (sizes.empty()) {
    const Tensor one_mask = reshape(mask, {1});
    return index(reshape(input, {1}), {&one_mask, 1});
  }
  const Tensor full = expand(mask, sizes);
  return index(input.sizes() == IntSpan(sizes) ? input : expand(input, sizes), {&full, 1});
}

Tensor nonzero(const Tensor& input) {
  const Tensor positions = nonzero_positions(input);
  const int64_t count = positions.numel();
  const auto ndim = static_cast<int>(input.dim());
  if (ndim == 1) return core::make_alias(positions, {count, 1}, {1, 1}, 0);
  Tensor result = core::make_tensor({count, ndim}, DType::Int64);
  if (result.numel() == 0) return result;
  kernels::Unravel p;
  p.count = count;
  p.ndim = ndim;
  for (int d = 0; d < ndim; ++d) p.sizes[d] = input.sizes()[static_cast<size_t>(d)];
  core::launch(&kernels::unravel, {core::out(result), core::in(positions)}, p);
  return result;
}

TAPEGRAD_OP(kAll, "masked_fill(Tensor input, Tensor mask, Tensor value) -> Tensor",
            R"(A copy of input with value where mask is true.

Args:
    input: a tensor
    mask: a bool tensor; the shapes broadcast
    value: a number, or a 0-d tensor (through which gradients flow)

Raises:
    DTypeError: a mask that is not bool
    ValueError: the dtype of input cannot hold value

Example:
    >>> import tapegrad as tg
    >>> tg.masked_fill(tg.tensor([1., 2.]), tg.tensor([True, False]), 0)
    tensor([0., 2.]))",
            &masked_fill);
TAPEGRAD_OP(
    kAll, "masked_fill(Tensor input, Tensor mask, Scalar value) -> Tensor", "",
    +[](const Tensor& x, const Tensor& mask, Scalar value) {
      return masked_fill(x, mask, number_like("masked_fill", x, value));
    });
TAPEGRAD_OP(
    kMethod, "masked_fill_(Tensor(a!) input, Tensor mask, Tensor value) -> Tensor(a!)",
    "In-place version of masked_fill().",
    +[](const Tensor& self, const Tensor& mask, const Tensor& value) {
      Tensor written = self;
      return masked_fill_(written, mask, value);
    });
TAPEGRAD_OP(
    kMethod, "masked_fill_(Tensor(a!) input, Tensor mask, Scalar value) -> Tensor(a!)", "",
    +[](const Tensor& self, const Tensor& mask, Scalar value) {
      Tensor written = self;
      return masked_fill_(written, mask, number_like("masked_fill_", self, value));
    });
TAPEGRAD_OP(kAll, "masked_select(Tensor input, Tensor mask, *, Tensor? out=None) -> Tensor",
            R"(The elements of input where mask is true, in one dimension.

Args:
    input: a tensor
    mask: a bool tensor; the shapes broadcast
    out: a tensor to write the result into

Raises:
    DTypeError: a mask that is not bool

Example:
    >>> import tapegrad as tg
    >>> x = tg.tensor([1., -2., 3.])
    >>> tg.masked_select(x, x > 0)
    tensor([1., 3.]))",
            &masked_select);
TAPEGRAD_OP(
    kAll, "nonzero(Tensor input, *, bool as_tuple=False, Tensor? out=None) -> Tensor | Tensor[]",
    R"(The indices of the elements that are not zero: an int64 tensor of shape (count, ndim), in row-major order;
with as_tuple a tuple of its columns, which may be used as an index.

Example:
    >>> import tapegrad as tg
    >>> tg.nonzero(tg.tensor([[0, 1], [2, 0]]))
    tensor([[0, 1],
            [1, 0]]))",
    +[](const Tensor& x, bool as_tuple) {
      if (!as_tuple) return OneOrMore{{nonzero(x)}};
      return OneOrMore{unbind(nonzero(x.dim() == 0 ? reshape(x, {1}) : x), 1), true};
    });
TAPEGRAD_OP(kAll, "argwhere(Tensor input) -> Tensor",
            R"(The indices of the elements that are not zero; see nonzero().

Example:
    >>> import tapegrad as tg
    >>> tg.argwhere(tg.tensor([0., 2.]))
    tensor([[1]]))",
            &nonzero);

}  // namespace tapegrad
