#include "ops/promotion.h"

#include <optional>

#include "tapegrad/elementwise_declarations.h"

namespace tapegrad {
namespace ops {

Tensor wrapped_number(Scalar value) {
  const DType dtype = value.is_floating_point() ? DType::Float64 : value.natural_dtype();
  return core::make_scalar(value, dtype, true);
}

namespace {

using MaybeType = std::optional<DType>;

// Operands with dimensions outrank 0-d tensors, which outrank numbers, unless the lower category is
// of a higher kind.
MaybeType combine(MaybeType higher, MaybeType lower) {
  if (!higher) return lower;
  if (!lower || is_floating_point(*higher)) return higher;
  if (*higher == DType::Bool || is_floating_point(*lower)) return promote_types(*higher, *lower);
  return higher;
}

MaybeType merge(MaybeType so_far, DType dtype) {
  return so_far ? promote_types(*so_far, dtype) : dtype;
}

}  // namespace
}  // namespace ops

DType result_type(const Tensor& a, const Tensor& b) {
  if (a.dtype() == b.dtype() && !(a->flags() & TensorImpl::kWrappedNumber) &&
      !(b->flags() & TensorImpl::kWrappedNumber)) {
    return a.dtype();
  }
  ops::MaybeType with_dims, zero_dim, number;
  for (const Tensor* t : {&a, &b}) {
    if ((*t)->has(TensorImpl::kWrappedNumber)) {
      number = ops::merge(number, is_floating_point(t->dtype()) ? default_dtype() : t->dtype());
    } else if (t->dim() == 0) {
      zero_dim = ops::merge(zero_dim, t->dtype());
    } else {
      with_dims = ops::merge(with_dims, t->dtype());
    }
  }
  return *ops::combine(with_dims, ops::combine(zero_dim, number));
}

}  // namespace tapegrad
