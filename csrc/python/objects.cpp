#include "python/objects.h"

#include <structmember.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>

#include "core/text.h"
#include "tapegrad/error.h"

namespace tapegrad::python {

PyTypeObject* dtype_type = nullptr;
PyTypeObject* size_type = nullptr;
PyTypeObject* device_type = nullptr;
PyTypeObject* layout_type = nullptr;
PyTypeObject* memory_format_type = nullptr;

namespace {

// --- dtype
// -----------------------------------------------------------------------------------------------------------

constexpr int kAllDTypes = kDTypeCount + 2;
PyObject* dtype_objects[kAllDTypes];

DType dtype_of(PyObject* self) { return reinterpret_cast<PyDType*>(self)->dtype; }

PyObject* dtype_repr(PyObject* self) {
  return PyUnicode_FromFormat("tapegrad.%s", dtype_name(dtype_of(self)));
}
PyObject* dtype_reduce(PyObject* self) { return PyUnicode_FromString(dtype_name(dtype_of(self))); }

PyGetSetDef dtype_getset[] = {
    {"is_floating_point",
     [](PyObject* self, void*) -> PyObject* {
       return PyBool_FromLong(is_floating_point(dtype_of(self)));
     },
     nullptr, "Whether the values are floating-point numbers.", nullptr},
    {"is_complex",
     [](PyObject* self, void*) -> PyObject* { return PyBool_FromLong(is_complex(dtype_of(self))); },
     nullptr, "Whether the values are complex; such tensors are not supported.", nullptr},
    {"is_signed",
     [](PyObject* self, void*) -> PyObject* {
       const DType dtype = dtype_of(self);
       return PyBool_FromLong(dtype != DType::Bool && dtype != DType::UInt8);
     },
     nullptr, "Whether negative values exist.", nullptr},
    {"itemsize",
     [](PyObject* self, void*) -> PyObject* {
       return PyLong_FromSize_t(item_size(dtype_of(self)));
     },
     nullptr, "Bytes of one element.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyObject* no_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyErr_Format(PyExc_TypeError, "cannot create '%s' instances; use the objects of the module",
               type->tp_name);
  return nullptr;
}

void add_dtypes(PyObject* module) {
  static PyMethodDef methods[] = {method<&dtype_reduce>("__reduce__", nullptr),
                                  {nullptr, nullptr, 0, nullptr}};
  PyType_Slot slots[] = {
      {Py_tp_doc,
       const_cast<char*>("The type of a tensor's elements: tapegrad.float32, int64, ...")},
      {Py_tp_new, reinterpret_cast<void*>(no_new)},
      {Py_tp_repr, reinterpret_cast<void*>(guarded<&dtype_repr>)},
      {Py_tp_getset, dtype_getset},
      {Py_tp_methods, methods},
      {0, nullptr}};
  PyType_Spec spec = {"tapegrad.dtype", sizeof(PyDType), 0, Py_TPFLAGS_DEFAULT, slots};
  dtype_type = make_type(spec);
  add_object(module, "dtype", Py_NewRef(reinterpret_cast<PyObject*>(dtype_type)));
  for (int i = 0; i < kAllDTypes; ++i) {
    auto* object = checked(dtype_type->tp_alloc(dtype_type, 0)).release();
    reinterpret_cast<PyDType*>(object)->dtype = static_cast<DType>(i);
    dtype_objects[i] = object;
    add_object(module, dtype_name(static_cast<DType>(i)), Py_NewRef(object));
  }
  const std::pair<const char*, DType> aliases[] = {
      {"half", DType::Float16},     {"float", DType::Float32},      {"double", DType::Float64},
      {"short", DType::Int16},      {"int", DType::Int32},          {"long", DType::Int64},
      {"cfloat", DType::Complex64}, {"cdouble", DType::Complex128},
  };
  for (const auto& [name, dtype] : aliases)
    add_object(module, name, Py_NewRef(dtype_object(dtype)));
}

// --- Size
// ------------------------------------------------------------------------------------------------------------

PyObject* as_size(const Ref& tuple) {
  if (!tuple) raise_current();
  const Py_ssize_t count = PyTuple_GET_SIZE(tuple.get());
  Ref size = checked(size_type->tp_alloc(size_type, count));
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyTuple_SET_ITEM(size.get(), i, Py_NewRef(PyTuple_GET_ITEM(tuple.get(), i)));
  }
  return size.release();
}

PyObject* size_new(PyTypeObject*, PyObject* args, PyObject* kwargs) {
  if (kwargs && PyDict_GET_SIZE(kwargs) > 0)
    raise(PyExc_TypeError, "Size() takes no keyword arguments");
  if (PyTuple_GET_SIZE(args) > 1) raise(PyExc_TypeError, "Size() takes one sequence of integers");
  if (PyTuple_GET_SIZE(args) == 0) return as_size(checked(PyTuple_New(0)));
  Ref tuple = checked(PySequence_Tuple(PyTuple_GET_ITEM(args, 0)));
  const Py_ssize_t count = PyTuple_GET_SIZE(tuple.get());
  Ref result = checked(size_type->tp_alloc(size_type, count));
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* item = PyTuple_GET_ITEM(tuple.get(), i);
    PyObject* index = PyNumber_Index(item);
    if (!index) {
      PyErr_Clear();
      raise(PyExc_TypeError, "Size() takes an iterable of 'int' (item %zd is '%s')", i,
            Py_TYPE(item)->tp_name);
    }
    PyTuple_SET_ITEM(result.get(), i, index);
  }
  return result.release();
}

PyObject* size_repr(PyObject* self) {
  std::string text = "tapegrad.Size([";
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self); ++i) {
    if (i > 0) text += ", ";
    text += to_string(checked(PyObject_Repr(PyTuple_GET_ITEM(self, i))).get());
  }
  text += "])";
  return PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}

PyObject* size_subscript(PyObject* self, PyObject* index) {
  PyObject* result = PyTuple_Type.tp_as_mapping->mp_subscript(self, index);
  if (!result) return nullptr;
  return PySlice_Check(index) ? as_size(Ref::steal(result)) : result;
}

PyObject* size_concat(PyObject* a, PyObject* b) {
  return as_size(checked(PyTuple_Type.tp_as_sequence->sq_concat(a, b)));
}

PyObject* size_repeat(PyObject* self, Py_ssize_t count) {
  return as_size(checked(PyTuple_Type.tp_as_sequence->sq_repeat(self, count)));
}

PyObject* size_numel(PyObject* self) {
  Ref product = checked(PyLong_FromLong(1));
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self); ++i) {
    product = checked(PyNumber_Multiply(product.get(), PyTuple_GET_ITEM(self, i)));
  }
  return product.release();
}

PyObject* size_reduce(PyObject* self) {
  Ref plain = checked(PyTuple_GetSlice(self, 0, PyTuple_GET_SIZE(self)));
  if (Py_TYPE(plain.get()) == size_type || plain.get() == self)
    plain = checked(PySequence_List(self));
  return Py_BuildValue("(O(O))", size_type, plain.get());
}

void add_size(PyObject* module) {
  static PyMethodDef methods[] = {
      method<&size_numel>("numel", "The number of elements of such a tensor."),
      method<&size_reduce>("__reduce__", nullptr),
      {nullptr, nullptr, 0, nullptr}};
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>(
                      "The shape of a tensor: a tuple of integers.\n\n>>> import tapegrad as tg\n"
                      ">>> tg.zeros(2, 3).shape\ntapegrad.Size([2, 3])")},
      {Py_tp_base, &PyTuple_Type},
      {Py_tp_new, reinterpret_cast<void*>(guarded<&size_new>)},
      {Py_tp_repr, reinterpret_cast<void*>(guarded<&size_repr>)},
      {Py_mp_subscript, reinterpret_cast<void*>(guarded<&size_subscript>)},
      {Py_sq_concat, reinterpret_cast<void*>(guarded<&size_concat>)},
      {Py_sq_repeat, reinterpret_cast<void*>(guarded<&size_repeat>)},
      {Py_tp_methods, methods},
      {0, nullptr}};
  PyType_Spec spec = {"tapegrad.Size", 0, 0, Py_TPFLAGS_DEFAULT, slots};
  size_type = make_type(spec);
  add_object(module, "Size", Py_NewRef(reinterpret_cast<PyObject*>(size_type)));
}

// --- device
// ----------------------------------------------------------------------------------------------------------

constexpr const char* kDeviceTypes[] = {"cpu", "cuda", "mps",  "xpu", "mkldnn",
                                        "xla", "hpu",  "mtia", "meta"};

std::pair<int, int> parse_device(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view type = text.substr(0, colon);
  for (int i = 0; i < static_cast<int>(std::size(kDeviceTypes)); ++i) {
    if (type != kDeviceTypes[i]) continue;
    if (colon == std::string_view::npos) return {i, -1};
    const std::string_view digits = text.substr(colon + 1);
    int index = 0;
    bool good = !digits.empty() && digits.size() < 5;
    for (const char c : digits) {
      good = good && c >= '0' && c <= '9';
      index = index * 10 + (c - '0');
    }
    if (!good) break;
    return {i, index};
  }
  raise(
      PyExc_RuntimeError,
      "device: '%s' is no device; tapegrad has 'cpu' (names such as 'cuda' or 'cuda:0' are known)",
      std::string(text).c_str());
}

PyObject* make_device(int type, int index) {
  auto* device = PyObject_New(PyDevice, device_type);
  if (!device) raise_current();
  device->type = type;
  device->index = index;
  return reinterpret_cast<PyObject*>(device);
}

PyObject* device_new(PyTypeObject*, PyObject* args, PyObject* kwargs) {
  PyObject* type = nullptr;
  PyObject* index = nullptr;
  static const char* names[] = {"type", "index", nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:device", const_cast<char**>(names), &type,
                                   &index))
    return nullptr;
  if (Py_TYPE(type) == device_type && !index) return Py_NewRef(type);
  if (PyLong_Check(type)) return make_device(1, static_cast<int>(PyLong_AsLong(type)));
  if (!PyUnicode_Check(type)) {
    raise(PyExc_TypeError, "device(): argument 'type' must be str or device, not %s",
          type_name(type).c_str());
  }
  auto [kind, number] = parse_device(to_string(type));
  if (index && index != Py_None) {
    if (number >= 0)
      raise(PyExc_RuntimeError, "device: the index is given twice, in '%U' and as an argument",
            type);
    const long given = PyLong_AsLong(index);
    if (given == -1 && PyErr_Occurred()) raise_current();
    if (given < 0)
      raise(PyExc_RuntimeError, "device: the index must not be negative, got %ld", given);
    number = static_cast<int>(given);
  }
  return make_device(kind, number);
}

PyObject* device_str(PyObject* self) {
  const auto* device = reinterpret_cast<PyDevice*>(self);
  if (device->index < 0) return PyUnicode_FromString(kDeviceTypes[device->type]);
  return PyUnicode_FromFormat("%s:%d", kDeviceTypes[device->type], device->index);
}

PyObject* device_repr(PyObject* self) {
  const auto* device = reinterpret_cast<PyDevice*>(self);
  if (device->index < 0)
    return PyUnicode_FromFormat("device(type='%s')", kDeviceTypes[device->type]);
  return PyUnicode_FromFormat("device(type='%s', index=%d)", kDeviceTypes[device->type],
                              device->index);
}

PyObject* device_compare(PyObject* a, PyObject* b, int op) {
  if (Py_TYPE(b) != device_type || (op != Py_EQ && op != Py_NE)) Py_RETURN_NOTIMPLEMENTED;
  const auto* x = reinterpret_cast<PyDevice*>(a);
  const auto* y = reinterpret_cast<PyDevice*>(b);
  const bool equal = x->type == y->type && x->index == y->index;
  return PyBool_FromLong(equal == (op == Py_EQ));
}

Py_hash_t device_hash(PyObject* self) {
  const auto* device = reinterpret_cast<PyDevice*>(self);
  return device->type * 1024 + device->index + 2;
}

PyObject* device_reduce(PyObject* self) {
  return Py_BuildValue("(O(N))", device_type, device_str(self));
}
PyObject* device_enter(PyObject* self) {
  expect_cpu(self, "device");
  return Py_NewRef(self);
}
PyObject* device_exit(PyObject*, Arguments, Py_ssize_t, PyObject*) { Py_RETURN_NONE; }

PyGetSetDef device_getset[] = {
    {"type",
     [](PyObject* self, void*) -> PyObject* {
       return PyUnicode_FromString(kDeviceTypes[reinterpret_cast<PyDevice*>(self)->type]);
     },
     nullptr, "'cpu', or the name of something that is not there.", nullptr},
    {"index",
     [](PyObject* self, void*) -> PyObject* {
       const int index = reinterpret_cast<PyDevice*>(self)->index;
       if (index < 0) Py_RETURN_NONE;
       return PyLong_FromLong(index);
     },
     nullptr, "The number of the device, or None.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyObject* the_cpu = nullptr;

void add_device(PyObject* module) {
  static PyMethodDef methods[] = {method<&device_reduce>("__reduce__", nullptr),
                                  method<&device_enter>("__enter__", nullptr),
                                  method<&device_exit>("__exit__", nullptr),
                                  {nullptr, nullptr, 0, nullptr}};
  PyType_Slot slots[] = {
      {Py_tp_doc,
       const_cast<char*>(
           "Where a tensor lies: device('cpu'). Other names are known and raise when used.")},
      {Py_tp_new, reinterpret_cast<void*>(guarded<&device_new>)},
      {Py_tp_repr, reinterpret_cast<void*>(guarded<&device_repr>)},
      {Py_tp_str, reinterpret_cast<void*>(guarded<&device_str>)},
      {Py_tp_hash, reinterpret_cast<void*>(device_hash)},
      {Py_tp_richcompare, reinterpret_cast<void*>(device_compare)},
      {Py_tp_getset, device_getset},
      {Py_tp_methods, methods},
      {0, nullptr}};
  PyType_Spec spec = {"tapegrad.device", sizeof(PyDevice), 0, Py_TPFLAGS_DEFAULT, slots};
  device_type = make_type(spec);
  add_object(module, "device", Py_NewRef(reinterpret_cast<PyObject*>(device_type)));
  the_cpu = make_device(0, -1);
}

// --- layout and memory format
// ----------------------------------------------------------------------------------------

struct PyNamed {
  PyObject_HEAD const char* name;
  int value;
};

PyObject* named_repr(PyObject* self) {
  return PyUnicode_FromFormat("tapegrad.%s", reinterpret_cast<PyNamed*>(self)->name);
}
PyObject* named_reduce(PyObject* self) {
  return PyUnicode_FromString(reinterpret_cast<PyNamed*>(self)->name);
}

PyTypeObject* make_named_type(const char* name, const char* doc) {
  static PyMethodDef methods[] = {method<&named_reduce>("__reduce__", nullptr),
                                  {nullptr, nullptr, 0, nullptr}};
  PyType_Slot slots[] = {{Py_tp_doc, const_cast<char*>(doc)},
                         {Py_tp_new, reinterpret_cast<void*>(no_new)},
                         {Py_tp_repr, reinterpret_cast<void*>(guarded<&named_repr>)},
                         {Py_tp_methods, methods},
                         {0, nullptr}};
  PyType_Spec spec = {name, sizeof(PyNamed), 0, Py_TPFLAGS_DEFAULT, slots};
  return make_type(spec);
}

PyObject* add_named(PyObject* module, PyTypeObject* type, const char* name, int value) {
  PyObject* object = checked(type->tp_alloc(type, 0)).release();
  reinterpret_cast<PyNamed*>(object)->name = name;
  reinterpret_cast<PyNamed*>(object)->value = value;
  add_object(module, name, Py_NewRef(object));
  return object;
}

PyObject* the_strided = nullptr;

void add_layouts(PyObject* module) {
  layout_type = make_named_type("tapegrad.layout",
                                "How elements lie in memory: tapegrad.strided is the only layout.");
  memory_format_type =
      make_named_type("tapegrad.memory_format", "The order of a tensor's dimensions in memory.");
  add_object(module, "layout", Py_NewRef(reinterpret_cast<PyObject*>(layout_type)));
  add_object(module, "memory_format", Py_NewRef(reinterpret_cast<PyObject*>(memory_format_type)));
  the_strided = add_named(module, layout_type, "strided", 0);
  const std::pair<const char*, MemoryFormat> formats[] = {
      {"contiguous_format", MemoryFormat::Contiguous},
      {"channels_last", MemoryFormat::ChannelsLast},
      {"channels_last_3d", MemoryFormat::ChannelsLast3d},
      {"preserve_format", MemoryFormat::Preserve}};
  for (const auto& [name, format] : formats)
    add_named(module, memory_format_type, name, static_cast<int>(format));
}

// --- finfo and iinfo
// -------------------------------------------------------------------------------------------------

struct PyInfo {
  PyObject_HEAD PyObject*
      values[8];  // bits, min, max, dtype; finfo: eps, tiny, smallest_normal, resolution
};
PyTypeObject* finfo_type = nullptr;
PyTypeObject* iinfo_type = nullptr;

struct FloatLimits {
  double eps, tiny, max, resolution;
};
FloatLimits float_limits(DType dtype) {
  switch (dtype) {
    case DType::Float16:
      return {0.0009765625, 6.103515625e-05, 65504.0, 1e-3};
    case DType::BFloat16:
      return {0.0078125, std::numeric_limits<float>::min(), 3.3895313892515355e38, 1e-2};
    case DType::Float32:
      return {std::numeric_limits<float>::epsilon(), std::numeric_limits<float>::min(),
              std::numeric_limits<float>::max(), 1e-6};
    default:
      return {std::numeric_limits<double>::epsilon(), std::numeric_limits<double>::min(),
              std::numeric_limits<double>::max(), 1e-15};
  }
}

PyObject* info_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  const bool is_float = type == finfo_type;
  PyObject* given = nullptr;
  static const char* names[] = {"type", nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, is_float ? "|O:finfo" : "O:iinfo",
                                   const_cast<char**>(names), &given)) {
    return nullptr;
  }
  DType dtype = default_dtype();
  if (given) {
    const std::optional<DType> found = as_dtype(given);
    if (!found) {
      raise(PyExc_TypeError, "%s(): argument 'type' must be dtype, not %s",
            is_float ? "finfo" : "iinfo", type_name(given).c_str());
    }
    dtype = *found;
  }
  if (is_floating_point(dtype) != is_float || is_complex(dtype) || dtype == DType::Bool) {
    raise(PyExc_TypeError, "%s() takes a%s dtype, got %R", is_float ? "finfo" : "iinfo",
          is_float ? " floating-point" : "n integer", dtype_object(dtype));
  }
  Ref self = checked(type->tp_alloc(type, 0));
  PyObject** values = reinterpret_cast<PyInfo*>(self.get())->values;
  const int bits = static_cast<int>(item_size(dtype)) * 8;
  values[0] = PyLong_FromLong(bits);
  values[3] = PyUnicode_FromString(dtype_name(dtype));
  if (is_float) {
    const FloatLimits limits = float_limits(dtype);
    values[1] = PyFloat_FromDouble(-limits.max);
    values[2] = PyFloat_FromDouble(limits.max);
    values[4] = PyFloat_FromDouble(limits.eps);
    values[5] = PyFloat_FromDouble(limits.tiny);
    values[6] = PyFloat_FromDouble(limits.tiny);
    values[7] = PyFloat_FromDouble(limits.resolution);
  } else {
    const int value_bits = dtype == DType::UInt8 ? bits : bits - 1;
    values[1] = PyLong_FromLongLong(dtype == DType::UInt8 ? 0 : INT64_MIN >> (64 - bits));
    values[2] = PyLong_FromUnsignedLongLong((uint64_t{1} << value_bits) - 1);
  }
  if (PyErr_Occurred()) raise_current();
  return self.release();
}

void info_dealloc(PyObject* self) {
  for (PyObject*& value : reinterpret_cast<PyInfo*>(self)->values) Py_CLEAR(value);
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

std::string short_number(PyObject* number) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", PyFloat_AsDouble(number));
  return text;
}

PyObject* info_repr(PyObject* self) {
  PyObject** v = reinterpret_cast<PyInfo*>(self)->values;
  if (Py_TYPE(self) == iinfo_type)
    return PyUnicode_FromFormat("iinfo(min=%S, max=%S, dtype=%U)", v[1], v[2], v[3]);
  return PyUnicode_FromFormat(
      "finfo(resolution=%s, min=%s, max=%s, eps=%s, smallest_normal=%s, tiny=%s, dtype=%U)",
      short_number(v[7]).c_str(), short_number(v[1]).c_str(), short_number(v[2]).c_str(),
      short_number(v[4]).c_str(), short_number(v[6]).c_str(), short_number(v[5]).c_str(), v[3]);
}

void add_infos(PyObject* module) {
  constexpr auto at = [](int i) {
    return static_cast<Py_ssize_t>(offsetof(PyInfo, values) +
                                   static_cast<size_t>(i) * sizeof(PyObject*));
  };
  static PyMemberDef float_members[] = {{"bits", T_OBJECT_EX, at(0), READONLY, nullptr},
                                        {"min", T_OBJECT_EX, at(1), READONLY, nullptr},
                                        {"max", T_OBJECT_EX, at(2), READONLY, nullptr},
                                        {"dtype", T_OBJECT_EX, at(3), READONLY, nullptr},
                                        {"eps", T_OBJECT_EX, at(4), READONLY, nullptr},
                                        {"tiny", T_OBJECT_EX, at(5), READONLY, nullptr},
                                        {"smallest_normal", T_OBJECT_EX, at(6), READONLY, nullptr},
                                        {"resolution", T_OBJECT_EX, at(7), READONLY, nullptr},
                                        {nullptr, 0, 0, 0, nullptr}};
  static PyMemberDef int_members[] = {{"bits", T_OBJECT_EX, at(0), READONLY, nullptr},
                                      {"min", T_OBJECT_EX, at(1), READONLY, nullptr},
                                      {"max", T_OBJECT_EX, at(2), READONLY, nullptr},
                                      {"dtype", T_OBJECT_EX, at(3), READONLY, nullptr},
                                      {nullptr, 0, 0, 0, nullptr}};
  const auto make = [&](const char* name, const char* doc, PyMemberDef* members) {
    PyType_Slot slots[] = {{Py_tp_doc, const_cast<char*>(doc)},
                           {Py_tp_new, reinterpret_cast<void*>(guarded<&info_new>)},
                           {Py_tp_dealloc, reinterpret_cast<void*>(info_dealloc)},
                           {Py_tp_repr, reinterpret_cast<void*>(guarded<&info_repr>)},
                           {Py_tp_members, members},
                           {0, nullptr}};
    PyType_Spec spec = {name, sizeof(PyInfo), 0, Py_TPFLAGS_DEFAULT, slots};
    return make_type(spec);
  };
  finfo_type = make("tapegrad.finfo",
                    "Limits of a floating-point dtype: bits, eps, max, min, tiny, resolution.",
                    float_members);
  iinfo_type = make("tapegrad.iinfo", "Limits of an integer dtype: bits, max, min.", int_members);
  add_object(module, "finfo", Py_NewRef(reinterpret_cast<PyObject*>(finfo_type)));
  add_object(module, "iinfo", Py_NewRef(reinterpret_cast<PyObject*>(iinfo_type)));
}

}  // namespace

PyObject* dtype_object(DType dtype) { return dtype_objects[static_cast<int>(dtype)]; }

std::optional<DType> as_dtype(PyObject* object) {
  if (is_dtype(object)) return dtype_of(object);
  if (object == reinterpret_cast<PyObject*>(&PyFloat_Type)) return DType::Float64;
  if (object == reinterpret_cast<PyObject*>(&PyLong_Type)) return DType::Int64;
  if (object == reinterpret_cast<PyObject*>(&PyBool_Type)) return DType::Bool;
  return std::nullopt;
}

PyObject* make_size(IntSpan sizes) {
  Ref result = checked(size_type->tp_alloc(size_type, static_cast<Py_ssize_t>(sizes.size())));
  for (size_t i = 0; i < sizes.size(); ++i) {
    PyTuple_SET_ITEM(result.get(), static_cast<Py_ssize_t>(i),
                     checked(PyLong_FromLongLong(sizes[i])).release());
  }
  return result.release();
}

PyObject* cpu_device() { return the_cpu; }
PyObject* strided_layout() { return the_strided; }

bool is_device_like(PyObject* object) {
  return Py_TYPE(object) == device_type || PyUnicode_Check(object);
}

void expect_cpu(PyObject* object, const char* function) {
  if (!object || object == Py_None) return;
  int type = 1;
  if (Py_TYPE(object) == device_type) {
    type = reinterpret_cast<PyDevice*>(object)->type;
  } else if (PyUnicode_Check(object)) {
    type = parse_device(to_string(object)).first;
  } else if (!PyLong_Check(object)) {
    raise(PyExc_TypeError, "%s(): argument 'device' must be device or str, not %s", function,
          type_name(object).c_str());
  }
  if (type != 0) {
    throw UnsupportedError(core::text(
        function, ": device '", kDeviceTypes[type],
        "' is not available, tapegrad computes on the CPU only; use device='cpu' or guard "
        "the call with `if cuda.is_available():`"));
  }
}

std::optional<MemoryFormat> as_memory_format(PyObject* object) {
  if (Py_TYPE(object) != memory_format_type) return std::nullopt;
  return static_cast<MemoryFormat>(reinterpret_cast<PyNamed*>(object)->value);
}

void add_objects(PyObject* module) {
  add_dtypes(module);
  add_size(module);
  add_device(module);
  add_layouts(module);
  add_infos(module);
}

}  // namespace tapegrad::python
