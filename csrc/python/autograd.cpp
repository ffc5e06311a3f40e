#include "python/autograd.h"

#include <time.h>
#include <unistd.h>

#include <vector>

#include "autograd/engine.h"
#include "autograd/inplace.h"
#include "autograd/meta.h"
#include "python/convert.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad::python {

namespace {

// --- nodes
// -----------------------------------------------------------------------------------------------------------

struct PyNode {
  PyObject_HEAD autograd::NodeRef node;
};
PyTypeObject* node_type = nullptr;

autograd::Node& node_of(PyObject* self) { return *reinterpret_cast<PyNode*>(self)->node; }

void node_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  reinterpret_cast<PyNode*>(self)->node.~NodeRef();
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* node_repr(PyObject* self) {
  return PyUnicode_FromFormat("<%s object at %p>", node_of(self).name().c_str(),
                              static_cast<void*>(&node_of(self)));
}

PyObject* node_name(PyObject* self) { return PyUnicode_FromString(node_of(self).name().c_str()); }
PyObject* node_sequence(PyObject* self) {
  return PyLong_FromUnsignedLongLong(node_of(self).sequence());
}

PyObject* node_compare(PyObject* a, PyObject* b, int op) {
  if (Py_TYPE(b) != node_type || (op != Py_EQ && op != Py_NE)) Py_RETURN_NOTIMPLEMENTED;
  return PyBool_FromLong((&node_of(a) == &node_of(b)) == (op == Py_EQ));
}

Py_hash_t node_hash(PyObject* self) { return _Py_HashPointer(&node_of(self)); }

PyObject* node_next(PyObject* self, void*) {
  autograd::Node& node = node_of(self);
  Ref result = checked(PyTuple_New(node.edges.size()));
  for (int i = 0; i < node.edges.size(); ++i) {
    const autograd::Edge& edge = node.edges[i];
    PyObject* pair = Py_BuildValue("(NI)", wrap_node(edge.node), edge.output);
    PyTuple_SET_ITEM(result.get(), i, checked(pair).release());
  }
  return result.release();
}

PyObject* node_saved(PyObject* self, void*) { return saved_tensors(node_of(self)); }
PyObject* node_saved_self(PyObject* self, void*) {
  return saved_tensor(node_of(self), false, 0, "_saved_self");
}
PyObject* node_saved_other(PyObject* self, void*) {
  return saved_tensor(node_of(self), false, 1, "_saved_other");
}
PyObject* node_saved_result(PyObject* self, void*) {
  return saved_tensor(node_of(self), true, 0, "_saved_result");
}

PyObject* node_variable(PyObject* self, void*) {
  autograd::AccumulateGrad* accumulator = node_of(self).as_accumulator();
  if (!accumulator)
    raise(PyExc_AttributeError, "%s has no variable; only AccumulateGrad has",
          node_of(self).name().c_str());
  return wrap(accumulator->leaf());
}

void add_node_type(PyObject* module) {
  static PyGetSetDef getset[] = {
      {"next_functions", guarded<&node_next>, nullptr,
       "Pairs of the node behind each input, or None, and its output.", nullptr},
      {"saved_tensors", guarded<&node_saved>, nullptr,
       "The tensors kept for the backward pass: inputs, then outputs. Raises after they were "
       "freed.",
       nullptr},
      {"_saved_self", guarded<&node_saved_self>, nullptr, "The first input, if saved.", nullptr},
      {"_saved_other", guarded<&node_saved_other>, nullptr, "The second input, if saved.", nullptr},
      {"_saved_result", guarded<&node_saved_result>, nullptr, "The output, if saved.", nullptr},
      {"variable", guarded<&node_variable>, nullptr, "The leaf of an AccumulateGrad.", nullptr},
      {nullptr, nullptr, nullptr, nullptr, nullptr}};
  static PyMethodDef methods[] = {
      method<&node_name>("name", "The operation's name: MulBackward, AccumulateGrad, ..."),
      method<&node_sequence>("_sequence_nr", "The node's place on the tape."),
      {nullptr, nullptr, 0, nullptr}};
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>("A node of the tape, as .grad_fn shows it.")},
      {Py_tp_dealloc, reinterpret_cast<void*>(node_dealloc)},
      {Py_tp_repr, reinterpret_cast<void*>(guarded<&node_repr>)},
      {Py_tp_richcompare, reinterpret_cast<void*>(node_compare)},
      {Py_tp_hash, reinterpret_cast<void*>(node_hash)},
      {Py_tp_getset, getset},
      {Py_tp_methods, methods},
      {0, nullptr}};
  PyType_Spec spec = {"tapegrad._C.Node", sizeof(PyNode), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  node_type = make_type(spec);
  add_object(module, "_Node", Py_NewRef(reinterpret_cast<PyObject*>(node_type)));
}

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

// --- the engine
// ------------------------------------------------------------------------------------------------------

/// Looks for Ctrl-C every few milliseconds: between two nodes a look at the clock, not the GIL.
void look_for_signals() {
  thread_local int64_t last_look = 0;
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const int64_t milliseconds = now.tv_sec * 1000 + now.tv_nsec / 1000000;
  if (milliseconds - last_look < 20) return;
  last_look = milliseconds;
  if (gettid() != getpid()) return;  // Python handles signals on the main thread alone
  const AcquireGil gil;
  drop_pending();
  checked(PyErr_CheckSignals());
}

bool flag(PyObject* object, bool otherwise) {
  return object && object != Py_None ? checked(PyObject_IsTrue(object)) != 0 : otherwise;
}

PyObject* backward_method(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<4> bound("backward", {"gradient", "retain_graph", "create_graph", "inputs"}, 0, args,
                       nargs, kwnames);
  const Tensor root = unwrap(self);
  Tensor gradient;
  if (bound.has(0)) gradient = is_tensor(bound[0]) ? unwrap(bound[0]) : as_tensor(bound[0]);
  const bool create_graph = flag(bound[2], false);
  const BackwardOptions options{.retain_graph = flag(bound[1], create_graph),
                                .create_graph = create_graph};
  const std::vector<Tensor> inputs = tensor_list(bound[3], "backward", "inputs");
  if (bound.has(3) && inputs.empty()) {
    raise(PyExc_RuntimeError, "backward: inputs is empty; leave it out to reach every leaf");
  }
  {
    const ReleaseGil released;
    tapegrad::backward({&root, 1}, {&gradient, 1}, options, inputs);
  }
  Py_RETURN_NONE;
}

PyObject* engine_backward(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<5> bound("_engine_backward",
                       {"tensors", "grad_tensors", "retain_graph", "create_graph", "inputs"}, 1,
                       args, nargs, kwnames);
  const std::vector<Tensor> roots = tensor_list(bound[0], "backward", "tensors");
  const std::vector<Tensor> gradients = tensor_list(bound[1], "backward", "grad_tensors");
  const BackwardOptions options{.retain_graph = flag(bound[2], false),
                                .create_graph = flag(bound[3], false)};
  const std::vector<Tensor> inputs = tensor_list(bound[4], "backward", "inputs");
  {
    const ReleaseGil released;
    tapegrad::backward(roots, gradients, options, inputs);
  }
  Py_RETURN_NONE;
}

PyObject* engine_grad(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<6> bound(
      "_engine_grad",
      {"outputs", "inputs", "grad_outputs", "retain_graph", "create_graph", "allow_unused"}, 2,
      args, nargs, kwnames);
  const std::vector<Tensor> outputs = tensor_list(bound[0], "grad", "outputs");
  const std::vector<Tensor> inputs = tensor_list(bound[1], "grad", "inputs");
  const std::vector<Tensor> gradients = tensor_list(bound[2], "grad", "grad_outputs");
  const BackwardOptions options{.retain_graph = flag(bound[3], false),
                                .create_graph = flag(bound[4], false)};
  const bool allow_unused = flag(bound[5], false);
  std::vector<Tensor> result;
  {
    const ReleaseGil released;
    result = tapegrad::grad(outputs, inputs, gradients, options, allow_unused);
  }
  return wrap_tuple(result.data(), result.size());
}

// --- methods of Tensor
// -----------------------------------------------------------------------------------------------

PyObject* requires_grad_(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<1> bound("requires_grad_", {"requires_grad"}, 0, args, nargs, kwnames);
  unwrap(self).set_requires_grad(flag(bound[0], true));
  return Py_NewRef(self);
}

PyObject* retain_grad_method(PyObject* self) {
  tapegrad::retain_grad(unwrap(self));
  Py_RETURN_NONE;
}

PyObject* detach_method(PyObject* self) { return wrap(unwrap(self).detach()); }

PyObject* detach_in_place(PyObject* self) {
  const Tensor& x = unwrap(self);
  if (x->base) throw GradError("detach_: a view cannot be detached in place; use detach()");
  autograd::Meta* meta = autograd::meta_or_null(x);
  if (x->has(TensorImpl::kNeedsGrad) && meta) {
    if (meta->leaf) {
      unwrap(self).set_requires_grad(false);
    } else {
      autograd::cut_from_tape(x);
    }
  }
  return Py_NewRef(self);
}

// --- modes and forward mode
// ------------------------------------------------------------------------------------------

bool expect_bool(PyObject* object, const char* function) {
  if (!PyBool_Check(object))
    raise(PyExc_TypeError, "%s(): expected a bool, got %s", function, type_name(object).c_str());
  return object == Py_True;
}

PyObject* set_grad_mode(PyObject*, PyObject* value) {
  return PyBool_FromLong(set_grad_enabled(expect_bool(value, "_set_grad_enabled")));
}
PyObject* grad_mode(PyObject*) { return PyBool_FromLong(is_grad_enabled()); }
PyObject* set_inference(PyObject*, PyObject* value) {
  return PyBool_FromLong(set_inference_mode(expect_bool(value, "_set_inference_mode")));
}
PyObject* inference(PyObject*) { return PyBool_FromLong(is_inference_mode_enabled()); }

PyObject* make_dual_(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<3> bound("_make_dual", {"tensor", "tangent", "level"}, 3, args, nargs, kwnames);
  return wrap(make_dual(expect_tensor(bound[0], "make_dual", "tensor"),
                        expect_tensor(bound[1], "make_dual", "tangent"),
                        static_cast<int>(as_int(bound[2]))));
}
PyObject* unpack_dual_(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<2> bound("_unpack_dual", {"tensor", "level"}, 2, args, nargs, kwnames);
  auto [primal, tangent] = unpack_dual(expect_tensor(bound[0], "unpack_dual", "tensor"),
                                       static_cast<int>(as_int(bound[1])));
  return Py_BuildValue("(NN)", wrap(std::move(primal)), wrap(std::move(tangent)));
}
PyObject* enter_dual(PyObject*) { return PyLong_FromLong(enter_dual_level()); }
PyObject* exit_dual(PyObject*, PyObject* level) {
  exit_dual_level(static_cast<int>(as_int(level)));
  Py_RETURN_NONE;
}

template <class F>
void for_hooks(const Tensor& tensor, F f) {
  const autograd::Meta* meta = autograd::meta_or_null(tensor);
  if (!meta || !meta->node || meta->node->reference_count() != 1) return;
  if (autograd::NodeHooks* hooks = meta->node->hooks()) {
    for (auto& entry : hooks->tensor_hooks) {
      if (auto* hook = entry.hook.target<GradHook>()) f(*hook->state);
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

std::vector<Tensor> tensor_list(PyObject* object, const char* function, const char* argument) {
  std::vector<Tensor> result;
  if (!object || object == Py_None) return result;
  if (is_tensor(object)) {
    result.push_back(unwrap(object));
    return result;
  }
  const Ref items = checked(PySequence_Fast(object, "expected a tensor or a sequence of tensors"));
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(items.get());
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
    result.push_back(item == Py_None ? Tensor() : expect_tensor(item, function, argument));
  }
  return result;
}

PyObject* wrap_node(autograd::NodeRef node) {
  if (!node) Py_RETURN_NONE;
  auto* self = reinterpret_cast<PyNode*>(node_type->tp_alloc(node_type, 0));
  if (!self) raise_current();
  new (&self->node) autograd::NodeRef(std::move(node));
  return reinterpret_cast<PyObject*>(self);
}

std::vector<PyMethodDef> autograd_methods() {
  return {
      method<&backward_method>(
          "backward",
          "backward(gradient=None, retain_graph=None, create_graph=False, inputs=None)\n\n"
          "Add the gradients of this tensor to the .grad of the leaves it was computed from."),
      method<&requires_grad_>("requires_grad_",
                              "requires_grad_(requires_grad=True): set requires_grad in place."),
      method<&retain_grad_method>("retain_grad", "Let a result keep its gradient in .grad."),
      method<&register_tensor_hook>(
          "register_hook",
          "register_hook(hook): call hook(grad) whenever the gradient is computed; what it "
          "returns, unless None, replaces the gradient. Returns a handle with remove()."),
      method<&register_leaf_hook>(
          "register_post_accumulate_grad_hook",
          "register_post_accumulate_grad_hook(hook): call hook(leaf) after .grad was updated."),
      method<&detach_method>("detach", "The same memory, cut off from the tape."),
      method<&detach_in_place>("detach_", "Cut this tensor off from the tape; returns it."),
  };
}

void add_autograd(PyObject* module) {
  add_node_type(module);
  add_handle_type(module);
  static PyMethodDef functions[] = {
      method<&set_grad_mode>("_set_grad_enabled",
                             "Set this thread's grad mode; returns the previous one."),
      method<&grad_mode>("is_grad_enabled", "Whether operations are recorded on this thread."),
      method<&set_inference>("_set_inference_mode",
                             "Set this thread's inference mode; returns the previous one."),
      method<&inference>("is_inference_mode_enabled", "Whether this thread is in inference mode."),
      method<&engine_backward>("_engine_backward", "See tapegrad.autograd.backward."),
      method<&engine_grad>("_engine_grad", "See tapegrad.autograd.grad."),
      method<&make_dual_>("_make_dual", "See tapegrad.autograd.forward_ad.make_dual."),
      method<&unpack_dual_>("_unpack_dual", "See tapegrad.autograd.forward_ad.unpack_dual."),
      method<&enter_dual>("_enter_dual_level", "Open a level of forward mode."),
      method<&exit_dual>("_exit_dual_level", "Close a level of forward mode."),
      {nullptr, nullptr, 0, nullptr}};
  checked(PyModule_AddFunctions(module, functions));
  autograd::interrupt_hook.store(look_for_signals);
}

}  // namespace tapegrad::python
