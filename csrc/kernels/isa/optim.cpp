// Loops of the optimizers' updates: the formulas of optim_rules.h over arrays of float and double,
// and the way there from many tensors and from half types. Without contraction to fma, so that all
// instruction sets give the same bits.
#include "kernels/optim.h"

#include "core/half.h"
#include "core/parallel.h"
#include "kernels/isa/half_lines.h"
#include "kernels/isa/optim_rules.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 16384;
constexpr int64_t kHalfBlock = 256;  // of half types, converted at a time
constexpr int kMaxArity = 5;

/// n elements of one tensor: arrays[0] the parameter, arrays[1] the gradient, then the state.
using Loop = void (*)(const double* numbers, void* const* arrays, int64_t n);

/// The numbers as the type that the loop computes in.
template <template <class> class Numbers, class C>
[[gnu::always_inline]] inline Numbers<C> read_numbers(const double* from) {
  constexpr int kCount = sizeof(Numbers<C>) / sizeof(C);
  C values[kCount];
  for (int i = 0; i < kCount; ++i) values[i] = static_cast<C>(from[i]);
  return __builtin_bit_cast(Numbers<C>, values);
}

template <class Rule, template <class> class Numbers, class C>
void loop(const double* numbers, void* const* arrays, int64_t count) {
  static_assert(kCommonNumbers + sizeof(Numbers<double>) / sizeof(double) <= kUpdateNumbers);
  const auto common = read_numbers<CommonNumbers, C>(numbers);
  const auto n = read_numbers<Numbers, C>(numbers + kCommonNumbers);
  const bool decays = common.weight_decay != C(0);
  auto* p = static_cast<C*>(arrays[0]);
  const auto* g = static_cast<const C*>(arrays[1]);
  [[maybe_unused]] auto* a = static_cast<C*>(arrays[2]);
  [[maybe_unused]] auto* b = static_cast<C*>(arrays[3]);
  [[maybe_unused]] auto* c = static_cast<C*>(arrays[4]);
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    C w = p[i] * common.shrink;
    C d = g[i] * common.factor;
    d = decays ? d + common.weight_decay * w : d;
    if constexpr (Rule::kStates == 0) {
      Rule::update(n, w, d);
    } else if constexpr (Rule::kStates == 1) {
      C x = a[i];
      Rule::update(n, w, d, x);
      a[i] = x;
    } else if constexpr (Rule::kStates == 2) {
      C x = a[i], y = b[i];
      Rule::update(n, w, d, x, y);
      a[i] = x;
      b[i] = y;
    } else {
      C x = a[i], y = b[i], z = c[i];
      Rule::update(n, w, d, x, y, z);
      a[i] = x;
      b[i] = y;
      c[i] = z;
    }
    p[i] = w;
  }
}

/// The loop for floats over half types, block by block.
template <class T>
void in_blocks(Loop f, const double* numbers, void* const* arrays, int arity, int64_t count) {
  alignas(64) float buffers[kMaxArity][kHalfBlock];
  void* blocks[kMaxArity];
  for (int k = 0; k < kMaxArity; ++k) blocks[k] = buffers[k];
  for (int64_t start = 0; start < count; start += kHalfBlock) {
    const int64_t n = count - start < kHalfBlock ? count - start : kHalfBlock;
    for (int k = 0; k < arity; ++k) {
      to_floats(static_cast<const T*>(arrays[k]) + start, buffers[k], n);
    }
    f(numbers, blocks, n);
    for (int k = 0; k < arity; ++k) {
      if (k != 1) from_floats(buffers[k], static_cast<T*>(arrays[k]) + start, n);
    }
  }
}

/// `count` elements of tensor `t` from `start` on.
void run_piece(void* const* data, const UpdateTensors& s, Loop in_float, Loop in_double, int t,
               int64_t start, int64_t count) {
  const double* numbers = static_cast<const double*>(data[0]) + t * kUpdateNumbers;
  void* arrays[kMaxArity] = {};
  const int64_t size = s.dtype == DType::Float64 ? 8 : s.dtype == DType::Float32 ? 4 : 2;
  for (int k = 0; k < s.arity; ++k) {
    arrays[k] = static_cast<char*>(data[1 + t * s.arity + k]) + start * size;
  }
  if (s.dtype == DType::Float64) {
    in_double(numbers, arrays, count);
  } else if (s.dtype == DType::Float16) {
    in_blocks<Half>(in_float, numbers, arrays, s.arity, count);
  } else if (s.dtype == DType::BFloat16) {
    in_blocks<BFloat16>(in_float, numbers, arrays, s.arity, count);
  } else {
    in_float(numbers, arrays, count);
  }
}

/// All tensors, cut into pieces as one flat range.
void run(void* const* data, const UpdateTensors& s, Loop in_float, Loop in_double) {
  core::parallel_for(0, s.ends[s.count - 1], kGrain, [&](int64_t begin, int64_t end) {
    int64_t start = 0;
    for (int t = 0; t < s.count; ++t) {
      const int64_t stop = s.ends[t];
      const int64_t from = begin > start ? begin : start;
      const int64_t to = end < stop ? end : stop;
      if (from < to) run_piece(data, s, in_float, in_double, t, from - start, to - from);
      start = stop;
    }
  });
}

template <class Rule, template <class> class Numbers>
[[gnu::always_inline]] inline void run_rule(void* const* data, const UpdateTensors& s) {
  static_assert(Rule::kStates + 2 <= kMaxArity);
  run(data, s, &loop<Rule, Numbers, float>, &loop<Rule, Numbers, double>);
}

}  // namespace

void update_sgd(void* const* data, const UpdateTensors& s) { run_rule<Sgd, SgdNumbers>(data, s); }
void update_sgd_momentum(void* const* data, const UpdateTensors& s) {
  run_rule<SgdMomentum, SgdMomentumNumbers>(data, s);
}
void update_adam(void* const* data, const UpdateTensors& s) {
  run_rule<Adam, AdamNumbers>(data, s);
}
void update_adam_amsgrad(void* const* data, const UpdateTensors& s) {
  run_rule<AdamAmsgrad, AdamNumbers>(data, s);
}
void update_adamax(void* const* data, const UpdateTensors& s) {
  run_rule<Adamax, AdamaxNumbers>(data, s);
}
void update_nadam(void* const* data, const UpdateTensors& s) {
  run_rule<Nadam, NadamNumbers>(data, s);
}
void update_radam(void* const* data, const UpdateTensors& s) {
  run_rule<Radam, RadamNumbers>(data, s);
}
void update_rmsprop(void* const* data, const UpdateTensors& s) {
  run_rule<Rmsprop<false, false>, RmspropNumbers>(data, s);
}
void update_rmsprop_momentum(void* const* data, const UpdateTensors& s) {
  run_rule<Rmsprop<false, true>, RmspropNumbers>(data, s);
}
void update_rmsprop_centered(void* const* data, const UpdateTensors& s) {
  run_rule<Rmsprop<true, false>, RmspropNumbers>(data, s);
}
void update_rmsprop_centered_momentum(void* const* data, const UpdateTensors& s) {
  run_rule<Rmsprop<true, true>, RmspropNumbers>(data, s);
}
void update_rprop(void* const* data, const UpdateTensors& s) {
  run_rule<Rprop, RpropNumbers>(data, s);
}
void update_adagrad(void* const* data, const UpdateTensors& s) {
  run_rule<Adagrad, AdagradNumbers>(data, s);
}
void update_adadelta(void* const* data, const UpdateTensors& s) {
  run_rule<Adadelta, AdadeltaNumbers>(data, s);
}
void update_asgd(void* const* data, const UpdateTensors& s) {
  run_rule<Asgd, AsgdNumbers>(data, s);
}
void update_lion(void* const* data, const UpdateTensors& s) {
  run_rule<Lion, LionNumbers>(data, s);
}
void update_lerp(void* const* data, const UpdateTensors& s) {
  run_rule<Lerp, LerpNumbers>(data, s);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
