// Sort keys: unsigned integers that compare as the elements do, so that one radix sort and one
// selection serve all dtypes. NaN is the greatest, -0 and 0 are equal. Knows no algorithm.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "core/half.h"
#include "tapegrad/dtype.h"

namespace tapegrad::kernels {

/// A key and the position that it came from, in one number: positions break ties.
struct Packed {
  uint64_t bits;
  using Key = uint32_t;
  static Packed make(Key key, int64_t position) {
    return {(uint64_t{key} << 32) | static_cast<uint32_t>(position)};
  }
  Key key() const { return static_cast<Key>(bits >> 32); }
  int64_t position() const { return static_cast<int64_t>(bits & 0xffffffffu); }
  bool operator<(Packed other) const { return bits < other.bits; }
};

/// The same for keys of 64 bits and for rows of 2^32 elements or more.
struct Wide {
  uint64_t bits;
  int64_t place;
  using Key = uint64_t;
  static Wide make(Key key, int64_t position) { return {key, position}; }
  Key key() const { return bits; }
  int64_t position() const { return place; }
  bool operator<(const Wide& other) const {
    return bits != other.bits ? bits < other.bits : place < other.place;
  }
};

/// encode(): the key. exact(): whether decode() gives back the bits of every element with this key.
template <class T>
struct KeyOf {
  using Key = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  using Raw = std::make_unsigned_t<T>;
  static constexpr int kBits = sizeof(T) * 8;
  static constexpr bool kHasNan = false;
  static constexpr Raw kSign = std::is_signed_v<T> ? Raw(Raw{1} << (kBits - 1)) : Raw{0};
  static Key encode(T x) { return static_cast<Key>(static_cast<Raw>(static_cast<Raw>(x) ^ kSign)); }
  static constexpr bool exact(Key) { return true; }
  static T decode(Key key) { return static_cast<T>(static_cast<Raw>(key) ^ kSign); }
  static constexpr bool is_nan(Key) { return false; }
};

/// Floats by their bits: sign and magnitude become one rising number.
template <class T, class Raw, int64_t kInfinity>
struct FloatKey {
  using Key = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  static constexpr int kBits = sizeof(T) * 8;
  static constexpr bool kHasNan = true;
  static constexpr Raw kSign = Raw(Raw{1} << (kBits - 1));
  static constexpr Raw kNan = static_cast<Raw>(~Raw{0});
  static Key encode(T x) {
    const Raw bits = std::bit_cast<Raw>(x);
    const Raw magnitude = static_cast<Raw>(bits & static_cast<Raw>(~kSign));
    const Raw flip = bits > kSign ? kNan : kSign;  // -0 counts as 0
    const Raw base = magnitude == 0 ? Raw{0} : bits;
    const Raw key = static_cast<Raw>(base ^ flip);
    return magnitude > static_cast<Raw>(kInfinity) ? kNan : key;
  }
  static bool exact(Key key) { return key != kSign && key != kNan; }
  static T decode(Key key) {
    const Raw raw = static_cast<Raw>(key);
    return std::bit_cast<T>(static_cast<Raw>(raw & kSign ? raw ^ kSign : ~raw));
  }
  static bool is_nan(Key key) { return key == kNan; }
  static bool holds_nan(T x) {
    // Signed, as compilers have instructions for that comparison.
    using Signed = std::make_signed_t<Raw>;
    const auto magnitude = static_cast<Signed>(std::bit_cast<Raw>(x) & static_cast<Raw>(~kSign));
    return magnitude > static_cast<Signed>(kInfinity);
  }
};
template <>
struct KeyOf<float> : FloatKey<float, uint32_t, 0x7f800000> {};
template <>
struct KeyOf<double> : FloatKey<double, uint64_t, 0x7ff0000000000000> {};
template <>
struct KeyOf<Half> : FloatKey<Half, uint16_t, 0x7c00> {};
template <>
struct KeyOf<BFloat16> : FloatKey<BFloat16, uint16_t, 0x7f80> {};

/// Calls f(T()) with the element type of the dtype; bool as uint8_t.
template <class F>
void by_element(DType dtype, F f) {
  switch (dtype) {
    case DType::Bool:
    case DType::UInt8:
      return f(uint8_t());
    case DType::Int8:
      return f(int8_t());
    case DType::Int16:
      return f(int16_t());
    case DType::Int32:
      return f(int32_t());
    case DType::Int64:
      return f(int64_t());
    case DType::Float16:
      return f(Half());
    case DType::BFloat16:
      return f(BFloat16());
    case DType::Float32:
      return f(float());
    default:
      return f(double());
  }
}

}  // namespace tapegrad::kernels
