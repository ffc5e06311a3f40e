#include "python/functions.h"

#include <structmember.h>
#include <structseq.h>

#include <map>
#include <string_view>

#include "autograd/inplace.h"
#include "core/text.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad::python {

namespace {

/// All overloads behind one Python name. Signatures are parsed at the first call, because that
/// takes longer than everything else at import.
struct Overloads {
  std::string name;       // as Python calls it: "add_" for the in-place form of add
  std::string qualified;  // "Tensor.add_"
  const char* module = "tapegrad";
  std::vector<const ops::OpEntry*> entries;
  std::vector<Signature> signatures;
  std::vector<PyTypeObject*> result_types;
  bool is_method = false;
  bool is_inplace = false;  // compute, then assign to the first argument
};

struct PyOperation {
  PyObject_HEAD vectorcallfunc vectorcall;
  Overloads* overloads;
};

PyTypeObject* function_type = nullptr;
PyTypeObject* method_type = nullptr;
PyObject* return_types = nullptr;  // the module tapegrad.return_types

// --- results
// ---------------------------------------------------------------------------------------------------------

PyObject* named_tuple_repr(PyObject* self) {
  const Ref fields =
      checked(PyObject_GetAttrString(reinterpret_cast<PyObject*>(Py_TYPE(self)), "__match_args__"));
  std::string text = std::string(Py_TYPE(self)->tp_name) + "(";
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self); ++i) {
    text += (i ? ",\n" : "\n") + to_string(PyTuple_GET_ITEM(fields.get(), i)) + "=";
    text += to_string(checked(PyObject_Repr(PyTuple_GET_ITEM(self, i))).get());
  }
  return PyUnicode_FromString((text + ")").c_str());
}

PyTypeObject* named_tuple_type(const Overloads& overloads, const Signature& signature) {
  const std::string name(signature.entry->name());
  if (PyObject* known = PyObject_GetAttrString(return_types, name.c_str())) {
    return reinterpret_cast<PyTypeObject*>(known);
  }
  PyErr_Clear();
  // The type keeps pointers to these for the life of the process.
  auto* full_name = new std::string("tapegrad.return_types." + name);
  auto* fields = new std::vector<PyStructSequence_Field>;
  for (const std::string& field : signature.result_names)
    fields->push_back({(new std::string(field))->c_str(), nullptr});
  fields->push_back({nullptr, nullptr});
  auto* doc = new std::string("What " + overloads.name + "() returns.");
  PyStructSequence_Desc description = {full_name->c_str(), doc->c_str(), fields->data(),
                                       static_cast<int>(signature.result_names.size())};
  PyTypeObject* type = PyStructSequence_NewType(&description);
  if (!type) raise_current();
  type->tp_repr = guarded<&named_tuple_repr>;
  checked(PyObject_SetAttrString(return_types, name.c_str(), reinterpret_cast<PyObject*>(type)));
  return type;
}

PyObject* wrap_tensors(const Signature& signature, PyTypeObject* type,
                       const std::vector<Tensor>& tensors) {
  if (signature.result_names.empty()) return wrap_tuple(tensors.data(), tensors.size());
  Ref result = checked(PyStructSequence_New(type));
  for (size_t i = 0; i < tensors.size(); ++i) {
    PyStructSequence_SET_ITEM(result.get(), static_cast<Py_ssize_t>(i), wrap(tensors[i]));
  }
  return result.release();
}

PyObject* wrap_result(const Signature& signature, PyTypeObject* type, ops::Result& result) {
  using Kind = ops::Result::Kind;
  switch (result.kind) {
    case Kind::Tensor:
      return wrap(std::move(result.tensor));
    case Kind::Tensors:
      return wrap_tensors(signature, type, result.tensors);
    case Kind::Int:
      return PyLong_FromLongLong(result.integer);
    case Kind::Float:
      return PyFloat_FromDouble(result.floating);
    case Kind::Bool:
      return PyBool_FromLong(result.boolean);
    case Kind::Scalar:
      return from_scalar(result.scalar);
    case Kind::DType:
      return Py_NewRef(dtype_object(result.dtype));
    case Kind::None:
      break;
  }
  Py_RETURN_NONE;
}

/// out=: one tensor, or a tuple of them.
PyObject* assign_to_out(const Overloads& overloads, PyObject* out, ops::Result& result) {
  if (result.kind == ops::Result::Kind::Tensor && is_tensor(out)) {
    autograd::assign_out(overloads.name.c_str(), unwrap(out), result.tensor);
    return Py_NewRef(out);
  }
  const Py_ssize_t count = is_tensor(out) ? -1 : PySequence_Fast_GET_SIZE(out);
  if (count != static_cast<Py_ssize_t>(result.tensors.size())) {
    raise(PyExc_TypeError, "%s(): argument 'out' must have one tensor for each of the %zu results",
          overloads.name.c_str(),
          result.kind == ops::Result::Kind::Tensor ? size_t{1} : result.tensors.size());
  }
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(out, i);
    expect_tensor(item, overloads.name.c_str(), "out");
    autograd::assign_out(overloads.name.c_str(), unwrap(item),
                         result.tensors[static_cast<size_t>(i)]);
  }
  return Py_NewRef(out);
}

/// device, layout, ... : what creation functions take besides values.
void apply_shell(const Overloads& overloads, const Signature& signature, const Call& call,
                 ops::Result& result) {
  const auto given = [&call](int i) { return call.slot(i) && call.slot(i) != Py_None; };
  if (given(signature.memory_format) && result.kind == ops::Result::Kind::Tensor) {
    result.tensor =
        with_memory_format(result.tensor, *as_memory_format(call.slot(signature.memory_format)));
  }
  if (call.slot(signature.requires_grad) == Py_True && result.kind == ops::Result::Kind::Tensor) {
    if (!is_floating_point(result.tensor.dtype())) {
      throw GradError(
          core::text(overloads.name,
                     ": only floating-point tensors can require gradients, the result would be ",
                     dtype_name(result.tensor.dtype())));
    }
    result.tensor.set_requires_grad(true);
  }
}

// --- the call
// --------------------------------------------------------------------------------------------------------

void parse_all(Overloads& overloads) {
  std::vector<Signature> signatures;
  for (const ops::OpEntry* entry : overloads.entries) signatures.push_back(parse_signature(*entry));
  overloads.result_types.assign(signatures.size(), nullptr);
  overloads.signatures = std::move(signatures);
}

PyObject* run(Overloads& overloads, size_t which, Call& call) {
  const Signature& signature = overloads.signatures[which];
  if (signature.device >= 0) [[unlikely]]
    expect_cpu(call.slot(signature.device), overloads.name.c_str());
  call.convert(signature);
  if (overloads.is_inplace && is_grad_enabled() && unwrap(call.slot(0)).requires_grad()) {
    // What the rule saves of its input must survive the write.
    autograd::check_writable(overloads.name.c_str(), unwrap(call.slot(0)));
    call.replace_first(clone(unwrap(call.slot(0))));
  }
  ops::Result result;
  const ops::OpEntry& entry = *signature.entry;
  if (call.is_large()) {
    const ReleaseGil released;
    entry.invoke(entry.function, call.arguments(), result);
  } else {
    entry.invoke(entry.function, call.arguments(), result);
  }
  if (overloads.is_inplace) {
    autograd::assign_inplace(overloads.name.c_str(), unwrap(call.slot(0)), result.tensor);
    return Py_NewRef(call.slot(0));
  }
  if (signature.has_shell) {
    PyObject* out = call.slot(signature.out);
    if (out && out != Py_None) return assign_to_out(overloads, out, result);
    apply_shell(overloads, signature, call, result);
  }
  if (!signature.result_names.empty() && !overloads.result_types[which]) {
    overloads.result_types[which] = named_tuple_type(overloads, signature);
  }
  return wrap_result(signature, overloads.result_types[which], result);
}

std::string signature_text(const Overloads& overloads, const Signature& signature) {
  std::string text(signature.entry->signature);
  if (overloads.is_inplace) text.replace(0, signature.entry->name().size(), overloads.name);
  return text;
}

[[noreturn]] void no_overload(const Overloads& overloads, Arguments args, Py_ssize_t nargs,
                              PyObject* kwnames, bool numbers) {
  std::string text = overloads.name + "(): ";
  // Of several overloads the one that goes wrong latest in its list is the likeliest to have been
  // meant; with one, it.
  if (overloads.signatures.size() == 1) {
    Call call;
    text +=
        call.explain(overloads.signatures[0], overloads.is_method, args, nargs, kwnames, numbers);
    text += "; expected " + signature_text(overloads, overloads.signatures[0]);
  } else {
    text += "received an invalid combination of arguments - got (";
    const Py_ssize_t keywords = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t i = overloads.is_method ? 1 : 0; i < nargs + keywords; ++i) {
      if (text.back() != '(') text += ", ";
      if (i >= nargs) text += to_string(PyTuple_GET_ITEM(kwnames, i - nargs)) + "=";
      text += type_name(args[i]);
    }
    text += "), but expected one of:";
    for (const Signature& signature : overloads.signatures) {
      Call call;
      text += "\n * " + signature_text(overloads, signature) + "\n   ";
      text += call.explain(signature, overloads.is_method, args, nargs, kwnames, numbers);
    }
  }
  raise(PyExc_TypeError, "%s", text.c_str());
}

PyObject* call_overloads(Overloads& overloads, Arguments args, Py_ssize_t nargs,
                         PyObject* kwnames) {
  if (overloads.signatures.empty()) [[unlikely]]
    parse_all(overloads);
  if (overloads.is_method) {
    if (nargs == 0 || !is_tensor(args[0])) {
      raise(PyExc_TypeError, "%s() needs a Tensor as its first argument",
            overloads.qualified.c_str());
    }
  }
  Call call;
  const size_t count = overloads.signatures.size();
  for (size_t i = 0; i < count; ++i) {
    if (call.bind(overloads.signatures[i], overloads.is_method, args, nargs, kwnames) &&
        call.matches(overloads.signatures[i], false)) {
      return run(overloads, i, call);
    }
  }
  bool any_tensor = false;
  const Py_ssize_t all = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
  for (Py_ssize_t i = 0; i < all; ++i) any_tensor |= is_tensor(args[i]);
  for (size_t i = 0; any_tensor && i < count; ++i) {
    if (call.bind(overloads.signatures[i], overloads.is_method, args, nargs, kwnames) &&
        call.matches(overloads.signatures[i], true)) {
      return run(overloads, i, call);
    }
  }
  no_overload(overloads, args, nargs, kwnames, any_tensor);
}

PyObject* call_operation(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* kwnames) {
  try {
    return call_overloads(*reinterpret_cast<PyOperation*>(self)->overloads, args,
                          PyVectorcall_NARGS(nargsf), kwnames);
  } catch (const LiftedReadError& error) {
    const std::string& name = reinterpret_cast<PyOperation*>(self)->overloads->name;
    try {
      throw UnsupportedError(core::text(name, ": has no batching rule: ", error.what()));
    } catch (const std::exception&) {
      set_error_from_exception();
    }
    return nullptr;
  } catch (const std::exception&) {
    set_error_from_exception();
    return nullptr;
  }
}

// --- the callable types
// ----------------------------------------------------------------------------------------------

const Overloads& overloads_of(PyObject* self) {
  return *reinterpret_cast<PyOperation*>(self)->overloads;
}

PyObject* get_doc(PyObject* self, void*) {
  const Overloads& overloads = overloads_of(self);
  std::string text;
  for (const ops::OpEntry* entry : overloads.entries) {
    std::string signature(entry->signature);
    if (overloads.is_inplace) signature.replace(0, entry->name().size(), overloads.name);
    text += signature + "\n";
  }
  if (overloads.is_inplace) {
    const std::string name(overloads.entries[0]->name());
    text += "\nIn-place version of " + name +
            "(): writes the result into the first argument and returns it.\n";
  }
  for (const ops::OpEntry* entry : overloads.entries) {
    if (!entry->doc.empty()) text += "\n" + std::string(entry->doc) + "\n";
  }
  return PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}

PyObject* operation_repr(PyObject* self) {
  const Overloads& overloads = overloads_of(self);
  return PyUnicode_FromFormat(
      overloads.is_method ? "<method '%s' of 'tapegrad.Tensor' objects>" : "<built-in function %s>",
      overloads.name.c_str());
}

PyObject* operation_reduce(PyObject* self) {
  const Overloads& overloads = overloads_of(self);
  if (!overloads.is_method) return PyUnicode_FromString(overloads.name.c_str());
  const Ref getattr = imported_attribute("builtins", "getattr");
  return Py_BuildValue("(O(Os))", getattr.get(), tensor_type, overloads.name.c_str());
}

PyGetSetDef operation_getset[] = {
    {"__doc__", guarded<&get_doc>, nullptr, nullptr, nullptr},
    {"__name__",
     [](PyObject* self, void*) -> PyObject* {
       return PyUnicode_FromString(overloads_of(self).name.c_str());
     },
     nullptr, nullptr, nullptr},
    {"__qualname__",
     [](PyObject* self, void*) -> PyObject* {
       return PyUnicode_FromString(overloads_of(self).qualified.c_str());
     },
     nullptr, nullptr, nullptr},
    {"__module__",
     [](PyObject* self, void*) -> PyObject* {
       return PyUnicode_FromString(overloads_of(self).module);
     },
     nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMemberDef operation_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(PyOperation, vectorcall), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

// A function kept as a class attribute stays a function; the slot is there so that inspect and
// help() know a routine.
PyObject* get_function(PyObject* self, PyObject*, PyObject*) { return Py_NewRef(self); }
PyObject* get_method(PyObject* self, PyObject* object, PyObject*) {
  if (!object) return Py_NewRef(self);
  return PyMethod_New(self, object);
}

PyTypeObject* make_operation_type(const char* name, descrgetfunc get, unsigned long flags) {
  static PyMethodDef methods[] = {method<&operation_reduce>("__reduce__", nullptr),
                                  {nullptr, nullptr, 0, nullptr}};
  PyType_Slot slots[] = {{Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                         {Py_tp_descr_get, reinterpret_cast<void*>(get)},
                         {Py_tp_repr, reinterpret_cast<void*>(guarded<&operation_repr>)},
                         {Py_tp_getset, operation_getset},
                         {Py_tp_members, operation_members},
                         {Py_tp_methods, methods},
                         {0, nullptr}};
  PyType_Spec spec = {
      name, sizeof(PyOperation), 0,
      static_cast<unsigned>(Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | flags), slots};
  return make_type(spec);
}

PyObject* make_operation(Overloads* overloads) {
  PyTypeObject* type = overloads->is_method ? method_type : function_type;
  auto* self = PyObject_New(PyOperation, type);
  if (!self) raise_current();
  self->vectorcall = call_operation;
  self->overloads = overloads;
  return reinterpret_cast<PyObject*>(self);
}

// --- tables
// ----------------------------------------------------------------------------------------------------------

/// PyTorch's second names, for whatever of the first there is.
constexpr std::pair<const char*, const char*> kAliases[] = {
    {"absolute", "abs"},       {"multiply", "mul"},     {"subtract", "sub"},
    {"divide", "div"},         {"true_divide", "div"},  {"negative", "neg"},
    {"greater", "gt"},         {"greater_equal", "ge"}, {"less", "lt"},
    {"less_equal", "le"},      {"not_equal", "ne"},     {"clip", "clamp"},
    {"concat", "cat"},         {"concatenate", "cat"},  {"swapaxes", "transpose"},
    {"swapdims", "transpose"}, {"moveaxis", "movedim"}, {"arccos", "acos"},
    {"arcsin", "asin"},        {"arctan", "atan"},      {"arccosh", "acosh"},
    {"arcsinh", "asinh"},      {"arctanh", "atanh"},    {"arctan2", "atan2"},
    {"fix", "trunc"},          {"ger", "outer"},        {"row_stack", "vstack"},
    {"trapz", "trapezoid"},    {"sgn", "sign"},
};

using Space = std::map<std::string, Overloads*>;

/// A submodule whose operations carry its name in the table: linalg_det is linalg.det.
struct Submodule {
  ops::Variant variant;
  const char* name;
  const char* public_name;
  std::string_view prefix;
};
constexpr Submodule kSubmodules[] = {
    {ops::kNN, "_nn", "tapegrad.nn.functional", ""},
    {ops::kSpecial, "_special", "tapegrad.special", "special_"},
    {ops::kLinalg, "_linalg", "tapegrad.linalg", "linalg_"},
};

void register_entry(Space& space, const ops::OpEntry& entry, bool is_method, bool is_inplace,
                    const char* module, std::string_view prefix = "") {
  std::string name(entry.name());
  if (is_inplace) name += '_';
  Overloads*& overloads = space[name.substr(prefix.size())];
  if (overloads && is_inplace && !overloads->is_inplace)
    return;  // written by hand: faster, and leads
  if (overloads && !is_inplace && overloads->is_inplace) overloads->entries.clear();
  if (!overloads) overloads = new Overloads;  // lives as long as the functions, which is for ever
  overloads->name = name;
  overloads->qualified = is_method ? "Tensor." + name : name;
  overloads->module = module;
  overloads->is_method = is_method;
  overloads->is_inplace = is_inplace;
  overloads->entries.push_back(&entry);
}

/// What is written by hand leads.
void add_if_new(PyObject* target, PyObject* dict, const std::string& name, PyObject* operation) {
  if (PyDict_GetItemString(dict, name.c_str())) return;
  checked(PyObject_SetAttrString(target, name.c_str(), operation));
}

void add_space(PyObject* target, PyObject* dict, const Space& space) {
  for (const auto& [name, overloads] : space) {
    const Ref operation = Ref::steal(make_operation(overloads));
    add_if_new(target, dict, name, operation.get());
    std::string base = name;
    const bool inplace = base.ends_with('_');
    if (inplace) base.pop_back();
    for (const auto& [alias, original] : kAliases) {
      if (base != original) continue;
      const std::string alias_name = std::string(alias) + (inplace ? "_" : "");
      if (!space.contains(alias_name)) add_if_new(target, dict, alias_name, operation.get());
    }
  }
}

PyObject* op_names(PyObject*) {
  Ref names = checked(PySet_New(nullptr));
  for (const ops::OpEntry& entry : ops::op_table()) {
    const std::string_view name = entry.name();
    const Ref text =
        checked(PyUnicode_FromStringAndSize(name.data(), static_cast<Py_ssize_t>(name.size())));
    checked(PySet_Add(names.get(), text.get()));
  }
  Ref list = checked(PySequence_List(names.get()));
  checked(PyList_Sort(list.get()));
  return list.release();
}

PyObject* op_table_list(PyObject*) {
  Ref list = checked(PyList_New(0));
  for (const ops::OpEntry& entry : ops::op_table()) {
    const Ref row = checked(Py_BuildValue(
        "(s#s#i)", entry.signature.data(), static_cast<Py_ssize_t>(entry.signature.size()),
        entry.doc.data(), static_cast<Py_ssize_t>(entry.doc.size()), entry.variants));
    checked(PyList_Append(list.get(), row.get()));
  }
  return list.release();
}

/// Raises unless every signature of the table can be parsed; for the tests.
PyObject* check_table(PyObject*) {
  for (const ops::OpEntry& entry : ops::op_table()) parse_signature(entry);
  Py_RETURN_NONE;
}

}  // namespace

bool is_channels_last(const Tensor& tensor) {
  const IntSpan sizes = tensor.sizes();
  const IntSpan strides = tensor.strides();
  if (sizes.size() != 4 && sizes.size() != 5) return false;
  // Channels innermost, then the last spatial dimension outwards, the batch outermost.
  int64_t expected = 1;
  const auto fits = [&](size_t dim) {
    const bool good = sizes[dim] == 1 || strides[dim] == expected;
    expected *= sizes[dim];
    return good;
  };
  if (!fits(1)) return false;
  for (size_t dim = sizes.size() - 1; dim >= 2; --dim) {
    if (!fits(dim)) return false;
  }
  return fits(0);
}

Tensor with_memory_format(const Tensor& tensor, MemoryFormat format) {
  if (format == MemoryFormat::Preserve) return tensor;
  if (format == MemoryFormat::Contiguous) return contiguous(tensor);
  const int64_t wanted = format == MemoryFormat::ChannelsLast ? 4 : 5;
  if (tensor.dim() != wanted) {
    throw ShapeError(core::text(
        "memory_format: ", wanted == 4 ? "channels_last" : "channels_last_3d",
        " needs a tensor of ", wanted, " dimensions, got shape ", shape_string(tensor.sizes())));
  }
  if (is_channels_last(tensor)) return tensor;
  Dims last{0}, back{0, wanted - 1};
  for (int64_t dim = 2; dim < wanted; ++dim) last.push_back(dim);
  last.push_back(1);
  for (int64_t dim = 1; dim < wanted - 1; ++dim) back.push_back(dim);
  return permute(contiguous(permute(tensor, last)), back);
}

void add_operations(PyObject* module) {
  function_type = make_operation_type("tapegrad._C.Operation", get_function, 0);
  method_type =
      make_operation_type("tapegrad._C.OperationMethod", get_method, Py_TPFLAGS_METHOD_DESCRIPTOR);
  return_types = checked(PyModule_New("tapegrad.return_types")).release();
  checked(PyObject_SetAttrString(
      return_types, "__doc__",
      checked(PyUnicode_FromString("The named tuples that operations return.")).get()));
  checked(PyDict_SetItemString(PyImport_GetModuleDict(), "tapegrad.return_types", return_types));
  add_object(module, "return_types", Py_NewRef(return_types));

  Space top;
  Space methods;
  for (const ops::OpEntry& entry : ops::op_table()) {
    if (entry.variants & ops::kFunction) register_entry(top, entry, false, false, "tapegrad");
    if (entry.variants & ops::kMethod) register_entry(methods, entry, true, false, "tapegrad");
    if ((entry.variants & ops::kInplace) && (entry.variants & (ops::kFunction | ops::kMethod))) {
      register_entry(top, entry, false, true, "tapegrad");
      register_entry(methods, entry, true, true, "tapegrad");
    }
  }
  add_space(module, PyModule_GetDict(module), top);
  for (const Submodule& submodule : kSubmodules) {
    Space space;
    for (const ops::OpEntry& entry : ops::op_table()) {
      if (!(entry.variants & submodule.variant)) continue;
      register_entry(space, entry, false, false, submodule.public_name, submodule.prefix);
      if (entry.variants & ops::kInplace)
        register_entry(space, entry, false, true, submodule.public_name, submodule.prefix);
    }
    PyObject* target = add_submodule(module, submodule.name);
    add_space(target, PyModule_GetDict(target), space);
  }
  add_space(reinterpret_cast<PyObject*>(tensor_type), tensor_type->tp_dict, methods);

  static PyMethodDef functions[] = {
      method<&op_names>("_op_names", "Names of all operations."),
      method<&op_table_list>("_op_table",
                             "(signature, doc, variants) of every entry of the op table."),
      method<&check_table>("_check_op_table", "Raise unless all signatures can be parsed."),
      {nullptr, nullptr, 0, nullptr}};
  checked(PyModule_AddFunctions(module, functions));
}

}  // namespace tapegrad::python
