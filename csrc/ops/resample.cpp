// Resampling of images: interpolate, by one sparse matrix an axis. The map is linear; its
// derivative resamples with the transposed matrices.
#include "kernels/resample.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "ops/registry.h"
#include "ops/resample_maps.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"
#include "tapegrad/parallel.h"
#include "tapegrad/resample.h"

namespace tapegrad {
namespace {

using autograd::Inputs;
using autograd::Pull;
using namespace ops;

constexpr int64_t kBlock = 16;      // rows that a task makes
constexpr int64_t kFewInner = 12;   // numbers a pixel, which are gathered
constexpr int64_t kGatherCost = 4;  // of a number that is gathered, in numbers that lie in a row

/// Every value `times` times, as the kernel takes it.
template <class To, class From>
Tensor repeated(const std::vector<From>& values, int64_t times) {
  const Tensor result =
      core::make_tensor({static_cast<int64_t>(values.size()) * times}, dtype_of<To>());
  To* to = result.data_ptr<To>();
  for (const From value : values) to = std::fill_n(to, times, static_cast<To>(value));
  return result;
}

/// A map as the kernel takes it; with `inner`, one of the numbers in pixels of so many.
struct Operands {
  Tensor ranges;
  Tensor weights;
  Operands(const AxisMap* map, DType dtype, int64_t inner = 1) {
    if (!map) return;
    ranges = repeated<int32_t>(map->ranges, inner);
    weights = dtype == DType::Float64 ? repeated<double>(map->weights, inner)
                                      : repeated<float>(map->weights, inner);
    if (inner == 1) return;
    auto* start = ranges.data_ptr<int32_t>();
    for (int64_t i = 0; i < map->out * inner; ++i)
      start[i] = static_cast<int32_t>(start[i] * inner + i % inner);
  }
};

/// The most rows of the original that a block of rows of the result reads.
int64_t rows_read(const AxisMap& rows) {
  int64_t most = 0;
  const int32_t *start = rows.ranges.data(), *count = start + rows.out;
  for (int64_t begin = 0; begin < rows.out; begin += kBlock) {
    int64_t end = start[begin];
    for (int64_t i = begin; i < std::min(begin + kBlock, rows.out); ++i)
      end = std::max<int64_t>(end, start[i] + count[i]);
    most = std::max(most, end - start[begin]);
  }
  return most;
}

/// (outer, rows, columns, inner) -> the same with new rows and columns; maps may be null.
struct Pass {
  const AxisMap* rows;
  const AxisMap* columns;
  int64_t outer;
  int64_t rows_in;
  int64_t columns_in;
  int64_t inner;
  int64_t step = 1;  // numbers a pixel, each of which has a place in columns_in

  void run(const Tensor& out, const Tensor& in) const {
    if (columns && inner > 1 && inner <= kFewInner &&
        columns_in * inner < std::numeric_limits<int32_t>::max()) {
      Pass{rows, columns, outer, rows_in, columns_in * inner, 1, inner}.run(out, in);
      return;
    }
    kernels::Resample p;
    p.is_double = in.dtype() == DType::Float64;
    p.outer = outer, p.inner = inner;
    p.rows_in = rows_in, p.rows_out = rows ? rows->out : rows_in;
    p.columns_in = columns_in, p.columns_out = columns ? columns->out * step : columns_in;
    p.step = step;
    p.row_taps = rows ? rows->taps : 0;
    p.column_taps = columns ? columns->taps : 0;
    p.block = kBlock;
    Tensor scratch;
    if (rows && columns) {
      const int64_t gather = (inner == 1 ? kGatherCost : 1) * p.column_taps * p.columns_out;
      p.rows_first = p.rows_out * (columns_in * p.row_taps + gather) <
                     p.rows_in * gather + p.rows_out * p.columns_out * p.row_taps;
      p.scratch = inner * (p.rows_first ? columns_in : p.columns_out * rows_read(*rows));
      p.scratch = (p.scratch + 15) / 16 * 16;
      scratch = core::make_tensor({p.scratch * get_num_threads()}, in.dtype());
    }
    const Operands r(rows, in.dtype()), c(columns, in.dtype(), step);
    const auto operand = [](const Tensor& t) { return t.defined() ? core::in(t) : core::none(); };
    core::launch(
        &kernels::resample,
        {core::out(out), core::in(in), scratch.defined() ? core::out(scratch) : core::none(),
         operand(r.ranges), operand(r.weights), operand(c.ranges), operand(c.weights)},
        p);
  }
};

/// Where the axes of a tensor (N, C, spatial) lie in memory.
bool channels_innermost(const Tensor& x, int dims) {
  if (x.dim() != dims + 2 || dims < 2 || x.is_contiguous()) return false;
  int64_t expected = 1;
  const auto fits = [&](int64_t d) {
    const auto at = static_cast<size_t>(d);
    const bool good = x.sizes()[at] == 1 || x.strides()[at] == expected;
    expected *= x.sizes()[at];
    return good;
  };
  if (!fits(1)) return false;
  for (int64_t d = x.dim() - 1; d >= 2; --d) {
    if (!fits(d)) return false;
  }
  return fits(0);
}

Tensor make_result(IntSpan sizes, bool innermost, DType dtype) {
  if (!innermost) return core::make_tensor(sizes, dtype);
  Dims strides(static_cast<int>(sizes.size()), 1);
  int64_t step = sizes[1];
  for (int d = strides.size() - 1; d >= 2; --d) {
    strides[d] = step;
    step *= sizes[static_cast<size_t>(d)];
  }
  strides[0] = step;
  return core::make_tensor(sizes, strides, dtype);
}

/// Maps of the last `dims` dimensions; null where a size stays.
struct ResampleRule : autograd::Rule {
  static constexpr const char* name = "Interpolate";
  static constexpr bool linear = true;
  static constexpr bool leading = true;
  int dims = 2;
  std::array<AxisMapRef, 3> maps;

  Tensor forward(Inputs in) const {
    const bool innermost = channels_innermost(in[0], dims);
    const Tensor x = innermost ? in[0] : contiguous(in[0]);
    const int64_t lead = x.dim() - dims;
    int64_t outer = 1;
    for (int64_t d = 0; d < (innermost ? 1 : lead); ++d) outer *= x.size(d);
    const int64_t inner = innermost ? x.size(1) : 1;
    if (dims < 3) {
      const bool flat = dims == 1;
      return run(x, innermost, flat ? -1 : 0, flat ? 0 : 1, outer, flat ? 1 : x.size(-2),
                 x.size(-1), inner);
    }
    // The depth on its own, where it makes the other pass cheaper.
    const auto deep = [&](const Tensor& t) {
      return run(t, innermost, 0, -1, outer, t.size(-3), 1, t.size(-2) * t.size(-1) * inner);
    };
    const auto flat = [&](const Tensor& t) {
      return run(t, innermost, 1, 2, outer * t.size(-3), t.size(-2), t.size(-1), inner);
    };
    const bool shrinks = maps[0] && maps[0]->out <= maps[0]->in;
    return shrinks ? flat(deep(x)) : deep(flat(x));
  }

  Tensor run(const Tensor& x, bool innermost, int rows, int columns, int64_t outer, int64_t rows_in,
             int64_t columns_in, int64_t inner) const {
    const auto map = [&](int i) { return i < 0 ? nullptr : maps[static_cast<size_t>(i)].get(); };
    const Pass pass{map(rows), map(columns), outer, rows_in, columns_in, inner};
    if (!pass.rows && !pass.columns) return x;
    Dims sizes(x.sizes());
    for (const int i : {rows, columns}) {
      if (map(i)) sizes[sizes.size() - dims + i] = map(i)->out;
    }
    const Tensor result = make_result(sizes, innermost, x.dtype());
    if (result.numel() > 0) pass.run(result, x);
    return result;
  }

  void pull(Pull& p) const {
    ResampleRule rule;
    rule.dims = dims;
    for (size_t i = 0; i < maps.size(); ++i) {
      if (maps[i]) rule.maps[i] = transposed(*maps[i]);
    }
    p.set(0, autograd::enter(std::move(rule), p.grad()));
  }
};

struct Mode {
  Interpolation kind;
  int dims;  // 0: one to three
};

Mode mode_of(std::string_view mode) {
  if (mode == "nearest") return {Interpolation::Nearest, 0};
  if (mode == "nearest-exact") return {Interpolation::NearestExact, 0};
  if (mode == "area") return {Interpolation::Area, 0};
  if (mode == "linear") return {Interpolation::Linear, 1};
  if (mode == "bilinear") return {Interpolation::Linear, 2};
  if (mode == "trilinear") return {Interpolation::Linear, 3};
  if (mode == "bicubic") return {Interpolation::Cubic, 2};
  throw UnsupportedError(core::text("interpolate: '", mode,
                                    "' is no mode; use nearest, nearest-exact, linear, bilinear, "
                                    "bicubic, trilinear or area"));
}

void check(const Tensor& input, IntSpan size, std::string_view name, const Mode& mode,
           bool align_corners, bool antialias) {
  const int64_t dims = input.dim() - 2;
  if (dims < 1 || dims > 3 || (mode.dims != 0 && dims != mode.dims)) {
    throw UnsupportedError(
        core::text("interpolate: mode '", name, "' takes an input (N, C, ...) of ",
                   mode.dims == 0 ? std::string("3, 4 or 5") : std::to_string(mode.dims + 2),
                   " dimensions, got a ", core::describe(input)));
  }
  if (static_cast<int64_t>(size.size()) != dims) {
    throw ShapeError(core::text("interpolate: expected a size of ", dims, " numbers, got ",
                                shape_string(size), " for a ", core::describe(input)));
  }
  for (int64_t d = 0; d < dims; ++d) {
    if (size[static_cast<size_t>(d)] <= 0 || input.size(d + 2) <= 0) {
      throw ShapeError(
          core::text("interpolate: input and output sizes must be greater than 0, got "
                     "a ",
                     core::describe(input), " and the size ", shape_string(size)));
    }
  }
  if (align_corners && mode.kind != Interpolation::Linear && mode.kind != Interpolation::Cubic)
    throw ValueError("interpolate: align_corners needs a linear or cubic mode");
  if (antialias && name != "bilinear" && name != "bicubic")
    throw ValueError("interpolate: antialias needs mode 'bilinear' or 'bicubic'");
}

}  // namespace

Tensor interpolate(const Tensor& input, IntSpan size, std::string_view mode, bool align_corners,
                   bool antialias, std::span<const double> scale_factors) {
  const Mode kind = mode_of(mode);
  check(input, size, mode, kind, align_corners, antialias);
  const DType dtype = input.dtype();
  if (!is_floating_point(dtype) && dtype != DType::UInt8) {
    throw DTypeError(core::text("interpolate: expected a floating-point or uint8 tensor, got a ",
                                core::describe(input), "; convert it with .float()"));
  }
  ResampleRule rule;
  rule.dims = static_cast<int>(size.size());
  for (size_t d = 0; d < size.size(); ++d) {
    AxisRequest request{input.sizes()[d + 2], size[d], kind.kind, align_corners, antialias};
    if (d < scale_factors.size()) request.scale = scale_factors[d];
    request.single = dtype != DType::Float64;
    // As in PyTorch a scale does not count for the linear modes where the size stays.
    const bool same =
        request.in == request.out && (request.scale == 0 || request.scale == 1 ||
                                      kind.kind == Interpolation::Linear || antialias);
    if (!same) rule.maps[d] = make_axis_map(request);
  }
  const bool plain = !rule.maps[0] && !rule.maps[1] && !rule.maps[2];
  if (plain) return clone(input);
  const Tensor x = to(input, dtype == DType::Float64 ? dtype : DType::Float32);
  const Tensor result = autograd::enter(std::move(rule), x);
  if (dtype != DType::UInt8) return to(result, dtype);
  return to(clamp(round(result), Scalar(0.0), Scalar(255.0)), dtype);
}

TAPEGRAD_OP(
    kNN,
    "_interpolate(Tensor input, int[] size, str mode='nearest', bool align_corners=False, bool "
    "antialias=False, float scale1=0.0, float scale2=0.0, float scale3=0.0) -> Tensor",
    R"(Images of another size; nn.functional.interpolate, which checks and completes the arguments.

Args:
    input: floating-point or uint8 images (N, C, d1, ...)
    size: the new sizes of d1, ...
    mode: nearest, nearest-exact, linear, bilinear, bicubic, trilinear or area
    align_corners: the corner pixels of both images lie at the same places
    antialias: a wider filter where the image shrinks
    scale1, scale2, scale3: how places correspond, when not as the sizes do; 0: as the sizes do

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.interpolate(tg.tensor([[[1., 2.]]]), size=4)
    tensor([[[1., 1., 2., 2.]]]))",
    +[](const Tensor& input, IntSpan size, std::string_view mode, bool align_corners,
        bool antialias, double scale1, double scale2, double scale3) {
      const double scales[] = {scale1, scale2, scale3};
      return interpolate(input, size, mode, align_corners, antialias, scales);
    });

}  // namespace tapegrad
