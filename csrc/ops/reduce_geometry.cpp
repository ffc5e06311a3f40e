#include "ops/reduce_geometry.h"

#include <algorithm>
#include <limits>

#include "autograd/meta.h"
#include "core/launch.h"
#include "core/text.h"
#include "core/thread_state.h"
#include "kernels/copy.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad::ops {

using kernels::BlockShape;
using kernels::FoldOp;
using kernels::FoldType;

DimMask dim_mask(const char* op, const OptionalInts& dim, int64_t ndim) {
  if (!dim.has_value() || dim.value().empty()) return all_dims(ndim);
  DimMask mask = 0;
  for (const int64_t d : dim.value()) {
    const DimMask bit = DimMask{1} << wrap_dim(op, d, ndim);
    if (mask & bit) {
      throw ValueError(core::text(op, ": dim ", d, " appears multiple times in the list of dims"));
    }
    mask |= bit;
  }
  return mask;
}

Dims dims_of(DimMask mask, int64_t ndim) {
  Dims dims;
  for (int d = 0; d < ndim; ++d) {
    if (has_dim(mask, d)) dims.push_back(d);
  }
  return dims;
}

Dims reduced_sizes(IntSpan sizes, DimMask mask, bool keepdim) {
  Dims result;
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (!has_dim(mask, static_cast<int>(d)))
      result.push_back(sizes[d]);
    else if (keepdim)
      result.push_back(1);
  }
  return result;
}

int64_t reduced_count(IntSpan sizes, DimMask mask) {
  int64_t count = 1;
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (has_dim(mask, static_cast<int>(d))) count *= sizes[d];
  }
  return count;
}

namespace {

struct Level {
  int64_t size;
  int64_t stride;
  bool reduced;
};

/// Neighbouring dimensions of one kind that are one dimension in memory become one level.
int merge_levels(Level* levels, int count) {
  int last = 0;
  for (int d = 1; d < count; ++d) {
    Level& outer = levels[last];
    const Level inner = levels[d];
    if (outer.reduced == inner.reduced && outer.stride == inner.stride * inner.size)
      outer = {outer.size * inner.size, inner.stride, inner.reduced};
    else
      levels[++last] = inner;
  }
  return count == 0 ? 0 : last + 1;
}

bool match_blocks(const Level* levels, int count, BlockShape& shape) {
  shape = BlockShape();
  int at = 0;
  if (at + 1 < count && !levels[at].reduced) {
    shape.a = levels[at].size;
    shape.a_stride = levels[at].stride;
    ++at;
  }
  if (at < count && levels[at].reduced) {
    shape.r = levels[at].size;
    shape.r_stride = levels[at].stride;
    ++at;
  }
  if (at < count && !levels[at].reduced) {
    if (levels[at].stride != 1) return false;
    shape.c = levels[at].size;
    ++at;
  }
  return at == count && (shape.c > 1 || shape.r == 1 || shape.r_stride == 1);
}

}  // namespace

bool as_blocks(const Tensor& x, DimMask mask, bool in_place_order, BlockShape& shape) {
  const int ndim = x->dim();
  const IntSpan sizes = x.sizes(), strides = x.strides();
  if (x->is_contiguous() && (mask == all_dims(ndim) || x->numel() == 1)) {
    shape = {1, x->numel(), 1, 0, 1};
    return true;
  }
  Level levels[kMaxDims];
  int count = 0;
  for (int d = 0; d < ndim; ++d) {
    const auto k = static_cast<size_t>(d);
    if (sizes[k] != 1) levels[count++] = {sizes[k], strides[k], has_dim(mask, d)};
  }
  if (!in_place_order && !x->is_contiguous()) {
    // Reduced dimensions may stand anywhere; the kept ones have to stay in their order.
    for (int i = 1; i < count; ++i) {
      for (int j = i; j > 0 && levels[j - 1].stride < levels[j].stride; --j) {
        if (!levels[j - 1].reduced && !levels[j].reduced) return false;
        std::swap(levels[j - 1], levels[j]);
      }
    }
  }
  return match_blocks(levels, merge_levels(levels, count), shape);
}

Tensor gathered(const Tensor& x, DimMask mask, BlockShape& shape) {
  Dims sizes, strides;
  shape = BlockShape();
  for (const bool reduced : {false, true}) {
    for (int d = 0; d < x->dim(); ++d) {
      if (has_dim(mask, d) != reduced) continue;
      const auto k = static_cast<size_t>(d);
      sizes.push_back(x.sizes()[k]);
      strides.push_back(x.strides()[k]);
      (reduced ? shape.r : shape.a) *= x.sizes()[k];
    }
  }
  shape.a_stride = shape.r;
  Tensor copy = core::make_tensor(sizes, x.dtype());
  kernels::copy_values(copy, core::make_alias(x, sizes, strides, x.storage_offset()));
  return copy;
}

Tensor blocks_in_order(const Tensor& x, int64_t dim, BlockShape& shape) {
  const DimMask mask = DimMask{1} << dim;
  if (as_blocks(x, mask, true, shape)) return x;
  Tensor copy = core::make_tensor(x.sizes(), x.dtype());
  kernels::copy_values(copy, x);
  as_blocks(copy, mask, true, shape);
  return copy;
}

Tensor converted(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  Tensor copy = core::make_like(x, dtype);
  kernels::copy_values(copy, x);
  return copy;
}

DType kernel_dtype(DType dtype) {
  switch (dtype) {
    case DType::Float32:
    case DType::Float64:
    case DType::Bool:
    case DType::UInt8:
    case DType::Int64:
      return dtype;
    case DType::Float16:
    case DType::BFloat16:
      return DType::Float32;
    default:
      return DType::Int64;
  }
}

FoldType fold_type(DType dtype) {
  switch (dtype) {
    case DType::Float32:
      return FoldType::Float;
    case DType::Float64:
      return FoldType::Double;
    case DType::Int64:
      return FoldType::Int64;
    case DType::Float16:
      return FoldType::Half;
    case DType::BFloat16:
      return FoldType::BFloat16;
    default:
      return FoldType::Byte;
  }
}

namespace {

/// The operation that joins results of `op`.
FoldOp join_of(FoldOp op) {
  switch (op) {
    case FoldOp::SumNumbers:
    case FoldOp::SumAbs:
    case FoldOp::SumSquares:
    case FoldOp::CountNonzero:
      return FoldOp::Sum;
    case FoldOp::MaxAbs:
      return FoldOp::Max;
    case FoldOp::MinAbs:
      return FoldOp::Min;
    default:
      return op;
  }
}

DType accumulator(FoldType type, DType input) {
  if (type == FoldType::Half || type == FoldType::BFloat16) return DType::Float32;
  return type == FoldType::ByteToInt64 ? DType::Int64 : input;
}

void fill_empty(const Tensor& out, FoldOp op, Finish finish) {
  if (finish.divisor == 0)
    kernels::fill_values(out, Scalar(std::numeric_limits<double>::quiet_NaN()));
  else
    kernels::fill_values(out, Scalar(op == FoldOp::Prod ? 1 : 0));
}

Tensor run_fold(const Tensor& x, const BlockShape& shape, FoldType type, FoldOp op, IntSpan sizes,
                Finish finish) {
  const DType dtype = accumulator(type, x.dtype());
  Tensor out = core::make_tensor(sizes, dtype);
  kernels::FoldParameters p;
  p.shape = shape;
  p.op = op;
  p.type = type;
  p.divisor = finish.divisor;
  p.square_root = finish.square_root;
  const int64_t scratch = kernels::fold_scratch(shape);
  if (scratch == 0) {
    core::launch(&kernels::fold, {core::out(out), core::in(x), core::none()}, p);
  } else {
    const Tensor memory = core::make_tensor({scratch}, dtype);
    core::launch(&kernels::fold, {core::out(out), core::in(x), core::out(memory)}, p);
  }
  return out;
}

/// The last run of neighbouring dimensions in `mask`.
DimMask last_run(DimMask mask) {
  int high = 31;
  while (!has_dim(mask, high)) --high;
  int low = high;
  while (low > 0 && has_dim(mask, low - 1)) --low;
  return mask & ~all_dims(low);
}

/// A sum over a broadcast dimension is a product; an extremum over it is that of one element.
/// Returns the view without such dimensions, and how often each of its elements occurs.
Tensor without_repeats(const Tensor& x, DimMask mask, int64_t& repeats) {
  Dims sizes(x.sizes());
  for (int d = 0; d < x->dim(); ++d) {
    const auto k = static_cast<size_t>(d);
    if (!has_dim(mask, d) || x.strides()[k] != 0 || sizes[d] < 2) continue;
    repeats *= sizes[d];
    sizes[d] = 1;
  }
  return repeats == 1 ? x : core::make_alias(x, sizes, x.strides(), x.storage_offset());
}

}  // namespace

Tensor fold(const Tensor& input, DimMask mask, bool keepdim, FoldOp op, DType dtype,
            Finish finish) {
  Dims sizes;
  if (keepdim || mask != all_dims(input->dim()))
    sizes = reduced_sizes(input.sizes(), mask, keepdim);
  if (input->numel() == 0) {
    Tensor out = core::make_tensor(sizes, dtype);
    fill_empty(out, op, finish);
    return out;
  }
  BlockShape shape;
  // Half numbers that lie side by side are widened where they are read, others in a copy.
  const bool narrow = input.dtype() == DType::Float16 || input.dtype() == DType::BFloat16;
  const bool as_they_lie = narrow && as_blocks(input, mask, false, shape) && shape.c == 1;
  Tensor x = as_they_lie ? input : converted(input, kernel_dtype(input.dtype()));
  FoldType type = fold_type(x.dtype());
  if (type == FoldType::Byte && op == FoldOp::Sum) type = FoldType::ByteToInt64;
  if (type == FoldType::Byte && op != FoldOp::Max && op != FoldOp::Min) {
    x = converted(x, DType::Int64);
    type = FoldType::Int64;
  }
  int64_t repeats = 1;
  const bool sums = op == FoldOp::Sum || op == FoldOp::SumNumbers || op == FoldOp::SumAbs ||
                    op == FoldOp::SumSquares;
  const bool idempotent = !sums && op != FoldOp::Prod && op != FoldOp::CountNonzero;
  if (!x->is_contiguous() && (idempotent || (sums && is_floating_point(x.dtype()))))
    x = without_repeats(x, mask, repeats);
  if (idempotent) repeats = 1;
  finish.divisor /= static_cast<double>(repeats);

  Tensor out;
  if (as_blocks(x, mask, false, shape)) {
    out = run_fold(x, shape, type, op, sizes, finish);
  } else if (x->is_contiguous() && last_run(mask) != mask) {
    const DimMask run = last_run(mask);
    const Tensor partial = fold(x, run, true, op, accumulator(type, x.dtype()));
    out = fold(partial, mask, keepdim, join_of(op), partial.dtype(), finish);
  } else {
    const Tensor copy = gathered(x, mask, shape);
    out = run_fold(copy, shape, type, op, sizes, finish);
  }
  return converted(out, dtype);
}

bool is_watched(std::initializer_list<const Tensor*> tensors) {
  unsigned flags = 0;
  for (const Tensor* t : tensors) {
    if (t->defined()) flags |= autograd::entry_flags(*t);
  }
  if (!core::thread_state.grad_enabled) flags &= ~static_cast<unsigned>(TensorImpl::kNeedsGrad);
  return (flags & (TensorImpl::kNeedsGrad | TensorImpl::kHasTangent | TensorImpl::kBatched)) != 0;
}

Tensor restore(const Tensor& reduced, int64_t ndim, DimMask mask, bool keepdim) {
  if (keepdim || reduced->dim() == ndim || reduced->dim() == 0) return reduced;
  Dims sizes, strides;
  size_t from = 0;
  for (int d = 0; d < ndim; ++d) {
    const bool gone = has_dim(mask, d);
    sizes.push_back(gone ? 1 : reduced.sizes()[from]);
    strides.push_back(gone ? 1 : reduced.strides()[from]);
    if (!gone) ++from;
  }
  if (is_watched({&reduced})) return reshape(reduced, sizes);
  return core::make_alias(reduced, sizes, strides, reduced.storage_offset());
}

Tensor restore_expanded(const Tensor& reduced, IntSpan sizes, DimMask mask, bool keepdim) {
  const auto ndim = static_cast<int64_t>(sizes.size());
  Tensor full = restore(reduced, ndim, mask, keepdim);
  if (full.sizes() == sizes) return full;
  if (is_watched({&full})) return expand(full, sizes);
  Dims strides(static_cast<int>(ndim), 0);
  const int missing = static_cast<int>(ndim) - full->dim();
  for (int d = missing; d < ndim; ++d) {
    const auto k = static_cast<size_t>(d - missing);
    strides[d] = full.sizes()[k] == 1 ? 0 : full.strides()[k];
  }
  return core::make_alias(full, sizes, strides, full.storage_offset());
}

}  // namespace tapegrad::ops
