// The Laplacian by forward mode.
//
// Note [Forward Laplacian]
// At a Laplacian level a tensor carries the rows of one tangent: its derivatives along D directions
// v, and in the last row the sum of its second derivatives along them. All rows pass through an
// operation as tangents do, J t; the last gains sum over v of F''[v, v], which is 0 for what is
// linear in what moves. Elementwise functions do all in one loop; of any other the tangent is
// pushed once more along v, at a dual level. Second derivatives of single directions are never
// kept. (Li et al., "A computational framework for neural network-based variational Monte Carlo
// with Forward Laplacian", 2024.) The rows lie on a batch level of their own.
#include "autograd/entry.h"
#include "autograd/level.h"
#include "tapegrad/ops.h"

namespace tapegrad::autograd {
namespace {

class DualLevel {
 public:
  DualLevel() : id_(open_level(Level::Kind::Dual)) {}
  ~DualLevel() { close_level("laplacian", id_); }
  DualLevel(const DualLevel&) = delete;
  DualLevel& operator=(const DualLevel&) = delete;
  int id() const { return id_; }

 private:
  int id_;
};

class Rows {
 public:
  Rows(int batch, int64_t count) : batch_(batch), count_(count) {}

  /// All rows of a tangent, along dimension 0.
  Tensor below(const Tensor& tangent) const { return lower_batch(tangent, 0, batch_, count_); }
  Tensor above(const Tensor& rows) const { return lift(rows, 0, batch_); }
  Tensor directions(const Tensor& tangent) const {
    return above(narrow(below(tangent), 0, 0, count_ - 1));
  }
  /// The sum over the directions.
  Tensor total(const Tensor& tangent) const {
    return sum(lower_batch(tangent, 0, batch_, count_ - 1), {0});
  }
  /// `tangent` with `part` added to its last row.
  Tensor add_to_last(const Tensor& tangent, const Tensor& part) const {
    const Tensor rows = below(tangent);
    const Tensor last = narrow(rows, 0, count_ - 1, 1) + unsqueeze(part, 0);
    const std::vector<Tensor> parts{narrow(rows, 0, 0, count_ - 1), last};
    return above(cat(parts, 0));
  }
  /// `tensor` moving along the directions of `tangent`, at a dual level.
  Tensor moving(const Tensor& tensor, const Tensor& tangent, int dual) const {
    const Tensor result = strip_tangent(tensor, dual);
    set_tangent(result, dual, directions(tangent));
    return result;
  }

 private:
  int batch_;
  int64_t count_;
};

/// sum over v of F''[v, v] of every output; undefined where it is 0.
std::vector<Tensor> second_order(const Push& push, const std::vector<Tensor>& tangents,
                                 const Rows& rows, const TangentCallbacks& callbacks) {
  const DualLevel dual;
  std::vector<Tensor> inputs, outputs, slopes;
  std::vector<const Tensor*> pointers;
  for (int i = 0; i < push.inputs.size(); ++i) {
    const Tensor& tangent = push.tangent(i);
    inputs.push_back(tangent.defined() ? rows.moving(push.input(i), tangent, dual.id())
                                       : push.input(i));
    slopes.push_back(tangent.defined() ? rows.directions(tangent) : Tensor());
  }
  for (size_t o = 0; o < push.outputs.size(); ++o) {
    outputs.push_back(tangents[o].defined() && is_floating_point(push.outputs[o].dtype())
                          ? rows.moving(push.outputs[o], tangents[o], dual.id())
                          : push.outputs[o]);
  }
  for (const Tensor& input : inputs) pointers.push_back(&input);
  const Push again{Inputs{pointers.data(), push.inputs.size()}, outputs, slopes};
  std::vector<Tensor> sums;
  for (const Tensor& slope : push_tangents(again, callbacks)) {
    const Tensor second = slope.defined() ? tangent_at(slope, dual.id()) : Tensor();
    sums.push_back(second.defined() ? rows.total(second) : Tensor());
  }
  return sums;
}

int64_t size_of_batch(int id) {
  for (const Level& level : batch_levels()) {
    if (level.id == id) return level.size;
  }
  return 0;
}

}  // namespace

bool only_batched(const Tensor& tensor) {
  Tensor each = tensor;
  while (true) {
    const unsigned flags = entry_flags(each);
    if (flags & TensorImpl::kHasTangent) return false;
    if ((flags & TensorImpl::kNeedsGrad) && core::thread_state.grad_enabled) return false;
    if (level_of(each) < 0) return true;
    each = lifted(each).inner;
  }
}

std::vector<Tensor> enter_with_laplacian(Inputs inputs, int level,
                                         const TangentCallbacks& callbacks) {
  std::vector<Tensor> stripped, tangents;
  std::vector<const Tensor*> pointers;
  unsigned moving = 0;
  for (int i = 0; i < inputs.size(); ++i) {
    tangents.push_back(tangent_at(inputs[i], level));
    const bool moves = tangents.back().defined();
    stripped.push_back(moves ? strip_tangent(inputs[i], level) : inputs[i]);
    if (moves) moving |= 1u << (i < 31 ? i : 31);
  }
  for (const Tensor& tensor : stripped) pointers.push_back(&tensor);
  const Inputs primal{pointers.data(), inputs.size()};
  std::vector<Tensor> outputs = callbacks.run(callbacks.rule, primal);
  const Push push{primal, outputs, tangents};
  const int batch = laplacian_batch(level);
  const Rows rows(batch, size_of_batch(batch));
  const auto finish = [&](const std::vector<Tensor>& results) {
    for (size_t o = 0; o < outputs.size() && o < results.size(); ++o) {
      if (results[o].defined() && is_floating_point(outputs[o].dtype()))
        set_tangent(outputs[o], level, results[o]);
    }
    return outputs;
  };
  const bool curved = callbacks.curved(callbacks.rule, moving);
  if (curved && callbacks.curve) {
    const Tensor result = callbacks.curve(callbacks.rule, push, rows.below(tangents[0]));
    if (result.defined()) return finish({rows.above(result)});
  }
  std::vector<Tensor> results = push_tangents(push, callbacks);
  if (!curved) return finish(results);
  const std::vector<Tensor> sums = second_order(push, results, rows, callbacks);
  for (size_t o = 0; o < results.size() && o < sums.size(); ++o) {
    if (results[o].defined() && sums[o].defined())
      results[o] = rows.add_to_last(results[o], sums[o]);
  }
  return finish(results);
}

}  // namespace tapegrad::autograd
