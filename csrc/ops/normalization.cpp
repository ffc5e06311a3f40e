// Layer, RMS, group and instance norm: rows that are normalised one by one.
#include "ops/normalization.h"

#include <limits>

#include "autograd/inplace.h"
#include "core/launch.h"
#include "core/text.h"
#include "kernels/normalization.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/normalization.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;

namespace ops {

void check_norm_dtypes(const char* op, const Tensor& input,
                       std::initializer_list<std::pair<const char*, const Tensor*>> parameters) {
  if (!is_floating_point(input.dtype())) {
    throw DTypeError(core::text(op, ": expected a floating-point input, got a ",
                                core::describe(input), "; convert it, for example by .float()"));
  }
  for (const auto& [name, parameter] : parameters) {
    if (!parameter->defined() || parameter->dtype() == input.dtype()) continue;
    if (is_half(input.dtype()) && parameter->dtype() == DType::Float32) continue;
    throw DTypeError(core::text(op, ": ", name, " is ", dtype_name(parameter->dtype()),
                                " but input is ", dtype_name(input.dtype()), "; convert it by ",
                                name, ".to(input.dtype)"));
  }
}

void check_per_channel(const char* op, const char* name, const Tensor& parameter,
                       int64_t channels) {
  if (!parameter.defined() || (parameter.dim() == 1 && parameter.size(0) == channels)) return;
  throw ShapeError(core::text(op, ": ", name, " should have one element for each of the ", channels,
                              " channels of the input, got shape ",
                              shape_string(parameter.sizes())));
}

std::vector<Tensor> joined_samples(const autograd::Batch& batch) {
  for (int i = 1; i < batch.count(); ++i) {
    if (batch.is_batched(i)) return {};
  }
  std::vector<Tensor> inputs = batch.inner();
  Dims sizes(batch.seen(0).sizes());
  sizes[0] *= batch.size();
  inputs[0] = reshape(batch.front(0), sizes);
  return inputs;
}

double unbiased_factor(double count) { return count / (count - 1); }

void move_running(const Tensor& running, const Tensor& value, double momentum) {
  if (!running.defined()) return;
  const autograd::NoGradGuard guard;
  Tensor written = running;
  if (written->has(TensorImpl::kEntryMask) || value->has(TensorImpl::kEntryMask) ||
      !written.is_contiguous() || written.dtype() != value.dtype()) {
    const Tensor moved =
        running * Scalar(1 - momentum) + to(value, running.dtype()) * Scalar(momentum);
    copy_(written, moved);
    return;
  }
  const auto move = [&]<class T>(T* to, const T* from) {
    for (int64_t i = 0; i < value.numel(); ++i)
      to[i] = static_cast<T>((1 - momentum) * static_cast<double>(to[i]) +
                             momentum * static_cast<double>(from[i]));
  };
  if (value.dtype() == DType::Float64)
    move(written.data_ptr<double>(), value.data_ptr<double>());
  else
    move(written.data_ptr<float>(), value.data_ptr<float>());
  written->bump_version();
}

}  // namespace ops

namespace {

using kernels::RowNormParameters;

core::Operand optional_in(const Tensor& tensor) {
  return tensor.defined() ? core::in(tensor) : core::none();
}
core::Operand optional_out(const Tensor& tensor) {
  return tensor.defined() ? core::out(tensor) : core::none();
}

/// Inputs: x, weight if any, bias if any. Outputs: y, means, inverse deviations of the rows.
struct RowNormRule : autograd::Rule {
  static constexpr const char* name = "RowNorm";
  int64_t groups;  // 0: the last `tail` dimensions are a row; else groups of dimension 1
  int tail;
  bool centered;
  double eps;
  Affine affine;

  unsigned saves_inputs(unsigned) const { return affine.weight ? 3 : 1; }
  unsigned saves_outputs(unsigned) const { return 6; }

  RowNormParameters parameters(const Tensor& x) const {
    RowNormParameters p;
    const IntSpan sizes = x.sizes();
    if (groups > 0) {
      p.n = sizes[0];
      p.groups = groups;
      for (size_t d = 2; d < sizes.size(); ++d) p.inner *= sizes[d];
      p.length = sizes[1] / groups * p.inner;
    } else {
      const size_t lead = sizes.size() - static_cast<size_t>(tail);
      for (size_t d = 0; d < sizes.size(); ++d) (d < lead ? p.n : p.length) *= sizes[d];
    }
    p.is_double = x.dtype() == DType::Float64;
    p.centered = centered;
    p.eps = eps;
    return p;
  }

  /// Rows do not mind whose they are.
  std::vector<Tensor> batch(const autograd::Batch& b) const {
    const Tensor& seen = b.seen(0);
    if (seen.dim() == tail) return {};  // a sample has no dimension to join others in
    const std::vector<Tensor> inputs = joined_samples(b);
    if (inputs.empty()) return {};
    std::vector<Tensor> out = autograd::enter(RowNormRule(*this), TensorList(inputs));
    Dims sizes(seen.sizes());
    sizes.insert(0, b.size());
    out[0] = reshape(out[0], sizes);
    const RowNormParameters p = parameters(seen);
    for (size_t i = 1; i < out.size(); ++i) out[i] = reshape(out[i], {b.size(), p.n, p.groups});
    return out;
  }

  std::vector<Tensor> forward(autograd::Inputs in) const {
    const Tensor x = contiguous(in[0]);
    const RowNormParameters p = parameters(x);
    const Tensor w = affine.weight ? contiguous(in[affine.weight_at()]) : Tensor();
    const Tensor b = affine.bias ? contiguous(in[affine.bias_at()]) : Tensor();
    std::vector<Tensor> out;
    out.reserve(3);
    out.push_back(core::make_tensor(x.sizes(), x.dtype()));
    out.push_back(core::make_tensor({p.n, p.groups}, x.dtype()));
    out.push_back(core::make_tensor({p.n, p.groups}, x.dtype()));
    if (x->numel() > 0) {
      core::launch(&kernels::row_norm,
                   {core::out(out[0]), core::out(out[1]), core::out(out[2]), core::in(x),
                    optional_in(w), optional_in(b)},
                   p);
    }
    return out;
  }

  void pull(autograd::Pull& p) const {
    if (!p.grad(0).defined()) return;
    const Tensor g = p.grad(0), x = p.input(0);
    const Tensor w = affine.weight ? p.input(affine.weight_at()) : Tensor();
    if (is_watched({&g, &x, &w}))
      pull_composed(p, g, x, w);
    else
      pull_fused(p, contiguous(g), contiguous(x), w.defined() ? contiguous(w) : w);
  }

  void pull_fused(autograd::Pull& p, const Tensor& g, const Tensor& x, const Tensor& w) const {
    const RowNormParameters parameter = parameters(x);
    const auto wanted = [&](bool given, int at) {
      return given && p.needs(at) ? core::make_tensor(p.input_sizes(at), x.dtype()) : Tensor();
    };
    const Tensor gx = core::make_tensor(x.sizes(), x.dtype());
    const Tensor gw = wanted(affine.weight, affine.weight_at());
    const Tensor gb = wanted(affine.bias, affine.bias_at());
    if (x->numel() > 0) {
      const bool sums = gw.defined() || gb.defined();
      const Tensor scratch =
          sums ? core::make_tensor({kernels::row_norm_scratch(parameter)}, x.dtype()) : Tensor();
      core::launch(
          &kernels::row_norm_gradient,
          {core::out(gx), optional_out(gw), optional_out(gb), core::in(g), core::in(x),
           core::in(p.output(1)), core::in(p.output(2)), optional_in(w), optional_out(scratch)},
          parameter);
    }
    if (p.needs(0)) p.set(0, gx);
    const bool empty = x->numel() == 0;
    if (gw.defined()) p.set(affine.weight_at(), empty ? zeros_like(gw) : gw);
    if (gb.defined()) p.set(affine.bias_at(), empty ? zeros_like(gb) : gb);
  }

  /// A parameter so that it broadcasts against the input.
  Tensor aligned(const Tensor& parameter, int64_t ndim) const {
    if (groups == 0) return parameter;
    Dims sizes(static_cast<int>(ndim), 1);
    sizes[1] = parameter.size(0);
    return reshape(parameter, sizes);
  }
  /// The gradient of such a parameter.
  Tensor gathered(const Tensor& g, IntSpan sizes) const {
    if (groups > 0) return sum(g, dims_of(all_dims(g.dim()) & ~DimMask{2}, g.dim()));
    return sum_to_size(g, sizes);
  }

  void pull_composed(autograd::Pull& p, const Tensor& g, const Tensor& x, const Tensor& w) const {
    const RowNormParameters shape = parameters(x);
    const Dims rows{shape.n, shape.groups, shape.length};
    const Tensor weighted = reshape(w.defined() ? g * aligned(w, x.dim()) : g, rows);
    Tensor centre = reshape(x, rows);
    if (centered) centre = centre - mean(centre, -1, true);
    const Tensor inverse = rsqrt(mean(centre * centre, -1, true) + Scalar(eps));
    const Tensor unit = centre * inverse;
    if (p.needs(0)) {
      Tensor result = weighted - unit * mean(weighted * unit, -1, true);
      if (centered) result = result - mean(weighted, -1, true);
      p.set(0, reshape(result * inverse, x.sizes()));
    }
    if (affine.weight && p.needs(affine.weight_at()))
      p.set(affine.weight_at(), gathered(g * reshape(unit, x.sizes()), w.sizes()));
    if (affine.bias && p.needs(affine.bias_at()))
      p.set(affine.bias_at(), gathered(g, p.input_sizes(affine.bias_at())));
  }
};

std::vector<Tensor> run_rows(RowNormRule rule, const Tensor& input, const Tensor& weight,
                             const Tensor& bias) {
  const DType dtype = kernel_dtype(input.dtype());
  std::vector<Tensor> inputs{to(input, dtype)};
  rule.affine.weight = weight.defined();
  rule.affine.bias = bias.defined();
  if (weight.defined()) inputs.push_back(to(weight, dtype));
  if (bias.defined()) inputs.push_back(to(bias, dtype));
  std::vector<Tensor> out = autograd::enter(rule, TensorList(inputs));
  out[0] = to(out[0], input.dtype());
  return out;
}

void check_normalized_shape(const char* op, const Tensor& input, IntSpan shape,
                            const Tensor& weight, const Tensor& bias) {
  if (shape.empty())
    throw ShapeError(core::text(op, ": normalized_shape must have at least one dimension"));
  const auto check = [&](const char* name, const Tensor& parameter) {
    if (!parameter.defined() || parameter.sizes() == shape) return;
    throw ShapeError(core::text(op, ": expected ", name, " to have the shape normalized_shape = ",
                                shape_string(shape), ", got ", shape_string(parameter.sizes())));
  };
  check("weight", weight);
  check("bias", bias);
  const IntSpan sizes = input.sizes();
  const bool fits = sizes.size() >= shape.size() &&
                    IntSpan(sizes.data() + (sizes.size() - shape.size()), shape.size()) == shape;
  if (fits) return;
  throw ShapeError(core::text(op, ": given normalized_shape = ", shape_string(shape),
                              ", expected an input whose last dimensions are these, got a ",
                              core::describe(input)));
}

void check_more_than_one(const char* op, const Tensor& input) {
  int64_t count = 1;
  for (int64_t d = 2; d < input.dim(); ++d) count *= input.size(d);
  if (count != 1) return;
  throw ValueError(core::text(op,
                              ": expected more than one value for each channel of a sample when "
                              "using its statistics, got a ",
                              core::describe(input)));
}

}  // namespace

Tensor layer_norm(const Tensor& input, IntSpan normalized_shape, const Tensor& weight,
                  const Tensor& bias, double eps) {
  check_norm_dtypes("layer_norm", input, {{"weight", &weight}, {"bias", &bias}});
  check_normalized_shape("layer_norm", input, normalized_shape, weight, bias);
  const auto tail = static_cast<int>(normalized_shape.size());
  return run_rows({{}, 0, tail, true, eps, {}}, input, weight, bias)[0];
}

Tensor rms_norm(const Tensor& input, IntSpan normalized_shape, const Tensor& weight,
                std::optional<double> eps) {
  check_norm_dtypes("rms_norm", input, {{"weight", &weight}});
  check_normalized_shape("rms_norm", input, normalized_shape, weight, Tensor());
  const auto tail = static_cast<int>(normalized_shape.size());
  // As in PyTorch: of the dtype in which it is computed.
  const double smallest = input.dtype() == DType::Float64
                              ? std::numeric_limits<double>::epsilon()
                              : static_cast<double>(std::numeric_limits<float>::epsilon());
  return run_rows({{}, 0, tail, false, eps.value_or(smallest), {}}, input, weight, Tensor())[0];
}

Tensor group_norm(const Tensor& input, int64_t num_groups, const Tensor& weight, const Tensor& bias,
                  double eps) {
  check_norm_dtypes("group_norm", input, {{"weight", &weight}, {"bias", &bias}});
  if (input.dim() < 2) {
    throw ShapeError(core::text("group_norm: expected an input of shape (N, C, ...), got a ",
                                core::describe(input)));
  }
  const int64_t channels = input.size(1);
  if (num_groups <= 0 || channels % num_groups != 0) {
    throw ValueError(core::text("group_norm: the ", channels,
                                " channels of the input must be divisible by num_groups, got ",
                                num_groups));
  }
  check_per_channel("group_norm", "weight", weight, channels);
  check_per_channel("group_norm", "bias", bias, channels);
  return run_rows({{}, num_groups, 0, true, eps, {}}, input, weight, bias)[0];
}

Tensor instance_norm(const Tensor& input, const Tensor& running_mean, const Tensor& running_var,
                     const Tensor& weight, const Tensor& bias, bool use_input_stats,
                     double momentum, double eps) {
  constexpr const char* kName = "instance_norm";
  check_norm_dtypes(kName, input, {{"weight", &weight}, {"bias", &bias}});
  if (input.dim() < 2) {
    throw ShapeError(core::text(kName, ": expected an input of shape (N, C, ...), got a ",
                                core::describe(input)));
  }
  const int64_t channels = input.size(1);
  check_per_channel(kName, "weight", weight, channels);
  check_per_channel(kName, "bias", bias, channels);
  check_per_channel(kName, "running_mean", running_mean, channels);
  check_per_channel(kName, "running_var", running_var, channels);
  if (!use_input_stats) {
    if (!running_mean.defined() || !running_var.defined()) {
      throw ValueError(core::text(
          kName, ": running_mean and running_var are needed when use_input_stats is False"));
    }
    return batch_norm(input, running_mean, running_var, weight, bias, false, momentum, eps);
  }
  check_more_than_one(kName, input);
  if (channels == 0 || input.numel() == 0) return clone(input);
  const Tensor result = run_rows({{}, channels, 0, true, eps, {}}, input, weight, bias)[0];
  if (running_mean.defined() || running_var.defined()) {
    const autograd::NoGradGuard guard;
    const Tensor x =
        reshape(to(input.detach(), kernel_dtype(input.dtype())), {input.size(0), channels, -1});
    const std::vector<Tensor> moments = var_mean(x, -1);
    move_running(running_mean, mean(moments[1], 0), momentum);
    move_running(running_var, mean(moments[0], 0), momentum);
  }
  return result;
}

TAPEGRAD_OP(kNN,
            "layer_norm(Tensor input, int[1] normalized_shape, Tensor? weight=None, Tensor? "
            "bias=None, float eps=1e-05) -> Tensor",
            R"((x - mean) / sqrt(var + eps) * weight + bias, over the last dimensions.

Args:
    input: a floating-point tensor whose last dimensions are normalized_shape
    normalized_shape: the dimensions over which mean and (biased) variance are taken
    weight: factors of shape normalized_shape
    bias: summands of shape normalized_shape
    eps: added to the variance

Raises:
    ShapeError: an input, weight or bias of another shape
    DTypeError: an input that is not floating-point, or parameters of another dtype

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.layer_norm(tg.tensor([[1., 3.]]), (2,))
    tensor([[-1.0000,  1.0000]]))",
            &layer_norm);
TAPEGRAD_OP(kFunction | kNN,
            "rms_norm(Tensor input, int[1] normalized_shape, Tensor? weight=None, float? eps=None) "
            "-> Tensor",
            R"(x / sqrt(mean(x^2) + eps) * weight, over the last dimensions.

Args:
    input: a floating-point tensor whose last dimensions are normalized_shape
    normalized_shape: the dimensions over which the mean is taken
    weight: factors of shape normalized_shape
    eps: added to the mean square; the machine epsilon when not given

Raises:
    ShapeError: an input or weight of another shape
    DTypeError: an input that is not floating-point, or a weight of another dtype

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.rms_norm(tg.tensor([[3., -3.]]), (2,))
    tensor([[ 1., -1.]]))",
            &rms_norm);
TAPEGRAD_OP(kNN,
            "group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, "
            "float eps=1e-05) -> Tensor",
            R"((x - mean) / sqrt(var + eps) * weight + bias, over groups of channels of each sample.

Args:
    input: a floating-point tensor of shape (N, C, ...)
    num_groups: into how many groups the channels are divided
    weight: factors of shape (C,)
    bias: summands of shape (C,)
    eps: added to the variance

Raises:
    ValueError: channels that the groups do not divide
    ShapeError: an input of fewer dimensions, or parameters of another shape

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.group_norm(tg.tensor([[1., 3., 5., 7.]]), 2)
    tensor([[-1.0000,  1.0000, -1.0000,  1.0000]]))",
            &group_norm);
TAPEGRAD_OP(kNN,
            "instance_norm(Tensor input, Tensor? running_mean=None, Tensor? running_var=None, "
            "Tensor? weight=None, Tensor? bias=None, bool use_input_stats=True, float "
            "momentum=0.1, float eps=1e-05) -> Tensor",
            R"((x - mean) / sqrt(var + eps) * weight + bias, over each channel of each sample.

Args:
    input: a floating-point tensor of shape (N, C, ...)
    running_mean: moved towards the mean over the samples; used instead without use_input_stats
    running_var: the same for the unbiased variance
    weight: factors of shape (C,)
    bias: summands of shape (C,)
    use_input_stats: take mean and variance of the input
    momentum: how far the running statistics move
    eps: added to the variance

Raises:
    ValueError: one value for each channel of a sample, or no statistics to use
    ShapeError: an input of fewer dimensions, or parameters of another shape

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.instance_norm(tg.tensor([[[1., 3.], [5., 7.]]]))
    tensor([[[-1.0000,  1.0000],
             [-1.0000,  1.0000]]]))",
            &instance_norm);

}  // namespace tapegrad
