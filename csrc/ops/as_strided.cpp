// as_strided, and how gradients pass between a base and its strided windows: the operations behind
// autograd/as_strided.h.
#include "autograd/as_strided.h"

#include <algorithm>
#include <memory>

#include "autograd/entry.h"
#include "core/half.h"
#include "core/text.h"
#include "kernels/copy.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace {

using autograd::Inputs;
using autograd::Pull;

struct Layout {
  Dims sizes;
  Dims strides;
  int64_t offset = 0;

  explicit Layout(const Tensor& t)
      : sizes(t.sizes()), strides(t.strides()), offset(t.storage_offset()) {}
  Layout(IntSpan size, IntSpan stride, int64_t first)
      : sizes(size), strides(stride), offset(first) {}

  /// One past the last element that is addressed.
  int64_t end() const {
    int64_t last = offset;
    for (int i = 0; i < sizes.size(); ++i) {
      if (sizes[i] == 0) return offset;
      last += (sizes[i] - 1) * strides[i];
    }
    return last + 1;
  }
};

/// A window of a base; rules share it instead of copying it into every node.
struct Window {
  Layout base;
  Layout view;
};
using WindowRef = std::shared_ptr<const Window>;

Tensor at(const Tensor& buffer, const Layout& layout, int64_t origin) {
  return core::make_alias(buffer, layout.sizes, layout.strides, layout.offset - origin);
}

/// A zeroed stretch of memory that holds base and window, whose first element stands for storage
/// position `origin`.
struct Stretch {
  int64_t origin;
  Tensor memory;
  Stretch(const Window& w, DType dtype)
      : origin(std::min(w.base.offset, w.view.offset)),
        memory(zeros({std::max(w.base.end(), w.view.end()) - origin}, dtype)) {}
};

/// target += source, one element after the other: right when elements of `target` share memory.
template <class T, class Load, class Store>
void add_elements(const Tensor& target, const Tensor& source, Load load, Store store) {
  const Tensor dense = contiguous(source);
  const T* from = static_cast<const T*>(dense.data());
  T* to = static_cast<T*>(target.data());
  Dims index(static_cast<int>(target.dim()), 0);
  for (int64_t i = 0; i < target.numel(); ++i) {
    int64_t offset = 0;
    for (int d = 0; d < index.size(); ++d)
      offset += index[d] * target.strides()[static_cast<size_t>(d)];
    to[offset] = store(load(to[offset]) + load(from[i]));
    for (int d = index.size() - 1; d >= 0; --d) {
      if (++index[d] < target.sizes()[static_cast<size_t>(d)]) break;
      index[d] = 0;
    }
  }
}

void add_overlapping(const Tensor& target, const Tensor& source) {
  const auto same = [](auto x) { return x; };
  switch (target.dtype()) {
    case DType::Float32:
      add_elements<float>(target, source, same, same);
      break;
    case DType::Float64:
      add_elements<double>(target, source, same, same);
      break;
    case DType::Float16:
      add_elements<Half>(
          target, source, [](Half x) { return core::to_float(x); },
          [](float v) { return core::to_half(v); });
      break;
    case DType::BFloat16:
      add_elements<BFloat16>(
          target, source, [](BFloat16 x) { return core::to_float(x); },
          [](float v) { return core::to_bfloat16(v); });
      break;
    default:
      throw DTypeError(core::text("as_strided: no gradient for ", dtype_name(target.dtype())));
  }
}

/// Whether no two elements share memory, by the sufficient test that sorted strides step over each
/// other.
bool may_overlap(const Layout& layout) {
  Dims sizes = layout.sizes, strides = layout.strides;
  for (int i = 1; i < sizes.size(); ++i) {
    for (int j = i; j > 0 && strides[j - 1] > strides[j]; --j) {
      std::swap(strides[j - 1], strides[j]);
      std::swap(sizes[j - 1], sizes[j]);
    }
  }
  int64_t reach = 0;
  for (int i = 0; i < sizes.size(); ++i) {
    if (sizes[i] <= 1) continue;
    if (strides[i] <= reach) return true;
    reach += (sizes[i] - 1) * strides[i];
  }
  return false;
}

/// The window in each of `count` stretches of memory, one after the other.
WindowRef batched(const Window& w, int64_t count) {
  const int64_t origin = std::min(w.base.offset, w.view.offset);
  const int64_t extent = std::max(w.base.end(), w.view.end()) - origin;
  const auto repeated = [&](Layout layout) {
    layout.sizes.insert(0, count);
    layout.strides.insert(0, extent);
    return layout;
  };
  return std::make_shared<const Window>(Window{repeated(w.base), repeated(w.view)});
}

// The three linear maps between tensors of the base's shape and of the window's shape. Put and take
// are adjoint to each other, clear is its own adjoint.

struct PutRule;

/// base-shaped -> window-shaped: what the window shows.
struct TakeRule : autograd::Rule {
  static constexpr const char* name = "AsStridedTake";
  static constexpr bool linear = true;
  WindowRef window;
  Tensor batch(const autograd::Batch& b) const {
    return autograd::enter(TakeRule{{}, batched(*window, b.size())}, b.front(0));
  }
  Tensor forward(Inputs in) const {
    const Stretch stretch(*window, in[0].dtype());
    kernels::copy_values(at(stretch.memory, window->base, stretch.origin), in[0]);
    return clone(at(stretch.memory, window->view, stretch.origin));
  }
  void pull(Pull& p) const;
};

/// window-shaped -> base-shaped: zeros with the window added.
struct PutRule : autograd::Rule {
  static constexpr const char* name = "AsStridedPut";
  static constexpr bool linear = true;
  WindowRef window;
  Tensor batch(const autograd::Batch& b) const {
    return autograd::enter(PutRule{{}, batched(*window, b.size())}, b.front(0));
  }
  Tensor forward(Inputs in) const {
    const Stretch stretch(*window, in[0].dtype());
    const Tensor target = at(stretch.memory, window->view, stretch.origin);
    if (may_overlap(window->view))
      add_overlapping(target, in[0]);
    else
      kernels::copy_values(target, in[0]);
    return at(stretch.memory, window->base, stretch.origin);
  }
  void pull(Pull& p) const { p.set(0, autograd::enter(TakeRule{{}, window}, p.grad())); }
};

void TakeRule::pull(Pull& p) const { p.set(0, autograd::enter(PutRule{{}, window}, p.grad())); }

/// base-shaped -> base-shaped: the window set to zero.
struct ClearRule : autograd::Rule {
  static constexpr const char* name = "AsStridedClear";
  static constexpr bool linear = true;
  WindowRef window;
  Tensor batch(const autograd::Batch& b) const {
    return autograd::enter(ClearRule{{}, batched(*window, b.size())}, b.front(0));
  }
  Tensor forward(Inputs in) const {
    const Stretch stretch(*window, in[0].dtype());
    const Tensor result = at(stretch.memory, window->base, stretch.origin);
    kernels::copy_values(result, in[0]);
    kernels::fill_values(at(stretch.memory, window->view, stretch.origin), Scalar(0));
    return result;
  }
  void pull(Pull& p) const { p.set(0, autograd::enter(ClearRule{{}, window}, p.grad())); }
};

struct AsStridedRule : autograd::Rule {
  static constexpr const char* name = "AsStrided";
  static constexpr bool is_view = true;
  WindowRef window;
  Tensor batch(const autograd::Batch& b) const {
    const Tensor x = b.front(0);
    Layout view = window->view;
    view.sizes.insert(0, b.size());
    view.strides.insert(0, x.strides()[0]);
    view.offset += x.storage_offset() - window->base.offset;
    const WindowRef whole = std::make_shared<const Window>(Window{Layout(x), view});
    return autograd::enter(AsStridedRule{{}, whole}, x);
  }
  Tensor forward(Inputs in) const {
    // From where the input begins: a sample of a batch lies elsewhere than the base did.
    const int64_t offset = in[0].storage_offset() + window->view.offset - window->base.offset;
    return core::make_alias(in[0], window->view.sizes, window->view.strides, offset);
  }
  void pull(Pull& p) const { p.set(0, autograd::enter(PutRule{{}, window}, p.grad())); }
  Tensor push(autograd::Push& p) const {
    return autograd::enter(TakeRule{{}, window}, p.tangent(0));
  }
};

/// Inputs: the base as it was, and the values written into its window. Output: the base.
struct CopySlicesRule : autograd::Rule {
  static constexpr const char* name = "CopySlices";
  WindowRef window;
  Tensor batch(const autograd::Batch& b) const {
    return autograd::enter(CopySlicesRule{{}, batched(*window, b.size())}, b.front(0), b.front(1));
  }
  Tensor forward(Inputs in) const {
    const Stretch stretch(*window, in[0].dtype());
    const Tensor result = at(stretch.memory, window->base, stretch.origin);
    kernels::copy_values(result, in[0]);
    kernels::copy_values(at(stretch.memory, window->view, stretch.origin), in[1]);
    return result;
  }
  void pull(Pull& p) const {
    if (p.needs(0)) p.set(0, autograd::enter(ClearRule{{}, window}, p.grad()));
    if (p.needs(1)) p.set(1, autograd::enter(TakeRule{{}, window}, p.grad()));
  }
};

WindowRef make_window(const Tensor& base, const Layout& view) {
  return std::make_shared<const Window>(Window{Layout(base), view});
}

Layout checked_layout(const char* op, const Tensor& input, IntSpan size, IntSpan stride,
                      std::optional<int64_t> offset) {
  checked_numel(op, size);
  if (size.size() != stride.size()) {
    throw ShapeError(core::text(op, ": size ", shape_string(size), " and stride ",
                                shape_string(stride), " must have the same length"));
  }
  const Layout layout(size, stride, offset.value_or(input.storage_offset()));
  for (const int64_t step : stride) {
    if (step < 0)
      throw ShapeError(
          core::text(op, ": negative strides are not supported, got ", shape_string(stride)));
  }
  const auto available = static_cast<int64_t>(input->storage()->bytes() / item_size(input.dtype()));
  if (layout.offset < 0 || layout.end() > available) {
    throw ShapeError(core::text(op, ": size ", shape_string(size), ", stride ",
                                shape_string(stride), " and storage offset ", layout.offset,
                                " reach out of the ", available, " elements of the storage of the ",
                                core::describe(input)));
  }
  return layout;
}

}  // namespace

namespace autograd {

Edge as_strided_edge(const Tensor& base, const Tensor& view) {
  auto node = NodeRef::adopt(
      new RuleNode<AsStridedRule>(AsStridedRule{{}, make_window(base, Layout(view))}));
  const Tensor* inputs[] = {&base};
  connect(*node, Inputs{inputs, 1}, level_of(base));
  node->take_number();
  node->outputs.resize(1);
  node->outputs[0].set(view);
  return {std::move(node), 0};
}

void rebase_on_write(const Tensor& base, const Tensor& view, const Tensor& value) {
  auto node = NodeRef::adopt(
      new RuleNode<CopySlicesRule>(CopySlicesRule{{}, make_window(base, Layout(view))}));
  const Tensor* inputs[] = {&base, &value};
  Tensor output = base;
  finish(node, Inputs{inputs, 2}, {0, 0}, &output, 1, level_of(base));
}

Tensor put_window(const Tensor& whole, const Tensor& part, const Tensor& base, const Tensor& view) {
  return enter(CopySlicesRule{{}, make_window(base, Layout(view))}, whole, part);
}

Tensor take_window(const Tensor& whole, const Tensor& base, const Tensor& view) {
  return enter(TakeRule{{}, make_window(base, Layout(view))}, whole);
}

}  // namespace autograd

Tensor as_strided(const Tensor& input, IntSpan size, IntSpan stride,
                  std::optional<int64_t> storage_offset) {
  const Layout layout = checked_layout("as_strided", input, size, stride, storage_offset);
  return autograd::enter(AsStridedRule{{}, make_window(input, layout)}, input);
}

Tensor as_strided_scatter(const Tensor& input, const Tensor& src, IntSpan size, IntSpan stride,
                          std::optional<int64_t> storage_offset) {
  const Layout layout = checked_layout("as_strided_scatter", input, size, stride, storage_offset);
  if (!(src.sizes() == size)) {
    throw ShapeError(core::text("as_strided_scatter: expected src of shape ", shape_string(size),
                                ", got ", core::describe(src)));
  }
  return autograd::enter(CopySlicesRule{{}, make_window(input, layout)}, input,
                         to(src, input.dtype()));
}

TAPEGRAD_OP(
    ops::kFunction | ops::kMethod,
    "as_strided(Tensor(a) input, int[] size, int[] stride, int? storage_offset=None) -> Tensor(a)",
    R"(A view of the storage of input with the given geometry.

Args:
    input: a tensor
    size: shape of the view
    stride: strides of the view, in elements; not negative
    storage_offset: first element in the storage; None for input's own

Raises:
    ShapeError: a geometry that reaches out of the storage

Example:
    >>> import tapegrad as tg
    >>> tg.as_strided(tg.arange(6), (2, 2), (1, 2))
    tensor([[0, 2],
            [1, 3]]))",
    &as_strided);
TAPEGRAD_OP(
    ops::kFunction | ops::kMethod,
    "as_strided_scatter(Tensor input, Tensor src, int[] size, int[] stride, int? "
    "storage_offset=None) -> Tensor",
    R"(A copy of input in which the elements that as_strided(size, stride, storage_offset) shows are src's.

Args:
    input: a tensor
    src: the values, of shape size
    size: shape of the window
    stride: strides of the window, in elements
    storage_offset: first element in the storage; None for input's own

Raises:
    ShapeError: a geometry that reaches out of the storage, or src of another shape

Example:
    >>> import tapegrad as tg
    >>> tg.as_strided_scatter(tg.zeros(4), tg.ones(2), (2,), (2,))
    tensor([1., 0., 1., 0.]))",
    &as_strided_scatter);

}  // namespace tapegrad
