// Convolutions as users call them: checks, and the geometry that follows from the arguments.
#include "tapegrad/convolution.h"

#include <limits>
#include <string>

#include "core/tensor_impl.h"
#include "core/text.h"
#include "ops/convolution_rules.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace {

using namespace ops;

/// The arguments of one call. `transposed` swaps the roles of input and output.
struct Call {
  const char* op;
  int spatial;
  bool transposed;
  const Tensor &input, &weight, &bias;
  IntSpan stride, padding, dilation, output_padding;
  int64_t groups;
};

std::string layout(const Call& c, const char* channels) {
  static constexpr const char* kNames[] = {"L", "H, W", "D, H, W"};
  return core::text("(N, ", channels, ", ", kNames[c.spatial - 1], ")");
}

/// One setting for each spatial dimension.
void read_setting(const Call& c, const char* name, IntSpan values, int64_t least, int64_t* to) {
  const auto count = static_cast<int>(values.size());
  if (count != 1 && count != c.spatial) {
    throw ShapeError(core::text(c.op, ": ", name, " must be one number or ", c.spatial, ", got ",
                                shape_string(values)));
  }
  for (int d = 0; d < c.spatial; ++d) {
    const int64_t value = values[count == 1 ? 0 : static_cast<size_t>(d)];
    if (value < least || value > std::numeric_limits<int32_t>::max()) {
      throw ValueError(core::text(c.op, ": ", name, " must be ",
                                  least == 0 ? "0 or greater" : "positive",
                                  " (and below 2^31), got ", shape_string(values)));
    }
    to[3 - c.spatial + d] = value;
  }
}

void check_dtypes(const Call& c) {
  if (!is_floating_point(c.input.dtype())) {
    throw DTypeError(core::text(c.op, ": expected a floating-point input, got a ",
                                core::describe(c.input), "; convert it, for example by .float()"));
  }
  const auto same = [&](const char* name, const Tensor& t) {
    if (t.dtype() == c.input.dtype()) return;
    throw DTypeError(core::text(c.op, ": input is ", dtype_name(c.input.dtype()), " but ", name,
                                " is ", dtype_name(t.dtype()),
                                "; convert one of them, for example ", name, ".to(input.dtype)"));
  };
  same("weight", c.weight);
  if (c.bias.defined()) same("bias", c.bias);
}

/// What the weight's two first dimensions must be, and the input's channels.
void check_channels(const Call& c) {
  const int64_t spatial = c.spatial;
  if (c.weight.dim() != spatial + 2) {
    throw ShapeError(
        core::text(c.op, ": expected a weight of ", spatial + 2, " dimensions ",
                   layout(c, c.transposed ? "out_channels / groups" : "in_channels / groups"),
                   " with N = ", c.transposed ? "in_channels" : "out_channels", ", got shape ",
                   shape_string(c.weight.sizes())));
  }
  if (c.input.dim() != spatial + 1 && c.input.dim() != spatial + 2) {
    throw ShapeError(core::text(c.op, ": expected an input of shape ", layout(c, "C"),
                                ", or without N,", " got shape ", shape_string(c.input.sizes())));
  }
  if (c.groups <= 0)
    throw ValueError(core::text(c.op, ": groups must be positive, got ", c.groups));
  if (c.weight.sizes()[0] % c.groups != 0) {
    throw ShapeError(core::text(c.op, ": with groups=", c.groups,
                                " dimension 0 of weight must be divisible by ", c.groups,
                                ", got shape ", shape_string(c.weight.sizes())));
  }
  const int64_t given = c.input.size(-spatial - 1);
  const int64_t wanted = c.transposed ? c.weight.sizes()[0] : c.weight.sizes()[1] * c.groups;
  if (given != wanted) {
    throw ShapeError(core::text(c.op, ": with groups=", c.groups, " and weight of shape ",
                                shape_string(c.weight.sizes()), " expected an input of ", wanted,
                                " channels, got ", given, " channels in shape ",
                                shape_string(c.input.sizes())));
  }
  const int64_t made = c.transposed ? c.weight.sizes()[1] * c.groups : c.weight.sizes()[0];
  if (c.bias.defined() && !(c.bias.dim() == 1 && c.bias.size(0) == made)) {
    throw ShapeError(core::text(c.op, ": expected a bias of shape (", made, ",), got ",
                                shape_string(c.bias.sizes())));
  }
  for (int64_t d = 2; d < spatial + 2; ++d) {
    if (c.weight.sizes()[static_cast<size_t>(d)] == 0) {
      throw ShapeError(core::text(c.op, ": the kernel must not be empty, got a weight of shape ",
                                  shape_string(c.weight.sizes())));
    }
  }
}

/// Everything but the sizes of the image that comes out.
Geometry begin(const Call& c) {
  check_dtypes(c);
  check_channels(c);
  Geometry g;
  g.spatial = c.spatial;
  g.groups = c.groups;
  g.batch = c.input.dim() == c.spatial + 2 ? c.input.sizes()[0] : 1;
  const int64_t wide = c.weight.sizes()[1] * c.groups;
  g.in_channels = wide;
  g.out_channels = c.weight.sizes()[0];
  read_setting(c, "stride", c.stride, 1, g.stride);
  read_setting(c, "dilation", c.dilation, 1, g.dilation);
  if (!c.padding.empty()) read_setting(c, "padding", c.padding, 0, g.padding);
  for (int d = 0; d < c.spatial; ++d) {
    const int k = 3 - c.spatial + d;
    g.kernel[k] = c.weight.sizes()[static_cast<size_t>(d) + 2];
    (c.transposed ? g.out : g.in)[k] = c.input.size(d - c.spatial);
  }
  return g;
}

/// How far a kernel reaches; an error where that is beyond any image.
int64_t extent(const Call& c, const Geometry& g, int k) {
  int64_t reach = 0;
  if (__builtin_mul_overflow(g.dilation[k], g.kernel[k] - 1, &reach) ||
      reach > (int64_t{1} << 40)) {
    throw ValueError(core::text(c.op, ": dilation ", shape_string(c.dilation),
                                " with a weight of shape ", shape_string(c.weight.sizes()),
                                " reaches too far"));
  }
  return reach + 1;
}

Tensor add_batch(const Call& c) {
  return c.input.dim() == c.spatial + 2 ? c.input : unsqueeze(c.input, 0);
}
Tensor drop_batch(const Call& c, const Tensor& result) {
  return c.input.dim() == c.spatial + 2 ? result : squeeze(result, {0});
}

Tensor convolve(const Call& c, bool same) {
  Geometry g = begin(c);
  for (int k = 3 - c.spatial; k < 3; ++k) {
    const int64_t reach = extent(c, g, k);
    if (same) {
      if (g.stride[k] != 1) {
        throw ValueError(core::text(c.op, ": padding='same' needs stride 1, got stride ",
                                    shape_string(c.stride)));
      }
      g.padding[k] = (reach - 1) / 2;
      g.out[k] = g.in[k];
      continue;
    }
    const int64_t padded = g.in[k] + 2 * g.padding[k];
    if (padded < reach) {
      throw ShapeError(core::text(c.op, ": the kernel reaches over ", reach,
                                  " places of dimension ", k - 3, ", but the padded input has ",
                                  padded, " (input of shape ", shape_string(c.input.sizes()),
                                  ", weight of shape ", shape_string(c.weight.sizes()),
                                  ", padding ", g.padding[k], ", dilation ", g.dilation[k], ")"));
    }
    g.out[k] = (padded - reach) / g.stride[k] + 1;
  }
  return drop_batch(c, convolution(g, add_batch(c), c.weight, c.bias));
}

Tensor convolve_transposed(const Call& c) {
  Geometry g = begin(c);
  int64_t extra[3] = {0, 0, 0};
  read_setting(c, "output_padding", c.output_padding, 0, extra);
  for (int k = 3 - c.spatial; k < 3; ++k) {
    if (extra[k] >= g.stride[k] && extra[k] >= g.dilation[k]) {
      throw ValueError(core::text(c.op,
                                  ": output_padding must be smaller than stride or dilation, got ",
                                  "output_padding ", shape_string(c.output_padding), ", stride ",
                                  shape_string(c.stride), ", dilation ", shape_string(c.dilation)));
    }
    const int64_t reach = extent(c, g, k);
    int64_t spread = 0;
    const bool overflow = __builtin_mul_overflow(g.out[k] - 1, g.stride[k], &spread);
    g.in[k] = overflow ? -1 : spread - 2 * g.padding[k] + reach + extra[k];
    if (g.in[k] <= 0) {
      throw ShapeError(core::text(
          c.op, ": an input of shape ", shape_string(c.input.sizes()), " with a weight of shape ",
          shape_string(c.weight.sizes()), ", stride ", g.stride[k], " and padding ", g.padding[k],
          " gives dimension ", k - 3, " the size ", g.in[k], "; it must be positive"));
    }
  }
  return drop_batch(c, convolution_input_gradient(g, add_batch(c), c.weight, c.bias));
}

Tensor convolve_named(const Call& c, std::string_view padding) {
  if (padding != "same" && padding != "valid") {
    throw ValueError(core::text(c.op, ": padding must be a number, a list of numbers, 'same' or ",
                                "'valid', got '", padding, "'"));
  }
  return convolve(c, padding == "same");
}

using Convolution = Tensor (*)(const Tensor&, const Tensor&, const Tensor&, IntSpan, IntSpan,
                               IntSpan, int64_t);
using NamedConvolution = Tensor (*)(const Tensor&, const Tensor&, const Tensor&, IntSpan,
                                    std::string_view, IntSpan, int64_t);

constexpr int kBoth = kNN | kFunction;

}  // namespace

Tensor conv1d(const Tensor& input, const Tensor& weight, const Tensor& bias, IntSpan stride,
              IntSpan padding, IntSpan dilation, int64_t groups) {
  return convolve({"conv1d", 1, false, input, weight, bias, stride, padding, dilation, {}, groups},
                  false);
}
Tensor conv1d(const Tensor& input, const Tensor& weight, const Tensor& bias, IntSpan stride,
              std::string_view padding, IntSpan dilation, int64_t groups) {
  return convolve_named({"conv1d", 1, false, input, weight, bias, stride, {}, dilation, {}, groups},
                        padding);
}
Tensor conv_transpose1d(const Tensor& input, const Tensor& weight, const Tensor& bias,
                        IntSpan stride, IntSpan padding, IntSpan output_padding, int64_t groups,
                        IntSpan dilation) {
  return convolve_transposed({"conv_transpose1d", 1, true, input, weight, bias, stride, padding,
                              dilation, output_padding, groups});
}
Tensor conv2d(const Tensor& input, const Tensor& weight, const Tensor& bias, IntSpan stride,
              IntSpan padding, IntSpan dilation, int64_t groups) {
  return convolve({"conv2d", 2, false, input, weight, bias, stride, padding, dilation, {}, groups},
                  false);
}
Tensor conv2d(const Tensor& input, const Tensor& weight, const Tensor& bias, IntSpan stride,
              std::string_view padding, IntSpan dilation, int64_t groups) {
  return convolve_named({"conv2d", 2, false, input, weight, bias, stride, {}, dilation, {}, groups},
                        padding);
}
Tensor conv_transpose2d(const Tensor& input, const Tensor& weight, const Tensor& bias,
                        IntSpan stride, IntSpan padding, IntSpan output_padding, int64_t groups,
                        IntSpan dilation) {
  return convolve_transposed({"conv_transpose2d", 2, true, input, weight, bias, stride, padding,
                              dilation, output_padding, groups});
}
Tensor conv3d(const Tensor& input, const Tensor& weight, const Tensor& bias, IntSpan stride,
              IntSpan padding, IntSpan dilation, int64_t groups) {
  return convolve({"conv3d", 3, false, input, weight, bias, stride, padding, dilation, {}, groups},
                  false);
}
Tensor conv3d(const Tensor& input, const Tensor& weight, const Tensor& bias, IntSpan stride,
              std::string_view padding, IntSpan dilation, int64_t groups) {
  return convolve_named({"conv3d", 3, false, input, weight, bias, stride, {}, dilation, {}, groups},
                        padding);
}
Tensor conv_transpose3d(const Tensor& input, const Tensor& weight, const Tensor& bias,
                        IntSpan stride, IntSpan padding, IntSpan output_padding, int64_t groups,
                        IntSpan dilation) {
  return convolve_transposed({"conv_transpose3d", 3, true, input, weight, bias, stride, padding,
                              dilation, output_padding, groups});
}

TAPEGRAD_OP(kBoth,
            "conv1d(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=1, int[1] "
            "padding=0, int[1] dilation=1, int groups=1) -> Tensor",
            R"(Convolution (as in networks: cross-correlation) of sequences with a set of kernels.

The result lies in memory with the channels of a place together (channels_last), whatever the layout
of the input.

Args:
    input: (N, in_channels, L) or (in_channels, L)
    weight: (out_channels, in_channels / groups, K)
    bias: (out_channels,) or None
    stride: the step of the kernel
    padding: zeros on both sides of the input: a number, one for each dimension, 'valid' (none) or
        'same' (so many that the result has the input's size; only with stride 1)
    dilation: the distance between the elements of the kernel
    groups: the channels fall into so many groups, convolved independently

Returns:
    (N, out_channels, L), where each size L of the input has become
    (L + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1

Raises:
    ShapeError: operands that do not fit
    DTypeError: operands that are not of one floating-point dtype
    ValueError: an impossible setting

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.conv1d(tg.tensor([[[1., 2., 3.]]]), tg.ones(1, 1, 2))
    tensor([[[3., 5.]]]))",
            static_cast<Convolution>(&conv1d));
TAPEGRAD_OP(kBoth,
            "conv1d(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=1, str "
            "padding='valid', int[1] dilation=1, int groups=1) -> Tensor",
            "", static_cast<NamedConvolution>(&conv1d));
TAPEGRAD_OP(kBoth,
            "conv2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] "
            "padding=0, int[2] dilation=1, int groups=1) -> Tensor",
            R"(Convolution (as in networks: cross-correlation) of images with a set of kernels.

The result lies in memory with the channels of a place together (channels_last), whatever the layout
of the input.

Args:
    input: (N, in_channels, H, W) or (in_channels, H, W)
    weight: (out_channels, in_channels / groups, KH, KW)
    bias: (out_channels,) or None
    stride: the step of the kernel
    padding: zeros on both sides of the input: a number, one for each dimension, 'valid' (none) or
        'same' (so many that the result has the input's size; only with stride 1)
    dilation: the distance between the elements of the kernel
    groups: the channels fall into so many groups, convolved independently

Returns:
    (N, out_channels, H, W), where each size L of the input has become
    (L + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1

Raises:
    ShapeError: operands that do not fit
    DTypeError: operands that are not of one floating-point dtype
    ValueError: an impossible setting

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.conv2d(tg.ones(1, 1, 3, 3), tg.ones(1, 1, 3, 3), padding="same")
    tensor([[[[4., 6., 4.],
              [6., 9., 6.],
              [4., 6., 4.]]]]))",
            static_cast<Convolution>(&conv2d));
TAPEGRAD_OP(kBoth,
            "conv2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, str "
            "padding='valid', int[2] dilation=1, int groups=1) -> Tensor",
            "", static_cast<NamedConvolution>(&conv2d));
TAPEGRAD_OP(kBoth,
            "conv3d(Tensor input, Tensor weight, Tensor? bias=None, int[3] stride=1, int[3] "
            "padding=0, int[3] dilation=1, int groups=1) -> Tensor",
            R"(Convolution (as in networks: cross-correlation) of volumes with a set of kernels.

The result lies in memory with the channels of a place together (channels_last), whatever the layout
of the input.

Args:
    input: (N, in_channels, D, H, W) or (in_channels, D, H, W)
    weight: (out_channels, in_channels / groups, KD, KH, KW)
    bias: (out_channels,) or None
    stride: the step of the kernel
    padding: zeros on both sides of the input: a number, one for each dimension, 'valid' (none) or
        'same' (so many that the result has the input's size; only with stride 1)
    dilation: the distance between the elements of the kernel
    groups: the channels fall into so many groups, convolved independently

Returns:
    (N, out_channels, D, H, W), where each size L of the input has become
    (L + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1

Raises:
    ShapeError: operands that do not fit
    DTypeError: operands that are not of one floating-point dtype
    ValueError: an impossible setting

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.conv3d(tg.ones(1, 2, 2, 2, 2), tg.ones(1, 2, 2, 2, 2)).item()
    16.0)",
            static_cast<Convolution>(&conv3d));
TAPEGRAD_OP(kBoth,
            "conv3d(Tensor input, Tensor weight, Tensor? bias=None, int[3] stride=1, str "
            "padding='valid', int[3] dilation=1, int groups=1) -> Tensor",
            "", static_cast<NamedConvolution>(&conv3d));
TAPEGRAD_OP(
    kBoth,
    "conv_transpose1d(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=1, "
    "int[1] padding=0, int[1] output_padding=0, int groups=1, int[1] dilation=1) -> Tensor",
    R"(Transposed convolution of sequences: what takes the gradient of conv1d's result to that of its input.

Args:
    input: (N, in_channels, L) or (in_channels, L)
    weight: (in_channels, out_channels / groups, K)
    bias: (out_channels,) or None
    stride: the step of the kernel over the result
    padding: so much is cut off on both sides of the result
    output_padding: places added after the result; smaller than stride or dilation
    groups: the channels fall into so many groups, convolved independently
    dilation: the distance between the elements of the kernel

Returns:
    (N, out_channels, L), where each size L of the input has become
    (L - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1

Raises:
    ShapeError: operands that do not fit
    DTypeError: operands that are not of one floating-point dtype
    ValueError: an impossible setting

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.conv_transpose1d(tg.tensor([[[1., 2.]]]), tg.ones(1, 1, 2))
    tensor([[[1., 3., 2.]]]))",
    &conv_transpose1d);
TAPEGRAD_OP(
    kBoth,
    "conv_transpose2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, "
    "int[2] padding=0, int[2] output_padding=0, int groups=1, int[2] dilation=1) -> Tensor",
    R"(Transposed convolution of images: what takes the gradient of conv2d's result to that of its input.

Args:
    input: (N, in_channels, H, W) or (in_channels, H, W)
    weight: (in_channels, out_channels / groups, KH, KW)
    bias: (out_channels,) or None
    stride: the step of the kernel over the result
    padding: so much is cut off on both sides of the result
    output_padding: places added after the result; smaller than stride or dilation
    groups: the channels fall into so many groups, convolved independently
    dilation: the distance between the elements of the kernel

Returns:
    (N, out_channels, H, W), where each size L of the input has become
    (L - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1

Raises:
    ShapeError: operands that do not fit
    DTypeError: operands that are not of one floating-point dtype
    ValueError: an impossible setting

Example:
    >>> import tapegrad as tg
    >>> x, w = tg.ones(1, 4, 5, 5), tg.ones(4, 2, 2, 2)
    >>> tg.nn.functional.conv_transpose2d(x, w, stride=2).shape
    tapegrad.Size([1, 2, 10, 10]))",
    &conv_transpose2d);
TAPEGRAD_OP(
    kBoth,
    "conv_transpose3d(Tensor input, Tensor weight, Tensor? bias=None, int[3] stride=1, "
    "int[3] padding=0, int[3] output_padding=0, int groups=1, int[3] dilation=1) -> Tensor",
    R"(Transposed convolution of volumes: what takes the gradient of conv3d's result to that of its input.

Args:
    input: (N, in_channels, D, H, W) or (in_channels, D, H, W)
    weight: (in_channels, out_channels / groups, KD, KH, KW)
    bias: (out_channels,) or None
    stride: the step of the kernel over the result
    padding: so much is cut off on both sides of the result
    output_padding: places added after the result; smaller than stride or dilation
    groups: the channels fall into so many groups, convolved independently
    dilation: the distance between the elements of the kernel

Returns:
    (N, out_channels, D, H, W), where each size L of the input has become
    (L - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1

Raises:
    ShapeError: operands that do not fit
    DTypeError: operands that are not of one floating-point dtype
    ValueError: an impossible setting

Example:
    >>> import tapegrad as tg
    >>> x, w = tg.ones(1, 1, 2, 2, 2), tg.ones(1, 1, 2, 2, 2)
    >>> tg.nn.functional.conv_transpose3d(x, w).sum().item()
    64.0)",
    &conv_transpose3d);

}  // namespace tapegrad
