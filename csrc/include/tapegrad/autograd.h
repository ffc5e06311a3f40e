// Reverse-mode differentiation: backward, grad, and the modes that switch recording on and off.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tapegrad/export.h"
#include "tapegrad/tensor.h"

namespace tapegrad {

struct BackwardOptions {
  bool retain_graph = false;  ///< keep saved tensors, so that the graph can be walked again
  bool create_graph = false;  ///< record the backward pass itself (implies retain_graph)
};

/// Accumulates d(outputs)/d(leaf) into the .grad of every leaf below `outputs`, or of `inputs`
/// alone when given. `gradients` may hold undefined tensors for one-element outputs (then 1).
/// Throws GradError, ShapeError.
TAPEGRAD_API void backward(TensorList outputs, TensorList gradients = {},
                           BackwardOptions options = {}, TensorList inputs = {});

/// Returns the gradients of `outputs` with respect to `inputs`; accumulates nothing. With
/// `allow_unused` an input that the outputs do not depend on yields an undefined tensor, else a
/// GradError.
TAPEGRAD_API std::vector<Tensor> grad(TensorList outputs, TensorList inputs,
                                      TensorList gradients = {}, BackwardOptions options = {},
                                      bool allow_unused = false);

TAPEGRAD_API bool is_grad_enabled();
/// Returns the previous mode of this thread.
TAPEGRAD_API bool set_grad_enabled(bool enabled);
TAPEGRAD_API bool is_inference_mode_enabled();
/// Returns the previous mode of this thread. Inference mode also switches recording off.
TAPEGRAD_API bool set_inference_mode(bool enabled);

/// Switches recording off for the life of the guard.
class NoGrad {
 public:
  NoGrad() : previous_(set_grad_enabled(false)) {}
  ~NoGrad() { set_grad_enabled(previous_); }
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};

/// Calls `hook` with the gradient of `tensor` whenever it is computed; a defined result replaces
/// it. Returns an id for remove_hook. Throws GradError when the tensor needs no gradient.
TAPEGRAD_API int64_t register_hook(const Tensor& tensor, std::function<Tensor(const Tensor&)> hook);
/// Calls `hook` with the leaf after its gradient was accumulated.
TAPEGRAD_API int64_t register_post_accumulate_grad_hook(const Tensor& leaf,
                                                        std::function<void(const Tensor&)> hook);
TAPEGRAD_API void remove_hook(const Tensor& tensor, int64_t id);
/// Makes a non-leaf keep its gradient in .grad.
TAPEGRAD_API void retain_grad(const Tensor& tensor);

/// What a hook made of a tensor that an operation saved for backward. Lives as long as the graph
/// needs it, and may die on any thread.
class TAPEGRAD_API PackedTensor {
 public:
  virtual ~PackedTensor();
  /// The tensor again: same shape and dtype. Called once in each backward pass that reads it.
  virtual Tensor unpack() = 0;
};

/// Gets each tensor that an operation saves: an input as it is, an output detached. Must not change
/// it. Recording is off while it runs.
using PackHook = std::function<std::unique_ptr<PackedTensor>(const Tensor&)>;

/// Gives the tensors that this thread's operations save to `hook`, until popped; the hook pushed
/// last is the one that counts. Throws GradError while hooks are disabled.
TAPEGRAD_API void push_saved_tensor_hook(PackHook hook);
TAPEGRAD_API void pop_saved_tensor_hook();
/// Makes push_saved_tensor_hook throw `message` on this thread; an empty message allows hooks
/// again. Returns the previous message. Throws GradError with `message` while a hook is active.
TAPEGRAD_API std::string disable_saved_tensor_hooks(const std::string& message);

/// Anomaly mode of this thread, for finding what went wrong in a backward pass: operations note
/// where they were recorded, saved tensors are compared with what they held, and with `check_nan` a
/// NaN among the gradients is an error that names the operation. Slow.
struct AnomalyMode {
  bool enabled = false;
  bool check_nan = true;
};
TAPEGRAD_API AnomalyMode anomaly_mode();
/// Returns the previous mode.
TAPEGRAD_API AnomalyMode set_anomaly_mode(AnomalyMode mode);

/// Counts up the version of a tensor's memory, after a write that the library could not see.
TAPEGRAD_API void increment_version(const Tensor& tensor);

/// Forward mode. A level is open between enter_dual_level and exit_dual_level; tensors made dual
/// carry a tangent there.
TAPEGRAD_API int enter_dual_level();
TAPEGRAD_API void exit_dual_level(int level);
TAPEGRAD_API Tensor make_dual(const Tensor& primal, const Tensor& tangent, int level);
/// The primal without the tangent of `level`, and the tangent (undefined when it has none).
TAPEGRAD_API std::pair<Tensor, Tensor> unpack_dual(const Tensor& tensor, int level);

}  // namespace tapegrad
