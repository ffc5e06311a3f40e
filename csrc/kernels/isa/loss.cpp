// Losses that compare two tensors element by element, summed in the same pass, and their gradients.
#include "kernels/loss.h"

#include "core/parallel.h"
#include "kernels/isa/lanes.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 16384;

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// value(x, t, p) and slope(x, t, p), the derivative by x.
struct Squared {
  template <class T>
  TAPEGRAD_INLINE static T value(T x, T t, T) {
    return (x - t) * (x - t);
  }
  template <class T>
  TAPEGRAD_INLINE static T slope(T x, T t, T) {
    return T(2) * (x - t);
  }
};
struct Absolute {
  template <class T>
  TAPEGRAD_INLINE static T value(T x, T t, T) {
    return abs(x - t);
  }
  template <class T>
  TAPEGRAD_INLINE static T slope(T x, T t, T) {
    return sign(x - t);
  }
};
struct SmoothL1 {
  template <class T>
  TAPEGRAD_INLINE static T value(T x, T t, T beta) {
    const T d = abs(x - t);
    return d < beta ? T(0.5) * d * d / beta : d - T(0.5) * beta;
  }
  template <class T>
  TAPEGRAD_INLINE static T slope(T x, T t, T beta) {
    const T d = x - t;
    return d <= -beta ? T(-1) : d >= beta ? T(1) : d / beta;
  }
};
struct Huber {
  template <class T>
  TAPEGRAD_INLINE static T value(T x, T t, T delta) {
    const T d = abs(x - t);
    return d <= delta ? T(0.5) * d * d : delta * (d - T(0.5) * delta);
  }
  template <class T>
  TAPEGRAD_INLINE static T slope(T x, T t, T delta) {
    const T d = x - t;
    return d <= -delta ? -delta : d >= delta ? delta : d;
  }
};
struct CrossEntropyLogits {
  /// -t log s(x) - (1 - t) log s(-x) = log(1 + exp(-|x|)) + |x| (1 - t or t): all terms positive
  /// for t in [0, 1], so nothing cancels.
  template <class T>
  TAPEGRAD_INLINE static T value(T x, T t, T) {
    const T share = x >= T(0) ? T(1) - t : t;
    const T linear = share == T(0) ? T(0) : share * abs(x);
    return log1p_exp(-abs(x)) + linear;
  }
  template <class T>
  TAPEGRAD_INLINE static T slope(T x, T t, T) {
    return sigmoid(x) - t;
  }
};
struct CrossEntropy {
  template <class T>
  TAPEGRAD_INLINE static T limited_log(T x) {
    const T y = log(x);
    return y < T(-100) ? T(-100) : y;
  }
  template <class T>
  TAPEGRAD_INLINE static T value(T x, T t, T) {
    return (t - T(1)) * limited_log(T(1) - x) - t * limited_log(x);
  }
  template <class T>
  TAPEGRAD_INLINE static T slope(T x, T t, T) {
    const T product = (T(1) - x) * x;
    return (x - t) / (product < T(1e-12) ? T(1e-12) : product);
  }
};
// What a target of 0 (or a log-target of -inf) multiplies counts for nothing, also where it is
// infinite.
struct Divergence {
  template <class T>
  TAPEGRAD_INLINE static T value(T x, T t, T) {
    const T y = t * (log(t) - x);
    return t == T(0) ? T(0) : y;
  }
  template <class T>
  TAPEGRAD_INLINE static T slope(T, T t, T) {
    return -t;
  }
};
struct LogDivergence {
  template <class T>
  TAPEGRAD_INLINE static T value(T x, T t, T) {
    const T share = exp(t), y = share * (t - x);
    return share == T(0) ? T(0) : y;
  }
  template <class T>
  TAPEGRAD_INLINE static T slope(T, T t, T) {
    return -exp(t);
  }
};
struct PoissonLog {
  template <class T>
  TAPEGRAD_INLINE static T value(T x, T t, T) {
    const T linear = t == T(0) ? T(0) : t * x;
    return exp(x) - linear;
  }
  template <class T>
  TAPEGRAD_INLINE static T slope(T x, T t, T) {
    return exp(x) - t;
  }
};
struct Poisson {
  template <class T>
  TAPEGRAD_INLINE static T value(T x, T t, T eps) {
    return x - t * log(x + eps);
  }
  template <class T>
  TAPEGRAD_INLINE static T slope(T x, T t, T eps) {
    return T(1) - t / (x + eps);
  }
};
struct SoftMargin {
  template <class T>
  TAPEGRAD_INLINE static T value(T x, T t, T) {
    return log1p_exp(-t * x);
  }
  template <class T>
  TAPEGRAD_INLINE static T slope(T x, T t, T) {
    return -t * sigmoid(-t * x);
  }
};
struct HingeEmbedding {
  template <class T>
  TAPEGRAD_INLINE static T value(T x, T t, T margin) {
    const T gap = margin - x;
    const T own = t == T(-1) ? T(0) : x, other = t == T(1) || gap < T(0) ? T(0) : gap;
    return own + other;
  }
  template <class T>
  TAPEGRAD_INLINE static T slope(T x, T t, T margin) {
    const T own = t == T(-1) ? T(0) : T(1);
    return t != T(1) && margin - x >= T(0) ? own - T(1) : own;
  }
};
struct MarginRanking {
  template <class T>
  TAPEGRAD_INLINE static T value(T x, T t, T margin) {
    const T gap = margin - t * x;
    return gap < T(0) ? T(0) : gap;
  }
  template <class T>
  TAPEGRAD_INLINE static T slope(T x, T t, T margin) {
    return margin - t * x >= T(0) ? -t : T(0);
  }
};

// A loss has two loops, whatever becomes of their results: each copy takes kilobytes.
template <class Loss, class T>
[[gnu::noinline]] void fill_values(T* out, const T* x, const T* t, T parameter, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = Loss::value(x[i], t[i], parameter);
}
template <class Loss, class T>
[[gnu::noinline]] void fill_slopes(T* out, const T* x, const T* t, T parameter, T factor,
                                   int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = factor * Loss::slope(x[i], t[i], parameter);
}

constexpr int64_t kBlock = 1024;  // stays in the first cache

template <class T>
struct Values {
  template <class Loss>
  static T sum_piece(const T* x, const T* t, T parameter, int64_t n) {
    alignas(64) T block[kBlock];
    T total = T(0);
    for (int64_t first = 0; first < n; first += kBlock) {
      const int64_t count = smaller(kBlock, n - first);
      fill_values<Loss>(block, x + first, t + first, parameter, count);
      total += fold_line<Sum<T>>(block, count);
    }
    return total;
  }

  template <class Loss>
  static void run(void* const* data, const PairLossParameters& p) {
    T* out = static_cast<T*>(data[0]);
    const T* x = static_cast<const T*>(data[1]);
    const T* t = static_cast<const T*>(data[2]);
    const T parameter = static_cast<T>(p.parameter);
    if (!p.sum) {
      core::parallel_for(0, p.n, kGrain, [=](int64_t begin, int64_t end) {
        fill_values<Loss>(out + begin, x + begin, t + begin, parameter, end - begin);
      });
      return;
    }
    const T divisor = static_cast<T>(p.divisor);
    if (p.n <= kPairChunk) {
      *out = sum_piece<Loss>(x, t, parameter, p.n) / divisor;
      return;
    }
    T* scratch = static_cast<T*>(data[3]);
    const int64_t chunks = pair_loss_scratch(p);
    core::parallel_for(0, chunks, kGrain / kPairChunk, [=, &p](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        const int64_t first = k * kPairChunk;
        scratch[k] =
            sum_piece<Loss>(x + first, t + first, parameter, smaller(kPairChunk, p.n - first));
      }
    });
    *out = fold_line<Sum<T>>(scratch, chunks) / divisor;
  }
};

template <class T>
struct Gradients {
  template <class Loss>
  static void run(void* const* data, const PairGradientParameters& p) {
    T* out = static_cast<T*>(data[0]);
    const T* g = static_cast<const T*>(data[1]);
    const T* x = static_cast<const T*>(data[2]);
    const T* t = static_cast<const T*>(data[3]);
    const T parameter = static_cast<T>(p.parameter), scale = static_cast<T>(p.scale);
    const bool single = p.single_g;
    const T factor = single ? g[0] * scale : scale;
    core::parallel_for(0, p.n, kGrain, [=](int64_t begin, int64_t end) {
      for (int64_t first = begin; first < end; first += kBlock) {
        const int64_t count = smaller(kBlock, end - first);
        T* to = out + first;
        fill_slopes<Loss>(to, x + first, t + first, parameter, factor, count);
        if (!single) scale_by(to, g + first, count);
      }
    });
  }
  [[gnu::noinline]] static void scale_by(T* to, const T* g, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) to[i] *= g[i];
  }
};

template <class Work, class Parameters>
void choose(void* const* data, const Parameters& p) {
  switch (p.loss) {
    case PairLoss::Squared:
      return Work::template run<Squared>(data, p);
    case PairLoss::Absolute:
      return Work::template run<Absolute>(data, p);
    case PairLoss::SmoothL1:
      return Work::template run<SmoothL1>(data, p);
    case PairLoss::Huber:
      return Work::template run<Huber>(data, p);
    case PairLoss::CrossEntropyLogits:
      return Work::template run<CrossEntropyLogits>(data, p);
    case PairLoss::CrossEntropy:
      return Work::template run<CrossEntropy>(data, p);
    case PairLoss::Divergence:
      return Work::template run<Divergence>(data, p);
    case PairLoss::LogDivergence:
      return Work::template run<LogDivergence>(data, p);
    case PairLoss::PoissonLog:
      return Work::template run<PoissonLog>(data, p);
    case PairLoss::Poisson:
      return Work::template run<Poisson>(data, p);
    case PairLoss::SoftMargin:
      return Work::template run<SoftMargin>(data, p);
    case PairLoss::HingeEmbedding:
      return Work::template run<HingeEmbedding>(data, p);
    case PairLoss::MarginRanking:
      return Work::template run<MarginRanking>(data, p);
  }
}

}  // namespace

void pair_loss(void* const* data, const PairLossParameters& p) {
  if (p.is_double)
    choose<Values<double>>(data, p);
  else
    choose<Values<float>>(data, p);
}

void pair_gradient(void* const* data, const PairGradientParameters& p) {
  if (p.is_double)
    choose<Gradients<double>>(data, p);
  else
    choose<Gradients<float>>(data, p);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
