// Connectionist temporal classification (Graves et al., 2006) in the logarithm: all states of a
// time step side by side.
#include "kernels/ctc.h"

#include "core/parallel.h"
#include "kernels/isa/lanes.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

/// log(exp(a) + exp(b) + exp(c)), -inf if all are.
template <class T>
TAPEGRAD_INLINE T log_sum(T a, T b, T c) {
  const T ab = a > b ? a : b, most = ab > c ? ab : c;
  const T base = most == -kInfinity<T> ? T(0) : most;
  return log(exp(a - base) + exp(b - base) + exp(c - base)) + base;
}

/// One sample. Rows of states are preceded and followed by two places of -inf; so are the states
/// that fill the last vector, since nothing is emitted there.
template <class T>
struct Sample {
  const T* log_probs;  // of the sample at time 0
  int64_t stride;      // from one time step to the next
  const int64_t* labels;
  int64_t states;
  int64_t steps;
  int64_t blank;
  T* skip;  // 0 where a path may come from two states before, else -inf

  int64_t width() const { return ctc_width(states); }
  int64_t row() const { return width() + 4; }
  int64_t label(int64_t s) const { return s % 2 ? labels[s / 2] : blank; }

  void prepare(T* emission) const {
    for (int64_t s = states; s < width(); ++s) emission[s] = -kInfinity<T>;
    for (int64_t s = 0; s < width() + 2; ++s) {
      const bool free = s % 2 && s > 1 && s < states && labels[s / 2] != labels[s / 2 - 1];
      skip[s] = free ? T(0) : -kInfinity<T>;
    }
  }
  void clear(T* line) const {
    for (int64_t s = -2; s < width() + 2; ++s) line[s] = -kInfinity<T>;
  }
  void emissions(int64_t t, T* to) const {
    const T* p = log_probs + t * stride;
    for (int64_t s = 0; s < states; ++s) to[s] = p[label(s)];
  }
  void start(T* alpha, T* emission) const {
    emissions(0, emission);
    clear(alpha);
    alpha[0] = emission[0];
    if (states > 1) alpha[1] = emission[1];
  }
  void advance(int64_t t, const T* before, T* alpha, T* emission) const {
    emissions(t, emission);
    const int64_t n = width();
#pragma omp simd
    for (int64_t s = 0; s < n; ++s)
      alpha[s] = log_sum(before[s], before[s - 1], before[s - 2] + skip[s]) + emission[s];
  }
  /// The loss, from the last row of states.
  T loss(const T* alpha) const {
    const T last = alpha[states - 1], other = states > 1 ? alpha[states - 2] : -kInfinity<T>;
    return -log_sum(last, other, -kInfinity<T>);
  }
  T empty_loss() const { return states == 1 ? T(0) : kInfinity<T>; }
};

template <class T>
Sample<T> sample_of(const CtcParameters& p, int64_t b, const void* log_probs, const void* labels,
                    const void* begins, const void* lengths, T* skip) {
  const auto* begin = static_cast<const int64_t*>(begins) + b;
  return {static_cast<const T*>(log_probs) + b * p.classes,
          p.batch * p.classes,
          static_cast<const int64_t*>(labels) + begin[0],
          2 * (begin[1] - begin[0]) + 1,
          static_cast<const int64_t*>(lengths)[b],
          p.blank,
          skip};
}

template <class T>
void run_loss(void* const* data, const CtcParameters& p) {
  T* losses = static_cast<T*>(data[0]);
  T* scratch = static_cast<T*>(data[5]);
  core::parallel_for(0, p.batch, 1, [=, &p](int64_t begin, int64_t end) {
    const int64_t row = ctc_row(p);
    T* memory = scratch + core::thread_index() * ctc_loss_scratch(p);
    T *skip = memory, *emission = memory + row;
    for (int64_t b = begin; b < end; ++b) {
      T *alpha = memory + 2 * row + 2, *next = memory + 3 * row + 2;
      auto sample = sample_of<T>(p, b, data[1], data[2], data[3], data[4], skip);
      if (sample.steps == 0) {
        losses[b] = sample.empty_loss();
        continue;
      }
      sample.prepare(emission);
      sample.clear(next);
      sample.start(alpha, emission);
      for (int64_t t = 1; t < sample.steps; ++t) {
        sample.advance(t, alpha, next, emission);
        T* const done = alpha;
        alpha = next;
        next = done;
      }
      losses[b] = sample.loss(alpha);
    }
  });
}

/// The derivative of the loss by log_probs: minus the chance of each class at each time, given the
/// target; times g.
template <class T>
void sample_gradient(Sample<T>& sample, T* out, T g, bool zero_infinity, T* memory) {
  const int64_t row = sample.row(), n = sample.width();
  T *emission = memory, *beta = memory + row + 2, *next = memory + 2 * row + 2;
  T* alphas = memory + 3 * row + 2;
  sample.prepare(emission);
  sample.start(alphas, emission);
  for (int64_t t = 1; t < sample.steps; ++t) {
    sample.clear(alphas + t * row);
    sample.advance(t, alphas + (t - 1) * row, alphas + t * row, emission);
  }
  const T loss = sample.loss(alphas + (sample.steps - 1) * row);
  if (loss == kInfinity<T> && zero_infinity) return;
  sample.clear(beta);
  sample.clear(next);
  beta[sample.states - 1] = T(0);
  if (sample.states > 1) beta[sample.states - 2] = T(0);
  for (int64_t t = sample.steps - 1; t >= 0; --t) {
    const T* alpha = alphas + t * row;
    T* to = out + t * sample.stride;
    sample.emissions(t, emission);
#pragma omp simd
    for (int64_t s = 0; s < n; ++s) {
      next[s] = beta[s] + emission[s];  // of the paths that emit at t
      beta[s] = exp(alpha[s] + beta[s] + loss);
    }
    for (int64_t s = 0; s < sample.states; ++s) to[sample.label(s)] -= beta[s] * g;
    const T* skip = sample.skip;
#pragma omp simd
    for (int64_t s = 0; s < n; ++s)
      beta[s] = log_sum(next[s], next[s + 1], next[s + 2] + skip[s + 2]);
  }
}

template <class T>
void run_gradient(void* const* data, const CtcParameters& p) {
  T* out = static_cast<T*>(data[0]);
  const T* g = static_cast<const T*>(data[1]);
  T* scratch = static_cast<T*>(data[6]);
  core::parallel_for(0, p.batch, 1, [=, &p](int64_t begin, int64_t end) {
    T* memory = scratch + core::thread_index() * ctc_gradient_scratch(p);
    for (int64_t b = begin; b < end; ++b) {
      auto sample = sample_of<T>(p, b, data[2], data[3], data[4], data[5], memory);
      T* to = out + b * p.classes;
      for (int64_t t = 0; t < p.steps; ++t)
        for (int64_t c = 0; c < p.classes; ++c) to[t * sample.stride + c] = T(0);
      if (sample.steps > 0) sample_gradient(sample, to, g[b], p.zero_infinity, memory + ctc_row(p));
    }
  });
}

}  // namespace

void ctc(void* const* data, const CtcParameters& p) {
  if (p.is_double)
    run_loss<double>(data, p);
  else
    run_loss<float>(data, p);
}

void ctc_gradient(void* const* data, const CtcParameters& p) {
  if (p.is_double)
    run_gradient<double>(data, p);
  else
    run_gradient<float>(data, p);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
