// Element types: their names, sizes, categories and promotion, and the weak Scalar that Python and
// C++ numbers become. Knows nothing of tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tapegrad/export.h"

namespace tapegrad {

/// Element types. The two complex values are reserved: every operation raises DTypeError on them.
enum class DType : uint8_t {
  Bool,
  UInt8,
  Int8,
  Int16,
  Int32,
  Int64,
  Float16,
  BFloat16,
  Float32,
  Float64,
  Complex64,
  Complex128,
};
inline constexpr int kDTypeCount = 10;

constexpr size_t item_size(DType dtype) {
  constexpr size_t sizes[] = {1, 1, 1, 2, 4, 8, 2, 2, 4, 8, 8, 16};
  return sizes[static_cast<int>(dtype)];
}
constexpr bool is_floating_point(DType dtype) {
  return dtype >= DType::Float16 && dtype <= DType::Float64;
}
constexpr bool is_complex(DType dtype) { return dtype >= DType::Complex64; }
/// Integers, bool excluded.
constexpr bool is_integer(DType dtype) { return dtype >= DType::UInt8 && dtype <= DType::Int64; }
constexpr bool is_half(DType dtype) { return dtype == DType::Float16 || dtype == DType::BFloat16; }

/// "float32", "int64", ... as NumPy and PyTorch spell them.
TAPEGRAD_API const char* dtype_name(DType dtype);

/// PyTorch's promotion table of two dtypes of equal standing.
TAPEGRAD_API DType promote_types(DType a, DType b);

/// Whether values of `from` may be written into a tensor of `to` in place (PyTorch's can_cast).
TAPEGRAD_API bool can_cast(DType from, DType to);

/// float32 unless set; what Python floats and integer division become.
TAPEGRAD_API DType default_dtype();
/// Throws DTypeError unless `dtype` is a floating-point type.
TAPEGRAD_API void set_default_dtype(DType dtype);

/// A number without a dtype of its own (a Python or C++ number): weak in promotion.
class Scalar {
 public:
  enum class Kind : uint8_t { Bool, Int, Float };

  Scalar() : Scalar(int64_t{0}) {}
  Scalar(bool value) : kind_(Kind::Bool) { value_.i = value; }
  Scalar(int value) : Scalar(int64_t{value}) {}
  Scalar(int64_t value) : kind_(Kind::Int) { value_.i = value; }
  Scalar(float value) : Scalar(double{value}) {}
  Scalar(double value) : kind_(Kind::Float) { value_.d = value; }

  Kind kind() const { return kind_; }
  bool is_floating_point() const { return kind_ == Kind::Float; }
  double to_double() const {
    return kind_ == Kind::Float ? value_.d : static_cast<double>(value_.i);
  }
  int64_t to_int() const;  ///< truncates; out-of-range doubles saturate
  bool to_bool() const { return kind_ == Kind::Float ? value_.d != 0 : value_.i != 0; }
  /// bool, int64 or the default dtype.
  DType natural_dtype() const;

 private:
  union {
    double d;
    int64_t i;
  } value_;
  Kind kind_;
};

inline int64_t Scalar::to_int() const {
  if (kind_ != Kind::Float) return value_.i;
  if (!(value_.d > -9223372036854775808.0)) return value_.d != value_.d ? 0 : INT64_MIN;
  return value_.d >= 9223372036854775808.0 ? INT64_MAX : static_cast<int64_t>(value_.d);
}
inline DType Scalar::natural_dtype() const {
  return kind_ == Kind::Bool ? DType::Bool : kind_ == Kind::Int ? DType::Int64 : default_dtype();
}

}  // namespace tapegrad
