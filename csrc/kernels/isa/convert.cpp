// Strided conversions between dtypes and compute types.
#include "kernels/convert.h"

#include "kernels/isa/half_lines.h"
#include "kernels/isa/stream_lines.h"
#include "kernels/isa/transpose.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

/// bool as a type of its own: any nonzero value becomes 1.
struct Truth {
  unsigned char byte;
};

/// Truncation as in C where it is defined; out of range and NaN give the lowest integer, as x86
/// does.
template <class F>
[[gnu::always_inline]] inline int64_t to_int64(F x) {
  const bool fits = x >= F(-9223372036854775808.0) && x < F(9223372036854775808.0);
  return fits ? static_cast<int64_t>(fits ? x : F(0)) : INT64_MIN;
}

template <class To, class From>
[[gnu::always_inline]] inline To convert(From x) {
  constexpr bool from_float = __is_same(From, float) || __is_same(From, double);
  constexpr bool to_float = __is_same(To, float) || __is_same(To, double);
  if constexpr (__is_same(From, Truth)) {
    return static_cast<To>(x.byte != 0);
  } else if constexpr (kIsHalf<From>) {
    return convert<To>(core::to_float(x));
  } else if constexpr (__is_same(To, Truth)) {
    return Truth{static_cast<unsigned char>(x != From(0))};
  } else if constexpr (__is_same(To, Half)) {
    return core::to_half(static_cast<float>(x));
  } else if constexpr (__is_same(To, BFloat16)) {
    return core::to_bfloat16(static_cast<float>(x));
  } else if constexpr (from_float && !to_float) {
    return static_cast<To>(to_int64(x));
  } else {
    return static_cast<To>(x);
  }
}

template <class From, class To>
void gather(const void* source, int64_t stride, void* target, int64_t n) {
  const From* from = static_cast<const From*>(source);
  To* to = static_cast<To*>(target);
  if (stride == 1) {
    if constexpr (kIsHalf<From> && __is_same(To, float)) return to_floats(from, to, n);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) to[i] = convert<To>(from[i]);
  } else if (stride == 0) {
    const To value = convert<To>(*from);
    for (int64_t i = 0; i < n; ++i) to[i] = value;
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = convert<To>(from[i * stride]);
  }
}

template <class From, class To>
void scatter(const void* source, void* target, int64_t stride, int64_t n) {
  const From* from = static_cast<const From*>(source);
  To* to = static_cast<To*>(target);
  if (stride == 1) {
    if constexpr (kIsHalf<To> && __is_same(From, float)) return from_floats(from, to, n);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) to[i] = convert<To>(from[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) to[i * stride] = convert<To>(from[i]);
  }
}

template <class Item>
void move(const void* source, int64_t from_stride, void* target, int64_t to_stride, int64_t n) {
  const Item* from = static_cast<const Item*>(source);
  Item* to = static_cast<Item*>(target);
  if (to_stride == 1 && from_stride == 1) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) to[i] = from[i];
  } else if (to_stride == 1 && from_stride == 0) {
    const Item value = *from;
    for (int64_t i = 0; i < n; ++i) to[i] = value;
  } else if (to_stride == 1 && from_stride == -1) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) to[i] = from[-i];
  } else {
    for (int64_t i = 0; i < n; ++i) to[i * to_stride] = from[i * from_stride];
  }
}

template <class Item>
void transpose(const void* source, int64_t from_stride, void* target, int64_t to_stride,
               int64_t rows, int64_t columns) {
  transpose_tiles<Item, kTileOf<Item>>(static_cast<const Item*>(source), from_stride,
                                       static_cast<Item*>(target), to_stride, rows, columns);
}

}  // namespace

// In the order of DType.
#define TAPEGRAD_EACH_DTYPE(X) \
  X(Truth)                     \
  X(uint8_t) X(int8_t) X(int16_t) X(int32_t) X(int64_t) X(Half) X(BFloat16) X(float) X(double)
#define TAPEGRAD_GATHER_ROW(From) \
  {gather<From, float>, gather<From, double>, gather<From, int64_t>},
#define TAPEGRAD_FROM_FLOAT(To) scatter<float, To>,
#define TAPEGRAD_FROM_DOUBLE(To) scatter<double, To>,
#define TAPEGRAD_FROM_INT64(To) scatter<int64_t, To>,
extern const ConvertLoops convert_table;
const ConvertLoops convert_table = {
    {TAPEGRAD_EACH_DTYPE(TAPEGRAD_GATHER_ROW)},
    {{TAPEGRAD_EACH_DTYPE(TAPEGRAD_FROM_FLOAT)},
     {TAPEGRAD_EACH_DTYPE(TAPEGRAD_FROM_DOUBLE)},
     {TAPEGRAD_EACH_DTYPE(TAPEGRAD_FROM_INT64)}},
    {move<uint8_t>, move<uint16_t>, move<uint32_t>, move<uint64_t>},
    {transpose<uint16_t>, transpose<uint32_t>, transpose<uint64_t>},
    stream,
    stream_end,
};

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
