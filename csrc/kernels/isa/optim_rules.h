// The formulas of the optimizers, one element at a time: w the parameter, g the gradient (with
// weight decay and sign already in it), then the state. Order of operations as in PyTorch's
// single-tensor forms. Must know nothing of tensors, dtypes and threads. See Note [A rule of an
// optimizer].
#pragma once

#include "kernels/isa/vector_math.h"
#include "kernels/optim.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

/// Linear interpolation, from the nearer end.
template <Real C>
TAPEGRAD_INLINE C lerp(C from, C to, C weight) {
  const C way = to - from;
  return weight < C(0.5) ? from + weight * way : to - way * (C(1) - weight);
}

struct Sgd {
  static constexpr int kStates = 0;
  template <class C>
  TAPEGRAD_INLINE static void update(const SgdNumbers<C>& n, C& w, C g) {
    w = w + n.step * g;
  }
};

struct SgdMomentum {
  static constexpr int kStates = 1;
  template <class C>
  TAPEGRAD_INLINE static void update(const SgdMomentumNumbers<C>& n, C& w, C g, C& buffer) {
    buffer = buffer * n.momentum + n.taken * g;
    w = w + n.step * (n.nesterov != C(0) ? g + n.momentum * buffer : buffer);
  }
};

struct Adam {
  static constexpr int kStates = 2;
  template <class C>
  TAPEGRAD_INLINE static void update(const AdamNumbers<C>& n, C& w, C g, C& mean, C& square) {
    mean = lerp(mean, g, n.weight1);
    square = square * n.beta2 + n.weight2 * g * g;
    w = w + n.step * mean / (sqrt(square) * n.root_scale + n.eps);
  }
};

struct AdamAmsgrad {
  static constexpr int kStates = 3;
  template <class C>
  TAPEGRAD_INLINE static void update(const AdamNumbers<C>& n, C& w, C g, C& mean, C& square,
                                     C& top) {
    mean = lerp(mean, g, n.weight1);
    square = square * n.beta2 + n.weight2 * g * g;
    top = maximum(top, square);
    w = w + n.step * mean / (sqrt(top) * n.root_scale + n.eps);
  }
};

struct Adamax {
  static constexpr int kStates = 2;
  template <class C>
  TAPEGRAD_INLINE static void update(const AdamaxNumbers<C>& n, C& w, C g, C& mean, C& top) {
    mean = lerp(mean, g, n.weight1);
    top = maximum(top * n.beta2, abs(g) + n.eps);
    w = w + n.step * mean / top;
  }
};

struct Nadam {
  static constexpr int kStates = 2;
  template <class C>
  TAPEGRAD_INLINE static void update(const NadamNumbers<C>& n, C& w, C g, C& mean, C& square) {
    mean = lerp(mean, g, n.weight1);
    square = square * n.beta2 + n.weight2 * g * g;
    w = w + (n.gradient_step * g + n.mean_step * mean) / (sqrt(square * n.square_scale) + n.eps);
  }
};

struct Radam {
  static constexpr int kStates = 2;
  template <class C>
  TAPEGRAD_INLINE static void update(const RadamNumbers<C>& n, C& w, C g, C& mean, C& square) {
    mean = lerp(mean, g, n.weight1);
    square = square * n.beta2 + n.weight2 * g * g;
    w = w + n.step * mean / (n.adaptive != C(0) ? sqrt(square) + n.eps : C(1));
  }
};

template <bool kCentered, bool kMomentum>
struct Rmsprop {
  static constexpr int kStates = 1 + kCentered + kMomentum;
  template <class C, class... Rest>
  TAPEGRAD_INLINE static void update(const RmspropNumbers<C>& n, C& w, C g, C& square,
                                     Rest&... rest) {
    square = square * n.alpha + n.weight * g * g;
    direct(n, w, g, square, rest...);
  }

 private:
  template <class C>
  TAPEGRAD_INLINE static void move(const RmspropNumbers<C>& n, C& w, C direction) {
    w = w + n.step * direction;
  }
  template <class C>
  TAPEGRAD_INLINE static void move(const RmspropNumbers<C>& n, C& w, C direction, C& buffer) {
    buffer = buffer * n.momentum + direction;
    w = w + n.step * buffer;
  }
  template <class C, class... Buffer>
  TAPEGRAD_INLINE static void direct(const RmspropNumbers<C>& n, C& w, C g, C square,
                                     Buffer&... buffer)
    requires(!kCentered)
  {
    move(n, w, g / (sqrt(square) + n.eps), buffer...);
  }
  template <class C, class... Buffer>
  TAPEGRAD_INLINE static void direct(const RmspropNumbers<C>& n, C& w, C g, C square, C& mean,
                                     Buffer&... buffer)
    requires(kCentered)
  {
    mean = lerp(mean, g, n.weight);
    move(n, w, g / (sqrt(square - mean * mean) + n.eps), buffer...);
  }
};

struct Rprop {
  static constexpr int kStates = 2;
  template <class C>
  TAPEGRAD_INLINE static void update(const RpropNumbers<C>& n, C& w, C g, C& previous, C& size) {
    const C turn = g * previous;
    size = size * (turn > C(0) ? n.plus : turn < C(0) ? n.minus : C(1));
    size = minimum(maximum(size, n.smallest), n.largest);
    previous = turn < C(0) ? C(0) : g;
    w = w - sign(previous) * size;
  }
};

struct Adagrad {
  static constexpr int kStates = 1;
  template <class C>
  TAPEGRAD_INLINE static void update(const AdagradNumbers<C>& n, C& w, C g, C& sum) {
    sum = sum + g * g;
    w = w + n.step * g / (sqrt(sum) + n.eps);
  }
};

struct Adadelta {
  static constexpr int kStates = 2;
  template <class C>
  TAPEGRAD_INLINE static void update(const AdadeltaNumbers<C>& n, C& w, C g, C& square, C& moved) {
    square = square * n.rho + n.weight * g * g;
    const C way = sqrt(moved + n.eps) / sqrt(square + n.eps) * g;
    moved = moved * n.rho + n.weight * way * way;
    w = w + n.step * way;
  }
};

struct Asgd {
  static constexpr int kStates = 1;
  template <class C>
  TAPEGRAD_INLINE static void update(const AsgdNumbers<C>& n, C& w, C g, C& average) {
    w = w * n.decay + n.step * g;
    average = n.mu == C(1) ? w : average + (w - average) * n.mu;
  }
};

struct Lion {
  static constexpr int kStates = 1;
  template <class C>
  TAPEGRAD_INLINE static void update(const LionNumbers<C>& n, C& w, C g, C& mean) {
    w = w + n.step * sign(n.beta1 * mean + n.weight1 * g);
    mean = n.beta2 * mean + n.weight2 * g;
  }
};

/// Running averages of parameters: g is the parameter, w its average.
struct Lerp {
  static constexpr int kStates = 0;
  template <class C>
  TAPEGRAD_INLINE static void update(const LerpNumbers<C>& n, C& w, C g) {
    w = lerp(w, g, n.weight);
  }
};

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
