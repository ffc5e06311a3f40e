#include "tapegrad/dtype.h"

#include <atomic>

#include "core/text.h"
#include "tapegrad/error.h"

namespace tapegrad {

const char* dtype_name(DType dtype) {
  constexpr const char* names[] = {"bool",    "uint8",   "int8",      "int16",
                                   "int32",   "int64",   "float16",   "bfloat16",
                                   "float32", "float64", "complex64", "complex128"};
  return names[static_cast<int>(dtype)];
}

DType promote_types(DType a, DType b) {
  if (a == b) return a;
  if (a > b) std::swap(a, b);  // enum order: bool, uint8, signed integers, halves, floats, complex
  if (is_complex(b))
    throw DTypeError(core::text("promote_types: ", dtype_name(b), " is not supported"));
  if (a == DType::UInt8 && b == DType::Int8) return DType::Int16;
  if (a == DType::Float16 && b == DType::BFloat16) return DType::Float32;
  return b;
}

bool can_cast(DType from, DType to) {
  if (is_floating_point(from) && !is_floating_point(to)) return false;
  return from == DType::Bool || to != DType::Bool;
}

namespace {
std::atomic<DType> current_default{DType::Float32};
}

DType default_dtype() { return current_default.load(std::memory_order_relaxed); }

void set_default_dtype(DType dtype) {
  if (!is_floating_point(dtype)) {
    throw DTypeError(
        core::text("set_default_dtype: only floating-point types can be the default, got ",
                   dtype_name(dtype)));
  }
  current_default.store(dtype, std::memory_order_relaxed);
}

}  // namespace tapegrad
