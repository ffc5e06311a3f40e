// First and second derivatives of the unary rows in one loop, and tangents to second order. A task
// owns elements of the value, and with them a column of all rows.
#include "kernels/curve.h"

#include "core/parallel.h"
#include "kernels/isa/dual.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kBlock = 512;
constexpr int64_t kGrain = 16384;

template <class Op, class... Ops>
constexpr bool kOneOf = (__is_same(Op, Ops) || ...);

/// Parametric rows of networks; and no row whose derivative is made of zeta, Bessel or gamma
/// functions, which exist for numbers alone.
template <class Op>
constexpr bool kHasSlopes =
    Op::saves != Saves::None && Op::domain != Domain::Bool && Op::domain != Domain::Bits &&
    !kOneOf<Op, unary_lgamma, unary_digamma, unary_i0, unary_sinc>;
template <class Op>
constexpr bool kParametricSlopes =
    kOneOf<Op, unary_pow_scalar, unary_elu, unary_leaky_relu, unary_silu, unary_softplus,
           unary_gelu, unary_gelu_tanh, unary_logsigmoid, unary_mish, unary_softsign,
           unary_tanhshrink, unary_clamp, unary_hardtanh>;

template <class Op, class T>
TAPEGRAD_INLINE Dual<T> slopes_at(T saved, const RowParameters<T>& p,
                                  const RowParameters<Dual<T>>& dual_p) {
  const Dual<T> one(T(1)), zero(T(0));
  if constexpr (Op::saves == Saves::X) {
    return Op::pull(one, Dual<T>(saved, T(1)), zero, dual_p);
  } else {
    return Op::pull(one, zero, Dual<T>(saved, Op::pull(T(1), T(0), saved, p)), dual_p);
  }
}

template <class Op, class T>
void slopes(void* first, void* second, const void* from, int64_t n,
            const LoopParameters& parameters) {
  T *d = static_cast<T*>(first), *h = static_cast<T*>(second);
  const T* saved = static_cast<const T*>(from);
  const RowParameters<T> p(parameters);
  const RowParameters<Dual<T>> dual_p(parameters);
  const auto fast = [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const Dual<T> slope = slopes_at<Op>(saved[i], p, dual_p);
      d[i] = slope.value;
      h[i] = slope.slope;
    }
  };
  if constexpr (kOneOf<Op, unary_sin, unary_cos>) {
    const RowParameters<long double> wide(parameters);
    const RowParameters<Dual<long double>> dual_wide(parameters);
    map_block(saved, n, fast, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto slope = slopes_at<Op>(static_cast<long double>(saved[i]), wide, dual_wide);
        d[i] = static_cast<T>(slope.value);
        h[i] = static_cast<T>(slope.slope);
      }
    });
  } else {
    fast(0, n);
  }
}

/// Elements [begin, end) of the value, which lie in one row of the tangents at `at`.
template <class T>
void push_row(T* out, const T* tangents, const T* d, const T* h, int64_t n,
              const CurveParameters& p) {
  T squares[kBlock];
  for (int64_t i = 0; i < n; ++i) squares[i] = T(0);
  for (int64_t r = 0; r + 1 < p.rows; ++r) {
    const T* t = tangents + r * p.tangent_row;
    T* y = out + r * p.inner;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
      y[i] = d[i] * t[i];
      squares[i] += t[i] * t[i];
    }
  }
  const T* t = tangents + (p.rows - 1) * p.tangent_row;
  T* y = out + (p.rows - 1) * p.inner;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = d[i] * t[i] + h[i] * squares[i];
}

template <class T>
void push_curve(void* const* data, const CurveParameters& p) {
  core::parallel_for(0, p.outer * p.inner, kGrain, [&](int64_t begin, int64_t end) {
    T d[kBlock], h[kBlock];
    for (int64_t at = begin; at < end; at += kBlock) {
      const int64_t stop = at + kBlock < end ? at + kBlock : end;
      p.slopes(d, h, static_cast<const T*>(data[1]) + at, stop - at, p.row);
      for (int64_t i = at; i < stop;) {
        const int64_t row = i / p.inner, column = i % p.inner;
        const int64_t left = p.inner - column < stop - i ? p.inner - column : stop - i;
        push_row(static_cast<T*>(data[0]) + row * p.rows * p.inner + column,
                 static_cast<const T*>(data[2]) + row * p.tangent_outer + column, d + (i - at),
                 h + (i - at), left, p);
        i += left;
      }
    }
  });
}

template <class Op, bool kListed>
constexpr SlopesLoop loop_of(float) {
  if constexpr (kListed && kHasSlopes<Op>)
    return slopes<Op, float>;
  else
    return nullptr;
}
template <class Op, bool kListed>
constexpr SlopesLoop loop_of(double) {
  if constexpr (kListed && kHasSlopes<Op>)
    return slopes<Op, double>;
  else
    return nullptr;
}

}  // namespace

#define TAPEGRAD_SLOPES(name, ...) \
  {loop_of<unary_##name, true>(0.0f), loop_of<unary_##name, true>(0.0)},
#define TAPEGRAD_PARAMETRIC_SLOPES(name, ...)                    \
  {loop_of<unary_##name, kParametricSlopes<unary_##name>>(0.0f), \
   loop_of<unary_##name, kParametricSlopes<unary_##name>>(0.0)},
extern const SlopesLoop slopes_table[][2];
const SlopesLoop slopes_table[][2] = {TAPEGRAD_UNARY_ROWS(TAPEGRAD_SLOPES)
                                          TAPEGRAD_PARAMETRIC_ROWS(TAPEGRAD_PARAMETRIC_SLOPES)};
#undef TAPEGRAD_SLOPES
#undef TAPEGRAD_PARAMETRIC_SLOPES

void curve(void* const* data, const CurveParameters& p) {
  if (p.is_double)
    push_curve<double>(data, p);
  else
    push_curve<float>(data, p);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
