// Writing to places named by a mask or by positions in the flattened tensor, made of index_put and
// scatter_add: masked_scatter, put, scatter with a reduction, unravel_index.
#include "core/text.h"
#include "ops/indexing.h"
#include "ops/registry.h"
#include "tapegrad/error.h"

namespace tapegrad {

using namespace ops;

namespace {

constexpr int kAll = kFunction | kMethod;

void require_one_dtype(const char* op, const Tensor& input, const Tensor& source) {
  if (input.dtype() == source.dtype()) return;
  throw DTypeError(core::text(op, ": input and source must have one dtype, got a ",
                              core::describe(input), " and a ", core::describe(source)));
}

Tensor masked_scatter(const Tensor& input, const Tensor& mask, const Tensor& source) {
  if (mask.dtype() != DType::Bool) {
    throw DTypeError(core::text("masked_scatter: mask must be a bool tensor, got a ",
                                core::describe(mask), "; compare or convert it with .bool()"));
  }
  require_one_dtype("masked_scatter", input, source);
  const Dims sizes = broadcast_shapes("masked_scatter", input.sizes(), mask.sizes());
  const Tensor places = nonzero_positions(expand(mask, sizes));
  if (source.numel() < places.numel()) {
    throw ShapeError(core::text("masked_scatter: source has ", source.numel(),
                                " elements, the mask names ", places.numel(), " places"));
  }
  const Tensor line = reshape(expand(input, sizes), {-1});
  const Tensor values = narrow(reshape(source, {-1}), 0, 0, places.numel());
  return reshape(index_put(line, {&places, 1}, values), sizes);
}

Tensor put(const Tensor& input, const Tensor& index, const Tensor& source, bool accumulate) {
  require_one_dtype("put", input, source);
  if (source.numel() != index.numel()) {
    throw ShapeError(core::text("put: source must have as many elements as index, got ",
                                source.numel(), " and ", index.numel()));
  }
  const Tensor places = reshape(index_values("put", index), {-1});
  check_range("put", places, 0, input.numel(), true);
  if (places.numel() == 0) return clone(input);
  const Tensor line = reshape(input, {-1});
  return reshape(index_put(line, {&places, 1}, reshape(source, {-1}), accumulate), input.sizes());
}

Tensor scatter_reducing(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& src,
                        std::string_view reduce) {
  if (reduce == "add") return scatter_add(input, dim, index, src);
  if (reduce == "multiply") return scatter_reduce(input, dim, index, src, "prod");
  throw ValueError(core::text("scatter: reduce must be 'add' or 'multiply', got '", reduce, "'"));
}

Tensor scatter_number_reducing(const Tensor& input, int64_t dim, const Tensor& index, Scalar value,
                               std::string_view reduce) {
  const Tensor number = expand(number_like("scatter", input, value), index.sizes());
  return scatter_reducing(input, dim, index, number, reduce);
}

/// The result written into self.
Tensor write_back(const Tensor& self, const Tensor& result) {
  Tensor written = self;
  return autograd::assign_inplace("scatter_", written, result);
}

/// What the rule saves of `self` must survive the write.
Tensor kept(const Tensor& self) {
  autograd::check_writable("scatter_", self);
  return clone(self);
}

std::vector<Tensor> unravel_index(const Tensor& indices, IntSpan shape) {
  if (is_floating_point(indices.dtype()) || indices.dtype() == DType::Bool) {
    throw DTypeError(
        core::text("unravel_index: expected an integer tensor, got a ", core::describe(indices)));
  }
  const int64_t count = checked_numel("unravel_index", shape);
  Tensor rest = to(indices, DType::Int64);
  check_range("unravel_index", contiguous(rest), 0, count, false);
  std::vector<Tensor> result(shape.size());
  for (size_t d = shape.size(); d-- > 0;) {
    result[d] = remainder(rest, Scalar(shape[d]));
    rest = div(rest, Scalar(shape[d]), "floor");
  }
  return result;
}

}  // namespace

TAPEGRAD_OP(
    kAll | kInplace, "masked_scatter(Tensor input, Tensor mask, Tensor source) -> Tensor",
    R"(A copy of input in which the elements where mask is true are those of source, in their order.

Args:
    input: a tensor
    mask: a bool tensor; the shapes broadcast
    source: a tensor of input's dtype, with as many elements as mask has true ones, or more

Raises:
    DTypeError: a mask that is not bool, or a source of another dtype
    ShapeError: too few elements

Example:
    >>> import tapegrad as tg
    >>> tg.masked_scatter(tg.zeros(3), tg.tensor([True, False, True]), tg.tensor([1., 2.]))
    tensor([1., 0., 2.]))",
    &masked_scatter);
TAPEGRAD_OP(
    kAll | kInplace,
    "put(Tensor input, Tensor index, Tensor source, bool accumulate=False) -> Tensor",
    R"(A copy of input in which the elements at positions of the flattened tensor are those of source.

Args:
    input: a tensor
    index: an int32 or int64 tensor; negative values count from the end
    source: a tensor of input's dtype and as many elements as index
    accumulate: add to the elements; repeated ones count each time

Raises:
    IndexError: a value of index out of range
    ShapeError: source of another number of elements

Example:
    >>> import tapegrad as tg
    >>> tg.put(tg.zeros(2, 2), tg.tensor([1, -1]), tg.tensor([5., 6.]))
    tensor([[0., 5.],
            [0., 6.]]))",
    &put);
TAPEGRAD_OP(kAll | kInplace,
            "scatter(Tensor input, int dim, Tensor index, Tensor src, *, str reduce) -> Tensor", "",
            &scatter_reducing);
TAPEGRAD_OP(kAll,
            "scatter(Tensor input, int dim, Tensor index, Scalar value, *, str reduce) -> Tensor",
            "", &scatter_number_reducing);
TAPEGRAD_OP(
    kMethod,
    "scatter_(Tensor(a!) input, int dim, Tensor index, Tensor src, *, str reduce) -> Tensor(a!)",
    "",
    +[](const Tensor& self, int64_t dim, const Tensor& index, const Tensor& src,
        std::string_view reduce) {
      return write_back(self, scatter_reducing(kept(self), dim, index, src, reduce));
    });
TAPEGRAD_OP(
    kMethod,
    "scatter_(Tensor(a!) input, int dim, Tensor index, Scalar value, *, str reduce) -> Tensor(a!)",
    "",
    +[](const Tensor& self, int64_t dim, const Tensor& index, Scalar value,
        std::string_view reduce) {
      return write_back(self, scatter_number_reducing(kept(self), dim, index, value, reduce));
    });
TAPEGRAD_OP(kFunction, "unravel_index(Tensor indices, int[1] shape) -> Tensor[]",
            R"(The coordinates, in a tensor of this shape, of positions in the flattened tensor.

Args:
    indices: an integer tensor
    shape: the shape

Returns:
    a tuple with a tensor for each dimension

Raises:
    IndexError: a position outside of the shape

Example:
    >>> import tapegrad as tg
    >>> tg.unravel_index(tg.tensor([4, 1]), (2, 3))
    (tensor([1, 0]), tensor([1, 1])))",
            &unravel_index);

}  // namespace tapegrad
