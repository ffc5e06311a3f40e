// Views of a whole tensor: other shapes, orders of dimensions and broadcasts of the same elements.
// Views of a part are in ops/windows.cpp.
//
// Rules compute their geometry from the input each time they run, because a tangent may lie in
// memory in another order than its primal. Spans in rules are borrowed from the caller: forward()
// reads them, pull() must not.
#include "autograd/entry.h"
#include "autograd/view_copies.h"
#include "core/text.h"
#include "kernels/copy.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace {

using autograd::Inputs;
using autograd::Pull;
using autograd::Push;
using namespace ops;

constexpr int kAll = kFunction | kMethod;

Tensor alias(const Tensor& x, IntSpan sizes, IntSpan strides) {
  return core::make_alias(x, sizes, strides, x.storage_offset());
}

// --- view, reshape -------------------------------------------------------------------------------

/// `shape` with its -1 filled in; checks that the number of elements is kept.
Dims infer_shape(const char* op, const Tensor& input, IntSpan shape) {
  Dims result(shape);
  int unknown = -1;
  int64_t known = 1;
  for (int i = 0; i < result.size(); ++i) {
    if (result[i] == -1) {
      if (unknown >= 0) {
        throw ShapeError(core::text(op, ": only one dimension can be inferred, got shape ",
                                    shape_string(shape)));
      }
      unknown = i;
    } else if (result[i] < 0) {
      throw ShapeError(core::text(op, ": invalid dimension ", result[i], " in shape ",
                                  shape_string(shape), "; only -1 is inferred"));
    } else if (__builtin_mul_overflow(known, result[i], &known)) {
      known = -1;  // no tensor has that many elements
      break;
    }
  }
  const int64_t numel = input.numel();
  if (unknown >= 0 && known > 0 && numel % known == 0) {
    result[unknown] = numel / known;
    return result;
  }
  if (unknown >= 0 && known == 0 && numel == 0) {
    throw ShapeError(core::text(op, ": cannot reshape a tensor of 0 elements into shape ",
                                shape_string(shape),
                                " because the dimension -1 can be any value; give its size"));
  }
  if (unknown >= 0 || known != numel) {
    throw ShapeError(core::text(op, ": shape ", shape_string(shape),
                                " is invalid for an input of size ", numel, " (",
                                core::describe(input), ")"));
  }
  return result;
}

/// Strides that show `input` in the shape `sizes` (of as many elements) without moving it; false
/// when there are none. Neighbouring dimensions that lie in memory as one block are cut anew;
/// blocks cannot be joined.
bool view_strides(const Tensor& input, IntSpan sizes, Dims& strides) {
  if (input.is_contiguous() || input.numel() == 0) {
    strides = contiguous_strides(sizes);
    return true;
  }
  const IntSpan old_sizes = input.sizes(), old_strides = input.strides();
  strides = Dims(static_cast<int>(sizes.size()), 1);
  int to = strides.size() - 1;
  int64_t block_stride = old_strides.back();
  int64_t block = 1, cut = 1;
  for (size_t from = old_sizes.size(); from-- > 0;) {
    block *= old_sizes[from];
    if (from > 0 && (old_sizes[from - 1] == 1 || old_strides[from - 1] == block * block_stride)) {
      continue;
    }
    while (to >= 0 && (cut < block || sizes[static_cast<size_t>(to)] == 1)) {
      strides[to] = cut * block_stride;
      cut *= sizes[static_cast<size_t>(to--)];
    }
    if (cut != block) return false;
    if (from > 0) block_stride = old_strides[from - 1];
    block = cut = 1;
  }
  return to < 0;
}

struct ViewRule : autograd::Rule {
  static constexpr const char* name = "View";
  static constexpr bool is_view = true;
  IntSpan sizes;
  Tensor batch(const autograd::Batch& b) const {
    Dims all(sizes);
    all.insert(0, b.size());
    return autograd::enter(ViewRule{{}, all}, b.front(0));
  }
  Tensor forward(Inputs in) const {
    Dims strides;
    view_strides(in[0], sizes, strides);  // the caller knows that it can
    return alias(in[0], sizes, strides);
  }
  void pull(Pull& p) const { p.set(0, reshape(p.grad(), p.input_sizes(0))); }
  Tensor push(Push& p) const { return reshape(p.tangent(0), p.output().sizes()); }
};

/// A row-major copy in another shape.
struct ReshapeRule : autograd::Rule {
  static constexpr const char* name = "Reshape";
  IntSpan sizes;
  Tensor batch(const autograd::Batch& b) const {
    Dims all(sizes);
    all.insert(0, b.size());
    return autograd::enter(ReshapeRule{{}, all}, b.front(0));
  }
  Tensor forward(Inputs in) const {
    const Tensor copy = core::make_tensor(in[0].sizes(), in[0].dtype());
    kernels::copy_values(copy, in[0]);
    return alias(copy, sizes, contiguous_strides(sizes));
  }
  void pull(Pull& p) const { p.set(0, reshape(p.grad(), p.input_sizes(0))); }
  Tensor push(Push& p) const { return reshape(p.tangent(0), p.output().sizes()); }
};

/// Whether the channels of each place lie together in the memory of (N, C, ...).
bool is_channels_last(const Tensor& x) {
  if (x.dim() < 3) return false;
  int64_t stride = x.sizes()[1];
  if (x.strides()[1] != 1) return false;
  for (size_t d = x.sizes().size() - 1; d >= 2; stride *= x.sizes()[d--]) {
    if (x.sizes()[d] != 1 && x.strides()[d] != stride) return false;
  }
  return x.sizes()[0] == 1 || x.strides()[0] == stride;
}

/// What convolutions return lies channels-last, where PyTorch's results are contiguous and can be
/// viewed in any shape; so a view of it is a copy where it has to be. Not so for what the user has
/// permuted.
bool is_image(const Tensor& x) {
  if (!x->base) return is_channels_last(x);
  const Tensor base = Tensor::share(x->base);  // of one image, without its batch dimension
  return base.dim() == x.dim() + 1 && base.sizes()[0] == 1 &&
         base.sizes().subspan(1) == x.sizes() && base.strides().subspan(1) == x.strides() &&
         is_channels_last(base);
}

Tensor enter_view(const Tensor& input, IntSpan sizes) {
  return autograd::enter(ViewRule{{}, sizes}, input);
}

Tensor reshape_to(const char* op, const Tensor& input, IntSpan shape) {
  const Dims sizes = infer_shape(op, input, shape);
  Dims strides;
  if (view_strides(input, sizes, strides)) return enter_view(input, sizes);
  return autograd::enter(ReshapeRule{{}, sizes}, input);
}

}  // namespace

Tensor view(const Tensor& input, IntSpan size) {
  const Dims sizes = infer_shape("view", input, size);
  Dims strides;
  if (!view_strides(input, sizes, strides)) {
    if (is_image(input)) {
      const Tensor copy = autograd::enter(ReshapeRule{{}, sizes}, input);
      if (!copy->has(TensorImpl::kBatched)) autograd::note_view_copy(input, copy);
      return copy;
    }
    throw ShapeError(core::text(
        "view: the ", core::describe(input), " with strides ", shape_string(input.strides()),
        " cannot be seen in the shape ", shape_string(sizes),
        " without moving elements (at least one dimension spans two blocks of memory); use "
        ".reshape(...), or .contiguous() first"));
  }
  return enter_view(input, sizes);
}

Tensor reshape(const Tensor& input, IntSpan shape) { return reshape_to("reshape", input, shape); }

Tensor flatten(const Tensor& input, int64_t start_dim, int64_t end_dim) {
  const int64_t start = wrap_dim("flatten", start_dim, input.dim());
  const int64_t end = wrap_dim("flatten", end_dim, input.dim());
  if (start > end) {
    throw ShapeError(core::text("flatten: start_dim ", start_dim, " comes after end_dim ", end_dim,
                                " in a ", core::describe(input)));
  }
  if (input.dim() == 0) return reshape(input, {1});
  if (start == end) return input;
  Dims sizes;
  for (int64_t i = 0; i < input.dim(); ++i) {
    const int64_t size = input.sizes()[static_cast<size_t>(i)];
    if (i > start && i <= end)
      sizes.back() *= size;
    else
      sizes.push_back(size);
  }
  return reshape_to("flatten", input, sizes);
}

namespace {

Tensor unflatten(const Tensor& input, int64_t dim, IntSpan sizes) {
  const auto at = static_cast<int>(wrap_dim("unflatten", dim, input.dim()));
  if (sizes.empty()) throw ShapeError("unflatten: sizes must be non-empty");
  if (input.dim() == 0) throw ShapeError("unflatten: a 0-d tensor has no dimension to unflatten");
  const int64_t whole = input.sizes()[static_cast<size_t>(at)];
  int64_t known = 1;
  int unknown = 0;
  for (const int64_t size : sizes) {
    if (size == -1)
      ++unknown;
    else
      known *= size;
  }
  const bool fits = unknown == 0   ? known == whole
                    : unknown == 1 ? known != 0 && whole % known == 0
                                   : false;
  if (!fits) {
    throw ShapeError(core::text("unflatten: sizes ", shape_string(sizes),
                                " don't multiply up to the size ", whole, " of dimension ", at,
                                " in the ", core::describe(input)));
  }
  Dims result(input.sizes());
  result.erase(at);
  for (size_t i = sizes.size(); i-- > 0;)
    result.insert(at, sizes[i] == -1 ? whole / known : sizes[i]);
  Dims strides;
  if (view_strides(input, result, strides)) return enter_view(input, result);
  return reshape_to("unflatten", input, result);
}

// --- transpose, permute --------------------------------------------------------------------------

struct TransposeRule : autograd::Rule {
  static constexpr const char* name = "Transpose";
  static constexpr bool is_view = true;
  static constexpr bool linear = true;
  int a = 0;
  int b = 0;
  TransposeRule shifted() const {
    TransposeRule rule = *this;
    ++rule.a;
    ++rule.b;
    return rule;
  }
  Tensor forward(Inputs in) const {
    Dims sizes(in[0].sizes()), strides(in[0].strides());
    std::swap(sizes[a], sizes[b]);
    std::swap(strides[a], strides[b]);
    return alias(in[0], sizes, strides);
  }
  void pull(Pull& p) const { p.set(0, autograd::enter(TransposeRule{{}, a, b}, p.grad())); }
};

struct Order {
  int8_t count = 0;
  int8_t dims[kMaxDims];
  Order inverse() const {
    Order result;
    result.count = count;
    for (int8_t i = 0; i < count; ++i) result.dims[dims[i]] = i;
    return result;
  }
};

struct PermuteRule : autograd::Rule {
  static constexpr const char* name = "Permute";
  static constexpr bool is_view = true;
  static constexpr bool linear = true;
  Order order;
  PermuteRule shifted() const {
    PermuteRule rule;
    rule.order.dims[rule.order.count++] = 0;
    for (int i = 0; i < order.count; ++i)
      rule.order.dims[rule.order.count++] = static_cast<int8_t>(order.dims[i] + 1);
    return rule;
  }
  Tensor forward(Inputs in) const {
    Dims sizes, strides;
    for (int i = 0; i < order.count; ++i) {
      sizes.push_back(in[0].sizes()[static_cast<size_t>(order.dims[i])]);
      strides.push_back(in[0].strides()[static_cast<size_t>(order.dims[i])]);
    }
    return alias(in[0], sizes, strides);
  }
  void pull(Pull& p) const {
    p.set(0, autograd::enter(PermuteRule{{}, order.inverse()}, p.grad()));
  }
};

}  // namespace

Tensor transpose(const Tensor& input, int64_t dim0, int64_t dim1) {
  const auto a = static_cast<int>(wrap_dim("transpose", dim0, input.dim()));
  const auto b = static_cast<int>(wrap_dim("transpose", dim1, input.dim()));
  if (input.dim() == 0) return enter_view(input, {});
  return autograd::enter(TransposeRule{{}, a, b}, input);
}

Tensor t(const Tensor& input) {
  if (input.dim() > 2) {
    throw ShapeError(core::text("t: expects a tensor with at most 2 dimensions, got a ",
                                core::describe(input), "; use transpose() or permute()"));
  }
  if (input.dim() < 2) return enter_view(input, input.sizes());
  return autograd::enter(TransposeRule{{}, 0, 1}, input);
}

Tensor permute(const Tensor& input, IntSpan dims) {
  const int64_t ndim = input.dim();
  if (static_cast<int64_t>(dims.size()) != ndim) {
    throw ShapeError(core::text("permute: dims ", shape_string(dims), " must name each of the ",
                                ndim, " dimensions of the ", core::describe(input)));
  }
  Order order;
  uint64_t seen = 0;
  for (const int64_t dim : dims) {
    const int64_t d = wrap_dim("permute", dim, ndim);
    if ((seen >> d) & 1) {
      throw ShapeError(core::text("permute: duplicate dimension ", dim, " in dims ",
                                  shape_string(dims), "; each must be named once"));
    }
    seen |= uint64_t{1} << d;
    order.dims[order.count++] = static_cast<int8_t>(d);
  }
  return autograd::enter(PermuteRule{{}, order}, input);
}

namespace {

Tensor movedim(const Tensor& input, IntSpan source, IntSpan destination) {
  const auto ndim = static_cast<int>(input.dim());
  if (source.size() != destination.size()) {
    throw ShapeError(core::text("movedim: source ", shape_string(source), " and destination ",
                                shape_string(destination), " must have as many entries"));
  }
  Dims order(ndim, -1);
  uint64_t used = 0;
  for (size_t i = 0; i < source.size(); ++i) {
    const int64_t from = wrap_dim("movedim", source[i], ndim);
    const int64_t to = wrap_dim("movedim", destination[i], ndim);
    if (ndim == 0) return enter_view(input, {});
    if (((used >> from) & 1) || order[static_cast<int>(to)] >= 0) {
      throw ShapeError(core::text("movedim: repeated dimension in source ", shape_string(source),
                                  " or destination ", shape_string(destination)));
    }
    used |= uint64_t{1} << from;
    order[static_cast<int>(to)] = from;
  }
  int64_t next = 0;
  for (int64_t& d : order) {
    if (d >= 0) continue;
    while ((used >> next) & 1) ++next;
    d = next++;
  }
  return permute(input, order);
}

// --- squeeze, unsqueeze, expand ------------------------------------------------------------------

struct SqueezeRule : autograd::Rule {
  static constexpr const char* name = "Squeeze";
  static constexpr bool is_view = true;
  static constexpr bool linear = true;
  uint32_t dims = 0;  // bit d: leave out dimension d
  SqueezeRule shifted() const {
    SqueezeRule rule = *this;
    rule.dims <<= 1;
    return rule;
  }
  Tensor forward(Inputs in) const {
    Dims sizes, strides;
    for (size_t i = 0; i < in[0].sizes().size(); ++i) {
      if ((dims >> i) & 1) continue;
      sizes.push_back(in[0].sizes()[i]);
      strides.push_back(in[0].strides()[i]);
    }
    return alias(in[0], sizes, strides);
  }
  void pull(Pull& p) const { p.set(0, reshape(p.grad(), p.input_sizes(0))); }
};

struct UnsqueezeRule : autograd::Rule {
  static constexpr const char* name = "Unsqueeze";
  static constexpr bool is_view = true;
  static constexpr bool linear = true;
  int dim = 0;
  UnsqueezeRule shifted() const {
    UnsqueezeRule rule = *this;
    ++rule.dim;
    return rule;
  }
  Tensor forward(Inputs in) const {
    Dims sizes(in[0].sizes()), strides(in[0].strides());
    const int64_t stride = dim < sizes.size() ? sizes[dim] * strides[dim] : 1;
    sizes.insert(dim, 1);
    strides.insert(dim, stride);
    return alias(in[0], sizes, strides);
  }
  void pull(Pull& p) const {
    p.set(0, autograd::enter(SqueezeRule{{}, uint32_t{1} << dim}, p.grad()));
  }
};

struct ExpandRule : autograd::Rule {
  static constexpr const char* name = "Expand";
  static constexpr bool is_view = true;
  static constexpr bool linear = true;
  IntSpan sizes;
  Tensor batch(const autograd::Batch& b) const {
    Dims all(sizes);
    all.insert(0, b.size());
    const auto ndim = static_cast<int64_t>(sizes.size());
    return autograd::enter(ExpandRule{{}, all}, b.aligned(0, ndim));
  }
  Tensor forward(Inputs in) const {
    const IntSpan old_sizes = in[0].sizes(), old_strides = in[0].strides();
    const size_t missing = sizes.size() - old_sizes.size();
    Dims strides(static_cast<int>(sizes.size()), 0);
    for (size_t i = missing; i < sizes.size(); ++i) {
      const size_t from = i - missing;
      if (old_sizes[from] == sizes[i]) strides[static_cast<int>(i)] = old_strides[from];
    }
    return alias(in[0], sizes, strides);
  }
  void pull(Pull& p) const { p.set(0, p.grad()); }  // the engine sums it down
};

struct DetachRule : autograd::Rule {
  static constexpr const char* name = "Detach";
  static constexpr bool differentiable = false;
  static constexpr bool broadcasts = true;
  Tensor forward(Inputs in) const { return alias(in[0], in[0].sizes(), in[0].strides()); }
  void pull(Pull&) const {}
};

Tensor expand_to(const char* op, const Tensor& input, IntSpan size) {
  const IntSpan old_sizes = input.sizes();
  Dims sizes(size);
  const int missing = sizes.size() - static_cast<int>(old_sizes.size());
  if (missing < 0) {
    throw ShapeError(core::text(op, ": the number of sizes provided (", size.size(),
                                ") must be greater or equal to the number of dimensions of the ",
                                core::describe(input)));
  }
  for (int i = 0; i < sizes.size(); ++i) {
    const int64_t old = i < missing ? 1 : old_sizes[static_cast<size_t>(i - missing)];
    if (sizes[i] == -1 && i >= missing) sizes[i] = old;
    if (sizes[i] < 0) {
      throw ShapeError(core::text(op, ": the expanded size ", sizes[i], " of dimension ", i,
                                  " is not allowed in shape ", shape_string(size), " for a ",
                                  core::describe(input)));
    }
    if (old != 1 && old != sizes[i]) {
      throw ShapeError(
          core::text(op, ": the expanded size (", sizes[i], ") must match the existing size (", old,
                     ") at non-singleton dimension ", i, ". Target sizes: ", shape_string(size),
                     ". Tensor sizes: ", shape_string(old_sizes)));
    }
  }
  checked_numel(op, sizes);
  return autograd::enter(ExpandRule{{}, sizes}, input);
}

}  // namespace

Tensor squeeze(const Tensor& input, OptionalInts dim) {
  uint32_t asked = dim.has_value() ? 0 : ~uint32_t{0};
  if (dim.has_value()) {
    for (const int64_t d : dim.value()) {
      const int64_t wrapped = wrap_dim("squeeze", d, input.dim());
      if ((asked >> wrapped) & 1) {
        throw ShapeError(core::text("squeeze: dimension ", d, " appears twice in dim ",
                                    shape_string(dim.value())));
      }
      asked |= uint32_t{1} << wrapped;
    }
  }
  uint32_t dims = 0;
  for (size_t i = 0; i < input.sizes().size(); ++i) {
    if (((asked >> i) & 1) && input.sizes()[i] == 1) dims |= uint32_t{1} << i;
  }
  return autograd::enter(SqueezeRule{{}, dims}, input);
}

Tensor unsqueeze(const Tensor& input, int64_t dim) {
  const auto at = static_cast<int>(wrap_dim("unsqueeze", dim, input.dim() + 1));
  return autograd::enter(UnsqueezeRule{{}, at}, input);
}

Tensor expand(const Tensor& input, IntSpan size) { return expand_to("expand", input, size); }

Tensor detach(const Tensor& input) { return autograd::enter(DetachRule{}, input); }

Tensor sum_to_size(const Tensor& input, IntSpan size) {
  const IntSpan from = input.sizes();
  if (from == size) return input;
  bool fits = size.size() <= from.size();
  const size_t missing = fits ? from.size() - size.size() : 0;
  Dims dims;
  for (size_t i = 0; fits && i < from.size(); ++i) {
    const int64_t wanted = i < missing ? 1 : size[i - missing];
    fits = wanted == from[i] || wanted == 1;
    if (i < missing || wanted != from[i]) dims.push_back(static_cast<int64_t>(i));
  }
  if (!fits) {
    throw ShapeError(core::text("sum_to_size: size ", shape_string(size),
                                " is not expandable to the shape of the ", core::describe(input)));
  }
  Tensor total = sum(input, dims, true);
  if (missing == 0) return total;
  return enter_view(total, size);
}

TAPEGRAD_OP(kMethod, "view(Tensor(a) input, int[] size) -> Tensor(a)",
            R"(The same elements in another shape, sharing memory.

Args:
    size: the shape; one entry may be -1 and is then inferred

Raises:
    ShapeError: a shape of another number of elements, or one that would need elements to move

Example:
    >>> import tapegrad as tg
    >>> tg.arange(4).view(2, -1)
    tensor([[0, 1],
            [2, 3]]))",
            &view);
TAPEGRAD_OP(
    kMethod, "view_as(Tensor(a) input, Tensor other) -> Tensor(a)",
    R"(The same elements in the shape of other, sharing memory.

Example:
    >>> import tapegrad as tg
    >>> tg.arange(4).view_as(tg.ones(2, 2))
    tensor([[0, 1],
            [2, 3]]))",
    +[](const Tensor& x, const Tensor& other) { return view(x, other.sizes()); });
TAPEGRAD_OP(kAll, "reshape(Tensor(a) input, int[] shape) -> Tensor(a)",
            R"(The same elements in another shape: a view where memory allows, else a copy.

Args:
    input: a tensor
    shape: the shape; one entry may be -1 and is then inferred

Raises:
    ShapeError: a shape of another number of elements

Example:
    >>> import tapegrad as tg
    >>> tg.reshape(tg.arange(6), (3, -1))
    tensor([[0, 1],
            [2, 3],
            [4, 5]]))",
            &reshape);
TAPEGRAD_OP(
    kMethod, "reshape_as(Tensor(a) input, Tensor other) -> Tensor(a)",
    R"(The same elements in the shape of other.

Example:
    >>> import tapegrad as tg
    >>> tg.arange(2).reshape_as(tg.ones(2, 1)).shape
    tapegrad.Size([2, 1]))",
    +[](const Tensor& x, const Tensor& other) { return reshape(x, other.sizes()); });
TAPEGRAD_OP(kAll, "flatten(Tensor(a) input, int start_dim=0, int end_dim=-1) -> Tensor(a)",
            R"(The dimensions from start_dim to end_dim joined into one.

Raises:
    IndexError: a dimension out of range
    ShapeError: start_dim after end_dim

Example:
    >>> import tapegrad as tg
    >>> tg.ones(2, 3, 4).flatten(1).shape
    tapegrad.Size([2, 12]))",
            &flatten);
TAPEGRAD_OP(
    kAll, "ravel(Tensor(a) input) -> Tensor(a)",
    R"(All elements in one dimension: a view where memory allows, else a copy.

Example:
    >>> import tapegrad as tg
    >>> tg.ones(2, 3).ravel().shape
    tapegrad.Size([6]))",
    +[](const Tensor& x) { return reshape_to("ravel", x, {-1}); });
TAPEGRAD_OP(kAll, "unflatten(Tensor(a) input, int dim, int[] sizes) -> Tensor(a)",
            R"(Dimension dim cut into several.

Args:
    input: a tensor
    dim: the dimension
    sizes: sizes of the new dimensions; one may be -1 and is then inferred

Raises:
    ShapeError: sizes that do not multiply up to the size of dim

Example:
    >>> import tapegrad as tg
    >>> tg.ones(2, 12).unflatten(1, (3, -1)).shape
    tapegrad.Size([2, 3, 4]))",
            &unflatten);

#define TAPEGRAD_TRANSPOSE_ALIAS(name, a, b)                                                 \
  TAPEGRAD_OP(kAll, #name "(Tensor(a) input, int " #a ", int " #b ") -> Tensor(a)",          \
              "input with the dimensions " #a " and " #b                                     \
              " exchanged; a view.\n\nRaises:\n    IndexError: a dimension out of range\n\n" \
              "Example:\n    >>> import tapegrad as tg\n    >>> tg." #name                   \
              "(tg.ones(2, 3, 4), 0, -1).shape\n    tapegrad.Size([4, 3, 2])",               \
              &transpose)
TAPEGRAD_TRANSPOSE_ALIAS(transpose, dim0, dim1);
TAPEGRAD_TRANSPOSE_ALIAS(swapdims, dim0, dim1);
TAPEGRAD_TRANSPOSE_ALIAS(swapaxes, axis0, axis1);
TAPEGRAD_OP(
    kAll, "t(Tensor(a) input) -> Tensor(a)",
    R"(The transpose of a matrix; tensors of fewer dimensions are returned as they are. A view.

Raises:
    ShapeError: more than two dimensions

Example:
    >>> import tapegrad as tg
    >>> tg.ones(2, 3).t().shape
    tapegrad.Size([3, 2]))",
    &t);
TAPEGRAD_OP(
    kAll, "permute(Tensor(a) input, int[] dims) -> Tensor(a)",
    R"(The dimensions in another order: dimension i of the result is dims[i] of input. A view.

Raises:
    ShapeError: dims does not name each dimension once

Example:
    >>> import tapegrad as tg
    >>> tg.ones(2, 3, 4).permute(2, 0, 1).shape
    tapegrad.Size([4, 2, 3]))",
    &permute);
#define TAPEGRAD_MOVEDIM(name)                                                                   \
  TAPEGRAD_OP(                                                                                   \
      kAll, #name "(Tensor(a) input, int[1] source, int[1] destination) -> Tensor(a)",           \
      "The dimensions source moved to the places destination; the others keep their order. A "   \
      "view.\n\nRaises:\n    ShapeError: repeated dimensions, or lists of different lengths\n\n" \
      "Example:\n    >>> import tapegrad as tg\n    >>> tg." #name                               \
      "(tg.ones(2, 3, 4), 0, -1).shape\n    tapegrad.Size([3, 4, 2])",                           \
      &movedim)
TAPEGRAD_MOVEDIM(movedim);
TAPEGRAD_MOVEDIM(moveaxis);

TAPEGRAD_OP(kAll, "squeeze(Tensor(a) input, int[1]? dim=None) -> Tensor(a)",
            R"(input without its dimensions of size 1; a view.

Args:
    input: a tensor
    dim: look at these dimensions only; None for all

Example:
    >>> import tapegrad as tg
    >>> tg.ones(1, 3, 1).squeeze().shape
    tapegrad.Size([3])
    >>> tg.ones(1, 3, 1).squeeze(0).shape
    tapegrad.Size([3, 1]))",
            &squeeze);
TAPEGRAD_OP(kAll, "unsqueeze(Tensor(a) input, int dim) -> Tensor(a)",
            R"(input with a new dimension of size 1 at place dim; a view.

Raises:
    IndexError: dim outside of [-ndim - 1, ndim]

Example:
    >>> import tapegrad as tg
    >>> tg.ones(3).unsqueeze(-1).shape
    tapegrad.Size([3, 1]))",
            &unsqueeze);
TAPEGRAD_OP(kMethod, "expand(Tensor(a) input, int[] size) -> Tensor(a)",
            R"(input broadcast to a larger shape, without copying.

Args:
    size: the shape; -1 keeps the size of a dimension

Raises:
    ShapeError: input does not broadcast to size

Example:
    >>> import tapegrad as tg
    >>> tg.tensor([[1], [2]]).expand(-1, 2)
    tensor([[1, 1],
            [2, 2]]))",
            &expand);
TAPEGRAD_OP(
    kMethod, "expand_as(Tensor(a) input, Tensor other) -> Tensor(a)",
    R"(input broadcast to the shape of other, without copying.

Example:
    >>> import tapegrad as tg
    >>> tg.tensor([1, 2]).expand_as(tg.ones(2, 2))
    tensor([[1, 2],
            [1, 2]]))",
    +[](const Tensor& x, const Tensor& other) { return expand_to("expand_as", x, other.sizes()); });
TAPEGRAD_OP(
    kAll, "broadcast_to(Tensor(a) input, int[] size) -> Tensor(a)",
    R"(input broadcast to the shape size, without copying.

Raises:
    ShapeError: input does not broadcast to size

Example:
    >>> import tapegrad as tg
    >>> tg.broadcast_to(tg.tensor([1, 2]), (2, 2))
    tensor([[1, 2],
            [1, 2]]))",
    +[](const Tensor& x, IntSpan size) { return expand_to("broadcast_to", x, size); });
TAPEGRAD_OP(
    kAll, "detach(Tensor(a) input) -> Tensor(a)",
    R"(The same memory, cut off from the tape: no gradients or tangents pass. In-place changes of either are
seen by both, and by the checks of saved tensors.

Example:
    >>> import tapegrad as tg
    >>> x = tg.ones(2, requires_grad=True)
    >>> x.detach().requires_grad
    False)",
    &detach);
TAPEGRAD_OP(kMethod, "sum_to_size(Tensor input, int[] size) -> Tensor",
            R"(input summed over the dimensions in which size, broadcast to it, has been expanded.

Raises:
    ShapeError: size does not broadcast to the shape of input

Example:
    >>> import tapegrad as tg
    >>> tg.ones(2, 3).sum_to_size(1, 3)
    tensor([[2., 2., 2.]]))",
            &sum_to_size);

}  // namespace tapegrad
