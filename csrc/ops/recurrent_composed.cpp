// Recurrent layers as operations, step by step, and their derivative likewise.
//
// Note [Higher derivatives of a recurrence]: the fused layer of recurrent_layer.cpp has a fused
// derivative, which itself cannot be differentiated. Where a backward pass is recorded
// (create_graph), or carries tangents or samples of vmap, the derivative is computed here instead:
// the forward pass again in operations, then its derivative by hand in operations. All of them are
// on the tape, so that the result can be differentiated any number of times.
#include <utility>

#include "ops/recurrent_layer.h"
#include "tapegrad/ops.h"

namespace tapegrad::ops {
namespace {

/// What the derivative reads of one step; all of the rows of that step.
struct Trace {
  Tensor h, c;                  // before the step
  Tensor first, second, third;  // i f g of an LSTM, r z n of a GRU, the state of others
  Tensor fourth;                // o of an LSTM, the product of h for n of a GRU
  Tensor c_after;
};

Tensor leading(const Tensor& state, int64_t rows) {
  return state.size(0) == rows ? state : narrow(state, 0, 0, rows);
}

/// The state after a step that changed its first rows.
Tensor joined(const Tensor& changed, const Tensor& state) {
  const int64_t rows = changed.size(0), all = state.size(0);
  if (rows == all) return changed;
  const Tensor parts[] = {changed, narrow(state, 0, rows, all - rows)};
  return cat(TensorList(parts, 2), 0);
}

struct State {
  Tensor h, c;
};

State lstm_step(Trace& t, const Tensor& projected, const Tensor& w_hh, const Tensor& w_hr) {
  const std::vector<Tensor> a = chunk(projected + linear(t.h, w_hh), 4, 1);
  t.first = sigmoid(a[0]);
  t.second = sigmoid(a[1]);
  t.third = tanh(a[2]);
  t.fourth = sigmoid(a[3]);
  t.c_after = t.second * t.c + t.first * t.third;
  const Tensor h = t.fourth * tanh(t.c_after);
  return {w_hr.defined() ? linear(h, w_hr) : h, t.c_after};
}

State gru_step(Trace& t, const Tensor& projected, const Tensor& w_hh, const Tensor& b_hh) {
  const std::vector<Tensor> a = chunk(projected, 3, 1);
  const std::vector<Tensor> b = chunk(linear(t.h, w_hh, b_hh), 3, 1);
  t.first = sigmoid(a[0] + b[0]);
  t.second = sigmoid(a[1] + b[1]);
  t.fourth = b[2];
  t.third = tanh(a[2] + t.first * t.fourth);
  return {t.third + t.second * (t.h - t.third), Tensor()};
}

/// Runs all steps; leaves their traces in the order of computation.
std::vector<Tensor> run(const RecurrentLayer& layer, const RecurrentOperands& in,
                        const Tensor& w_hr, std::vector<Trace>& traces) {
  const bool gru = layer.cell == RecurrentCell::Gru;
  const Tensor bias = gru || !in.b_ih.defined() ? in.b_ih : in.b_ih + in.b_hh;
  const Tensor projected = linear(in.x, in.w_ih, bias);
  State state{in.h, in.c};
  std::vector<Tensor> outputs(static_cast<size_t>(layer.steps.steps));
  for (int64_t s = 0; s < layer.steps.steps; ++s) {
    const int64_t t = layer.step(s), rows = layer.steps.size(t);
    Trace trace;
    trace.h = leading(state.h, rows);
    if (state.c.defined()) trace.c = leading(state.c, rows);
    const Tensor here = narrow(projected, 0, layer.steps.first(t), rows);
    State next;
    if (layer.cell == RecurrentCell::Lstm) {
      next = lstm_step(trace, here, in.w_hh, w_hr);
      state.c = joined(next.c, state.c);
    } else if (gru) {
      next = gru_step(trace, here, in.w_hh, in.b_hh);
    } else {
      const Tensor a = here + linear(trace.h, in.w_hh);
      next.h = trace.first = layer.cell == RecurrentCell::Tanh ? tanh(a) : relu(a);
    }
    state.h = joined(next.h, state.h);
    outputs[static_cast<size_t>(t)] = next.h;
    traces.push_back(std::move(trace));
  }
  std::vector<Tensor> results{cat(outputs, 0), state.h};
  if (state.c.defined()) results.push_back(state.c);
  return results;
}

Tensor slope_of_sigmoid(const Tensor& y) { return y * (Scalar(1) - y); }
Tensor slope_of_tanh(const Tensor& y) { return Scalar(1) - y * y; }

/// The gradient of the gates; takes dh and dc of the rows, and leaves what flows on besides the
/// product in them.
Tensor lstm_gates(const Trace& t, State& d) {
  const Tensor y = tanh(t.c_after);
  const Tensor dc = d.c + d.h * t.fourth * slope_of_tanh(y);
  const Tensor parts[] = {
      dc * t.third * slope_of_sigmoid(t.first), dc * t.c * slope_of_sigmoid(t.second),
      dc * t.first * slope_of_tanh(t.third), d.h * y * slope_of_sigmoid(t.fourth)};
  d = {Tensor(), dc * t.second};
  return cat(TensorList(parts, 4), 1);
}

struct GruGates {
  Tensor input, product;
};

GruGates gru_gates(const Trace& t, State& d) {
  const Tensor dn = d.h * (Scalar(1) - t.second) * slope_of_tanh(t.third);
  const Tensor dr = dn * t.fourth * slope_of_sigmoid(t.first);
  const Tensor dz = d.h * (t.h - t.third) * slope_of_sigmoid(t.second);
  const Tensor input[] = {dr, dz, dn};
  const Tensor product[] = {dr, dz, dn * t.first};
  d = {d.h * t.second, Tensor()};
  return {cat(TensorList(input, 3), 1), cat(TensorList(product, 3), 1)};
}

Tensor plain_gates(RecurrentCell cell, const Trace& t, State& d) {
  const Tensor slope = cell == RecurrentCell::Tanh ? slope_of_tanh(t.first)
                                                   : to(gt(t.first, Scalar(0)), d.h.dtype());
  const Tensor gates = d.h * slope;
  d = {};
  return gates;
}

}  // namespace

std::vector<Tensor> composed_layer(const RecurrentLayer& layer, const RecurrentOperands& operands,
                                   const Tensor& w_hr) {
  std::vector<Trace> traces;
  return run(layer, operands, w_hr, traces);
}

RecurrentOperands composed_pull(const RecurrentLayer& layer, const RecurrentOperands& in,
                                const Tensor& d_output, const Tensor& d_h, const Tensor& d_c) {
  std::vector<Trace> traces;
  run(layer, in, Tensor(), traces);
  const bool lstm = layer.cell == RecurrentCell::Lstm, gru = layer.cell == RecurrentCell::Gru;
  const auto steps = static_cast<size_t>(layer.steps.steps);
  std::vector<Tensor> gates(steps), products(steps), before(steps);
  State d{d_h.defined() ? d_h : zeros_like(in.h), lstm && !d_c.defined() ? zeros_like(in.c) : d_c};
  for (int64_t s = layer.steps.steps - 1; s >= 0; --s) {
    const int64_t t = layer.step(s), rows = layer.steps.size(t);
    const Trace& trace = traces[static_cast<size_t>(s)];
    const auto place = static_cast<size_t>(t);
    State here{leading(d.h, rows), lstm ? leading(d.c, rows) : Tensor()};
    if (d_output.defined()) here.h = here.h + narrow(d_output, 0, layer.steps.first(t), rows);
    if (gru) {
      const GruGates both = gru_gates(trace, here);
      gates[place] = both.input;
      products[place] = both.product;
    } else {
      gates[place] = lstm ? lstm_gates(trace, here) : plain_gates(layer.cell, trace, here);
      products[place] = gates[place];
    }
    before[place] = trace.h;
    const Tensor through = matmul(products[place], in.w_hh);
    d.h = joined(here.h.defined() ? here.h + through : through, d.h);
    if (lstm) d.c = joined(here.c, d.c);
  }
  const Tensor dg = cat(gates, 0), dp = gru ? cat(products, 0) : dg;
  RecurrentOperands result;
  result.x = matmul(dg, in.w_ih);
  result.h = d.h;
  result.c = d.c;
  result.w_ih = matmul(tapegrad::t(dg), in.x);
  result.w_hh = matmul(tapegrad::t(dp), cat(before, 0));
  if (in.b_ih.defined()) {
    result.b_ih = sum(dg, 0);
    result.b_hh = sum(dp, 0);
  }
  return result;
}

}  // namespace tapegrad::ops
