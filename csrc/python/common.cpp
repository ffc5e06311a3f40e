#include "python/common.h"

#include <pthread.h>

#include <atomic>
#include <cstdarg>
#include <cstring>
#include <mutex>
#include <new>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tapegrad/error.h"

namespace tapegrad::python {

thread_local bool thread_is_leaving = false;
thread_local PyThreadState* released_state = nullptr;

// --- references that die without the GIL
// -----------------------------------------------------------------------------

namespace {

struct Pending {
  std::mutex mutex;
  std::vector<PyObject*> objects;
  std::atomic<bool> any{false};
};
Pending& pending() {
  static auto* state = new Pending;  // outlives the interpreter
  return *state;
}

// A fork must not leave the child a lock that a thread of the parent holds, or half a list.
[[maybe_unused]] const int registered =
    pthread_atfork([] { pending().mutex.lock(); }, [] { pending().mutex.unlock(); },
                   [] { pending().mutex.unlock(); });

bool interpreter_is_gone() {
#if PY_VERSION_HEX >= 0x030D0000
  return !Py_IsInitialized() || Py_IsFinalizing();
#else
  return !Py_IsInitialized() || _Py_IsFinalizing();
#endif
}

int run_pending(void*) {
  drop_pending();
  return 0;
}

}  // namespace

void drop_anywhere(PyObject* object) noexcept {
  if (!object || !Py_IsInitialized())
    return;  // after the interpreter's end there is nobody to give it back to
  if (PyGILState_Check()) {
    Py_DECREF(object);
    return;
  }
  if (interpreter_is_gone()) return;
  {
    const std::lock_guard lock(pending().mutex);
    pending().objects.push_back(object);
    pending().any.store(true, std::memory_order_release);
  }
  Py_AddPendingCall(run_pending,
                    nullptr);  // a full queue is no loss: the next release or call drops all
}

void drop_pending() noexcept {
  if (!pending().any.load(std::memory_order_acquire)) return;
  std::vector<PyObject*> objects;
  {
    const std::lock_guard lock(pending().mutex);
    objects.swap(pending().objects);
    pending().any.store(false, std::memory_order_relaxed);
  }
  // The drop may run Python code, which must not see an exception that is on its way.
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  for (PyObject* object : objects) Py_DECREF(object);
  PyErr_Restore(type, value, traceback);
}

// --- exceptions
// ------------------------------------------------------------------------------------------------------

struct PythonError::Fetched {
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  ~Fetched() {
    drop_anywhere(type);
    drop_anywhere(value);
    drop_anywhere(traceback);
  }
};

PythonError::PythonError() : fetched_(std::make_shared<Fetched>()) {
  PyErr_Fetch(&fetched_->type, &fetched_->value, &fetched_->traceback);
}

void PythonError::restore() const {
  PyErr_Restore(Py_XNewRef(fetched_->type), Py_XNewRef(fetched_->value),
                Py_XNewRef(fetched_->traceback));
}

void raise(PyObject* type, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  PyErr_FormatV(type, format, arguments);
  va_end(arguments);
  throw PythonError();
}

void raise_current() {
  if (!PyErr_Occurred())
    PyErr_SetString(PyExc_SystemError, "tapegrad: an error without an exception");
  throw PythonError();
}

namespace {

struct ExceptionTypes {
  PyObject *error, *shape, *dtype, *grad, *linalg, *range, *argument, *file, *unsupported;
};
ExceptionTypes types;

PyObject* new_exception(PyObject* module, const char* name, const char* doc, PyObject* first,
                        PyObject* second) {
  const std::string full = std::string("tapegrad.") + name;
  Ref bases = checked(second ? PyTuple_Pack(2, first, second) : PyTuple_Pack(1, first));
  PyObject* type =
      checked(PyErr_NewExceptionWithDoc(full.c_str(), doc, bases.get(), nullptr)).release();
  add_object(module, name, Py_NewRef(type));
  return type;
}

}  // namespace

void add_exceptions(PyObject* module) {
  types.error = new_exception(module, "Error", "Base of the errors that tapegrad raises.",
                              PyExc_RuntimeError, nullptr);
  types.shape = new_exception(module, "ShapeError", "Shapes that do not fit; also a ValueError.",
                              types.error, PyExc_ValueError);
  types.dtype = new_exception(module, "DTypeError",
                              "A dtype that the operation does not take; also a TypeError.",
                              types.error, PyExc_TypeError);
  types.grad = new_exception(module, "GradError", "Misuse of automatic differentiation.",
                             types.error, nullptr);
  types.linalg = new_exception(module, "LinAlgError",
                               "A matrix that a decomposition or solver cannot handle: singular, "
                               "not positive definite, or not finite.",
                               types.error, nullptr);
  types.range = new_exception(module, "RangeError",
                              "A dimension, index or class target out of range; an IndexError.",
                              types.error, PyExc_IndexError);
  types.argument =
      new_exception(module, "ArgumentError",
                    "An argument of the right type with an impossible value; a ValueError.",
                    types.error, PyExc_ValueError);
  types.file =
      new_exception(module, "FileError", "A file that cannot be read or written; an OSError.",
                    types.error, PyExc_OSError);
  types.unsupported =
      new_exception(module, "UnsupportedError",
                    "Something that exists in PyTorch and not here; a NotImplementedError.",
                    types.error, PyExc_NotImplementedError);
}

void set_error_from_exception() noexcept {
  try {
    throw;
  } catch (const PythonError& error) {
    error.restore();
  } catch (const ShapeError& error) {
    PyErr_SetString(types.shape, error.what());
  } catch (const DTypeError& error) {
    PyErr_SetString(types.dtype, error.what());
  } catch (const GradError& error) {
    PyErr_SetString(types.grad, error.what());
  } catch (const LinAlgError& error) {
    PyErr_SetString(types.linalg, error.what());
  } catch (const IndexError& error) {
    PyErr_SetString(types.range, error.what());
  } catch (const ValueError& error) {
    PyErr_SetString(types.argument, error.what());
  } catch (const TypeError& error) {
    PyErr_SetString(PyExc_TypeError, error.what());
  } catch (const FileError& error) {
    PyErr_SetString(types.file, error.what());
  } catch (const UnsupportedError& error) {
    PyErr_SetString(types.unsupported, error.what());
  } catch (const Error& error) {
    PyErr_SetString(types.error, error.what());
  } catch (const std::bad_alloc& error) {
    PyErr_SetString(PyExc_MemoryError, error.what());
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::out_of_range& error) {
    PyErr_SetString(PyExc_IndexError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
}

void warn_in_python(const std::string& message) {
  const AcquireGil gil;
  checked(PyErr_WarnEx(PyExc_UserWarning, message.c_str(), 1));
}

// --- arguments of functions written by hand
// --------------------------------------------------------------------------

void bind(const char* function, const char* const* names, int count, int required, int positional,
          Arguments args, Py_ssize_t nargs, PyObject* kwnames, PyObject** values) {
  if (nargs > positional) {
    raise(PyExc_TypeError, "%s() takes %d positional argument%s but %zd were given", function,
          positional, positional == 1 ? "" : "s", nargs);
  }
  for (Py_ssize_t i = 0; i < nargs; ++i) values[i] = args[i];
  const Py_ssize_t keywords = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
  for (Py_ssize_t k = 0; k < keywords; ++k) {
    PyObject* name = PyTuple_GET_ITEM(kwnames, k);
    int found = 0;
    while (found < count && PyUnicode_CompareWithASCIIString(name, names[found]) != 0) ++found;
    if (found == count)
      raise(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function, name);
    if (values[found])
      raise(PyExc_TypeError, "%s() got multiple values for argument '%U'", function, name);
    values[found] = args[nargs + k];
  }
  for (int i = 0; i < required; ++i) {
    if (!values[i])
      raise(PyExc_TypeError, "%s() missing required argument '%s' (position %d)", function,
            names[i], i + 1);
  }
}

// --- small conveniences
// ----------------------------------------------------------------------------------------------

PyObject* interned(const char* name) { return checked(PyUnicode_InternFromString(name)).release(); }

PyObject* imported(const char* module) {
  static auto* modules = new std::unordered_map<std::string, PyObject*>;
  PyObject*& found = (*modules)[module];
  if (!found) {
    PyObject* fresh = PyImport_ImportModule(module);
    if (!fresh) {
      modules->erase(module);
      raise_current();
    }
    (*modules)[module] = fresh;
    return fresh;
  }
  return found;
}

Ref imported_attribute(const char* module, const char* name) {
  return checked(PyObject_GetAttrString(imported(module), name));
}

std::string type_name(PyObject* object) {
  const std::string_view name = Py_TYPE(object)->tp_name;
  return std::string(name.starts_with("tapegrad.") ? name.substr(9) : name);
}

std::string to_string(PyObject* unicode) {
  Py_ssize_t size = 0;
  const char* data = PyUnicode_AsUTF8AndSize(unicode, &size);
  if (!data) raise_current();
  return {data, static_cast<size_t>(size)};
}

void add_object(PyObject* module, const char* name, PyObject* owned) {
  Ref holder = Ref::steal(owned);
  if (!owned) raise_current();
  checked(PyModule_AddObjectRef(module, name, owned));
}

PyObject* add_submodule(PyObject* module, const char* name) {
  const std::string full = std::string("tapegrad._C.") + name;
  PyObject* sub = checked(PyModule_New(full.c_str())).release();
  add_object(module, name, Py_NewRef(sub));
  checked(PyDict_SetItemString(PyImport_GetModuleDict(), full.c_str(), sub));
  return sub;
}

PyTypeObject* make_type(PyType_Spec& spec) {
  return reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)).release());
}

}  // namespace tapegrad::python
