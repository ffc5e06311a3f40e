// Spans and small containers of dimensions, and the checked arithmetic on them. Knows nothing of
// tensors.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tapegrad/export.h"

namespace tapegrad {

inline constexpr int kMaxDims = 32;

/// A borrowed list of integers: sizes, strides, dimensions.
class IntSpan : public std::span<const int64_t> {
 public:
  using Base = std::span<const int64_t>;
  IntSpan() = default;
  IntSpan(const int64_t* data, size_t count) : Base(data, count) {}
  IntSpan(Base values) : Base(values) {}
  IntSpan(const std::vector<int64_t>& values) : Base(values.data(), values.size()) {}
  /// Valid for the full expression only, as with std::string_view and temporaries.
  IntSpan(std::initializer_list<int64_t> values) : Base(values.begin(), values.size()) {}
  bool operator==(IntSpan other) const {
    if (size() != other.size()) return false;
    for (size_t i = 0; i < size(); ++i) {
      if ((*this)[i] != other[i]) return false;
    }
    return true;
  }
};

/// Up to kMaxDims integers without a heap allocation.
class TAPEGRAD_API Dims {
 public:
  Dims() = default;
  Dims(IntSpan values);  // throws ShapeError beyond kMaxDims
  Dims(std::initializer_list<int64_t> values) : Dims(IntSpan(values)) {}
  Dims(int count, int64_t value);
  Dims(const Dims& other) : count_(other.count_) { copy(other); }
  Dims& operator=(const Dims& other) {
    count_ = other.count_;
    copy(other);
    return *this;
  }
  ~Dims() = default;

  int size() const { return count_; }
  bool empty() const { return count_ == 0; }
  int64_t& operator[](int i) { return values_[i]; }
  int64_t operator[](int i) const { return values_[i]; }
  int64_t* begin() { return values_; }
  int64_t* end() { return values_ + count_; }
  const int64_t* begin() const { return values_; }
  const int64_t* end() const { return values_ + count_; }
  int64_t* data() { return values_; }
  const int64_t* data() const { return values_; }
  int64_t& back() { return values_[count_ - 1]; }
  int64_t back() const { return values_[count_ - 1]; }
  void push_back(int64_t value);  // throws ShapeError beyond kMaxDims
  void pop_back() { --count_; }
  void insert(int position, int64_t value);
  void erase(int position);
  operator IntSpan() const { return {values_, static_cast<size_t>(count_)}; }

 private:
  void copy(const Dims& other) {
    for (int i = 0; i < count_; ++i) values_[i] = other.values_[i];
  }
  int count_ = 0;
  int64_t values_[kMaxDims];
};

/// A `dim` argument: absent, one number, or several. Borrowed like IntSpan.
class OptionalInts {
 public:
  OptionalInts() = default;
  OptionalInts(std::nullopt_t) {}
  OptionalInts(IntSpan values) : values_(values), has_value_(true) {}
  OptionalInts(const std::vector<int64_t>& values) : OptionalInts(IntSpan(values)) {}
  OptionalInts(const Dims& values) : OptionalInts(IntSpan(values)) {}
  OptionalInts(std::initializer_list<int64_t> values) : OptionalInts(IntSpan(values)) {}
  OptionalInts(int64_t value) : single_(value), is_single_(true), has_value_(true) {}
  OptionalInts(int value) : OptionalInts(int64_t{value}) {}
  OptionalInts(const OptionalInts&) = default;
  OptionalInts& operator=(const OptionalInts&) = default;
  bool has_value() const { return has_value_; }
  IntSpan value() const { return is_single_ ? IntSpan(&single_, 1) : values_; }

 private:
  IntSpan values_;
  int64_t single_ = 0;
  bool is_single_ = false;
  bool has_value_ = false;
};

/// Number of elements; throws ShapeError (naming `op`) on a negative dimension or an overflow of
/// int64.
TAPEGRAD_API int64_t checked_numel(const char* op, IntSpan sizes);
/// Row-major strides of a contiguous tensor.
TAPEGRAD_API Dims contiguous_strides(IntSpan sizes);
/// The common shape of two operands; throws ShapeError naming `op` and both shapes.
TAPEGRAD_API Dims broadcast_shapes(const char* op, IntSpan a, IntSpan b);
/// `dim` counted from the end when negative; a 0-d tensor takes -1 and 0. Throws IndexError.
TAPEGRAD_API int64_t wrap_dim(const char* op, int64_t dim, int64_t ndim);
/// "(2, 3)", "(4,)", "()".
TAPEGRAD_API std::string shape_string(IntSpan sizes);

}  // namespace tapegrad
