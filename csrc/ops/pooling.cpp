// Pooling by maxima and averages, with windows of one size or adaptive ones.
#include "ops/pooling.h"

#include "autograd/entry.h"
#include "core/launch.h"
#include "ops/channels_last.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"
#include "tapegrad/pooling.h"

namespace tapegrad {

using namespace ops;
using kernels::PoolParameters;
using kernels::PoolWindows;

namespace {

/// What the rules know: the windows, of the last `ndim` dimensions of their inputs.
struct Pooling {
  PoolWindows windows;
  int ndim = 2;
  bool count_padding = false;
  int64_t divisor = 0;

  /// The sizes of x with other spatial ones.
  Dims sizes(const Tensor& x, const int64_t (&spatial)[3]) const {
    Dims result(x.sizes());
    for (int d = 0; d < ndim; ++d) result[result.size() - ndim + d] = spatial[3 - ndim + d];
    return result;
  }
  Dims in_sizes(const Tensor& output) const { return sizes(output, windows.in); }
  Dims out_sizes(const Tensor& input) const { return sizes(input, windows.out); }
  bool channels_last(const Tensor& x) const { return x.dim() == ndim + 2 && is_channels_last(x); }
  PoolParameters parameters(const Tensor& x, bool last) const {
    PoolParameters p;
    p.windows = windows;
    for (int64_t d = 0; d < x.dim() - ndim; ++d) p.planes *= x.size(d);
    if (last) {
      p.channels = x.size(1);
      p.planes = x.size(0);
    }
    p.is_double = x.dtype() == DType::Float64;
    p.count_padding = count_padding;
    p.divisor = divisor;
    return p;
  }
};

// --- maxima --------------------------------------------------------------------------------------

struct PoolScatterRule;

/// What lies at the places of an input. Inputs: x, places.
struct PoolGatherRule : autograd::Rule {
  static constexpr const char* name = "MaxPoolGather";
  static constexpr bool leading = true;
  Pooling pooling;

  unsigned saves_inputs(unsigned) const { return 2; }
  Tensor forward(autograd::Inputs in) const {
    const bool last = pooling.channels_last(in[1]);
    const Tensor x = in_order(in[0], last), places = in_order(in[1], last);
    const Tensor y = make_in_order(places.sizes(), x.dtype(), last);
    if (y->numel() > 0) {
      core::launch(&kernels::pool_gather, {core::out(y), core::in(x), core::in(places)},
                   pooling.parameters(x, last));
    }
    return y;
  }
  void pull(autograd::Pull& p) const;
  Tensor push(autograd::Push& p) const {
    return autograd::enter(PoolGatherRule(*this), p.tangent(0), p.input(1));
  }
};

/// The adjoint: zeros but at the places, where the gradients add up. Inputs: g, places.
struct PoolScatterRule : autograd::Rule {
  static constexpr const char* name = "MaxPoolScatter";
  static constexpr bool leading = true;
  Pooling pooling;

  unsigned saves_inputs(unsigned) const { return 2; }
  Tensor forward(autograd::Inputs in) const {
    const bool last = pooling.channels_last(in[1]);
    const Tensor g = in_order(in[0], last), places = in_order(in[1], last);
    const Tensor gx = make_in_order(pooling.in_sizes(places), g.dtype(), last);
    if (gx->numel() > 0) {
      core::launch(&kernels::pool_scatter, {core::out(gx), core::in(g), core::in(places)},
                   pooling.parameters(g, last));
    }
    return gx;
  }
  void pull(autograd::Pull& p) const {
    p.set(0, autograd::enter(PoolGatherRule{{}, pooling}, p.grad(), p.input(1)));
  }
  Tensor push(autograd::Push& p) const {
    return autograd::enter(PoolScatterRule(*this), p.tangent(0), p.input(1));
  }
};

void PoolGatherRule::pull(autograd::Pull& p) const {
  p.set(0, autograd::enter(PoolScatterRule{{}, pooling}, p.grad(), p.input(1)));
}

/// Maxima and, when asked for, their places.
struct MaxPoolRule : autograd::Rule {
  static constexpr const char* name = "MaxPool";
  static constexpr bool leading = true;
  Pooling pooling;
  bool with_places;

  unsigned saves_outputs(unsigned) const { return 2; }
  std::vector<Tensor> forward(autograd::Inputs in) const {
    const bool last = pooling.channels_last(in[0]);
    const Tensor x = in_order(in[0], last);
    const Dims sizes = pooling.out_sizes(x);
    std::vector<Tensor> result;
    result.reserve(2);
    result.push_back(make_in_order(sizes, x.dtype(), last));
    if (with_places) result.push_back(make_in_order(sizes, DType::Int32, last));
    if (result[0]->numel() > 0) {
      core::launch(
          &kernels::pool_max,
          {core::out(result[0]), with_places ? core::out(result[1]) : core::none(), core::in(x)},
          pooling.parameters(x, last));
    }
    return result;
  }
  void pull(autograd::Pull& p) const {
    if (!p.grad(0).defined()) return;
    p.set(0, autograd::enter(PoolScatterRule{{}, pooling}, p.grad(0), p.output(1)));
  }
  std::vector<Tensor> push(autograd::Push& p) const {
    return {autograd::enter(PoolGatherRule{{}, pooling}, p.tangent(0), p.output(1)), Tensor()};
  }
};

/// Places as positions in the plane, as users see them.
struct PoolPositionsRule : autograd::Rule {
  static constexpr const char* name = "MaxPoolPositions";
  static constexpr bool differentiable = false;
  static constexpr bool leading = true;
  Pooling pooling;

  Tensor forward(autograd::Inputs in) const {
    const bool last = pooling.channels_last(in[0]);
    const Tensor places = in_order(in[0], last);
    const Tensor positions = make_in_order(places.sizes(), DType::Int64, last);
    if (positions->numel() > 0) {
      core::launch(&kernels::pool_positions, {core::out(positions), core::in(places)},
                   pooling.parameters(places, last));
    }
    return positions;
  }
  void pull(autograd::Pull&) const {}
};

std::vector<Tensor> max_pool(const Tensor& input, const Pooling& pooling, bool with_indices) {
  const Tensor x = to(input, kernel_dtype(input.dtype()));
  const bool with_places = with_indices || is_watched({&x});
  std::vector<Tensor> result = autograd::enter(MaxPoolRule{{}, pooling, with_places}, x);
  result[0] = to(result[0], input.dtype());
  if (with_indices)
    result[1] = autograd::enter(PoolPositionsRule{{}, pooling}, result[1]);
  else
    result.resize(1);
  return result;
}

template <int ndim>
std::vector<Tensor> max_pool_of(const Tensor& input, const PoolArguments& arguments,
                                bool with_indices) {
  constexpr const char* kNames[] = {"max_pool1d", "max_pool2d", "max_pool3d"};
  return max_pool(input, {pool_windows(kNames[ndim - 1], ndim, input, arguments), ndim},
                  with_indices);
}

template <int ndim>
OneOrMore max_pool_entry(const Tensor& input, IntSpan kernel, OptionalInts stride, IntSpan padding,
                         IntSpan dilation, bool ceil_mode, bool with_indices) {
  const IntSpan steps = stride.has_value() ? stride.value() : IntSpan();
  return {max_pool_of<ndim>(input, {kernel, steps, padding, dilation, ceil_mode}, with_indices)};
}

template <int ndim>
std::vector<Tensor> adaptive_max_pool_of(const Tensor& input, IntSpan output_size,
                                         bool with_indices) {
  constexpr const char* kNames[] = {"adaptive_max_pool1d", "adaptive_max_pool2d",
                                    "adaptive_max_pool3d"};
  return max_pool(input, {adaptive_windows(kNames[ndim - 1], ndim, input, output_size), ndim},
                  with_indices);
}

template <int ndim>
OneOrMore adaptive_max_pool_entry(const Tensor& input, IntSpan output_size, bool with_indices) {
  return {adaptive_max_pool_of<ndim>(input, output_size, with_indices)};
}

// --- averages ------------------------------------------------------------------------------------

struct AvgPoolRule : autograd::Rule {
  static constexpr const char* name = "AvgPool";
  static constexpr bool leading = true;
  static constexpr bool linear = true;
  Pooling pooling;

  Tensor forward(autograd::Inputs in) const {
    const bool last = pooling.channels_last(in[0]);
    const Tensor x = in_order(in[0], last);
    const Tensor y = make_in_order(pooling.out_sizes(x), x.dtype(), last);
    if (y->numel() > 0)
      core::launch(&kernels::pool_average, {core::out(y), core::in(x)},
                   pooling.parameters(x, last));
    return y;
  }
  void pull(autograd::Pull& p) const;
};

struct AvgPoolSpreadRule : autograd::Rule {
  static constexpr const char* name = "AvgPoolSpread";
  static constexpr bool leading = true;
  static constexpr bool linear = true;
  Pooling pooling;

  Tensor forward(autograd::Inputs in) const {
    const bool last = pooling.channels_last(in[0]);
    const Tensor g = in_order(in[0], last);
    const Tensor gx = make_in_order(pooling.in_sizes(g), g.dtype(), last);
    if (gx->numel() > 0)
      core::launch(&kernels::pool_spread, {core::out(gx), core::in(g)},
                   pooling.parameters(g, last));
    return gx;
  }
  void pull(autograd::Pull& p) const {
    p.set(0, autograd::enter(AvgPoolRule{{}, pooling}, p.grad()));
  }
};

void AvgPoolRule::pull(autograd::Pull& p) const {
  p.set(0, autograd::enter(AvgPoolSpreadRule{{}, pooling}, p.grad()));
}

Tensor average(const Tensor& input, const Pooling& pooling) {
  const Tensor x = to(input, kernel_dtype(input.dtype()));
  return to(autograd::enter(AvgPoolRule{{}, pooling}, x), input.dtype());
}

template <int ndim>
Tensor avg_pool_of(const Tensor& input, const PoolArguments& arguments, bool count_include_pad,
                   std::optional<int64_t> divisor) {
  constexpr const char* kNames[] = {"avg_pool1d", "avg_pool2d", "avg_pool3d"};
  const char* op = kNames[ndim - 1];
  Pooling pooling{pool_windows(op, ndim, input, arguments), ndim, count_include_pad, 0};
  if (divisor && *divisor == 0)
    throw ValueError(std::string(op) + ": divisor_override must not be zero");
  pooling.divisor = divisor.value_or(0);
  return average(input, pooling);
}

template <int ndim>
Tensor avg_pool_entry(const Tensor& input, IntSpan kernel, OptionalInts stride, IntSpan padding,
                      bool ceil_mode, bool count_include_pad, std::optional<int64_t> divisor) {
  const IntSpan steps = stride.has_value() ? stride.value() : IntSpan();
  return avg_pool_of<ndim>(input, {kernel, steps, padding, IntSpan({1}), ceil_mode},
                           count_include_pad, divisor);
}

template <int ndim>
Tensor adaptive_avg_pool_of(const Tensor& input, IntSpan output_size) {
  constexpr const char* kNames[] = {"adaptive_avg_pool1d", "adaptive_avg_pool2d",
                                    "adaptive_avg_pool3d"};
  return average(input, {adaptive_windows(kNames[ndim - 1], ndim, input, output_size), ndim});
}

}  // namespace

Tensor max_pool1d(const Tensor& input, IntSpan kernel_size, IntSpan stride, IntSpan padding,
                  IntSpan dilation, bool ceil_mode) {
  return max_pool_of<1>(input, {kernel_size, stride, padding, dilation, ceil_mode}, false)[0];
}
Tensor max_pool2d(const Tensor& input, IntSpan kernel_size, IntSpan stride, IntSpan padding,
                  IntSpan dilation, bool ceil_mode) {
  return max_pool_of<2>(input, {kernel_size, stride, padding, dilation, ceil_mode}, false)[0];
}
Tensor max_pool3d(const Tensor& input, IntSpan kernel_size, IntSpan stride, IntSpan padding,
                  IntSpan dilation, bool ceil_mode) {
  return max_pool_of<3>(input, {kernel_size, stride, padding, dilation, ceil_mode}, false)[0];
}
std::vector<Tensor> max_pool2d_with_indices(const Tensor& input, IntSpan kernel_size,
                                            IntSpan stride, IntSpan padding, IntSpan dilation,
                                            bool ceil_mode) {
  return max_pool_of<2>(input, {kernel_size, stride, padding, dilation, ceil_mode}, true);
}
Tensor avg_pool1d(const Tensor& input, IntSpan kernel_size, IntSpan stride, IntSpan padding,
                  bool ceil_mode, bool count_include_pad) {
  return avg_pool_of<1>(input, {kernel_size, stride, padding, IntSpan({1}), ceil_mode},
                        count_include_pad, {});
}
Tensor avg_pool2d(const Tensor& input, IntSpan kernel_size, IntSpan stride, IntSpan padding,
                  bool ceil_mode, bool count_include_pad, std::optional<int64_t> divisor_override) {
  return avg_pool_of<2>(input, {kernel_size, stride, padding, IntSpan({1}), ceil_mode},
                        count_include_pad, divisor_override);
}
Tensor avg_pool3d(const Tensor& input, IntSpan kernel_size, IntSpan stride, IntSpan padding,
                  bool ceil_mode, bool count_include_pad, std::optional<int64_t> divisor_override) {
  return avg_pool_of<3>(input, {kernel_size, stride, padding, IntSpan({1}), ceil_mode},
                        count_include_pad, divisor_override);
}
Tensor adaptive_avg_pool1d(const Tensor& input, IntSpan output_size) {
  return adaptive_avg_pool_of<1>(input, output_size);
}
Tensor adaptive_avg_pool2d(const Tensor& input, IntSpan output_size) {
  return adaptive_avg_pool_of<2>(input, output_size);
}
Tensor adaptive_avg_pool3d(const Tensor& input, IntSpan output_size) {
  return adaptive_avg_pool_of<3>(input, output_size);
}
Tensor adaptive_max_pool1d(const Tensor& input, IntSpan output_size) {
  return adaptive_max_pool_of<1>(input, output_size, false)[0];
}
Tensor adaptive_max_pool2d(const Tensor& input, IntSpan output_size) {
  return adaptive_max_pool_of<2>(input, output_size, false)[0];
}
Tensor adaptive_max_pool3d(const Tensor& input, IntSpan output_size) {
  return adaptive_max_pool_of<3>(input, output_size, false)[0];
}

TAPEGRAD_OP(
    kNN,
    "max_pool1d(Tensor input, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, "
    "int[1] dilation=1, bool ceil_mode=False, bool return_indices=False) -> Tensor | Tensor[]",
    R"(The largest element of each window; NaN is larger than all numbers.

Args:
    input: a floating-point tensor of shape (N, C, L) or (C, L)
    kernel_size: size of the window: a number
    stride: distance of windows; kernel_size when not given
    padding: elements of -inf at both ends, at most half of the window
    dilation: distance of the elements of a window
    ceil_mode: also windows that begin inside and end outside
    return_indices: also return where the maxima are, as positions in the plane of their channel

Raises:
    ShapeError: an input of another shape, or smaller than the window
    ValueError: sizes that are not positive, or too much padding

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.max_pool1d(tg.arange(4.).reshape(1, 4), 2)
    tensor([[1., 3.]]))",
    &max_pool_entry<1>);
TAPEGRAD_OP(
    kNN,
    "max_pool2d(Tensor input, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, "
    "int[2] dilation=1, bool ceil_mode=False, bool return_indices=False) -> Tensor | Tensor[]",
    R"(The largest element of each window; NaN is larger than all numbers.

Args:
    input: a floating-point tensor of shape (N, C, H, W) or (C, H, W)
    kernel_size: size of the window: a number, or 2
    stride: distance of windows; kernel_size when not given
    padding: elements of -inf at both ends, at most half of the window
    dilation: distance of the elements of a window
    ceil_mode: also windows that begin inside and end outside
    return_indices: also return where the maxima are, as positions in the plane of their channel

Raises:
    ShapeError: an input of another shape, or smaller than the window
    ValueError: sizes that are not positive, or too much padding

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.max_pool2d(tg.arange(16.).reshape(1, 4, 4), 2)
    tensor([[[ 5.,  7.],
             [13., 15.]]]))",
    &max_pool_entry<2>);
TAPEGRAD_OP(
    kNN,
    "max_pool3d(Tensor input, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, "
    "int[3] dilation=1, bool ceil_mode=False, bool return_indices=False) -> Tensor | Tensor[]",
    R"(The largest element of each window; NaN is larger than all numbers.

Args:
    input: a floating-point tensor of shape (N, C, D, H, W) or (C, D, H, W)
    kernel_size: size of the window: a number, or 3
    stride: distance of windows; kernel_size when not given
    padding: elements of -inf at both ends, at most half of the window
    dilation: distance of the elements of a window
    ceil_mode: also windows that begin inside and end outside
    return_indices: also return where the maxima are, as positions in the plane of their channel

Raises:
    ShapeError: an input of another shape, or smaller than the window
    ValueError: sizes that are not positive, or too much padding

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.max_pool3d(tg.arange(8.).reshape(1, 2, 2, 2), 2)
    tensor([[[[7.]]]]))",
    &max_pool_entry<3>);
TAPEGRAD_OP(
    kFunction | kNN,
    "avg_pool1d(Tensor input, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, "
    "bool ceil_mode=False, bool count_include_pad=True) -> Tensor",
    R"(The mean of each window.

Args:
    input: a floating-point tensor of shape (N, C, L) or (C, L)
    kernel_size: size of the window: a number
    stride: distance of windows; kernel_size when not given
    padding: zeros at both ends, at most half of the window
    ceil_mode: also windows that begin inside and end outside
    count_include_pad: whether means count the padding

Raises:
    ShapeError: an input of another shape, or smaller than the window
    ValueError: sizes that are not positive, or too much padding

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.avg_pool1d(tg.arange(4.).reshape(1, 4), 2)
    tensor([[0.5000, 2.5000]]))",
    +[](const Tensor& input, IntSpan kernel, OptionalInts stride, IntSpan padding, bool ceil_mode,
        bool count_include_pad) {
      return avg_pool_entry<1>(input, kernel, stride, padding, ceil_mode, count_include_pad, {});
    });
TAPEGRAD_OP(
    kNN,
    "avg_pool2d(Tensor input, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, "
    "bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor",
    R"(The mean of each window.

Args:
    input: a floating-point tensor of shape (N, C, H, W) or (C, H, W)
    kernel_size: size of the window: a number, or 2
    stride: distance of windows; kernel_size when not given
    padding: zeros at both ends, at most half of the window
    ceil_mode: also windows that begin inside and end outside
    count_include_pad: whether means count the padding
    divisor_override: what sums are divided by, instead of the number of elements

Raises:
    ShapeError: an input of another shape, or smaller than the window
    ValueError: sizes that are not positive, or too much padding

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.avg_pool2d(tg.arange(16.).reshape(1, 4, 4), 2)
    tensor([[[ 2.5000,  4.5000],
             [10.5000, 12.5000]]]))",
    &avg_pool_entry<2>);
TAPEGRAD_OP(
    kNN,
    "avg_pool3d(Tensor input, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, "
    "bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor",
    R"(The mean of each window.

Args:
    input: a floating-point tensor of shape (N, C, D, H, W) or (C, D, H, W)
    kernel_size: size of the window: a number, or 3
    stride: distance of windows; kernel_size when not given
    padding: zeros at both ends, at most half of the window
    ceil_mode: also windows that begin inside and end outside
    count_include_pad: whether means count the padding
    divisor_override: what sums are divided by, instead of the number of elements

Raises:
    ShapeError: an input of another shape, or smaller than the window
    ValueError: sizes that are not positive, or too much padding

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.avg_pool3d(tg.arange(8.).reshape(1, 2, 2, 2), 2)
    tensor([[[[3.5000]]]]))",
    &avg_pool_entry<3>);
TAPEGRAD_OP(kFunction | kNN, "adaptive_avg_pool1d(Tensor input, int[1] output_size) -> Tensor",
            R"(The mean of each of a given number of windows that cover the input evenly.

Args:
    input: a floating-point tensor of shape (N, C, L) or (C, L)
    output_size: how many windows: a number; None (or -1) for as many as elements

Raises:
    ShapeError: an input of another shape
    ValueError: a number of windows that is not positive

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.adaptive_avg_pool1d(tg.arange(4.).reshape(1, 4), 1)
    tensor([[1.5000]]))",
            &adaptive_avg_pool_of<1>);
TAPEGRAD_OP(kNN, "adaptive_avg_pool2d(Tensor input, int[2] output_size) -> Tensor",
            R"(The mean of each of a given number of windows that cover the input evenly.

Args:
    input: a floating-point tensor of shape (N, C, H, W) or (C, H, W)
    output_size: how many windows: a number, or 2; None (or -1) for as many as elements

Raises:
    ShapeError: an input of another shape
    ValueError: a number of windows that is not positive

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.adaptive_avg_pool2d(tg.arange(16.).reshape(1, 4, 4), 1)
    tensor([[[7.5000]]]))",
            &adaptive_avg_pool_of<2>);
TAPEGRAD_OP(kNN, "adaptive_avg_pool3d(Tensor input, int[3] output_size) -> Tensor",
            R"(The mean of each of a given number of windows that cover the input evenly.

Args:
    input: a floating-point tensor of shape (N, C, D, H, W) or (C, D, H, W)
    output_size: how many windows: a number, or 3; None (or -1) for as many as elements

Raises:
    ShapeError: an input of another shape
    ValueError: a number of windows that is not positive

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.adaptive_avg_pool3d(tg.arange(8.).reshape(1, 2, 2, 2), 1)
    tensor([[[[3.5000]]]]))",
            &adaptive_avg_pool_of<3>);
TAPEGRAD_OP(kNN,
            "adaptive_max_pool1d(Tensor input, int[1] output_size, bool return_indices=False) -> "
            "Tensor | Tensor[]",
            R"(The largest element of each of a given number of windows that cover the input evenly.

Args:
    input: a floating-point tensor of shape (N, C, L) or (C, L)
    output_size: how many windows: a number; None (or -1) for as many as elements
    return_indices: also return where the maxima are, as positions in the plane of their channel

Raises:
    ShapeError: an input of another shape
    ValueError: a number of windows that is not positive

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.adaptive_max_pool1d(tg.arange(4.).reshape(1, 4), 1)
    tensor([[3.]]))",
            &adaptive_max_pool_entry<1>);
TAPEGRAD_OP(kNN,
            "adaptive_max_pool2d(Tensor input, int[2] output_size, bool return_indices=False) -> "
            "Tensor | Tensor[]",
            R"(The largest element of each of a given number of windows that cover the input evenly.

Args:
    input: a floating-point tensor of shape (N, C, H, W) or (C, H, W)
    output_size: how many windows: a number, or 2; None (or -1) for as many as elements
    return_indices: also return where the maxima are, as positions in the plane of their channel

Raises:
    ShapeError: an input of another shape
    ValueError: a number of windows that is not positive

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.adaptive_max_pool2d(tg.arange(16.).reshape(1, 4, 4), 1)
    tensor([[[15.]]]))",
            &adaptive_max_pool_entry<2>);
TAPEGRAD_OP(kNN,
            "adaptive_max_pool3d(Tensor input, int[3] output_size, bool return_indices=False) -> "
            "Tensor | Tensor[]",
            R"(The largest element of each of a given number of windows that cover the input evenly.

Args:
    input: a floating-point tensor of shape (N, C, D, H, W) or (C, D, H, W)
    output_size: how many windows: a number, or 3; None (or -1) for as many as elements
    return_indices: also return where the maxima are, as positions in the plane of their channel

Raises:
    ShapeError: an input of another shape
    ValueError: a number of windows that is not positive

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.adaptive_max_pool3d(tg.arange(8.).reshape(1, 2, 2, 2), 1)
    tensor([[[[7.]]]]))",
            &adaptive_max_pool_entry<3>);

}  // namespace tapegrad
