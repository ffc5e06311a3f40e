// Batch norm: over the samples of each channel, or by running statistics.
#include "core/launch.h"
#include "core/text.h"
#include "kernels/normalization.h"
#include "ops/channels_last.h"
#include "ops/normalization.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/normalization.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;
using kernels::BatchNormParameters;

namespace {

core::Operand optional_in(const Tensor& tensor) {
  return tensor.defined() ? core::in(tensor) : core::none();
}
core::Operand optional_out(const Tensor& tensor) {
  return tensor.defined() ? core::out(tensor) : core::none();
}

/// All dimensions but that of the channels.
Dims sample_dims(const Tensor& x) { return dims_of(all_dims(x.dim()) & ~DimMask{2}, x.dim()); }

/// One number a channel, so that it broadcasts against x.
Tensor along_channels(const Tensor& values, const Tensor& x) {
  Dims sizes(static_cast<int>(x.dim()), 1);
  sizes[1] = x.size(1);
  return reshape(values, sizes);
}

BatchNormParameters parameters_of(const Tensor& x, bool last, double eps) {
  BatchNormParameters p;
  p.shape.n = x.size(0);
  p.shape.c = x.size(1);
  for (int64_t d = 2; d < x.dim(); ++d) p.shape.s *= x.size(d);
  p.shape.last = last || p.shape.s == 1;
  p.is_double = x.dtype() == DType::Float64;
  p.eps = eps;
  return p;
}
Tensor scratch_for(const BatchNormParameters& p) {
  return core::make_tensor({kernels::channel_scratch(p.shape)}, DType::Float64);
}

/// What both rules do: they differ by where mean and spread come from.
struct BatchNormBase : autograd::Rule {
  double eps;
  Affine affine;

  Tensor weight_of(autograd::Inputs in) const {
    return affine.weight ? contiguous(in[affine.weight_at()]) : Tensor();
  }
  Tensor apply(const Tensor& x, const Tensor& mean, const Tensor& spread,
               const BatchNormParameters& p, autograd::Inputs in) const {
    const bool last = is_channels_last(x);
    const Tensor w = weight_of(in);
    const Tensor b = affine.bias ? contiguous(in[affine.bias_at()]) : Tensor();
    const Tensor y = make_in_order(x.sizes(), x.dtype(), last);
    if (x->numel() == 0) return y;
    const Tensor scratch = p.shape.last ? scratch_for(p) : Tensor();
    core::launch(&kernels::batch_norm,
                 {core::out(y), core::in(x), core::in(mean), core::in(spread), optional_in(w),
                  optional_in(b), optional_out(scratch)},
                 p);
    return y;
  }

  void pull_fused(autograd::Pull& p, const Tensor& gradient, const Tensor& input,
                  const Tensor& weight, const Tensor& mean, const Tensor& spread,
                  bool training) const {
    const bool last = is_channels_last(input);
    const Tensor x = in_order(input, last), g = in_order(gradient, last);
    const Tensor w = weight.defined() ? contiguous(weight) : weight;
    BatchNormParameters parameters = parameters_of(x, last, eps);
    parameters.through_statistics = training;
    parameters.from_variance = !training;
    const auto wanted = [&](bool given, int at) {
      return given && p.needs(at) ? core::make_tensor({x.size(1)}, x.dtype()) : Tensor();
    };
    const Tensor gx = p.needs(0) ? make_in_order(x.sizes(), x.dtype(), last) : Tensor();
    const Tensor gw = wanted(affine.weight, affine.weight_at());
    const Tensor gb = wanted(affine.bias, affine.bias_at());
    if (x->numel() > 0) {
      core::launch(
          &kernels::batch_norm_gradient,
          {optional_out(gx), optional_out(gw), optional_out(gb), core::in(g), core::in(x),
           core::in(mean), core::in(spread), optional_in(w), core::out(scratch_for(parameters))},
          parameters);
    }
    if (gx.defined()) p.set(0, gx);
    const bool empty = x->numel() == 0;
    if (gw.defined()) p.set(affine.weight_at(), empty ? zeros_like(gw) : gw);
    if (gb.defined()) p.set(affine.bias_at(), empty ? zeros_like(gb) : gb);
  }

  /// Gradients of weight and bias, and g * weight.
  Tensor pull_affine(autograd::Pull& p, const Tensor& g, const Tensor& unit,
                     const Tensor& weight) const {
    if (affine.weight && p.needs(affine.weight_at()))
      p.set(affine.weight_at(), sum(g * unit, sample_dims(g)));
    if (affine.bias && p.needs(affine.bias_at())) p.set(affine.bias_at(), sum(g, sample_dims(g)));
    return weight.defined() ? g * along_channels(weight, g) : g;
  }
};

/// By the statistics of the input. Inputs: x, weight if any, bias if any. Outputs: y, mean, inverse
/// deviation, variance.
struct BatchNormRule : BatchNormBase {
  static constexpr const char* name = "BatchNorm";

  unsigned saves_inputs(unsigned) const { return affine.weight ? 3 : 1; }
  unsigned saves_outputs(unsigned) const { return 6; }

  std::vector<Tensor> forward(autograd::Inputs in) const {
    const bool last = is_channels_last(in[0]);
    const Tensor x = in_order(in[0], last);
    const BatchNormParameters p = parameters_of(x, last, eps);
    std::vector<Tensor> out(1);
    out.reserve(4);
    for (int i = 0; i < 3; ++i) out.push_back(core::make_tensor({x.size(1)}, x.dtype()));
    const Tensor scratch = p.shape.last ? scratch_for(p) : Tensor();
    core::launch(&kernels::batch_statistics,
                 {core::out(out[1]), core::out(out[2]), core::out(out[3]), core::in(x),
                  optional_out(scratch)},
                 p);
    out[0] = apply(x, out[1], out[2], p, in);
    return out;
  }
  void pull(autograd::Pull& p) const {
    if (!p.grad(0).defined()) return;
    const Tensor g = p.grad(0), x = p.input(0);
    const Tensor w = affine.weight ? p.input(affine.weight_at()) : Tensor();
    if (!is_watched({&g, &x, &w})) {
      pull_fused(p, g, x, w, p.output(1), p.output(2), true);
      return;
    }
    const Dims dims = sample_dims(x);
    const Tensor centre = x - mean(x, dims, true);
    const Tensor inverse = rsqrt(mean(centre * centre, dims, true) + Scalar(eps));
    const Tensor unit = centre * inverse;
    const Tensor weighted = pull_affine(p, g, unit, w);
    if (!p.needs(0)) return;
    p.set(0, (weighted - mean(weighted, dims, true) - unit * mean(weighted * unit, dims, true)) *
                 inverse);
  }
};

/// By given statistics, which get no gradient. Inputs: x, mean, variance, weight if any, bias if
/// any.
struct BatchNormGivenRule : BatchNormBase {
  static constexpr const char* name = "BatchNormGiven";

  unsigned saves_inputs(unsigned) const { return affine.weight ? 15 : 7; }

  std::vector<Tensor> batch(const autograd::Batch& b) const {
    const std::vector<Tensor> inputs = joined_samples(b);
    if (inputs.empty()) return {};
    Dims sizes(b.seen(0).sizes());
    sizes.insert(0, b.size());
    return {reshape(autograd::enter(BatchNormGivenRule(*this), TensorList(inputs)), sizes)};
  }
  Tensor forward(autograd::Inputs in) const {
    const bool last = is_channels_last(in[0]);
    const Tensor x = in_order(in[0], last);
    BatchNormParameters p = parameters_of(x, last, eps);
    p.from_variance = true;
    return apply(x, contiguous(in[1]), contiguous(in[2]), p, in);
  }
  void pull(autograd::Pull& p) const {
    const Tensor g = p.grad(), x = p.input(0), middle = p.input(1), variance = p.input(2);
    const Tensor w = affine.weight ? p.input(affine.weight_at()) : Tensor();
    if (!is_watched({&g, &x, &w, &middle, &variance})) {
      pull_fused(p, g, x, w, contiguous(middle), contiguous(variance), false);
      return;
    }
    const Tensor inverse = along_channels(rsqrt(variance + Scalar(eps)), x);
    const Tensor unit = (x - along_channels(middle, x)) * inverse;
    const Tensor weighted = pull_affine(p, g, unit, w);
    if (p.needs(0)) p.set(0, weighted * inverse);
  }
};

void check_batch_norm(const Tensor& input, const Tensor& running_mean, const Tensor& running_var,
                      const Tensor& weight, const Tensor& bias, bool training) {
  constexpr const char* kName = "batch_norm";
  check_norm_dtypes(kName, input, {{"weight", &weight}, {"bias", &bias}});
  if (input.dim() < 2) {
    throw ShapeError(core::text(kName, ": expected an input of shape (N, C, ...), got a ",
                                core::describe(input)));
  }
  const int64_t channels = input.size(1);
  check_per_channel(kName, "running_mean", running_mean, channels);
  check_per_channel(kName, "running_var", running_var, channels);
  check_per_channel(kName, "weight", weight, channels);
  check_per_channel(kName, "bias", bias, channels);
  if (!training) {
    if (running_mean.defined() && running_var.defined()) return;
    throw ValueError(core::text(
        kName, ": running_mean and running_var are needed in evaluation mode (training=False)"));
  }
  for (const Tensor* running : {&running_mean, &running_var}) {
    if (running->defined() && !is_floating_point(running->dtype())) {
      throw DTypeError(core::text(kName, ": running statistics must be floating-point, got a ",
                                  core::describe(*running)));
    }
  }
  if (input.numel() == channels) {
    throw ValueError(core::text(kName,
                                ": expected more than 1 value per channel when training, got a ",
                                core::describe(input), "; use larger batches, or evaluation mode"));
  }
  if (input.numel() == 0 && channels > 0) {
    throw ValueError(core::text(kName, ": no samples to train on, got a ", core::describe(input)));
  }
}

}  // namespace

Tensor batch_norm(const Tensor& input, const Tensor& running_mean, const Tensor& running_var,
                  const Tensor& weight, const Tensor& bias, bool training, double momentum,
                  double eps) {
  check_batch_norm(input, running_mean, running_var, weight, bias, training);
  const DType dtype = kernel_dtype(input.dtype());
  std::vector<Tensor> inputs{to(input, dtype)};
  if (!training) {
    inputs.push_back(to(running_mean.detach(), dtype));
    inputs.push_back(to(running_var.detach(), dtype));
  }
  const Affine affine{static_cast<int>(inputs.size()), weight.defined(), bias.defined()};
  if (weight.defined()) inputs.push_back(to(weight, dtype));
  if (bias.defined()) inputs.push_back(to(bias, dtype));
  if (!training) {
    return to(autograd::enter(BatchNormGivenRule{{{}, eps, affine}}, TensorList(inputs)),
              input.dtype());
  }
  const std::vector<Tensor> out =
      autograd::enter(BatchNormRule{{{}, eps, affine}}, TensorList(inputs));
  if (running_mean.defined()) move_running(running_mean, out[1].detach(), momentum);
  if (running_var.defined()) {
    const int64_t count = input.numel() / input.size(1);
    const autograd::NoGradGuard guard;
    move_running(running_var, out[3].detach() * Scalar(unbiased_factor(static_cast<double>(count))),
                 momentum);
  }
  return to(out[0], input.dtype());
}

TAPEGRAD_OP(kNN,
            "batch_norm(Tensor input, Tensor? running_mean, Tensor? running_var, Tensor? "
            "weight=None, Tensor? bias=None, bool training=False, float momentum=0.1, float "
            "eps=1e-05) -> Tensor",
            R"((x - mean) / sqrt(var + eps) * weight + bias, over the samples of each channel.

Args:
    input: a floating-point tensor of shape (N, C, ...)
    running_mean: statistics of shape (C,) that are used or, in training, moved
    running_var: the same for the (unbiased) variance
    weight: factors of shape (C,)
    bias: summands of shape (C,)
    training: take mean and (biased) variance of the input
    momentum: how far the running statistics move towards those of the input
    eps: added to the variance

Raises:
    ValueError: one value for each channel in training, or no statistics to use
    ShapeError: an input of fewer dimensions, or parameters of another shape
    DTypeError: an input that is not floating-point, or parameters of another dtype

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.batch_norm(tg.tensor([[1.], [3.]]), None, None, training=True)
    tensor([[-1.0000],
            [ 1.0000]]))",
            &batch_norm);

}  // namespace tapegrad
