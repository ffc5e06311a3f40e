// Distances between the rows of two tensors: cdist and pdist.
#include "kernels/distance.h"

#include <cmath>
#include <limits>

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;
using kernels::Distance;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr int64_t kFewRows = 25;  // up to here products of matrices are not worth their rounding

Distance kind_of(double p) {
  if (p == 0) return Distance::kCount;
  if (p == 1) return Distance::kSum;
  if (p == 2) return Distance::kEuclid;
  return p == kInf ? Distance::kLargest : Distance::kPower;
}

/// 0 where the distance is 0: there g / d would not be finite.
Tensor divide_or_zero(const Tensor& g, const Tensor& d) {
  const Tensor zero = eq(d, Scalar(0)).detach();
  return where(zero, Scalar(0.0), g / where(zero, Scalar(1.0), d));
}

/// d distance[i, j] / d (x[i] - y[j]), times g[i, j]: (..., rows, columns, depth).
Tensor difference_gradient(const Tensor& g, const Tensor& difference, const Tensor& d, double p) {
  const Tensor wide = unsqueeze(g, -1);
  const Tensor sign_of = sign(difference);
  if (p == 1) return wide * sign_of;
  const Tensor distance = unsqueeze(d, -1);
  if (p == kInf) return where(eq(abs(difference), distance).detach(), wide * sign_of, Scalar(0.0));
  const Tensor none = eq(difference, Scalar(0)).detach();
  const Tensor size = where(none, Scalar(1.0), abs(difference));
  const Tensor slope = where(none, Scalar(0.0), sign_of * pow(size, Scalar(p - 1)));
  return slope * divide_or_zero(wide, pow(distance, Scalar(p - 1)));
}

/// x (..., rows, depth), y (..., columns, depth) of the same batch shape -> (..., rows, columns).
struct DistanceRule : autograd::Rule {
  static constexpr const char* name = "Cdist";
  double p;
  bool by_products;

  unsigned saves_inputs(unsigned) const { return p == 0 ? 0u : 3u; }
  unsigned saves_outputs(unsigned) const { return p == 0 ? 0u : 1u; }

  static constexpr bool leading = true;
  Tensor forward(autograd::Inputs in) const {
    const Tensor x = contiguous(in[0]);
    if (by_products) return products(x, in[1]);
    const Tensor y = contiguous(transpose(in[1], -2, -1));
    Dims sizes(x.sizes());
    sizes.back() = y.size(-1);
    Tensor out = core::make_tensor(sizes, x.dtype());
    if (out.numel() == 0) return out;
    const kernels::DistanceArgs args = arguments(x, y.size(-1));
    core::launch(&kernels::distance, {core::out(out), core::in(x), core::in(y)}, args);
    return out;
  }

  /// |x|^2 - 2 x.y + |y|^2 as one product of extended rows.
  static Tensor products(const Tensor& x, const Tensor& y) {
    const Tensor xx = sum(square(x), {-1}, true), yy = sum(square(y), {-1}, true);
    const Tensor left[] = {x * Scalar(-2.0), xx, ones_like(xx)};
    const Tensor right[] = {y, ones_like(yy), yy};
    const Tensor squares = matmul(cat(left, -1), transpose(cat(right, -1), -2, -1));
    return sqrt(clamp(squares, Scalar(0.0)));
  }

  static Tensor mirrored(const Tensor& t) { return transpose(t, -2, -1); }

  /// The gradient of x by one kernel; nothing differentiates it.
  Tensor plain_gradient(const Tensor& x, const Tensor& y, const Tensor& g, const Tensor& d) const {
    const Tensor own = contiguous(x), other = contiguous(y);
    Tensor out = core::make_tensor(own.sizes(), own.dtype());
    if (out.numel() == 0) return out;
    const Tensor upstream = contiguous(g), distances = contiguous(d);
    core::launch(
        &kernels::distance_gradient,
        {core::out(out), core::in(own), core::in(other), core::in(upstream), core::in(distances)},
        arguments(own, other.size(-2)));
    return out;
  }

  kernels::DistanceArgs arguments(const Tensor& x, int64_t columns) const {
    kernels::DistanceArgs args;
    args.kind = kind_of(p);
    args.is_double = x.dtype() == DType::Float64;
    args.p = p;
    args.rows = x.size(-2);
    args.columns = columns;
    args.depth = x.size(-1);
    for (int64_t dim = 0; dim + 2 < x.dim(); ++dim) args.batch *= x.size(dim);
    return args;
  }

  void pull(autograd::Pull& pull) const {
    if (p == 0) {
      for (int i = 0; i < 2; ++i) {
        if (pull.needs(i)) pull.set(i, zeros(pull.input_sizes(i), pull.grad().dtype()));
      }
      return;
    }
    const Tensor x = pull.input(0), y = pull.input(1), d = pull.output();
    const Tensor& g = pull.grad();
    if (p == 2) {
      // (x - y) g / d summed over the other side: products of matrices.
      const Tensor w = divide_or_zero(g, d);
      const Tensor wt = transpose(w, -2, -1);
      if (pull.needs(0)) pull.set(0, x * sum(w, {-1}, true) - matmul(w, y));
      if (pull.needs(1)) pull.set(1, y * sum(wt, {-1}, true) - matmul(wt, x));
      return;
    }
    if (!is_watched({&x, &y, &d, &g})) {
      if (pull.needs(0)) pull.set(0, plain_gradient(x, y, g, d));
      if (pull.needs(1)) pull.set(1, plain_gradient(y, x, mirrored(g), mirrored(d)));
      return;
    }
    const Tensor each = difference_gradient(g, unsqueeze(x, -2) - unsqueeze(y, -3), d, p);
    if (pull.needs(0)) pull.set(0, sum(each, {-2}));
    if (pull.needs(1)) pull.set(1, -sum(each, {-3}));
  }
};

bool multiplies(std::string_view mode, int64_t rows, int64_t columns) {
  if (mode == "use_mm_for_euclid_dist") return true;
  if (mode == "donot_use_mm_for_euclid_dist") return false;
  if (mode == "use_mm_for_euclid_dist_if_necessary") return rows > kFewRows || columns > kFewRows;
  throw ValueError(core::text("cdist: '", mode,
                              "' is no compute_mode; use 'use_mm_for_euclid_dist_if_necessary', "
                              "'use_mm_for_euclid_dist' or 'donot_use_mm_for_euclid_dist'"));
}

void check_distance(const char* op, const Tensor& x, double p) {
  if (!(p >= 0)) throw ValueError(core::text(op, ": only supports non-negative p values, got ", p));
  if (is_floating_point(x.dtype())) return;
  throw DTypeError(core::text(op, ": expected floating-point tensors, got a ", core::describe(x),
                              "; convert it with .float()"));
}

}  // namespace

Tensor cdist(const Tensor& x1, const Tensor& x2, double p, std::string_view compute_mode) {
  check_distance("cdist", x1, p);
  check_distance("cdist", x2, p);
  if (x1.dim() < 2 || x2.dim() < 2 || x1.size(-1) != x2.size(-1)) {
    throw ShapeError(core::text("cdist: expected (..., P, M) and (..., R, M), got shapes ",
                                shape_string(x1.sizes()), " and ", shape_string(x2.sizes())));
  }
  const DType dtype = promote_types(x1.dtype(), x2.dtype());
  const DType compute = is_half(dtype) ? DType::Float32 : dtype;
  const auto lead = [](const Tensor& t) {
    return IntSpan(t.sizes().data(), static_cast<size_t>(t.dim() - 2));
  };
  const Dims batch = broadcast_shapes("cdist", lead(x1), lead(x2));
  const auto widened = [&](const Tensor& t) {
    Dims sizes = batch;
    sizes.push_back(t.size(-2));
    sizes.push_back(t.size(-1));
    return expand(to(t, compute), sizes);
  };
  const bool by_products = multiplies(compute_mode, x1.size(-2), x2.size(-2)) && p == 2;
  const Tensor d = autograd::enter(DistanceRule{{}, p, by_products}, widened(x1), widened(x2));
  return to(d, dtype);
}

TAPEGRAD_OP(kFunction,
            "cdist(Tensor x1, Tensor x2, float p=2.0, str "
            "compute_mode='use_mm_for_euclid_dist_if_necessary') -> Tensor",
            R"(Distances between all pairs of rows of two stacks of matrices.

The derivative is 0 where a distance is 0.

Args:
    x1: (..., P, M)
    x2: (..., R, M); the leading dimensions broadcast
    p: the norm: 0 counts differences, inf takes the largest
    compute_mode: whether Euclidean distances come from a product of matrices, which is faster and
        rounds more: 'use_mm_for_euclid_dist', 'donot_use_mm_for_euclid_dist', or
        'use_mm_for_euclid_dist_if_necessary' (when P or R is above 25)

Returns:
    (..., P, R)

Raises:
    ShapeError: sizes that do not fit
    DTypeError: integer inputs
    ArgumentError: a negative p, or an unknown compute_mode

Example:
    >>> import tapegrad as tg
    >>> tg.cdist(tg.tensor([[0., 0.]]), tg.tensor([[3., 4.], [0., 0.]]))
    tensor([[5., 0.]]))",
            &cdist);

namespace {

/// Of the pairs i < j, row by row, the places in a square matrix of n rows.
Tensor upper_places(int64_t n) {
  Tensor places = empty({n * (n - 1) / 2}, DType::Int64);
  auto* out = places.data_ptr<int64_t>();
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i + 1; j < n; ++j) *out++ = i * n + j;
  }
  return places;
}

Tensor pdist(const Tensor& input, double p) {
  check_distance("pdist", input, p);
  if (input.dim() != 2) {
    throw ShapeError(
        core::text("pdist: expected a tensor of 2 dimensions, got a ", core::describe(input)));
  }
  const int64_t n = input.size(0);
  if (n < 2) return zeros({0}, input.dtype());
  const Tensor all = cdist(input, input, p, "donot_use_mm_for_euclid_dist");
  return index_select(reshape(all, {-1}), 0, upper_places(n));
}

}  // namespace

TAPEGRAD_OP(kFunction | kNN, "pdist(Tensor input, float p=2.0) -> Tensor",
            R"(Distances between all pairs of rows i < j of a matrix, row by row.

The derivative is 0 where a distance is 0.

Args:
    input: (N, M), floating point
    p: the norm, as in cdist()

Returns:
    (N (N - 1) / 2,)

Raises:
    ShapeError: a tensor that is no matrix
    DTypeError: integer input

Example:
    >>> import tapegrad as tg
    >>> tg.pdist(tg.tensor([[0., 0.], [3., 4.], [3., 0.]]))
    tensor([5., 3., 4.]))",
            &pdist);

}  // namespace tapegrad
