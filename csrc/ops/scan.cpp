// Running sums and products, and the product of all elements: cumsum, cumprod, prod.
//
// Note [Products without division]: d prod / dx[k] is the product of the other elements. Dividing
// the product by x[k] fails at zeros, and a second derivative taken through that division fails
// with it. So the others are multiplied: a prefix times a suffix. One kernel does that when nothing
// watches; otherwise prefixes and suffixes are made of shifted products, in log2(n) steps, each of
// which can be differentiated again.
#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;
using kernels::FoldOp;
using kernels::ScanOp;

namespace {

constexpr int kAll = kFunction | kMethod;

Tensor run_scan(const Tensor& input, const Tensor& g, int64_t dim, ScanOp op, bool reverse,
                DType dtype) {
  Tensor x = converted(input, kernel_dtype(dtype));
  if (x.dtype() == DType::Bool || x.dtype() == DType::UInt8) x = converted(x, DType::Int64);
  const Tensor out = core::make_tensor(input.sizes(), x.dtype());
  if (input->numel() == 0) return converted(out, dtype);
  kernels::ScanParameters p;
  p.op = op;
  p.reverse = reverse;
  p.type = fold_type(x.dtype());
  if (g.defined()) {
    // Both have the strides of contiguous tensors.
    x = contiguous(x.detach());
    const Tensor dense = contiguous(converted(g, x.dtype()).detach());
    x = blocks_in_order(x, dim, p.shape);
    core::launch(&kernels::scan, {core::out(out), core::in(x), core::in(dense)}, p);
  } else {
    x = blocks_in_order(x, dim, p.shape);
    core::launch(&kernels::scan, {core::out(out), core::in(x), core::none()}, p);
  }
  return converted(out, dtype);
}

struct CumsumRule : autograd::Rule {
  static constexpr const char* name = "Cumsum";
  static constexpr bool linear = true;
  int64_t dim;
  bool reverse;
  DType dtype;
  CumsumRule shifted() const {
    CumsumRule rule = *this;
    ++rule.dim;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const {
    return run_scan(in[0], {}, dim, ScanOp::Sum, reverse, dtype);
  }
  void pull(autograd::Pull& p) const {
    p.set(0, autograd::enter(CumsumRule{{}, dim, !reverse, p.grad().dtype()}, p.grad()));
  }
};

/// y[k] = x[k - by] along dim, `fill` where that does not exist; from the other side when by < 0.
Tensor moved_along(const Tensor& x, int64_t dim, int64_t by, double fill) {
  const int64_t n = x.size(dim), distance = by < 0 ? -by : by;
  Dims sizes(x.sizes());
  sizes[static_cast<int>(dim)] = distance;
  const Tensor edge = full(sizes, Scalar(fill), x.dtype());
  const Tensor rest = narrow(x, dim, by < 0 ? distance : 0, n - distance);
  const Tensor parts[] = {by < 0 ? rest : edge, by < 0 ? edge : rest};
  return cat(parts, dim);
}

/// The product of the elements before (direction 1) or after (-1) each element.
Tensor exclusive_products(const Tensor& x, int64_t dim, int direction) {
  const int64_t n = x.size(dim);
  Tensor y = moved_along(x, dim, direction, 1);
  for (int64_t k = 1; k < n; k *= 2) y = y * moved_along(y, dim, direction * k, 1);
  return y;
}

/// The product of all other elements along dim. See Note [Products without division].
Tensor product_of_others(const Tensor& x, int64_t dim) {
  if (!is_watched({&x})) return run_scan(x, {}, dim, ScanOp::ProdOfOthers, false, x.dtype());
  return exclusive_products(x, dim, 1) * exclusive_products(x, dim, -1);
}

struct ProdRule : autograd::Rule {
  static constexpr const char* name = "Prod";
  int64_t dim;  // -1: all
  bool keepdim;
  DType dtype;

  unsigned saves_inputs(unsigned) const { return 1; }
  DimMask mask(int64_t ndim) const { return dim < 0 ? all_dims(ndim) : DimMask{1} << dim; }

  Tensor batch(const autograd::Batch& b) const {
    const Tensor x = b.front(0);
    if (dim >= 0) return autograd::enter(ProdRule{{}, dim + 1, keepdim, dtype}, x);
    return autograd::enter(ProdRule{{}, 1, false, dtype}, reshape(x, {b.size(), -1}));
  }
  Tensor forward(autograd::Inputs in) const {
    return fold(in[0], mask(in[0].dim()), keepdim, FoldOp::Prod, dtype);
  }
  void pull(autograd::Pull& p) const {
    const Tensor x = p.input(0);
    if (x->numel() == 0) {
      p.set(0, zeros(x.sizes(), x.dtype()));
      return;
    }
    const Tensor g = restore(p.grad(), x.dim(), mask(x.dim()), keepdim);
    if (x.dim() == 0) {
      p.set(0, g);
    } else if (dim < 0) {
      p.set(0, g * reshape(product_of_others(reshape(x, {-1}), 0), x.sizes()));
    } else {
      p.set(0, g * product_of_others(x, dim));
    }
  }
};

struct CumprodRule : autograd::Rule {
  static constexpr const char* name = "Cumprod";
  int64_t dim;
  DType dtype;

  unsigned saves_inputs(unsigned) const { return 1; }

  CumprodRule shifted() const {
    CumprodRule rule = *this;
    ++rule.dim;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const {
    return run_scan(in[0], {}, dim, ScanOp::Prod, false, dtype);
  }
  /// prefix[k] * S[k] with S[k] = g[k] + x[k + 1] S[k + 1]; composed, S is found by doubling the
  /// span of the recurrence.
  void pull(autograd::Pull& p) const {
    const Tensor x = p.input(0);
    const Tensor& g = p.grad();
    if (x.dim() == 0 || x->numel() == 0) {
      p.set(0, g);
      return;
    }
    if (!is_watched({&x, &g})) {
      p.set(0, run_scan(x, g, dim, ScanOp::ProdGradient, false, x.dtype()));
      return;
    }
    Tensor factor = moved_along(x, dim, -1, 0);
    Tensor tail = g;
    for (int64_t k = 1; k < x.size(dim); k *= 2) {
      tail = tail + factor * moved_along(tail, dim, -k, 0);
      factor = factor * moved_along(factor, dim, -k, 0);
    }
    p.set(0, exclusive_products(x, dim, 1) * tail);
  }
};

DType scan_dtype(const Tensor& input, std::optional<DType> dtype) {
  return dtype ? *dtype : is_floating_point(input.dtype()) ? input.dtype() : DType::Int64;
}

}  // namespace

Tensor cumsum(const Tensor& input, int64_t dim, std::optional<DType> dtype) {
  const int64_t d = wrap_dim("cumsum", dim, input.dim());
  const DType result = scan_dtype(input, dtype);
  const Tensor x = to(input, result);
  return autograd::enter(CumsumRule{{}, d, false, result}, x);
}

Tensor cumprod(const Tensor& input, int64_t dim, std::optional<DType> dtype) {
  const int64_t d = wrap_dim("cumprod", dim, input.dim());
  const DType result = scan_dtype(input, dtype);
  const Tensor x = to(input, result);
  return autograd::enter(CumprodRule{{}, d, result}, x);
}

Tensor prod(const Tensor& input, OptionalInts dim, bool keepdim, std::optional<DType> dtype) {
  const DType result = scan_dtype(input, dtype);
  Tensor x = to(input, result);
  const DimMask mask = dim_mask("prod", dim, input.dim());
  if (mask == all_dims(input.dim())) return autograd::enter(ProdRule{{}, -1, keepdim, result}, x);
  for (int d = static_cast<int>(input.dim()) - 1; d >= 0; --d) {
    if (has_dim(mask, d)) x = autograd::enter(ProdRule{{}, d, keepdim, result}, x);
  }
  return x;
}

// --- registration --------------------------------------------------------------------------------

TAPEGRAD_OP(kAll, "cumsum(Tensor input, int dim, *, dtype? dtype=None, Tensor? out=None) -> Tensor",
            R"(Running sum along a dimension: y[k] = x[0] + ... + x[k].

Args:
    input: a tensor
    dim: the dimension
    dtype: of the result, and of the input before the sum; int64 for integers and bool when absent

Raises:
    IndexError: a dimension that does not exist

Example:
    >>> import tapegrad as tg
    >>> tg.cumsum(tg.tensor([1., 2., 3.]), dim=0)
    tensor([1., 3., 6.]))",
            &cumsum);
TAPEGRAD_OP(kAll,
            "cumprod(Tensor input, int dim, *, dtype? dtype=None, Tensor? out=None) -> Tensor",
            R"(Running product along a dimension: y[k] = x[0] * ... * x[k].

Gradients are made without division, so zeros are nothing special. Arguments as of cumsum().

Example:
    >>> import tapegrad as tg
    >>> tg.cumprod(tg.tensor([1., 2., 3.]), dim=0)
    tensor([1., 2., 6.]))",
            &cumprod);
TAPEGRAD_OP(
    kAll, "prod(Tensor input, *, dtype? dtype=None) -> Tensor",
    R"(Product of all elements, or along a dimension. Of no elements: 1.

Gradients are made without division, so zeros are nothing special.

Args:
    input: a tensor
    dim: the dimension; all when absent
    keepdim: keep the dimension with size 1
    dtype: of the result, and of the input before; int64 for integers and bool when absent

Raises:
    IndexError: a dimension that does not exist

Example:
    >>> import tapegrad as tg
    >>> tg.prod(tg.tensor([2., 3., 4.]))
    tensor(24.))",
    +[](const Tensor& x, std::optional<DType> dtype) { return prod(x, {}, false, dtype); });
TAPEGRAD_OP(
    kAll,
    "prod(Tensor input, int dim, bool keepdim=False, *, dtype? dtype=None, Tensor? out=None) "
    "-> Tensor",
    "", +[](const Tensor& x, int64_t dim, bool keepdim, std::optional<DType> dtype) {
      return prod(x, dim, keepdim, dtype);
    });

}  // namespace tapegrad
