// _Prefetch: rows of tensors that are gathered on another thread while Python goes on.
#include "python/prefetch.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/background_gather.h"
#include "core/thread_state.h"
#include "python/convert.h"

namespace tapegrad::python {

namespace {

// Below this a batch is gathered in less time than it takes to wake a thread.
constexpr int64_t kWorthwhileBytes = 64 * 1024;
constexpr int kLongestPause = 31;

/// What a tensor was when its rows were handed over, with a hold on that memory.
class Snapshot {
 public:
  explicit Snapshot(const Tensor& tensor)
      : storage_(core::StorageRef::share(tensor->storage())),
        version_(tensor->version()),
        offset_(tensor->offset()),
        dtype_(tensor->dtype()),
        sizes_(tensor->sizes()) {}

  /// Whether nothing that autograd or a transform knows of is with the tensor, and it is dense.
  static bool is_plain(const Tensor& tensor) {
    return !tensor->has(TensorImpl::kEntryMask) && tensor->is_contiguous() && tensor->dim() > 0;
  }
  bool holds_for(const Tensor& tensor) const {
    return is_plain(tensor) && tensor->storage() == storage_.get() &&
           tensor->version() == version_ && tensor->offset() == offset_ &&
           tensor->dtype() == dtype_ && tensor->sizes() == IntSpan(sizes_);
  }

 private:
  core::StorageRef storage_;
  uint32_t version_;
  int64_t offset_;
  DType dtype_;
  Dims sizes_;
};

/// The next batch of a pass. Wherever it is not certain that rows copied early are what an indexed
/// copy would give later, take() gives nothing, and the caller makes the batch.
class Prefetch {
 public:
  explicit Prefetch(std::vector<Tensor> tensors) : tensors_(std::move(tensors)) {}

  /// Hands over rows [begin, end) of `rows` (undefined: the numbers from begin to end themselves).
  void start(const Tensor& rows, int64_t begin, int64_t end) {
    withdraw();
    if (left_out_ < pause_) {
      ++left_out_;
      return;
    }
    const int64_t count = end - begin;
    if (count <= 0 || begin < 0 || !is_worthwhile(count)) return;
    std::vector<int64_t> numbers;
    if (rows.defined() && !read_numbers(rows, begin, end, numbers)) return;
    std::vector<core::RowCopy> copies;
    for (const Tensor& tensor : tensors_) {
      const int64_t size = tensor->sizes()[0];
      for (const int64_t number : numbers) {
        if (number < 0 || number >= size) return;
      }
      if (numbers.empty() && end > size) return;
      snapshots_.emplace_back(tensor);
      Dims shape(tensor->sizes());
      shape[0] = count;
      results_.push_back(core::make_tensor(shape, tensor->dtype()));
      const int64_t bytes = row_bytes(tensor);
      copies.push_back(
          {tensor->data() + (numbers.empty() ? begin * bytes : 0), results_.back()->data(), bytes});
    }
    if (rows.defined()) order_ = rows;
    if (rows.defined()) order_snapshot_.emplace(rows);
    flags_ = core::thread_state.new_tensor_flags;
    gather_.start(copies, std::move(numbers), count);
    started_ = true;
  }

  /// Until the batch handed over last is there. The one member that needs no GIL.
  void finish() {
    const bool paid = gather_.finish();
    pause_ = paid ? 0 : std::min(2 * pause_ + 1, kLongestPause);
    left_out_ = 0;
  }

  /// After finish(): the batch, or nothing when there is none or what it is made of has changed.
  std::vector<Tensor> take() {
    if (!std::exchange(started_, false)) return {};
    std::vector<Tensor> results = std::move(results_);
    const bool same = still_the_same();
    withdraw();
    return same ? std::move(results) : std::vector<Tensor>();
  }

  bool started() const { return started_; }

  void withdraw() {
    started_ = false;
    gather_.withdraw();
    results_.clear();
    snapshots_.clear();
    order_ = Tensor();
    order_snapshot_.reset();
  }

 private:
  static int64_t row_bytes(const Tensor& tensor) {
    int64_t elements = 1;
    for (const int64_t size : tensor->sizes().subspan(1)) elements *= size;
    return elements * static_cast<int64_t>(item_size(tensor->dtype()));
  }

  bool is_worthwhile(int64_t count) const {
    int64_t bytes = 0;
    for (const Tensor& tensor : tensors_) {
      if (!Snapshot::is_plain(tensor)) return false;
      bytes += row_bytes(tensor);
    }
    return bytes * count >= kWorthwhileBytes && core::BackgroundGather::available();
  }

  /// A copy, so that a change after the check of the numbers cannot lead out of the memory.
  static bool read_numbers(const Tensor& rows, int64_t begin, int64_t end,
                           std::vector<int64_t>& numbers) {
    if (!Snapshot::is_plain(rows) || rows->dtype() != DType::Int64 || rows->dim() != 1 ||
        end > rows->numel())
      return false;
    const auto* first = reinterpret_cast<const int64_t*>(rows->data());
    numbers.assign(first + begin, first + end);
    return true;
  }

  bool still_the_same() const {
    if (flags_ != core::thread_state.new_tensor_flags) return false;
    if (order_snapshot_ && !order_snapshot_->holds_for(order_)) return false;
    for (size_t i = 0; i < tensors_.size(); ++i) {
      if (!snapshots_[i].holds_for(tensors_[i])) return false;
    }
    return true;
  }

  std::vector<Tensor> tensors_;
  std::vector<Tensor> results_;
  std::vector<Snapshot> snapshots_;
  Tensor order_;
  std::optional<Snapshot> order_snapshot_;
  uint16_t flags_ = 0;
  // Steps too short to gather anything meanwhile: ever more of them go without.
  int pause_ = 0;
  int left_out_ = 0;
  bool started_ = false;
  core::BackgroundGather gather_;  // the last, so that it ends before the memory goes
};

struct PyPrefetch {
  PyObject_HEAD Prefetch* prefetch;
};

Prefetch& prefetch_of(PyObject* self) { return *reinterpret_cast<PyPrefetch*>(self)->prefetch; }

PyObject* prefetch_new(PyTypeObject* type, PyObject* args, PyObject*) {
  std::vector<Tensor> tensors;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args); ++i)
    tensors.push_back(expect_tensor(PyTuple_GET_ITEM(args, i), "_Prefetch", "tensors"));
  auto prefetch = std::make_unique<Prefetch>(std::move(tensors));
  Ref self = checked(type->tp_alloc(type, 0));
  reinterpret_cast<PyPrefetch*>(self.get())->prefetch = prefetch.release();
  return self.release();
}

void prefetch_dealloc(PyObject* self) {
  delete reinterpret_cast<PyPrefetch*>(self)->prefetch;
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* start(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<3> bound("start", {"rows", "begin", "end"}, 3, args, nargs, kwnames);
  const Tensor rows = bound.has(0) ? expect_tensor(bound[0], "start", "rows") : Tensor();
  const int64_t begin = as_int(bound[1]), end = as_int(bound[2]);
  try {
    prefetch_of(self).start(rows, begin, end);
  } catch (const std::exception&) {  // no memory for two batches: there may be for one
    prefetch_of(self).withdraw();
  }
  Py_RETURN_NONE;
}

PyObject* take(PyObject* self) {
  Prefetch& prefetch = prefetch_of(self);
  if (prefetch.started()) {
    const ReleaseGil released;
    prefetch.finish();
  }
  std::vector<Tensor> tensors = prefetch.take();
  if (tensors.empty()) Py_RETURN_NONE;
  Ref list = checked(PyList_New(static_cast<Py_ssize_t>(tensors.size())));
  for (size_t i = 0; i < tensors.size(); ++i)
    PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), wrap(std::move(tensors[i])));
  return list.release();
}

}  // namespace

void add_prefetch(PyObject* module) {
  static PyMethodDef methods[] = {
      method<&start>("start",
                     "start(rows, begin, end): begin to gather rows[begin:end] of each tensor; the "
                     "numbers from begin to end themselves when rows is None."),
      method<&take>("take", "The tensors gathered, or None when they must be made by the caller."),
      {nullptr, nullptr, 0, nullptr}};
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>("_Prefetch(*tensors): gathers rows of them ahead of time.")},
      {Py_tp_new, reinterpret_cast<void*>(guarded<&prefetch_new>)},
      {Py_tp_dealloc, reinterpret_cast<void*>(prefetch_dealloc)},
      {Py_tp_methods, methods},
      {0, nullptr}};
  PyType_Spec spec = {"tapegrad._C._Prefetch", sizeof(PyPrefetch), 0, Py_TPFLAGS_DEFAULT, slots};
  add_object(module, "_Prefetch", reinterpret_cast<PyObject*>(make_type(spec)));
}

}  // namespace tapegrad::python
