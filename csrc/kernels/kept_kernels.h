// Which shapes may use kernels that oneDNN never frees. Knows nothing of tensors.
//
// Note [Kernels that are never freed]
// oneDNN keeps the code of its best kernels ("brg": batch-reduced products) in a list that only
// grows, by about 10 KB for each shape of a convolution or product. A program that meets a hundred
// thousand of them, as sequences of every length bring, would take gigabytes. So the first shapes
// may use such kernels, as many as any network has; those that come later do with others, each of
// them always.
#pragma once

#include <cstddef>
#include <unordered_set>

namespace tapegrad::kernels {

class KeptKernels {
 public:
  explicit KeptKernels(size_t most) : most_(most) {}

  /// Whether a shape, given by its hash, is one of the first. The caller sees to threads.
  bool allow(size_t shape) {
    if (shapes_.contains(shape)) return true;
    if (shapes_.size() >= most_) return false;
    shapes_.insert(shape);
    return true;
  }

 private:
  size_t most_;
  std::unordered_set<size_t> shapes_;
};

}  // namespace tapegrad::kernels
