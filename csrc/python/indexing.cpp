// x[...] and x[...] = value. Integers, slices, None and Ellipsis make views, one after the other;
// arrays of integers and masks are collected and go to index() and index_put_() at the end, which
// place the result's dimensions as NumPy does.
#include <string>
#include <vector>

#include "core/text.h"
#include "python/convert.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad::python {

namespace {

struct Indexed {
  Tensor view;
  std::vector<Tensor>
      indices;  // by dimension of `view`; undefined where it is taken whole. Empty: only a view
};

/// `source_dim` is the dimension as the user counts it, before earlier entries took some away.
Tensor select_checked(const Tensor& x, int64_t dim, int64_t index, int64_t source_dim) {
  const int64_t size = x.sizes()[static_cast<size_t>(dim)];
  if (index < -size || index >= size) {
    throw IndexError(core::text("index ", index, " is out of bounds for dimension ", source_dim,
                                " with size ", size));
  }
  return select(x, dim, index < 0 ? index + size : index);
}

int64_t slice_bound(PyObject* object) {
  if (PyLong_CheckExact(object)) {
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow) return overflow > 0 ? INT64_MAX : INT64_MIN + 1;
    return value;
  }
  if (!is_integer_like(object)) {
    raise(PyExc_TypeError,
          "slice indices must be integers or None or have an __index__ method, got %s",
          type_name(object).c_str());
  }
  return as_int(object);
}

Tensor slice_checked(const Tensor& x, int64_t dim, PyObject* object) {
  const auto* parts = reinterpret_cast<PySliceObject*>(object);
  std::optional<int64_t> start, stop;
  int64_t step = 1;
  if (parts->step != Py_None) step = slice_bound(parts->step);
  if (step <= 0)
    throw ValueError("slice step must be positive; flip() the dimension to go backwards");
  if (parts->start != Py_None) start = slice_bound(parts->start);
  if (parts->stop != Py_None) stop = slice_bound(parts->stop);
  if (!start && !stop && step == 1) return x;
  return slice(x, dim, start, stop, step);
}

/// Entries that are neither basic nor an index: sequences are turned into tensors.
bool is_index_sequence(PyObject* object) {
  return PyList_Check(object) || PyTuple_Check(object) ||
         (PySequence_Check(object) && !PyUnicode_Check(object) && !PyBytes_Check(object) &&
          !is_number(object));
}

Tensor index_tensor(PyObject* object) {
  Tensor index;
  if (is_tensor(object)) {
    index = unwrap(object);
  } else if (is_numpy_array(object)) {
    index = tensor_from_array(object, false);
  } else {
    index = tensor_from_data(object, std::nullopt);
    if (index.numel() == 0) index = tapegrad::to(index, DType::Int64);
  }
  if (is_floating_point(index.dtype())) {
    throw IndexError(core::text("tensors used as indices must be integer or bool tensors, got ",
                                core::describe(index)));
  }
  if (index.dtype() == DType::UInt8) {
    checked(PyErr_WarnEx(
        PyExc_UserWarning,
        "indexing with dtype uint8 is deprecated, it is taken as a mask; use a bool tensor instead",
        1));
    index = tapegrad::to(index, DType::Bool);
  }
  if (index.dtype() != DType::Bool && index.dtype() != DType::Int64)
    index = tapegrad::to(index, DType::Int64);
  return index;
}

/// How many dimensions of the tensor an entry takes; -1 for Ellipsis.
int64_t dims_taken(PyObject* object) {
  if (object == Py_None || PyBool_Check(object)) return 0;
  if (object == Py_Ellipsis) return -1;
  if (is_tensor(object)) {
    const Tensor& index = unwrap(object);
    return index.dtype() == DType::Bool || index.dtype() == DType::UInt8 ? index.dim() : 1;
  }
  if (PyLong_Check(object) || PySlice_Check(object)) return 1;
  if (is_numpy_array(object) || PyList_Check(object) || PyTuple_Check(object)) {
    const Tensor index = index_tensor(object);
    return index.dtype() == DType::Bool ? index.dim() : 1;
  }
  return 1;
}

class Indexer {
 public:
  Indexer(const Tensor& x, PyObject* const* items, Py_ssize_t count) : view_(x) {
    int64_t taken = 0;
    bool ellipsis = false;
    for (Py_ssize_t i = 0; i < count; ++i) {
      const int64_t dims = dims_taken(items[i]);
      if (dims < 0 && ellipsis)
        throw IndexError("an index can only have a single ellipsis ('...')");
      ellipsis |= dims < 0;
      taken += dims > 0 ? dims : 0;
    }
    if (taken > x.dim()) {
      throw IndexError(core::text("too many indices for tensor of dimension ", x.dim(), " (", taken,
                                  " given for shape ", shape_string(x.sizes()), ")"));
    }
    skipped_ = x.dim() - taken;
    for (Py_ssize_t i = 0; i < count; ++i) apply(items[i]);
  }

  Indexed finish() {
    if (!indices_.empty()) indices_.resize(static_cast<size_t>(view_.dim()));
    return {std::move(view_), std::move(indices_)};
  }

 private:
  void apply(PyObject* object) {
    if (PyLong_CheckExact(object)) {
      take(as_int(object));
    } else if (PySlice_Check(object)) {
      view_ = slice_checked(view_, dim_, object);
      ++dim_;
      ++source_dim_;
    } else if (object == Py_Ellipsis) {
      dim_ += skipped_;
      source_dim_ += skipped_;
    } else if (object == Py_None) {
      view_ = unsqueeze(view_, dim_);
      ++dim_;
    } else if (PyBool_Check(object)) {
      view_ = unsqueeze(view_, dim_);
      record(full({object == Py_True ? 1 : 0}, int64_t{0}, DType::Int64));
    } else if (is_tensor(object) && unwrap(object)->has(TensorImpl::kBatched)) {
      apply_tensor(unwrap(object));  // differs between samples: no number
    } else if (is_integer_like(object)) {
      take(as_int(object));
    } else if (is_tensor(object) || is_numpy_array(object) || is_index_sequence(object)) {
      apply_tensor(index_tensor(object));
    } else {
      throw IndexError(
          core::text("only integers, slices (`:`), ellipsis (`...`), None and integer or bool "
                     "tensors are valid "
                     "indices (got ",
                     type_name(object), ")"));
    }
  }

  void take(int64_t index) {
    view_ = select_checked(view_, dim_, index, source_dim_);
    ++source_dim_;
  }

  void apply_tensor(Tensor index) {
    if (index.dtype() != DType::Bool) {
      if (index.dim() == 0 && !index.requires_grad() && !index->has(TensorImpl::kBatched)) {
        take(index.item().to_int());
        return;
      }
      record(std::move(index));
      ++source_dim_;
      return;
    }
    if (index.dim() == 0) {
      view_ = unsqueeze(view_, dim_);
      record(full({index.item().to_bool() ? 1 : 0}, int64_t{0}, DType::Int64));
      return;
    }
    check_mask(index);
    source_dim_ += index.dim();
    if (index.dim() == 1) {
      record(select(nonzero(index), 1, 0));
      return;
    }
    for (const Tensor& column : unbind(nonzero(index), 1)) record(column);
  }

  void check_mask(const Tensor& mask) const {
    for (int64_t i = 0; i < mask.dim(); ++i) {
      const auto at = static_cast<size_t>(i);
      if (mask.sizes()[at] == view_.sizes()[static_cast<size_t>(dim_) + at]) continue;
      throw IndexError(core::text("The shape of the mask ", shape_string(mask.sizes()),
                                  " at index ", i,
                                  " does not match the shape of the indexed tensor ",
                                  shape_string(view_.sizes()), " at index ", dim_ + i));
    }
  }

  void record(Tensor index) {
    indices_.resize(static_cast<size_t>(dim_));
    indices_.push_back(std::move(index));
    ++dim_;
  }

  Tensor view_;
  std::vector<Tensor> indices_;
  int64_t dim_ = 0;
  int64_t source_dim_ = 0;
  int64_t skipped_ = 0;  // dimensions that the ellipsis stands for
};

/// PyTorch takes a short list that holds anything but numbers as a tuple of indices.
bool is_tuple_like(PyObject* index) {
  if (PyTuple_Check(index)) return true;
  if (!PyList_Check(index)) return false;
  const Py_ssize_t count = PyList_GET_SIZE(index);
  if (count >= 32) return false;
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* item = PyList_GET_ITEM(index, i);
    if (PyTuple_Check(item) || PyList_Check(item) || PySlice_Check(item) || item == Py_Ellipsis ||
        item == Py_None || (is_tensor(item) && unwrap(item).dim() > 0) || is_numpy_array(item)) {
      return true;
    }
  }
  return false;
}

Indexed apply_index(const Tensor& x, PyObject* index) {
  if (is_tuple_like(index)) {
    PyObject* const* items = PySequence_Fast_ITEMS(index);
    return Indexer(x, items, PySequence_Fast_GET_SIZE(index)).finish();
  }
  return Indexer(x, &index, 1).finish();
}

/// Whether `mask` selects whole elements of `x` and nothing else is going on.
bool is_plain_mask(const Tensor& x, PyObject* index) {
  if (!is_tensor(index)) return false;
  const Tensor& mask = unwrap(index);
  return mask.dtype() == DType::Bool && mask.dim() > 0 && mask.sizes() == x.sizes();
}

Tensor value_tensor(PyObject* value, const Tensor& target) {
  if (is_tensor(value)) return unwrap(value);
  if (is_number(value)) {
    const Scalar number = as_scalar(value);
    return core::make_scalar(number, target.dtype());
  }
  if (is_numpy_array(value)) return tensor_from_array(value, false);
  if (PyList_Check(value) || PyTuple_Check(value)) return tensor_from_data(value, std::nullopt);
  raise(PyExc_TypeError, "can't assign a %s to a %s tensor", type_name(value).c_str(),
        dtype_name(target.dtype()));
}

/// Leading dimensions of size 1 that the target does not have are dropped, as NumPy does.
Tensor without_leading_ones(Tensor value, int64_t ndim) {
  while (value.dim() > ndim && value.sizes()[0] == 1) value = select(value, 0, 0);
  return value;
}

bool broadcasts_to(IntSpan from, IntSpan to) {
  if (from.size() > to.size()) return false;
  for (size_t i = 1; i <= from.size(); ++i) {
    if (from[from.size() - i] != 1 && from[from.size() - i] != to[to.size() - i]) return false;
  }
  return true;
}

void assign_view(Tensor& view, PyObject* value) {
  if (is_number(value)) {
    fill_(view, as_scalar(value));
    return;
  }
  const Tensor source = without_leading_ones(value_tensor(value, view), view.dim());
  if (!broadcasts_to(source.sizes(), view.sizes())) {
    throw ShapeError(core::text(
        "shape mismatch: value tensor of shape ", shape_string(source.sizes()),
        " cannot be broadcast to indexing result of shape ", shape_string(view.sizes())));
  }
  const ReleaseGil released(view.numel() >= kReleaseGilElements);
  copy_(view, source);
}

}  // namespace

PyObject* get_item(PyObject* self, PyObject* index) {
  const Tensor& x = unwrap(self);
  if (PyLong_CheckExact(index)) [[likely]] {
    if (x.dim() == 0) {
      throw IndexError(
          "invalid index of a 0-dim tensor. Use `tensor.item()` to convert a 0-dim tensor to a "
          "number");
    }
    return wrap(select_checked(x, 0, as_int(index), 0));
  }
  if (is_plain_mask(x, index)) return wrap(masked_select(x, unwrap(index)));
  Indexed indexed = apply_index(x, index);
  if (indexed.indices.empty()) {
    if (!indexed.view.is_same(x)) return wrap(std::move(indexed.view));
    return wrap(view(x, x.sizes()));  // x[...] is a new tensor on the same memory
  }
  const bool large = x.numel() >= kReleaseGilElements;
  Tensor result;
  {
    const ReleaseGil released(large);
    result = tapegrad::index(indexed.view, indexed.indices);
  }
  return wrap(std::move(result));
}

int set_item(PyObject* self, PyObject* index, PyObject* value) {
  if (!value) raise(PyExc_TypeError, "Tensor does not support deleting items");
  Tensor& x = unwrap(self);
  Indexed indexed = apply_index(x, index);
  if (indexed.indices.empty()) {
    assign_view(indexed.view, value);
    return 0;
  }
  Tensor source = value_tensor(value, x);
  const ReleaseGil released(x.numel() >= kReleaseGilElements);
  index_put_(indexed.view, indexed.indices, source);
  return 0;
}

}  // namespace tapegrad::python
