// What every file of the bindings needs: owning references, errors in both directions, the GIL, and
// the frame that turns C++ exceptions into Python's. Knows no tensor.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <exception>
#include <memory>
#include <string>
#include <utility>

namespace tapegrad::python {

/// Note [Threads that end in the middle]
/// While the interpreter shuts down, a thread that asks for the GIL never gets it: Python ends the
/// thread by unwinding its stack. Destructors on the way must neither ask again (an exception out
/// of a destructor is the end of the process) nor touch Python objects. So whoever asks for the GIL
/// says so before, and the destructors look.
extern thread_local bool thread_is_leaving [[gnu::tls_model("initial-exec")]];

/// An owning reference to a Python object. Used with the GIL held.
class Ref {
 public:
  Ref() = default;
  static Ref steal(PyObject* object) {
    Ref ref;
    ref.object_ = object;
    return ref;
  }
  static Ref share(PyObject* object) {
    Py_XINCREF(object);
    return steal(object);
  }
  Ref(const Ref& other) : object_(other.object_) { Py_XINCREF(object_); }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ && !thread_is_leaving) Py_DECREF(object_);
  }
  PyObject* get() const { return object_; }
  PyObject* release() { return std::exchange(object_, nullptr); }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  PyObject* object_ = nullptr;
};

/// Drops a reference from any thread: at once with the GIL, else when a thread that has it comes
/// by. Never waits for the GIL, because a thread that is told to exit while it waits cannot leave a
/// destructor.
void drop_anywhere(PyObject* object) noexcept;
/// Drops what drop_anywhere put aside. Needs the GIL.
void drop_pending() noexcept;

/// A reference that may die on any thread.
class SharedObject {
 public:
  /// Needs the GIL; takes a new reference.
  explicit SharedObject(PyObject* object)
      : object_(Py_NewRef(object), [](PyObject* dying) { drop_anywhere(dying); }) {}
  PyObject* get() const { return object_.get(); }

 private:
  std::shared_ptr<PyObject> object_;
};

/// A Python exception on its way through C++; restore() puts it back, traceback included.
class PythonError : public std::exception {
 public:
  /// Fetches the exception that is set.
  PythonError();
  void restore() const;
  const char* what() const noexcept override { return "a Python exception"; }

 private:
  struct Fetched;
  std::shared_ptr<Fetched> fetched_;
};

/// Raises as PyErr_Format would.
[[noreturn]] void raise(PyObject* type, const char* format, ...);
/// For a call into Python that failed and has set an exception.
[[noreturn]] void raise_current();

/// The result of a call into Python, or its exception as a C++ one.
inline Ref checked(PyObject* result) {
  if (!result) raise_current();
  return Ref::steal(result);
}
inline int checked(int status) {
  if (status < 0) raise_current();
  return status;
}

/// The exception in flight becomes the Python error. For catch blocks.
void set_error_from_exception() noexcept;
void add_exceptions(PyObject* module);
/// A warning of the library as Python's UserWarning; may throw, where warnings are errors.
void warn_in_python(const std::string& message);

/// The Python state of a thread that has let go of the GIL here, for AcquireGil to come back with:
/// PyGILState_Ensure() is slower, and not safe while the interpreter shuts down.
extern thread_local PyThreadState* released_state [[gnu::tls_model("initial-exec")]];

inline void take_gil(PyThreadState* state) {
  thread_is_leaving = true;
  PyEval_RestoreThread(state);
  thread_is_leaving = false;
}

class ReleaseGil {
 public:
  explicit ReleaseGil(bool active = true) : active_(active) {
    if (active) released_state = PyEval_SaveThread();
  }
  ~ReleaseGil() noexcept(false) {
    if (!active_ || thread_is_leaving) return;
    take_gil(std::exchange(released_state, nullptr));
    drop_pending();
  }
  ReleaseGil(const ReleaseGil&) = delete;
  ReleaseGil& operator=(const ReleaseGil&) = delete;

 private:
  bool active_;
};

class AcquireGil {
 public:
  AcquireGil() : ours_(released_state != nullptr) {
    if (ours_) {
      take_gil(std::exchange(released_state, nullptr));
    } else {
      state_ = PyGILState_Ensure();
    }
  }
  ~AcquireGil() {
    if (thread_is_leaving) return;
    if (ours_) {
      released_state = PyEval_SaveThread();
    } else {
      PyGILState_Release(state_);
    }
  }
  AcquireGil(const AcquireGil&) = delete;
  AcquireGil& operator=(const AcquireGil&) = delete;

 private:
  bool ours_;
  PyGILState_STATE state_ = PyGILState_UNLOCKED;
};

/// Below this many elements an operation is over before another thread could use the GIL.
inline constexpr int64_t kReleaseGilElements = 32768;

namespace detail {

template <class R>
R failure() {
  if constexpr (std::is_pointer_v<R>) {
    return nullptr;
  } else {
    return static_cast<R>(-1);
  }
}

template <auto F, class Function = decltype(F)>
struct Guard;
template <auto F, class R, class... A>
struct Guard<F, R (*)(A...)> {
  static R call(A... arguments) {
    try {
      return F(arguments...);
    } catch (const std::exception&) {
      set_error_from_exception();
      return failure<R>();
    }
  }
};

}  // namespace detail

/// The C function that runs F and turns its exceptions into Python's. Exceptions that are not
/// std::exception are the runtime's way of ending a thread, and pass.
template <auto F>
inline constexpr auto guarded = &detail::Guard<F>::call;

using Arguments = PyObject* const*;
using FastFunction = PyObject* (*)(PyObject*, Arguments, Py_ssize_t, PyObject*);

template <auto F>
PyMethodDef method(const char* name, const char* doc, int extra = 0) {
  using Function = decltype(F);
  if constexpr (std::is_same_v<Function, FastFunction>) {
    return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(guarded<F>)),
            METH_FASTCALL | METH_KEYWORDS | extra, doc};
  } else if constexpr (std::is_same_v<Function, PyObject* (*)(PyObject*)>) {
    return {name, [](PyObject* self, PyObject*) { return guarded<F>(self); }, METH_NOARGS | extra,
            doc};
  } else {
    static_assert(std::is_same_v<Function, PyObject* (*)(PyObject*, PyObject*)>);
    return {name, guarded<F>, METH_O | extra, doc};
  }
}

/// Binds FASTCALL arguments to `count` names: values[i] is borrowed, null when not given. The first
/// `positional` may be given by position, the first `required` must be given. Raises TypeError
/// naming `function`.
void bind(const char* function, const char* const* names, int count, int required, int positional,
          Arguments args, Py_ssize_t nargs, PyObject* kwnames, PyObject** values);

template <int N>
struct Bound {
  PyObject* values[N] = {};
  Bound(const char* function, const char* const (&names)[N], int required, Arguments args,
        Py_ssize_t nargs, PyObject* kwnames, int positional = N) {
    bind(function, names, N, required, positional, args, nargs, kwnames, values);
  }
  PyObject* operator[](int i) const { return values[i]; }
  /// Given, and not None.
  bool has(int i) const { return values[i] && values[i] != Py_None; }
};

/// `name` as an interned string, kept for the life of the process.
PyObject* interned(const char* name);
/// Imports a module once and keeps it.
PyObject* imported(const char* module);
/// Attribute of a module that is imported at first use.
Ref imported_attribute(const char* module, const char* name);
std::string type_name(PyObject* object);
std::string to_string(PyObject* unicode);
void add_object(PyObject* module, const char* name, PyObject* owned);
/// A new submodule of `module` that import finds too; borrowed.
PyObject* add_submodule(PyObject* module, const char* name);
PyTypeObject* make_type(PyType_Spec& spec);

}  // namespace tapegrad::python
