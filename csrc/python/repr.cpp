#include "python/repr.h"

#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "autograd/lifted.h"
#include "autograd/meta.h"
#include "python/convert.h"

namespace tapegrad::python {

namespace {

struct PrintOptions {
  int precision = 4;
  int64_t threshold = 1000;
  int64_t edge_items = 3;
  int line_width = 80;
  int sci_mode = -1;  // -1: chosen by the values
};
PrintOptions options;

double value_at(const char* data, DType dtype) {
  return core::read_scalar(data, dtype).to_double();
}

std::string number(const char* format, int precision, double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char text[400];
  std::snprintf(text, sizeof text, format, precision, value);
  return text;
}

/// A tensor's memory, for walking over it.
struct Cursor {
  const Tensor& tensor;
  int64_t size(int dim) const { return tensor.sizes()[static_cast<size_t>(dim)]; }
  int64_t step(int dim) const {
    return tensor.strides()[static_cast<size_t>(dim)] *
           static_cast<int64_t>(item_size(tensor.dtype()));
  }
  bool cut(int dim, bool summarize) const {
    return summarize && size(dim) > 2 * options.edge_items;
  }
  /// Calls f with the address of each entry along `dim` that is printed, and with null for the gap.
  template <class F>
  void each(const char* data, int dim, bool summarize, F f) const {
    const int64_t count = size(dim);
    for (int64_t i = 0; i < count; ++i) {
      if (cut(dim, summarize) && i == options.edge_items) {
        f(static_cast<const char*>(nullptr));
        i = count - options.edge_items;
        if (i >= count) break;
      }
      f(data + i * step(dim));
    }
  }
};

template <class F>
void for_printed(const Cursor& cursor, const char* data, int dim, bool summarize, F& f) {
  if (dim == cursor.tensor.dim()) {
    f(data);
    return;
  }
  cursor.each(data, dim, summarize, [&](const char* at) {
    if (at) for_printed(cursor, at, dim + 1, summarize, f);
  });
}

/// Chooses one notation for all printed values.
class Formatter {
 public:
  Formatter(const Cursor& cursor, const char* data, bool summarize)
      : dtype_(cursor.tensor.dtype()) {
    std::vector<const char*> addresses;
    auto collect = [&addresses](const char* at) { addresses.push_back(at); };
    for_printed(cursor, data, 0, summarize, collect);
    if (is_floating_point(dtype_)) {
      choose(addresses);
    } else {
      for (const char* at : addresses) widen(format_integer(at));
    }
  }

  std::string operator()(const char* at) const {
    std::string text =
        is_floating_point(dtype_) ? format_float(value_at(at, dtype_)) : format_integer(at);
    if (text.size() < width_) text.insert(0, width_ - text.size(), ' ');
    return text;
  }
  size_t width() const { return width_; }

 private:
  void widen(const std::string& text, size_t extra = 0) {
    width_ = std::max(width_, text.size() + extra);
  }

  void choose(const std::vector<const char*>& addresses) {
    double smallest = std::numeric_limits<double>::infinity();
    double largest = 0;
    bool any = false;
    for (const char* at : addresses) {
      const double value = value_at(at, dtype_);
      if (!std::isfinite(value) || value == 0) continue;
      any = true;
      smallest = std::min(smallest, std::fabs(value));
      largest = std::max(largest, std::fabs(value));
      integral_ &= value == std::ceil(value);
    }
    if (!any) return;
    scientific_ = options.sci_mode >= 0
                      ? options.sci_mode == 1
                      : largest / smallest > 1000.0 || largest > 1.0e8 || smallest < 1.0e-4;
    for (const char* at : addresses) {
      const double value = value_at(at, dtype_);
      if (!std::isfinite(value) || value == 0) continue;
      if (scientific_) {
        widen(number("%.*e", options.precision, value));
      } else if (integral_) {
        widen(number("%.*f", 0, value), 1);
      } else {
        widen(number("%.*f", options.precision, value));
      }
    }
  }

  std::string format_float(double value) const {
    if (scientific_) return number("%.*e", options.precision, value);
    if (!integral_) return number("%.*f", options.precision, value);
    return number("%.*f", 0, value) + (std::isfinite(value) ? "." : "");
  }

  std::string format_integer(const char* at) const {
    const Scalar value = core::read_scalar(at, dtype_);
    if (dtype_ == DType::Bool) return value.to_bool() ? "True" : "False";
    return std::to_string(value.to_int());
  }

  DType dtype_;
  bool integral_ = true;
  bool scientific_ = false;
  size_t width_ = 1;
};

std::string join(const std::vector<std::string>& parts, const std::string& separator) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) text += (i ? separator : "") + parts[i];
  return text;
}

std::string vector_text(const Cursor& cursor, const char* data, int dim, int indent, bool summarize,
                        const Formatter& format) {
  const auto per_line = static_cast<size_t>(std::max<int64_t>(
      1, (options.line_width - indent) / (static_cast<int64_t>(format.width()) + 2)));
  std::vector<std::string> items;
  cursor.each(data, dim, summarize,
              [&](const char* at) { items.push_back(at ? format(at) : " ..."); });
  std::vector<std::string> lines;
  for (size_t i = 0; i < items.size(); i += per_line) {
    const auto begin = items.begin() + static_cast<std::ptrdiff_t>(i);
    lines.push_back(join(
        {begin, items.begin() + static_cast<std::ptrdiff_t>(std::min(i + per_line, items.size()))},
        ", "));
  }
  return "[" + join(lines, ",\n" + std::string(static_cast<size_t>(indent) + 1, ' ')) + "]";
}

std::string nested_text(const Cursor& cursor, const char* data, int dim, int indent, bool summarize,
                        const Formatter& format) {
  const auto left = static_cast<int>(cursor.tensor.dim()) - dim;
  if (left == 0) return format(data);
  if (left == 1) return vector_text(cursor, data, dim, indent, summarize, format);
  std::vector<std::string> slices;
  cursor.each(data, dim, summarize, [&](const char* at) {
    slices.push_back(at ? nested_text(cursor, at, dim + 1, indent + 1, summarize, format) : "...");
  });
  const std::string separator = "," + std::string(static_cast<size_t>(left) - 1, '\n') +
                                std::string(static_cast<size_t>(indent) + 1, ' ');
  return "[" + join(slices, separator) + "]";
}

std::string with_suffixes(std::string text, const std::vector<std::string>& suffixes,
                          size_t indent) {
  const size_t newline = text.rfind('\n');
  size_t line = newline == std::string::npos ? text.size() + 2 : text.size() - newline + 1;
  for (const std::string& suffix : suffixes) {
    if (line + suffix.size() + 2 > static_cast<size_t>(options.line_width)) {
      text += ",\n" + std::string(indent, ' ') + suffix;
      line = indent + suffix.size();
    } else {
      text += ", " + suffix;
      line += suffix.size() + 2;
    }
  }
  return text + ")";
}

std::string size_text(IntSpan sizes) { return "size=" + shape_string(sizes); }

/// The batch dimension and what lies below; values of single samples have no order to print.
std::string lifted_text(const Tensor& x) {
  const autograd::Lifted record = autograd::lifted(x);
  std::string text = record.dim >= 0 ? "BatchedTensor(lvl=" : "GradTensor(lvl=";
  text += std::to_string(record.level);
  if (record.dim >= 0) text += ", bdim=" + std::to_string(record.dim);
  return text + ", value=\n    ";
}

std::string tensor_text(const Tensor& x, const std::string& name) {
  if (x->has(TensorImpl::kBatched)) {
    std::string opened;
    Tensor inner = x;
    int depth = 0;
    for (; inner->has(TensorImpl::kBatched); ++depth) {
      opened += lifted_text(inner);
      inner = autograd::lifted(inner).inner;
    }
    return opened + tensor_text(inner, name) + std::string(static_cast<size_t>(depth), ')');
  }
  const std::string prefix = name + "(";
  std::vector<std::string> suffixes;
  std::string body;
  const std::string dtype = std::string("dtype=tapegrad.") + dtype_name(x.dtype());
  const bool is_default =
      x.dtype() == default_dtype() || x.dtype() == DType::Int64 || x.dtype() == DType::Bool;
  if (x.numel() == 0) {
    body = "[]";
    if (x.dim() != 1) suffixes.push_back(size_text(x.sizes()));
    if (x.dtype() != default_dtype()) suffixes.push_back(dtype);
  } else {
    const Cursor cursor{x};
    const auto* data = static_cast<const char*>(x.data());
    const bool summarize = x.numel() > options.threshold;
    const Formatter format(cursor, data, summarize);
    body = nested_text(cursor, data, 0, static_cast<int>(prefix.size()), summarize, format);
    if (!is_default) suffixes.push_back(dtype);
  }
  if (const autograd::NodeRef node = autograd::grad_fn(x)) {
    suffixes.push_back("grad_fn=<" + node->name() + ">");
  } else if (x.requires_grad()) {
    suffixes.emplace_back("requires_grad=True");
  }
  return with_suffixes(prefix + body, suffixes, prefix.size());
}

PyObject* set_printoptions(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<6> bound("set_printoptions",
                       {"precision", "threshold", "edgeitems", "linewidth", "profile", "sci_mode"},
                       0, args, nargs, kwnames);
  PrintOptions fresh = options;
  if (bound.has(4)) {
    const std::string profile = to_string(bound[4]);
    fresh = PrintOptions();
    if (profile == "short") {
      fresh.precision = 2;
      fresh.edge_items = 2;
    } else if (profile == "full") {
      fresh.threshold = std::numeric_limits<int64_t>::max();
    } else if (profile != "default") {
      raise(PyExc_ValueError,
            "set_printoptions: profile must be 'default', 'short' or 'full', got '%s'",
            profile.c_str());
    }
  }
  if (bound.has(0)) fresh.precision = static_cast<int>(as_int(bound[0]));
  if (bound.has(1))
    fresh.threshold = PyFloat_Check(bound[1]) ? as_scalar(bound[1]).to_int() : as_int(bound[1]);
  if (bound.has(2)) fresh.edge_items = as_int(bound[2]);
  if (bound.has(3)) fresh.line_width = static_cast<int>(as_int(bound[3]));
  if (fresh.precision < 0 || fresh.precision > 60 || fresh.edge_items < 0 || fresh.line_width < 1 ||
      fresh.line_width > 100000) {
    raise(PyExc_ValueError,
          "set_printoptions: precision, edgeitems and linewidth must be small and not negative");
  }
  fresh.sci_mode = bound.has(5) ? checked(PyObject_IsTrue(bound[5])) : -1;
  options = fresh;
  Py_RETURN_NONE;
}

}  // namespace

PyObject* tensor_repr(PyObject* self) {
  std::string name = "tensor";
  if (Py_TYPE(self) != tensor_type) {
    const Ref qualified =
        checked(PyObject_GetAttrString(reinterpret_cast<PyObject*>(Py_TYPE(self)), "__name__"));
    name = to_string(qualified.get());
    if (name == "Parameter" || name == "Buffer") name = "tensor";
  }
  const std::string text = tensor_text(unwrap(self), name);
  return PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}

void add_print_options(PyObject* module) {
  static PyMethodDef functions[] = {
      method<&set_printoptions>(
          "set_printoptions",
          "set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None, "
          "profile=None, sci_mode=None)\n\nHow tensors are printed; the defaults are 4, 1000, 3, "
          "80. "
          "profile is 'default', 'short' or 'full'."),
      {nullptr, nullptr, 0, nullptr}};
  checked(PyModule_AddFunctions(module, functions));
}

}  // namespace tapegrad::python
