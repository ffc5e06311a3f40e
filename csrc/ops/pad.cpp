// Padding: by a constant, or by the tensor's own elements.
#include <algorithm>

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "kernels/copy.h"
#include "kernels/pixels.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace {

using autograd::Inputs;
using autograd::Pull;
using autograd::Push;
using namespace ops;

/// What goes before and after each dimension; negative amounts cut.
struct Margins {
  Dims before;
  Dims after;
};

/// From PyTorch's list: the last dimension's pair first.
Margins margins_of(const Tensor& input, IntSpan pad) {
  if (pad.size() % 2 != 0 || static_cast<int64_t>(pad.size()) > 2 * input.dim()) {
    throw ShapeError(core::text("pad: expected pairs for at most ", input.dim(),
                                " dimensions, got ", shape_string(pad), " for a ",
                                core::describe(input)));
  }
  Margins m;
  for (int64_t d = 0; d < input.dim(); ++d) {
    const auto at = static_cast<size_t>(2 * (input.dim() - 1 - d));
    m.before.push_back(at < pad.size() ? pad[at] : 0);
    m.after.push_back(at < pad.size() ? pad[at + 1] : 0);
  }
  return m;
}

Dims negated(const Dims& dims) {
  Dims result;
  for (int i = 0; i < dims.size(); ++i) result.push_back(-dims[i]);
  return result;
}

/// The shape that padding gives; throws when nothing, or less, is left of a dimension.
Dims padded_sizes(const Tensor& input, const Margins& m) {
  Dims sizes;
  for (int d = 0; d < m.before.size(); ++d) {
    const int64_t size = input.sizes()[static_cast<size_t>(d)] + m.before[d] + m.after[d];
    if (size < 0) {
      throw ShapeError(core::text("pad: the margins ", m.before[d], " and ", m.after[d],
                                  " leave dimension ", d, " of a ", core::describe(input),
                                  " with a negative size"));
    }
    sizes.push_back(size);
  }
  return sizes;
}

/// Where the elements of a padded dimension come from; -1: from nowhere.
using Places = std::vector<int32_t>;

Places constant_places(int64_t size, int64_t before, int64_t after) {
  Places places;
  for (int64_t i = 0; i < size + before + after; ++i) {
    const int64_t at = i - before;
    places.push_back(static_cast<int32_t>(at < 0 || at >= size ? -1 : at));
  }
  return places;
}

/// The dimensions that the kernel pads; those before are left as they are.
constexpr int kPaddedDims = 3;

bool pads_last_only(const Margins& m) {
  for (int d = 0; d < m.before.size() - kPaddedDims; ++d) {
    if (m.before[d] != 0 || m.after[d] != 0) return false;
  }
  return true;
}

/// Pads the last dimensions of a contiguous tensor, places(d) telling how.
template <class F>
Tensor pad_last(const Tensor& x, const Margins& m, Scalar value, F places) {
  Tensor result = core::make_tensor(padded_sizes(x, m), x.dtype());
  if (result.numel() == 0) return result;
  const auto ndim = static_cast<int>(x.dim());
  kernels::PadImages p;
  p.item_size = static_cast<int>(item_size(x.dtype()));
  p.outer = 1;
  int64_t* in[] = {&p.d_in, &p.h_in, &p.w_in};
  int64_t* out[] = {&p.d_out, &p.h_out, &p.w_out};
  Places tables;
  for (int k = 0; k < kPaddedDims; ++k) {
    const int d = ndim - kPaddedDims + k;
    if (d >= 0) {
      *in[k] = x.size(d);
      *out[k] = result.size(d);
      const Places own = places(d);
      tables.insert(tables.end(), own.begin(), own.end());
    } else {
      tables.push_back(0);
    }
  }
  for (int d = 0; d < ndim - kPaddedDims; ++d) p.outer *= x.size(d);
  if (ndim > 0) {
    const int64_t left = std::max<int64_t>(0, m.before.back());
    p.middle = std::min(left, p.w_out);
    p.count = std::max<int64_t>(0, p.w_out - left - std::max<int64_t>(0, m.after.back()));
  }
  core::write_scalar(&p.value, x.dtype(), value);
  const Tensor table = from_values(tables, {static_cast<int64_t>(tables.size())});
  core::launch(&kernels::pad_images, {core::out(result), core::in(x), core::in(table)}, p);
  return result;
}

struct ConstantPadRule : autograd::Rule {
  static constexpr const char* name = "ConstantPadNd";
  Margins margins;
  Scalar value;

  ConstantPadRule shifted() const {
    ConstantPadRule rule = *this;
    rule.margins.before.insert(0, 0);
    rule.margins.after.insert(0, 0);
    return rule;
  }
  Tensor forward(Inputs in) const {
    const Tensor& x = in[0];
    if (x.is_contiguous() && x.dim() > 0 && x.numel() > 0 && pads_last_only(margins)) {
      return pad_last(x, margins, value, [&](int d) {
        return constant_places(x.size(d), margins.before[d], margins.after[d]);
      });
    }
    Tensor result = core::make_tensor(padded_sizes(x, margins), x.dtype());
    kernels::fill_values(result, value);
    // The window that both share.
    Dims sizes;
    int64_t to = 0;
    int64_t from = x.storage_offset();
    for (int d = 0; d < margins.before.size(); ++d) {
      const auto at = static_cast<size_t>(d);
      const int64_t cut = std::max<int64_t>(0, -margins.before[d]);
      const int64_t cut_after = std::max<int64_t>(0, -margins.after[d]);
      const int64_t size = x.sizes()[at] - cut - cut_after;
      if (size <= 0) return result;
      sizes.push_back(size);
      to += std::max<int64_t>(0, margins.before[d]) * result.strides()[at];
      from += cut * x.strides()[at];
    }
    kernels::copy_values(core::make_alias(result, sizes, result.strides(), to),
                         core::make_alias(x, sizes, x.strides(), from));
    return result;
  }
  Tensor moved(const Tensor& x, bool back) const {
    ConstantPadRule rule;
    rule.margins = back ? Margins{negated(margins.before), negated(margins.after)} : margins;
    rule.value = 0;
    return autograd::enter(std::move(rule), x);
  }
  void pull(Pull& p) const { p.set(0, moved(p.grad(), true)); }
  Tensor push(Push& p) const { return moved(p.tangent(0), false); }
};

enum class Border : uint8_t { Reflect, Replicate, Circular };

/// The element that stands at each place of a padded dimension.
Places border_places(Border border, int64_t size, int64_t before, int64_t after) {
  Places places;
  // Negative margins cut before the rest continues on the other side.
  const int64_t cut = std::max<int64_t>(0, -before);
  const int64_t left = size - cut - std::max<int64_t>(0, -after);
  for (int64_t i = 0; i < size + before + after; ++i) {
    int64_t at = i - before;
    switch (border) {
      case Border::Reflect:
        if (at < 0) at = -at;
        if (at >= size) at = 2 * (size - 1) - at;
        break;
      case Border::Replicate:
        at = std::clamp<int64_t>(at, 0, size - 1);
        break;
      case Border::Circular:
        at = (((i - std::max<int64_t>(before, 0)) % left + left) % left) + cut;
        break;
    }
    places.push_back(static_cast<int32_t>(at));
  }
  return places;
}

/// Margins, and where they come from; the sizes of what they pad.
struct BorderMargins {
  Margins margins;
  Border border;

  BorderMargins shifted() const {
    BorderMargins more = *this;
    more.margins.before.insert(0, 0);
    more.margins.after.insert(0, 0);
    return more;
  }
  Places places(int d, int64_t size) const {
    return border_places(border, size, margins.before[d], margins.after[d]);
  }
};

/// `places` the other way: for each element the list of places that it went to.
void append_inverse(Places& tables, const Places& places, int64_t size) {
  Places starts(static_cast<size_t>(size) + 1, 0);
  for (const int32_t at : places) ++starts[static_cast<size_t>(at) + 1];
  for (size_t i = 1; i < starts.size(); ++i) starts[i] += starts[i - 1];
  Places next = starts;
  Places list(places.size());
  for (size_t i = 0; i < places.size(); ++i)
    list[static_cast<size_t>(next[static_cast<size_t>(places[i])]++)] = static_cast<int32_t>(i);
  tables.insert(tables.end(), starts.begin(), starts.end());
  tables.insert(tables.end(), list.begin(), list.end());
}

Tensor pad_by(const BorderMargins& how, const Tensor& x);
Tensor gather_by(const BorderMargins& how, const Tensor& gradient, IntSpan sizes);

/// Margins of the tensor's own elements.
struct BorderPadRule : autograd::Rule {
  static constexpr const char* name = "PadByBorder";
  static constexpr bool linear = true;
  BorderMargins how;

  BorderPadRule shifted() const { return {{}, how.shifted()}; }
  Tensor forward(Inputs in) const {
    const Tensor x = contiguous(in[0]);
    return pad_last(x, how.margins, 0, [&](int d) { return how.places(d, x.size(d)); });
  }
  void pull(Pull& p) const { p.set(0, gather_by(how, p.grad(), p.input_sizes(0))); }
};

/// The derivative of BorderPadRule: adds the margins to where they came from.
struct BorderGatherRule : autograd::Rule {
  static constexpr const char* name = "GatherBorder";
  static constexpr bool linear = true;
  BorderMargins how;
  Dims sizes;

  BorderGatherRule shifted() const {
    BorderGatherRule rule{{}, how.shifted(), sizes};
    rule.sizes.insert(0, 0);  // not padded: as many as the input has
    return rule;
  }
  Tensor forward(Inputs in) const {
    const Tensor x = contiguous(in[0]);
    const auto ndim = static_cast<int>(x.dim());
    Dims result_sizes(x.sizes());
    for (int d = 0; d < ndim; ++d) {
      if (how.margins.before[d] != 0 || how.margins.after[d] != 0) result_sizes[d] = sizes[d];
    }
    const Tensor result = core::make_tensor(result_sizes, x.dtype());
    if (result.numel() == 0) return result;
    kernels::GatherPadding p;
    p.is_double = x.dtype() == DType::Float64;
    p.outer = 1;
    for (int d = 0; d < ndim - kPaddedDims; ++d) p.outer *= x.size(d);
    int64_t* padded[] = {&p.d_in, &p.h_in, &p.w_in};
    int64_t* own[] = {&p.d_out, &p.h_out, &p.w_out};
    Places tables;
    for (int k = 0; k < kPaddedDims; ++k) {
      const int d = ndim - kPaddedDims + k;
      if (d >= 0) *padded[k] = x.size(d), *own[k] = result.size(d);
      const Places places = d >= 0 ? how.places(d, result.size(d)) : Places{0};
      if (k + 1 < kPaddedDims)
        append_inverse(tables, places, *own[k]);
      else
        tables.insert(tables.end(), places.begin(), places.end());
    }
    const int64_t left = std::max<int64_t>(0, how.margins.before.back());
    p.middle = std::min(left, p.w_in);
    p.count = std::max<int64_t>(0, p.w_in - left - std::max<int64_t>(0, how.margins.after.back()));
    const Tensor table = from_values(tables, {static_cast<int64_t>(tables.size())});
    core::launch(&kernels::gather_padding, {core::out(result), core::in(x), core::in(table)}, p);
    return result;
  }
  void pull(Pull& p) const { p.set(0, pad_by(how, p.grad())); }
};

Tensor pad_by(const BorderMargins& how, const Tensor& x) {
  return autograd::enter(BorderPadRule{{}, how}, x);
}

Tensor gather_by(const BorderMargins& how, const Tensor& gradient, IntSpan sizes) {
  const DType dtype = gradient.dtype();
  const Tensor g = is_half(dtype) ? to(gradient, DType::Float32) : gradient;
  return to(autograd::enter(BorderGatherRule{{}, how, Dims(sizes)}, g), dtype);
}

void check_border(const char* mode, Border border, const Tensor& input, IntSpan pad,
                  const Margins& m) {
  const auto padded = static_cast<int64_t>(pad.size()) / 2;
  if (padded < 1 || padded > 3 || (input.dim() != padded + 1 && input.dim() != padded + 2)) {
    throw UnsupportedError(core::text(
        "pad: mode '", mode, "' takes the last 1, 2 or 3 of 2 to 5 dimensions (a batch, channels, ",
        "and those), got padding ", shape_string(pad), " for a ", core::describe(input)));
  }
  for (int64_t d = input.dim() - padded; d < input.dim(); ++d) {
    const int64_t size = input.sizes()[static_cast<size_t>(d)];
    const int64_t most = std::max(m.before[static_cast<int>(d)], m.after[static_cast<int>(d)]);
    const int64_t left = size + std::min<int64_t>(0, m.before[static_cast<int>(d)]) +
                         std::min<int64_t>(0, m.after[static_cast<int>(d)]);
    const bool fits = border == Border::Reflect    ? most < size
                      : border == Border::Circular ? most <= size && left > 0
                                                   : size > 0;
    if (!fits) {
      throw ShapeError(core::text("pad: mode '", mode, "' cannot pad dimension ", d, " of size ",
                                  size, " by ", most, " (", core::describe(input), ")"));
    }
  }
}

Tensor pad_by_border(const char* mode, Border border, const Tensor& input, IntSpan pad) {
  const Margins m = margins_of(input, pad);
  check_border(mode, border, input, pad, m);
  padded_sizes(input, m);
  return pad_by({m, border}, input);
}

Tensor pad(const Tensor& input, IntSpan pad, std::string_view mode, std::optional<double> value) {
  if (mode == "constant") {
    ConstantPadRule rule;
    rule.margins = margins_of(input, pad);
    rule.value = is_floating_point(input.dtype())
                     ? Scalar(value.value_or(0.0))
                     : Scalar(static_cast<int64_t>(value.value_or(0.0)));
    padded_sizes(input, rule.margins);
    return autograd::enter(std::move(rule), input);
  }
  if (value && *value != 0) {
    throw ValueError(core::text("pad: mode '", mode, "' takes no value, got ", *value));
  }
  if (mode == "reflect") return pad_by_border("reflect", Border::Reflect, input, pad);
  if (mode == "replicate") return pad_by_border("replicate", Border::Replicate, input, pad);
  if (mode == "circular") return pad_by_border("circular", Border::Circular, input, pad);
  throw UnsupportedError(core::text(
      "pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', got '", mode, "'"));
}

TAPEGRAD_OP(kNN, "pad(Tensor input, int[] pad, str mode='constant', float? value=None) -> Tensor",
            R"(The tensor with margins around it.

Args:
    input: a tensor
    pad: sizes of the margins: before and after the last dimension, before and after the one before it, ...; negative ones cut
    mode: 'constant': filled with value; 'reflect': mirrored at the edge's elements; 'replicate': the edge's elements; 'circular':
        the other side's elements. The last three pad the last 1, 2 or 3 of 2 to 5 dimensions
    value: for 'constant'; 0 by default

Raises:
    ShapeError: margins that do not fit
    NotImplementedError: a mode that does not take so many dimensions

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.pad(tg.tensor([[1., 2.]]), (1, 1), value=9.)
    tensor([[9., 1., 2., 9.]])
    >>> tg.nn.functional.pad(tg.tensor([[1., 2., 3.]]), (2, 0), mode="reflect")
    tensor([[3., 2., 1., 2., 3.]]))",
            &pad);

}  // namespace
}  // namespace tapegrad
