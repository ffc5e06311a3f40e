// Differences, integrals and statistics made of other operations: diff, gradient, trapezoid,
// cumulative_trapezoid, cov, corrcoef, dist, renorm.
#include "autograd/lifted.h"
#include "core/text.h"
#include "core/warning.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;

namespace {

constexpr int kAll = kFunction | kMethod;

/// Elements after the first and before the last along dim.
Tensor later(const Tensor& x, int64_t dim) { return narrow(x, dim, 1, x.size(dim) - 1); }
Tensor earlier(const Tensor& x, int64_t dim) { return narrow(x, dim, 0, x.size(dim) - 1); }

Tensor step_along(const Tensor& x, int64_t dim) {
  if (x.dtype() == DType::Bool) return logical_xor(later(x, dim), earlier(x, dim));
  return later(x, dim) - earlier(x, dim);
}

// --- integrals -----------------------------------------------------------------------------------

/// The widths of the strips, shaped to multiply strips of y along dim.
Tensor widths_of(const char* op, const Tensor& y, const Tensor& x, int64_t dim) {
  if (x.dim() == 1) {
    if (x.size(0) != y.size(dim)) {
      throw ShapeError(core::text(op, ": x has ", x.size(0), " points, y has ", y.size(dim),
                                  " along dimension ", dim));
    }
    Dims sizes(static_cast<int>(y.dim()), 1);
    sizes[static_cast<int>(dim)] = x.size(0) - 1;
    return reshape(step_along(x, 0), sizes);
  }
  if (x.dim() == 0) throw ShapeError(core::text(op, ": x must have at least one dimension"));
  if (dim >= x.dim() || x.dim() > y.dim() || x.dim() < y.dim()) {
    Tensor shaped = x;
    while (shaped.dim() < y.dim()) shaped = unsqueeze(shaped, 0);
    return step_along(shaped, dim);
  }
  return step_along(x, dim);
}

Tensor strips(const Tensor& y, int64_t dim) { return earlier(y, dim) + later(y, dim); }

Tensor float_of(const Tensor& y) {
  return is_floating_point(y.dtype()) ? y : to(y, default_dtype());
}

Tensor trapezoid_x(const Tensor& y, const Tensor& x, int64_t dim) {
  const int64_t d = wrap_dim("trapezoid", dim, y.dim());
  if (y.size(d) == 0) return sum(float_of(y), d);
  return sum(strips(y, d) * widths_of("trapezoid", y, x, d), d) / Scalar(2.0);
}

Tensor trapezoid_dx(const Tensor& y, Scalar dx, int64_t dim) {
  const int64_t d = wrap_dim("trapezoid", dim, y.dim());
  if (y.dim() == 0) throw ShapeError("trapezoid: y must have at least one dimension");
  const int64_t n = y.size(d);
  const Tensor f = float_of(y);
  if (n == 0) return sum(f, d);
  // The sum of all elements, less half of the first and the last.
  const Tensor ends = (select(f, d, 0) + select(f, d, n - 1)) * Scalar(0.5);
  return (sum(f, d) - ends) * Scalar(dx.to_double());
}

Tensor cumulative_trapezoid_x(const Tensor& y, const Tensor& x, int64_t dim) {
  const int64_t d = wrap_dim("cumulative_trapezoid", dim, y.dim());
  const Tensor widths = widths_of("cumulative_trapezoid", y, x, d);
  return cumsum(widths * strips(y, d), d) / Scalar(2.0);
}

Tensor cumulative_trapezoid_dx(const Tensor& y, Scalar dx, int64_t dim) {
  const int64_t d = wrap_dim("cumulative_trapezoid", dim, y.dim());
  if (y.dim() == 0) throw ShapeError("cumulative_trapezoid: y must have at least one dimension");
  return cumsum(strips(float_of(y), d), d) * Scalar(dx.to_double() / 2);
}

// --- differences ---------------------------------------------------------------------------------

Tensor diff(const Tensor& input, int64_t n, int64_t dim, const Tensor& prepend,
            const Tensor& append) {
  if (input.dim() == 0) throw ShapeError("diff: expected input to have at least one dimension");
  if (n < 0) throw ValueError(core::text("diff: n must not be negative, got ", n));
  const int64_t d = wrap_dim("diff", dim, input.dim());
  Tensor x = input;
  if (n == 0) return x;
  if (prepend.defined() || append.defined()) {
    std::vector<Tensor> parts;
    if (prepend.defined()) parts.push_back(prepend);
    parts.push_back(input);
    if (append.defined()) parts.push_back(append);
    x = cat(parts, d);
  }
  if (n >= x.size(d)) return narrow(x, d, 0, 0);
  for (int64_t k = 0; k < n; ++k) x = step_along(x, d);
  return x;
}

/// Slope at the inner points by a parabola through three, outside by one or two (edge_order)
/// neighbours. `at` holds the coordinates, or is a 0-d distance.
Tensor slope_along(const Tensor& f, const Tensor& at, int64_t dim, int64_t edge_order) {
  const int64_t n = f.size(dim);
  const auto part = [&](int64_t start, int64_t length) { return narrow(f, dim, start, length); };
  Tensor h;  // distances, shaped to multiply f
  Dims sizes(static_cast<int>(f.dim()), 1);
  sizes[static_cast<int>(dim)] = n - 1;
  h = at.dim() == 0 ? expand(at, sizes) : reshape(step_along(at, 0), sizes);
  const auto gap = [&](int64_t start, int64_t length) { return narrow(h, dim, start, length); };
  const auto first_order = [&](int64_t from) {
    return (part(from + 1, 1) - part(from, 1)) / gap(from, 1);
  };
  Tensor inner, left, right;
  if (n > 2) {
    const Tensor a = gap(0, n - 2), b = gap(1, n - 2);
    if (at.dim() == 0) {
      inner = (part(2, n - 2) - part(0, n - 2)) / (a + b);
    } else {
      inner = part(0, n - 2) * (-b / (a * (a + b))) + part(1, n - 2) * ((b - a) / (a * b)) +
              part(2, n - 2) * (a / (b * (a + b)));
    }
  }
  if (edge_order == 1) {
    left = first_order(0);
    right = first_order(n - 2);
  } else {
    const Tensor a = gap(0, 1), b = gap(1, 1), c = gap(n - 3, 1), e = gap(n - 2, 1);
    left = part(0, 1) * (-(a * Scalar(2.0) + b) / (a * (a + b))) +
           part(1, 1) * ((a + b) / (a * b)) + part(2, 1) * (-a / (b * (a + b)));
    right = part(n - 3, 1) * (e / (c * (c + e))) + part(n - 2, 1) * (-(e + c) / (c * e)) +
            part(n - 1, 1) * ((e * Scalar(2.0) + c) / (e * (c + e)));
  }
  std::vector<Tensor> parts{left};
  if (inner.defined()) parts.push_back(inner);
  parts.push_back(right);
  return cat(parts, dim);
}

std::vector<Tensor> gradient_along(const Tensor& input, TensorList spacing, const OptionalInts& dim,
                                   int64_t edge_order) {
  if (edge_order != 1 && edge_order != 2)
    throw ValueError(core::text("gradient: edge_order must be 1 or 2, got ", edge_order));
  Dims dims;
  if (dim.has_value()) {
    for (const int64_t d : dim.value()) dims.push_back(wrap_dim("gradient", d, input.dim()));
  } else {
    for (int64_t d = 0; d < input.dim(); ++d) dims.push_back(d);
  }
  if (spacing.size() != 1 && static_cast<int>(spacing.size()) != dims.size()) {
    throw ShapeError(core::text("gradient: expected one spacing, or one for each of the ",
                                dims.size(), " dimensions, got ", spacing.size()));
  }
  const Tensor f = float_of(input);
  std::vector<Tensor> result;
  for (int k = 0; k < dims.size(); ++k) {
    const int64_t n = f.size(dims[k]);
    if (n < edge_order + 1) {
      throw ShapeError(core::text("gradient: each dimension must have at least ", edge_order + 1,
                                  " elements, got a ", core::describe(input)));
    }
    const Tensor& at = spacing[spacing.size() == 1 ? 0 : static_cast<size_t>(k)];
    if (at.dim() > 1 || (at.dim() == 1 && at.size(0) != n)) {
      throw ShapeError(core::text("gradient: the coordinates along dimension ", dims[k],
                                  " must be a line of ", n, " elements, got a ",
                                  core::describe(at)));
    }
    result.push_back(slope_along(f, at, dims[k], edge_order));
  }
  return result;
}

std::vector<Tensor> gradient(const Tensor& input, std::optional<Scalar> spacing, OptionalInts dim,
                             int64_t edge_order) {
  const DType dtype = is_floating_point(input.dtype()) ? input.dtype() : default_dtype();
  const Tensor step = core::make_scalar(spacing ? spacing->to_double() : 1.0, dtype);
  return gradient_along(input, {&step, 1}, dim, edge_order);
}

std::vector<Tensor> gradient_at(const Tensor& input, TensorList spacing, OptionalInts dim,
                                int64_t edge_order) {
  return gradient_along(input, spacing, dim, edge_order);
}

// --- statistics ----------------------------------------------------------------------------------

Tensor checked_weights(const Tensor& weights, const char* name, int64_t observations) {
  if (weights.dim() > 1 || weights.numel() != observations) {
    throw ShapeError(core::text("cov: ", name, " must be a line of ", observations,
                                " weights, got a ", core::describe(weights)));
  }
  if (autograd::any_below(lt(weights, Scalar(0))))
    throw ValueError(core::text("cov: ", name, " must not be negative"));
  return reshape(weights, {-1});
}

Tensor cov(const Tensor& input, int64_t correction, const Tensor& fweights,
           const Tensor& aweights) {
  if (input.dim() > 2) {
    throw ShapeError(core::text("cov: expected input to have two or fewer dimensions, got a ",
                                core::describe(input)));
  }
  if (input.dtype() == DType::Bool) throw DTypeError("cov: bool tensors are not supported");
  const Tensor x = float_of(input.dim() < 2 ? reshape(input, {1, -1}) : input);
  const int64_t n = x.size(1);
  Tensor w;
  if (fweights.defined()) {
    if (is_floating_point(fweights.dtype()))
      throw DTypeError(
          core::text("cov: fweights must be integers, got a ", core::describe(fweights)));
    w = checked_weights(fweights, "fweights", n);
  }
  Tensor shares;
  if (aweights.defined()) {
    if (!is_floating_point(aweights.dtype()))
      throw DTypeError(
          core::text("cov: aweights must be floating-point, got a ", core::describe(aweights)));
    shares = checked_weights(aweights, "aweights", n);
    w = w.defined() ? w * shares : shares;
  }
  Tensor average, freedom;
  if (w.defined()) {
    const Tensor total = sum(w);
    average = sum(x * w, 1, true) / total;
    const Tensor lost = shares.defined() ? sum(w * shares) / total : Tensor();
    freedom = lost.defined() ? total - lost * Scalar(correction) : total - Scalar(correction);
    freedom = to(freedom, x.dtype());
  } else {
    average = mean(x, 1, true);
    freedom = core::make_scalar(static_cast<double>(n - correction), x.dtype());
  }
  if (const Tensor none = le(freedom, Scalar(0)); autograd::any_below(none)) {
    core::warn("cov: degrees of freedom is <= 0: there are too few observations");
    freedom = where(none, freedom * Scalar(0.0), freedom);
  }
  const Tensor centred = x - average;
  const Tensor weighted = w.defined() ? centred * w : centred;
  return squeeze(matmul(weighted, t(centred)) / freedom);
}

Tensor corrcoef(const Tensor& input) {
  const Tensor c = cov(input, 1, {}, {});
  if (c.dim() == 0) return c / c;  // NOLINT(misc-redundant-expression): 1, or NaN
  const Tensor spread = sqrt(diagonal(c));
  return clamp(c / unsqueeze(spread, 1) / unsqueeze(spread, 0), Scalar(-1), Scalar(1));
}

Tensor dist(const Tensor& input, const Tensor& other, Scalar p) { return norm(input - other, p); }

Tensor renorm(const Tensor& input, Scalar p, int64_t dim, Scalar maxnorm) {
  if (input.dim() < 2) {
    throw ShapeError(
        core::text("renorm: expected at least two dimensions, got a ", core::describe(input)));
  }
  if (p.to_double() <= 0)
    throw ValueError(core::text("renorm: p must be positive, got ", p.to_double()));
  if (maxnorm.to_double() < 0)
    throw ValueError(core::text("renorm: maxnorm must not be negative, got ", maxnorm.to_double()));
  const int64_t d = wrap_dim("renorm", dim, input.dim());
  Dims others;
  for (int64_t k = 0; k < input.dim(); ++k) {
    if (k != d) others.push_back(k);
  }
  // Half types are summed in float32, and all in one order whatever the strides.
  const DType wide = is_half(input.dtype()) ? DType::Float32 : input.dtype();
  const Tensor size = norm(contiguous(to(input, wide)), p, others, true);
  const Tensor shrink = maxnorm / (size + Scalar(1e-7));
  const Tensor factor = where(gt(size.detach(), maxnorm), shrink, Scalar(1.0));
  return input * to(factor, input.dtype());
}

}  // namespace

// --- registration --------------------------------------------------------------------------------

TAPEGRAD_OP(kAll, "trapezoid(Tensor y, Tensor x, *, int dim=-1) -> Tensor",
            R"(The integral of y along a dimension by the trapezoidal rule.

Args:
    y: values of a function
    x: the points where they stand: a line, or a tensor that broadcasts to y
    dx: the distance of the points where x is absent
    dim: the dimension

Raises:
    ShapeError: x of another size than y

Example:
    >>> import tapegrad as tg
    >>> tg.trapezoid(tg.tensor([1., 5., 10.]), tg.tensor([1., 3., 6.]))
    tensor(28.5000))",
            &trapezoid_x);
TAPEGRAD_OP(kAll, "trapezoid(Tensor y, *, Scalar dx=1, int dim=-1) -> Tensor", "", &trapezoid_dx);
TAPEGRAD_OP(
    kAll, "cumulative_trapezoid(Tensor y, Tensor x, *, int dim=-1) -> Tensor",
    R"(The integrals of y from the first point to each later one. Arguments as of trapezoid().

Example:
    >>> import tapegrad as tg
    >>> tg.cumulative_trapezoid(tg.tensor([1., 5., 10.]))
    tensor([ 3.0000, 10.5000]))",
    &cumulative_trapezoid_x);
TAPEGRAD_OP(kAll, "cumulative_trapezoid(Tensor y, *, Scalar dx=1, int dim=-1) -> Tensor", "",
            &cumulative_trapezoid_dx);
TAPEGRAD_OP(kAll,
            "diff(Tensor input, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None, *, "
            "Tensor? out=None) -> Tensor",
            R"(Differences of neighbours along a dimension, n times over.

Args:
    input: a tensor
    n: how often
    dim: the dimension
    prepend: what stands before input along dim
    append: what stands after it
    out: a tensor to write the result into

Raises:
    ShapeError: a 0-d tensor
    ValueError: a negative n

Example:
    >>> import tapegrad as tg
    >>> tg.diff(tg.tensor([1, 3, 2]))
    tensor([ 2, -1]))",
            &diff);
TAPEGRAD_OP(kFunction,
            "gradient(Tensor input, *, Scalar? spacing=None, int[1]? dim=None, int edge_order=1) "
            "-> Tensor[]",
            R"(The slopes of sampled values along dimensions, by central differences.

Args:
    input: values of a function on a grid
    spacing: the distance of the points (1 when absent); or a list with the distance (a 0-d tensor)
        or the coordinates (a line) for each dimension
    dim: the dimensions; all when absent
    edge_order: 1 or 2, the order of the difference at the edges

Returns:
    a tuple with a tensor for each dimension

Raises:
    ShapeError: too few points, or spacings that do not fit

Example:
    >>> import tapegrad as tg
    >>> tg.gradient(tg.tensor([1., 2., 4., 7.]))
    (tensor([1.0000, 1.5000, 2.5000, 3.0000]),))",
            &gradient);
TAPEGRAD_OP(
    kFunction,
    "gradient(Tensor input, *, Tensor[] spacing, int[1]? dim=None, int edge_order=1) -> Tensor[]",
    "", &gradient_at);
TAPEGRAD_OP(kAll,
            "cov(Tensor input, *, int correction=1, Tensor? fweights=None, Tensor? aweights=None) "
            "-> Tensor",
            R"(The covariance matrix of variables (rows) from observations (columns).

Args:
    input: a tensor of at most two dimensions; a line is one variable
    correction: degrees of freedom lost: 1 is Bessel's
    fweights: how often each observation was made (integers)
    aweights: the importance of each observation

Raises:
    ShapeError: more than two dimensions, or weights of another number
    ValueError: negative weights

Example:
    >>> import tapegrad as tg
    >>> tg.cov(tg.tensor([[0., 1., 2.], [2., 1., 0.]]))
    tensor([[ 1., -1.],
            [-1.,  1.]]))",
            &cov);
TAPEGRAD_OP(kAll, "corrcoef(Tensor input) -> Tensor",
            R"(The correlation matrix of variables (rows) from observations (columns).

Example:
    >>> import tapegrad as tg
    >>> tg.corrcoef(tg.tensor([[0., 1., 2.], [2., 1., 0.]]))
    tensor([[ 1., -1.],
            [-1.,  1.]]))",
            &corrcoef);
TAPEGRAD_OP(kAll, "dist(Tensor input, Tensor other, Scalar p=2) -> Tensor",
            R"(The p-norm of input - other. Where that is 0, so is the gradient.

Args:
    input: a floating-point tensor
    other: a tensor that broadcasts with it
    p: the order of the norm

Example:
    >>> import tapegrad as tg
    >>> tg.dist(tg.tensor([0., 3.]), tg.tensor([4., 0.]))
    tensor(5.))",
            &dist);
TAPEGRAD_OP(
    kAll | kInplace,
    "renorm(Tensor input, Scalar p, int dim, Scalar maxnorm, *, Tensor? out=None) -> Tensor",
    R"(A copy of input whose slices along a dimension are scaled down to a norm of at most maxnorm.

Args:
    input: a floating-point tensor of at least two dimensions
    p: the order of the norm
    dim: the dimension along which the slices lie
    maxnorm: the greatest norm
    out: a tensor to write the result into

Raises:
    ShapeError: fewer than two dimensions
    ValueError: p not positive, or a negative maxnorm

Example:
    >>> import tapegrad as tg
    >>> tg.renorm(tg.tensor([[3., 4.], [0.3, 0.4]]), 2, 0, 1.)
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]]))",
    &renorm);

}  // namespace tapegrad
