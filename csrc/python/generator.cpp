// Generator, and the functions on the default one.
#include <cstring>
#include <memory>

#include "python/convert.h"
#include "tapegrad/error.h"

namespace tapegrad::python {

PyTypeObject* generator_type = nullptr;

namespace {

struct PyGenerator {
  PyObject_HEAD Generator* generator;
  bool owned;
};

PyObject* the_default = nullptr;

PyObject* generator_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  PyObject* device = nullptr;
  static const char* names[] = {"device", nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Generator", const_cast<char**>(names),
                                   &device))
    return nullptr;
  expect_cpu(device, "Generator");
  Ref self = checked(type->tp_alloc(type, 0));
  reinterpret_cast<PyGenerator*>(self.get())->generator = new Generator;
  reinterpret_cast<PyGenerator*>(self.get())->owned = true;
  return self.release();
}

void generator_dealloc(PyObject* self) {
  auto* object = reinterpret_cast<PyGenerator*>(self);
  if (object->owned) delete object->generator;
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

uint64_t as_seed(PyObject* object, const char* function) {
  if (!is_integer_like(object)) {
    raise(PyExc_TypeError, "%s(): argument 'seed' must be int, not %s", function,
          type_name(object).c_str());
  }
  const Ref index = checked(PyNumber_Index(object));
  int overflow = 0;
  const long long small = PyLong_AsLongLongAndOverflow(index.get(), &overflow);
  if (small == -1 && PyErr_Occurred()) raise_current();
  if (!overflow) return static_cast<uint64_t>(small);  // negative seeds wrap around, as in PyTorch
  const unsigned long long large = PyLong_AsUnsignedLongLong(index.get());
  if (PyErr_Occurred()) {
    PyErr_Clear();
    raise(PyExc_RuntimeError,
          "%s(): the seed %R is not in [-0x8000_0000_0000_0000, 0xffff_ffff_ffff_ffff]", function,
          object);
  }
  return large;
}

PyObject* seed_with(PyObject* self, PyObject* seed) {
  generator_of(self)->manual_seed(as_seed(seed, "manual_seed"));
  return Py_NewRef(self);
}
PyObject* seed_fresh(PyObject* self) {
  return PyLong_FromUnsignedLongLong(generator_of(self)->seed());
}
PyObject* initial_seed(PyObject* self) {
  return PyLong_FromUnsignedLongLong(generator_of(self)->initial_seed());
}

PyObject* get_state(PyObject* self) {
  const uint64_t state[2] = {generator_of(self)->initial_seed(), generator_of(self)->offset()};
  Tensor result = core::make_tensor({16}, DType::UInt8);
  std::memcpy(result.data(), state, sizeof state);
  return wrap(std::move(result));
}

PyObject* set_state(PyObject* self, PyObject* object) {
  const Tensor& state = expect_tensor(object, "set_state", "new_state");
  if (state.dtype() != DType::UInt8 || state.numel() != 16 || !state.is_contiguous()) {
    throw ValueError(
        "set_state: expected what get_state() gave, a uint8 tensor of 16 elements; got " +
        core::describe(state));
  }
  uint64_t values[2];
  std::memcpy(values, state.data(), sizeof values);
  generator_of(self)->set_state(values[0], values[1]);
  return Py_NewRef(self);
}

PyObject* clone_state(PyObject* self) {
  Ref other = checked(PyObject_CallNoArgs(reinterpret_cast<PyObject*>(generator_type)));
  generator_of(other.get())
      ->set_state(generator_of(self)->initial_seed(), generator_of(self)->offset());
  return other.release();
}

PyObject* rebuild_generator(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<2> bound("_rebuild_generator", {"seed", "offset"}, 2, args, nargs, kwnames);
  Ref other = checked(PyObject_CallNoArgs(reinterpret_cast<PyObject*>(generator_type)));
  generator_of(other.get())
      ->set_state(as_seed(bound[0], "_rebuild_generator"), as_seed(bound[1], "_rebuild_generator"));
  return other.release();
}

PyObject* generator_reduce(PyObject* self) {
  const Ref rebuild = imported_attribute("tapegrad._C", "_rebuild_generator");
  return Py_BuildValue("(O(KK))", rebuild.get(),
                       static_cast<unsigned long long>(generator_of(self)->initial_seed()),
                       static_cast<unsigned long long>(generator_of(self)->offset()));
}

PyObject* generator_device(PyObject*, void*) { return Py_NewRef(cpu_device()); }

PyObject* default_manual_seed(PyObject*, PyObject* seed) { return seed_with(the_default, seed); }
PyObject* default_seed(PyObject*) { return seed_fresh(the_default); }
PyObject* default_initial_seed(PyObject*) { return initial_seed(the_default); }
PyObject* default_get_state(PyObject*) { return get_state(the_default); }
PyObject* default_set_state(PyObject*, PyObject* state) {
  Py_DECREF(set_state(the_default, state));
  Py_RETURN_NONE;
}

}  // namespace

Generator* generator_of(PyObject* object) {
  return reinterpret_cast<PyGenerator*>(object)->generator;
}

void add_generator(PyObject* module) {
  static PyGetSetDef getset[] = {
      {"device", generator_device, nullptr, "Always device('cpu').", nullptr},
      {nullptr, nullptr, nullptr, nullptr, nullptr}};
  static PyMethodDef methods[] = {
      method<&seed_with>(
          "manual_seed",
          "manual_seed(seed): start the stream of that seed; returns the generator."),
      method<&seed_fresh>("seed", "Take a seed from the operating system; returns it."),
      method<&initial_seed>("initial_seed", "The seed of the stream."),
      method<&get_state>("get_state", "Seed and position in the stream, as a uint8 tensor."),
      method<&set_state>("set_state", "set_state(new_state): go on from what get_state() gave."),
      method<&clone_state>("clone_state", "A new generator at the same place of the same stream."),
      method<&generator_reduce>("__reduce__", nullptr),
      {nullptr, nullptr, 0, nullptr}};
  PyType_Slot slots[] = {
      {Py_tp_doc,
       const_cast<char*>("A stream of random numbers: the same seed gives the same numbers, "
                         "whatever the threads do.\n\n"
                         ">>> import tapegrad as tg\n>>> g = tg.Generator().manual_seed(1)\n"
                         ">>> g.initial_seed()\n1")},
      {Py_tp_new, reinterpret_cast<void*>(guarded<&generator_new>)},
      {Py_tp_dealloc, reinterpret_cast<void*>(generator_dealloc)},
      {Py_tp_getset, getset},
      {Py_tp_methods, methods},
      {0, nullptr}};
  PyType_Spec spec = {"tapegrad.Generator", sizeof(PyGenerator), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
  generator_type = make_type(spec);
  add_object(module, "Generator", Py_NewRef(reinterpret_cast<PyObject*>(generator_type)));
  the_default = checked(generator_type->tp_alloc(generator_type, 0)).release();
  reinterpret_cast<PyGenerator*>(the_default)->generator = &default_generator();
  reinterpret_cast<PyGenerator*>(the_default)->owned = false;
  add_object(module, "default_generator", Py_NewRef(the_default));
  static PyMethodDef functions[] = {
      method<&default_manual_seed>("manual_seed",
                                   "manual_seed(seed): seed the default generator; returns it."),
      method<&default_seed>(
          "seed", "Seed the default generator from the operating system; returns the seed."),
      method<&default_initial_seed>("initial_seed", "The default generator's seed."),
      method<&default_get_state>("get_rng_state", "The default generator's state, a uint8 tensor."),
      method<&default_set_state>("set_rng_state",
                                 "set_rng_state(new_state): set the default generator's state."),
      method<&rebuild_generator>("_rebuild_generator", "What unpickling a generator calls."),
      {nullptr, nullptr, 0, nullptr}};
  checked(PyModule_AddFunctions(module, functions));
}

}  // namespace tapegrad::python
