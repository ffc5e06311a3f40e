#include "ops/convolution_rules.h"

#include "autograd/entry.h"
#include "core/launch.h"
#include "kernels/convolution_onednn.h"
#include "kernels/copy.h"
#include "ops/reduce_geometry.h"
#include "tapegrad/ops.h"

namespace tapegrad::ops {
namespace {

using autograd::Batch;
using autograd::Inputs;
using autograd::Pull;
using autograd::Push;

// --- shapes and memory ---------------------------------------------------------------------------

Dims image_sizes(const Geometry& g, const int64_t* spatial, int64_t channels) {
  Dims sizes{g.batch, channels};
  for (int d = 3 - g.spatial; d < 3; ++d) sizes.push_back(spatial[d]);
  return sizes;
}
Dims input_sizes(const Geometry& g) { return image_sizes(g, g.in, g.in_channels); }
Dims output_sizes(const Geometry& g) { return image_sizes(g, g.out, g.out_channels); }
Dims weight_sizes(const Geometry& g) {
  Dims sizes{g.out_channels, g.in_channels / g.groups};
  for (int d = 3 - g.spatial; d < 3; ++d) sizes.push_back(g.kernel[d]);
  return sizes;
}

/// Every dimension but the channels'.
Dims all_places(const Geometry& g) {
  Dims dims{0};
  for (int d = 0; d < g.spatial; ++d) dims.push_back(d + 2);
  return dims;
}

/// Strides that keep the channels of a place together.
Dims channels_last_strides(IntSpan sizes) {
  Dims strides(static_cast<int>(sizes.size()), 1);
  int64_t stride = sizes[1];
  for (int d = strides.size() - 1; d >= 2; --d) {
    strides[d] = stride;
    stride *= sizes[static_cast<size_t>(d)];
  }
  strides[0] = stride;
  return strides;
}

Tensor make_image(IntSpan sizes, DType dtype) {
  return core::make_tensor(sizes, channels_last_strides(sizes), dtype);
}

bool is_channels_last(const Tensor& x) {
  const Dims wanted = channels_last_strides(x.sizes());
  for (int d = 0; d < wanted.size(); ++d) {
    const auto i = static_cast<size_t>(d);
    if (x.sizes()[i] != 1 && x.strides()[i] != wanted[d]) return false;
  }
  return true;
}

/// Few channels, one plane each, to channels-last: a general copy would go by rows of a few
/// elements.
template <class T>
void interleave(const Tensor& from, const Tensor& to) {
  const int64_t channels = from.sizes()[1];
  const int64_t places = from.numel() / from.sizes()[0] / channels;
  const auto* source = static_cast<const T*>(from.data());
  auto* target = static_cast<T*>(to.data());
  for (int64_t n = 0; n < from.sizes()[0]; ++n) {
    for (int64_t c = 0; c < channels; ++c, source += places) {
      T* line = target + n * places * channels + c;
      for (int64_t i = 0; i < places; ++i) line[i * channels] = source[i];
    }
  }
}

/// `x` itself, or an unrecorded channels-last copy of it.
Tensor channels_last(const Tensor& x) {
  if (is_channels_last(x)) return x;
  const Tensor result = make_image(x.sizes(), x.dtype());
  if (x.is_contiguous() && x.sizes()[1] < 8 && x.dtype() == DType::Float32)
    interleave<float>(x, result);
  else if (x.is_contiguous() && x.sizes()[1] < 8 && x.dtype() == DType::Float64)
    interleave<double>(x, result);
  else
    kernels::copy_values(result, x);
  return result;
}

using kernels::ConvolutionPass;

/// What the kernels take: float32 stands in for half types that the processor does not multiply.
DType working_dtype(ConvolutionPass pass, const Geometry& g, DType dtype, bool has_bias) {
  if (dtype == DType::Float64) return DType::Float64;
  const bool half = dtype == DType::BFloat16 && kernels::convolves_bfloat16(pass, g, has_bias);
  return half ? DType::BFloat16 : DType::Float32;
}
Tensor image_operand(const Tensor& x, DType dtype) { return channels_last(converted(x, dtype)); }
Tensor plain_operand(const Tensor& x, DType dtype) {
  Tensor wide = converted(x, dtype);
  if (wide.is_contiguous()) return wide;
  const Tensor result = core::make_tensor(x.sizes(), dtype);
  kernels::copy_values(result, wide);
  return result;
}
DType sum_dtype(DType dtype) { return dtype == DType::Float64 ? DType::Float64 : DType::Float32; }
core::Operand optional(const Tensor& x) { return x.defined() ? core::in(x) : core::none(); }

Geometry typed(Geometry geometry, DType dtype) {
  geometry.dtype = dtype;
  return geometry;
}

// --- the maps, unrecorded ------------------------------------------------------------------------

/// Every element is the bias of its channel: what comes out where there is nothing to sum.
Tensor bias_image(IntSpan sizes, DType dtype, const Tensor& bias) {
  Tensor result = make_image(sizes, dtype);
  kernels::fill_values(result, Scalar(0));
  if (!bias.defined() || result.numel() == 0) return result;
  Dims strides(static_cast<int>(sizes.size()), 0);
  strides[1] = bias.strides()[0];
  kernels::copy_values(result, core::make_alias(bias, sizes, strides, bias.storage_offset()));
  return result;
}

/// Forward or input gradient.
Tensor run_images(ConvolutionPass pass, const Geometry& geometry, IntSpan sizes, const Tensor& x,
                  const Tensor& w, const Tensor& bias) {
  const DType dtype = x.dtype();
  if (x.numel() == 0 || w.numel() == 0 || checked_numel("convolution", sizes) == 0)
    return bias_image(sizes, dtype, bias);
  const DType working = working_dtype(pass, geometry, dtype, bias.defined());
  const Tensor result = make_image(sizes, working);
  const Tensor image = image_operand(x, working), weight = plain_operand(w, working);
  const Tensor dense = bias.defined() ? plain_operand(bias, sum_dtype(working)) : bias;
  core::launch(
      pass == ConvolutionPass::Forward ? &kernels::convolve : &kernels::convolve_input_gradient,
      {core::out(result), core::in(image), core::in(weight), optional(dense)},
      typed(geometry, working));
  return converted(result, dtype);
}

/// The gradients of weight and (if asked for) bias.
struct WeightGradients {
  Tensor weight, bias;
};
WeightGradients run_weights(const Geometry& geometry, const Tensor& x, const Tensor& g,
                            bool with_bias) {
  const bool empty = x.numel() == 0 || g.numel() == 0 || geometry.in_channels == 0;
  const DType working =
      empty ? sum_dtype(x.dtype())
            : working_dtype(ConvolutionPass::WeightGradient, geometry, x.dtype(), with_bias);
  const DType sums = sum_dtype(working);
  WeightGradients result{core::make_tensor(weight_sizes(geometry), sums), Tensor()};
  if (with_bias) result.bias = core::make_tensor({geometry.out_channels}, sums);
  if (empty) {
    kernels::fill_values(result.weight, Scalar(0));
    if (with_bias) result.bias = sum(g, all_places(geometry));
    return result;
  }
  const Tensor image = image_operand(x, working), gradient = image_operand(g, working);
  core::launch(&kernels::convolve_weight_gradient,
               {core::out(result.weight), with_bias ? core::out(result.bias) : core::none(),
                core::in(image), core::in(gradient)},
               typed(geometry, working));
  result.weight = converted(result.weight, x.dtype());
  if (with_bias) result.bias = converted(result.bias, x.dtype());
  return result;
}

// --- the maps as rules ---------------------------------------------------------------------------

/// Both inputs are read by the derivative of the other.
unsigned saves_other(unsigned needs) { return ((needs & 1) ? 2u : 0u) | ((needs & 2) ? 1u : 0u); }

struct ConvolutionRule : autograd::Rule {
  static constexpr const char* name = "Convolution";
  Geometry geometry;
  unsigned saves_inputs(unsigned needs) const { return saves_other(needs); }
  Tensor forward(Inputs in) const {
    return run_images(ConvolutionPass::Forward, geometry, output_sizes(geometry), in[0], in[1],
                      in.size() > 2 ? in[2] : Tensor());
  }
  void pull(Pull& p) const;
  Tensor push(Push& p) const;
  std::vector<Tensor> batch(const Batch& b) const;
};

struct InputGradientRule : autograd::Rule {
  static constexpr const char* name = "TransposedConvolution";
  Geometry geometry;
  unsigned saves_inputs(unsigned needs) const { return saves_other(needs); }
  Tensor forward(Inputs in) const {
    return run_images(ConvolutionPass::InputGradient, geometry, input_sizes(geometry), in[0], in[1],
                      in.size() > 2 ? in[2] : Tensor());
  }
  void pull(Pull& p) const;
  Tensor push(Push& p) const;
  std::vector<Tensor> batch(const Batch& b) const;
};

/// Inputs: the convolution's input, the gradient of its output.
struct WeightGradientRule : autograd::Rule {
  static constexpr const char* name = "ConvolutionWeight";
  static constexpr bool bilinear = true;
  Geometry geometry;
  unsigned saves_inputs(unsigned needs) const { return saves_other(needs); }
  Tensor forward(Inputs in) const { return run_weights(geometry, in[0], in[1], false).weight; }
  void pull(Pull& p) const;
  std::vector<Tensor> batch(const Batch& b) const;
};

Tensor weight_gradient(const Geometry& geometry, const Tensor& x, const Tensor& g) {
  return autograd::enter(WeightGradientRule{{}, geometry}, x, g);
}

Tensor bias_gradient(const Geometry& geometry, const Tensor& g) {
  return sum(g, all_places(geometry));
}

void ConvolutionRule::pull(Pull& p) const {
  const bool biased = p.input_count() > 2 && p.needs(2);
  const bool watched = is_watched({&p.grad()});
  // Reordered once for both gradients.
  const Tensor g = watched ? p.grad() : channels_last(p.grad());
  if (p.needs(0)) p.set(0, convolution_input_gradient(geometry, g, p.input(1), {}));
  if (p.needs(1)) {
    const Tensor x = p.input(0);
    if (!watched && !is_watched({&x})) {
      WeightGradients both = run_weights(geometry, x, g, biased);
      p.set(1, std::move(both.weight));
      if (biased) p.set(2, std::move(both.bias));
      return;
    }
    p.set(1, weight_gradient(geometry, x, g));
  }
  if (biased) p.set(2, bias_gradient(geometry, g));
}

void InputGradientRule::pull(Pull& p) const {
  const Tensor g = is_watched({&p.grad()}) ? p.grad() : channels_last(p.grad());
  if (p.needs(0)) p.set(0, convolution(geometry, g, p.input(1), {}));
  if (p.needs(1)) p.set(1, weight_gradient(geometry, g, p.input(0)));
  if (p.input_count() > 2 && p.needs(2)) p.set(2, bias_gradient(geometry, g));
}

void WeightGradientRule::pull(Pull& p) const {
  const Tensor& g = p.grad();
  if (p.needs(0)) p.set(0, convolution_input_gradient(geometry, p.input(1), g, {}));
  if (p.needs(1)) p.set(1, convolution(geometry, p.input(0), g, {}));
}

// --- tangents ------------------------------------------------------------------------------------

Tensor along_channels(const Tensor& bias, int spatial) {
  Dims sizes{bias.size(0)};
  for (int d = 0; d < spatial; ++d) sizes.push_back(1);
  return reshape(bias, sizes);
}

/// The tangent of map(a, b) + bias.
template <class F>
Tensor push_product(Push& p, int spatial, F&& map) {
  const bool biased = p.inputs.size() > 2 && p.tangent(2).defined();
  const Tensor bias = biased ? p.tangent(2) : Tensor();
  Tensor total;
  if (p.tangent(0).defined()) total = map(p.tangent(0), p.input(1), bias);
  if (p.tangent(1).defined()) {
    const Tensor part = map(p.input(0), p.tangent(1), total.defined() ? Tensor() : bias);
    total = total.defined() ? total + part : part;
  }
  if (!total.defined()) total = along_channels(bias, spatial);
  return expand(total, p.output().sizes());
}

Tensor ConvolutionRule::push(Push& p) const {
  return push_product(p, geometry.spatial,
                      [&](const Tensor& x, const Tensor& w, const Tensor& bias) {
                        return convolution(geometry, x, w, bias);
                      });
}
Tensor InputGradientRule::push(Push& p) const {
  return push_product(p, geometry.spatial,
                      [&](const Tensor& g, const Tensor& w, const Tensor& bias) {
                        return convolution_input_gradient(geometry, g, w, bias);
                      });
}

// --- batches -------------------------------------------------------------------------------------
//
// Samples of images that meet the same weight are more samples of the batch; weights that differ
// between samples are more groups of channels, or more outputs where all see the same image.

/// (B, N, ...) to (B * N, ...).
Tensor join_front(const Tensor& x) {
  Dims sizes(x.sizes());
  sizes[1] *= sizes[0];
  sizes.erase(0);
  return reshape(x, sizes);
}
Tensor split_front(const Tensor& x, int64_t count) {
  Dims sizes(x.sizes());
  sizes[0] /= count;
  sizes.insert(0, count);
  return reshape(x, sizes);
}
/// (B, N, C, ...) to (N, B * C, ...).
Tensor join_channels(const Tensor& x) {
  const Tensor moved = transpose(x, 0, 1);
  Dims sizes(moved.sizes());
  sizes[1] *= sizes[2];
  sizes.erase(2);
  return reshape(moved, sizes);
}
/// (N, B * C, ...) to (N, B, C, ...).
Tensor split_channels(const Tensor& x, int64_t count) {
  Dims sizes(x.sizes());
  sizes[1] /= count;
  sizes.insert(1, count);
  return reshape(x, sizes);
}

Geometry with_batch(Geometry g, int64_t count) {
  g.batch *= count;
  return g;
}
Geometry with_groups(Geometry g, int64_t count) {
  g.groups *= count;
  g.in_channels *= count;
  g.out_channels *= count;
  return g;
}

Geometry with_outputs(Geometry g, int64_t count) {
  g.out_channels *= count;
  return g;
}

/// With a bias of its own, as the caller sees it: added by an operation that knows batches.
template <class R>
std::vector<Tensor> batch_with_bias(const R& rule, const Batch& b) {
  const Tensor y = autograd::enter(R(rule), b.seen(0), b.seen(1));
  const Tensor sum = y + along_channels(b.seen(2), rule.geometry.spatial);
  return {autograd::lower_batch(sum, 0, b.level(), b.size())};
}

template <class R>
std::vector<Tensor> batch_of_images(const R& rule, const Batch& b) {
  const bool biased = b.count() > 2;
  if (b.is_batched(1) || (biased && b.is_batched(2))) {
    if (biased) return batch_with_bias(rule, b);
    const R each{{}, with_groups(rule.geometry, b.size())};
    const Tensor y = autograd::enter(R(each), join_channels(b.front(0)), join_front(b.front(1)));
    b.out_dim = 1;
    return {split_channels(y, b.size())};
  }
  const R all{{}, with_batch(rule.geometry, b.size())};
  const Tensor x = join_front(b.front(0));
  const Tensor y = biased ? autograd::enter(R(all), x, b.inner(1), b.inner(2))
                          : autograd::enter(R(all), x, b.inner(1));
  return {split_front(y, b.size())};
}

std::vector<Tensor> ConvolutionRule::batch(const Batch& b) const {
  if (b.count() == 2 && !b.is_batched(0) && geometry.groups == 1) {
    const Tensor y =
        convolution(with_outputs(geometry, b.size()), b.inner(0), join_front(b.front(1)), {});
    b.out_dim = 1;
    return {split_channels(y, b.size())};
  }
  return batch_of_images(*this, b);
}
std::vector<Tensor> InputGradientRule::batch(const Batch& b) const {
  return batch_of_images(*this, b);
}
std::vector<Tensor> WeightGradientRule::batch(const Batch& b) const {
  if (!b.is_batched(0) && geometry.groups == 1) {
    const Tensor w =
        weight_gradient(with_outputs(geometry, b.size()), b.inner(0), join_channels(b.front(1)));
    return {split_front(w, b.size())};
  }
  const Geometry each = with_groups(geometry, b.size());
  return {split_front(weight_gradient(each, join_channels(b.front(0)), join_channels(b.front(1))),
                      b.size())};
}

}  // namespace

Tensor convolution(const Geometry& geometry, const Tensor& input, const Tensor& weight,
                   const Tensor& bias) {
  const ConvolutionRule rule{{}, geometry};
  return bias.defined() ? autograd::enter(rule, input, weight, bias)
                        : autograd::enter(rule, input, weight);
}

Tensor convolution_input_gradient(const Geometry& geometry, const Tensor& gradient,
                                  const Tensor& weight, const Tensor& bias) {
  const InputGradientRule rule{{}, geometry};
  return bias.defined() ? autograd::enter(rule, gradient, weight, bias)
                        : autograd::enter(rule, gradient, weight);
}

}  // namespace tapegrad::ops
