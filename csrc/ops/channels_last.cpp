#include "ops/channels_last.h"

#include "autograd/entry.h"
#include "tapegrad/ops.h"

namespace tapegrad::ops {
namespace {

Dims channels_last_strides(IntSpan sizes) {
  const auto ndim = static_cast<int>(sizes.size());
  Dims strides(ndim, 1);
  int64_t step = sizes[1];
  for (int d = ndim - 1; d >= 2; --d) {
    strides[d] = step;
    step *= sizes[static_cast<size_t>(d)];
  }
  strides[0] = step;
  return strides;
}

}  // namespace

bool is_channels_last(const Tensor& x) {
  if (x.dim() < 3 || x.is_contiguous() || x.numel() == 0) return false;
  const IntSpan sizes = x.sizes();
  const Dims expected = channels_last_strides(sizes);
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] != 1 && x.strides()[d] != expected[static_cast<int>(d)]) return false;
  }
  return true;
}

Tensor make_in_order(IntSpan sizes, DType dtype, bool channels_last) {
  if (!channels_last) return core::make_tensor(sizes, dtype);
  return core::make_tensor(sizes, channels_last_strides(sizes), dtype);
}

Tensor in_order(const Tensor& x, bool channels_last) {
  if (channels_last ? is_channels_last(x) : x.is_contiguous()) return x;
  const autograd::NoGradGuard guard;
  if (!channels_last) return contiguous(x);
  Tensor copy = make_in_order(x.sizes(), x.dtype(), true);
  copy_(copy, x);
  return copy;
}

}  // namespace tapegrad::ops
