// Random numbers of further distributions, made from uniform ones; all outside the tape.
#include <algorithm>
#include <cmath>
#include <vector>

#include "autograd/entry.h"
#include "autograd/inplace.h"
#include "core/text.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace {

using namespace ops;

/// Uniform numbers of (0, 1), in float64: a logarithm of them is finite.
Tensor open_uniform(IntSpan sizes, Generator* generator) {
  return rand(sizes, generator, DType::Float64) + Scalar(0x1p-54);
}

template <class Values>
Tensor refill(const char* op, const Tensor& self, Values values) {
  autograd::check_writable(op, self);
  Tensor written = self;
  return autograd::assign_inplace(op, written, to(values(), self.dtype()));
}

void check_floating(const char* op, const Tensor& x) {
  if (!is_floating_point(x.dtype()))
    throw DTypeError(
        core::text(op, ": expected a floating-point tensor, got a ", core::describe(x)));
}

Tensor log_normal(const Tensor& self, double mean, double std, Generator* generator) {
  check_floating("log_normal_", self);
  if (!(std > 0)) throw ValueError(core::text("log_normal_: expected std > 0, got ", std));
  return refill("log_normal_", self, [&] {
    return exp(randn(self.sizes(), generator, DType::Float64) * Scalar(std) + Scalar(mean));
  });
}

Tensor cauchy(const Tensor& self, double median, double sigma, Generator* generator) {
  check_floating("cauchy_", self);
  if (!(sigma > 0)) throw ValueError(core::text("cauchy_: expected sigma > 0, got ", sigma));
  return refill("cauchy_", self, [&] {
    const Tensor u = open_uniform(self.sizes(), generator) - Scalar(0.5);
    return tan(u * Scalar(3.14159265358979323846)) * Scalar(sigma) + Scalar(median);
  });
}

Tensor geometric(const Tensor& self, double p, Generator* generator) {
  if (!(p > 0 && p < 1)) throw ValueError(core::text("geometric_: expected 0 < p < 1, got ", p));
  return refill("geometric_", self, [&] {
    const Tensor u = open_uniform(self.sizes(), generator);
    return ceil(log(u) * Scalar(1 / std::log1p(-p)));
  });
}

/// All integers from 0 on that the dtype holds exactly.
int64_t integers_of(DType dtype) {
  switch (dtype) {
    case DType::Bool:
      return 2;
    case DType::UInt8:
      return 256;
    case DType::Int8:
      return 128;
    case DType::Int16:
      return 1 << 15;
    case DType::Int32:
      return int64_t{1} << 31;
    case DType::Float16:
      return (1 << 11) + 1;
    case DType::BFloat16:
      return (1 << 8) + 1;
    case DType::Float32:
      return (1 << 24) + 1;
    case DType::Float64:
      return (int64_t{1} << 53) + 1;
    default:
      return INT64_MAX;
  }
}

Tensor random_between(const Tensor& self, int64_t from, int64_t to_, Generator* generator) {
  if (from >= to_) {
    throw ValueError(
        core::text("random_: expected from < to, got from = ", from, " and to = ", to_));
  }
  return refill("random_", self,
                [&] { return randint(from, to_, self.sizes(), generator, self.dtype()); });
}

// --- multinomial ---------------------------------------------------------------------------------

void check_weights(const double* weights, int64_t rows, int64_t count, int64_t samples,
                   bool replacement) {
  for (int64_t r = 0; r < rows; ++r) {
    double total = 0;
    int64_t positive = 0;
    for (int64_t i = 0; i < count; ++i) {
      const double w = weights[r * count + i];
      if (!(w >= 0) || std::isinf(w)) {
        throw ValueError(core::text("multinomial: weights must be finite and not negative, got ", w,
                                    " in row ", r));
      }
      total += w;
      positive += w > 0 ? 1 : 0;
    }
    if (!(total > 0))
      throw ValueError(core::text("multinomial: the weights of row ", r, " sum to zero"));
    if (!replacement && positive < samples) {
      throw ValueError(core::text("multinomial: row ", r, " has ", positive,
                                  " positive weights, too few for ", samples,
                                  " samples without replacement"));
    }
  }
}

/// Each row's categories by bisection of its cumulative weights.
void draw_with_replacement(const double* weights, const double* uniform, int64_t rows,
                           int64_t count, int64_t samples, int64_t* out) {
  std::vector<double> cumulative(static_cast<size_t>(count));
  for (int64_t r = 0; r < rows; ++r) {
    double total = 0;
    int64_t last = 0;
    for (int64_t i = 0; i < count; ++i) {
      const double w = weights[r * count + i];
      if (w > 0) last = i;
      cumulative[static_cast<size_t>(i)] = total += w;
    }
    for (int64_t s = 0; s < samples; ++s) {
      const double at = uniform[r * samples + s] * total;
      const auto found = std::upper_bound(cumulative.begin(), cumulative.end(), at);
      out[r * samples + s] = std::min<int64_t>(found - cumulative.begin(), last);
    }
  }
}

Tensor multinomial(const Tensor& input, int64_t samples, bool replacement, Generator* generator) {
  check_floating("multinomial", input);
  if (input.dim() < 1 || input.dim() > 2) {
    throw ShapeError(core::text("multinomial: the weights must have 1 or 2 dimensions, got a ",
                                core::describe(input)));
  }
  const int64_t count = input.sizes().back();
  const int64_t rows = input.dim() == 2 ? input.sizes()[0] : 1;
  if (samples <= 0)
    throw ValueError(core::text("multinomial: num_samples must be positive, got ", samples));
  if (!replacement && samples > count) {
    throw ValueError(core::text("multinomial: cannot take ", samples, " of ", count,
                                " categories without replacement"));
  }
  const Tensor weights = contiguous(to(input.detach(), DType::Float64));
  const auto* w = weights.data_ptr<double>();
  check_weights(w, rows, count, samples, replacement);
  Dims sizes(input.sizes());
  sizes[sizes.size() - 1] = samples;
  if (!replacement) {
    // The largest of exponential races: keys log(u) / w are ordered as draws without replacement
    // (Efraimidis and Spirakis, 2006).
    const Tensor keys = log(open_uniform(input.sizes(), generator)) / weights;
    const Tensor valid = gt(weights, Scalar(0));
    const Tensor ordered = where(valid, keys, full_like(keys, -INFINITY));
    return topk(ordered, samples, -1, true, true)[1];
  }
  Tensor result = empty(sizes, DType::Int64);
  const Tensor uniform = rand(sizes, generator, DType::Float64);
  draw_with_replacement(w, uniform.data_ptr<double>(), rows, count, samples,
                        result.data_ptr<int64_t>());
  return result;
}

}  // namespace

Tensor logspace(Scalar start, Scalar end, int64_t steps, double base, std::optional<DType> dtype) {
  const DType type = dtype.value_or(default_dtype());
  if (steps < 0) {
    throw ValueError(core::text("logspace: number of steps must be non-negative, got ", steps));
  }
  const Tensor exponents = linspace(start, end, steps, DType::Float64);
  return to(pow(Scalar(base), exponents), type);
}

TAPEGRAD_OP(kFunction,
            "logspace(Scalar start, Scalar end, int steps, float base=10.0, *, Tensor? out=None, "
            "dtype? dtype=None, layout? layout=None, device? device=None, bool pin_memory=False, "
            "bool requires_grad=False) -> Tensor",
            R"(Numbers from base**start to base**end whose logarithms are equally spaced.

Args:
    start: exponent of the first number
    end: exponent of the last number
    steps: how many numbers
    base: the base
    dtype: None for the default dtype

Raises:
    ValueError: a negative number of steps

Example:
    >>> import tapegrad as tg
    >>> tg.logspace(0, 2, 3)
    tensor([  1.,  10., 100.]))",
            &logspace);
TAPEGRAD_OP(kMethod,
            "log_normal_(Tensor(a!) input, float mean=1, float std=2, *, Generator? "
            "generator=None) -> Tensor(a!)",
            R"(Fills the tensor with random numbers whose logarithm is normal.

Raises:
    ValueError: std not above 0

Example:
    >>> import tapegrad as tg
    >>> bool((tg.empty(4).log_normal_() > 0).all())
    True)",
            &log_normal);
TAPEGRAD_OP(kMethod,
            "cauchy_(Tensor(a!) input, float median=0, float sigma=1, *, Generator? "
            "generator=None) -> Tensor(a!)",
            R"(Fills the tensor with random numbers of the Cauchy distribution.

Raises:
    ValueError: sigma not above 0

Example:
    >>> import tapegrad as tg
    >>> tg.empty(4).cauchy_().shape
    tapegrad.Size([4]))",
            &cauchy);
TAPEGRAD_OP(
    kMethod, "geometric_(Tensor(a!) input, float p, *, Generator? generator=None) -> Tensor(a!)",
    R"(Fills the tensor with numbers of trials until the first success, of probability p each.

Raises:
    ValueError: p not between 0 and 1

Example:
    >>> import tapegrad as tg
    >>> bool((tg.empty(4).geometric_(0.5) >= 1).all())
    True)",
    &geometric);
TAPEGRAD_OP(
    kMethod,
    "random_(Tensor(a!) input, int from, int to, *, Generator? generator=None) -> Tensor(a!)",
    R"(Fills the tensor with random integers in [from, to).

Args:
    input: a tensor
    from: lowest value; 0 when left out
    to: one above the highest value; when left out, all that the dtype holds exactly
    generator: where the numbers come from; None for the default generator

Raises:
    ValueError: from >= to, or values that the dtype cannot hold

Example:
    >>> import tapegrad as tg
    >>> x = tg.empty(10).random_(2, 4)
    >>> bool(((x == 2) | (x == 3)).all())
    True)",
    &random_between);
TAPEGRAD_OP(
    kMethod, "random_(Tensor(a!) input, int to, *, Generator? generator=None) -> Tensor(a!)", "",
    +[](const Tensor& self, int64_t to, Generator* generator) {
      return random_between(self, 0, to, generator);
    });
TAPEGRAD_OP(
    kMethod, "random_(Tensor(a!) input, *, Generator? generator=None) -> Tensor(a!)", "",
    +[](const Tensor& self, Generator* generator) {
      return random_between(self, 0, integers_of(self.dtype()), generator);
    });
TAPEGRAD_OP(kFunction | kMethod,
            "multinomial(Tensor input, int num_samples, bool replacement=False, *, Generator? "
            "generator=None, Tensor? out=None) -> Tensor",
            R"(Indices drawn with probabilities proportional to the weights of each row.

Args:
    input: weights, of one dimension or of two (a row for each result); they need not sum to 1
    num_samples: how many indices for each row
    replacement: whether an index may be drawn again
    generator: where the numbers come from; None for the default generator
    out: a tensor to write the result into

Raises:
    ValueError: a negative or infinite weight, weights that are all zero, too few of them

Example:
    >>> import tapegrad as tg
    >>> tg.multinomial(tg.tensor([0., 3., 0.]), 2, replacement=True)
    tensor([1, 1]))",
            &multinomial);

}  // namespace tapegrad
