#include "ops/promotion.h"

#include <initializer_list>
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

DType result_of(std::initializer_list<const Tensor*> operands) {
  MaybeType with_dims, zero_dim, number;
  for (const Tensor* t : operands) {
    if ((*t)->has(TensorImpl::kWrappedNumber)) {
      number = merge(number, is_floating_point(t->dtype()) ? default_dtype() : t->dtype());
    } else if (t->dim() == 0) {
      zero_dim = merge(zero_dim, t->dtype());
    } else {
      with_dims = merge(with_dims, t->dtype());
    }
  }
  return *combine(with_dims, combine(zero_dim, number));
}

bool same_and_strong(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && !a->has(TensorImpl::kWrappedNumber) &&
         !b->has(TensorImpl::kWrappedNumber);
}

}  // namespace

DType result_type(const Tensor& a, const Tensor& b, const Tensor& c) {
  return same_and_strong(a, b) && same_and_strong(b, c) ? a.dtype() : result_of({&a, &b, &c});
}

}  // namespace ops

DType result_type(const Tensor& a, const Tensor& b) {
  return ops::same_and_strong(a, b) ? a.dtype() : ops::result_of({&a, &b});
}

}  // namespace tapegrad
