// autograd.Function: functions whose derivative is written in Python. Owns the context, which is
// the Python object of the node, and the call of forward, backward, jvp and vmap; how the function
// gets on the tape is in autograd/function.h.
#include "autograd/function.h"

#include "python/autograd.h"
// After Python.h.
#include <structmember.h>

#include <cstddef>
#include <string>
#include <vector>

#include "autograd/lifted.h"
#include "python/convert.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"

namespace tapegrad::python {

namespace {

/// Note [Context and node]
/// A context and its node refer to each other, and one of the two references is strong, as with
/// tensors (Note [Python ownership]): the context owns the node while Python code holds the
/// context; when the last such reference goes and the graph still holds the node, ownership is
/// turned around. So a context lives as long as either side, without a cycle, and a long chain of
/// nodes dies in the loop of Node::destroy().
struct PyContext {
  PyNode base;
  PyObject* dict;
};

PyTypeObject* context_type = nullptr;
PyTypeObject* function_type = nullptr;
PyObject* base_setup_context = nullptr;

class PyFunctionNode final : public autograd::FunctionNode {
 public:
  explicit PyFunctionNode(PyTypeObject* type) : type_(type) { Py_XINCREF(type); }
  ~PyFunctionNode() override {
    if (owns_context) {
      new (&context->base.node) autograd::NodeRef();  // was borrowed
      drop_anywhere(reinterpret_cast<PyObject*>(context));
    }
    drop_anywhere(reinterpret_cast<PyObject*>(type_));
  }
  std::string name() const override { return std::string(function_name()) + "Backward"; }
  const char* function_name() const { return type_ ? type_->tp_name : "FunctionCtx"; }
  PyTypeObject* type() const { return type_; }

  PyContext* context = nullptr;
  bool owns_context = false;  // read and written with the GIL, or by the destructor

 protected:
  std::vector<Tensor> backward(std::vector<Tensor> gradients) override;

 private:
  std::vector<Tensor> take_gradients(PyObject* result) const;
  PyTypeObject* type_;
};

PyFunctionNode& function_of(PyObject* context) {
  return static_cast<PyFunctionNode&>(node_of(context));
}

/// A new reference, which owns the node.
PyObject* share_context(PyFunctionNode& node) {
  auto* object = reinterpret_cast<PyObject*>(node.context);
  if (!node.owns_context) return Py_NewRef(object);
  node.owns_context = false;
  node.retain();  // the reference of the object, which it had borrowed
  return object;
}

PyObject* make_context(PyTypeObject* context_class, autograd::NodeRef ref) {
  auto* self = reinterpret_cast<PyContext*>(context_class->tp_alloc(context_class, 0));
  if (!self) raise_current();
  static_cast<PyFunctionNode&>(*ref).context = self;
  new (&self->base.node) autograd::NodeRef(std::move(ref));
  self->dict = nullptr;
  return reinterpret_cast<PyObject*>(self);
}

PyObject* context_new(PyTypeObject* type, PyObject*, PyObject*) {
  return make_context(type, autograd::NodeRef::adopt(new PyFunctionNode(nullptr)));
}

void context_dealloc(PyObject* object) {
  auto* self = reinterpret_cast<PyContext*>(object);
  PyTypeObject* type = Py_TYPE(object);
  if (autograd::Node* raw = self->base.node.get(); raw && raw->reference_count() > 1) {
    Py_SET_REFCNT(object, 1);
    if (!PyObject_GC_IsTracked(object)) PyObject_GC_Track(object);
    static_cast<PyFunctionNode*>(raw)->owns_context = true;
    raw->drop();  // may be the last one by now: then the destructor drops this object again
    return;
  }
  if (PyObject_GC_IsTracked(object)) PyObject_GC_UnTrack(object);
  if (autograd::Node* raw = self->base.node.get())
    static_cast<PyFunctionNode*>(raw)->context = nullptr;
  PyObject* dict = std::exchange(self->dict, nullptr);
  self->base.node.~NodeRef();
  Py_XDECREF(dict);
  type->tp_free(object);
  Py_DECREF(type);
}

int context_traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(reinterpret_cast<PyContext*>(object)->dict);
  return 0;
}

/// A tensor kept on a context may close a cycle through the graph, which the garbage collector
/// finds only if it knows the tensor.
int context_setattro(PyObject* self, PyObject* name, PyObject* value) {
  if (value && is_tensor(value)) track(value);
  return PyObject_GenericSetAttr(self, name, value);
}

int context_clear(PyObject* object) {
  Py_CLEAR(reinterpret_cast<PyContext*>(object)->dict);
  return 0;
}

PyObject* context_repr(PyObject* self) {
  const autograd::Node* node = raw_node(self);
  return PyUnicode_FromFormat("<tapegrad.autograd.function.%s object at %p>",
                              node ? node->name().c_str() : "FunctionCtx",
                              static_cast<void*>(self));
}

// --- what forward tells the context
// ----------------------------------------------------------------------------------

std::vector<Tensor> tensors_of(const char* function, Arguments args, Py_ssize_t nargs,
                               PyObject* kwnames, bool or_none) {
  if (kwnames && PyTuple_GET_SIZE(kwnames) > 0)
    raise(PyExc_TypeError, "%s() takes no keyword arguments", function);
  std::vector<Tensor> tensors;
  tensors.reserve(static_cast<size_t>(nargs));
  for (Py_ssize_t i = 0; i < nargs; ++i) {
    if (or_none && args[i] == Py_None) {
      tensors.emplace_back();
    } else if (is_tensor(args[i])) {
      tensors.push_back(unwrap(args[i]));
    } else {
      raise(PyExc_TypeError,
            "%s can only %s tensors%s, but argument %zd is of type %s; keep other values as "
            "attributes of ctx",
            function, or_none ? "save" : "mark", or_none ? " and None" : "", i,
            type_name(args[i]).c_str());
    }
  }
  return tensors;
}

PyFunctionNode& open_function(PyObject* self, const char* function) {
  PyFunctionNode& node = function_of(self);
  if (node.finished()) {
    raise(PyExc_RuntimeError, "%s can only be called in forward or setup_context, not after",
          function);
  }
  return node;
}

PyObject* save_for_backward(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  open_function(self, "save_for_backward").to_save =
      tensors_of("save_for_backward", args, nargs, kwnames, true);
  Py_RETURN_NONE;
}
PyObject* save_for_forward(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  open_function(self, "save_for_forward").to_save_for_forward =
      tensors_of("save_for_forward", args, nargs, kwnames, true);
  Py_RETURN_NONE;
}
PyObject* mark_dirty(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  open_function(self, "mark_dirty").dirty = tensors_of("mark_dirty", args, nargs, kwnames, false);
  Py_RETURN_NONE;
}
PyObject* mark_non_differentiable(PyObject* self, Arguments args, Py_ssize_t nargs,
                                  PyObject* kwnames) {
  open_function(self, "mark_non_differentiable").non_differentiable =
      tensors_of("mark_non_differentiable", args, nargs, kwnames, false);
  Py_RETURN_NONE;
}
PyObject* set_materialize_grads(PyObject* self, PyObject* value) {
  function_of(self).materialize = checked(PyObject_IsTrue(value)) != 0;
  Py_RETURN_NONE;
}

PyObject* saved_of(PyObject* self, void*) {
  const std::vector<Tensor> tensors = function_of(self).saved_tensors();
  return wrap_tuple(tensors.data(), tensors.size());
}

PyObject* needs_input_grad(PyObject* self, void*) {
  const std::vector<uint8_t>& arguments = function_of(self).arguments;
  Ref result = checked(PyTuple_New(static_cast<Py_ssize_t>(arguments.size())));
  for (size_t i = 0; i < arguments.size(); ++i)
    PyTuple_SET_ITEM(result.get(), static_cast<Py_ssize_t>(i), PyBool_FromLong(arguments[i] == 2));
  return result.release();
}

// --- the call
// --------------------------------------------------------------------------------------------------------

Ref method_of(PyTypeObject* type, PyObject* name) {
  return checked(PyObject_GetAttr(reinterpret_cast<PyObject*>(type), name));
}

/// Names of the methods, interned once.
struct Names {
  PyObject* forward = interned("forward");
  PyObject* setup_context = interned("setup_context");
  PyObject* backward = interned("backward");
  PyObject* jvp = interned("jvp");
  PyObject* vmap = interned("vmap");
};
const Names& names() {
  static const auto* all = new Names;
  return *all;
}

/// One for each tensor input, from what backward returned.
std::vector<Tensor> PyFunctionNode::take_gradients(PyObject* result) const {
  const bool many = PyTuple_Check(result);
  const Py_ssize_t given = many ? PyTuple_GET_SIZE(result) : 1;
  const auto item = [&](Py_ssize_t i) { return many ? PyTuple_GET_ITEM(result, i) : result; };
  const auto expected = static_cast<Py_ssize_t>(arguments.size());
  bool fits = given >= expected;
  for (Py_ssize_t i = expected; i < given; ++i) fits = fits && item(i) == Py_None;
  if (!fits) {
    raise(PyExc_RuntimeError,
          "function %sBackward returned an incorrect number of gradients (expected %zd, got %zd); "
          "backward returns one for each argument of forward, None where there is none",
          function_name(), expected, given);
  }
  std::vector<Tensor> gradients;
  for (Py_ssize_t i = 0; i < expected; ++i) {
    PyObject* each = item(i);
    const bool tensor = arguments[static_cast<size_t>(i)] != 0;
    if (each == Py_None) {
      if (tensor) gradients.emplace_back();
    } else if (!tensor) {
      raise(PyExc_RuntimeError,
            "function %sBackward returned a gradient different from None at position %zd, but the "
            "corresponding forward input was not a Variable (a tensor)",
            function_name(), i + 1);
    } else if (!is_tensor(each)) {
      raise(PyExc_TypeError,
            "function %sBackward: expected Variable or None (got %s) as the gradient at position "
            "%zd",
            function_name(), type_name(each).c_str(), i + 1);
    } else {
      gradients.push_back(unwrap(each));
    }
  }
  return gradients;
}

std::vector<Tensor> PyFunctionNode::backward(std::vector<Tensor> gradients) {
  const AcquireGil gil;
  const Ref function = method_of(type_, names().backward);
  std::vector<Ref> owned;
  owned.reserve(gradients.size() + 1);
  owned.push_back(Ref::steal(share_context(*this)));
  for (Tensor& gradient : gradients) owned.push_back(checked(wrap(std::move(gradient))));
  static_assert(sizeof(Ref) == sizeof(PyObject*));
  const Ref result = checked(PyObject_Vectorcall(
      function.get(), reinterpret_cast<PyObject* const*>(owned.data()), owned.size(), nullptr));
  return take_gradients(result.get());
}

class PyCall final : public autograd::FunctionCall {
 public:
  PyCall(PyTypeObject* type, Arguments args, Py_ssize_t nargs)
      : type_(type), args_(args), nargs_(nargs) {
    setup_ = method_of(type, names().setup_context);
    if (setup_.get() == base_setup_context) setup_ = Ref();
  }

  std::string name() const override { return type_->tp_name; }

  PyObject* run_call() {
    std::vector<Tensor> inputs;
    for (Py_ssize_t i = 0; i < nargs_; ++i) {
      if (is_tensor(args_[i])) inputs.push_back(unwrap(args_[i]));
    }
    const std::vector<Tensor> outputs = run(inputs);
    return rebuild(outputs).release();
  }

  autograd::NodeRef make_node(const std::vector<Tensor>& inputs) override {
    auto* node = new PyFunctionNode(type_);
    autograd::NodeRef ref = autograd::NodeRef::adopt(node);
    node->arguments.reserve(static_cast<size_t>(nargs_));
    size_t next = 0;
    for (Py_ssize_t i = 0; i < nargs_; ++i) {
      const bool tensor = is_tensor(args_[i]);
      node->arguments.push_back(!tensor ? 0 : inputs[next++].requires_grad() ? 2 : 1);
    }
    contexts_.push_back(Ref::steal(make_context(context_type, ref)));
    return ref;
  }

  std::vector<Tensor> forward(autograd::FunctionNode& node,
                              const std::vector<Tensor>& inputs) override {
    const Ref context = Ref::steal(share_context(static_cast<PyFunctionNode&>(node)));
    const Ref function = method_of(type_, names().forward);
    if (setup_) {
      const Ref arguments = pack(inputs);
      output_ = checked(PyObject_Call(function.get(), arguments.get(), nullptr));
      PyObject* list[] = {context.get(), arguments.get(), output_.get()};
      checked(PyObject_Vectorcall(setup_.get(), list, 3, nullptr));
    } else {
      std::vector<Ref> owned = replaced(inputs);
      owned.insert(owned.begin(), context);
      output_ = checked(PyObject_Vectorcall(
          function.get(), reinterpret_cast<PyObject* const*>(owned.data()), owned.size(), nullptr));
    }
    return outputs_of(output_.get());
  }

  void setup(autograd::FunctionNode& node, const std::vector<Tensor>& inputs,
             const std::vector<Tensor>& outputs) override {
    if (!setup_) {
      raise(PyExc_RuntimeError,
            "In order to use %s inside function transforms (vmap, grad, jvp, jacrev, ...), it must "
            "override the setup_context staticmethod and have a forward without ctx",
            type_->tp_name);
    }
    const Ref context = Ref::steal(share_context(static_cast<PyFunctionNode&>(node)));
    const Ref arguments = pack(inputs), output = rebuild(outputs);
    PyObject* list[] = {context.get(), arguments.get(), output.get()};
    checked(PyObject_Vectorcall(setup_.get(), list, 3, nullptr));
  }

  std::vector<Tensor> jvp(autograd::FunctionNode& node, std::vector<Tensor> tangents) override {
    const Ref function = method_of(type_, names().jvp);
    std::vector<Ref> owned = {Ref::steal(share_context(static_cast<PyFunctionNode&>(node)))};
    size_t next = 0;
    for (Py_ssize_t i = 0; i < nargs_; ++i) {
      owned.push_back(is_tensor(args_[i]) ? checked(wrap(std::move(tangents[next++])))
                                          : Ref::share(Py_None));
    }
    const Ref result = checked(PyObject_Vectorcall(
        function.get(), reinterpret_cast<PyObject* const*>(owned.data()), owned.size(), nullptr));
    return tangents_of(result.get());
  }

  std::vector<Tensor> batched(const std::vector<Tensor>& inputs, const std::vector<int>& in_dims,
                              int64_t size, std::vector<int>& out_dims) override {
    const Ref arguments = pack(inputs);
    const Ref dims = checked(PyTuple_New(nargs_));
    size_t next = 0;
    for (Py_ssize_t i = 0; i < nargs_; ++i) {
      const int dim = is_tensor(args_[i]) ? in_dims[next++] : -1;
      PyTuple_SET_ITEM(dims.get(), i, dim < 0 ? Py_NewRef(Py_None) : PyLong_FromLong(dim));
    }
    const Ref rule = imported_attribute("tapegrad.autograd.function", "_run_batched");
    static constexpr const char* kRandomness[] = {"error", "same", "different"};
    const Ref result = checked(PyObject_CallFunction(rule.get(), "OOOLs", type_, dims.get(),
                                                     arguments.get(), static_cast<long long>(size),
                                                     kRandomness[static_cast<int>(randomness)]));
    output_ = Ref::share(PyTuple_GET_ITEM(result.get(), 0));
    PyObject* placed = PyTuple_GET_ITEM(result.get(), 1);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(placed); ++i) {
      PyObject* dim = PyTuple_GET_ITEM(placed, i);
      out_dims.push_back(dim == Py_None ? -1 : static_cast<int>(as_int(dim)));
    }
    return outputs_of(output_.get());
  }

 private:
  /// The arguments, with `inputs` in the places of tensors.
  std::vector<Ref> replaced(const std::vector<Tensor>& inputs) const {
    std::vector<Ref> owned;
    owned.reserve(static_cast<size_t>(nargs_) + 1);
    size_t next = 0;
    for (Py_ssize_t i = 0; i < nargs_; ++i) {
      if (!is_tensor(args_[i])) {
        owned.push_back(Ref::share(args_[i]));
        continue;
      }
      const Tensor& input = inputs[next++];
      owned.push_back(input.is_same(unwrap(args_[i])) ? Ref::share(args_[i])
                                                      : checked(wrap(input)));
    }
    return owned;
  }
  Ref pack(const std::vector<Tensor>& inputs) const {
    std::vector<Ref> owned = replaced(inputs);
    Ref tuple = checked(PyTuple_New(nargs_));
    for (Py_ssize_t i = 0; i < nargs_; ++i)
      PyTuple_SET_ITEM(tuple.get(), i, owned[static_cast<size_t>(i)].release());
    return tuple;
  }

  static std::vector<Tensor> outputs_of(PyObject* output) {
    std::vector<Tensor> tensors;
    if (!PyTuple_Check(output)) {
      tensors.push_back(is_tensor(output) ? unwrap(output) : Tensor());
      return tensors;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(output); ++i) {
      PyObject* item = PyTuple_GET_ITEM(output, i);
      tensors.push_back(is_tensor(item) ? unwrap(item) : Tensor());
    }
    return tensors;
  }

  /// What forward returned, with `outputs` in the places of tensors.
  Ref rebuild(const std::vector<Tensor>& outputs) const {
    PyObject* output = output_.get();
    if (!PyTuple_Check(output)) {
      if (!outputs[0].defined() || (is_tensor(output) && outputs[0].is_same(unwrap(output))))
        return Ref::share(output);
      return checked(wrap(outputs[0]));
    }
    Ref tuple = checked(PyTuple_New(PyTuple_GET_SIZE(output)));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(output); ++i) {
      const Tensor& each = outputs[static_cast<size_t>(i)];
      PyTuple_SET_ITEM(
          tuple.get(), i,
          each.defined() ? checked(wrap(each)).release() : Py_NewRef(PyTuple_GET_ITEM(output, i)));
    }
    return tuple;
  }

  std::vector<Tensor> tangents_of(PyObject* result) const {
    std::vector<Tensor> tangents;
    const bool many = PyTuple_Check(result);
    for (Py_ssize_t i = 0; i < (many ? PyTuple_GET_SIZE(result) : 1); ++i) {
      PyObject* each = many ? PyTuple_GET_ITEM(result, i) : result;
      if (each != Py_None && !is_tensor(each)) {
        raise(PyExc_TypeError, "%s: jvp must return tensors or None, got %s as tangent %zd",
              type_->tp_name, type_name(each).c_str(), i);
      }
      tangents.push_back(each == Py_None ? Tensor() : unwrap(each));
    }
    return tangents;
  }

  PyTypeObject* type_;
  Arguments args_;
  Py_ssize_t nargs_;
  Ref setup_;   // null: forward takes ctx
  Ref output_;  // what forward returned
  std::vector<Ref> contexts_;
};

PyObject* apply(PyObject* type, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  auto* function = reinterpret_cast<PyTypeObject*>(type);
  const bool keywords = kwnames && PyTuple_GET_SIZE(kwnames) > 0;
  if (!keywords) {
    const Ref setup = method_of(function, names().setup_context);
    if (setup.get() == base_setup_context) return PyCall(function, args, nargs).run_call();
  }
  // Defaults and keywords of a forward without ctx: setup_context sees them all by position.
  const Ref bind = imported_attribute("tapegrad.autograd.function", "_bind_arguments");
  const Ref positional = checked(PyTuple_New(nargs)), named = checked(PyDict_New());
  for (Py_ssize_t i = 0; i < nargs; ++i) PyTuple_SET_ITEM(positional.get(), i, Py_NewRef(args[i]));
  for (Py_ssize_t k = 0; keywords && k < PyTuple_GET_SIZE(kwnames); ++k)
    checked(PyDict_SetItem(named.get(), PyTuple_GET_ITEM(kwnames, k), args[nargs + k]));
  const Ref all = checked(
      PyObject_CallFunctionObjArgs(bind.get(), type, positional.get(), named.get(), nullptr));
  return PyCall(function, &PyTuple_GET_ITEM(all.get(), 0), PyTuple_GET_SIZE(all.get())).run_call();
}

/// (inner tensor, batch dimension or -1, level) of a tensor of a transform.
PyObject* lifted_record(PyObject*, PyObject* tensor) {
  autograd::Lifted record = autograd::lifted(expect_tensor(tensor, "_lifted", "tensor"));
  return Py_BuildValue("(Nii)", wrap(std::move(record.inner)), record.dim, record.level);
}

template <int kMessage>
PyObject* missing(PyObject*, Arguments, Py_ssize_t, PyObject*) {
  static constexpr const char* kMessages[] = {
      "You must implement the forward function for custom autograd.Function.",
      "setup_context is not implemented.",
      "You must implement either the backward or vjp method for your custom autograd.Function to "
      "use it with backward mode AD.",
      "You must implement the jvp function for custom autograd.Function to use it with forward "
      "mode AD.",
      "You must implement the vmap function for custom autograd.Function to use it with vmap."};
  raise(PyExc_NotImplementedError, "%s", kMessages[kMessage]);
}

void add_context_type(PyObject* module) {
  static PyMemberDef members[] = {
      {"__dictoffset__", T_PYSSIZET, offsetof(PyContext, dict), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr}};
  static PyGetSetDef getset[] = {
      {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
      {"saved_tensors", guarded<&saved_of>, nullptr,
       "What save_for_backward kept, None included. Raises when a tensor was changed in place or "
       "the graph was freed.",
       nullptr},
      {"needs_input_grad", guarded<&needs_input_grad>, nullptr,
       "For each argument of forward: whether it is a tensor that requires grad.", nullptr},
      {nullptr, nullptr, nullptr, nullptr, nullptr}};
  static PyMethodDef methods[] = {
      method<&save_for_backward>("save_for_backward",
                                 "save_for_backward(*tensors): keep tensors, or None, for "
                                 "backward; see saved_tensors."),
      method<&save_for_forward>("save_for_forward",
                                "save_for_forward(*tensors): what saved_tensors gives in jvp."),
      method<&mark_dirty>("mark_dirty",
                          "mark_dirty(*inputs): name inputs that forward changed in place; each "
                          "must be returned."),
      method<&mark_non_differentiable>(
          "mark_non_differentiable",
          "mark_non_differentiable(*outputs): name outputs that no gradient flows through."),
      method<&set_materialize_grads>("set_materialize_grads",
                                     "set_materialize_grads(value): False gives backward None, "
                                     "not zeros, where no gradient flowed."),
      {nullptr, nullptr, 0, nullptr}};
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>("What a custom function's forward tells its backward: the "
                                    "first argument of both, and the node that grad_fn shows.")},
      {Py_tp_new, reinterpret_cast<void*>(guarded<&context_new>)},
      {Py_tp_dealloc, reinterpret_cast<void*>(context_dealloc)},
      {Py_tp_traverse, reinterpret_cast<void*>(context_traverse)},
      {Py_tp_clear, reinterpret_cast<void*>(context_clear)},
      {Py_tp_setattro, reinterpret_cast<void*>(context_setattro)},
      {Py_tp_repr, reinterpret_cast<void*>(guarded<&context_repr>)},
      {Py_tp_members, members},
      {Py_tp_getset, getset},
      {Py_tp_methods, methods},
      {0, nullptr}};
  PyType_Spec spec = {"tapegrad._C.FunctionCtx", sizeof(PyContext), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};
  const Ref bases = checked(PyTuple_Pack(1, node_type));
  context_type = reinterpret_cast<PyTypeObject*>(
      checked(PyType_FromSpecWithBases(&spec, bases.get())).release());
  add_object(module, "_FunctionCtx", Py_NewRef(reinterpret_cast<PyObject*>(context_type)));
}

}  // namespace

PyObject* wrap_context(const autograd::NodeRef& node) {
  auto* function = dynamic_cast<PyFunctionNode*>(node.get());
  return function && function->context ? share_context(*function) : nullptr;
}

int visit_context(const autograd::Node& node, visitproc visit, void* arg) {
  auto* function = dynamic_cast<const PyFunctionNode*>(&node);
  if (!function || !function->owns_context) return 0;
  return visit(reinterpret_cast<PyObject*>(function->context), arg);
}

void add_function(PyObject* module) {
  add_context_type(module);
  static PyMethodDef methods[] = {
      method<&apply>("apply",
                     "apply(*args): run forward on args, and record it when a gradient is needed.",
                     METH_CLASS),
      method<&missing<0>>("forward", nullptr, METH_STATIC),
      method<&missing<1>>("setup_context", nullptr, METH_STATIC),
      method<&missing<2>>("backward", nullptr, METH_STATIC),
      method<&missing<3>>("jvp", nullptr, METH_STATIC),
      method<&missing<4>>("vmap", nullptr, METH_STATIC),
      {nullptr, nullptr, 0, nullptr}};
  PyType_Slot slots[] = {{Py_tp_doc, const_cast<char*>("The base of autograd.Function.")},
                         {Py_tp_methods, methods},
                         {0, nullptr}};
  PyType_Spec spec = {"tapegrad._C.FunctionBase", sizeof(PyObject), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
  function_type = make_type(spec);
  auto* type = reinterpret_cast<PyObject*>(function_type);
  base_setup_context = checked(PyObject_GetAttr(type, names().setup_context)).release();
  add_object(module, "_FunctionBase", Py_NewRef(type));
  static PyMethodDef functions[] = {
      method<&lifted_record>("_lifted",
                             "The inner tensor of a lifted one, its batch dimension and level."),
      {nullptr, nullptr, 0, nullptr}};
  checked(PyModule_AddFunctions(module, functions));
}

}  // namespace tapegrad::python
