// Vector loops of the unary rows.
#include "kernels/isa/functors.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

/// Rows whose formulas hold for |x| up to kTrigLimit alone. See Note [Range reduction].
template <class Op>
constexpr bool kCircular =
    __is_same(Op, unary_sin) || __is_same(Op, unary_cos) || __is_same(Op, unary_tan);

/// Rows made of zeta, which comes in blocks.
template <class Op>
constexpr bool kZeta = __is_same(Op, unary_polygamma) || __is_same(Op, unary_zeta_of);
template <class Op>
constexpr bool kZetaPull = kZeta<Op> || __is_same(Op, unary_trigamma);

/// y = factor * g * zeta(s, x); g may be null.
template <class T>
void zeta_loop(T* y, const T* g, const T* x, int64_t n, T s, T factor) {
  T z[kZetaBlock];
  for (int64_t begin = 0; begin < n; begin += kZetaBlock) {
    const int64_t count = n - begin < kZetaBlock ? n - begin : kZetaBlock;
    zeta_block(&s, 0, x + begin, 1, count, z);
    for (int64_t i = 0; i < count; ++i) z[i] *= factor;
    for (int64_t i = 0; i < count; ++i) y[begin + i] = g ? g[begin + i] * z[i] : z[i];
  }
}

constexpr int64_t kLanes = 16;

/// A line of n < kLanes elements, followed by copies of the first. Most are single numbers.
template <class T>
[[gnu::noinline]] const T* fill_lanes(T* lanes, const T* from, int64_t n) {
  const T first = from[0];
#pragma omp simd
  for (int64_t i = 0; i < kLanes; ++i) lanes[i] = first;
#pragma GCC unroll 1
  for (int64_t i = 1; i < n; ++i) lanes[i] = from[i];
  return lanes;
}
template <class R>
[[gnu::noinline]] void store_lanes(R* to, const R* lanes, int64_t n) {
  to[0] = lanes[0];
#pragma GCC unroll 1
  for (int64_t i = 1; i < n; ++i) to[i] = lanes[i];
}

/// y[i] = f(x[i], z[i]), or f(x[i], x[i]) without z, in whole vectors by a single loop: loops for
/// what is left of a line would double the code. The last kLanes elements go first, into a buffer,
/// as y may be x; then all but what is beyond the last multiple of kLanes.
template <bool kHasZ, class R, class T, class F>
[[gnu::always_inline]] inline void map_line(R* y, const T* x, const T* z, int64_t n, F f) {
  R last[kLanes];
  T x_line[kLanes], z_line[kLanes];
  const bool is_short = n < kLanes;
  if (n <= 0) return;
  if (is_short) {
    x = fill_lanes(x_line, x, n);
    if (kHasZ) z = fill_lanes(z_line, z, n);
  }
  const int64_t whole = n & -kLanes, tail = is_short ? 0 : n - kLanes;
  for (bool to_end = whole != n;; to_end = false) {
    asm("" : "+r"(to_end));  // else the compiler makes a loop for each of the two rounds
    const T* a = to_end ? x + tail : x;
    const T* b = !kHasZ ? a : to_end ? z + tail : z;
    R* to = to_end ? last : y;
    const int64_t m = to_end ? kLanes : whole;
    if (m < kLanes) __builtin_unreachable();
#pragma omp simd
    for (int64_t i = 0; i < m; ++i) to[i] = static_cast<R>(f(a[i], b[i]));
    if (!to_end) break;
    if (is_short) return store_lanes(y, last, n);
  }
  if (whole != n) __builtin_memcpy(y + tail, last, sizeof last);
}

template <class Op, class T>
void forward_loop(void* out, const void* const* in, const Walk&, int64_t n,
                  const LoopParameters& parameters) {
  const RowParameters<T> p(parameters);
  const T* x = static_cast<const T*>(in[0]);
  if constexpr (Op::domain == Domain::Bool) {
    map_line<false>(static_cast<unsigned char*>(out), x, x, n, [p](T a, T) { return Op::f(a, p); });
  } else {
    T* y = static_cast<T*>(out);
    const auto fast = [=](int64_t begin, int64_t end) {
      map_line<false>(y + begin, x + begin, x + begin, end - begin,
                      [p](T a, T) { return Op::f(a, p); });
    };
    if constexpr (kZeta<Op>) {
      zeta_loop<T>(y, nullptr, x, n, p[0], __is_same(Op, unary_polygamma) ? p[1] : T(1));
    } else if constexpr (__is_same(Op, unary_lgamma)) {
      map_positive(x, n, fast, [=](int64_t begin, int64_t end) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) y[i] = lgamma_positive(x[i]);
      });
    } else if constexpr (__is_same(Op, unary_elu)) {
      map_positive(x, n, fast, [=](int64_t begin, int64_t end) {
        const T scale = p[1];
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) y[i] = x[i] * scale;
      });
    } else if constexpr (kCircular<Op>) {
      const RowParameters<long double> wide(parameters);
      map_block(x, n, fast, [=](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          y[i] = static_cast<T>(Op::f(static_cast<long double>(x[i]), wide));
        }
      });
    } else {
      fast(0, n);
    }
  }
}

template <class Op, class T>
void pull_piece(T* r, const T* g, const T* saved, int64_t n, const RowParameters<T>& p) {
  if constexpr (kZetaPull<Op>) {
    constexpr bool kTrigamma = __is_same(Op, unary_trigamma);
    const T factor = kTrigamma ? T(-2) : p[__is_same(Op, unary_polygamma) ? 2 : 1];
    zeta_loop<T>(r, g, saved, n, kTrigamma ? T(3) : p[0] + T(1), factor);
  } else if constexpr (Op::saves == Saves::None) {
    map_line<false>(r, g, g, n, [p](T a, T) { return Op::pull(a, T(0), T(0), p); });
  } else if constexpr (kCircular<Op> && Op::saves == Saves::X) {
    map_block(
        saved, n,
        [=](int64_t begin, int64_t end) {
          map_line<true>(r + begin, g + begin, saved + begin, end - begin,
                         [p](T a, T x) { return Op::pull(a, x, T(0), p); });
        },
        [=](int64_t begin, int64_t end) {
          using Wide = long double;
          const RowParameters<Wide> none(LoopParameters{});
          for (int64_t i = begin; i < end; ++i)
            r[i] = static_cast<T>(Op::pull(Wide(g[i]), Wide(saved[i]), Wide(0), none));
        });
  } else if constexpr (Op::saves == Saves::X) {
    map_line<true>(r, g, saved, n, [p](T a, T x) { return Op::pull(a, x, T(0), p); });
  } else {
    map_line<true>(r, g, saved, n, [p](T a, T y) { return Op::pull(a, T(0), y, p); });
  }
}

/// A single number as gradient (that of a sum) or as input is repeated in a small buffer: a loop of
/// its own would double the code of every row.
template <class Op, class T>
void pull_loop(void* out, const void* const* in, const Walk& walk, int64_t n,
               const LoopParameters& parameters) {
  const RowParameters<T> p(parameters);
  const int64_t* const steps = walk.steps;
  constexpr int kInputs = Op::saves == Saves::None ? 1 : 2;
  constexpr int64_t kPiece = 256;
  T* r = static_cast<T*>(out);
  const T* from[2] = {static_cast<const T*>(in[0]),
                      kInputs == 2 ? static_cast<const T*>(in[1]) : nullptr};
  if (steps[0] != 0 && (kInputs == 1 || steps[1] != 0)) {
    pull_piece<Op>(r, from[0], from[1], n, p);
    return;
  }
  T repeated[2][kPiece];
  for (int k = 0; k < kInputs; ++k) {
    for (int64_t i = 0; steps[k] == 0 && i < kPiece && i < n; ++i) repeated[k][i] = *from[k];
  }
  for (int64_t at = 0; at < n; at += kPiece) {
    const T* g = steps[0] == 0 ? repeated[0] : from[0] + at;
    const T* saved = kInputs == 1 ? nullptr : steps[1] == 0 ? repeated[1] : from[1] + at;
    pull_piece<Op>(r + at, g, saved, n - at < kPiece ? n - at : kPiece, p);
  }
}

template <class Op>
constexpr UnaryLoops loops() {
  UnaryLoops table{};
  if constexpr (Op::domain == Domain::Bits) {
    table.f[2] = forward_loop<Op, int64_t>;
  } else {
    table.f[0] = forward_loop<Op, float>;
    table.f[1] = forward_loop<Op, double>;
    if constexpr (Op::domain != Domain::Float) table.f[2] = forward_loop<Op, int64_t>;
    if constexpr (Op::domain != Domain::Bool) {
      table.pull[0] = pull_loop<Op, float>;
      table.pull[1] = pull_loop<Op, double>;
    }
  }
  return table;
}

}  // namespace

#define TAPEGRAD_TABLE_ROW(name, ...) loops<unary_##name>(),
extern const UnaryLoops unary_table[];
const UnaryLoops unary_table[] = {TAPEGRAD_UNARY_ROWS(TAPEGRAD_TABLE_ROW)
                                      TAPEGRAD_PARAMETRIC_ROWS(TAPEGRAD_TABLE_ROW)};
#undef TAPEGRAD_TABLE_ROW

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
