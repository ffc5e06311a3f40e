#include "tapegrad/shape.h"

#include "core/text.h"
#include "tapegrad/error.h"

namespace tapegrad {

namespace {
[[noreturn]] void too_many_dims() {
  throw ShapeError(core::text("tensors have at most ", kMaxDims, " dimensions"));
}
}  // namespace

Dims::Dims(IntSpan values) {
  if (values.size() > kMaxDims) too_many_dims();
  for (int64_t value : values) values_[count_++] = value;
}

Dims::Dims(int count, int64_t value) {
  if (count > kMaxDims) too_many_dims();
  while (count_ < count) values_[count_++] = value;
}

void Dims::push_back(int64_t value) {
  if (count_ == kMaxDims) too_many_dims();
  values_[count_++] = value;
}

void Dims::insert(int position, int64_t value) {
  if (count_ == kMaxDims) too_many_dims();
  for (int i = count_; i > position; --i) values_[i] = values_[i - 1];
  values_[position] = value;
  ++count_;
}

void Dims::erase(int position) {
  --count_;
  for (int i = position; i < count_; ++i) values_[i] = values_[i + 1];
}

int64_t checked_numel(const char* op, IntSpan sizes) {
  if (sizes.size() > kMaxDims) too_many_dims();
  int64_t numel = 1;
  bool overflow = false;
  bool empty = false;
  for (int64_t size : sizes) {
    if (size < 0) {
      throw ShapeError(
          core::text(op, ": negative dimension ", size, " in shape ", shape_string(sizes)));
    }
    if (size == 0)
      empty = true;
    else if (__builtin_mul_overflow(numel, size, &numel))
      overflow = true;
  }
  // An empty tensor may name dimensions whose product would overflow only together with the zero.
  if (empty) return 0;
  // 16 bytes is the widest element; the limit keeps byte counts inside int64 as well.
  if (overflow || numel > INT64_MAX / 16) {
    throw ShapeError(core::text(op, ": shape ", shape_string(sizes),
                                " has more elements than memory can address"));
  }
  return numel;
}

Dims contiguous_strides(IntSpan sizes) {
  Dims strides(static_cast<int>(sizes.size()), 1);
  int64_t stride = 1;
  for (int i = strides.size() - 1; i >= 0; --i) {
    strides[i] = stride;
    stride *= sizes[static_cast<size_t>(i)] > 0 ? sizes[static_cast<size_t>(i)] : 1;
  }
  return strides;
}

Dims broadcast_shapes(const char* op, IntSpan a, IntSpan b) {
  const size_t ndim = a.size() > b.size() ? a.size() : b.size();
  Dims result(static_cast<int>(ndim), 1);
  for (size_t i = 0; i < ndim; ++i) {  // i counts from the last dimension
    const int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1) {
      throw ShapeError(core::text(op, ": shapes ", shape_string(a), " and ", shape_string(b),
                                  " do not broadcast: dimension ", ndim - 1 - i, " has sizes ", x,
                                  " and ", y, " (they must be equal, or one of them 1)"));
    }
    result[static_cast<int>(ndim - 1 - i)] = x == 1 ? y : x;
  }
  return result;
}

int64_t wrap_dim(const char* op, int64_t dim, int64_t ndim) {
  const int64_t range = ndim == 0 ? 1 : ndim;
  if (dim < -range || dim >= range) {
    throw IndexError(core::text(op, ": Dimension out of range (expected to be in range of [",
                                -range, ", ", range - 1, "], but got ", dim, ")"));
  }
  return dim < 0 ? dim + range : dim;
}

std::string shape_string(IntSpan sizes) {
  std::string result = "(";
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (i > 0) result += ", ";
    result += std::to_string(sizes[i]);
  }
  if (sizes.size() == 1) result += ',';
  return result + ")";
}

}  // namespace tapegrad
