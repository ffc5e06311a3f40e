// New tensors from sizes and numbers.
#include <cmath>
#include <limits>

#include "autograd/entry.h"
#include "core/parallel.h"
#include "core/text.h"
#include "kernels/copy.h"
#include "ops/fill_check.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

namespace ops {

namespace {

double largest(DType dtype) {
  switch (dtype) {
    case DType::UInt8:
      return 255;
    case DType::Int8:
      return 127;
    case DType::Int16:
      return 32767;
    case DType::Int32:
      return 2147483647;
    case DType::Int64:
      return 9223372036854775807.0;
    case DType::Float16:
      return 65504;
    case DType::BFloat16:
      return 3.3895313892515355e38;
    case DType::Float32:
      return std::numeric_limits<float>::max();
    default:
      return std::numeric_limits<double>::infinity();
  }
}

}  // namespace

void check_fill(const char* op, Scalar value, DType dtype) {
  if (dtype == DType::Bool || is_complex(dtype)) return;
  const double x = value.to_double();
  const double high = largest(dtype);
  bool fits;
  if (is_floating_point(dtype)) {
    fits = !std::isfinite(x) || std::abs(x) <= high;
  } else {
    const double low = dtype == DType::UInt8 ? -high : -high - 1;
    fits = x >= low && (x <= high);  // false for NaN
  }
  if (!fits) {
    throw ValueError(core::text(op, ": value ", x, " cannot be converted to type ",
                                dtype_name(dtype), " without overflow"));
  }
}

}  // namespace ops

using namespace ops;

namespace {

constexpr int64_t kGrain = 32768;

Tensor filled(const char* op, Tensor result, Scalar value) {
  check_fill(op, value, result.dtype());
  kernels::fill_values(result, value);
  return result;
}

/// Writes make(i) for every i, computed as T (double or int64_t), into a 1-d tensor of any dtype.
template <class T, class Make>
Tensor generate(int64_t count, DType dtype, Make make) {
  Tensor values = core::make_tensor({count}, dtype_of<T>());
  T* data = values.data_ptr<T>();
  core::parallel_for(0, count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) data[i] = make(i);
  });
  if (dtype == dtype_of<T>()) return values;
  Tensor result = core::make_tensor({count}, dtype);
  kernels::copy_values(result, values);
  return result;
}

[[noreturn]] void refuse_range(Scalar start, Scalar end, Scalar step, const char* why) {
  throw ValueError(core::text("arange: ", why, " (start ", start.to_double(), ", end ",
                              end.to_double(), ", step ", step.to_double(), ")"));
}

/// ceil((end - start) / step), exact for integers.
int64_t arange_count(Scalar start, Scalar end, Scalar step, bool integers) {
  if (integers) {
    const __int128 distance = __int128{end.to_int()} - start.to_int();
    const __int128 by = step.to_int();
    const __int128 count = (distance + by - (by > 0 ? 1 : -1)) / by;
    if (count > std::numeric_limits<int64_t>::max() / 16)
      refuse_range(start, end, step, "the range has too many elements");
    return static_cast<int64_t>(count);
  }
  const double count = std::ceil((end.to_double() - start.to_double()) / step.to_double());
  if (!(count < 9.0e17)) refuse_range(start, end, step, "the range has too many elements");
  return static_cast<int64_t>(count);
}

}  // namespace

Tensor empty(IntSpan size, std::optional<DType> dtype) {
  return core::make_tensor(size, dtype ? *dtype : default_dtype());
}

Tensor empty_strided(IntSpan size, IntSpan stride, std::optional<DType> dtype) {
  const DType type = dtype ? *dtype : default_dtype();
  if (size.size() != stride.size()) {
    throw ShapeError(core::text("empty_strided: size ", shape_string(size), " and stride ",
                                shape_string(stride), " must have the same length"));
  }
  const int64_t numel = checked_numel("empty_strided", size);
  int64_t last = 0;
  for (size_t i = 0; i < size.size(); ++i) {
    if (stride[i] < 0) {
      throw ShapeError(core::text("empty_strided: negative strides are not supported, got ",
                                  shape_string(stride)));
    }
    int64_t reach;
    if (numel > 0 && (__builtin_mul_overflow(size[i] - 1, stride[i], &reach) ||
                      __builtin_add_overflow(last, reach, &last))) {
      throw ShapeError(core::text("empty_strided: size ", shape_string(size), " with stride ",
                                  shape_string(stride), " is more than memory can address"));
    }
  }
  const Tensor memory = core::make_tensor({numel == 0 ? 0 : last + 1}, type);
  return core::make_alias(memory, size, stride, 0);
}

Tensor zeros(IntSpan size, std::optional<DType> dtype) {
  Tensor result = empty(size, dtype);
  kernels::fill_values(result, Scalar(0));
  return result;
}
Tensor ones(IntSpan size, std::optional<DType> dtype) {
  Tensor result = empty(size, dtype);
  kernels::fill_values(result, Scalar(1));
  return result;
}
Tensor full(IntSpan size, Scalar fill_value, std::optional<DType> dtype) {
  return filled("full", empty(size, dtype ? *dtype : fill_value.natural_dtype()), fill_value);
}

Tensor empty_like(const Tensor& input, std::optional<DType> dtype) {
  return core::make_like(input, dtype ? *dtype : input.dtype());
}
Tensor zeros_like(const Tensor& input, std::optional<DType> dtype) {
  Tensor result = empty_like(input, dtype);
  kernels::fill_values(result, Scalar(0));
  return result;
}
Tensor ones_like(const Tensor& input, std::optional<DType> dtype) {
  Tensor result = empty_like(input, dtype);
  kernels::fill_values(result, Scalar(1));
  return result;
}
Tensor full_like(const Tensor& input, Scalar fill_value, std::optional<DType> dtype) {
  return filled("full_like", empty_like(input, dtype), fill_value);
}

Tensor scalar_tensor(Scalar value, std::optional<DType> dtype) {
  const DType type = dtype ? *dtype : default_dtype();
  check_fill("scalar_tensor", value, type);
  return core::make_scalar(value, type);
}

Tensor arange(Scalar start, Scalar end, Scalar step, std::optional<DType> dtype) {
  const bool whole =
      !start.is_floating_point() && !end.is_floating_point() && !step.is_floating_point();
  const DType type = dtype ? *dtype : whole ? DType::Int64 : default_dtype();
  if (is_complex(type) || type == DType::Bool)
    throw DTypeError(core::text("arange: not available for ", dtype_name(type)));
  const double a = start.to_double(), b = end.to_double(), s = step.to_double();
  if (!std::isfinite(a) || !std::isfinite(b))
    refuse_range(start, end, step, "start and end must be finite");
  if (std::isnan(s) || s == 0) refuse_range(start, end, step, "step must be nonzero");
  if (s > 0 ? b < a : b > a)
    refuse_range(start, end, step, "bounds inconsistent with the sign of step");
  const int64_t count = arange_count(start, end, step, type == DType::Int64 && step.to_int() != 0);
  if (is_integer(type)) {
    const int64_t first = start.to_int(), by = step.to_int();
    return generate<int64_t>(count, type, [=](int64_t i) { return first + i * by; });
  }
  if (type == DType::Float32) {
    Tensor result = core::make_tensor({count}, type);
    float* data = result.data_ptr<float>();
    core::parallel_for(0, count, kGrain, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i)
        data[i] = static_cast<float>(a + s * static_cast<double>(i));
    });
    return result;
  }
  return generate<double>(count, type, [=](int64_t i) { return a + s * static_cast<double>(i); });
}

Tensor linspace(Scalar start, Scalar end, int64_t steps, std::optional<DType> dtype) {
  const DType type = dtype ? *dtype : default_dtype();
  if (steps < 0)
    throw ValueError(core::text("linspace: number of steps must be non-negative, got ", steps));
  if (is_complex(type)) throw DTypeError("linspace: complex tensors are not supported");
  check_fill("linspace", start, type);
  check_fill("linspace", end, type);
  if (steps == 1) return full({1}, start, type);
  // From both ends to the middle, so that both ends are exact.
  const int64_t half = steps / 2;
  const auto between = [=](auto a, auto b) {
    using T = decltype(a);
    const T step = (b - a) / static_cast<T>(steps - 1);
    return generate<double>(steps, type, [=](int64_t i) {
      return static_cast<double>(i < half ? a + step * static_cast<T>(i)
                                          : b - step * static_cast<T>(steps - 1 - i));
    });
  };
  if (type == DType::Float32)
    return between(static_cast<float>(start.to_double()), static_cast<float>(end.to_double()));
  if (is_floating_point(type)) return between(start.to_double(), end.to_double());
  return between(static_cast<double>(start.to_int()), static_cast<double>(end.to_int()));
}

Tensor eye(int64_t n, std::optional<int64_t> m, std::optional<DType> dtype) {
  const int64_t columns = m ? *m : n;
  if (n < 0 || columns < 0) {
    throw ValueError(core::text("eye: n and m must be non-negative, got ", n, " and ", columns));
  }
  Tensor result = zeros({n, columns}, dtype);
  const int64_t count = n < columns ? n : columns;
  if (count > 0)
    kernels::fill_values(core::make_alias(result, {count}, {columns + 1}, 0), Scalar(1));
  return result;
}

#define TAPEGRAD_NEW_TENSOR_OPTIONS                                                         \
  "*, Tensor? out=None, dtype? dtype=None, layout? layout=None, device? device=None, bool " \
  "pin_memory=False, bool requires_grad=False) -> Tensor"
#define TAPEGRAD_NEW_LIKE_OPTIONS                                                       \
  "*, dtype? dtype=None, layout? layout=None, device? device=None, bool requires_grad=" \
  "False, memory_format? memory_format=None) -> Tensor"
#define TAPEGRAD_NEW_TENSOR_DOC                                                   \
  "    out: a tensor to write the result into\n"                                  \
  "    dtype: element type; None for the default dtype\n"                         \
  "    layout, device, pin_memory: accepted for compatibility (strided, 'cpu')\n" \
  "    requires_grad: whether autograd follows the result\n"

TAPEGRAD_OP(
    kFunction, "empty(int[] size, " TAPEGRAD_NEW_TENSOR_OPTIONS,
    "A tensor with uninitialised elements.\n\nArgs:\n    size: its shape\n" TAPEGRAD_NEW_TENSOR_DOC
    R"(
Example:
    >>> import tapegrad as tg
    >>> tg.empty(2, 3).shape
    tapegrad.Size([2, 3]))",
    &empty);
TAPEGRAD_OP(
    kFunction,
    "empty_strided(int[] size, int[] stride, *, dtype? dtype=None, layout? layout=None, device? "
    "device=None, bool requires_grad=False, bool pin_memory=False) -> Tensor",
    R"(A tensor with uninitialised elements and the given strides.

Args:
    size: its shape
    stride: the distance of neighbours in every dimension, in elements; not negative
    dtype: element type; None for the default dtype
    layout, device, pin_memory: accepted for compatibility (strided, 'cpu')
    requires_grad: whether autograd follows the result

Example:
    >>> import tapegrad as tg
    >>> tg.empty_strided((2, 3), (1, 2)).stride()
    (1, 2))",
    &empty_strided);
TAPEGRAD_OP(kFunction, "zeros(int[] size, " TAPEGRAD_NEW_TENSOR_OPTIONS,
            "A tensor of zeros.\n\nArgs:\n    size: its shape\n" TAPEGRAD_NEW_TENSOR_DOC
            R"(
Example:
    >>> import tapegrad as tg
    >>> tg.zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]]))",
            &zeros);
TAPEGRAD_OP(kFunction, "ones(int[] size, " TAPEGRAD_NEW_TENSOR_OPTIONS,
            "A tensor of ones.\n\nArgs:\n    size: its shape\n" TAPEGRAD_NEW_TENSOR_DOC
            R"(
Example:
    >>> import tapegrad as tg
    >>> tg.ones(2)
    tensor([1., 1.]))",
            &ones);
TAPEGRAD_OP(kFunction, "full(int[] size, Scalar fill_value, " TAPEGRAD_NEW_TENSOR_OPTIONS,
            "A tensor whose elements are all fill_value.\n\nArgs:\n    size: its shape\n"
            "    fill_value: a number; without dtype, a bool gives a bool tensor, an int an int64 "
            "tensor\n" TAPEGRAD_NEW_TENSOR_DOC
            R"(
Raises:
    ValueError: the dtype cannot hold fill_value

Example:
    >>> import tapegrad as tg
    >>> tg.full((2,), 7)
    tensor([7, 7]))",
            &full);
TAPEGRAD_OP(kFunction, "empty_like(Tensor input, " TAPEGRAD_NEW_LIKE_OPTIONS,
            R"(A tensor with uninitialised elements, of the shape and dtype of input.

Example:
    >>> import tapegrad as tg
    >>> tg.empty_like(tg.ones(2, 3)).shape
    tapegrad.Size([2, 3]))",
            &empty_like);
TAPEGRAD_OP(kFunction, "zeros_like(Tensor input, " TAPEGRAD_NEW_LIKE_OPTIONS,
            R"(A tensor of zeros, of the shape and (unless given) dtype of input.

Example:
    >>> import tapegrad as tg
    >>> tg.zeros_like(tg.tensor([1, 2]))
    tensor([0, 0]))",
            &zeros_like);
TAPEGRAD_OP(kFunction, "ones_like(Tensor input, " TAPEGRAD_NEW_LIKE_OPTIONS,
            R"(A tensor of ones, of the shape and (unless given) dtype of input.

Example:
    >>> import tapegrad as tg
    >>> tg.ones_like(tg.tensor([1., 2.]))
    tensor([1., 1.]))",
            &ones_like);
TAPEGRAD_OP(
    kFunction, "full_like(Tensor input, Scalar fill_value, " TAPEGRAD_NEW_LIKE_OPTIONS,
    R"(A tensor whose elements are all fill_value, of the shape and (unless given) dtype of input.

Raises:
    ValueError: the dtype cannot hold fill_value

Example:
    >>> import tapegrad as tg
    >>> tg.full_like(tg.tensor([1., 2.]), 3)
    tensor([3., 3.]))",
    &full_like);
TAPEGRAD_OP(
    kFunction,
    "scalar_tensor(Scalar s, *, dtype? dtype=None, layout? layout=None, device? device=None, "
    "bool pin_memory=False, bool requires_grad=False) -> Tensor",
    R"(A 0-d tensor of one number, of the default dtype unless another is given.

Example:
    >>> import tapegrad as tg
    >>> tg.scalar_tensor(2)
    tensor(2.))",
    &scalar_tensor);
TAPEGRAD_OP(
    kFunction, "arange(Scalar end, " TAPEGRAD_NEW_TENSOR_OPTIONS,
    R"(The numbers start, start + step, ... below end (above it when step is negative), in one dimension.
There are ceil((end - start) / step) of them.

Args:
    start: the first number; 0 when only end is given
    end: where to stop, not included
    step: the distance of neighbours
    out: a tensor to write the result into
    dtype: element type; None for int64 when all three are integers, else the default dtype
    layout, device, pin_memory: accepted for compatibility (strided, 'cpu')
    requires_grad: whether autograd follows the result

Raises:
    ValueError: a step of zero, or away from end

Example:
    >>> import tapegrad as tg
    >>> tg.arange(5)
    tensor([0, 1, 2, 3, 4])
    >>> tg.arange(1, 2.5, 0.5)
    tensor([1.0000, 1.5000, 2.0000]))",
    +[](Scalar end, std::optional<DType> dtype) { return arange(0, end, 1, dtype); });
TAPEGRAD_OP(
    kFunction, "arange(Scalar start, Scalar end, " TAPEGRAD_NEW_TENSOR_OPTIONS, "",
    +[](Scalar start, Scalar end, std::optional<DType> dtype) {
      return arange(start, end, 1, dtype);
    });
TAPEGRAD_OP(kFunction, "arange(Scalar start, Scalar end, Scalar step, " TAPEGRAD_NEW_TENSOR_OPTIONS,
            "", &arange);
TAPEGRAD_OP(kFunction, "linspace(Scalar start, Scalar end, int steps, " TAPEGRAD_NEW_TENSOR_OPTIONS,
            "steps numbers at equal distances from start to end, both included.\n\nArgs:\n"
            "    start: the first number\n    end: the last number\n    steps: how "
            "many\n" TAPEGRAD_NEW_TENSOR_DOC
            R"(
Example:
    >>> import tapegrad as tg
    >>> tg.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000]))",
            &linspace);
TAPEGRAD_OP(kFunction, "eye(int n, int? m=None, " TAPEGRAD_NEW_TENSOR_OPTIONS,
            "A matrix with ones on the diagonal and zeros elsewhere.\n\nArgs:\n    n: rows\n"
            "    m: columns; None for n\n" TAPEGRAD_NEW_TENSOR_DOC
            R"(
Example:
    >>> import tapegrad as tg
    >>> tg.eye(2)
    tensor([[1., 0.],
            [0., 1.]]))",
            &eye);

}  // namespace tapegrad
