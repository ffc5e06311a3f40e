// Recurrent layers and cells: tanh and relu networks, LSTM, GRU (ops/recurrent.cpp). Names,
// parameters and results are PyTorch's. The modules that hold the weights are in Python.
#pragma once

#include <vector>

#include "tapegrad/tensor.h"

namespace tapegrad {

/// How the layers of a recurrent network follow each other.
struct RecurrentLayers {
  bool has_biases = true;
  int64_t num_layers = 1;
  double dropout = 0;  // on the output of each layer but the last, in training
  bool train = false;
  bool bidirectional = false;
};

/// input is (steps, batch, features), or with batch_first (batch, steps, features); hx is (layers *
/// directions, batch, hidden), for lstm a pair of such. params: for each layer and direction
/// weight_ih, weight_hh, then bias_ih and bias_hh, then (of an lstm with projections) weight_hr.
/// Results: the output of the last layer and the final state, of lstm both final states.
TAPEGRAD_API std::vector<Tensor> lstm(const Tensor& input, TensorList hx, TensorList params,
                                      const RecurrentLayers& layers, bool batch_first = false);
TAPEGRAD_API std::vector<Tensor> gru(const Tensor& input, const Tensor& hx, TensorList params,
                                     const RecurrentLayers& layers, bool batch_first = false);
TAPEGRAD_API std::vector<Tensor> rnn_tanh(const Tensor& input, const Tensor& hx, TensorList params,
                                          const RecurrentLayers& layers, bool batch_first = false);
TAPEGRAD_API std::vector<Tensor> rnn_relu(const Tensor& input, const Tensor& hx, TensorList params,
                                          const RecurrentLayers& layers, bool batch_first = false);
/// The same for packed sequences: data (rows, features), batch_sizes int64, one number a step.
TAPEGRAD_API std::vector<Tensor> lstm(const Tensor& data, const Tensor& batch_sizes, TensorList hx,
                                      TensorList params, const RecurrentLayers& layers);
TAPEGRAD_API std::vector<Tensor> gru(const Tensor& data, const Tensor& batch_sizes,
                                     const Tensor& hx, TensorList params,
                                     const RecurrentLayers& layers);
TAPEGRAD_API std::vector<Tensor> rnn_tanh(const Tensor& data, const Tensor& batch_sizes,
                                          const Tensor& hx, TensorList params,
                                          const RecurrentLayers& layers);
TAPEGRAD_API std::vector<Tensor> rnn_relu(const Tensor& data, const Tensor& batch_sizes,
                                          const Tensor& hx, TensorList params,
                                          const RecurrentLayers& layers);

/// One step: input (batch, features) and state (batch, hidden), or both without a batch.
TAPEGRAD_API std::vector<Tensor> lstm_cell(const Tensor& input, TensorList hx, const Tensor& w_ih,
                                           const Tensor& w_hh, const Tensor& b_ih = {},
                                           const Tensor& b_hh = {});
TAPEGRAD_API Tensor gru_cell(const Tensor& input, const Tensor& hx, const Tensor& w_ih,
                             const Tensor& w_hh, const Tensor& b_ih = {}, const Tensor& b_hh = {});
TAPEGRAD_API Tensor rnn_tanh_cell(const Tensor& input, const Tensor& hx, const Tensor& w_ih,
                                  const Tensor& w_hh, const Tensor& b_ih = {},
                                  const Tensor& b_hh = {});
TAPEGRAD_API Tensor rnn_relu_cell(const Tensor& input, const Tensor& hx, const Tensor& w_ih,
                                  const Tensor& w_hh, const Tensor& b_ih = {},
                                  const Tensor& b_hh = {});

}  // namespace tapegrad
