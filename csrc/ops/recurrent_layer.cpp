// A recurrent layer in one direction as one operation: Note [Rows of a recurrence].
#include "ops/recurrent_layer.h"

#include <cstring>

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/parallel.h"
#include "kernels/contraction.h"
#include "kernels/isa/gemm.h"
#include "ops/reduce_geometry.h"
#include "tapegrad/ops.h"

namespace tapegrad::ops {
namespace {

using autograd::Inputs;
using autograd::Pull;
using kernels::RecurrentParameters;

// Places of the results; of those that a cell has not, empty ones stand there.
enum Results { kOutput, kH, kC, kGates, kCells, kResults };

constexpr int64_t kProjectedRows = 8;

bool has_gates(RecurrentCell cell) {
  return cell == RecurrentCell::Lstm || cell == RecurrentCell::Gru;
}

core::Operand optional_in(const Tensor& t) { return t.defined() ? core::in(t) : core::none(); }
core::Operand optional_out(const Tensor& t) { return t.defined() ? core::out(t) : core::none(); }

/// B = `matrix`, or its transpose, in the panels that the product reads.
Tensor pack(const Tensor& matrix, bool transposed) {
  kernels::GemmPack p;
  p.dtype = matrix.dtype();
  p.k = matrix.size(transposed ? 1 : 0);
  p.b_row = matrix.strides()[transposed ? 1 : 0];
  p.b_col = matrix.strides()[transposed ? 0 : 1];
  const int64_t columns = matrix.size(transposed ? 0 : 1);
  const Tensor packed = core::make_tensor({kernels::packed_size(p.k, columns)}, p.dtype);
  constexpr int64_t kUnit = kernels::kPackUnit, kGrain = 65536;
  const int64_t each = kUnit * p.k;
  core::parallel_for(0, (columns + kUnit - 1) / kUnit, kGrain / (each > 0 ? each : 1) + 1,
                     [&](int64_t begin, int64_t end) {
                       kernels::GemmPack part = p;
                       part.first = begin * kUnit;
                       part.last = end * kUnit < columns ? end * kUnit : columns;
                       core::launch(&kernels::gemm_pack, {core::out(packed), core::in(matrix)},
                                    part);
                     });
  return packed;
}

/// c = a^T b + beta c, of matrices with adjacent rows.
void multiply_transposed(const Tensor& c, const Tensor& a, const Tensor& b, double beta) {
  kernels::MatmulArgs args;
  args.dtype = c.dtype();
  args.m = c.size(0);
  args.n = args.c_row = c.size(1);
  args.k = a.size(0);
  args.a_row = args.b_col = 1;
  args.a_col = a.size(1);
  args.b_row = b.size(1);
  args.beta = beta;
  core::launch(&kernels::matmul, {core::out(c), core::in(a), core::in(b)}, args);
}

RecurrentParameters parameters(const RecurrentLayer& layer, const Tensor& h) {
  RecurrentParameters p;
  p.cell = layer.cell;
  p.is_double = h.dtype() == DType::Float64;
  p.reverse = layer.reverse;
  p.steps = layer.steps.steps;
  p.batch = layer.steps.batch;
  p.hidden = h.size(1);
  return p;
}

/// For each row the h with which its step began.
Tensor states_before(const RecurrentLayer& layer, const Tensor& output, const Tensor& initial) {
  const Tensor result = core::make_tensor(output.sizes(), output.dtype());
  const auto row = static_cast<size_t>(output.size(1)) * item_size(output.dtype());
  const auto copy = [&](int64_t to, const Tensor& from, int64_t first, int64_t rows) {
    if (rows <= 0) return;
    std::memcpy(static_cast<char*>(result.data()) + static_cast<size_t>(to) * row,
                static_cast<const char*>(from.data()) + static_cast<size_t>(first) * row,
                static_cast<size_t>(rows) * row);
  };
  int64_t known = 0;  // rows of the step before
  for (int64_t s = 0; s < layer.steps.steps; ++s) {
    const int64_t t = layer.step(s), rows = layer.steps.size(t), first = layer.steps.first(t);
    const int64_t carried = known < rows ? known : rows;
    if (s > 0) copy(first, output, layer.steps.first(layer.step(s - 1)), carried);
    copy(first + carried, initial, carried, rows - carried);
    known = rows;
  }
  return result;
}

/// The gradient of the recurrent weight, from that of the products with it.
Tensor weight_gradient(const RecurrentLayer& layer, const Tensor& dg, const Tensor& output,
                       const Tensor& initial) {
  const Tensor result = core::make_tensor({dg.size(1), output.size(1)}, dg.dtype());
  if (result->numel() == 0) return result;
  if (layer.steps.table.defined()) {
    multiply_transposed(result, dg, states_before(layer, output, initial), 0);
    return result;
  }
  const int64_t batch = layer.steps.batch, rest = dg.size(0) - batch;
  const bool reverse = layer.reverse;
  multiply_transposed(result, narrow(dg, 0, reverse ? rest : 0, batch), initial, 0);
  if (rest > 0) {
    multiply_transposed(result, narrow(dg, 0, reverse ? 0 : batch, rest),
                        narrow(output, 0, reverse ? batch : 0, rest), 1);
  }
  return result;
}

/// Inputs: x, h, w_ih, w_hh, then b_ih and b_hh if there are biases, then an LSTM's c.
struct RecurrentRule : autograd::Rule {
  static constexpr const char* name = "Recurrent";
  RecurrentLayer layer;
  bool has_biases = false;
  bool keep = false;  // what the derivative reads

  unsigned saves_inputs(unsigned) const { return 127; }
  unsigned saves_outputs(unsigned) const { return 1u << kOutput | 1u << kGates | 1u << kCells; }

  int c_index() const { return has_biases ? 6 : 4; }
  template <class Get>
  RecurrentOperands operands(Get get) const {
    RecurrentOperands in;
    in.x = get(0);
    in.h = get(1);
    in.w_ih = get(2);
    in.w_hh = get(3);
    if (has_biases) {
      in.b_ih = get(4);
      in.b_hh = get(5);
    }
    if (layer.cell == RecurrentCell::Lstm) in.c = get(c_index());
    return in;
  }

  std::vector<Tensor> forward(Inputs inputs) const {
    const RecurrentOperands in = operands([&](int i) -> const Tensor& { return inputs[i]; });
    RecurrentParameters p = parameters(layer, in.h);
    const bool lstm = layer.cell == RecurrentCell::Lstm, gru = layer.cell == RecurrentCell::Gru;
    const Tensor bias = gru || !has_biases ? in.b_ih : in.b_ih + in.b_hh;
    const bool apart = has_gates(layer.cell);
    const int64_t width = kernels::gate_count(layer.cell) * p.hidden, rows = layer.steps.rows();
    // Few rows a step are better multiplied all at once.
    p.project = p.batch >= kProjectedRows && p.steps > 1;
    p.keep = keep || !apart || !p.project;
    p.features = in.x.size(1);
    Tensor x, w_ih, input_bias, gates;
    if (p.project) {
      x = contiguous(in.x);
      w_ih = pack(in.w_ih, true);
      if (has_biases) input_bias = contiguous(bias);
      gates = core::make_tensor({p.keep ? rows : p.batch, width}, in.x.dtype());
    } else {
      gates = tapegrad::linear(in.x, in.w_ih, bias);
    }
    const Tensor none = core::make_tensor({0}, gates.dtype());
    std::vector<Tensor> out(kResults, none);
    out[kOutput] = apart ? core::make_tensor({rows, p.hidden}, gates.dtype()) : gates;
    out[kH] = clone(contiguous(in.h));
    if (lstm) out[kC] = clone(contiguous(in.c));
    if (apart) out[kGates] = gates;
    if (apart && keep) out[kCells] = core::make_tensor(out[kOutput].sizes(), gates.dtype());
    p.packed = p.batch != 1;
    const Tensor weight = p.packed ? pack(in.w_hh, true) : contiguous(in.w_hh);
    const Tensor products = gru ? core::make_tensor({p.batch, width}, gates.dtype()) : none;
    const Tensor b_hh = gru && has_biases ? contiguous(in.b_hh) : Tensor();
    core::launch(&kernels::recurrent_forward,
                 {core::out(gates), core::out(out[kH]), core::out(out[kC]), core::out(out[kOutput]),
                  apart && keep ? core::out(out[kCells]) : core::none(), core::in(weight),
                  optional_in(b_hh), core::out(products), optional_in(layer.steps.table),
                  optional_in(x), optional_in(w_ih), optional_in(input_bias)},
                 p);
    return out;
  }

  /// Samples that share the weights are one larger batch.
  std::vector<Tensor> batch(const autograd::Batch& b) const {
    if (layer.steps.table.defined()) return {};
    const bool lstm = layer.cell == RecurrentCell::Lstm;
    const int states = lstm ? c_index() : b.count();
    for (int i = 2; i < states; ++i) {
      if (b.is_batched(i)) return {};
    }
    const int64_t many = b.size(), steps = layer.steps.steps, each = layer.steps.batch;
    RecurrentRule joined = *this;
    joined.layer.steps.batch = many * each;
    std::vector<Tensor> inputs;
    for (int i = 0; i < b.count(); ++i) inputs.push_back(b.is_batched(i) ? Tensor() : b.inner(i));
    inputs[0] = swapped(b.front(0), {many, steps, each}, {steps * many * each});
    for (const int i : {1, lstm ? states : 1}) {
      const Tensor state = b.front(i);
      inputs[static_cast<size_t>(i)] = reshape(state, {many * each, state.size(-1)});
    }
    std::vector<Tensor> results = autograd::enter(std::move(joined), TensorList(inputs));
    results[kOutput] = swapped(results[kOutput], {steps, many, each}, {many, steps * each});
    for (const Results i : {kH, kC}) {
      if (i == kH || lstm) results[i] = reshape(results[i], {many, each, results[i].size(1)});
    }
    // What the derivative of all reads stays with it; nothing reads it inside of the level.
    const Tensor none = core::make_tensor({many, 0}, inputs[0].dtype());
    if (!lstm) results[kC] = none;
    results[kGates] = results[kCells] = none;
    return results;
  }

  /// Rows ordered by the three `sizes`, the first two of which change places; then `leading`.
  static Tensor swapped(const Tensor& rows, const Dims& sizes, Dims leading) {
    const int64_t width = rows.size(-1);
    const Tensor apart = reshape(rows, {sizes[0], sizes[1], sizes[2], width});
    leading.push_back(width);
    return reshape(permute(apart, {1, 0, 2, 3}), leading);
  }

  void pull(Pull& p) const {
    const RecurrentOperands in = operands([&](int i) { return p.input(i); });
    const Tensor d_output = p.grad(kOutput), d_h = p.grad(kH), d_c = p.grad(kC);
    const bool known = keep || !has_gates(layer.cell);
    const bool watched = is_watched(
        {&d_output, &d_h, &d_c, &in.x, &in.h, &in.c, &in.w_ih, &in.w_hh, &in.b_ih, &in.b_hh});
    const RecurrentOperands result = watched || core::thread_state.grad_enabled || !known
                                         ? composed_pull(layer, in, d_output, d_h, d_c)
                                         : fused_pull(p, in, d_output, d_h, d_c);
    const Tensor* gradients[] = {&result.x, &result.h, &result.w_ih, &result.w_hh};
    for (int i = 0; i < 4; ++i) p.set(i, *gradients[i]);
    if (has_biases) {
      p.set(4, result.b_ih);
      p.set(5, result.b_hh);
    }
    if (layer.cell == RecurrentCell::Lstm) p.set(c_index(), result.c);
  }

  RecurrentOperands fused_pull(Pull& p, const RecurrentOperands& in, const Tensor& d_output,
                               const Tensor& d_h, const Tensor& d_c) const {
    RecurrentParameters parameter = parameters(layer, in.h);
    const bool lstm = layer.cell == RecurrentCell::Lstm, gru = layer.cell == RecurrentCell::Gru;
    const Dims shape{layer.steps.rows(), kernels::gate_count(layer.cell) * parameter.hidden};
    const Tensor dg = core::make_tensor(shape, in.h.dtype());
    const Tensor dp = gru ? core::make_tensor(shape, in.h.dtype()) : dg;
    const auto fresh = [](const Tensor& gradient, const Tensor& like) {
      return gradient.defined() ? clone(contiguous(gradient)) : zeros(like.sizes(), like.dtype());
    };
    RecurrentOperands result;
    result.h = fresh(d_h, in.h);
    if (lstm) result.c = fresh(d_c, in.c);
    const Tensor output = p.output(kOutput), gates = p.output(kGates), cells = p.output(kCells);
    const Tensor h = contiguous(in.h), c = lstm ? contiguous(in.c) : Tensor();
    const Tensor d_rows = d_output.defined() ? contiguous(d_output) : Tensor();
    // Few steps do not pay for a copy of the weight.
    parameter.packed = parameter.batch > 1 && parameter.steps > 2;
    const Tensor weight = parameter.packed ? pack(in.w_hh, false) : contiguous(in.w_hh);
    core::launch(&kernels::recurrent_backward,
                 {core::out(dg), core::out(dp), core::out(result.h), optional_out(result.c),
                  optional_in(d_rows), core::in(gates), core::in(cells), core::in(output),
                  core::in(h), optional_in(c), core::in(weight), optional_in(layer.steps.table)},
                 parameter);
    if (p.needs(0)) result.x = matmul(dg, in.w_ih);
    if (p.needs(2)) result.w_ih = matmul(t(dg), in.x);
    if (p.needs(3)) result.w_hh = weight_gradient(layer, dp, output, h);
    if (has_biases && (p.needs(4) || p.needs(5))) {
      result.b_ih = sum(dg, 0);
      result.b_hh = gru ? sum(dp, 0) : result.b_ih;
    }
    return result;
  }
};

}  // namespace

std::vector<Tensor> recurrent_layer(const RecurrentLayer& layer, const RecurrentOperands& in) {
  RecurrentRule rule;
  rule.layer = layer;
  rule.has_biases = in.b_ih.defined();
  rule.keep = core::thread_state.grad_enabled;
  const Tensor* inputs[7] = {&in.x, &in.h, &in.w_ih, &in.w_hh};
  int count = 4;
  if (rule.has_biases) {
    inputs[count++] = &in.b_ih;
    inputs[count++] = &in.b_hh;
  }
  const bool lstm = layer.cell == RecurrentCell::Lstm;
  if (lstm) inputs[count++] = &in.c;
  std::vector<Tensor> results = autograd::enter(std::move(rule), Inputs{inputs, count});
  results.resize(lstm ? kC + 1 : kH + 1);
  return results;
}

}  // namespace tapegrad::ops
