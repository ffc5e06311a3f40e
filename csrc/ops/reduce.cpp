// Sums and what is made of them: sum, mean, count_nonzero, nansum, nanmean, var, std, norm, any,
// all.
#include <cmath>
#include <limits>

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "core/warning.h"
#include "ops/promotion.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;
using kernels::FoldOp;

namespace {

constexpr int kAll = kFunction | kMethod;
constexpr double kInf = std::numeric_limits<double>::infinity();

void require_floating(const char* op, const Tensor& input) {
  if (is_floating_point(input.dtype())) return;
  throw DTypeError(core::text(op, ": expected a floating-point tensor, got a ",
                              core::describe(input),
                              "; convert it first, for example by .float()"));
}

// --- sum, mean -----------------------------------------------------------------------------------

struct SumRule : autograd::Rule {
  static constexpr const char* name = "Sum";
  static constexpr bool linear = true;
  DimMask mask;
  bool keepdim;
  DType dtype;

  SumRule shifted() const {
    SumRule rule = *this;
    rule.mask <<= 1;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const {
    return fold(in[0], mask, keepdim, FoldOp::Sum, dtype);
  }
  void pull(autograd::Pull& p) const {
    p.set(0, restore_expanded(p.grad(), p.input_sizes(0), mask, keepdim));
  }
};

struct MeanRule : autograd::Rule {
  static constexpr const char* name = "Mean";
  static constexpr bool linear = true;
  DimMask mask;
  bool keepdim;

  MeanRule shifted() const {
    MeanRule rule = *this;
    rule.mask <<= 1;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const {
    const auto count = static_cast<double>(reduced_count(in[0].sizes(), mask));
    return fold(in[0], mask, keepdim, FoldOp::Sum, in[0].dtype(), {count, false});
  }
  void pull(autograd::Pull& p) const {
    const IntSpan sizes = p.input_sizes(0);
    const Tensor share = p.grad() / Scalar(static_cast<double>(reduced_count(sizes, mask)));
    p.set(0, restore_expanded(share, sizes, mask, keepdim));
  }
};

struct NumbersSumRule : autograd::Rule {
  static constexpr const char* name = "Nansum";
  DimMask mask;
  bool keepdim;
  unsigned saves_inputs(unsigned) const { return 1; }
  Tensor forward(autograd::Inputs in) const {
    return fold(in[0], mask, keepdim, FoldOp::SumNumbers, in[0].dtype());
  }
  void pull(autograd::Pull& p) const {
    const Tensor x = p.input(0);
    p.set(0, where(isnan(x), Scalar(0.0), restore(p.grad(), x.dim(), mask, keepdim)));
  }
};

Tensor zero_where_nan(const Tensor& input) { return where(isnan(input), Scalar(0), input); }

}  // namespace

Tensor sum(const Tensor& input, OptionalInts dim, bool keepdim, std::optional<DType> dtype) {
  const DimMask mask = dim_mask("sum", dim, input.dim());
  const DType own = is_floating_point(input.dtype()) ? input.dtype() : DType::Int64;
  const DType result = dtype.value_or(own);
  SumRule rule{{}, mask, keepdim, result};
  if (result == own || input.dtype() == result) return autograd::enter(rule, input);
  return autograd::enter(rule, to(input, result));
}

Tensor mean(const Tensor& input, OptionalInts dim, bool keepdim, std::optional<DType> dtype) {
  const DimMask mask = dim_mask("mean", dim, input.dim());
  const Tensor x = dtype && *dtype != input.dtype() ? to(input, *dtype) : input;
  require_floating("mean", x);
  return autograd::enter(MeanRule{{}, mask, keepdim}, x);
}

Tensor nansum(const Tensor& input, OptionalInts dim, bool keepdim, std::optional<DType> dtype) {
  if (!is_floating_point(input.dtype())) return sum(input, dim, keepdim, dtype);
  if (dtype && !is_floating_point(*dtype)) return sum(zero_where_nan(input), dim, keepdim, dtype);
  const NumbersSumRule rule{{}, dim_mask("nansum", dim, input.dim()), keepdim};
  return autograd::enter(rule, dtype ? to(input, *dtype) : input);
}

Tensor nanmean(const Tensor& input, OptionalInts dim, bool keepdim, std::optional<DType> dtype) {
  require_floating("nanmean", input);
  const Tensor numbers = sum(logical_not(isnan(input)), dim, keepdim);
  return nansum(input, dim, keepdim, dtype) / numbers;
}

namespace {

struct CountNonzeroRule : autograd::Rule {
  static constexpr const char* name = "CountNonzero";
  static constexpr bool differentiable = false;
  DimMask mask;
  CountNonzeroRule shifted() const {
    CountNonzeroRule rule = *this;
    rule.mask <<= 1;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const {
    const Tensor flags = in[0].dtype() == DType::Bool ? in[0] : ne(in[0].detach(), Scalar(0));
    return fold(flags, mask, false, FoldOp::Sum, DType::Int64);
  }
  void pull(autograd::Pull&) const {}
};

/// any: the largest of the truth values; all: the smallest.
struct TruthRule : autograd::Rule {
  static constexpr const char* name = "Truth";
  static constexpr bool differentiable = false;
  DimMask mask;
  bool keepdim;
  bool any;
  TruthRule shifted() const {
    TruthRule rule = *this;
    rule.mask <<= 1;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const {
    const Tensor flags = in[0].dtype() == DType::Bool ? in[0] : ne(in[0].detach(), Scalar(0));
    const DType dtype = in[0].dtype() == DType::UInt8 ? DType::UInt8 : DType::Bool;
    if (flags->numel() > 0)
      return fold(flags, mask, keepdim, any ? FoldOp::Max : FoldOp::Min, dtype);
    return full(reduced_sizes(flags.sizes(), mask, keepdim), Scalar(!any), dtype);
  }
  void pull(autograd::Pull&) const {}
};

/// An empty list of dimensions keeps all of them, as in PyTorch.
DimMask truth_mask(const char* op, const Tensor& input, const OptionalInts& dim) {
  if (dim.has_value() && dim.value().empty()) return 0;
  return dim_mask(op, dim, input.dim());
}

}  // namespace

Tensor count_nonzero(const Tensor& input, OptionalInts dim) {
  return autograd::enter(CountNonzeroRule{{}, dim_mask("count_nonzero", dim, input.dim())}, input);
}
Tensor any(const Tensor& input, OptionalInts dim, bool keepdim) {
  return autograd::enter(TruthRule{{}, truth_mask("any", input, dim), keepdim, true}, input);
}
Tensor all(const Tensor& input, OptionalInts dim, bool keepdim) {
  return autograd::enter(TruthRule{{}, truth_mask("all", input, dim), keepdim, false}, input);
}

// --- var, std ------------------------------------------------------------------------------------

namespace {

struct SpreadRule : autograd::Rule {
  static constexpr const char* name = "Var";
  DimMask mask;
  bool keepdim;
  bool root;  // the standard deviation
  double correction;

  unsigned saves_inputs(unsigned) const { return 1; }
  unsigned saves_outputs(unsigned) const { return root ? 1 : 0; }

  SpreadRule shifted() const {
    SpreadRule rule = *this;
    rule.mask <<= 1;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const {
    const Tensor& input = in[0];
    const double freedom = static_cast<double>(reduced_count(input.sizes(), mask)) - correction;
    const Dims sizes = reduced_sizes(input.sizes(), mask, keepdim);
    if (input->numel() == 0) return full(sizes, std::nan(""), input.dtype());
    Tensor x = converted(input, kernel_dtype(input.dtype()));
    kernels::MomentsParameters p;
    if (!as_blocks(x, mask, false, p.shape)) x = gathered(x, mask, p.shape);
    p.is_double = x.dtype() == DType::Float64;
    p.square_root = root;
    p.divisor = freedom > 0 ? freedom : 0;
    const Tensor out = core::make_tensor(sizes, x.dtype());
    const Tensor scratch = core::make_tensor({kernels::moments_scratch(p.shape)}, DType::Float64);
    core::launch(&kernels::moments, {core::out(out), core::none(), core::in(x), core::out(scratch)},
                 p);
    return converted(out, input.dtype());
  }

  void pull(autograd::Pull& p) const {
    const Tensor x = p.input(0);
    const double freedom = static_cast<double>(reduced_count(x.sizes(), mask)) - correction;
    Tensor g = p.grad();
    if (root) {
      const Tensor y = p.output();
      g = where(eq(y, Scalar(0)), Scalar(0.0), g / (y * Scalar(2.0)));
    }
    g = restore(g, x.dim(), mask, keepdim);
    const Tensor deviation = x - mean(x, dims_of(mask, x.dim()), true);
    if (freedom > 0) {
      p.set(0, deviation * (g * Scalar(2.0 / freedom)));
    } else {
      const Tensor factor = where(eq(deviation, Scalar(0)), full_like(x, Scalar(std::nan(""))),
                                  full_like(x, Scalar(kInf)));
      p.set(0, factor * g);
    }
  }
};

Tensor spread(const char* op, bool root, const Tensor& input, const OptionalInts& dim,
              std::optional<Scalar> correction, bool keepdim) {
  require_floating(op, input);
  const DimMask mask = dim_mask(op, dim, input.dim());
  const double c = correction ? correction->to_double() : 1.0;
  if (static_cast<double>(reduced_count(input.sizes(), mask)) - c <= 0) {
    core::warn(core::text(op, ": degrees of freedom is <= 0: ", reduced_count(input.sizes(), mask),
                          " values with a correction of ", c, " leave nothing to divide by"));
  }
  return autograd::enter(SpreadRule{{}, mask, keepdim, root, c}, input);
}

Scalar bessel(bool unbiased) { return unbiased ? 1 : 0; }

}  // namespace

Tensor var(const Tensor& input, OptionalInts dim, std::optional<Scalar> correction, bool keepdim) {
  return spread("var", false, input, dim, correction, keepdim);
}
Tensor std_dev(const Tensor& input, OptionalInts dim, std::optional<Scalar> correction,
               bool keepdim) {
  return spread("std", true, input, dim, correction, keepdim);
}
std::vector<Tensor> var_mean(const Tensor& input, OptionalInts dim,
                             std::optional<Scalar> correction, bool keepdim) {
  return {spread("var_mean", false, input, dim, correction, keepdim), mean(input, dim, keepdim)};
}
std::vector<Tensor> std_mean(const Tensor& input, OptionalInts dim,
                             std::optional<Scalar> correction, bool keepdim) {
  return {spread("std_mean", true, input, dim, correction, keepdim), mean(input, dim, keepdim)};
}

// --- norm ----------------------------------------------------------------------------------------

namespace {

struct NormRule : autograd::Rule {
  static constexpr const char* name = "Norm";
  double p;
  DimMask mask;
  bool keepdim;

  unsigned saves_inputs(unsigned) const { return p == 0 ? 0 : 1; }
  unsigned saves_outputs(unsigned) const { return p == 0 || p == 1 ? 0 : 1; }

  NormRule shifted() const {
    NormRule rule = *this;
    rule.mask <<= 1;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const {
    const Tensor& x = in[0];
    const auto run = [&](FoldOp op, bool root = false) {
      return fold(x, mask, keepdim, op, x.dtype(), {1, root});
    };
    if (p == 2) return run(FoldOp::SumSquares, true);
    if (p == 1) return run(FoldOp::SumAbs);
    if (p == 0) return run(FoldOp::CountNonzero);
    if (p == kInf) return run(FoldOp::MaxAbs);
    if (p == -kInf) return run(FoldOp::MinAbs);
    const Tensor wide = converted(x, kernel_dtype(x.dtype()));
    const Tensor powers = pow(abs(wide), Scalar(p));
    const Tensor total = fold(powers, mask, keepdim, FoldOp::Sum, powers.dtype());
    return converted(pow(total, Scalar(1.0 / p)), x.dtype());
  }

  void pull(autograd::Pull& pull) const {
    if (p == 0) return;
    const Tensor x = pull.input(0);
    const Tensor g = restore(pull.grad(), x.dim(), mask, keepdim);
    if (p == 1) {
      pull.set(0, g * sign(x));
      return;
    }
    const Tensor y = restore(pull.output(), x.dim(), mask, keepdim);
    if (p == kInf || p == -kInf) {
      const Tensor size = abs(x);
      const Tensor chosen = logical_or(eq(size, y), isnan(size));
      const Tensor ties = restore(sum(chosen, dims_of(mask, x.dim()), true), x.dim(), mask, true);
      pull.set(0, where(chosen, sign(x) * (g / ties), Scalar(0.0)));
      return;
    }
    // y'(x) = sign(x) (|x| / y)^(p - 1), and 0 where the norm is 0.
    const Tensor zero_norm = eq(y, Scalar(0));
    if (p == 2) {
      pull.set(0, where(zero_norm, Scalar(0.0), x * (g / y)));
      return;
    }
    const Tensor scale = where(zero_norm, Scalar(0.0), g * pow(y, Scalar(1 - p)));
    if (p > 2) {
      pull.set(0, x * pow(abs(x), Scalar(p - 2)) * scale);
      return;
    }
    // A power below 1 is infinite at 0: the base there is replaced, for the derivative's sake too.
    const Tensor zero = eq(x, Scalar(0));
    const Tensor base = where(zero, Scalar(1.0), abs(x));
    pull.set(0, where(zero, Scalar(0.0), sign(x) * pow(base, Scalar(p - 1)) * scale));
  }
};

double order_of(std::string_view p) {
  if (p == "fro") return 2;
  if (p == "inf") return kInf;
  if (p == "-inf") return -kInf;
  throw UnsupportedError(core::text("norm: p must be a number or 'fro', got '", p,
                                    "'; norms of matrices other than "
                                    "Frobenius's are not supported"));
}

}  // namespace

Tensor norm(const Tensor& input, Scalar p, OptionalInts dim, bool keepdim) {
  require_floating("norm", input);
  const DimMask mask = dim_mask("norm", dim, input.dim());
  const double order = p.to_double();
  if (input->numel() == 0 && (order < 0 || order == kInf) &&
      reduced_count(input.sizes(), mask) == 0) {
    throw ShapeError(core::text("norm: the norm of order ", order, " of an empty ",
                                core::describe(input), " has no value"));
  }
  return autograd::enter(NormRule{{}, order, mask, keepdim}, input);
}

// --- registration --------------------------------------------------------------------------------

TAPEGRAD_OP(
    kAll, "sum(Tensor input, *, dtype? dtype=None) -> Tensor",
    R"(Sum of all elements, or along dimensions.

Floats are added in 32 lanes and a fixed tree: the bits do not depend on the number of threads.

Args:
    input: a tensor of any shape
    dim: a dimension, or several, to sum over; all when absent
    keepdim: keep the summed dimensions with size 1
    dtype: of the result, and of the input before the sum; int64 for integers and bool when absent

Raises:
    IndexError: a dimension that does not exist

Example:
    >>> import tapegrad as tg
    >>> tg.sum(tg.tensor([[1., 2.], [3., 4.]]), dim=0)
    tensor([4., 6.]))",
    +[](const Tensor& x, std::optional<DType> dtype) { return sum(x, {}, false, dtype); });
TAPEGRAD_OP(kAll,
            "sum(Tensor input, int[1]? dim, bool keepdim=False, *, dtype? dtype=None, "
            "Tensor? out=None) -> Tensor",
            "", &sum);
TAPEGRAD_OP(
    kAll, "mean(Tensor input, *, dtype? dtype=None) -> Tensor",
    R"(Arithmetic mean of all elements, or along dimensions. Of no elements: NaN.

Args:
    input: a floating-point tensor
    dim: a dimension, or several; all when absent
    keepdim: keep the reduced dimensions with size 1
    dtype: to which the input is converted first

Raises:
    DTypeError: an integer or bool input without a floating-point dtype
    IndexError: a dimension that does not exist

Example:
    >>> import tapegrad as tg
    >>> tg.mean(tg.tensor([[1., 2.], [3., 4.]]), dim=1)
    tensor([1.5000, 3.5000]))",
    +[](const Tensor& x, std::optional<DType> dtype) { return mean(x, {}, false, dtype); });
TAPEGRAD_OP(kAll,
            "mean(Tensor input, int[1]? dim, bool keepdim=False, *, dtype? dtype=None, "
            "Tensor? out=None) -> Tensor",
            "", &mean);
TAPEGRAD_OP(kAll,
            "nansum(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None) "
            "-> Tensor",
            R"(Sum with NaN counted as zero. Arguments as of sum().

Example:
    >>> import tapegrad as tg
    >>> tg.nansum(tg.tensor([1., float("nan"), 2.]))
    tensor(3.))",
            &nansum);
TAPEGRAD_OP(kAll,
            "nanmean(Tensor input, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None) "
            "-> Tensor",
            R"(Mean of what is not NaN. Arguments as of mean().

Example:
    >>> import tapegrad as tg
    >>> tg.nanmean(tg.tensor([1., float("nan"), 2.]))
    tensor(1.5000))",
            &nanmean);
TAPEGRAD_OP(kAll, "count_nonzero(Tensor input, int[1]? dim=None) -> Tensor",
            R"(The number of elements that are not zero, as int64, of all or along dimensions.

Example:
    >>> import tapegrad as tg
    >>> tg.count_nonzero(tg.tensor([[1., 0.], [2., 3.]]), dim=0)
    tensor([2, 1]))",
            &count_nonzero);
TAPEGRAD_OP(kAll, "any(Tensor input, int[1]? dim=None, bool keepdim=False) -> Tensor",
            R"(Whether any element is true (not zero), of all or along dimensions.

The result is bool, and uint8 for a uint8 input.

Example:
    >>> import tapegrad as tg
    >>> tg.any(tg.tensor([[0., 0.], [0., 3.]]), dim=1)
    tensor([False,  True]))",
            &any);
TAPEGRAD_OP(kAll, "all(Tensor input, int[1]? dim=None, bool keepdim=False) -> Tensor",
            R"(Whether all elements are true (not zero), of all or along dimensions.

The result is bool, and uint8 for a uint8 input. Of no elements: True.

Example:
    >>> import tapegrad as tg
    >>> tg.all(tg.tensor([[1., 0.], [2., 3.]]), dim=1)
    tensor([False,  True]))",
            &all);

#define TAPEGRAD_REGISTER_SPREAD(name, function, result, doc)                                     \
  TAPEGRAD_OP(                                                                                    \
      kAll, name "(Tensor input, bool unbiased) -> " result, doc,                                 \
      +[](const Tensor& x, bool u) { return function(x, {}, bessel(u), false); });                \
  TAPEGRAD_OP(                                                                                    \
      kAll, name "(Tensor input, int[1]? dim, bool unbiased, bool keepdim=False) -> " result, "", \
      +[](const Tensor& x, OptionalInts dim, bool u, bool keepdim) {                              \
        return function(x, dim, bessel(u), keepdim);                                              \
      });                                                                                         \
  TAPEGRAD_OP(kAll,                                                                               \
              name                                                                                \
              "(Tensor input, int[1]? dim=None, *, Scalar? correction=None, bool "                \
              "keepdim=False) -> " result,                                                        \
              "", &function);
TAPEGRAD_REGISTER_SPREAD("var", var, "Tensor",
                         R"(Variance of all elements, or along dimensions.

The squared deviations are divided by n - correction.

Args:
    input: a floating-point tensor
    dim: a dimension, or several; all when absent
    correction: 1 (Bessel's) by default; 0 for the variance of the sample itself
    unbiased: the older form of correction: True is 1, False is 0
    keepdim: keep the reduced dimensions with size 1

Raises:
    DTypeError: an integer or bool input

Example:
    >>> import tapegrad as tg
    >>> tg.var(tg.tensor([1., 2., 3., 4.]))
    tensor(1.6667))")
TAPEGRAD_REGISTER_SPREAD("std", std_dev, "Tensor",
                         R"(Standard deviation of all elements, or along dimensions.

The square root of var(), with the same arguments. The derivative is 0 where the result is 0.

Example:
    >>> import tapegrad as tg
    >>> tg.std(tg.tensor([1., 2., 3., 4.]))
    tensor(1.2910))")
TAPEGRAD_REGISTER_SPREAD("var_mean", var_mean, "(Tensor var, Tensor mean)",
                         R"(Variance and mean. Arguments as of var().

Example:
    >>> import tapegrad as tg
    >>> tg.var_mean(tg.tensor([1., 2., 3., 4.]))[1]
    tensor(2.5000))")
TAPEGRAD_REGISTER_SPREAD("std_mean", std_mean, "(Tensor std, Tensor mean)",
                         R"(Standard deviation and mean. Arguments as of var().

Example:
    >>> import tapegrad as tg
    >>> tg.std_mean(tg.tensor([1., 2., 3., 4.]))[0]
    tensor(1.2910))")
#undef TAPEGRAD_REGISTER_SPREAD

TAPEGRAD_OP(
    kAll,
    "norm(Tensor input, Scalar? p=2, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None) "
    "-> Tensor",
    R"(Norm of the elements as a vector: (sum of |x|**p)**(1/p).

Args:
    input: a floating-point tensor
    p: the order: a number, 0 (counts what is not zero), inf or -inf (largest or smallest
        magnitude); 'fro' is 2
    dim: a dimension, or several; all when absent
    keepdim: keep the reduced dimensions with size 1
    dtype: to which the input is converted first

The derivative at a norm of 0 is 0; ties of an extreme magnitude share it.

Raises:
    DTypeError: an integer or bool input
    ShapeError: an infinite or negative order of no elements

Example:
    >>> import tapegrad as tg
    >>> tg.norm(tg.tensor([3., 4.]))
    tensor(5.))",
    +[](const Tensor& x, std::optional<Scalar> p, OptionalInts dim, bool keepdim,
        std::optional<DType> dtype) {
      return norm(dtype ? to(x, *dtype) : x, p.value_or(Scalar(2.0)), dim, keepdim);
    });
TAPEGRAD_OP(
    kAll,
    "norm(Tensor input, str p, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None) "
    "-> Tensor",
    "",
    +[](const Tensor& x, std::string_view p, OptionalInts dim, bool keepdim,
        std::optional<DType> dtype) {
      return norm(dtype ? to(x, *dtype) : x, order_of(p), dim, keepdim);
    });

}  // namespace tapegrad
