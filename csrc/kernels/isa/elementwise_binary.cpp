// Vector loops of the binary rows, and of operations on three tensors.
#include "kernels/isa/functors.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

template <class T, class R, class F>
[[gnu::always_inline]] inline void binary_loop(R* out, const T* a, const T* b, const int64_t* steps,
                                               int64_t n, F f) {
  if (steps[0] == 0) {
    const T a0 = *a;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<R>(f(a0, b[i]));
  } else if (steps[1] == 0) {
    const T b0 = *b;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<R>(f(a[i], b0));
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<R>(f(a[i], b[i]));
  }
}

/// Rows with long formulas.
template <class Op>
constexpr bool kLong =
    __is_same(Op, binary_pow) || __is_same(Op, binary_atan2) || __is_same(Op, binary_hypot) ||
    __is_same(Op, binary_nextafter) || __is_same(Op, binary_logaddexp) ||
    __is_same(Op, binary_logaddexp2) || __is_same(Op, binary_xlogy) ||
    __is_same(Op, binary_xlog1py) || __is_same(Op, binary_gate);

/// One loop for all steps, as each would take kilobytes: a single number is repeated in a buffer.
/// (With the number in a register, the compiler would also split the loop by its special cases.)
template <class Op, class T>
void long_loop(T* out, const T* a, const T* b, const int64_t* steps, int64_t n,
               const RowParameters<T>& p) {
  constexpr int64_t kPiece = 256;
  T repeated[kPiece];
  const T* const single = steps[0] == 0 ? a : b;
  const bool any_single = steps[0] == 0 || steps[1] == 0;
  if (any_single) {
    for (int64_t i = 0; i < kPiece && i < n; ++i) repeated[i] = *single;
  }
  for (int64_t at = 0; at < n; at += kPiece) {
    const int64_t m = n - at < kPiece ? n - at : kPiece;
    const T* x = steps[0] == 0 ? repeated : a + at;
    const T* y = steps[1] == 0 ? repeated : b + at;
    T* to = out + at;
#pragma omp simd
    for (int64_t i = 0; i < m; ++i) to[i] = Op::f(x[i], y[i], p);
  }
}

/// The rows around fmod in vector form, for a block whose quotients allow it.
template <class Op, class T>
[[gnu::always_inline]] inline T near_division(T a, T b) {
  const T r = near_fmod(a, b);
  if constexpr (__is_same(Op, binary_fmod)) return r;
  if constexpr (__is_same(Op, binary_remainder)) return remainder_from(r, b);
  if constexpr (__is_same(Op, binary_floor_divide)) return floor_quotient(a, b, r);
}

template <class Op>
constexpr bool kIsDivision = __is_same(Op, binary_fmod) || __is_same(Op, binary_remainder) ||
                             __is_same(Op, binary_floor_divide);

/// In blocks: vector code where all quotients are near, else the C library's fmod.
template <class Op, class T>
void division_loop(T* out, const T* a, const T* b, const int64_t* steps, int64_t n,
                   const RowParameters<T>& p) {
  constexpr int64_t kBlock = 256;
  const auto near = [](T x, T y) { return near_division<Op>(x, y); };
  const auto exact = [p](T x, T y) { return Op::f(x, y, p); };
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t count = n - begin < kBlock ? n - begin : kBlock;
    const T* x = a + (steps[0] == 0 ? 0 : begin);
    const T* y = b + (steps[1] == 0 ? 0 : begin);
    T fits[kBlock];
    binary_loop(fits, x, y, steps, count,
                [](T u, T v) { return has_near_quotient(u, v) ? T(0) : T(1); });
    T misfits = T(0);
#pragma omp simd reduction(+ : misfits)
    for (int64_t i = 0; i < count; ++i) misfits += fits[i];
    if (misfits == T(0))
      binary_loop(out + begin, x, y, steps, count, near);
    else
      binary_loop(out + begin, x, y, steps, count, exact);
  }
}

template <class T>
void zeta_loop(T* out, const T* a, const T* b, const int64_t* steps, int64_t n) {
  for (int64_t begin = 0; begin < n; begin += kZetaBlock) {
    const int64_t count = n - begin < kZetaBlock ? n - begin : kZetaBlock;
    zeta_block(a + begin * steps[0], steps[0], b + begin * steps[1], steps[1], count, out + begin);
  }
}

template <class Op, class T>
[[gnu::always_inline]] inline void forward_row(void* out, const T* a, const T* b,
                                               const int64_t* steps, int64_t n,
                                               const RowParameters<T>& p) {
  const auto f = [p](T x, T y) __attribute__((always_inline)) { return Op::f(x, y, p); };
  if constexpr (kIsDivision<Op> && !__is_same(T, int64_t)) {
    division_loop<Op>(static_cast<T*>(out), a, b, steps, n, p);
  } else if constexpr (kLong<Op> && !__is_same(T, int64_t)) {
    long_loop<Op>(static_cast<T*>(out), a, b, steps, n, p);
  } else if constexpr (__is_same(Op, binary_zeta)) {
    zeta_loop(static_cast<T*>(out), a, b, steps, n);
  } else if constexpr (Op::domain == Domain::Bool) {
    binary_loop(static_cast<unsigned char*>(out), a, b, steps, n, f);
  } else {
    binary_loop(static_cast<T*>(out), a, b, steps, n, f);
  }
}

/// Rows are counted here, not by the caller: what a call for each of them puts on the stack waits
/// in one queue with the results, which hides less of the way to memory then.
template <class Op, class T>
void forward_loop(void* out, const void* const* in, const Walk& walk, int64_t n,
                  const LoopParameters& parameters) {
  const RowParameters<T> p(parameters);
  const auto* a = static_cast<const char*>(in[0]);
  const auto* b = static_cast<const char*>(in[1]);
  auto* to = static_cast<char*>(out);
  for (int64_t row = walk.rows; row > 0; --row) {
    forward_row<Op, T>(to, reinterpret_cast<const T*>(a), reinterpret_cast<const T*>(b), walk.steps,
                       n, p);
    to += walk.out_row;
    a += walk.in_rows[0];
    b += walk.in_rows[1];
  }
}

template <class Op, class T, bool kFirst>
void pull_loop(void* out, const void* const* in, const Walk&, int64_t n,
               const LoopParameters& parameters) {
  constexpr int saves = kFirst ? Op::saves_a : Op::saves_b;
  const RowParameters<T> p(parameters);
  T* r = static_cast<T*>(out);
  const T* g = static_cast<const T*>(in[0]);
  const T* a = (saves & kA) ? static_cast<const T*>(in[1]) : g;
  const T* b = (saves & kB) ? static_cast<const T*>(in[2]) : g;
  const T* y = (saves & kY) ? static_cast<const T*>(in[3]) : g;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    r[i] = kFirst ? Op::pull_a(g[i], a[i], b[i], y[i], p) : Op::pull_b(g[i], a[i], b[i], y[i], p);
  }
}

struct Choose {
  template <class T>
  [[gnu::always_inline]] static T f(T condition, T a, T b, T) {
    return condition != T(0) ? a : b;
  }
};
struct AddProduct {
  template <class T>
  [[gnu::always_inline]] static T f(T x, T a, T b, T factor) {
    return x + factor * a * b;
  }
};
struct AddQuotient {
  template <class T>
  [[gnu::always_inline]] static T f(T x, T a, T b, T factor) {
    return x + factor * a / b;
  }
};
/// From below first, as PyTorch's clamp; NaN of any side is carried.
struct Clamp {
  template <class T>
  [[gnu::always_inline]] static T f(T x, T low, T high, T) {
    return minimum(maximum(x, low), high);
  }
};
struct Lerp {
  template <class T>
  [[gnu::always_inline]] static T f(T a, T b, T weight, T) {
    return lerp(a, b, weight);
  }
};

template <class Op, class T>
void ternary_loop(void* out, const void* const* in, const Walk&, int64_t n,
                  const LoopParameters& parameters) {
  const T factor = RowParameters<T>(parameters)[0];
  T* y = static_cast<T*>(out);
  const T* a = static_cast<const T*>(in[0]);
  const T* b = static_cast<const T*>(in[1]);
  const T* c = static_cast<const T*>(in[2]);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = Op::f(a[i], b[i], c[i], factor);
}

template <class Op>
constexpr BinaryLoops loops() {
  BinaryLoops table{};
  if constexpr (Op::domain == Domain::Bits) {
    table.f[2] = forward_loop<Op, int64_t>;
  } else {
    table.f[0] = forward_loop<Op, float>;
    table.f[1] = forward_loop<Op, double>;
    if constexpr (Op::domain != Domain::Float) table.f[2] = forward_loop<Op, int64_t>;
    if constexpr (Op::fused) {
      table.pull_a[0] = pull_loop<Op, float, true>;
      table.pull_a[1] = pull_loop<Op, double, true>;
      table.pull_b[0] = pull_loop<Op, float, false>;
      table.pull_b[1] = pull_loop<Op, double, false>;
    }
  }
  return table;
}

}  // namespace

#define TAPEGRAD_TABLE_ROW(name, ...) loops<binary_##name>(),
extern const BinaryLoops binary_table[];
const BinaryLoops binary_table[] = {TAPEGRAD_BINARY_ROWS(TAPEGRAD_TABLE_ROW)
                                        TAPEGRAD_BINARY_PARAMETRIC_ROWS(TAPEGRAD_TABLE_ROW)};
#undef TAPEGRAD_TABLE_ROW

extern const Loop ternary_table[][3];
const Loop ternary_table[][3] = {
    {ternary_loop<Choose, float>, ternary_loop<Choose, double>, ternary_loop<Choose, int64_t>},
    {ternary_loop<AddProduct, float>, ternary_loop<AddProduct, double>,
     ternary_loop<AddProduct, int64_t>},
    {ternary_loop<AddQuotient, float>, ternary_loop<AddQuotient, double>, nullptr},
    {ternary_loop<Lerp, float>, ternary_loop<Lerp, double>, nullptr},
    {ternary_loop<Clamp, float>, ternary_loop<Clamp, double>, ternary_loop<Clamp, int64_t>},
};

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
