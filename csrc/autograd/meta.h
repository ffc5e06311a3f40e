// What autograd attaches to a tensor: its place on the tape, its gradient, tangents and batch
// record. The core holds it as an opaque pointer.
#pragma once

#include <memory>
#include <vector>

#include "autograd/node.h"

namespace tapegrad::autograd {

struct MetaExtra {
  struct Tangent {
    int level;
    Tensor value;                // undefined: zero (only at a Taylor level)
    std::vector<Tensor> higher;  // Taylor level: coefficients 2, 3, ...; undefined where zero
  };
  std::vector<Tangent> tangents;  // by rising level
  Tensor batch_inner;             // kBatched: the tensor with the extra dimension ...
  int batch_dim = 0;              // ... where it is ...
  int batch_level = 0;            // ... and the vmap level it belongs to
};

/// Accumulates into the .grad of a leaf. Owned by the leaf's Meta and by edges; knows the leaf only
/// weakly.
class TAPEGRAD_API AccumulateGrad final : public Node {
 public:
  explicit AccumulateGrad(TensorImpl* leaf);
  std::string name() const override { return "AccumulateGrad"; }
  void pull(Pull& pull) override;
  void release() override {}
  AccumulateGrad* as_accumulator() override { return this; }
  /// The leaf, or undefined when it is gone.
  Tensor leaf() const;
  /// The leaf dies.
  void forget_leaf();
  /// Called after each accumulation with the leaf (register_post_accumulate_grad_hook).
  std::vector<std::pair<int64_t, std::function<void(const Tensor&)>>> post_hooks;

 private:
  TensorImpl* leaf_;  // borrowed; guarded by Node::mutex_of(this)
};

struct Meta final : TensorMeta {
  void owner_dies(TensorImpl& owner) noexcept override;
  NodeRef node;         // grad_fn of a result, or the accumulator of a leaf
  uint32_t output = 0;  // which output of `node` this tensor is
  bool leaf = true;
  bool no_grad_view = false;  // a view made under no_grad: in-place writes to it cannot be recorded
  bool custom_view = false;   // a view that a user's function returned: its rule cannot be rebased
  Tensor grad;
  std::unique_ptr<MetaExtra> extra;
};

/// The tensor's Meta, made when missing.
Meta& meta(const Tensor& tensor);
inline Meta* meta_or_null(const Tensor& tensor) { return static_cast<Meta*>(tensor->meta); }

/// Note [Views]
/// A view made by an operation keeps its root base (TensorImpl::base). A write through any view of
/// the base counts up the shared version and rebases the base's edge; every other view notices the
/// version and gets a new edge, "as_strided of the base", and the base's tangents when next asked.
/// Detached aliases have no base.
void refresh_view(const Tensor& tensor);

/// Flags that decide how an op is entered; follows the base of a view.
inline uint16_t entry_flags(const Tensor& tensor) {
  TensorImpl* impl = tensor.impl();
  if (impl->base && impl->view_version != impl->version()) [[unlikely]]
    refresh_view(tensor);
  return static_cast<uint16_t>(impl->flags() & TensorImpl::kEntryMask);
}

/// Where the gradient of `tensor` goes; empty when it needs none.
TAPEGRAD_API Edge gradient_edge(const Tensor& tensor);
/// Calls `hook` with the gradients of a node's outputs before its rule runs. Returns an id.
TAPEGRAD_API int64_t register_pre_hook(Node& node, NodePreHook hook);
/// Calls `hook` with the gradients of a node's inputs, and of its outputs, after its rule ran.
TAPEGRAD_API int64_t register_node_hook(Node& node, NodeHook hook);
/// Removes a hook by its id, whatever its kind.
TAPEGRAD_API void remove_hook(Node& node, int64_t id);
/// The tangent of `tensor` at `level`; undefined when it has none.
Tensor tangent_at(const Tensor& tensor, int level);
/// Gives `tensor` the Taylor coefficients 1, 2, ... of Taylor level `level`; undefined where zero.
TAPEGRAD_API void set_series(const Tensor& tensor, int level, std::vector<Tensor> coefficients);
/// Taylor coefficients 1, 2, ... of `tensor`; empty when it has none.
TAPEGRAD_API std::vector<Tensor> series_at(const Tensor& tensor, int level);
/// The highest level at which `tensor` has a tangent; -1 for none.
int highest_level(const Tensor& tensor);
void set_tangent(const Tensor& tensor, int level, const Tensor& value);
/// Gives `to` all tangents of `from`.
void copy_tangents(const Tensor& to, const Tensor& from);
/// The same tensor on the tape, without the tangent of `level`.
TAPEGRAD_API Tensor strip_tangent(const Tensor& tensor, int level);
/// After an in-place write of `value`: `self` (and its base) take over its tangents.
void assign_tangents(Tensor& self, const Tensor& value);
/// After the base of a view was written: the view's tangents are what it shows of the base's.
void refresh_tangents(const Tensor& view, const Tensor& base);
/// Makes `tensor` output number `output` of `node`.
void set_edge(const Tensor& tensor, NodeRef node, uint32_t output);
/// The node that made `tensor`; empty for leaves.
TAPEGRAD_API NodeRef grad_fn(const Tensor& tensor);

}  // namespace tapegrad::autograd
