// Hooks from Python: of tensors, leaves and nodes, and the handles that remove them.

#include <vector>

#include "autograd/meta.h"
#include "python/autograd.h"
#include "python/convert.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"

namespace tapegrad::python {

namespace {

// --- hooks
// -----------------------------------------------------------------------------------------------------------

/// Shared by a hook on the tape and the handle that removes it.
struct HookState {
  explicit HookState(PyObject* function) : callable(Py_NewRef(function)) {}
  ~HookState() { drop_anywhere(callable); }
  HookState(const HookState&) = delete;
  HookState& operator=(const HookState&) = delete;
  PyObject* callable;  // null once removed; touched with the GIL
};

struct GradHook {
  std::shared_ptr<HookState> state;
  Tensor operator()(const Tensor& gradient) const {
    const AcquireGil gil;
    const Ref callable = Ref::share(state->callable);
    if (!callable) return {};
    const Ref argument = checked(wrap(gradient));
    const Ref result = checked(PyObject_CallOneArg(callable.get(), argument.get()));
    if (result.get() == Py_None) return {};
    if (!is_tensor(result.get())) {
      raise(PyExc_TypeError, "a hook must return a Tensor or None, got %s",
            type_name(result.get()).c_str());
    }
    return unwrap(result.get());
  }
};

struct LeafHook {
  std::shared_ptr<HookState> state;
  void operator()(const Tensor& leaf) const {
    const AcquireGil gil;
    const Ref callable = Ref::share(state->callable);
    if (!callable) return;
    const Ref argument = checked(wrap(leaf));
    checked(PyObject_CallOneArg(callable.get(), argument.get()));
  }
};

/// The values a node hook returned in place of `values`; None leaves them.
void take_values(PyObject* result, std::vector<Tensor>& values) {
  if (result == Py_None) return;
  const auto expected = static_cast<Py_ssize_t>(values.size());
  Ref tuple = PyTuple_Check(result) ? Ref::share(result) : checked(PyTuple_Pack(1, result));
  if (PyTuple_GET_SIZE(tuple.get()) != expected) {
    raise(PyExc_RuntimeError,
          "a node hook has returned an incorrect number of values (got %zd, but expected %zd)",
          PyTuple_GET_SIZE(tuple.get()), expected);
  }
  for (Py_ssize_t i = 0; i < expected; ++i) {
    PyObject* item = PyTuple_GET_ITEM(tuple.get(), i);
    Tensor& value = values[static_cast<size_t>(i)];
    if (item == Py_None) {
      value = Tensor();
      continue;
    }
    if (!is_tensor(item)) {
      raise(PyExc_TypeError, "a node hook must return tensors or None, got %s at index %zd",
            type_name(item).c_str(), i);
    }
    if (!value.defined()) {
      raise(PyExc_RuntimeError,
            "a node hook can't replace a None gradient (index %zd) with a non-None value", i);
    }
    value = unwrap(item);
  }
}

struct PyPreHook {
  std::shared_ptr<HookState> state;
  void operator()(std::vector<Tensor>& gradients) const {
    const AcquireGil gil;
    const Ref callable = Ref::share(state->callable);
    if (!callable) return;
    const Ref argument = checked(wrap_tuple(gradients.data(), gradients.size()));
    const Ref result = checked(PyObject_CallOneArg(callable.get(), argument.get()));
    take_values(result.get(), gradients);
  }
};

struct PyPostHook {
  std::shared_ptr<HookState> state;
  void operator()(std::vector<Tensor>& results, const std::vector<Tensor>& gradients) const {
    const AcquireGil gil;
    const Ref callable = Ref::share(state->callable);
    if (!callable) return;
    const Ref inputs = checked(wrap_tuple(results.data(), results.size()));
    const Ref outputs = checked(wrap_tuple(gradients.data(), gradients.size()));
    PyObject* arguments[] = {inputs.get(), outputs.get()};
    const Ref result = checked(PyObject_Vectorcall(callable.get(), arguments, 2, nullptr));
    take_values(result.get(), results);
  }
};

struct PyHandle {
  PyObject_HEAD std::shared_ptr<HookState> state;
  autograd::NodeRef accumulator;  // a result's node is not held: that would keep the graph
  int64_t id;
};
PyTypeObject* handle_type = nullptr;

PyObject* make_handle(std::shared_ptr<HookState> state, autograd::NodeRef node, int64_t id) {
  auto* self = reinterpret_cast<PyHandle*>(handle_type->tp_alloc(handle_type, 0));
  if (!self) raise_current();
  new (&self->state) std::shared_ptr<HookState>(std::move(state));
  new (&self->accumulator)
      autograd::NodeRef(node && node->as_accumulator() ? std::move(node) : autograd::NodeRef());
  self->id = id;
  return reinterpret_cast<PyObject*>(self);
}

void handle_dealloc(PyObject* object) {
  auto* self = reinterpret_cast<PyHandle*>(object);
  PyTypeObject* type = Py_TYPE(object);
  self->state.~shared_ptr();
  self->accumulator.~NodeRef();
  type->tp_free(object);
  Py_DECREF(type);
}

PyObject* handle_remove(PyObject* object) {
  auto* self = reinterpret_cast<PyHandle*>(object);
  if (self->accumulator) autograd::remove_hook(*self->accumulator, self->id);
  drop_anywhere(std::exchange(self->state->callable, nullptr));
  Py_RETURN_NONE;
}

PyObject* handle_enter(PyObject* self) { return Py_NewRef(self); }
PyObject* handle_exit(PyObject* self, Arguments, Py_ssize_t, PyObject*) {
  return handle_remove(self);
}
PyObject* handle_id(PyObject* self, void*) {
  return PyLong_FromLongLong(reinterpret_cast<PyHandle*>(self)->id);
}

}  // namespace

void add_handle_type(PyObject* module) {
  static PyGetSetDef getset[] = {{"id", handle_id, nullptr, "The hook's number.", nullptr},
                                 {nullptr, nullptr, nullptr, nullptr, nullptr}};
  static PyMethodDef methods[] = {
      method<&handle_remove>("remove", "Take the hook out; a second call does nothing."),
      method<&handle_enter>("__enter__", nullptr),
      method<&handle_exit>("__exit__", nullptr),
      {nullptr, nullptr, 0, nullptr}};
  PyType_Slot slots[] = {
      {Py_tp_doc,
       const_cast<char*>("Removes a tensor's hook: by remove(), or at the end of a with block.")},
      {Py_tp_dealloc, reinterpret_cast<void*>(handle_dealloc)},
      {Py_tp_getset, getset},
      {Py_tp_methods, methods},
      {0, nullptr}};
  PyType_Spec spec = {"tapegrad._C.HookHandle", sizeof(PyHandle), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  handle_type = make_type(spec);
  add_object(module, "_HookHandle", Py_NewRef(reinterpret_cast<PyObject*>(handle_type)));
}

PyObject* register_tensor_hook(PyObject* self, PyObject* hook) {
  if (!PyCallable_Check(hook))
    raise(PyExc_TypeError, "register_hook(): expected a function, got %s", type_name(hook).c_str());
  auto state = std::make_shared<HookState>(hook);
  const int64_t id = tapegrad::register_hook(unwrap(self), GradHook{state});
  track(self);
  return make_handle(std::move(state), autograd::gradient_edge(unwrap(self)).node, id);
}

PyObject* register_leaf_hook(PyObject* self, PyObject* hook) {
  if (!PyCallable_Check(hook)) {
    raise(PyExc_TypeError, "register_post_accumulate_grad_hook(): expected a function, got %s",
          type_name(hook).c_str());
  }
  auto state = std::make_shared<HookState>(hook);
  const int64_t id = tapegrad::register_post_accumulate_grad_hook(unwrap(self), LeafHook{state});
  track(self);
  return make_handle(std::move(state), autograd::gradient_edge(unwrap(self)).node, id);
}

namespace {
std::shared_ptr<HookState> node_hook_state(const char* function, PyObject* hook) {
  if (!PyCallable_Check(hook))
    raise(PyExc_TypeError, "%s(): expected a function, got %s", function, type_name(hook).c_str());
  return std::make_shared<HookState>(hook);
}
}  // namespace

PyObject* register_node_hook(PyObject* self, PyObject* hook) {
  auto state = node_hook_state("register_hook", hook);
  const int64_t id = autograd::register_node_hook(node_of(self), PyPostHook{state});
  return make_handle(std::move(state), autograd::NodeRef::share(&node_of(self)), id);
}

PyObject* register_node_prehook(PyObject* self, PyObject* hook) {
  auto state = node_hook_state("register_prehook", hook);
  const int64_t id = autograd::register_pre_hook(node_of(self), PyPreHook{state});
  return make_handle(std::move(state), autograd::NodeRef::share(&node_of(self)), id);
}

namespace {

template <class F>
void for_hooks(const Tensor& tensor, F f) {
  const autograd::Meta* meta = autograd::meta_or_null(tensor);
  if (!meta || !meta->node || meta->node->reference_count() != 1) return;
  if (autograd::NodeHooks* hooks = meta->node->hooks()) {
    for (auto& entry : hooks->tensor_hooks) {
      if (auto* hook = entry.hook.target<GradHook>()) f(*hook->state);
    }
    for (auto& entry : hooks->pre_hooks) {
      if (auto* hook = entry.second.target<PyPreHook>()) f(*hook->state);
    }
    for (auto& entry : hooks->post_hooks) {
      if (auto* hook = entry.second.target<PyPostHook>()) f(*hook->state);
    }
  }
  if (autograd::AccumulateGrad* accumulator = meta->node->as_accumulator()) {
    for (auto& entry : accumulator->post_hooks) {
      if (auto* hook = entry.second.target<LeafHook>()) f(*hook->state);
    }
  }
}

}  // namespace

int visit_hooks(const Tensor& tensor, visitproc visit, void* arg) {
  int status = 0;
  // A context that only this tensor's node holds, and the node only this tensor.
  const autograd::Meta* meta = autograd::meta_or_null(tensor);
  if (meta && meta->node && meta->node->reference_count() == 1) {
    status = visit_context(*meta->node, visit, arg);
  }
  for_hooks(tensor, [&](HookState& state) {
    if (status == 0 && state.callable) status = visit(state.callable, arg);
  });
  return status;
}

void clear_hooks(const Tensor& tensor) {
  std::vector<PyObject*> dropped;
  for_hooks(tensor,
            [&](HookState& state) { dropped.push_back(std::exchange(state.callable, nullptr)); });
  for (PyObject* callable : dropped) Py_XDECREF(callable);
}

}  // namespace tapegrad::python
