#include "ops/linalg_common.h"

#include "autograd/lifted.h"
#include "core/text.h"
#include "kernels/copy.h"
#include "tapegrad/error.h"

namespace tapegrad::ops {

void require_matrices(const char* op, const Tensor& A, const char* name) {
  if (A.dim() < 2) {
    throw ShapeError(core::text(op, ": the input tensor ", name,
                                " must have at least 2 dimensions, got shape ",
                                shape_string(A.sizes())));
  }
  if (A.dtype() == DType::Float32 || A.dtype() == DType::Float64) return;
  throw DTypeError(core::text(op, ": expected a float32 or float64 tensor ", name, ", got a ",
                              core::describe(A), "; convert it with .float() or .double()"));
}

void require_square(const char* op, const Tensor& A, const char* name) {
  require_matrices(op, A, name);
  if (A.size(-1) == A.size(-2)) return;
  throw ShapeError(core::text(op, ": ", name, " must be batches of square matrices, but they are ",
                              A.size(-2), " by ", A.size(-1), " matrices (shape ",
                              shape_string(A.sizes()), ")"));
}

void require_same_dtype(const char* op, const Tensor& A, const Tensor& B) {
  if (A.dtype() == B.dtype()) return;
  throw DTypeError(core::text(op, ": expected operands of the same dtype, got ",
                              dtype_name(A.dtype()), " and ", dtype_name(B.dtype()),
                              "; convert one with .to(dtype)"));
}

void check_info(const char* op, const Tensor& info, const char* what) {
  const Tensor all = contiguous(autograd::bottom(info));
  const auto* values = static_cast<const int32_t*>(all.data());
  for (int64_t b = 0; b < all.numel(); ++b) {
    if (values[b] == 0) continue;
    const std::string place = all.dim() == 0 ? "" : core::text("(batch element ", b, "): ");
    std::string text(what);
    if (const size_t at = text.find('#'); at != std::string::npos)
      text.replace(at, 1, std::to_string(values[b]));
    throw LinAlgError(core::text(op, ": ", place, text));
  }
}

Dims with_sizes(Dims batch, std::initializer_list<int64_t> last) {
  for (const int64_t size : last) batch.push_back(size);
  return batch;
}

Tensor make_column_major(IntSpan sizes, DType dtype) {
  Dims swapped(sizes);
  std::swap(swapped[swapped.size() - 1], swapped[swapped.size() - 2]);
  Dims strides = contiguous_strides(swapped);
  std::swap(strides[strides.size() - 1], strides[strides.size() - 2]);
  return core::make_tensor(sizes, strides, dtype);
}

Tensor column_major_copy(const Tensor& A) {
  Tensor copy = make_column_major(A.sizes(), A.dtype());
  kernels::copy_values(copy, A);
  return copy;
}

kernels::LinalgArgs matrix_args(const Tensor& A) {
  kernels::LinalgArgs args;
  args.is_double = A.dtype() == DType::Float64;
  args.rows = A.size(-2);
  args.columns = A.size(-1);
  args.batch = 1;
  for (int64_t d = 0; d + 2 < A.dim(); ++d) args.batch *= A.size(d);
  return args;
}

namespace {

/// Places in a matrix by column minus row.
Tensor offsets(const Tensor& A) {
  return arange(0, A.size(-1)) - unsqueeze(arange(0, A.size(-2)), 1);
}

}  // namespace

Tensor lower_part(const Tensor& A, int64_t offset) {
  return where(le(offsets(A), Scalar(offset)), A, Scalar(0.0));
}
Tensor upper_part(const Tensor& A, int64_t offset) {
  return where(ge(offsets(A), Scalar(offset)), A, Scalar(0.0));
}
Tensor diagonal_mask(const Tensor& A) { return eq(offsets(A), Scalar(0)); }
Tensor diagonal_matrix(const Tensor& values) {
  const Tensor wide = unsqueeze(values, -2);
  const Tensor mask = eye(values.size(-1), values.size(-1), DType::Bool);
  return where(mask, wide, Scalar(0.0));
}
Tensor identity_like(const Tensor& A) {
  return expand(eye(A.size(-2), A.size(-1), A.dtype()), A.sizes());
}

std::pair<Tensor, Tensor> broadcast_batches(const char* op, const Tensor& A, const Tensor& B) {
  const Dims a = batch_sizes(A), b = batch_sizes(B);
  if (IntSpan(a) == IntSpan(b)) return {A, B};
  const Dims both = broadcast_shapes(op, a, b);
  return {expand(A, with_sizes(both, {A.size(-2), A.size(-1)})),
          expand(B, with_sizes(both, {B.size(-2), B.size(-1)}))};
}

}  // namespace tapegrad::ops
