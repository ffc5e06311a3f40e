#include "ops/curve.h"

#include "autograd/entry.h"
#include "core/launch.h"
#include "kernels/curve.h"
#include "tapegrad/ops.h"

namespace tapegrad::ops {
namespace {

int64_t product(IntSpan sizes) {
  int64_t result = 1;
  for (const int64_t size : sizes) result *= size;
  return result;
}

/// saved: (outer..., inner...); tangents: (outer..., rows, inner...).
struct CurveRule : autograd::Rule {
  static constexpr const char* name = "Curve";
  static constexpr bool differentiable = false;
  kernels::SlopesLoop slopes;
  kernels::LoopParameters parameters;
  int rows_dim = 0;

  Tensor forward(autograd::Inputs in) const {
    const Tensor saved = contiguous(in[0]);
    const auto dim = static_cast<size_t>(rows_dim);
    // An expanded outer dimension needs no copy: the tangents of all samples are the same.
    const bool repeats =
        rows_dim == 1 && in[1].strides()[0] == 0 && select(in[1], 0, 0).is_contiguous();
    const Tensor tangents = repeats ? in[1] : contiguous(in[1]);
    const IntSpan sizes = tangents.sizes();
    Tensor out = core::make_tensor(sizes, tangents.dtype());
    if (out.numel() == 0) return out;
    kernels::CurveParameters p;
    p.slopes = slopes;
    p.row = parameters;
    p.outer = product(sizes.first(dim));
    p.rows = sizes[dim];
    p.inner = product(sizes.subspan(dim + 1));
    p.tangent_row = p.inner;
    p.tangent_outer = repeats ? 0 : p.rows * p.inner;
    p.is_double = saved.dtype() == DType::Float64;
    core::launch(&kernels::curve, {core::out(out), core::in(saved), core::in(tangents)}, p);
    return out;
  }
  void pull(autograd::Pull&) const {}
  Tensor batch(const autograd::Batch& b) const {
    CurveRule shifted(*this);
    ++shifted.rows_dim;
    return autograd::enter(shifted, b.front(0), b.front(1));
  }
};

}  // namespace

Tensor push_curve(kernels::UnaryOp op, const kernels::LoopParameters& parameters,
                  const Tensor& saved, const Tensor& rows) {
  if (saved.dtype() != rows.dtype()) return {};
  if (saved.dtype() != DType::Float32 && saved.dtype() != DType::Float64) return {};
  CurveRule rule;
  rule.slopes = kernels::slopes_loop(op, kernels::compute_type(saved.dtype()));
  rule.parameters = parameters;
  if (!rule.slopes || !autograd::only_batched(saved) || !autograd::only_batched(rows)) return {};
  return autograd::enter(rule, saved, rows);
}

}  // namespace tapegrad::ops
