#include "python/autograd.h"

#include <time.h>
#include <unistd.h>

#include <vector>

#include "autograd/engine.h"
#include "autograd/function.h"
#include "autograd/inplace.h"
#include "autograd/meta.h"
#include "python/convert.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad::python {

PyTypeObject* node_type = nullptr;

autograd::Node& node_of(PyObject* self) {
  autograd::Node* node = reinterpret_cast<PyNode*>(self)->node.get();
  if (!node) throw GradError("grad_fn: the graph that this context belonged to was freed");
  return *node;
}

namespace {

// --- nodes
// -----------------------------------------------------------------------------------------------------------

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
  if (!is_node(b) || (op != Py_EQ && op != Py_NE)) Py_RETURN_NOTIMPLEMENTED;
  return PyBool_FromLong((raw_node(a) == raw_node(b)) == (op == Py_EQ));
}

Py_hash_t node_hash(PyObject* self) { return _Py_HashPointer(raw_node(self)); }

PyObject* node_next(PyObject* self, void*) {
  autograd::Node& node = node_of(self);
  const autograd::FunctionNode* function = node.as_function();
  const int count = function ? function->input_count() : node.edges.size();
  Ref result = checked(PyTuple_New(count));
  for (int i = 0; i < count && i < node.edges.size(); ++i) {
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

PyObject* node_metadata(PyObject* self, void*) {
  autograd::Node& node = node_of(self);
  if (!node.hooks() || !node.hooks()->metadata) {
    const Ref dict = checked(PyDict_New());
    node.make_hooks().metadata = std::shared_ptr<void>(
        Py_NewRef(dict.get()), [](void* dying) { drop_anywhere(static_cast<PyObject*>(dying)); });
  }
  return Py_NewRef(static_cast<PyObject*>(node.hooks()->metadata.get()));
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
      {"metadata", guarded<&node_metadata>, nullptr, "A dict for the user's notes.", nullptr},
      {"variable", guarded<&node_variable>, nullptr, "The leaf of an AccumulateGrad.", nullptr},
      {nullptr, nullptr, nullptr, nullptr, nullptr}};
  static PyMethodDef methods[] = {
      method<&node_name>("name", "The operation's name: MulBackward, AccumulateGrad, ..."),
      method<&node_sequence>("_sequence_nr", "The node's place on the tape."),
      method<&register_node_hook>(
          "register_hook",
          "register_hook(fn): call fn(grad_inputs, grad_outputs) after the node's rule ran in a "
          "backward pass; what it returns, unless None, replaces grad_inputs. Returns a handle."),
      method<&register_node_prehook>(
          "register_prehook",
          "register_prehook(fn): call fn(grad_outputs) before the node's rule runs; what it "
          "returns, unless None, replaces grad_outputs. Returns a handle."),
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
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                      slots};
  node_type = make_type(spec);
  add_object(module, "_Node", Py_NewRef(reinterpret_cast<PyObject*>(node_type)));
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

// --- edges
// -----------------------------------------------------------------------------------------------------------

PyObject* edge_of(PyObject*, PyObject* tensor) {
  autograd::Edge edge =
      autograd::gradient_edge(expect_tensor(tensor, "get_gradient_edge", "tensor"));
  return Py_BuildValue("(NI)", wrap_node(std::move(edge.node)), edge.output);
}

autograd::Node& expect_node(PyObject* object, const char* function) {
  if (!is_node(object))
    raise(PyExc_TypeError, "%s: expected a Node, got %s", function, type_name(object).c_str());
  return node_of(object);
}

/// A tensor at an edge, of the shape and dtype there, for functions that take tensors.
PyObject* edge_tensor(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<2> bound("_edge_tensor", {"node", "output_nr"}, 2, args, nargs, kwnames);
  autograd::Node& node = expect_node(bound[0], "GradientEdge");
  const int64_t output = as_int(bound[1]);
  if (autograd::AccumulateGrad* accumulator = node.as_accumulator()) {
    const Tensor leaf = accumulator->leaf();
    if (!leaf.defined()) throw GradError("GradientEdge: the leaf of this edge is gone");
    return wrap(leaf);
  }
  if (output < 0 || output >= node.outputs.size() ||
      !node.outputs[static_cast<int>(output)].defined()) {
    raise(PyExc_IndexError, "GradientEdge: %s has no output %lld", node.name().c_str(),
          static_cast<long long>(output));
  }
  return wrap(autograd::edge_tensor(node, static_cast<int>(output)));
}

PyObject* current_pass_(PyObject*) { return PyLong_FromUnsignedLongLong(autograd::current_pass()); }
PyObject* runs_in_pass(PyObject*, PyObject* node) {
  return PyBool_FromLong(
      autograd::runs_in_current_pass(expect_node(node, "_runs_in_current_pass")));
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

}  // namespace

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
  if (node->as_function()) {
    if (PyObject* context = wrap_context(node)) return context;
  }
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
  add_function(module);
  static PyMethodDef functions[] = {
      method<&set_grad_mode>("_set_grad_enabled",
                             "Set this thread's grad mode; returns the previous one."),
      method<&grad_mode>("is_grad_enabled", "Whether operations are recorded on this thread."),
      method<&set_inference>("_set_inference_mode",
                             "Set this thread's inference mode; returns the previous one."),
      method<&inference>("is_inference_mode_enabled", "Whether this thread is in inference mode."),
      method<&engine_backward>("_engine_backward", "See tapegrad.autograd.backward."),
      method<&engine_grad>("_engine_grad", "See tapegrad.autograd.grad."),
      method<&edge_of>("_gradient_edge", "See tapegrad.autograd.graph.get_gradient_edge."),
      method<&edge_tensor>("_edge_tensor", "A tensor that stands for an edge of the graph."),
      method<&current_pass_>("_current_pass", "The number of this thread's backward pass, or 0."),
      method<&runs_in_pass>("_runs_in_current_pass",
                            "Whether this thread's backward pass computes a node's gradients."),
      method<&make_dual_>("_make_dual", "See tapegrad.autograd.forward_ad.make_dual."),
      method<&unpack_dual_>("_unpack_dual", "See tapegrad.autograd.forward_ad.unpack_dual."),
      method<&enter_dual>("_enter_dual_level", "Open a level of forward mode."),
      method<&exit_dual>("_exit_dual_level", "Close a level of forward mode."),
      {nullptr, nullptr, 0, nullptr}};
  checked(PyModule_AddFunctions(module, functions));
  autograd::interrupt_hook.store(look_for_signals);
}

}  // namespace tapegrad::python
