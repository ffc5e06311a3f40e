// The windows of pooling operations, from their arguments.
#include <algorithm>

#include "core/tensor_impl.h"
#include "core/text.h"
#include "ops/pooling.h"
#include "tapegrad/error.h"

namespace tapegrad::ops {

using kernels::PoolWindows;

namespace {

/// The entry of a list for spatial dimension d.
int64_t entry(const char* op, const char* name, IntSpan list, int ndim, int d) {
  if (list.size() == 1) return list[0];
  if (static_cast<int>(list.size()) != ndim) {
    throw ValueError(core::text(op, ": ", name, " must be a single int, or a tuple of ", ndim,
                                ndim == 1 ? " int" : " ints", ", got ", list.size(), " of them"));
  }
  return list[static_cast<size_t>(d)];
}

void need(bool condition, const char* op, const char* name, const char* what, int64_t value) {
  if (!condition)
    throw ValueError(core::text(op, ": ", name, " should be ", what, ", got ", value));
}

int64_t output_size(int64_t in, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation,
                    bool ceil_mode) {
  const int64_t room = in + 2 * padding - dilation * (kernel - 1) - 1;
  if (room < 0 && !(ceil_mode && room + stride - 1 >= 0)) return 0;
  int64_t out = (room + (ceil_mode ? stride - 1 : 0)) / stride + 1;
  // The last window begins inside of the input or its left padding.
  if (ceil_mode && (out - 1) * stride >= in + padding) --out;
  return out;
}

/// With dilation and padding a window can lie all in padding, where it has no maximum.
void check_windows_hold_elements(const char* op, const PoolWindows& w, int d) {
  if (w.dilation[d] == 1 || w.padding[d] == 0) return;
  for (int64_t o = 0; o < w.out[d]; ++o) {
    const int64_t start = o * w.stride[d] - w.padding[d];
    const int64_t skipped = start >= 0 ? 0 : (-start + w.dilation[d] - 1) / w.dilation[d];
    if (skipped >= w.kernel[d] || start + skipped * w.dilation[d] >= w.in[d]) {
      throw ShapeError(core::text(op, ": window ", o, " of a dimension of size ", w.in[d],
                                  " lies in the padding alone (kernel size ", w.kernel[d],
                                  ", padding ", w.padding[d], ", dilation ", w.dilation[d], ")"));
    }
  }
}

}  // namespace

void check_pool_input(const char* op, int ndim, const Tensor& input) {
  if (!is_floating_point(input.dtype())) {
    throw DTypeError(core::text(op, ": expected a floating-point input, got a ",
                                core::describe(input), "; convert it, for example by .float()"));
  }
  const auto fail = [&] {
    constexpr const char* kSpatial[] = {"L", "H, W", "D, H, W"};
    const char* spatial = kSpatial[ndim - 1];
    throw ShapeError(core::text(op, ": expected an input of shape (N, C, ", spatial, ") or (C, ",
                                spatial, ") without empty dimensions but N, got a ",
                                core::describe(input)));
  };
  if (input.dim() != ndim + 1 && input.dim() != ndim + 2) fail();
  for (int64_t d = input.dim() - ndim - 1; d < input.dim(); ++d) {
    if (input.size(d) == 0) fail();
  }
}

PoolWindows pool_windows(const char* op, int ndim, const Tensor& input,
                         const PoolArguments& arguments) {
  check_pool_input(op, ndim, input);
  PoolWindows w;
  for (int d = 0; d < ndim; ++d) {
    const int at = 3 - ndim + d;
    const int64_t in = input.size(input.dim() - ndim + d);
    const int64_t kernel = entry(op, "kernel_size", arguments.kernel, ndim, d);
    const int64_t stride =
        arguments.stride.empty() ? kernel : entry(op, "stride", arguments.stride, ndim, d);
    const int64_t padding = entry(op, "padding", arguments.padding, ndim, d);
    const int64_t dilation = entry(op, "dilation", arguments.dilation, ndim, d);
    need(kernel > 0, op, "kernel_size", "greater than zero", kernel);
    need(stride > 0, op, "stride", "greater than zero", stride);
    need(dilation > 0, op, "dilation", "greater than zero", dilation);
    need(padding >= 0, op, "padding", "non-negative", padding);
    // Larger sizes would overflow: no tensor is as long.
    constexpr int64_t kLimit = int64_t{1} << 31;
    need(kernel < kLimit, op, "kernel_size", "less than 2^31", kernel);
    need(stride < kLimit, op, "stride", "less than 2^31", stride);
    need(dilation < kLimit, op, "dilation", "less than 2^31", dilation);
    if (padding > kernel / 2) {
      throw ValueError(core::text(op,
                                  ": padding should be at most half of kernel_size, got padding ",
                                  padding, " and kernel_size ", kernel));
    }
    const int64_t out = output_size(in, kernel, stride, padding, dilation, arguments.ceil_mode);
    if (out < 1) {
      throw ShapeError(core::text(op, ": a window of ", kernel, dilation == 1 ? "" : " (dilated)",
                                  " does not fit into dimension ", input.dim() - ndim + d,
                                  " of the input, a ", core::describe(input),
                                  padding == 0 ? "" : " with padding"));
    }
    w.in[at] = in;
    w.out[at] = out;
    w.kernel[at] = kernel;
    w.stride[at] = stride;
    w.padding[at] = padding;
    w.dilation[at] = dilation;
    check_windows_hold_elements(op, w, at);
  }
  if (w.kernel[0] * w.kernel[1] > (int64_t{1} << 31) / w.kernel[2])
    throw ShapeError(core::text(op, ": windows of more than 2^31 elements are not supported"));
  return w;
}

PoolWindows adaptive_windows(const char* op, int ndim, const Tensor& input, IntSpan output_size) {
  check_pool_input(op, ndim, input);
  PoolWindows w;
  bool even = true;
  for (int d = 0; d < ndim; ++d) {
    const int at = 3 - ndim + d;
    const int64_t in = input.size(input.dim() - ndim + d);
    const int64_t wanted = entry(op, "output_size", output_size, ndim, d);
    const int64_t out = wanted == -1 ? in : wanted;
    need(out > 0, op, "output_size", "greater than zero (or -1: that of the input)", out);
    w.in[at] = in;
    w.out[at] = out;
    even = even && in % out == 0;
    // One more than the quotient, and another where both ends are rounded.
    w.kernel[at] = in % out == 0 ? in / out : std::min(in, in / out + 2);
    w.stride[at] = std::max<int64_t>(1, in / out);
  }
  w.adaptive = !even;
  return w;
}

}  // namespace tapegrad::ops
