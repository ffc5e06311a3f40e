// Copies, conversions between dtypes, and the in-place operations that only overwrite.
#include "kernels/copy.h"

#include "autograd/entry.h"
#include "autograd/inplace.h"
#include "core/text.h"
#include "ops/fill_check.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace {

using autograd::Inputs;
using autograd::Pull;
using namespace ops;

struct CloneRule : autograd::Rule {
  static constexpr const char* name = "Clone";
  static constexpr bool linear = true;
  bool row_major = false;
  Tensor batch(const autograd::Batch& b) const {
    if (row_major) return autograd::enter(CloneRule(*this), b.front(0));
    b.out_dim = b.dim(0);
    return autograd::enter(CloneRule(*this), b.inner(0));
  }
  Tensor forward(Inputs in) const {
    const Tensor& x = in[0];
    Tensor result =
        row_major ? core::make_tensor(x.sizes(), x.dtype()) : core::make_like(x, x.dtype());
    kernels::copy_values(result, x);
    return result;
  }
  void pull(Pull& p) const { p.set(0, p.grad()); }
};

Tensor converted(const Tensor& x, DType dtype) {
  Tensor result = core::make_like(x, dtype);
  kernels::copy_values(result, x);
  return result;
}

struct ToRule : autograd::Rule {
  static constexpr const char* name = "ToCopy";
  static constexpr bool linear = true;
  DType dtype = DType::Float32;
  static constexpr bool broadcasts = true;
  Tensor forward(Inputs in) const { return converted(in[0], dtype); }
  void pull(Pull& p) const { p.set(0, p.grad()); }  // the engine converts back
};

/// To integers and bool: a step function, without tape.
struct TruncateRule : autograd::Rule {
  static constexpr const char* name = "ToCopy";
  static constexpr bool differentiable = false;
  DType dtype = DType::Int64;
  static constexpr bool broadcasts = true;
  Tensor forward(Inputs in) const { return converted(in[0], dtype); }
  void pull(Pull&) const {}
};

/// Inputs: the tensor that is overwritten, which gets a zero gradient, and the values. The result
/// has a node of its own: hooks and retained gradients of the tensor must not land on the values'
/// node.
struct OverwriteRule : autograd::Rule {
  static constexpr const char* name = "Copy";
  static constexpr bool linear = true;
  static constexpr bool leading = true;
  Tensor forward(Inputs in) const {
    return core::make_alias(in[1], in[1].sizes(), in[1].strides(), in[1].storage_offset());
  }
  void pull(Pull& p) const {
    if (p.needs(0)) p.set(0, expand(zeros({}, p.grad().dtype()), p.input_sizes(0)));
    if (p.needs(1)) p.set(1, p.grad());
  }
};

Tensor& overwrite(const char* op, Tensor& self, const Tensor& values) {
  const Tensor none = zeros({}, self.dtype());
  // Through a view, the base's history takes care of what was there.
  return autograd::assign_inplace(
      op, self, autograd::enter(OverwriteRule{}, self->base ? none : self, values));
}

bool followed(const Tensor& tensor) {
  unsigned flags = autograd::entry_flags(tensor);
  if (!core::thread_state.grad_enabled) flags &= ~unsigned{TensorImpl::kNeedsGrad};
  return (flags & ~unsigned{TensorImpl::kInference}) != 0;
}

/// First and last byte position that a tensor touches in its storage.
struct Extent {
  int64_t first;
  int64_t last;
  explicit Extent(const Tensor& tensor) {
    const auto item = static_cast<int64_t>(item_size(tensor.dtype()));
    first = last = tensor.storage_offset() * item;
    for (size_t i = 0; i < tensor.sizes().size(); ++i) {
      last += (tensor.sizes()[i] - 1) * tensor.strides()[i] * item;
    }
    last += item - 1;
  }
};

/// Whether writing `to` could change elements of `from` before they are read.
bool clobbers(const Tensor& to, const Tensor& from) {
  if (to->storage() != from->storage() || to.numel() == 0 || from.numel() == 0) return false;
  if (to.storage_offset() == from.storage_offset() && to.dtype() == from.dtype() &&
      to.sizes() == from.sizes() && to.strides() == from.strides()) {
    return false;
  }
  const Extent a(to), b(from);
  return a.first <= b.last && b.first <= a.last;
}

void check_copy_shapes(const Tensor& self, const Tensor& src) {
  const IntSpan to = self.sizes(), from = src.sizes();
  if (to == from) return;
  bool fits = from.size() <= to.size();
  for (size_t i = 0; fits && i < from.size(); ++i) {
    const int64_t size = from[from.size() - 1 - i];
    fits = size == 1 || size == to[to.size() - 1 - i];
  }
  if (!fits) {
    throw ShapeError(core::text("copy_: src of shape ", shape_string(from),
                                " does not broadcast to self of shape ", shape_string(to)));
  }
}

}  // namespace

Tensor clone(const Tensor& input) { return autograd::enter(CloneRule{}, input); }

Tensor contiguous(const Tensor& input) {
  if (input.is_contiguous()) return input;
  return autograd::enter(CloneRule{{}, true}, input);
}

Tensor to(const Tensor& input, DType dtype, bool copy) {
  if (input.dtype() == dtype) return copy ? clone(input) : input;
  if (is_floating_point(dtype)) return autograd::enter(ToRule{{}, dtype}, input);
  return autograd::enter(TruncateRule{{}, dtype}, input);
}

Tensor& copy_(Tensor& self, const Tensor& src) {
  autograd::check_writable("copy_", self);
  if (self.is_same(src)) return self;
  check_copy_shapes(self, src);
  if (clobbers(self, src)) return copy_(self, clone(src));
  if (!followed(self) && !followed(src)) {
    kernels::copy_values(self, src);
    self->bump_version();
    return self;
  }
  return overwrite("copy_", self, to(src, self.dtype()));
}

Tensor& fill_(Tensor& self, Scalar value) {
  autograd::check_writable("fill_", self);
  check_fill("fill_", value, self.dtype());
  if (!followed(self)) {
    kernels::fill_values(self, value);
    self->bump_version();
    return self;
  }
  return overwrite("fill_", self, core::make_scalar(value, self.dtype()));
}

Tensor& zero_(Tensor& self) { return fill_(self, Scalar(0)); }

TAPEGRAD_OP(kFunction | kMethod,
            "clone(Tensor input, *, memory_format? memory_format=None) -> Tensor",
            R"(A copy of input, of its dtype and (where it has no gaps) its memory order.
Gradients flow from the copy to input.

Args:
    input: a tensor
    memory_format: accepted for compatibility

Example:
    >>> import tapegrad as tg
    >>> x = tg.tensor([1., 2.])
    >>> y = x.clone()
    >>> y[0] = 5.
    >>> x
    tensor([1., 2.]))",
            &clone);
TAPEGRAD_OP(kMethod, "contiguous(Tensor input, memory_format? memory_format=None) -> Tensor",
            R"(input itself when its elements lie in row-major order without gaps, else such a copy.

Example:
    >>> import tapegrad as tg
    >>> tg.ones(2, 3).t().contiguous().stride()
    (2, 1))",
            &contiguous);
TAPEGRAD_OP(
    kMethod, "copy_(Tensor(a!) input, Tensor src, bool non_blocking=False) -> Tensor(a!)",
    R"(Writes src, broadcast and converted to the dtype of the tensor, into the tensor; returns it.

Args:
    src: the values; any dtype, of a shape that broadcasts to the tensor's
    non_blocking: accepted for compatibility

Raises:
    ShapeError: src does not broadcast to the tensor's shape
    GradError: the tensor is a leaf that requires grad

Example:
    >>> import tapegrad as tg
    >>> tg.zeros(2, 2).copy_(tg.tensor([1, 2]))
    tensor([[1., 2.],
            [1., 2.]]))",
    +[](const Tensor& self, const Tensor& src, bool) {
      Tensor written = self;
      return copy_(written, src);
    });
TAPEGRAD_OP(
    kFunction | kMethod, "fill_(Tensor(a!) input, Tensor value) -> Tensor(a!)",
    R"(Sets every element to value; returns the tensor.

Args:
    value: a number, or a 0-d tensor (through which gradients flow)

Raises:
    ValueError: the dtype cannot hold value
    GradError: the tensor is a leaf that requires grad

Example:
    >>> import tapegrad as tg
    >>> tg.zeros(3).fill_(2)
    tensor([2., 2., 2.]))",
    +[](const Tensor& self, const Tensor& value) {
      if (value.dim() != 0) {
        throw ShapeError(core::text("fill_: value must be a number or a 0-d tensor, got a ",
                                    core::describe(value), "; use copy_ to broadcast a tensor"));
      }
      Tensor written = self;
      return copy_(written, value);
    });
TAPEGRAD_OP(
    kFunction | kMethod, "fill_(Tensor(a!) input, Scalar value) -> Tensor(a!)", "",
    +[](const Tensor& self, Scalar value) {
      Tensor written = self;
      return fill_(written, value);
    });
TAPEGRAD_OP(
    kFunction | kMethod, "zero_(Tensor(a!) input) -> Tensor(a!)",
    R"(Sets every element to zero; returns the tensor.

Raises:
    GradError: the tensor is a leaf that requires grad

Example:
    >>> import tapegrad as tg
    >>> tg.ones(3).zero_()
    tensor([0., 0., 0.]))",
    +[](const Tensor& self) {
      Tensor written = self;
      return zero_(written);
    });

}  // namespace tapegrad
