// Images sampled at given places (spatial transformers), and the grids of affine maps.
#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "core/warning.h"
#include "kernels/resample.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"
#include "tapegrad/parallel.h"
#include "tapegrad/resample.h"

namespace tapegrad {
namespace {

using autograd::Inputs;
using autograd::Pull;
using namespace ops;
using kernels::GridSample;
using kernels::SampleBorder;
using kernels::SampleMode;

constexpr double kCubic = -0.75;
constexpr int64_t kFewChannels = 8;  // are sampled one by one

/// The pixels along one axis that count for each place, in operations: for derivatives of
/// derivatives. The kernel's twin (kernels/isa/grid_sample.cpp).
struct AxisTaps {
  std::vector<Tensor> index;   // int64, inside of the axis
  std::vector<Tensor> weight;  // 0 where the tap lies outside
  std::vector<Tensor> slope;   // d weight / d coordinate
};

class Axis {
 public:
  Axis(int64_t size, const GridSample& p) : size_(size), p_(p) {
    const auto s = static_cast<double>(size);
    scale_ = p.align_corners ? (s - 1) / 2 : s / 2;
    low_ = p.align_corners ? 0 : -0.5;
    span_ = p.align_corners ? s - 1 : s;
  }

  AxisTaps taps(const Tensor& coordinate) const {
    const Tensor at = coordinate * Scalar(scale_) + Scalar(static_cast<double>(size_ - 1) / 2);
    AxisTaps taps;
    if (p_.mode == SampleMode::Bicubic) {
      cubic(at, taps);
      return taps;
    }
    Tensor sign;
    const Tensor place = folded(at, sign);
    if (p_.mode == SampleMode::Nearest) {
      add(taps, round(place).detach(), ones_like(place), zeros_like(place));
      return taps;
    }
    const Tensor down = floor(place).detach(), second = place - down;
    const Tensor slope = sign * Scalar(scale_);
    add(taps, down, Scalar(1) - second, -slope);
    add(taps, down + Scalar(1), second, slope);
    return taps;
  }

 private:
  void cubic(const Tensor& at, AxisTaps& taps) const {
    const double a = kCubic;
    const Tensor down = floor(at).detach();
    const Tensor t = at - down;
    for (int k = 0; k < 4; ++k) {
      const Tensor d = abs(t - Scalar(k - 1));
      const double sign = k < 2 ? scale_ : -scale_;
      const bool near = k == 1 || k == 2;
      const Tensor weight =
          near ? (d * Scalar(a + 2) - Scalar(a + 3)) * d * d + Scalar(1)
               : ((d * Scalar(a) - Scalar(5 * a)) * d + Scalar(8 * a)) * d - Scalar(4 * a);
      const Tensor slope = near ? (d * Scalar(3 * (a + 2)) - Scalar(2 * (a + 3))) * d
                                : (d * Scalar(3 * a) - Scalar(10 * a)) * d + Scalar(8 * a);
      Tensor unused;
      add(taps, folded(down + Scalar(k - 1), unused), weight, slope * Scalar(sign));
    }
  }

  /// The place in the image that stands for x, and the derivative of that.
  Tensor folded(Tensor x, Tensor& slope) const {
    slope = ones_like(x);
    if (p_.border == SampleBorder::Zeros) return x;
    if (p_.border == SampleBorder::Reflection) {
      if (span_ <= 0) {
        slope = zeros_like(x);
        return x * Scalar(0);
      }
      const Tensor d = x - Scalar(low_);
      const Tensor a = abs(d), flips = floor(a / Scalar(span_)).detach();
      const Tensor rest = a - flips * Scalar(span_);
      const Tensor odd = ne(flips - floor(flips / Scalar(2)) * Scalar(2), Scalar(0));
      slope = where(ne(odd, lt(d, Scalar(0))), -slope, slope);
      x = where(odd, Scalar(span_) - rest, rest) + Scalar(low_);
    }
    const auto most = static_cast<double>(size_ - 1);
    const Tensor within = logical_and(gt(x, Scalar(0)), lt(x, Scalar(most)));
    slope = where(within, slope, zeros_like(slope));
    return where(within, x, clamp(x, Scalar(0.0), Scalar(most)).detach());
  }

  void add(AxisTaps& taps, const Tensor& place, const Tensor& weight, const Tensor& slope) const {
    const Tensor at = place.detach();
    const Tensor outside =
        logical_not(logical_and(ge(at, Scalar(0)), lt(at, Scalar(static_cast<double>(size_)))));
    const Tensor zero = scalar_tensor(0, weight.dtype());
    taps.index.push_back(to(masked_fill(at, outside, zero), DType::Int64));
    taps.weight.push_back(masked_fill(weight, outside, zero));
    taps.slope.push_back(masked_fill(slope, outside, zero));
  }

  int64_t size_;
  const GridSample& p_;
  double scale_ = 1, low_ = 0, span_ = 1;
};

/// Images (N, C, D, H, W) and grid (N, places, dims) -> (N, C, places).
struct GridSampleRule : autograd::Rule {
  static constexpr const char* name = "GridSampler";
  GridSample sample;

  unsigned saves_inputs(unsigned) const { return 3u; }
  GridSample sized(const Tensor& x, const Tensor& grid) const {
    GridSample p = sample;
    p.is_double = x.dtype() == DType::Float64;
    p.n = x.size(0), p.channels = x.size(1);
    p.d = x.size(2), p.h = x.size(3), p.w = x.size(4);
    p.places = grid.size(1);
    p.threads = get_num_threads();
    return p;
  }
  /// The kernel's order: planes, or the channels of a pixel side by side.
  Tensor arranged(const Tensor& x) const {
    if (sample.planes) return contiguous(x);
    return contiguous(permute(x, x.dim() == 5 ? IntSpan{0, 2, 3, 4, 1} : IntSpan{0, 2, 1}));
  }
  /// Back, with the memory as it is where `like` has it so too.
  Tensor channels_first(const Tensor& x, const Tensor& like) const {
    if (sample.planes) return x;
    const Tensor result = permute(x, x.dim() == 5 ? IntSpan{0, 4, 1, 2, 3} : IntSpan{0, 2, 1});
    return like.is_contiguous() ? contiguous(result) : result;
  }
  Tensor forward(Inputs in) const {
    const Tensor x = arranged(in[0]), grid = contiguous(in[1]);
    const GridSample p = sized(in[0], grid);
    const Tensor result = core::make_tensor(
        {p.n, p.planes ? p.channels : p.places, p.planes ? p.places : p.channels}, x.dtype());
    if (result.numel() > 0)
      core::launch(&kernels::grid_sample, {core::out(result), core::in(x), core::in(grid)}, p);
    return channels_first(result, in[0]);
  }
  void pull(Pull& p) const {
    const Tensor x = p.input(0), grid = p.input(1);
    if (is_watched({&x, &grid, &p.grad()}))
      in_operations(p, x, grid);
    else
      by_kernel(p, x, contiguous(grid));
  }
  void by_kernel(Pull& p, const Tensor& images, const Tensor& grid) const {
    const Tensor x = arranged(images), g = arranged(p.grad());
    const bool empty = g.numel() == 0;
    const Tensor of_images = !p.needs(0) ? Tensor()
                             : empty     ? zeros(x.sizes(), x.dtype())
                                         : core::make_tensor(x.sizes(), x.dtype());
    const Tensor of_grid = p.needs(1) ? zeros(grid.sizes(), grid.dtype()) : Tensor();
    const auto operand = [](const Tensor& t) { return t.defined() ? core::out(t) : core::none(); };
    const bool flat = sample.mode == SampleMode::Nearest;  // in the grid
    if (!empty) {
      core::launch(&kernels::grid_sample_gradient,
                   {operand(of_images), flat ? core::none() : operand(of_grid), core::in(g),
                    core::in(x), core::in(grid)},
                   sized(images, grid));
    }
    if (p.needs(0)) p.set(0, channels_first(of_images, images));
    if (p.needs(1)) p.set(1, of_grid);
  }
  void in_operations(Pull& p, const Tensor& x, const Tensor& grid) const;

  Tensor batch(const autograd::Batch& b) const {
    const Tensor x = b.front(0), grid = b.front(1);
    const Tensor result =
        autograd::enter(GridSampleRule(*this), flatten(x, 0, 1), flatten(grid, 0, 1));
    return reshape(result, {x.size(0), x.size(1), result.size(1), result.size(2)});
  }
};

void GridSampleRule::in_operations(Pull& p, const Tensor& x, const Tensor& grid) const {
  const GridSample s = sized(x, grid);
  std::vector<AxisTaps> axes;
  const int64_t sizes[] = {s.w, s.h, s.d};
  for (int a = 0; a < s.dims; ++a) axes.push_back(Axis(sizes[a], s).taps(select(grid, 2, a)));
  const Tensor& g = p.grad();
  const Tensor flat = reshape(x, {s.n, s.channels, s.d * s.h * s.w});
  Tensor of_images = zeros(flat.sizes(), flat.dtype());
  std::vector<Tensor> of_grid(static_cast<size_t>(s.dims));
  const size_t m = axes[0].index.size();
  const size_t count = s.dims == 3 ? m * m * m : m * m;
  for (size_t t = 0; t < count; ++t) {
    const size_t k[] = {t % m, t / m % m, t / (m * m)};
    Tensor index;
    for (size_t a = axes.size(); a-- > 0;) {  // the depth first
      const Tensor& own = axes[a].index[k[a]];
      index = index.defined() ? index * Scalar(sizes[a]) + own : own;
    }
    const Tensor places = expand(unsqueeze(index, 1), {s.n, s.channels, s.places});
    // The product of the axes' weights, with the slope of axis `derived` in place of its weight.
    const auto weight = [&](size_t derived) {
      Tensor product;
      for (size_t a = 0; a < axes.size(); ++a) {
        const AxisTaps& taps = axes[a];
        const Tensor& factor = a == derived ? taps.slope[k[a]] : taps.weight[k[a]];
        product = product.defined() ? product * factor : factor;
      }
      return product;
    };
    if (p.needs(0))
      of_images = scatter_add(of_images, 2, places, g * unsqueeze(weight(axes.size()), 1));
    if (!p.needs(1)) continue;
    const Tensor sampled = sum(g * gather(flat, 2, places), 1);
    for (size_t a = 0; a < axes.size(); ++a) {
      Tensor& total = of_grid[a];
      const Tensor part = sampled * weight(a);
      total = total.defined() ? total + part : part;
    }
  }
  if (p.needs(0)) p.set(0, reshape(of_images, x.sizes()));
  if (p.needs(1)) p.set(1, stack(of_grid, 2));
}

template <class Value>
struct Named {
  std::string_view name;
  Value value;
};

template <class Value, size_t N>
Value find(const char* argument, std::string_view name, const Named<Value> (&choices)[N]) {
  std::string all;
  for (const auto& choice : choices) {
    if (choice.name == name) return choice.value;
    all += core::text(all.empty() ? "" : ", ", "'", choice.name, "'");
  }
  throw ValueError(
      core::text("grid_sample: expected ", argument, " to be one of ", all, ", got '", name, "'"));
}

void check(const Tensor& input, const Tensor& grid) {
  const auto shapes = [&] {
    return core::text("got input ", shape_string(input.sizes()), " and grid ",
                      shape_string(grid.sizes()));
  };
  const int64_t dims = input.dim() - 2;
  if ((dims != 2 && dims != 3) || grid.dim() != input.dim()) {
    throw ShapeError(
        core::text("grid_sample: expected input (N, C, H, W) and grid (N, h, w, 2), "
                   "or input (N, C, D, H, W) and grid (N, d, h, w, 3); ",
                   shapes()));
  }
  if (grid.size(-1) != dims) {
    throw ShapeError(core::text("grid_sample: expected grid to have size ", dims,
                                " in the last dimension; ", shapes()));
  }
  if (input.size(0) != grid.size(0)) {
    throw ShapeError(
        core::text("grid_sample: expected input and grid of the same batch size; ", shapes()));
  }
  for (int64_t d = 2; d < input.dim(); ++d) {
    if (input.size(d) == 0)
      throw ShapeError(core::text("grid_sample: expected images that are not empty; ", shapes()));
  }
  if (!is_floating_point(input.dtype()) || input.dtype() != grid.dtype()) {
    throw DTypeError(
        core::text("grid_sample: expected input and grid of one floating-point dtype, "
                   "got ",
                   dtype_name(input.dtype()), " and ", dtype_name(grid.dtype()),
                   "; convert the grid by grid.to(input.dtype)"));
  }
}

/// Coordinates of the pixels of an axis, from -1 to 1.
Tensor axis_places(int64_t n, bool align_corners, DType dtype) {
  if (n <= 1) return zeros({n}, dtype);
  Tensor ends = linspace(-1.0, 1.0, n, dtype);
  if (align_corners) return ends;
  return ends * Scalar(static_cast<double>(n - 1) / static_cast<double>(n));
}

bool chosen(const char* op, std::optional<bool> align_corners) {
  if (!align_corners) {
    core::warn(core::text(op,
                          ": align_corners was not given and is taken as False; pass "
                          "align_corners= to say which"));
  }
  return align_corners.value_or(false);
}

}  // namespace

Tensor grid_sample(const Tensor& input, const Tensor& grid, std::string_view mode,
                   std::string_view padding_mode, bool align_corners) {
  check(input, grid);
  GridSampleRule rule;
  rule.sample.mode = find<SampleMode>("mode", mode,
                                      {{"bilinear", SampleMode::Bilinear},
                                       {"nearest", SampleMode::Nearest},
                                       {"bicubic", SampleMode::Bicubic}});
  rule.sample.border = find<SampleBorder>("padding_mode", padding_mode,
                                          {{"zeros", SampleBorder::Zeros},
                                           {"border", SampleBorder::Border},
                                           {"reflection", SampleBorder::Reflection}});
  rule.sample.align_corners = align_corners;
  rule.sample.dims = static_cast<int>(input.dim()) - 2;
  rule.sample.planes = input.size(1) <= kFewChannels;
  if (rule.sample.dims == 3 && rule.sample.mode == SampleMode::Bicubic)
    throw UnsupportedError("grid_sample: mode 'bicubic' takes images of 2 dimensions only");
  const DType dtype = input.dtype();
  const DType compute = is_half(dtype) ? DType::Float32 : dtype;
  const int64_t n = input.size(0);
  Tensor images = to(input, compute);
  if (rule.sample.dims == 2) images = unsqueeze(images, 2);
  Dims sizes{n, input.size(1)};
  int64_t places = 1;
  for (int64_t d = 1; d + 1 < grid.dim(); ++d) {
    sizes.push_back(grid.size(d));
    places *= grid.size(d);
  }
  const Tensor list = reshape(to(grid, compute), {n, places, rule.sample.dims});
  return to(reshape(autograd::enter(rule, images, list), sizes), dtype);
}

Tensor affine_grid(const Tensor& theta, IntSpan size, bool align_corners) {
  const auto dims = static_cast<int64_t>(size.size()) - 2;
  if ((dims != 2 && dims != 3) || theta.dim() != 3 || theta.size(0) != size[0] ||
      theta.size(1) != dims || theta.size(2) != dims + 1) {
    throw ShapeError(
        core::text("affine_grid: expected theta (N, 2, 3) and size (N, C, H, W), or "
                   "theta (N, 3, 4) and size (N, C, D, H, W), got theta ",
                   shape_string(theta.sizes()), " and size ", shape_string(size)));
  }
  if (!is_floating_point(theta.dtype())) {
    throw DTypeError(
        core::text("affine_grid: expected a floating-point theta, got a ", core::describe(theta)));
  }
  for (const int64_t extent : size) {
    if (extent <= 0) {
      throw ShapeError(
          core::text("affine_grid: expected a positive size, got ", shape_string(size)));
    }
  }
  // Rows (x, y, 1) of all places, times the matrices: a product of few columns is what is fastest.
  Dims sizes(IntSpan(size.data() + 2, static_cast<size_t>(dims)));
  std::vector<Tensor> columns;
  for (int64_t k = 0; k < dims; ++k) {
    const int64_t axis = dims - 1 - k;  // x, the first coordinate, runs along the last axis
    Dims own(static_cast<int>(dims), 1);
    own[static_cast<int>(axis)] = sizes[static_cast<int>(axis)];
    const Tensor places = axis_places(own[static_cast<int>(axis)], align_corners, theta.dtype());
    columns.push_back(expand(reshape(places, own), sizes));
  }
  columns.push_back(ones(sizes, theta.dtype()));
  const Tensor rows = reshape(stack(columns, -1), {1, -1, dims + 1});
  const int64_t count = rows.size(1);
  const Tensor grid = bmm(expand(rows, {size[0], count, dims + 1}), transpose(theta, 1, 2));
  sizes.insert(0, size[0]);
  sizes.push_back(dims);
  return reshape(grid, sizes);
}

TAPEGRAD_OP(
    kNN,
    "grid_sample(Tensor input, Tensor grid, str mode='bilinear', str padding_mode='zeros', bool? "
    "align_corners=None) -> Tensor",
    R"(Images sampled at the places of a grid: (N, C, H, W) and (N, h, w, 2) to (N, C, h, w).

Args:
    input: floating-point images (N, C, H, W) or (N, C, D, H, W)
    grid: places (N, h, w, 2) or (N, d, h, w, 3), as x, y (and z): from -1 to 1 across the image
    mode: 'bilinear' (trilinear for 5 dimensions), 'nearest', or 'bicubic' (4 dimensions)
    padding_mode: what lies outside of the image: 'zeros', 'border' (its edge) or 'reflection'
    align_corners: whether -1 and 1 are the centres of the corner pixels, or their outer edges

Raises:
    ShapeError, DTypeError, ValueError: arguments that do not fit

Example:
    >>> import tapegrad as tg
    >>> image, place = tg.tensor([[[[1., 2.], [3., 4.]]]]), tg.zeros(1, 1, 1, 2)
    >>> tg.nn.functional.grid_sample(image, place, align_corners=False)
    tensor([[[[2.5000]]]]))",
    +[](const Tensor& input, const Tensor& grid, std::string_view mode,
        std::string_view padding_mode, std::optional<bool> align_corners) {
      return grid_sample(input, grid, mode, padding_mode, chosen("grid_sample", align_corners));
    });
TAPEGRAD_OP(
    kNN, "affine_grid(Tensor theta, int[] size, bool? align_corners=None) -> Tensor",
    R"(The grid of an affine map, for grid_sample().

Args:
    theta: floating-point matrices (N, 2, 3), or (N, 3, 4) for three dimensions
    size: the shape of the images to be made: (N, C, H, W) or (N, C, D, H, W)
    align_corners: as in grid_sample()

Returns:
    places of shape (N, H, W, 2) or (N, D, H, W, 3)

Raises:
    ShapeError: theta and size that do not fit

Example:
    >>> import tapegrad as tg
    >>> theta = tg.tensor([[[1., 0., 0.], [0., 1., 0.]]])
    >>> tg.nn.functional.affine_grid(theta, (1, 1, 1, 3), align_corners=True)[0, 0, :, 0]
    tensor([-1.,  0.,  1.]))",
    +[](const Tensor& theta, IntSpan size, std::optional<bool> align_corners) {
      return affine_grid(theta, size, chosen("affine_grid", align_corners));
    });

}  // namespace tapegrad
