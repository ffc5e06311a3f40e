// view(dtype): the same memory read as numbers of another type.
#include "autograd/entry.h"
#include "core/text.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;

namespace {

/// Sizes, strides and offset of a tensor, in elements.
struct Layout {
  Dims sizes, strides;
  int64_t offset;
};

/// Numbers `times` as large or, with `wider` false, as small.
Layout scaled(const Tensor& x, DType dtype, int64_t times, bool wider) {
  Layout to{Dims(x.sizes()), Dims(x.strides()), x.storage_offset()};
  if (times == 1) return to;
  const auto refuse = [&](const char* why) {
    throw ShapeError(core::text("view: cannot read a ", core::describe(x), " as ",
                                dtype_name(dtype), ": ", why));
  };
  if (x.dim() == 0) refuse("a 0-d tensor keeps the size of its element");
  const auto last = static_cast<int>(x.dim()) - 1;
  if (to.strides[last] != 1) refuse("elements of the last dimension must lie side by side");
  if (!wider) {
    to.sizes[last] *= times;
    to.offset *= times;
    for (int d = 0; d < last; ++d) to.strides[d] *= times;
    return to;
  }
  bool fits = to.sizes[last] % times == 0 && to.offset % times == 0;
  for (int d = 0; d < last; ++d) fits = fits && to.strides[d] % times == 0;
  if (!fits)
    refuse("size of the last dimension, offset and other strides must be multiples of the ratio");
  to.sizes[last] /= times;
  to.offset /= times;
  for (int d = 0; d < last; ++d) to.strides[d] /= times;
  return to;
}

/// Bits have no derivative: the result is cut off the tape, but shares the version.
struct ViewDtypeRule : autograd::Rule {
  static constexpr const char* name = "ViewDtype";
  static constexpr bool differentiable = false;
  DType dtype;
  Tensor forward(autograd::Inputs in) const {
    const Tensor& x = in[0];
    const auto from = static_cast<int64_t>(item_size(x.dtype()));
    const auto to = static_cast<int64_t>(item_size(dtype));
    const bool wider = to > from;
    const Layout layout = scaled(x, dtype, wider ? to / from : from / to, wider);
    core::Storage* storage = x->storage();
    storage->retain();
    auto* impl = new TensorImpl(storage, dtype, layout.sizes, layout.strides, layout.offset);
    impl->set(TensorImpl::kInference, x->has(TensorImpl::kInference));
    return Tensor::adopt(impl);
  }
  void pull(autograd::Pull&) const {}
};

Tensor view_dtype(const Tensor& input, DType dtype) {
  if (is_complex(dtype)) {
    throw DTypeError(
        core::text("view: complex tensors are not supported (asked for ", dtype_name(dtype), ")"));
  }
  ViewDtypeRule rule;
  rule.dtype = dtype;
  return autograd::enter(rule, input);
}

}  // namespace

TAPEGRAD_OP(kMethod, "view(Tensor(a) input, dtype dtype) -> Tensor(a)",
            R"(The same memory read as numbers of another type; the bits stay.

Where the size of the type differs, the last dimension shrinks or grows. Gradients do not pass.

Args:
    dtype: the type

Raises:
    ShapeError: a last dimension whose elements do not lie side by side, or do not make whole
        numbers of the type

Example:
    >>> import tapegrad as tg
    >>> tg.tensor([1., -2.]).view(tg.int32)
    tensor([ 1065353216, -1073741824], dtype=tapegrad.int32))",
            &view_dtype);

}  // namespace tapegrad
