// The tape from Python: saved tensors and their hooks, anomaly mode, the tape as rows of a table.

#include <algorithm>
#include <unordered_map>

#include "autograd/anomaly.h"
#include "autograd/meta.h"
#include "autograd/saved.h"
#include "core/text.h"
#include "python/autograd.h"
#include "python/convert.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"

namespace tapegrad::python {

namespace {

// --- hooks for saved tensors
// -----------------------------------------------------------------------------------------

class PyPacked final : public PackedTensor {
 public:
  PyPacked(SharedObject packed, SharedObject unpack, const Tensor& tensor)
      : packed_(std::move(packed)), unpack_(std::move(unpack)) {
    // A tensor on the same memory keeps it alive, so its version goes on to mean something.
    if (is_tensor(packed_.get()) && python::unwrap(packed_.get())->storage() == tensor->storage()) {
      shared_ = tensor->storage();
      version_ = tensor->version();
    }
  }

  Tensor unpack() override {
    const AcquireGil gil;
    const Ref function = Ref::share(unpack_.get()), argument = Ref::share(packed_.get());
    const Ref result = checked(PyObject_CallOneArg(function.get(), argument.get()));
    if (!is_tensor(result.get())) {
      raise(PyExc_TypeError,
            "Output of saved tensor unpack_hook expected to be a Tensor but got result of type %s",
            type_name(result.get()).c_str());
    }
    const Tensor& tensor = python::unwrap(result.get());
    if (tensor->storage() == shared_ && tensor->version() != version_) {
      throw GradError(core::text(
          "one of the variables needed for gradient computation has been modified by an inplace "
          "operation: the ",
          core::describe(tensor), " that a pack hook kept as it was is at version ",
          tensor->version(), "; expected version ", version_,
          " instead. Make the change out of place, or let the hook keep a clone()"));
    }
    return tensor;
  }

 private:
  const core::Storage* shared_ = nullptr;
  uint32_t version_ = 0;
  SharedObject packed_;
  SharedObject unpack_;
};

struct PyPackHook {
  SharedObject pack;
  SharedObject unpack;
  std::unique_ptr<PackedTensor> operator()(const Tensor& tensor) const {
    const AcquireGil gil;
    const Ref argument = checked(wrap(tensor));
    const Ref packed = checked(PyObject_CallOneArg(pack.get(), argument.get()));
    return std::make_unique<PyPacked>(SharedObject(packed.get()), unpack, tensor);
  }
};

PyObject* push_hook(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<2> bound("_push_saved_tensor_hook", {"pack", "unpack"}, 2, args, nargs, kwnames);
  push_saved_tensor_hook(PyPackHook{SharedObject(bound[0]), SharedObject(bound[1])});
  Py_RETURN_NONE;
}

PyObject* pop_hook(PyObject*) {
  pop_saved_tensor_hook();
  Py_RETURN_NONE;
}

PyObject* disable_hooks(PyObject*, PyObject* message) {
  if (!PyUnicode_Check(message)) {
    raise(PyExc_TypeError, "disable_saved_tensors_hooks(): error_message must be a str, got %s",
          type_name(message).c_str());
  }
  return PyUnicode_FromString(disable_saved_tensor_hooks(to_string(message)).c_str());
}

// --- anomaly mode
// ----------------------------------------------------------------------------------------------------

/// Lines of code and the modules in whose forward they ran; made into text only when asked.
class PyPlace final : public autograd::Place {
 public:
  PyPlace(SharedObject frames, SharedObject modules)
      : frames_(std::move(frames)), modules_(std::move(modules)) {}
  std::string traceback() const override { return describe("_traceback", frames_); }
  std::string line() const override { return describe("_line", frames_); }
  std::string module_path() const override { return describe("_module_path", modules_); }

 private:
  static std::string describe(const char* function, const SharedObject& what) {
    const AcquireGil gil;
    const Ref call = imported_attribute("tapegrad.autograd.anomaly_mode", function);
    return to_string(checked(PyObject_CallOneArg(call.get(), what.get())).get());
  }
  SharedObject frames_;
  SharedObject modules_;
};

/// The module whose forward `frame` is, as a weak reference; empty for other frames.
Ref module_of(PyFrameObject* frame, PyCodeObject* code) {
  if (PyUnicode_CompareWithASCIIString(code->co_name, "forward") != 0) return {};
  const Ref locals =
      checked(PyObject_GetAttrString(reinterpret_cast<PyObject*>(frame), "f_locals"));
  const Ref names =
      checked(PyObject_GetAttrString(reinterpret_cast<PyObject*>(code), "co_varnames"));
  if (PyTuple_GET_SIZE(names.get()) == 0) return {};
  const Ref self = Ref::steal(PyObject_GetItem(locals.get(), PyTuple_GET_ITEM(names.get(), 0)));
  if (!self) {
    PyErr_Clear();
    return {};
  }
  const Ref type = imported_attribute("tapegrad.nn", "Module");
  if (checked(PyObject_IsInstance(self.get(), type.get())) == 0) return {};
  return checked(PyWeakref_NewRef(self.get(), nullptr));
}

std::shared_ptr<const autograd::Place> place_now() {
  const AcquireGil gil;
  const Ref frames = checked(PyList_New(0)), modules = checked(PyList_New(0));
  Ref frame = Ref::share(reinterpret_cast<PyObject*>(PyEval_GetFrame()));
  while (frame) {
    auto* raw = reinterpret_cast<PyFrameObject*>(frame.get());
    const Ref code = Ref::steal(reinterpret_cast<PyObject*>(PyFrame_GetCode(raw)));
    const Ref entry = checked(Py_BuildValue("(Oi)", code.get(), PyFrame_GetLineNumber(raw)));
    checked(PyList_Append(frames.get(), entry.get()));
    const Ref module = module_of(raw, reinterpret_cast<PyCodeObject*>(code.get()));
    if (module) checked(PyList_Append(modules.get(), module.get()));
    frame = Ref::steal(reinterpret_cast<PyObject*>(PyFrame_GetBack(raw)));
  }
  checked(PyList_Reverse(frames.get()));
  checked(PyList_Reverse(modules.get()));
  return std::make_shared<PyPlace>(SharedObject(frames.get()), SharedObject(modules.get()));
}

PyObject* mode_tuple(AnomalyMode mode) {
  return Py_BuildValue("(NN)", PyBool_FromLong(mode.enabled), PyBool_FromLong(mode.check_nan));
}

PyObject* set_anomaly(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<2> bound("_set_anomaly_mode", {"enabled", "check_nan"}, 2, args, nargs, kwnames);
  return mode_tuple(set_anomaly_mode({.enabled = checked(PyObject_IsTrue(bound[0])) != 0,
                                      .check_nan = checked(PyObject_IsTrue(bound[1])) != 0}));
}

PyObject* get_anomaly(PyObject*) { return mode_tuple(anomaly_mode()); }

// --- the tape
// --------------------------------------------------------------------------------------------------------

std::vector<Tensor> tensors_of(PyObject* object, const char* function) {
  const Ref items = checked(PySequence_Fast(object, "expected a sequence of tensors"));
  std::vector<Tensor> result;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
    result.push_back(expect_tensor(PySequence_Fast_GET_ITEM(items.get(), i), function, "tensors"));
  }
  return result;
}

PyObject* keep_tensors(PyObject*, PyObject* list) {
  const std::vector<Tensor> tensors = tensors_of(list, "_keep_tensors");
  return wrap_node(autograd::keep_tensors(tensors));
}

/// The nodes below `tensors`, oldest first.
std::vector<autograd::Node*> nodes_below(const std::vector<Tensor>& tensors) {
  std::unordered_map<autograd::Node*, bool> seen;
  std::vector<autograd::Node*> found, waiting;
  const auto visit = [&](autograd::Node* node) {
    if (!node || !seen.emplace(node, true).second) return;
    found.push_back(node);
    waiting.push_back(node);
  };
  for (const Tensor& tensor : tensors) visit(autograd::gradient_edge(tensor).node.get());
  while (!waiting.empty()) {
    autograd::Node* node = waiting.back();
    waiting.pop_back();
    for (const autograd::Edge& edge : node->edges) visit(edge.node.get());
  }
  std::sort(found.begin(), found.end(),
            [](auto* a, auto* b) { return a->sequence() < b->sequence(); });
  return found;
}

void append(const Ref& list, PyObject* owned) {
  const Ref item = checked(owned);
  checked(PyList_Append(list.get(), item.get()));
}

Ref saved_rows(const autograd::Node& node) {
  Ref rows = checked(PyList_New(0));
  if (node.released()) append(rows, Py_BuildValue("(iii)", -1, 0, 0));
  for (const autograd::SavedTensor& saved : node.saved) {
    if (const TensorImpl* impl = saved.impl()) {
      const auto bytes = static_cast<Py_ssize_t>(impl->numel()) *
                         static_cast<Py_ssize_t>(item_size(impl->dtype()));
      append(rows, Py_BuildValue("(Nnn)", PyLong_FromVoidPtr(impl->storage()), bytes,
                                 static_cast<Py_ssize_t>(impl->storage()->bytes())));
    } else if (saved.packed()) {
      append(rows, Py_BuildValue("(iii)", 0, 0, 0));
    }
  }
  return rows;
}

Ref output_rows(const autograd::Node& node) {
  Ref rows = checked(PyList_New(0));
  for (const autograd::OutputInfo& info : node.outputs) {
    if (!info.defined()) continue;
    const Ref sizes = checked(make_size(info.sizes()));
    append(rows, Py_BuildValue("(sO)", dtype_name(info.dtype()), sizes.get()));
  }
  return rows;
}

PyObject* tape(PyObject*, PyObject* list) {
  const std::vector<Tensor> tensors = tensors_of(list, "tape");
  const std::vector<autograd::Node*> nodes = nodes_below(tensors);
  std::unordered_map<const autograd::Node*, Py_ssize_t> numbers;
  for (autograd::Node* node : nodes) {
    numbers.emplace(node, static_cast<Py_ssize_t>(numbers.size()) + 1);
  }
  const Ref rows = checked(PyList_New(0));
  for (autograd::Node* node : nodes) {
    const Ref inputs = checked(PyList_New(0));
    for (const autograd::Edge& edge : node->edges) {
      append(inputs, PyLong_FromSsize_t(edge.node ? numbers.at(edge.node.get()) : 0));
    }
    Py_ssize_t leaf_storage = 0;
    if (autograd::AccumulateGrad* accumulator = node->as_accumulator()) {
      const Tensor leaf = accumulator->leaf();
      if (leaf.defined()) leaf_storage = reinterpret_cast<Py_ssize_t>(leaf->storage());
    }
    const autograd::AnomalyNote* note = autograd::note_of(*node);
    const std::string line = note && note->place ? note->place->line() : std::string();
    const Ref outputs = output_rows(*node), saved = saved_rows(*node);
    append(rows, Py_BuildValue("(nsOOOns)", numbers.at(node), node->name().c_str(), inputs.get(),
                               outputs.get(), saved.get(), leaf_storage, line.c_str()));
  }
  return Py_NewRef(rows.get());
}

PyObject* increment_version_(PyObject*, PyObject* tensor) {
  increment_version(expect_tensor(tensor, "increment_version", "tensor"));
  Py_RETURN_NONE;
}

}  // namespace

PyObject* saved_tensors(autograd::Node& node) {
  if (node.released()) autograd::refuse_released(node);
  std::vector<Tensor> tensors;
  for (const autograd::SavedTensor& saved : node.saved) tensors.push_back(node.unpack(saved));
  return wrap_tuple(tensors.data(), tensors.size());
}

PyObject* saved_tensor(autograd::Node& node, bool is_output, int index, const char* attribute) {
  if (node.released()) autograd::refuse_released(node);
  for (const autograd::SavedTensor& saved : node.saved) {
    if (saved.is_output() == is_output && saved.index() == index) return wrap(node.unpack(saved));
  }
  raise(PyExc_AttributeError, "%s has not saved what '%s' would be; see saved_tensors",
        node.name().c_str(), attribute);
}

void add_graph(PyObject* module) {
  static PyMethodDef functions[] = {
      method<&push_hook>("_push_saved_tensor_hook", "See autograd.graph.saved_tensors_hooks."),
      method<&pop_hook>("_pop_saved_tensor_hook", "Take the hooks pushed last out again."),
      method<&disable_hooks>("_disable_saved_tensor_hooks",
                             "See autograd.graph.disable_saved_tensors_hooks."),
      method<&set_anomaly>("_set_anomaly_mode",
                           "Set this thread's anomaly mode; returns the previous one."),
      method<&get_anomaly>("_anomaly_mode", "This thread's anomaly mode, and whether NaN counts."),
      method<&keep_tensors>("_keep_tensors",
                            "A node that holds tensors as an operation holds its inputs."),
      method<&tape>("_tape", "The rows of autograd.graph.tape."),
      method<&increment_version_>("_increment_version", "See autograd.graph.increment_version."),
      {nullptr, nullptr, 0, nullptr}};
  checked(PyModule_AddFunctions(module, functions));
  autograd::place_hook.store(place_now);
}

}  // namespace tapegrad::python
