// Recurrent networks: layers and directions around ops/recurrent_layer.h, and single cells.
#include "tapegrad/recurrent.h"

#include <string>

#include "core/tensor_impl.h"
#include "core/text.h"
#include "ops/recurrent_layer.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;

namespace {

/// A network as the user asked for it.
struct Network {
  const char* name;
  RecurrentCell cell;
  RecurrentLayers layers;
  int64_t directions() const { return layers.bidirectional ? 2 : 1; }
  int64_t count() const { return layers.num_layers * directions(); }
};

// --- checks --------------------------------------------------------------------------------------

void check_dims(const char* op, const char* what, const Tensor& t, int64_t dims) {
  if (t.dim() != dims) {
    throw ShapeError(core::text(op, ": expected ", what, " to have ", dims, " dimensions, got a ",
                                core::describe(t)));
  }
}

void check_shape(const char* op, const char* what, const Tensor& t, IntSpan expected) {
  if (shape_string(t.sizes()) != shape_string(expected)) {
    throw ShapeError(core::text(op, ": expected ", what, " of shape ", shape_string(expected),
                                ", got ", shape_string(t.sizes())));
  }
}

/// All tensors of a layer have one floating-point dtype, and the weights fit input and state.
void check_layer(const char* op, RecurrentCell cell, const RecurrentOperands& in,
                 const Tensor& w_hr) {
  const int64_t gates = kernels::gate_count(cell);
  if (!is_floating_point(in.x.dtype())) {
    throw DTypeError(core::text(op, ": expected a floating-point input, got a ",
                                core::describe(in.x), "; convert it with .float()"));
  }
  check_dims(op, "weight_ih", in.w_ih, 2);
  check_dims(op, "weight_hh", in.w_hh, 2);
  const int64_t rows = in.w_ih.size(0), state = in.w_hh.size(1);
  const int64_t hidden = w_hr.defined() ? rows / gates : state;
  check_shape(op, "weight_ih", in.w_ih, Dims{gates * hidden, in.x.size(-1)});
  check_shape(op, "weight_hh", in.w_hh, Dims{gates * hidden, state});
  if (in.b_ih.defined()) {
    check_shape(op, "bias_ih", in.b_ih, Dims{gates * hidden});
    check_shape(op, "bias_hh", in.b_hh, Dims{gates * hidden});
  }
  if (w_hr.defined()) check_shape(op, "weight_hr", w_hr, Dims{state, hidden});
  check_shape(op, "the initial hidden state", in.h, Dims{in.h.size(0), state});
  if (in.c.defined()) check_shape(op, "the initial cell state", in.c, Dims{in.h.size(0), hidden});
  for (const Tensor* t : {&in.h, &in.c, &in.w_ih, &in.w_hh, &in.b_ih, &in.b_hh, &w_hr}) {
    if (t->defined() && t->dtype() != in.x.dtype()) {
      throw DTypeError(core::text(op,
                                  ": expected input, state and weights to have the same dtype, "
                                  "but the input is ",
                                  dtype_name(in.x.dtype()), " and another is ",
                                  dtype_name(t->dtype()), "; convert one with .to(dtype)"));
    }
  }
}

/// Half types compute in float32.
RecurrentOperands widened(const RecurrentOperands& in) {
  const auto wide = [](const Tensor& t) { return t.defined() ? to(t, DType::Float32) : t; };
  return {wide(in.x),    wide(in.h),    wide(in.c),   wide(in.w_ih),
          wide(in.w_hh), wide(in.b_ih), wide(in.b_hh)};
}

std::vector<Tensor> run_layer(const char* op, const RecurrentLayer& layer,
                              const RecurrentOperands& in, const Tensor& w_hr) {
  check_layer(op, layer.cell, in, w_hr);
  const DType dtype = in.x.dtype();
  if (!is_half(dtype))
    return w_hr.defined() ? composed_layer(layer, in, w_hr) : recurrent_layer(layer, in);
  std::vector<Tensor> results = w_hr.defined()
                                    ? composed_layer(layer, widened(in), to(w_hr, DType::Float32))
                                    : recurrent_layer(layer, widened(in));
  for (Tensor& result : results) result = to(result, dtype);
  return results;
}

// --- networks ------------------------------------------------------------------------------------

/// The weights of layers and directions, in PyTorch's order.
class Weights {
 public:
  Weights(const Network& network, TensorList params) : params_(params) {
    const int64_t plain = network.count() * (network.layers.has_biases ? 4 : 2);
    const auto given = static_cast<int64_t>(params.size());
    projected_ = network.cell == RecurrentCell::Lstm && given == plain + network.count();
    if (given != plain && !projected_) {
      throw ShapeError(core::text(network.name, ": expected ", plain, " weights for ",
                                  network.layers.num_layers, " layers in ", network.directions(),
                                  " directions", network.layers.has_biases ? " with" : " without",
                                  " biases, got ", given));
    }
    biases_ = network.layers.has_biases;
  }

  /// Puts the weights of a layer and direction into `in`; gives that of the projection.
  Tensor fill(int64_t index, RecurrentOperands& in) const {
    const int64_t each = (biases_ ? 4 : 2) + (projected_ ? 1 : 0);
    const Tensor* first = &params_[static_cast<size_t>(index * each)];
    in.w_ih = first[0];
    in.w_hh = first[1];
    if (biases_) {
      in.b_ih = first[2];
      in.b_hh = first[3];
    }
    return projected_ ? first[each - 1] : Tensor();
  }

 private:
  TensorList params_;
  bool projected_ = false, biases_ = false;
};

Tensor stacked(const std::vector<Tensor>& states) {
  return states.size() == 1 ? unsqueeze(states[0], 0) : stack(states, 0);
}

void check_states(const Network& network, TensorList hx, int64_t batch) {
  const size_t expected = network.cell == RecurrentCell::Lstm ? 2 : 1;
  if (hx.size() != expected) {
    throw ShapeError(core::text(network.name,
                                ": expected hx to be a pair of tensors (h_0, c_0), "
                                "got ",
                                hx.size()));
  }
  for (const Tensor& state : hx) {
    check_dims(network.name, "the initial state", state, 3);
    if (state.size(0) != network.count() || state.size(1) != batch) {
      throw ShapeError(core::text(
          network.name, ": expected an initial state of shape [", network.count(), ", ", batch,
          ", hidden] (layers * directions, batch, hidden), got ", shape_string(state.sizes())));
    }
  }
}

/// All layers on the rows of packed sequences.
std::vector<Tensor> run_network(const Network& network, const Tensor& rows,
                                const RecurrentSteps& steps, TensorList hx, TensorList params) {
  const bool lstm = network.cell == RecurrentCell::Lstm;
  const Weights weights(network, params);
  check_states(network, hx, steps.batch);
  Tensor x = rows;
  std::vector<Tensor> final_h, final_c;
  for (int64_t l = 0; l < network.layers.num_layers; ++l) {
    std::vector<Tensor> outputs;
    for (int64_t d = 0; d < network.directions(); ++d) {
      const int64_t index = l * network.directions() + d;
      const RecurrentLayer layer{network.cell, d == 1, steps};
      RecurrentOperands in;
      in.x = x;
      in.h = select(hx[0], 0, index);
      if (lstm) in.c = select(hx[1], 0, index);
      const Tensor w_hr = weights.fill(index, in);
      const std::vector<Tensor> results = run_layer(network.name, layer, in, w_hr);
      outputs.push_back(results[0]);
      final_h.push_back(results[1]);
      if (lstm) final_c.push_back(results[2]);
    }
    x = outputs.size() == 1 ? outputs[0] : cat(outputs, 1);
    const bool last = l + 1 == network.layers.num_layers;
    if (!last && network.layers.train && network.layers.dropout > 0)
      x = dropout(x, network.layers.dropout, true);
  }
  std::vector<Tensor> results{x, stacked(final_h)};
  if (lstm) results.push_back(stacked(final_c));
  return results;
}

std::vector<Tensor> run_padded(const Network& network, const Tensor& input, TensorList hx,
                               TensorList params, bool batch_first) {
  check_dims(network.name, "input", input, 3);
  const Tensor x = batch_first ? transpose(input, 0, 1) : input;
  RecurrentSteps steps;
  steps.steps = x.size(0);
  steps.batch = x.size(1);
  if (steps.steps == 0) {
    throw ShapeError(core::text(network.name,
                                ": expected a sequence of at least one step, got an "
                                "input of shape ",
                                shape_string(input.sizes())));
  }
  const Tensor rows = reshape(x, {steps.steps * steps.batch, x.size(2)});
  std::vector<Tensor> results = run_network(network, rows, steps, hx, params);
  results[0] = reshape(results[0], {steps.steps, steps.batch, results[0].size(1)});
  if (batch_first) results[0] = transpose(results[0], 0, 1);
  return results;
}

/// Reads the number of rows of each step; they must not grow, and cover the data.
RecurrentSteps read_steps(const char* op, const Tensor& data, const Tensor& batch_sizes) {
  check_dims(op, "the data of packed sequences", data, 2);
  check_dims(op, "batch_sizes", batch_sizes, 1);
  if (batch_sizes.dtype() != DType::Int64)
    throw DTypeError(
        core::text(op, ": expected batch_sizes to be int64, got a ", core::describe(batch_sizes)));
  const Tensor sizes = contiguous(batch_sizes);
  const auto* size = sizes.data_ptr<int64_t>();
  RecurrentSteps steps;
  steps.steps = sizes.numel();
  if (steps.steps == 0)
    throw ShapeError(core::text(op, ": expected a sequence of at least one step"));
  steps.batch = size[0];
  const Tensor table = empty({2, steps.steps}, DType::Int64);
  auto* at = table.data_ptr<int64_t>();
  int64_t first = 0;
  for (int64_t t = 0; t < steps.steps; ++t) {
    if (size[t] <= 0 || (t > 0 && size[t] > size[t - 1])) {
      throw ValueError(core::text(op, ": batch_sizes must be positive and must not grow, got ",
                                  size[t], " at step ", t));
    }
    at[t] = size[t];
    at[steps.steps + t] = first;
    first += size[t];
  }
  if (first != data.size(0)) {
    throw ShapeError(core::text(op, ": batch_sizes add up to ", first, " rows, but the data has ",
                                data.size(0)));
  }
  if (size[steps.steps - 1] != steps.batch) steps.table = table;
  return steps;
}

std::vector<Tensor> run_packed(const Network& network, const Tensor& data,
                               const Tensor& batch_sizes, TensorList hx, TensorList params) {
  return run_network(network, data, read_steps(network.name, data, batch_sizes), hx, params);
}

TensorList one(const Tensor& t) { return {&t, 1}; }

// --- cells ---------------------------------------------------------------------------------------

/// Final states of one step; without a batch dimension as the input.
std::vector<Tensor> run_cell(const char* op, RecurrentCell cell, RecurrentOperands in) {
  const bool single = in.x.dim() == 1;
  if (!single) check_dims(op, "input", in.x, 2);
  for (Tensor* t : {&in.h, &in.c}) {
    if (!t->defined()) continue;
    check_dims(op, "hx", *t, in.x.dim());
    if (!single && t->size(0) != in.x.size(0)) {
      throw ShapeError(core::text(op, ": expected hx of the batch size of the input, ",
                                  in.x.size(0), ", got ", t->size(0)));
    }
    if (single) *t = unsqueeze(*t, 0);
  }
  if (single) in.x = unsqueeze(in.x, 0);
  if (in.b_ih.defined() != in.b_hh.defined()) {
    Tensor& absent = in.b_ih.defined() ? in.b_hh : in.b_ih;
    absent = zeros_like(in.b_ih.defined() ? in.b_ih : in.b_hh);
  }
  RecurrentLayer layer{cell, false, {}};
  layer.steps.steps = 1;
  layer.steps.batch = in.x.size(0);
  std::vector<Tensor> results = run_layer(op, layer, in, Tensor());
  results.erase(results.begin());
  for (Tensor& result : results) {
    if (single) result = squeeze(result, 0);
  }
  return results;
}

}  // namespace

std::vector<Tensor> lstm(const Tensor& input, TensorList hx, TensorList params,
                         const RecurrentLayers& layers, bool batch_first) {
  return run_padded({"lstm", RecurrentCell::Lstm, layers}, input, hx, params, batch_first);
}
std::vector<Tensor> gru(const Tensor& input, const Tensor& hx, TensorList params,
                        const RecurrentLayers& layers, bool batch_first) {
  return run_padded({"gru", RecurrentCell::Gru, layers}, input, one(hx), params, batch_first);
}
std::vector<Tensor> rnn_tanh(const Tensor& input, const Tensor& hx, TensorList params,
                             const RecurrentLayers& layers, bool batch_first) {
  return run_padded({"rnn_tanh", RecurrentCell::Tanh, layers}, input, one(hx), params, batch_first);
}
std::vector<Tensor> rnn_relu(const Tensor& input, const Tensor& hx, TensorList params,
                             const RecurrentLayers& layers, bool batch_first) {
  return run_padded({"rnn_relu", RecurrentCell::Relu, layers}, input, one(hx), params, batch_first);
}
std::vector<Tensor> lstm(const Tensor& data, const Tensor& batch_sizes, TensorList hx,
                         TensorList params, const RecurrentLayers& layers) {
  return run_packed({"lstm", RecurrentCell::Lstm, layers}, data, batch_sizes, hx, params);
}
std::vector<Tensor> gru(const Tensor& data, const Tensor& batch_sizes, const Tensor& hx,
                        TensorList params, const RecurrentLayers& layers) {
  return run_packed({"gru", RecurrentCell::Gru, layers}, data, batch_sizes, one(hx), params);
}
std::vector<Tensor> rnn_tanh(const Tensor& data, const Tensor& batch_sizes, const Tensor& hx,
                             TensorList params, const RecurrentLayers& layers) {
  return run_packed({"rnn_tanh", RecurrentCell::Tanh, layers}, data, batch_sizes, one(hx), params);
}
std::vector<Tensor> rnn_relu(const Tensor& data, const Tensor& batch_sizes, const Tensor& hx,
                             TensorList params, const RecurrentLayers& layers) {
  return run_packed({"rnn_relu", RecurrentCell::Relu, layers}, data, batch_sizes, one(hx), params);
}

std::vector<Tensor> lstm_cell(const Tensor& input, TensorList hx, const Tensor& w_ih,
                              const Tensor& w_hh, const Tensor& b_ih, const Tensor& b_hh) {
  if (hx.size() != 2) {
    throw ShapeError(
        core::text("lstm_cell: expected hx to be a pair of tensors (h_0, c_0), got ", hx.size()));
  }
  return run_cell("lstm_cell", RecurrentCell::Lstm, {input, hx[0], hx[1], w_ih, w_hh, b_ih, b_hh});
}
Tensor gru_cell(const Tensor& input, const Tensor& hx, const Tensor& w_ih, const Tensor& w_hh,
                const Tensor& b_ih, const Tensor& b_hh) {
  return run_cell("gru_cell", RecurrentCell::Gru, {input, hx, Tensor(), w_ih, w_hh, b_ih, b_hh})[0];
}
Tensor rnn_tanh_cell(const Tensor& input, const Tensor& hx, const Tensor& w_ih, const Tensor& w_hh,
                     const Tensor& b_ih, const Tensor& b_hh) {
  return run_cell("rnn_tanh_cell", RecurrentCell::Tanh,
                  {input, hx, Tensor(), w_ih, w_hh, b_ih, b_hh})[0];
}
Tensor rnn_relu_cell(const Tensor& input, const Tensor& hx, const Tensor& w_ih, const Tensor& w_hh,
                     const Tensor& b_ih, const Tensor& b_hh) {
  return run_cell("rnn_relu_cell", RecurrentCell::Relu,
                  {input, hx, Tensor(), w_ih, w_hh, b_ih, b_hh})[0];
}

namespace {

// The recipe of a network's documentation: PyTorch's argument list, and an example of shapes.
#define TAPEGRAD_NETWORK_ARGS                                                                      \
  "\n\nArgs:\n"                                                                                    \
  "    input: (steps, batch, features), with batch_first (batch, steps, features)\n"               \
  "    hx: the initial state, (layers * directions, batch, hidden); of lstm the pair (h_0, c_0)\n" \
  "    params: for each layer and direction weight_ih and weight_hh, with has_biases bias_ih "     \
  "and\n"                                                                                          \
  "        bias_hh, of an lstm with projections weight_hr\n"                                       \
  "    has_biases: whether params has biases\n"                                                    \
  "    num_layers: number of layers\n"                                                             \
  "    dropout: probability of dropout between layers\n"                                           \
  "    train: whether dropout acts\n"                                                              \
  "    bidirectional: a second direction, from the last step to the first\n"                       \
  "    batch_first: whether the batch is the first dimension of input and output\n"                \
  "\nReturns:\n"                                                                                   \
  "    the output of the last layer for each step, and the final state (of lstm h and c)\n"        \
  "\nRaises:\n"                                                                                    \
  "    ShapeError: sizes that do not fit\n"                                                        \
  "    DTypeError: operands of different dtypes\n"                                                 \
  "\nExample:\n"                                                                                   \
  "    >>> import tapegrad as tg\n"

RecurrentLayers make_layers(bool has_biases, int64_t num_layers, double dropout, bool train,
                            bool bidirectional) {
  return {has_biases, num_layers, dropout, train, bidirectional};
}

TAPEGRAD_OP(
    kFunction,
    "lstm(Tensor input, Tensor[] hx, Tensor[] params, bool has_biases, int num_layers, "
    "float dropout, bool train, bool bidirectional, bool batch_first) -> Tensor[]",
    "Long short-term memory: see nn.LSTM, which holds the weights." TAPEGRAD_NETWORK_ARGS
    "    >>> x, h = tg.ones(2, 1, 3), tg.zeros(1, 1, 1)\n"
    "    >>> y, h, c = tg.lstm(x, (h, h), (tg.ones(4, 3), tg.ones(4, 1)), False, 1, 0.0,\n"
    "    ...                   False, False, False)\n"
    "    >>> y.flatten()\n"
    "    tensor([0.7038, 0.9332])",
    +[](const Tensor& input, TensorList hx, TensorList params, bool biases, int64_t layers,
        double dropout, bool train, bool bidirectional, bool batch_first) {
      return lstm(input, hx, params, make_layers(biases, layers, dropout, train, bidirectional),
                  batch_first);
    });
TAPEGRAD_OP(
    kFunction,
    "lstm(Tensor data, Tensor batch_sizes, Tensor[] hx, Tensor[] params, bool has_biases, "
    "int num_layers, float dropout, bool train, bool bidirectional) -> Tensor[]",
    "The same for packed sequences: data (rows, features), batch_sizes one number a step.",
    +[](const Tensor& data, const Tensor& batch_sizes, TensorList hx, TensorList params,
        bool biases, int64_t layers, double dropout, bool train, bool bidirectional) {
      return lstm(data, batch_sizes, hx, params,
                  make_layers(biases, layers, dropout, train, bidirectional));
    });

#define TAPEGRAD_NETWORK(name, title, example)                                                     \
  TAPEGRAD_OP(                                                                                     \
      kFunction,                                                                                   \
      #name                                                                                        \
      "(Tensor input, Tensor hx, Tensor[] params, bool has_biases, int num_layers, "               \
      "float dropout, bool train, bool bidirectional, bool batch_first) -> Tensor[]",              \
      title TAPEGRAD_NETWORK_ARGS example,                                                         \
      +[](const Tensor& input, const Tensor& hx, TensorList params, bool biases, int64_t layers,   \
          double dropout, bool train, bool bidirectional, bool batch_first) {                      \
        return name(input, hx, params, make_layers(biases, layers, dropout, train, bidirectional), \
                    batch_first);                                                                  \
      });                                                                                          \
  TAPEGRAD_OP(                                                                                     \
      kFunction,                                                                                   \
      #name                                                                                        \
      "(Tensor data, Tensor batch_sizes, Tensor hx, Tensor[] params, bool has_biases, "            \
      "int num_layers, float dropout, bool train, bool bidirectional) -> Tensor[]",                \
      "The same for packed sequences: data (rows, features), batch_sizes one number a step.",      \
      +[](const Tensor& data, const Tensor& batch_sizes, const Tensor& hx, TensorList params,      \
          bool biases, int64_t layers, double dropout, bool train, bool bidirectional) {           \
        return name(data, batch_sizes, hx, params,                                                 \
                    make_layers(biases, layers, dropout, train, bidirectional));                   \
      })
TAPEGRAD_NETWORK(
    gru, "Gated recurrent units: see nn.GRU, which holds the weights.",
    "    >>> x, h = tg.ones(2, 1, 3), tg.zeros(1, 1, 1)\n"
    "    >>> y, h = tg.gru(x, h, (tg.ones(3, 3), tg.ones(3, 1)), False, 1, 0.0, False,\n"
    "    ...               False, False)\n"
    "    >>> y.flatten()\n"
    "    tensor([0.0472, 0.0902])");
TAPEGRAD_NETWORK(rnn_tanh, "A recurrent network of tanh: see nn.RNN, which holds the weights.",
                 "    >>> x, h = tg.ones(2, 1, 1), tg.zeros(1, 1, 1)\n"
                 "    >>> y, h = tg.rnn_tanh(x, h, (tg.ones(1, 1), tg.ones(1, 1)), False, 1, 0.0,\n"
                 "    ...                    False, False, False)\n"
                 "    >>> y.flatten()\n"
                 "    tensor([0.7616, 0.9427])");
TAPEGRAD_NETWORK(rnn_relu, "A recurrent network of relu: see nn.RNN, which holds the weights.",
                 "    >>> x, h = tg.ones(2, 1, 1), tg.zeros(1, 1, 1)\n"
                 "    >>> y, h = tg.rnn_relu(x, h, (tg.ones(1, 1), tg.ones(1, 1)), False, 1, 0.0,\n"
                 "    ...                    False, False, False)\n"
                 "    >>> y.flatten()\n"
                 "    tensor([1., 2.])");
#undef TAPEGRAD_NETWORK
#undef TAPEGRAD_NETWORK_ARGS

#define TAPEGRAD_CELL_ARGS                                                              \
  "\n\nArgs:\n"                                                                         \
  "    input: (batch, features) or (features,)\n"                                       \
  "    hx: the state, (batch, hidden) or (hidden,); of lstm_cell the pair (h_0, c_0)\n" \
  "    w_ih: (gates * hidden, features); gates: lstm 4, gru 3, else 1\n"                \
  "    w_hh: (gates * hidden, hidden)\n"                                                \
  "    b_ih, b_hh: (gates * hidden,)\n"                                                 \
  "\nRaises:\n"                                                                         \
  "    ShapeError: sizes that do not fit\n"                                             \
  "    DTypeError: operands of different dtypes\n"                                      \
  "\nExample:\n"                                                                        \
  "    >>> import tapegrad as tg\n"
TAPEGRAD_OP(kFunction,
            "lstm_cell(Tensor input, Tensor[] hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, "
            "Tensor? b_hh=None) -> Tensor[]",
            "One step of long short-term memory: the pair (h, c)." TAPEGRAD_CELL_ARGS
            "    >>> h, c = tg.lstm_cell(tg.ones(3), (tg.zeros(1), tg.zeros(1)), tg.ones(4, 3),\n"
            "    ...                     tg.ones(4, 1))\n"
            "    >>> h\n"
            "    tensor([0.7038])",
            &lstm_cell);
#define TAPEGRAD_CELL(name, title, example)                                                     \
  TAPEGRAD_OP(kFunction,                                                                        \
              #name                                                                             \
              "(Tensor input, Tensor hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, "         \
              "Tensor? b_hh=None) -> Tensor",                                                   \
              title TAPEGRAD_CELL_ARGS "    >>> tg." #name "(tg.ones(1), tg.ones(1), " example, \
              &name)
TAPEGRAD_CELL(gru_cell, "One step of a gated recurrent unit.",
              "tg.ones(3, 1), tg.ones(3, 1))\n    tensor([0.9946])");
TAPEGRAD_CELL(rnn_tanh_cell, "tanh(input @ w_ih.T + b_ih + hx @ w_hh.T + b_hh).",
              "tg.ones(1, 1), tg.ones(1, 1))\n    tensor([0.9640])");
TAPEGRAD_CELL(rnn_relu_cell, "relu(input @ w_ih.T + b_ih + hx @ w_hh.T + b_hh).",
              "tg.ones(1, 1), tg.ones(1, 1))\n    tensor([2.])");
#undef TAPEGRAD_CELL
#undef TAPEGRAD_CELL_ARGS

}  // namespace
}  // namespace tapegrad
