// Nodes of functions whose derivative a user wrote, in C++ (tapegrad/function.h) or Python: how
// they enter the tape, what forward said about inputs and outputs, and the checks of what backward
// and jvp return. Knows neither language: the caller is a FunctionCall.
#pragma once

#include <string>
#include <vector>

#include "autograd/entry.h"
#include "autograd/level.h"
#include "autograd/node.h"

namespace tapegrad::autograd {

class TAPEGRAD_API FunctionNode : public Node {
 public:
  FunctionNode* as_function() final { return this; }
  void pull(Pull& pull) final;

  /// What forward() said. Lists of tensors are empty again once the node is on the tape.
  std::vector<Tensor> to_save;
  std::vector<Tensor> to_save_for_forward;  // instead of to_save in jvp, when given
  std::vector<Tensor> dirty;
  std::vector<Tensor> non_differentiable;
  bool materialize = true;

  /// For each argument of forward(): 0 for what is no tensor, 1 for a tensor, 2 for one that
  /// requires grad.
  std::vector<uint8_t> arguments;
  /// The argument that tensor input number `input` is.
  int argument_of(int input) const;
  int input_count() const { return input_count_; }
  /// Before: forward() or setup_context() still runs.
  bool finished() const { return finished_; }
  /// What was saved, in order; undefined tensors stay so. In jvp: at the level of the call.
  std::vector<Tensor> saved_tensors() const;

 protected:
  /// Gradients of the outputs (undefined: none) to gradients of the tensor inputs.
  virtual std::vector<Tensor> backward(std::vector<Tensor> gradients) = 0;

 private:
  friend class FunctionRecorder;
  int input_count_ = 0;
  bool finished_ = false;
  bool in_jvp_ = false;
  std::vector<Tensor> jvp_saved_;
  // With tangents on the way: what forward() got and returned, to find again what it saved.
  std::vector<Tensor> forward_inputs_, forward_outputs_, forward_non_differentiable_;
};

/// A call of a user's function. An undefined tensor among outputs stands for what is no tensor.
class TAPEGRAD_API FunctionCall {
 public:
  virtual ~FunctionCall();
  /// A fresh FunctionNode, its `arguments` filled.
  virtual NodeRef make_node(const std::vector<Tensor>& inputs) = 0;
  virtual std::vector<Tensor> forward(FunctionNode& node, const std::vector<Tensor>& inputs) = 0;
  /// Prepares the node of a grad level, where forward() has run below. Throws if it cannot.
  virtual void setup(FunctionNode& node, const std::vector<Tensor>& inputs,
                     const std::vector<Tensor>& outputs) = 0;
  /// Tangents of the tensor inputs (undefined: none) to tangents of the outputs.
  virtual std::vector<Tensor> jvp(FunctionNode& node, std::vector<Tensor> tangents) = 0;
  /// The function over all samples: `inputs` and the results outside of batch level `level`, with
  /// their batch dimensions (-1: every sample sees all of it).
  virtual std::vector<Tensor> batched(const std::vector<Tensor>& inputs,
                                      const std::vector<int>& in_dims, int64_t size,
                                      std::vector<int>& out_dims) = 0;
  virtual std::string name() const = 0;

  /// That of the batch level, while batched() runs.
  Randomness randomness = Randomness::Error;

  /// Enters the function: the one way for all of them. See Note [Levels] for what comes first.
  std::vector<Tensor> run(const std::vector<Tensor>& inputs);

 private:
  friend class FunctionRecorder;
  int tangent_levels_ = 0;
};

}  // namespace tapegrad::autograd
