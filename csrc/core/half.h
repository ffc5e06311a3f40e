// Conversions between float and the two half types, bit by bit, rounding to nearest even. Plain
// integer arithmetic that vectorises; usable from instruction-set objects (no STL, everything
// inlined).
#pragma once

#include <cstdint>

namespace tapegrad {

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

namespace core {

[[gnu::always_inline]] inline float bits_to_float(uint32_t bits) {
  return __builtin_bit_cast(float, bits);
}
[[gnu::always_inline]] inline uint32_t float_to_bits(float value) {
  return __builtin_bit_cast(uint32_t, value);
}

[[gnu::always_inline]] inline float to_float(BFloat16 value) {
  return bits_to_float(static_cast<uint32_t>(value.bits) << 16);
}
[[gnu::always_inline]] inline BFloat16 to_bfloat16(float value) {
  const uint32_t bits = float_to_bits(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return {static_cast<uint16_t>(nan ? 0x7fc0u | ((bits >> 16) & 0x8000u) : rounded)};
}

[[gnu::always_inline]] inline float to_float(Half value) {
  // The exponent is moved by a multiplication, which also normalises denormals; inf and NaN are put
  // back by hand.
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000u) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(value.bits & 0x7fffu);
  const float scaled = bits_to_float(magnitude << 13) * bits_to_float(0x77800000u);  // * 2^112
  const bool special = magnitude >= 0x7c00u;
  const uint32_t body = special ? (magnitude << 13) | 0x7f800000u : float_to_bits(scaled);
  return bits_to_float(body | sign);
}
[[gnu::always_inline]] inline Half to_half(float value) {
  const uint32_t bits = float_to_bits(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  // Normal range: rebias and round to nearest even in integers.
  const uint32_t normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  // Below 2^-14 the addition of 0.5 rounds to a multiple of 2^-24, the denormal step.
  const uint32_t denormal = float_to_bits(bits_to_float(magnitude) + 0.5f) - 0x3f000000u;
  uint32_t body = magnitude < 0x38800000u ? denormal : normal;
  body = magnitude >= 0x477ff000u ? 0x7c00u : body;
  body = magnitude > 0x7f800000u ? 0x7e00u : body;
  return {static_cast<uint16_t>(body | sign)};
}

}  // namespace core
}  // namespace tapegrad
