// Sets and counts: unique, unique_consecutive, bincount, histc. Integer results know no gradient,
// and the values of unique have none.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "kernels/order_scans.h"
#include "kernels/sort_keys.h"
#include "ops/ordering.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;

namespace {

constexpr int kAll = kFunction | kMethod;

/// What is asked for besides the values.
struct Wanted {
  bool inverse;
  bool counts;
};

OneOrMore picked(const Tensor& values, const Tensor& inverse, const Tensor& counts, Wanted wanted) {
  OneOrMore result;
  result.tensors.push_back(values);
  if (wanted.inverse) result.tensors.push_back(inverse);
  if (wanted.counts) result.tensors.push_back(counts);
  return result;
}

/// Runs of equal elements of the line x, whose element i came from order[i] (undefined: from i).
OneOrMore runs_of_line(const Tensor& x, const Tensor& order, IntSpan inverse_sizes, Wanted wanted) {
  const int64_t n = x.numel();
  const Tensor values = core::make_tensor({n}, x.dtype());
  const Tensor inverse = wanted.inverse ? core::make_tensor(inverse_sizes, DType::Int64) : Tensor();
  const Tensor counts = wanted.counts ? core::make_tensor({n}, DType::Int64) : Tensor();
  const Tensor groups = core::make_tensor({}, DType::Int64);
  const auto optional = [](const Tensor& t) { return t.defined() ? core::out(t) : core::none(); };
  core::launch(&kernels::find_runs,
               {core::out(groups), core::out(values), optional(inverse), optional(counts),
                core::in(x), order.defined() ? core::in(order) : core::none()},
               kernels::FindRuns{x.dtype(), n});
  const int64_t found = *groups.data_ptr<int64_t>();
  const auto cut = [&](const Tensor& t) { return clone(narrow(t, 0, 0, found)); };
  return picked(cut(values), inverse, wanted.counts ? cut(counts) : Tensor(), wanted);
}

/// Compares slices of a contiguous (n, size) tensor, element by element.
template <class T>
struct Slices {
  using Keys = kernels::KeyOf<T>;
  const T* x;
  int64_t size;
  bool less(int64_t a, int64_t b) const {
    for (int64_t i = 0; i < size; ++i) {
      const auto left = Keys::encode(x[a * size + i]), right = Keys::encode(x[b * size + i]);
      if (left != right) return left < right;
    }
    return false;
  }
  bool equal(int64_t a, int64_t b) const {
    for (int64_t i = 0; i < size; ++i) {
      const auto key = Keys::encode(x[a * size + i]);
      if (key != Keys::encode(x[b * size + i]) || Keys::is_nan(key)) return false;
    }
    return true;
  }
};

/// The distinct slices along dim, in order when `sorted`, else as they stand.
OneOrMore unique_slices(const Tensor& input, int64_t dim, bool sorted, Wanted wanted) {
  const int64_t n = input.size(dim);
  const Tensor x = contiguous(transpose(input, 0, dim));
  std::vector<int64_t> order(static_cast<size_t>(n)), first, counts;
  std::iota(order.begin(), order.end(), int64_t{0});
  const Tensor inverse = core::make_tensor({n}, DType::Int64);
  int64_t* place = inverse.data_ptr<int64_t>();
  kernels::by_element(x.dtype(), [&](auto element) {
    using T = decltype(element);
    const Slices<T> slices{static_cast<const T*>(x.data()), n == 0 ? 0 : x.numel() / n};
    if (sorted) {
      std::stable_sort(order.begin(), order.end(),
                       [&](int64_t a, int64_t b) { return slices.less(a, b); });
    }
    for (size_t i = 0; i < order.size(); ++i) {
      if (i == 0 || !slices.equal(order[i - 1], order[i])) {
        first.push_back(order[i]);
        counts.push_back(0);
      }
      ++counts.back();
      place[order[i]] = static_cast<int64_t>(first.size()) - 1;
    }
  });
  const auto groups = static_cast<int64_t>(first.size());
  const Tensor values = index_select(input, dim, from_values(first, {groups}));
  return picked(values, inverse, from_values(counts, {groups}), wanted);
}

OneOrMore unique_of(const char* op, const Tensor& input_, bool sorted, Wanted wanted,
                    std::optional<int64_t> dim) {
  const Tensor input = input_.detach();
  if (dim && input.dim() > 0)
    return unique_slices(input, wrap_dim(op, *dim, input.dim()), sorted, wanted);
  const Tensor line = contiguous(reshape(input, {-1}));
  if (!sorted) return runs_of_line(line, {}, input.sizes(), wanted);
  if (!wanted.inverse) return runs_of_line(sorted_values(line, 0), {}, input.sizes(), wanted);
  const std::vector<Tensor> ordered = sort(line, 0);
  return runs_of_line(ordered[0], ordered[1], input.sizes(), wanted);
}

OneOrMore unique_op(const Tensor& input, bool, bool inverse, bool counts,
                    std::optional<int64_t> dim) {
  return unique_of("unique", input, true, {inverse, counts}, dim);
}
OneOrMore unique_consecutive_op(const Tensor& input, bool inverse, bool counts,
                                std::optional<int64_t> dim) {
  return unique_of("unique_consecutive", input, false, {inverse, counts}, dim);
}

// --- counts --------------------------------------------------------------------------------------

struct BincountRule : autograd::Rule {
  static constexpr const char* name = "Bincount";
  static constexpr bool differentiable = false;
  int64_t bins;
  /// Inputs: values (int64), and the weights where there are some.
  Tensor forward(autograd::Inputs in) const {
    const bool weighted = in.size() > 1;
    const Tensor x = contiguous(in[0]);
    const Tensor out = zeros({bins}, weighted ? DType::Float64 : DType::Int64);
    const Tensor weights =
        weighted ? contiguous(converted(in[1].detach(), DType::Float64)) : Tensor();
    core::launch(&kernels::count_values,
                 {core::out(out), core::in(x), weighted ? core::in(weights) : core::none()},
                 kernels::CountValues{x.numel()});
    return weighted && in[1].dtype() == DType::Float32 ? to(out, DType::Float32) : out;
  }
  void pull(autograd::Pull&) const {}
};

Tensor histogram_of(const Tensor& input, int64_t bins, double low, double high) {
  const Tensor x = contiguous(converted(input.detach(), kernel_dtype(input.dtype())));
  if (low == high && x.numel() > 0) {
    low = amin(x).item().to_double();
    high = amax(x).item().to_double();
  }
  if (low == high) {
    low -= 1;
    high += 1;
  }
  if (!std::isfinite(low) || !std::isfinite(high))
    throw ValueError(core::text("histc: the range [", low, ", ", high, "] is not finite"));
  const Tensor counts = zeros({bins}, DType::Int64);
  core::launch(&kernels::count_bins, {core::out(counts), core::in(x)},
               kernels::CountBins{x.numel(), bins, low, high, x.dtype() == DType::Float64});
  return to(counts, input.dtype());
}

}  // namespace

Tensor bincount(const Tensor& input, const Tensor& weights, int64_t minlength) {
  if (is_floating_point(input.dtype()) || input.dtype() == DType::Bool || input.dim() != 1) {
    throw ShapeError(core::text("bincount: expected a one-dimensional integer tensor, got a ",
                                core::describe(input)));
  }
  if (minlength < 0)
    throw ValueError(core::text("bincount: minlength must not be negative, got ", minlength));
  if (weights.defined() && !(weights.sizes() == input.sizes())) {
    throw ShapeError(core::text("bincount: weights must have the shape of input, got ",
                                shape_string(weights.sizes()), " and ",
                                shape_string(input.sizes())));
  }
  const Tensor x = to(input, DType::Int64);
  int64_t bins = minlength;
  if (x.numel() > 0) {
    const std::vector<Tensor> range = aminmax(x);
    if (range[0].item().to_int() < 0) {
      throw ValueError(
          core::text("bincount: values must not be negative, got ", range[0].item().to_int()));
    }
    bins = std::max(bins, range[1].item().to_int() + 1);
  }
  if (!weights.defined()) return autograd::enter(BincountRule{{}, bins}, x);
  return autograd::enter(BincountRule{{}, bins}, x, weights);
}

namespace {

struct HistcRule : autograd::Rule {
  static constexpr const char* name = "Histc";
  static constexpr bool differentiable = false;
  int64_t bins;
  double low, high;
  Tensor forward(autograd::Inputs in) const { return histogram_of(in[0], bins, low, high); }
  void pull(autograd::Pull&) const {}
};

}  // namespace

Tensor histc(const Tensor& input, int64_t bins, Scalar min, Scalar max) {
  if (!is_floating_point(input.dtype())) {
    throw DTypeError(core::text("histc: expected a floating-point tensor, got a ",
                                core::describe(input), "; convert it with .float()"));
  }
  if (bins < 1) throw ValueError(core::text("histc: bins must be positive, got ", bins));
  const double low = min.to_double(), high = max.to_double();
  if (low > high)
    throw ValueError(core::text("histc: max must not be less than min, got ", low, " and ", high));
  return autograd::enter(HistcRule{{}, bins, low, high}, input);
}

// --- registration --------------------------------------------------------------------------------

TAPEGRAD_OP(kAll,
            "unique(Tensor input, bool sorted=True, bool return_inverse=False, bool "
            "return_counts=False, int? dim=None) -> Tensor | Tensor[]",
            R"(The distinct elements in ascending order, or the distinct slices along a dimension.

Not differentiable. Every NaN counts as distinct.

Args:
    input: a tensor
    sorted: accepted for compatibility; the result is always in order
    return_inverse: also where each element of input is in the result
    return_counts: also how often each of them occurs
    dim: the dimension whose slices are compared; None for elements

Returns:
    the values, or a tuple of values, inverse and counts, as asked for

Example:
    >>> import tapegrad as tg
    >>> tg.unique(tg.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2])))",
            &unique_op);
TAPEGRAD_OP(kAll,
            "unique_consecutive(Tensor input, bool return_inverse=False, bool "
            "return_counts=False, int? dim=None) -> Tensor | Tensor[]",
            R"(The first element of each run of equal ones. Otherwise as unique().

Example:
    >>> import tapegrad as tg
    >>> tg.unique_consecutive(tg.tensor([1, 1, 2, 1]))
    tensor([1, 2, 1]))",
            &unique_consecutive_op);
TAPEGRAD_OP(kAll, "bincount(Tensor input, Tensor? weights=None, int minlength=0) -> Tensor",
            R"(How often each of the values 0, 1, ... occurs, or the sum of its weights.

Args:
    input: a one-dimensional integer tensor without negative values
    weights: a tensor of input's shape; the result is then float64, or float32 for float32 weights
    minlength: the least number of counts

Raises:
    ShapeError: input is not a line of integers, or weights of another shape
    ValueError: negative values

Example:
    >>> import tapegrad as tg
    >>> tg.bincount(tg.tensor([0, 2, 2]))
    tensor([1, 0, 2]))",
            &bincount);
TAPEGRAD_OP(kAll,
            "histc(Tensor input, int bins=100, Scalar min=0, Scalar max=0, *, Tensor? out=None) -> "
            "Tensor",
            R"(The number of elements in each of equal bins from min to max.

Args:
    input: a floating-point tensor; what lies outside of [min, max] is not counted
    bins: the number of bins
    min: the lower end; min and max of input where both ends are equal
    max: the upper end, which belongs to the last bin
    out: a tensor to write the result into

Raises:
    DTypeError: an integer tensor
    ValueError: no bins, or max below min

Example:
    >>> import tapegrad as tg
    >>> tg.histc(tg.tensor([1., 2., 1.]), bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.]))",
            &histc);

}  // namespace tapegrad
