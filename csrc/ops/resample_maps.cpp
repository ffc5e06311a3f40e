// Rules of correspondence between the pixels of two axes; PyTorch's, in the same precision.
#include "ops/resample_maps.h"

#include <algorithm>
#include <cmath>

namespace tapegrad::ops {
namespace {

/// Collects the neighbours of the output indices, in order.
class Builder {
 public:
  explicit Builder(const AxisRequest& r) : in_(r.in), out_(r.out) {}

  /// Weight for an input index; those beyond the edges count for the edge. In ascending order.
  void add(int64_t i, int64_t place, double weight) {
    place = std::clamp<int64_t>(place, 0, in_ - 1);
    if (places_.empty() || rows_.back() != i || places_.back() != place) {
      rows_.push_back(i);
      places_.push_back(place);
      weights_.push_back(weight);
    } else {
      weights_.back() += weight;
    }
  }

  AxisMapRef finish() const {
    auto map = std::make_shared<AxisMap>();
    map->in = in_;
    map->out = out_;
    const auto n = static_cast<size_t>(out_);
    map->ranges.assign(2 * n, 0);
    for (size_t e = 0; e < rows_.size(); ++e) {
      const auto i = static_cast<size_t>(rows_[e]);
      if (map->ranges[n + i]++ == 0) map->ranges[i] = static_cast<int32_t>(places_[e]);
      map->taps = std::max<int64_t>(map->taps, map->ranges[n + i]);
    }
    map->weights.assign(n * static_cast<size_t>(map->taps), 0);
    size_t e = 0;
    for (size_t i = 0; i < n; ++i) {
      for (int32_t k = 0; k < map->ranges[n + i]; ++k)
        map->weights[static_cast<size_t>(k) * n + i] = weights_[e++];
    }
    return map;
  }

 private:
  int64_t in_;
  int64_t out_;
  std::vector<int64_t> rows_;
  std::vector<int64_t> places_;
  std::vector<double> weights_;
};

template <class Real>
Real scale_of(const AxisRequest& r) {
  if (r.align_corners)
    return r.out > 1 ? static_cast<Real>(r.in - 1) / static_cast<Real>(r.out - 1) : Real(0);
  if (r.scale > 0) return static_cast<Real>(1.0 / r.scale);
  return static_cast<Real>(r.in) / static_cast<Real>(r.out);
}

template <class Real>
void nearest(const AxisRequest& r, Builder& b) {
  const Real scale = scale_of<Real>(r);
  const Real shift = r.kind == Interpolation::NearestExact ? Real(0.5) : Real(0);
  for (int64_t i = 0; i < r.out; ++i) {
    // Rounded to float also for double images, as PyTorch does: 90 * 0.7 is 63, not 62.99999.
    const auto at = static_cast<float>((static_cast<Real>(i) + shift) * scale);
    const auto place = static_cast<int64_t>(std::floor(at));
    b.add(i, place, 1.0);
  }
}

template <class Real>
Real source(const AxisRequest& r, Real scale, int64_t i) {
  if (r.align_corners) return scale * static_cast<Real>(i);
  const Real at = scale * (static_cast<Real>(i) + Real(0.5)) - Real(0.5);
  return r.kind == Interpolation::Linear && at < 0 ? Real(0) : at;
}

template <class Real>
void linear(const AxisRequest& r, Builder& b) {
  const Real scale = scale_of<Real>(r);
  for (int64_t i = 0; i < r.out; ++i) {
    const Real at = source(r, scale, i);
    const int64_t first = std::min<int64_t>(static_cast<int64_t>(at), r.in - 1);
    const Real second = std::clamp(at - static_cast<Real>(first), Real(0), Real(1));
    b.add(i, first, Real(1) - second);
    if (second != 0) b.add(i, first + 1, second);
  }
}

template <class Real>
Real cubic_near(Real d, Real a) {
  return ((a + 2) * d - (a + 3)) * d * d + 1;
}
template <class Real>
Real cubic_far(Real d, Real a) {
  return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
}

template <class Real>
void cubic(const AxisRequest& r, Builder& b) {
  const Real scale = scale_of<Real>(r), a = Real(-0.75);
  for (int64_t i = 0; i < r.out; ++i) {
    const Real at = source(r, scale, i);
    const Real down = std::floor(at);
    const Real t = at - down;
    const auto first = static_cast<int64_t>(down);
    b.add(i, first - 1, cubic_far(t + 1, a));
    b.add(i, first, cubic_near(t, a));
    b.add(i, first + 1, cubic_near(1 - t, a));
    b.add(i, first + 2, cubic_far(2 - t, a));
  }
}

/// The filter of a width that grows with the step, so that no pixel is skipped.
template <class Real>
void antialiased(const AxisRequest& r, Builder& b) {
  const bool is_cubic = r.kind == Interpolation::Cubic;
  const Real scale = scale_of<Real>(r);
  const Real stretch = std::max(scale, Real(1)), support = (is_cubic ? 2 : 1) * stretch;
  const auto filter = [&](Real x) -> Real {
    x = std::abs(x);
    if (!is_cubic) return x < 1 ? 1 - x : 0;
    const Real a = Real(-0.5);
    return x < 1 ? cubic_near(x, a) : x < 2 ? cubic_far(x, a) : 0;
  };
  std::vector<Real> weights;
  for (int64_t i = 0; i < r.out; ++i) {
    const Real center = scale * (static_cast<Real>(i) + Real(0.5));
    const int64_t from = std::max<int64_t>(static_cast<int64_t>(center - support + Real(0.5)), 0);
    const int64_t to = std::min<int64_t>(static_cast<int64_t>(center + support + Real(0.5)), r.in);
    weights.clear();
    Real total = 0;
    for (int64_t j = from; j < to; ++j) {
      weights.push_back(filter((static_cast<Real>(j) - center + Real(0.5)) / stretch));
      total += weights.back();
    }
    for (int64_t j = from; j < to; ++j) {
      const Real w = weights[static_cast<size_t>(j - from)];
      b.add(i, j, total != 0 ? w / total : w);
    }
  }
}

/// Means of the pixels that an output pixel touches.
void area(const AxisRequest& r, Builder& b) {
  for (int64_t i = 0; i < r.out; ++i) {
    const int64_t from = i * r.in / r.out, to = ((i + 1) * r.in + r.out - 1) / r.out;
    for (int64_t j = from; j < to; ++j) b.add(i, j, 1.0 / static_cast<double>(to - from));
  }
}

template <class Real>
AxisMapRef make(const AxisRequest& r) {
  Builder b(r);
  switch (r.kind) {
    case Interpolation::Nearest:
    case Interpolation::NearestExact:
      nearest<Real>(r, b);
      break;
    case Interpolation::Area:
      area(r, b);
      break;
    case Interpolation::Linear:
      r.antialias ? antialiased<Real>(r, b) : linear<Real>(r, b);
      break;
    case Interpolation::Cubic:
      r.antialias ? antialiased<Real>(r, b) : cubic<Real>(r, b);
      break;
  }
  return b.finish();
}

}  // namespace

AxisMapRef make_axis_map(const AxisRequest& request) {
  return request.single ? make<float>(request) : make<double>(request);
}

AxisMapRef transposed(const AxisMap& map) {
  auto result = std::make_shared<AxisMap>();
  result->in = map.out;
  result->out = map.in;
  const auto n_in = static_cast<size_t>(map.in), n_out = static_cast<size_t>(map.out);
  const auto last_of = [&](size_t i) { return map.ranges[i] + map.ranges[n_out + i]; };
  result->ranges.assign(2 * n_in, 0);
  // Starts and ends both rise, so what an input pixel counts for is one run too.
  size_t first = 0;
  size_t end = 0;
  for (size_t j = 0; j < n_in; ++j) {
    const auto place = static_cast<int32_t>(j);
    while (first < n_out && last_of(first) <= place) ++first;
    while (end < n_out && map.ranges[end] <= place) ++end;
    result->ranges[j] = static_cast<int32_t>(std::min(first, n_out - 1));
    const int64_t count = end > first ? static_cast<int64_t>(end - first) : 0;
    result->ranges[n_in + j] = static_cast<int32_t>(count);
    result->taps = std::max(result->taps, count);
  }
  result->weights.assign(n_in * static_cast<size_t>(result->taps), 0);
  for (size_t j = 0; j < n_in; ++j) {
    for (int32_t k = 0; k < result->ranges[n_in + j]; ++k) {
      const size_t i = static_cast<size_t>(result->ranges[j]) + static_cast<size_t>(k);
      const size_t own = j - static_cast<size_t>(map.ranges[i]);
      result->weights[static_cast<size_t>(k) * n_in + j] = map.weights[own * n_out + i];
    }
  }
  return result;
}

}  // namespace tapegrad::ops
