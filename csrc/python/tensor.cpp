// The heap type Tensor: creation, death, ownership, garbage collection. See tensor.h.
#include "python/tensor.h"

#include <structmember.h>

#include <cstddef>
#include <vector>

#include "tapegrad/ops.h"

namespace tapegrad::python {

/// Note [Python ownership]
/// A TensorImpl and its Python object refer to each other, and one of the two references is strong:
///   object owns impl   (usual)  object->tensor holds a reference, impl->python is borrowed.
///   impl owns object   (flipped) kOwnsPython is set, impl->python holds a reference,
///   object->tensor is borrowed.
/// When the last Python reference goes while C++ still holds the tensor (a gradient, a saved
/// tensor), an object that has something to lose (attributes, weak references, a class of its own)
/// is kept alive by flipping; wrapping the tensor again flips back, so that identity and attributes
/// survive. When an impl dies as owner, the core hands it with its last reference to
/// release_object, which makes the object the owner again and drops the object's own reference: the
/// ordinary way to die, and a weak reference that became strong in the meantime keeps a valid
/// tensor.

PyTypeObject* tensor_type = nullptr;

namespace {

/// Objects of exactly the base class, kept for reuse: with one allocation instead of two an
/// operation is 20 ns shorter.
constexpr int kFreeListSize = 128;
PyTensor* free_list[kFreeListSize];
int free_count = 0;

void release_object(void* object) noexcept {
  auto* self = static_cast<PyTensor*>(object);
  TensorImpl* impl = self->tensor.impl();
  impl->set(TensorImpl::kOwnsPython, false);
  impl->references.store(1, std::memory_order_release);
  impl->python.store(self, std::memory_order_release);
  drop_anywhere(reinterpret_cast<PyObject*>(self));
}

PyTensor* allocate_exact() {
  if (free_count > 0) {
    PyTensor* self = free_list[--free_count];
    PyObject_Init(reinterpret_cast<PyObject*>(self), tensor_type);
    return self;
  }
  auto* self = PyObject_GC_New(PyTensor, tensor_type);
  if (!self) raise_current();
  return self;
}

PyObject* init_object(PyTensor* self, Tensor&& tensor) {
  new (&self->tensor) Tensor(std::move(tensor));
  self->dict = nullptr;
  self->weakrefs = nullptr;
  self->tensor->python.store(self, std::memory_order_release);
  return reinterpret_cast<PyObject*>(self);
}

void tensor_dealloc(PyObject* object) {
  auto* self = reinterpret_cast<PyTensor*>(object);
  TensorImpl* impl = self->tensor.impl();
  PyTypeObject* type = Py_TYPE(object);
  const bool exact = type == tensor_type;
  if (impl && impl->reference_count() > 1 && (self->dict || self->weakrefs || !exact) &&
      impl->python.load(std::memory_order_acquire) == self) {
    Py_SET_REFCNT(object, 1);
    if (!PyObject_GC_IsTracked(object)) PyObject_GC_Track(object);
    impl->set(TensorImpl::kOwnsPython, true);
    core::release(impl);  // may be the last one by now: then it comes back through release_object
    return;
  }
  if (PyObject_GC_IsTracked(object)) PyObject_GC_UnTrack(object);
  if (self->weakrefs) PyObject_ClearWeakRefs(object);
  Py_CLEAR(self->dict);
  if (impl && impl->python.load(std::memory_order_acquire) == self) {
    impl->python.store(nullptr, std::memory_order_release);
  }
  self->tensor.~Tensor();
  if (exact && free_count < kFreeListSize) {
    free_list[free_count++] = self;
  } else {
    type->tp_free(object);
  }
  Py_DECREF(type);
}

bool sole_owner(const PyTensor* self) {
  const TensorImpl* impl = self->tensor.impl();
  return impl && !impl->has(TensorImpl::kOwnsPython) && impl->reference_count() == 1;
}

int tensor_traverse(PyObject* object, visitproc visit, void* arg) {
  auto* self = reinterpret_cast<PyTensor*>(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->dict);
  if (sole_owner(self)) {
    if (const int status = visit_hooks(self->tensor, visit, arg)) return status;
  }
  return 0;
}

int tensor_clear(PyObject* object) {
  auto* self = reinterpret_cast<PyTensor*>(object);
  Py_CLEAR(self->dict);
  if (sole_owner(self)) clear_hooks(self->tensor);
  return 0;
}

int tensor_setattro(PyObject* self, PyObject* name, PyObject* value) {
  const int status = PyObject_GenericSetAttr(self, name, value);
  if (reinterpret_cast<PyTensor*>(self)->dict) track(self);
  return status;
}

PyObject* tensor_get_dict(PyObject* self, void* context) {
  PyObject* dict = PyObject_GenericGetDict(self, context);
  if (dict) track(self);
  return dict;
}

int tensor_set_dict(PyObject* self, PyObject* value, void* context) {
  const int status = PyObject_GenericSetDict(self, value, context);
  if (status == 0) track(self);
  return status;
}

Py_hash_t tensor_hash(PyObject* self) { return _Py_HashPointer(self); }

PyMemberDef members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(PyTensor, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(PyTensor, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

constexpr const char* kTensorDoc =
    "A strided array of one dtype, which the tape follows when it requires a gradient.\n\n"
    "Made by tensor(), zeros(), randn(), from_numpy(), ... and by operations; Tensor(data) and "
    "Tensor(*sizes) are\n"
    "PyTorch's old constructors of the default dtype.\n\n"
    ">>> import tapegrad as tg\n"
    ">>> x = tg.tensor([1.0, 2.0], requires_grad=True)\n"
    ">>> (x * x).sum().backward()\n"
    ">>> x.grad\n"
    "tensor([2., 4.])";

}  // namespace

PyObject* wrap(Tensor tensor) {
  TensorImpl* impl = tensor.impl();
  if (!impl) Py_RETURN_NONE;
  if (void* existing = impl->python.load(std::memory_order_acquire)) {
    auto* self = static_cast<PyTensor*>(existing);
    auto* object = reinterpret_cast<PyObject*>(self);
    if (impl->has(TensorImpl::kOwnsPython)) {
      impl->set(TensorImpl::kOwnsPython, false);
      tensor.leak();  // becomes the object's reference; the impl's reference to the object becomes
                      // the caller's
      return object;
    }
    // An object that waits for its death on the interpreter's list of deferred ones cannot be given
    // out.
    if (Py_REFCNT(object) > 0) return Py_NewRef(object);
  }
  return init_object(allocate_exact(), std::move(tensor));
}

PyObject* wrap_as(PyTypeObject* type, Tensor tensor) {
  if (type == tensor_type) return wrap(std::move(tensor));
  auto* self = reinterpret_cast<PyTensor*>(type->tp_alloc(type, 0));
  if (!self) raise_current();
  return init_object(self, std::move(tensor));
}

PyObject* wrap_tuple(const Tensor* tensors, size_t count) {
  Ref tuple = checked(PyTuple_New(static_cast<Py_ssize_t>(count)));
  for (size_t i = 0; i < count; ++i)
    PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i), wrap(tensors[i]));
  return tuple.release();
}

const Tensor& expect_tensor(PyObject* object, const char* function, const char* argument) {
  if (!is_tensor(object)) {
    raise(PyExc_TypeError, "%s(): argument '%s' must be Tensor, not %s", function, argument,
          type_name(object).c_str());
  }
  return unwrap(object);
}

void track(PyObject* object) {
  if (!PyObject_GC_IsTracked(object)) PyObject_GC_Track(object);
}

void add_tensor_type(PyObject* module) {
  static std::vector<PyMethodDef> methods;
  for (auto part :
       {core_methods, conversion_methods, autograd_methods, interop_methods, pickle_methods}) {
    const std::vector<PyMethodDef> list = part();
    methods.insert(methods.end(), list.begin(), list.end());
  }
  methods.push_back({nullptr, nullptr, 0, nullptr});

  static std::vector<PyGetSetDef> getset;
  getset.push_back({"__dict__", tensor_get_dict, tensor_set_dict, nullptr, nullptr});
  for (const PyGetSetDef* entry = tensor_getset(); entry->name; ++entry) getset.push_back(*entry);
  getset.push_back({nullptr, nullptr, nullptr, nullptr, nullptr});

  std::vector<PyType_Slot> slots = {
      {Py_tp_doc, const_cast<char*>(kTensorDoc)},
      {Py_tp_new, reinterpret_cast<void*>(guarded<tensor_new>)},
      {Py_tp_dealloc, reinterpret_cast<void*>(tensor_dealloc)},
      {Py_tp_traverse, reinterpret_cast<void*>(tensor_traverse)},
      {Py_tp_clear, reinterpret_cast<void*>(tensor_clear)},
      {Py_tp_setattro, reinterpret_cast<void*>(tensor_setattro)},
      {Py_tp_hash, reinterpret_cast<void*>(tensor_hash)},
      {Py_tp_repr, reinterpret_cast<void*>(guarded<tensor_repr>)},
      {Py_tp_richcompare, reinterpret_cast<void*>(guarded<rich_compare>)},
      {Py_tp_members, members},
      {Py_tp_getset, getset.data()},
      {Py_tp_methods, methods.data()},
      {Py_mp_subscript, reinterpret_cast<void*>(guarded<get_item>)},
      {Py_mp_ass_subscript, reinterpret_cast<void*>(guarded<set_item>)},
      {Py_bf_getbuffer, reinterpret_cast<void*>(guarded<get_buffer>)},
      {Py_bf_releasebuffer, reinterpret_cast<void*>(release_buffer)},
  };
  number_slots(slots);
  slots.push_back({0, nullptr});
  PyType_Spec spec = {"tapegrad.Tensor", sizeof(PyTensor), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots.data()};
  tensor_type = make_type(spec);
  add_object(module, "Tensor", Py_NewRef(reinterpret_cast<PyObject*>(tensor_type)));
  python_hooks().release_object = release_object;
}

}  // namespace tapegrad::python
