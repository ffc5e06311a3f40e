// Calls of modules: forward() without a frame of Python's in between, and the name of the module on
// errors that pass.
#include "python/module_call.h"

#include <algorithm>
#include <array>
#include <vector>

namespace tapegrad::python {

namespace {

/// Tells nn.modules._errors that the error which is set passes through `module`.
void name_module(PyObject* module) {
  if (!PyErr_ExceptionMatches(PyExc_Exception)) return;
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  try {
    const Ref note = imported_attribute("tapegrad.nn.modules._errors", "name_module");
    checked(PyObject_CallFunctionObjArgs(note.get(), module, value, nullptr));
  } catch (const std::exception&) {
    PyErr_Clear();  // the user's error is the one to see
  }
  PyErr_Restore(type, value, traceback);
}

PyObject* call_forward(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  static PyObject* const forward = interned("forward");
  const Py_ssize_t count = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
  std::array<PyObject*, 8> few;
  std::vector<PyObject*> many;
  PyObject** stack = few.data();
  if (count >= static_cast<Py_ssize_t>(few.size())) {
    many.resize(static_cast<size_t>(count) + 1);
    stack = many.data();
  }
  stack[0] = self;
  std::copy(args, args + count, stack + 1);
  PyObject* result =
      PyObject_VectorcallMethod(forward, stack, static_cast<size_t>(nargs) + 1, kwnames);
  if (!result) name_module(self);
  return result;
}

PyObject* make_call(PyObject*, PyObject* type) {
  static PyMethodDef definition =
      method<&call_forward>("__call__",
                            "__call__($self, /, *args, **kwargs)\n--\n\nRun forward(), and the "
                            "hooks that are registered.");
  if (!PyType_Check(type)) raise(PyExc_TypeError, "_module_call(): expected a class");
  return PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(type), &definition);
}

}  // namespace

void add_module_call(PyObject* module) {
  static PyMethodDef functions[] = {
      method<&make_call>("_module_call", "The method __call__ of a class of modules."),
      {nullptr, nullptr, 0, nullptr}};
  checked(PyModule_AddFunctions(module, functions));
}

}  // namespace tapegrad::python
