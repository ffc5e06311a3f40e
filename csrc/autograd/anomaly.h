// Anomaly mode: what nodes note when they are recorded, and what is made of it when something goes
// wrong. Knows nodes and values, no operation; where a node was recorded it learns from a hook (the
// bindings look at Python's stack).
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "autograd/node.h"
#include "core/thread_state.h"

namespace tapegrad::autograd {

/// A place in the user's program.
class TAPEGRAD_API Place {
 public:
  virtual ~Place();
  /// Lines to print, the innermost call last; empty when unknown.
  virtual std::string traceback() const = 0;
  /// "file:line" of the innermost call; may be empty.
  virtual std::string line() const = 0;
  /// The path of the module in whose forward it happened, such as "Net.encoder.0 (Linear)"; may be
  /// empty.
  virtual std::string module_path() const = 0;
};

/// Makes the Place where the calling thread is now. Set by the bindings; places die on any thread.
TAPEGRAD_API extern std::atomic<std::shared_ptr<const Place> (*)()> place_hook;

/// What a node recorded in anomaly mode knows of its origin.
struct AnomalyNote {
  enum class State : uint8_t { Finite, Infinite, Nan, Unknown };
  struct Value {
    std::string what;  // "float32 tensor of shape (2, 3)"
    State state;
  };
  std::shared_ptr<const Place> place;
  std::string parent;  // the node whose derivative it belongs to (create_graph); may be empty
  std::shared_ptr<const Place> parent_place;
  std::vector<Value> inputs;
  std::vector<Value> outputs;
  std::vector<uint64_t> contents;  // hashes of the saved tensors
};

/// The note of a node; null when it was not recorded in anomaly mode.
TAPEGRAD_API const AnomalyNote* note_of(const Node& node);
/// Called when a node takes its number: notes the place, and hashes what is saved.
void note_recording(Node& node);
/// Notes shapes and whether the values are finite.
void note_values(Node& node, const Tensor* const* inputs, int input_count, TensorList outputs);
/// Throws GradError when a saved tensor was written since, by a way that counts no version (NumPy,
/// DLPack, a raw pointer).
void check_contents(const Node& node, const SavedTensor& saved);
/// "" or an end to an error message: where the node was recorded.
std::string recorded_where(const Node& node);

/// node.pull(pull); operations recorded in there know the node as their parent, and errors of the
/// rule come with a warning that says where it was recorded.
void pull_watched(Node& node, Pull& pull);
/// The first of `count` tensors that holds a NaN, -1 for none.
int first_nan(const Tensor* tensors, int count);
/// The message for a NaN in gradient `bad` of the node; `pass` is what the backward pass walks.
std::string explain_nan(const Node& node, int bad, const Tensor& gradient, const Tensor* incoming,
                        const std::vector<Node*>& pass);

inline constexpr uint8_t kWatchAll = core::kWatchPack | core::kWatchAnomaly | core::kWatchNan;

/// Switches watching off for the life of the guard.
class QuietGuard {
 public:
  explicit QuietGuard(uint8_t off = kWatchAll);
  ~QuietGuard();
  QuietGuard(const QuietGuard&) = delete;
  QuietGuard& operator=(const QuietGuard&) = delete;

 private:
  uint8_t previous_;
};

}  // namespace tapegrad::autograd
