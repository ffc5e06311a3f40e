// Loops of the optimizers' updates. Formulas and order of operations are those of PyTorch's
// single-tensor forms; without contraction to fma, so that all instruction sets give the same bits.
#include "kernels/optim.h"

#include "core/half.h"
#include "core/parallel.h"
#include "kernels/isa/vector_math.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 16384;

// Storage types and the type they compute in.
[[gnu::always_inline]] inline float load(float x) { return x; }
[[gnu::always_inline]] inline double load(double x) { return x; }
[[gnu::always_inline]] inline float load(Half x) { return core::to_float(x); }
[[gnu::always_inline]] inline float load(BFloat16 x) { return core::to_float(x); }
[[gnu::always_inline]] inline void store(float& to, float x) { to = x; }
[[gnu::always_inline]] inline void store(double& to, double x) { to = x; }
[[gnu::always_inline]] inline void store(Half& to, float x) { to = core::to_half(x); }
[[gnu::always_inline]] inline void store(BFloat16& to, float x) { to = core::to_bfloat16(x); }

/// Calls f(t, begin, end) on pieces of all tensors, cut from one flat range.
template <class F>
[[gnu::always_inline]] inline void for_tensors(const UpdateTensors& tensors, F f) {
  core::parallel_for(0, tensors.ends[tensors.count - 1], kGrain, [&](int64_t begin, int64_t end) {
    int64_t start = 0;
    for (int t = 0; t < tensors.count; ++t) {
      const int64_t stop = tensors.ends[t];
      const int64_t from = begin > start ? begin : start;
      const int64_t to = end < stop ? end : stop;
      if (from < to) f(t, from - start, to - start);
      start = stop;
    }
  });
}

template <class C>
struct SgdConstants {
  C step, momentum, taken, weight_decay, sign;
  bool decays, nesterov;
  explicit SgdConstants(const SgdParameters& s)
      : step(static_cast<C>(-s.lr)),
        momentum(static_cast<C>(s.momentum)),
        taken(static_cast<C>(1 - s.dampening)),
        weight_decay(static_cast<C>(s.weight_decay)),
        sign(s.maximize ? C(-1) : C(1)),
        decays(s.weight_decay != 0),
        nesterov(s.nesterov) {}
};

template <class T, class C>
void sgd_plain(T* p, const T* g, int64_t begin, int64_t end, const SgdConstants<C> c) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const C w = load(p[i]);
    C d = load(g[i]) * c.sign;
    d = c.decays ? d + c.weight_decay * w : d;
    store(p[i], w + c.step * d);
  }
}

template <class T, class C>
void sgd_momentum(T* p, const T* g, T* b, bool first, int64_t begin, int64_t end,
                  const SgdConstants<C> c) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const C w = load(p[i]);
    C d = load(g[i]) * c.sign;
    d = c.decays ? d + c.weight_decay * w : d;
    const C mean = first ? d : load(b[i]) * c.momentum + c.taken * d;
    store(b[i], mean);
    store(p[i], w + c.step * (c.nesterov ? d + c.momentum * mean : mean));
  }
}

template <class T, class C>
void sgd(void* const* data, const SgdParameters& s) {
  const SgdConstants<C> constants(s);
  for_tensors(s.tensors, [&](int t, int64_t begin, int64_t end) {
    void* const* operands = data + t * s.tensors.arity;
    auto* p = static_cast<T*>(operands[0]);
    const auto* g = static_cast<const T*>(operands[1]);
    if (s.momentum == 0) {
      sgd_plain<T, C>(p, g, begin, end, constants);
    } else {
      sgd_momentum<T, C>(p, g, static_cast<T*>(operands[2]), s.first[t], begin, end, constants);
    }
  });
}

template <class C>
struct AdamConstants {
  C weight1, beta2, weight2, eps, weight_decay, shrink, sign;
  bool decays, from_start;
  explicit AdamConstants(const AdamParameters& s)
      : weight1(static_cast<C>(1 - s.beta1)),
        beta2(static_cast<C>(s.beta2)),
        weight2(static_cast<C>(1 - s.beta2)),
        eps(static_cast<C>(s.eps)),
        weight_decay(static_cast<C>(s.weight_decay)),
        shrink(static_cast<C>(s.shrink)),
        sign(s.maximize ? C(-1) : C(1)),
        decays(s.weight_decay != 0),
        from_start(1 - s.beta1 < 0.5) {}
};

template <class T, class C, bool kAmsgrad>
void adam_piece(void* const* operands, int64_t begin, int64_t end, const AdamConstants<C> c, C step,
                C root_scale) {
  auto* p = static_cast<T*>(operands[0]);
  const auto* g = static_cast<const T*>(operands[1]);
  auto* m = static_cast<T*>(operands[2]);
  auto* v = static_cast<T*>(operands[3]);
  auto* top = kAmsgrad ? static_cast<T*>(operands[4]) : nullptr;
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const C w = load(p[i]) * c.shrink;
    C d = load(g[i]) * c.sign;
    d = c.decays ? d + c.weight_decay * w : d;
    // Linear interpolation from the nearer end.
    const C old = load(m[i]);
    const C mean = c.from_start ? old + c.weight1 * (d - old) : d - (d - old) * (C(1) - c.weight1);
    C square = load(v[i]) * c.beta2 + c.weight2 * d * d;
    store(m[i], mean);
    store(v[i], square);
    if constexpr (kAmsgrad) {
      // The larger, or NaN when either is.
      const C before = load(top[i]);
      square = square > before || isnan(square) ? square : before;
      store(top[i], square);
    }
    store(p[i], w + step * mean / (sqrt(square) * root_scale + c.eps));
  }
}

template <class T, class C>
void adam(void* const* data, const AdamParameters& s) {
  const AdamConstants<C> constants(s);
  for_tensors(s.tensors, [&](int t, int64_t begin, int64_t end) {
    void* const* operands = data + t * s.tensors.arity;
    const auto step = static_cast<C>(-s.step_size[t]);
    const auto root_scale = static_cast<C>(s.root_scale[t]);
    if (s.amsgrad) {
      adam_piece<T, C, true>(operands, begin, end, constants, step, root_scale);
    } else {
      adam_piece<T, C, false>(operands, begin, end, constants, step, root_scale);
    }
  });
}

}  // namespace

void sgd_update(void* const* data, const SgdParameters& s) {
  switch (s.tensors.dtype) {
    case DType::Float64:
      return sgd<double, double>(data, s);
    case DType::Float16:
      return sgd<Half, float>(data, s);
    case DType::BFloat16:
      return sgd<BFloat16, float>(data, s);
    default:
      return sgd<float, float>(data, s);
  }
}

void adam_update(void* const* data, const AdamParameters& s) {
  switch (s.tensors.dtype) {
    case DType::Float64:
      return adam<double, double>(data, s);
    case DType::Float16:
      return adam<Half, float>(data, s);
    case DType::BFloat16:
      return adam<BFloat16, float>(data, s);
    default:
      return adam<float, float>(data, s);
  }
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
