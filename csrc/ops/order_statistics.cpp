// Elements by their rank: kthvalue, median, nanmedian, mode, quantile, nanquantile.
#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "ops/ordering.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;
using kernels::Rank;

namespace {

constexpr int kAll = kFunction | kMethod;

std::vector<Tensor> run_statistic(const Tensor& input, IntSpan sizes,
                                  const kernels::RowStatistic& p) {
  std::vector<Tensor> out;
  out.reserve(2);
  out.push_back(core::make_tensor(sizes, input.dtype()));
  out.push_back(core::make_tensor(sizes, DType::Int64));
  if (input->numel() == 0) return out;
  const Tensor x = contiguous(input.detach());
  const Tensor scratch = core::make_tensor({kernels::sort_scratch(p.shape, p.dtype)}, DType::UInt8);
  core::launch(&kernels::row_statistic,
               {core::out(out[0]), core::out(out[1]), core::in(x), core::out(scratch)}, p);
  return out;
}

struct StatisticRule : autograd::Rule {
  static constexpr const char* name = "OrderStatistic";
  Rank rank;
  int64_t k;
  int64_t dim;
  bool keepdim;

  unsigned saves_outputs(unsigned) const { return 2; }
  StatisticRule shifted() const {
    StatisticRule rule = *this;
    ++rule.dim;
    return rule;
  }
  std::vector<Tensor> forward(autograd::Inputs in) const {
    kernels::RowStatistic p;
    p.shape = rows_along(in[0].sizes(), dim);
    p.dtype = in[0].dtype();
    p.rank = rank;
    p.k = k;
    const DimMask mask = in[0].dim() == 0 ? 0 : DimMask{1} << dim;
    return run_statistic(in[0], reduced_sizes(in[0].sizes(), mask, keepdim), p);
  }
  void pull(autograd::Pull& p) const { pull_picked(p, dim, keepdim); }
};

std::vector<Tensor> statistic(const char* op, Rank rank, const Tensor& input, int64_t k,
                              int64_t dim, bool keepdim) {
  const int64_t d = wrap_dim(op, dim, input.dim());
  require_rows(op, input, d);
  return autograd::enter(StatisticRule{{}, rank, k, d, keepdim}, input);
}

/// The median of all elements: equal ones share the gradient.
struct MedianRule : autograd::Rule {
  static constexpr const char* name = "Median";
  Rank rank;

  unsigned saves_inputs(unsigned) const { return 1; }
  unsigned saves_outputs(unsigned) const { return 1; }
  Tensor forward(autograd::Inputs in) const {
    kernels::RowStatistic p;
    p.shape.n = in[0].numel();
    p.dtype = in[0].dtype();
    p.rank = rank;
    return std::move(run_statistic(in[0], {}, p)[0]);
  }
  void pull(autograd::Pull& p) const {
    const Tensor x = p.input(0), y = p.output();
    const Tensor chosen = logical_or(eq(x, y), logical_and(isnan(x), isnan(y))).detach();
    p.set(0, where(chosen, p.grad(), Scalar(0.0)) / sum(chosen));
  }
};

Tensor median_of_all(const char* op, const Tensor& input, Rank rank) {
  if (input->numel() == 0) {
    if (!is_floating_point(input.dtype())) {
      throw ShapeError(core::text(op, ": a ", core::describe(input), " has no median"));
    }
    return sum(input) + Scalar(std::numeric_limits<double>::quiet_NaN());
  }
  return autograd::enter(MedianRule{{}, rank}, input);
}

// --- quantiles -----------------------------------------------------------------------------------

enum class Interpolation { Linear, Lower, Higher, Midpoint, Nearest };

Interpolation interpolation_of(const char* op, std::string_view name) {
  if (name == "linear") return Interpolation::Linear;
  if (name == "lower") return Interpolation::Lower;
  if (name == "higher") return Interpolation::Higher;
  if (name == "midpoint") return Interpolation::Midpoint;
  if (name == "nearest") return Interpolation::Nearest;
  throw ValueError(core::text(op,
                              ": interpolation must be one of linear, lower, higher, midpoint and "
                              "nearest, got '",
                              name, "'"));
}

void check_quantile(const char* op, const Tensor& input, const Tensor& q) {
  if (input.dtype() != DType::Float32 && input.dtype() != DType::Float64) {
    throw DTypeError(core::text(op, ": input must be a float32 or float64 tensor, got a ",
                                core::describe(input)));
  }
  if (input->numel() == 0) throw ShapeError(core::text(op, ": input must not be empty"));
  if (q.dim() > 1) {
    throw ShapeError(
        core::text(op, ": q must be a number or have one dimension, got a ", core::describe(q)));
  }
  if (q.dtype() != input.dtype()) {
    throw DTypeError(core::text(op, ": q must have the dtype of input, got a ", core::describe(q),
                                " and a ", core::describe(input)));
  }
  if (autograd::any_below(logical_not(logical_and(ge(q, Scalar(0)), le(q, Scalar(1)))))) {
    throw ValueError(core::text(op, ": q must be in [0, 1]"));
  }
}

/// (..., m): the quantiles of the rows of `x` (..., n), sorted already, at ranks that broadcast to
/// the result.
Tensor at_ranks(const Tensor& x, const Tensor& ranks, Interpolation how) {
  const int64_t last = x.dim() - 1;
  const auto pick = [&](const Tensor& rank) {
    Dims sizes(x.sizes());
    sizes.back() = rank.size(rank.dim() - 1);
    return gather(x, last, expand(to(rank.detach(), DType::Int64), sizes));
  };
  switch (how) {
    case Interpolation::Lower:
      return pick(floor(ranks));
    case Interpolation::Higher:
      return pick(ceil(ranks));
    case Interpolation::Nearest:
      return pick(round(ranks));
    default:
      break;
  }
  const Tensor below = floor(ranks).detach();
  const Tensor low = pick(below), high = pick(ceil(ranks));
  if (how == Interpolation::Midpoint) return low + (high - low) * Scalar(0.5);
  // From the nearer end, so that a weight of 1 gives the upper element to the last bit.
  const Tensor weight = ranks - below, step = high - low;
  return where(lt(weight.detach(), Scalar(0.5)), low + weight * step,
               high - step * (Scalar(1.0) - weight));
}

Tensor quantile_of(const char* op, const Tensor& input, const Tensor& q, std::optional<int64_t> dim,
                   bool keepdim, std::string_view interpolation, bool ignore_nan) {
  const Interpolation how = interpolation_of(op, interpolation);
  check_quantile(op, input, q);
  const int64_t d = dim ? wrap_dim(op, *dim, input.dim()) : 0;
  Tensor x = !dim || input.dim() == 0 ? reshape(input, {-1}) : transpose(input, d, input.dim() - 1);
  x = sorted_values(x, -1);
  const int64_t n = x.size(x.dim() - 1);
  const Tensor line = q.dim() == 0 ? reshape(q, {1}) : q;
  const Tensor last = select(x, -1, n - 1);
  const bool has_nan = autograd::any_below(isnan(last));
  Tensor result;
  if (!has_nan) {
    result = at_ranks(x, line * Scalar(n - 1), how);
  } else if (ignore_nan) {
    const Tensor numbers = sum(logical_not(isnan(x.detach())), -1, true);
    const Tensor top = to(clamp(numbers - Scalar(1), Scalar(0), {}), x.dtype());
    result = at_ranks(x, line * top, how);
  } else {
    result = at_ranks(x, line * Scalar(n - 1), how);
    result = where(unsqueeze(isnan(last.detach()), -1), unsqueeze(last, -1), result);
  }
  // The line of quantiles goes first, the reduced dimension back to its place.
  Dims order({result.dim() - 1});
  for (int64_t k = 0; k + 1 < result.dim(); ++k) order.push_back(k);
  result = permute(result, order);
  if (dim && input.dim() > 0) {
    result = transpose(unsqueeze(result, -1), d + 1, -1);
    if (!keepdim) result = squeeze(result, d + 1);
  } else if (keepdim) {
    Dims sizes({result.size(0)});
    for (int64_t k = 0; k < input.dim(); ++k) sizes.push_back(1);
    result = reshape(result, sizes);
  }
  return contiguous(q.dim() == 0 ? squeeze(result, 0) : result);
}

using NumberQuantile = Tensor (*)(const Tensor&, double, std::optional<int64_t>, bool,
                                  std::string_view);
using TensorQuantile = Tensor (*)(const Tensor&, const Tensor&, std::optional<int64_t>, bool,
                                  std::string_view);

}  // namespace

std::vector<Tensor> kthvalue(const Tensor& input, int64_t k, int64_t dim, bool keepdim) {
  const int64_t d = wrap_dim("kthvalue", dim, input.dim());
  require_rows("kthvalue", input, d);
  const int64_t n = input.dim() == 0 ? 1 : input.size(d);
  if (k < 1 || k > n) {
    throw ValueError(core::text("kthvalue: k = ", k, " is out of range for the ", n,
                                " elements along dimension ", d, " of a ", core::describe(input),
                                "; k counts from 1"));
  }
  return autograd::enter(StatisticRule{{}, Rank::Kth, k, d, keepdim}, input);
}

Tensor median(const Tensor& input) { return median_of_all("median", input, Rank::Median); }
std::vector<Tensor> median(const Tensor& input, int64_t dim, bool keepdim) {
  return statistic("median", Rank::Median, input, 1, dim, keepdim);
}
Tensor nanmedian(const Tensor& input) { return median_of_all("nanmedian", input, Rank::NanMedian); }
std::vector<Tensor> nanmedian(const Tensor& input, int64_t dim, bool keepdim) {
  return statistic("nanmedian", Rank::NanMedian, input, 1, dim, keepdim);
}
std::vector<Tensor> mode(const Tensor& input, int64_t dim, bool keepdim) {
  return statistic("mode", Rank::Mode, input, 1, dim, keepdim);
}

Tensor quantile(const Tensor& input, const Tensor& q, std::optional<int64_t> dim, bool keepdim,
                std::string_view interpolation) {
  return quantile_of("quantile", input, q, dim, keepdim, interpolation, false);
}
Tensor nanquantile(const Tensor& input, const Tensor& q, std::optional<int64_t> dim, bool keepdim,
                   std::string_view interpolation) {
  return quantile_of("nanquantile", input, q, dim, keepdim, interpolation, true);
}

// --- registration --------------------------------------------------------------------------------

TAPEGRAD_OP(
    kAll,
    "kthvalue(Tensor input, int k, int dim=-1, bool keepdim=False, *, Tensor? out=None) -> "
    "(Tensor values, Tensor indices)",
    R"(The k-th smallest element along a dimension, and where it is. NaN is the greatest value.

Args:
    input: a tensor
    k: the rank, from 1 on
    dim: the dimension
    keepdim: keep the dimension with size 1
    out: a pair of tensors to write values and indices into

Raises:
    ValueError: k is not in [1, size of the dimension]

Example:
    >>> import tapegrad as tg
    >>> tg.kthvalue(tg.tensor([3., 1., 2.]), 2).values
    tensor(2.))",
    &kthvalue);

#define TAPEGRAD_REGISTER_MEDIAN(name, doc)                                                   \
  TAPEGRAD_OP(                                                                                \
      kAll, #name "(Tensor input) -> Tensor", doc, +[](const Tensor& x) { return name(x); }); \
  TAPEGRAD_OP(                                                                                \
      kAll,                                                                                   \
      #name                                                                                   \
      "(Tensor input, int dim, bool keepdim=False, *, Tensor? out=None) -> (Tensor values, "  \
      "Tensor indices)",                                                                      \
      "", +[](const Tensor& x, int64_t dim, bool keepdim) { return name(x, dim, keepdim); });
TAPEGRAD_REGISTER_MEDIAN(
    median,
    R"(The median of all elements; along a dimension, also where it is. Of an even number, the lower one.

median(input) returns a tensor, median(input, dim) the pair (values, indices). NaN wins. Without
dim equal elements share the gradient, with it all goes to the element at the index.

Args:
    input: a tensor
    dim: the dimension
    keepdim: keep the dimension with size 1
    out: a pair of tensors to write values and indices into

Raises:
    IndexError: a dimension without elements

Example:
    >>> import tapegrad as tg
    >>> tg.median(tg.tensor([4., 1., 3., 2.]))
    tensor(2.))")
TAPEGRAD_REGISTER_MEDIAN(nanmedian,
                         R"(The median of the elements that are not NaN. Otherwise as median().

Example:
    >>> import tapegrad as tg
    >>> tg.nanmedian(tg.tensor([4., float('nan'), 3.]))
    tensor(3.))")
#undef TAPEGRAD_REGISTER_MEDIAN

TAPEGRAD_OP(
    kAll,
    "mode(Tensor input, int dim=-1, bool keepdim=False, *, Tensor? out=None) -> (Tensor "
    "values, Tensor indices)",
    R"(The most frequent element along a dimension (the least of several), and its last place.

Args:
    input: a tensor
    dim: the dimension
    keepdim: keep the dimension with size 1
    out: a pair of tensors to write values and indices into

Raises:
    IndexError: a dimension without elements

Example:
    >>> import tapegrad as tg
    >>> tg.mode(tg.tensor([3, 1, 3, 2])).values
    tensor(3))",
    &mode);

#define TAPEGRAD_REGISTER_QUANTILE(name, doc)                                               \
  TAPEGRAD_OP(kAll,                                                                         \
              #name                                                                         \
              "(Tensor input, Tensor q, int? dim=None, bool keepdim=False, *, str "         \
              "interpolation='linear', Tensor? out=None) -> Tensor",                        \
              doc, static_cast<TensorQuantile>(&name));                                     \
  TAPEGRAD_OP(                                                                              \
      kAll,                                                                                 \
      #name                                                                                 \
      "(Tensor input, float q, int? dim=None, bool keepdim=False, *, str "                  \
      "interpolation='linear', Tensor? out=None) -> Tensor",                                \
      "",                                                                                   \
      static_cast<NumberQuantile>([](const Tensor& x, double q, std::optional<int64_t> dim, \
                                     bool keepdim, std::string_view interpolation) {        \
        return name(x, core::make_scalar(q, x.dtype()), dim, keepdim, interpolation);       \
      }));
TAPEGRAD_REGISTER_QUANTILE(
    quantile,
    R"(Quantiles of all elements or along a dimension, interpolated between neighbours. NaN wins.

Args:
    input: a float32 or float64 tensor
    q: a number in [0, 1], or a one-dimensional tensor of them, whose dimension comes first in the
        result
    dim: the dimension; None for all elements
    keepdim: keep the dimension with size 1
    interpolation: between neighbours: 'linear', 'lower', 'higher', 'midpoint' or 'nearest'
    out: a tensor to write the result into

Raises:
    DTypeError: an input of another dtype, or q of another than input
    ValueError: q outside of [0, 1]

Example:
    >>> import tapegrad as tg
    >>> tg.quantile(tg.tensor([0., 1., 2., 3.]), 0.5)
    tensor(1.5000))")
TAPEGRAD_REGISTER_QUANTILE(nanquantile,
                           R"(Quantiles of the elements that are not NaN. Otherwise as quantile().

Example:
    >>> import tapegrad as tg
    >>> tg.nanquantile(tg.tensor([0., float('nan'), 2.]), 0.5)
    tensor(1.))")
#undef TAPEGRAD_REGISTER_QUANTILE

}  // namespace tapegrad
