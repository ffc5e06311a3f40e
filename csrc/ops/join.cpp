// Joining tensors: cat, stack and their relatives. The gradient of a joined tensor is cut into
// views, without copying.
#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "kernels/copy.h"
#include "kernels/index.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace {

using autograd::Inputs;
using autograd::Pull;
using namespace ops;

DType common_type(Inputs in) {
  DType dtype = in[0].dtype();
  for (int i = 1; i < in.size(); ++i) {
    if (in[i].dtype() != dtype) dtype = promote_types(dtype, in[i].dtype());
  }
  return dtype;
}

int64_t product(IntSpan sizes, size_t from, size_t to) {
  int64_t result = 1;
  for (size_t i = from; i < to; ++i) result *= sizes[i];
  return result;
}

/// Writes `x` into the row-major `result`, where it fills, of each of `rows` rows, `x.numel() /
/// rows` elements from element `start` on. `window` makes the place as a tensor, for an x that is
/// not simply a block.
template <class Window>
void place(const Tensor& result, const Tensor& x, int64_t rows, int64_t start, Window window) {
  if (x.numel() == 0) return;
  if (!x.is_contiguous() || x.dtype() != result.dtype()) {
    kernels::copy_values(window(), x);
    return;
  }
  const auto item = static_cast<int64_t>(item_size(x.dtype()));
  const int64_t bytes = x.numel() / rows * item;
  core::Operand to = core::out(result);
  to.byte_offset += start * item;
  core::launch(&kernels::copy_rows, {to, core::in(x)},
               kernels::CopyRows{rows, bytes, result.numel() / rows * item, bytes});
}

/// All inputs into `result` in one pass over its rows; input i begins `start(i)` elements into a
/// row. False, and nothing written, where they do not lie as the result does.
template <class Start>
bool join_in_order(const Tensor& result, Inputs in, int64_t rows, Start start) {
  constexpr int kMost = kernels::JoinRows::kMost;
  if (rows <= 1 || in.size() > kMost) return false;
  const auto item = static_cast<int64_t>(item_size(result.dtype()));
  kernels::JoinRows p;
  p.rows = rows;
  p.row_bytes = result.numel() / rows * item;
  core::Operand from[kMost] = {};
  for (int i = 0; i < in.size(); ++i) {
    if (in[i]->numel() == 0) continue;
    if (in[i].dtype() != result.dtype() || !in[i]->is_contiguous()) return false;
    p.start[p.count] = start(i) * item;
    p.bytes[p.count] = in[i].numel() / rows * item;
    from[p.count++] = core::in(in[i]);
  }
  core::launch(
      &kernels::join_rows,
      {core::out(result), from[0], from[1], from[2], from[3], from[4], from[5], from[6], from[7]},
      p);
  return true;
}

/// Where each input of cat begins; inline for few inputs.
class Starts {
 public:
  void push_back(int64_t start) {
    if (count_ < kInline)
      inline_[count_++] = start;
    else
      more_.push_back(start);
  }
  int64_t operator[](int i) const {
    return i < kInline ? inline_[i] : more_[static_cast<size_t>(i - kInline)];
  }

 private:
  static constexpr int kInline = 4;
  int count_ = 0;
  int64_t inline_[kInline] = {};
  std::vector<int64_t> more_;
};

/// A 1-d tensor without elements joins with anything.
bool skipped(const Tensor& x) { return x.dim() == 1 && x.numel() == 0; }

struct CatRule : autograd::Rule {
  static constexpr const char* name = "Cat";
  static constexpr bool linear = true;
  int dim = 0;
  Starts starts;
  CatRule shifted() const {
    CatRule rule = *this;
    ++rule.dim;
    return rule;
  }
  Tensor forward(Inputs in) const {
    int first = 0;
    while (first + 1 < in.size() && skipped(in[first])) ++first;
    Dims sizes(in[first].sizes());
    const auto d = static_cast<size_t>(dim);
    int64_t total = 0;
    for (int i = 0; i < in.size(); ++i) {
      if (!skipped(in[i])) total += in[i].sizes()[d];
    }
    sizes[dim] = total;
    Tensor result = core::make_tensor(sizes, common_type(in));
    if (result.numel() == 0) return result;
    const int64_t rows = product(sizes, 0, d);
    const int64_t step = product(sizes, d + 1, static_cast<size_t>(sizes.size()));
    if (join_in_order(result, in, rows, [&](int i) { return starts[i] * step; })) return result;
    for (int i = 0; i < in.size(); ++i) {
      if (skipped(in[i])) continue;
      place(result, in[i], rows, starts[i] * step, [&] {
        return core::make_alias(result, in[i].sizes(), result.strides(), starts[i] * step);
      });
    }
    return result;
  }
  void pull(Pull& p) const {
    for (int i = 0; i < p.input_count(); ++i) {
      if (!p.needs(i)) continue;
      const IntSpan sizes = p.input_sizes(i);
      if (sizes.size() == 1 && sizes[0] == 0) continue;
      p.set(i, narrow(p.grad(), dim, starts[i], sizes[static_cast<size_t>(dim)]));
    }
  }
};

struct StackRule : autograd::Rule {
  static constexpr const char* name = "Stack";
  static constexpr bool joins = true;
  static constexpr bool linear = true;
  int dim = 0;
  StackRule shifted() const {
    StackRule rule = *this;
    ++rule.dim;
    return rule;
  }
  Tensor forward(Inputs in) const {
    Dims sizes(in[0].sizes());
    const auto d = static_cast<size_t>(dim);
    const int64_t rows = product(sizes, 0, d);
    const int64_t block = product(sizes, d, static_cast<size_t>(sizes.size()));
    sizes.insert(dim, in.size());
    Tensor result = core::make_tensor(sizes, common_type(in));
    if (result.numel() > 0 && join_in_order(result, in, rows, [&](int i) { return i * block; }))
      return result;
    for (int i = 0; i < in.size(); ++i) {
      place(result, in[i], rows, i * block, [&] {
        Dims strides(result.strides());
        strides.erase(dim);
        return core::make_alias(result, in[i].sizes(), strides, i * block);
      });
    }
    return result;
  }
  void pull(Pull& p) const {
    for (int i = 0; i < p.input_count(); ++i) {
      if (p.needs(i)) p.set(i, select(p.grad(), dim, i));
    }
  }
};

void need_tensors(const char* op, TensorList tensors) {
  if (tensors.empty()) throw ValueError(core::text(op, ": expected a non-empty list of tensors"));
}

[[noreturn]] void refuse_cat(const Tensor& a, const Tensor& b, size_t position, int64_t dim) {
  throw ShapeError(core::text("cat: sizes of tensors must match except in dimension ", dim,
                              ": expected the shape ", shape_string(a.sizes()), ", got ",
                              shape_string(b.sizes()), " for tensor number ", position,
                              " in the list"));
}

Tensor with_dims(const Tensor& x, int64_t ndim) {
  switch (ndim - x.dim()) {
    case 1:
      return ndim == 3 ? unsqueeze(x, 2) : unsqueeze(x, 0);
    case 2:
      return ndim == 3 ? reshape(x, {1, x.numel(), 1}) : reshape(x, {1, 1});
    case 3:
      return reshape(x, {1, 1, 1});
    default:
      return x;
  }
}

std::vector<Tensor> all_with_dims(TensorList tensors, int64_t ndim) {
  std::vector<Tensor> result;
  result.reserve(tensors.size());
  for (const Tensor& x : tensors) result.push_back(with_dims(x, ndim));
  return result;
}

}  // namespace

Tensor cat(TensorList tensors, int64_t dim) {
  need_tensors("cat", tensors);
  const Tensor* like = nullptr;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].dim() == 0) {
      throw ShapeError(core::text("cat: zero-dimensional tensor (at position ", i,
                                  ") cannot be concatenated; use stack() or unsqueeze(0)"));
    }
    if (!like && !skipped(tensors[i])) like = &tensors[i];
  }
  if (!like) like = &tensors[0];
  CatRule rule;
  rule.dim = static_cast<int>(wrap_dim("cat", dim, like->dim()));
  int64_t start = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& x = tensors[i];
    rule.starts.push_back(start);
    if (skipped(x)) continue;
    bool fits = x.dim() == like->dim();
    for (int d = 0; fits && d < static_cast<int>(like->dim()); ++d) {
      const auto at = static_cast<size_t>(d);
      fits = d == rule.dim || x.sizes()[at] == like->sizes()[at];
    }
    if (!fits) refuse_cat(*like, x, i, rule.dim);
    start += x.sizes()[static_cast<size_t>(rule.dim)];
  }
  return autograd::enter(rule, tensors);
}

Tensor stack(TensorList tensors, int64_t dim) {
  need_tensors("stack", tensors);
  StackRule rule;
  rule.dim = static_cast<int>(wrap_dim("stack", dim, tensors[0].dim() + 1));
  for (size_t i = 1; i < tensors.size(); ++i) {
    if (!(tensors[i].sizes() == tensors[0].sizes())) {
      throw ShapeError(core::text("stack: expects each tensor to be equal size, but got ",
                                  shape_string(tensors[0].sizes()), " at entry 0 and ",
                                  shape_string(tensors[i].sizes()), " at entry ", i));
    }
  }
  return autograd::enter(rule, tensors);
}

namespace {

Tensor hstack(TensorList tensors) {
  need_tensors("hstack", tensors);
  const std::vector<Tensor> list = all_with_dims(tensors, 1);
  return cat(list, list[0].dim() == 1 ? 0 : 1);
}
Tensor vstack(TensorList tensors) {
  need_tensors("vstack", tensors);
  return cat(all_with_dims(tensors, 2), 0);
}
Tensor dstack(TensorList tensors) {
  need_tensors("dstack", tensors);
  return cat(all_with_dims(tensors, 3), 2);
}
Tensor column_stack(TensorList tensors) {
  need_tensors("column_stack", tensors);
  std::vector<Tensor> list;
  list.reserve(tensors.size());
  for (const Tensor& x : tensors) list.push_back(x.dim() <= 1 ? reshape(x, {x.numel(), 1}) : x);
  return cat(list, 1);
}

}  // namespace

#define TAPEGRAD_CAT(name)                                                                         \
  TAPEGRAD_OP(kFunction, #name "(Tensor[] tensors, int dim=0, *, Tensor? out=None) -> Tensor",     \
              "Joins tensors along an existing dimension.\n\nArgs:\n"                              \
              "    tensors: tensors of equal shape except in dim; 1-d tensors without elements "   \
              "are skipped. Dtypes promote\n    dim: the dimension\n    out: a tensor to write "   \
              "the result into\n\nRaises:\n    ShapeError: shapes that do not match\n\nExample:\n" \
              "    >>> import tapegrad as tg\n    >>> tg." #name                                   \
              "([tg.tensor([1, 2]), tg.tensor([3])])\n    tensor([1, 2, 3])",                      \
              &cat)
TAPEGRAD_CAT(cat);
TAPEGRAD_CAT(concat);
TAPEGRAD_CAT(concatenate);
TAPEGRAD_OP(kFunction, "stack(Tensor[] tensors, int dim=0, *, Tensor? out=None) -> Tensor",
            R"(Joins tensors of equal shape along a new dimension.

Args:
    tensors: tensors of equal shape; dtypes promote
    dim: place of the new dimension
    out: a tensor to write the result into

Raises:
    ShapeError: shapes that differ

Example:
    >>> import tapegrad as tg
    >>> tg.stack([tg.tensor([1, 2]), tg.tensor([3, 4])], dim=1)
    tensor([[1, 3],
            [2, 4]]))",
            &stack);
TAPEGRAD_OP(kFunction, "hstack(Tensor[] tensors, *, Tensor? out=None) -> Tensor",
            R"(Joins tensors side by side: along dimension 1, 1-d tensors along dimension 0.

Example:
    >>> import tapegrad as tg
    >>> tg.hstack([tg.tensor([1, 2]), tg.tensor([3])])
    tensor([1, 2, 3]))",
            &hstack);
#define TAPEGRAD_VSTACK(name)                                                                \
  TAPEGRAD_OP(                                                                               \
      kFunction, #name "(Tensor[] tensors, *, Tensor? out=None) -> Tensor",                  \
      "Joins tensors below each other: along dimension 0, 1-d tensors as rows.\n\n"          \
      "Example:\n    >>> import tapegrad as tg\n    >>> tg." #name                           \
      "([tg.tensor([1, 2]), tg.tensor([3, 4])])\n    tensor([[1, 2],\n            [3, 4]])", \
      &vstack)
TAPEGRAD_VSTACK(vstack);
TAPEGRAD_VSTACK(row_stack);
TAPEGRAD_OP(kFunction, "dstack(Tensor[] tensors, *, Tensor? out=None) -> Tensor",
            R"(Joins tensors along dimension 2, after making them at least 3-d.

Example:
    >>> import tapegrad as tg
    >>> tg.dstack([tg.tensor([1, 2]), tg.tensor([3, 4])]).shape
    tapegrad.Size([1, 2, 2]))",
            &dstack);
TAPEGRAD_OP(kFunction, "column_stack(Tensor[] tensors, *, Tensor? out=None) -> Tensor",
            R"(Joins tensors along dimension 1, 0-d and 1-d tensors as columns.

Example:
    >>> import tapegrad as tg
    >>> tg.column_stack([tg.tensor([1, 2]), tg.tensor([3, 4])])
    tensor([[1, 3],
            [2, 4]]))",
            &column_stack);

}  // namespace tapegrad
