// The extension module tapegrad._C: puts the parts together, and the functions that belong to none.
#include <cstring>
#include <string>

#include "core/allocator.h"
#include "core/warning.h"
#include "kernels/build_info.h"
#include "python/autograd.h"
#include "python/construct.h"
#include "python/convert.h"
#include "python/functions.h"
#include "python/interop.h"
#include "python/io.h"
#include "python/module_call.h"
#include "python/objects.h"
#include "python/optim.h"
#include "python/pickle.h"
#include "python/prefetch.h"
#include "python/repr.h"
#include "python/transforms.h"
#include "tapegrad/ops.h"
#include "tapegrad/parallel.h"
#include "tapegrad/python.h"
#include "tapegrad/version.h"

namespace tapegrad::python {

namespace {

// --- settings
// --------------------------------------------------------------------------------------------------------

PyObject* set_default(PyObject*, PyObject* object) {
  const std::optional<DType> dtype = as_dtype(object);
  if (!dtype)
    raise(PyExc_TypeError, "set_default_dtype(): expected a dtype, got %s",
          type_name(object).c_str());
  set_default_dtype(*dtype);
  Py_RETURN_NONE;
}
PyObject* get_default(PyObject*) { return Py_NewRef(dtype_object(default_dtype())); }

PyObject* set_threads(PyObject*, PyObject* count) {
  if (!is_integer_like(count))
    raise(PyExc_TypeError, "set_num_threads(): expected an int, got %s", type_name(count).c_str());
  const int64_t value = as_int(count);
  if (value < 1 || value > 4096) {
    raise(PyExc_ValueError, "set_num_threads(): expected a number from 1 to 4096, got %lld",
          static_cast<long long>(value));
  }
  set_num_threads(static_cast<int>(value));
  Py_RETURN_NONE;
}
PyObject* get_threads(PyObject*) { return PyLong_FromLong(get_num_threads()); }

PyObject* stats(PyObject*) {
  const MemoryStats s = memory_stats();
  return Py_BuildValue("{s:L,s:L,s:L,s:L,s:L,s:L}", "allocated_bytes", s.allocated_bytes,
                       "peak_allocated_bytes", s.peak_allocated_bytes, "cached_bytes",
                       s.cached_bytes, "cache_limit_bytes", s.cache_limit_bytes, "allocation_count",
                       s.allocation_count, "system_allocation_count", s.system_allocation_count);
}
PyObject* reset_peak(PyObject*) {
  reset_peak_memory_stats();
  Py_RETURN_NONE;
}
PyObject* empty_cache_(PyObject*) {
  empty_cache();
  Py_RETURN_NONE;
}

PyObject* build_info(PyObject*) {
  const Ref info = checked(PyDict_New());
  const auto add = [&info](const char* key, PyObject* value) {
    checked(PyDict_SetItemString(info.get(), key, checked(value).get()));
  };
  add("version", PyUnicode_FromString(TAPEGRAD_VERSION));
  add("compiler", PyUnicode_FromString("g++ " __VERSION__));
#ifdef NDEBUG
  add("assertions", PyBool_FromLong(0));
#else
  add("assertions", PyBool_FromLong(1));
#endif
  add("isa", PyUnicode_FromString(kernels::instruction_set()));
#if TAPEGRAD_PARALLEL_STD
  add("threads_by", PyUnicode_FromString("std::thread"));
#else
  add("threads_by", PyUnicode_FromString("OpenMP"));
#endif
  add("onednn", PyBool_FromLong(kernels::has_onednn()));
  add("contractions", PyUnicode_FromString(kernels::contraction_library()));
  add("num_threads", PyLong_FromLong(get_num_threads()));
  add("num_threads_reason", PyUnicode_FromString(thread_count_reason().c_str()));
  return Py_NewRef(info.get());
}

// --- questions about dtypes and shapes
// -------------------------------------------------------------------------------

DType expect_dtype(PyObject* object, const char* function) {
  const std::optional<DType> dtype = as_dtype(object);
  if (!dtype)
    raise(PyExc_TypeError, "%s(): expected a dtype, got %s", function, type_name(object).c_str());
  return *dtype;
}

PyObject* promote(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<2> bound("promote_types", {"type1", "type2"}, 2, args, nargs, kwnames);
  return Py_NewRef(dtype_object(promote_types(expect_dtype(bound[0], "promote_types"),
                                              expect_dtype(bound[1], "promote_types"))));
}

PyObject* can_cast_(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<2> bound("can_cast", {"from_", "to"}, 2, args, nargs, kwnames);
  return PyBool_FromLong(
      can_cast(expect_dtype(bound[0], "can_cast"), expect_dtype(bound[1], "can_cast")));
}

PyObject* result_type_(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<2> bound("result_type", {"tensor1", "tensor2"}, 2, args, nargs, kwnames);
  for (PyObject* object : {bound[0], bound[1]}) {
    if (!is_tensor(object) && !is_number(object)) {
      raise(PyExc_TypeError, "result_type(): expected Tensors or numbers, got %s",
            type_name(object).c_str());
    }
  }
  return Py_NewRef(
      dtype_object(result_type(as_tensor_or_number(bound[0]), as_tensor_or_number(bound[1]))));
}

PyObject* broadcast_shapes_(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  if (kwnames && PyTuple_GET_SIZE(kwnames) > 0)
    raise(PyExc_TypeError, "broadcast_shapes() takes no keyword arguments");
  Dims result;
  for (Py_ssize_t i = 0; i < nargs; ++i) {
    Dims shape;
    if (is_integer_like(args[i])) {
      shape.push_back(as_int(args[i]));
    } else if (is_int_list(args[i])) {
      as_ints(args[i], "broadcast_shapes(): argument 'shapes'", shape);
    } else {
      raise(PyExc_TypeError, "broadcast_shapes(): expected shapes, got %s",
            type_name(args[i]).c_str());
    }
    result = broadcast_shapes("broadcast_shapes", result, shape);
  }
  return make_size(result);
}

PyObject* method_of_first(const char* name, PyObject* tensor) {
  expect_tensor(tensor, name, "input");
  return PyObject_CallMethod(tensor, name, nullptr);
}
PyObject* numel_(PyObject*, PyObject* tensor) { return method_of_first("numel", tensor); }
PyObject* is_floating_(PyObject*, PyObject* tensor) {
  return method_of_first("is_floating_point", tensor);
}
PyObject* is_complex_(PyObject*, PyObject* tensor) { return method_of_first("is_complex", tensor); }
PyObject* is_nonzero_(PyObject*, PyObject* tensor) { return method_of_first("is_nonzero", tensor); }
PyObject* is_inference_(PyObject*, PyObject* tensor) {
  return method_of_first("is_inference", tensor);
}

// --- the capsule for other extensions
// --------------------------------------------------------------------------------

PyObject* wrap_const(const Tensor& tensor) {
  try {
    return wrap(tensor);
  } catch (const std::exception&) {
    set_error_from_exception();
    return nullptr;
  }
}
Tensor unwrap_shared(PyObject* object) { return unwrap(object); }

const PythonApi api = {kPythonApiVersion, &is_tensor, &unwrap_shared, &wrap_const,
                       [] { set_error_from_exception(); }};

void add_functions(PyObject* module) {
  static PyMethodDef functions[] = {
      method<&set_default>(
          "set_default_dtype",
          "set_default_dtype(d): what Python floats become; a floating-point dtype."),
      method<&get_default>("get_default_dtype", "The dtype that Python floats become."),
      method<&set_threads>("set_num_threads",
                           "set_num_threads(n): how many threads a large operation may use."),
      method<&get_threads>("get_num_threads", "How many threads a large operation uses."),
      method<&stats>("memory_stats",
                     "Bytes in use, their peak, bytes kept for reuse, counts of allocations."),
      method<&reset_peak>("reset_peak_memory_stats",
                          "Start the peak anew from what is in use now."),
      method<&empty_cache_>("empty_cache",
                            "Give memory kept for reuse back to the operating system."),
      method<&build_info>(
          "build_info",
          "Version, compiler, instruction set, libraries and threads; for bug reports."),
      method<&promote>("promote_types",
                       "promote_types(type1, type2): the smallest dtype that holds both."),
      method<&can_cast_>("can_cast",
                         "can_cast(from_, to): whether values may be written in place."),
      method<&result_type_>(
          "result_type",
          "result_type(tensor1, tensor2): the dtype of an operation on tensors or numbers."),
      method<&broadcast_shapes_>("broadcast_shapes",
                                 "broadcast_shapes(*shapes): the common shape."),
      method<&numel_>("numel", "numel(input): the number of elements."),
      method<&is_floating_>(
          "is_floating_point",
          "is_floating_point(input): whether the dtype is a floating-point type."),
      method<&is_complex_>("is_complex", "is_complex(input): always False."),
      method<&is_nonzero_>("is_nonzero",
                           "is_nonzero(input): the truth value of a one-element tensor."),
      method<&is_inference_>("is_inference",
                             "is_inference(input): whether it was made under inference_mode()."),
      {nullptr, nullptr, 0, nullptr}};
  checked(PyModule_AddFunctions(module, functions));
  add_object(module, "_capsule",
             PyCapsule_New(const_cast<PythonApi*>(&api), "tapegrad._C._capsule", nullptr));
  add_object(module, "__version__", PyUnicode_FromString(TAPEGRAD_VERSION));
  for (const auto& [name, value] : {std::pair{"inf", Py_HUGE_VAL},
                                    {"nan", Py_NAN},
                                    {"pi", 3.141592653589793},
                                    {"e", 2.718281828459045}}) {
    add_object(module, name, PyFloat_FromDouble(value));
  }
  add_object(module, "newaxis", Py_NewRef(Py_None));
}

void build(PyObject* module) {
  add_exceptions(module);
  core::warning_hook.store(&warn_in_python);
  add_objects(module);
  add_tensor_type(module);
  add_storage_type(module);
  const Ref priority = checked(PyLong_FromLong(1000));
  checked(PyObject_SetAttrString(reinterpret_cast<PyObject*>(tensor_type), "__array_priority__",
                                 priority.get()));
  add_generator(module);
  add_autograd(module);
  add_transforms(module);
  add_graph(module);
  add_constructors(module);
  add_interop(module);
  add_pickle(module);
  add_prefetch(module);
  add_print_options(module);
  add_functions(module);
  add_module_call(module);
  add_operations(module);
  add_io(add_submodule(module, "_io"));
  add_optim(add_submodule(module, "_optim"));
}

}  // namespace
}  // namespace tapegrad::python

PyMODINIT_FUNC PyInit__C() {  // NOLINT(bugprone-reserved-identifier): Python's name
  static PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                                   "tapegrad._C",
                                   "The C++ side of tapegrad.",
                                   -1,
                                   nullptr,
                                   nullptr,
                                   nullptr,
                                   nullptr,
                                   nullptr};
  PyObject* module = PyModule_Create(&definition);
  if (!module) return nullptr;
  try {
    tapegrad::python::build(module);
  } catch (const std::exception&) {
    tapegrad::python::set_error_from_exception();
    Py_DECREF(module);
    return nullptr;
  }
  return module;
}
