// Taylor mode: how coefficients of a curve pass through an operation.
//
// Note [Taylor coefficients]
// At a Taylor level a tensor stands for a curve x(t) = x0 + x1 t + x2 t^2 + ... Linear rules act on
// each coefficient, products convolve them. Any other rule gives its derivative along x'(t) by
// push() (or pull()), written in operations: run on the truncated series of x, y and x', it gives
// the series of y'(t), whose coefficient k - 1 is k times y_k. So one formula serves all orders
// (Griewank and Walther, "Evaluating Derivatives", 2008, chapter 13).
#include <algorithm>

#include "autograd/entry.h"
#include "autograd/level.h"
#include "core/text.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad::autograd {
namespace {

using Series = std::vector<Tensor>;  // coefficients 0, 1, 2, ...; undefined where zero

bool defined_at(const Series& series, size_t k) { return k < series.size() && series[k].defined(); }

Tensor coefficient(const Series& series, size_t k) {
  return defined_at(series, k) ? series[k] : zeros_like(series[0]);
}

Tensor sum_of(const Tensor& total, const Tensor& part) {
  return total.defined() ? total + part : part;
}

/// The curve of `series`, to `order`, as a tensor of the level.
Tensor with_series(const Series& series, int level, size_t order) {
  if (order == 0 || series.size() < 2) return series[0];
  const Tensor tensor = strip_tangent(series[0], level);
  set_series(tensor, level,
             {series.begin() + 1,
              series.begin() + static_cast<std::ptrdiff_t>(std::min(order + 1, series.size()))});
  return tensor;
}

/// The series of the derivative by t.
Series derivative(const Series& series, size_t order) {
  Series result;
  for (size_t k = 1; k <= order; ++k) {
    if (k == 1) {
      result.push_back(coefficient(series, 1));
    } else {
      result.push_back(defined_at(series, k) ? series[k] * Scalar(static_cast<double>(k))
                                             : Tensor());
    }
  }
  return result;
}

class Curves {
 public:
  Curves(Inputs inputs, int level, const TangentCallbacks& callbacks)
      : level_(level), order_(static_cast<size_t>(taylor_order(level))), callbacks_(callbacks) {
    for (int i = 0; i < inputs.count; ++i) {
      Series series = series_at(inputs[i], level);
      moves_.push_back(!series.empty());
      if (series.size() > order_) series.resize(order_);
      series.insert(series.begin(), moves_.back() ? strip_tangent(inputs[i], level) : inputs[i]);
      x_.push_back(std::move(series));
    }
  }

  std::vector<Tensor> run() {
    for (Tensor& output : run_rule([](const Series& x) { return x[0]; }))
      y_.push_back({std::move(output)});
    if (order_ > 0) {
      if (callbacks_.linear) {
        linear();
      } else if (callbacks_.bilinear && moves_[0] && moves_[1]) {
        convolve();
      } else {
        by_push();
      }
    }
    std::vector<Tensor> outputs;
    for (const Series& series : y_) {
      const bool moves = series[0].defined() && is_floating_point(series[0].dtype());
      outputs.push_back(moves ? with_series(series, level_, order_) : series[0]);
    }
    return outputs;
  }

 private:
  template <class Pick>
  std::vector<Tensor> run_rule(Pick pick) const {
    std::vector<Tensor> picked;
    for (const Series& series : x_) picked.push_back(pick(series));
    std::vector<const Tensor*> pointers;
    for (const Tensor& tensor : picked) pointers.push_back(&tensor);
    return callbacks_.run(callbacks_.rule,
                          Inputs{pointers.data(), static_cast<int>(pointers.size())});
  }

  void linear() {
    for (size_t k = 1; k <= order_; ++k) {
      bool any = false;
      for (const Series& series : x_) any |= defined_at(series, k);
      if (!any) continue;
      const std::vector<Tensor> outputs = run_rule([k](const Series& series) {
        return is_floating_point(series[0].dtype()) ? coefficient(series, k) : series[0];
      });
      for (size_t o = 0; o < outputs.size(); ++o) set(o, k, outputs[o]);
    }
  }

  void convolve() {
    for (size_t k = 1; k <= order_; ++k) {
      Tensor total;
      for (size_t j = 0; j <= k; ++j) {
        if (!defined_at(x_[0], j) || !defined_at(x_[1], k - j)) continue;
        const Tensor* pair[] = {&x_[0][j], &x_[1][k - j]};
        total = sum_of(total, callbacks_.run(callbacks_.rule, Inputs{pair, 2})[0]);
      }
      if (total.defined()) set(0, k, total);
    }
  }

  void by_push() {
    // Where the formula reads the result, each coefficient needs those before it.
    const bool reads_output =
        !callbacks_.push || callbacks_.masks(callbacks_.rule, ~0u).outputs != 0;
    for (size_t k = reads_output ? 1 : order_; k <= order_; ++k) {
      const std::vector<Tensor> slopes = push_to(k - 1);
      for (size_t o = 0; o < slopes.size(); ++o) {
        if (!slopes[o].defined()) continue;
        Series series = series_at(slopes[o], level_);
        series.insert(series.begin(), strip_tangent(slopes[o], level_));
        for (size_t j = 1; j <= k; ++j) {
          if (defined_at(series, j - 1))
            set(o, j, j == 1 ? series[0] : series[j - 1] * Scalar(1.0 / static_cast<double>(j)));
        }
      }
    }
  }

  /// The series of y'(t) to `order`.
  std::vector<Tensor> push_to(size_t order) const {
    const TaylorOrderGuard guard(level_, static_cast<int64_t>(order));
    std::vector<Tensor> inputs, outputs, tangents;
    for (size_t i = 0; i < x_.size(); ++i) {
      inputs.push_back(moves_[i] ? with_series(x_[i], level_, order) : x_[i][0]);
      tangents.push_back(moves_[i] ? with_series(derivative(x_[i], order + 1), level_, order)
                                   : Tensor());
    }
    for (const Series& series : y_) outputs.push_back(with_series(series, level_, order));
    std::vector<const Tensor*> pointers;
    for (const Tensor& tensor : inputs) pointers.push_back(&tensor);
    const Push push{Inputs{pointers.data(), static_cast<int>(pointers.size())}, outputs, tangents};
    return push_tangents(push, callbacks_);
  }

  void set(size_t output, size_t k, const Tensor& value) {
    Series& series = y_[output];
    if (series.size() <= k) series.resize(k + 1);
    series[k] = value;
  }

  int level_;
  size_t order_;
  const TangentCallbacks& callbacks_;
  std::vector<Series> x_, y_;
  std::vector<char> moves_;
};

}  // namespace

std::vector<Tensor> enter_with_series(Inputs inputs, int level, const TangentCallbacks& callbacks) {
  return Curves(inputs, level, callbacks).run();
}

}  // namespace tapegrad::autograd
