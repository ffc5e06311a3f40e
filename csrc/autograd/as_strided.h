// The tape's view of "a strided window of a base": how gradients pass between a base and its views,
// whatever operations made them. Knows no other operation.
#pragma once

#include "autograd/node.h"

namespace tapegrad::autograd {

/// The edge of `view`, seen as a strided window of `base` (which needs a gradient).
Edge as_strided_edge(const Tensor& base, const Tensor& view);

/// Records that the window `view` of `base` was overwritten with `value` (of the view's shape):
/// rebases the base's edge. The data are in place already.
void rebase_on_write(const Tensor& base, const Tensor& view, const Tensor& value);

/// `whole` (of the base's shape) with the window that `view` shows of `base` replaced by `part`.
Tensor put_window(const Tensor& whole, const Tensor& part, const Tensor& base, const Tensor& view);
/// What the window that `view` shows of `base` shows of `whole` (of the base's shape), as a copy.
Tensor take_window(const Tensor& whole, const Tensor& base, const Tensor& view);

}  // namespace tapegrad::autograd
