#include "python/parser.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>

#include "core/text.h"
#include "tapegrad/error.h"

namespace tapegrad::python {

namespace {

// --- signatures
// ------------------------------------------------------------------------------------------------------

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

[[noreturn]] void bad_signature(std::string_view signature, std::string_view why) {
  throw std::invalid_argument(core::text("signature '", signature, "': ", why));
}

/// Cuts at commas outside brackets and quotes.
std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  int depth = 0;
  bool quoted = false;
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\'' || c == '"') quoted = !quoted;
    if (quoted) continue;
    if (c == '(' || c == '[') ++depth;
    if (c == ')' || c == ']') --depth;
    if (c == ',' && depth == 0) {
      parts.push_back(trim(text.substr(start, i - start)));
      start = i + 1;
    }
  }
  const std::string_view last = trim(text.substr(start));
  if (!last.empty()) parts.push_back(last);
  return parts;
}

struct TypeName {
  const char* name;
  Type type;
};
constexpr TypeName kTypeNames[] = {
    {"Tensor", Type::Tensor},       {"Tensor[]", Type::Tensors},
    {"Tensor[*]", Type::Tensors},   {"int", Type::Int},
    {"float", Type::Float},         {"bool", Type::Bool},
    {"Scalar", Type::Scalar},       {"int[]", Type::Ints},
    {"dtype", Type::DType},         {"str", Type::String},
    {"Generator", Type::Generator}, {"device", Type::Device},
    {"layout", Type::Layout},       {"memory_format", Type::MemoryFormat},
};

void parse_type(std::string_view signature, std::string_view text, Parameter& parameter,
                bool& writes) {
  if (text.ends_with('?')) {
    parameter.optional = true;
    text.remove_suffix(1);
  }
  std::string name(text);
  if (const size_t alias = name.find("(a!)"); alias != std::string::npos) {
    writes = true;
    name.erase(alias, 4);
  } else if (const size_t view = name.find("(a)"); view != std::string::npos) {
    name.erase(view, 3);
  }
  if (name.starts_with("int[") && name != "int[]") {
    parameter.fixed = name[4] - '0';
    name = "int[]";
  }
  parameter.separate = name == "Tensor[*]";
  for (const TypeName& known : kTypeNames) {
    if (name == known.name) {
      parameter.type = known.type;
      return;
    }
  }
  bad_signature(signature, core::text("unknown type '", name, "'"));
}

void parse_default(std::string_view signature, std::string_view text, Parameter& parameter) {
  parameter.has_default = true;
  parameter.default_text = text;
  if (text == "None") {
    if (!parameter.optional)
      bad_signature(signature, "default None for a parameter that is not optional");
    return;
  }
  if (text == "True" || text == "False") {
    parameter.default_number = text == "True";
  } else if (text.front() == '\'' || text.front() == '"') {
    parameter.default_string = text.substr(1, text.size() - 2);
  } else if (text == "inf" || text == "-inf") {
    const double infinity = std::numeric_limits<double>::infinity();
    parameter.default_number = text == "inf" ? infinity : -infinity;
  } else if (text.front() == '[' || text.front() == '(') {
    for (const std::string_view item : split(text.substr(1, text.size() - 2))) {
      int64_t value = 0;
      std::from_chars(item.data(), item.data() + item.size(), value);
      parameter.default_ints.push_back(value);
    }
  } else if (parameter.type == Type::DType) {
    bad_signature(signature, "a dtype's default can only be None");
  } else if (text.find_first_of(".e") != std::string_view::npos) {
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    parameter.default_number = value;
  } else {
    int64_t value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) {
      bad_signature(signature, core::text("default '", text, "'"));
    }
    parameter.default_number = value;
  }
  if (parameter.type == Type::Ints && parameter.default_ints.empty() && text.front() != '[' &&
      text.front() != '(') {
    for (int i = 0; i < std::max(1, parameter.fixed); ++i)
      parameter.default_ints.push_back(parameter.default_number.to_int());
  }
}

void note_shell(Signature& result, int index) {
  Parameter& p = result.parameters[static_cast<size_t>(index)];
  if (p.name == "out" && p.type == Type::Tensor) {
    p.type = Type::Out;
    result.out = index;
  } else if (p.name == "requires_grad" && p.type == Type::Bool) {
    p.type = Type::RequiresGrad;
    result.requires_grad = index;
  } else if (p.type == Type::Device) {
    result.device = index;
  } else if (p.type == Type::Layout) {
    result.layout = index;
  } else if (p.name == "pin_memory") {
    p.type = Type::PinMemory;
    result.pin_memory = index;
  } else if (p.type == Type::MemoryFormat) {
    result.memory_format = index;
  }
}

/// The position of the bracket that closes the one at `open`.
size_t closing(std::string_view text, size_t open) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '\'' || text[i] == '"') quoted = !quoted;
    if (quoted) continue;
    if (text[i] == '(') ++depth;
    if (text[i] == ')' && --depth == 0) return i;
  }
  bad_signature(text, "unbalanced parentheses");
}

}  // namespace

Signature parse_signature(const ops::OpEntry& entry) {
  const std::string_view text = entry.signature;
  Signature result;
  result.entry = &entry;
  const size_t open = text.find('(');
  if (open == std::string_view::npos) bad_signature(text, "no parameter list");
  const size_t close = closing(text, open);
  bool keyword_only = false;
  for (const std::string_view part : split(text.substr(open + 1, close - open - 1))) {
    if (part == "*") {
      keyword_only = true;
      continue;
    }
    const size_t equals = part.find('=');
    const std::string_view declaration = trim(part.substr(0, equals));
    const size_t space = declaration.rfind(' ');
    if (space == std::string_view::npos) bad_signature(text, core::text("parameter '", part, "'"));
    Parameter parameter;
    parameter.name = declaration.substr(space + 1);
    parameter.key = interned(parameter.name.c_str());
    bool writes = false;
    parse_type(text, trim(declaration.substr(0, space)), parameter, writes);
    if (equals != std::string_view::npos)
      parse_default(text, trim(part.substr(equals + 1)), parameter);
    if (writes && result.parameters.empty()) result.writes_first = true;
    result.parameters.push_back(std::move(parameter));
    const int index = static_cast<int>(result.parameters.size()) - 1;
    if (!keyword_only) result.positional = index + 1;
    note_shell(result, index);
  }
  if (result.parameters.size() > kMaxParameters) bad_signature(text, "too many parameters");
  for (size_t i = 0; i < result.parameters.size(); ++i) {
    const Parameter& p = result.parameters[i];
    if (!p.has_default && static_cast<int>(i) < result.positional)
      result.required = static_cast<int>(i) + 1;
    const bool shell = p.type >= Type::Out;
    result.has_shell |= shell;
    if (!shell) result.order.push_back(static_cast<int>(i));
  }
  result.own = entry.parameter_count;
  if (static_cast<int>(result.order.size()) != result.own) {
    bad_signature(text, core::text("has ", result.order.size(),
                                   " parameters of the function, which takes ", result.own));
  }
  const size_t arrow = text.find("->", close);
  result.result_text =
      arrow == std::string_view::npos ? "()" : std::string(trim(text.substr(arrow + 2)));
  if (result.result_text.starts_with('(') && result.result_text != "()") {
    result.tuple_result = true;
    for (const std::string_view part :
         split(std::string_view(result.result_text).substr(1, result.result_text.size() - 2))) {
      const size_t space = part.rfind(' ');
      if (space != std::string_view::npos) result.result_names.emplace_back(part.substr(space + 1));
    }
  }
  return result;
}

// --- binding
// ---------------------------------------------------------------------------------------------------------

namespace {

/// NumPy's spellings, and PyTorch's for the first argument.
bool is_alias(const Parameter& parameter, int index, std::string_view given) {
  if (parameter.name == "dim" || parameter.name == "dims")
    return given == "axis" || given == "axes" || given == "dim";
  if (parameter.name == "keepdim") return given == "keepdims";
  if (index == 0 && (parameter.name == "input" || parameter.name == "self")) {
    return given == "self" || given == "input" || given == "x" || given == "a" || given == "x1";
  }
  if (parameter.name == "other") return given == "x2";
  if (parameter.name == "exponent") return given == "other";
  return false;
}

int find_keyword(const Signature& signature, PyObject* key) {
  const auto& parameters = signature.parameters;
  const int count = static_cast<int>(parameters.size());
  for (int i = 0; i < count; ++i) {
    if (parameters[static_cast<size_t>(i)].key == key) return i;
  }
  for (int i = 0; i < count; ++i) {
    if (PyUnicode_Compare(parameters[static_cast<size_t>(i)].key, key) == 0) return i;
  }
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(key, &size);
  if (!text) {
    PyErr_Clear();
    return -1;
  }
  for (int i = 0; i < count; ++i) {
    if (is_alias(parameters[static_cast<size_t>(i)], i, {text, static_cast<size_t>(size)}))
      return i;
  }
  return -1;
}

/// x.view(2, 3): a list of integers, or of tensors by Tensor[*], may be given as separate arguments
/// where it is the only positional parameter.
int varargs_parameter(const Signature& signature, bool is_method) {
  const int first = is_method ? 1 : 0;
  if (signature.positional != first + 1) return -1;
  const Parameter& p = signature.parameters[static_cast<size_t>(first)];
  return p.separate || (p.type == Type::Ints && p.fixed == 0) ? first : -1;
}

bool is_element(const Parameter& p, PyObject* object) {
  return p.type == Type::Tensors ? is_tensor(object) : is_integer_like(object);
}

}  // namespace

bool Call::bind(const Signature& signature, bool is_method, Arguments args, Py_ssize_t nargs,
                PyObject* kwnames) {
  const int count = static_cast<int>(signature.parameters.size());
  for (int i = 0; i < count; ++i) slots_[i] = nullptr;
  varargs_ = -1;
  const int list = varargs_parameter(signature, is_method);
  if (list >= 0 && (nargs == 0 || nargs > list) &&
      (nargs > list + 1 ||
       (nargs == list + 1 &&
        is_element(signature.parameters[static_cast<size_t>(list)], args[list])))) {
    varargs_ = list;
    varargs_begin_ = args + list;
    varargs_count_ = static_cast<int>(nargs) - list;
    for (int i = 0; i < list; ++i) slots_[i] = args[i];
    slots_[list] = args[list];
  } else {
    if (nargs > signature.positional) return false;
    for (Py_ssize_t i = 0; i < nargs; ++i) slots_[i] = args[i];
  }
  const Py_ssize_t keywords = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
  for (Py_ssize_t k = 0; k < keywords; ++k) {
    const int found = find_keyword(signature, PyTuple_GET_ITEM(kwnames, k));
    if (found < 0 || slots_[found]) return false;
    slots_[found] = args[nargs + k];
  }
  for (int i = 0; i < signature.required; ++i) {
    const Parameter& p = signature.parameters[static_cast<size_t>(i)];
    if (slots_[i] || p.has_default) continue;
    if (i == list) {  // zeros() of no sizes at all, as x.view() is an error but tensors of 0
                      // dimensions exist
      if (keywords == 0 && nargs == i) return false;
    }
    return false;
  }
  for (int i = signature.positional; i < count; ++i) {
    if (!slots_[i] && !signature.parameters[static_cast<size_t>(i)].has_default) return false;
  }
  return true;
}

namespace {

/// Operands of arithmetic, where a number may stand for a 0-d tensor; an index or a weight must be
/// a tensor.
bool takes_numbers(const Parameter& p) {
  for (const std::string_view name :
       {"other", "input", "exponent", "value", "min", "max", "end", "self"}) {
    if (p.name == name) return true;
  }
  return false;
}

/// A 0-d tensor may stand for a number where no gradient or tangent would be lost by it.
bool is_plain_0d(PyObject* object) {
  if (!is_tensor(object)) return false;
  const Tensor& tensor = unwrap(object);
  return tensor.dim() == 0 && !tensor.requires_grad() && !tensor->has(TensorImpl::kHasTangent);
}

}  // namespace

bool Call::matches_one(const Parameter& p, PyObject* object, bool numbers) const {
  if (object == Py_None) return p.optional;
  switch (p.type) {
    case Type::Tensor:
      return is_tensor(object) || (numbers && !p.optional && takes_numbers(p) && is_number(object));
    case Type::Scalar:
      return is_number(object) || is_plain_0d(object);
    case Type::Int:
      return is_integer_like(object);
    case Type::Float:
      return is_number(object) || is_plain_0d(object);
    case Type::Bool:
      return PyBool_Check(object) || type_name(object).starts_with("numpy.bool");
    case Type::Ints:
      return is_int_list(object) || (p.fixed > 0 && is_integer_like(object));
    case Type::Tensors: {
      if (!PyTuple_Check(object) && !PyList_Check(object)) return false;
      const Py_ssize_t count = PySequence_Fast_GET_SIZE(object);
      return count == 0 || is_tensor(PySequence_Fast_GET_ITEM(object, 0));
    }
    case Type::DType:
      return as_dtype(object).has_value();
    case Type::String:
      return PyUnicode_Check(object);
    case Type::Generator:
      return Py_TYPE(object) == generator_type || PyType_IsSubtype(Py_TYPE(object), generator_type);
    case Type::Out:
      return is_tensor(object) || PyTuple_Check(object) || PyList_Check(object);
    case Type::RequiresGrad:
    case Type::PinMemory:
      return PyBool_Check(object);
    case Type::Device:
      return is_device_like(object) || PyLong_Check(object);
    case Type::Layout:
      return Py_TYPE(object) == layout_type;
    case Type::MemoryFormat:
      return Py_TYPE(object) == memory_format_type;
  }
  return false;
}

bool Call::matches_varargs(const Parameter& parameter) const {
  return std::all_of(varargs_begin_, varargs_begin_ + varargs_count_,
                     [&](PyObject* object) { return is_element(parameter, object); });
}

bool Call::matches(const Signature& signature, bool numbers) const {
  const size_t count = signature.parameters.size();
  for (size_t i = 0; i < count; ++i) {
    PyObject* object = slots_[i];
    if (!object) continue;
    if (static_cast<int>(i) == varargs_) {
      if (!matches_varargs(signature.parameters[i])) return false;
      continue;
    }
    const Parameter& p = signature.parameters[i];
    if (p.type == Type::Tensor && is_exact_tensor(object)) [[likely]]
      continue;
    if (!matches_one(p, object, numbers)) return false;
  }
  return true;
}

// --- conversion
// ------------------------------------------------------------------------------------------------------

Call::~Call() {
  ops::Argument* arguments = list();
  for (int i = 0; i < constructed_; ++i) {
    if (borrowed_ >> i & 1) arguments[i].tensor.leak();
    arguments[i].~Argument();
  }
}

void Call::replace_first(Tensor tensor) {
  Tensor& first = list()[0].tensor;
  if (borrowed_ & 1u) first.leak();
  borrowed_ &= ~1u;
  first = std::move(tensor);
}

void Call::convert_default(const Parameter& p, ops::Argument& argument) {
  using Kind = ops::Argument::Kind;
  if (p.optional && p.default_text == "None")
    return;  // Kind::None, undefined tensor, null generator
  switch (p.type) {
    case Type::Int:
      argument.kind = Kind::Int;
      argument.integer = p.default_number.to_int();
      break;
    case Type::Float:
      argument.kind = Kind::Float;
      argument.floating = p.default_number.to_double();
      break;
    case Type::Bool:
      argument.kind = Kind::Bool;
      argument.boolean = p.default_number.to_bool();
      break;
    case Type::Scalar:
      argument.kind = Kind::Scalar;
      argument.scalar = p.default_number;
      break;
    case Type::Ints:
      argument.kind = Kind::Ints;
      argument.integers = p.default_ints;
      break;
    case Type::String:
      argument.kind = Kind::String;
      argument.string = p.default_string;
      break;
    default:
      break;
  }
}

void Call::convert_one(const Signature& signature, const Parameter& p, PyObject* object,
                       ops::Argument& argument) {
  using Kind = ops::Argument::Kind;
  const auto what = [&] {
    return std::string(signature.entry->name()) + "(): argument '" + p.name + "'";
  };
  switch (p.type) {
    case Type::Tensor:
      argument.kind = Kind::Tensor;
      argument.tensor = as_tensor_or_number(object);
      break;
    case Type::Tensors: {
      argument.kind = Kind::Tensors;
      const Py_ssize_t count = PySequence_Fast_GET_SIZE(object);
      PyObject** items = PySequence_Fast_ITEMS(object);
      argument.tensors.reserve(static_cast<size_t>(count));
      int64_t total = 0;
      for (Py_ssize_t i = 0; i < count; ++i) {
        if (!is_tensor(items[i])) {
          raise(PyExc_TypeError,
                "%s must be tuple of Tensors, but found element of type %s at pos %zd",
                what().c_str(), type_name(items[i]).c_str(), i);
        }
        argument.tensors.push_back(unwrap(items[i]));
        total += unwrap(items[i]).numel();
      }
      large_ |= total >= kReleaseGilElements;
      break;
    }
    case Type::Int:
      argument.kind = Kind::Int;
      argument.integer = as_int(object);
      break;
    case Type::Float:
      argument.kind = Kind::Float;
      argument.floating = as_scalar(object).to_double();
      break;
    case Type::Bool:
      argument.kind = Kind::Bool;
      argument.boolean = checked(PyObject_IsTrue(object)) != 0;
      break;
    case Type::Scalar:
      argument.kind = Kind::Scalar;
      argument.scalar = as_scalar(object);
      break;
    case Type::Ints: {
      argument.kind = Kind::Ints;
      if (p.fixed > 0 && !PyTuple_Check(object) && !PyList_Check(object)) {
        const int64_t value = as_int(object);
        for (int i = 0; i < p.fixed; ++i) argument.integers.push_back(value);
      } else {
        as_ints(object, what().c_str(), argument.integers);
      }
      int64_t product = 1;
      for (const int64_t value : argument.integers) {
        if (__builtin_mul_overflow(product, value, &product)) break;
      }
      large_ |= product >= kReleaseGilElements;
      break;
    }
    case Type::DType:
      argument.kind = Kind::DType;
      argument.dtype = *as_dtype(object);
      break;
    case Type::String: {
      argument.kind = Kind::String;
      Py_ssize_t size = 0;
      const char* data = PyUnicode_AsUTF8AndSize(object, &size);
      if (!data) raise_current();
      argument.string = {data, static_cast<size_t>(size)};
      break;
    }
    case Type::Generator:
      argument.kind = Kind::Generator;
      argument.generator = generator_of(object);
      break;
    default:
      break;
  }
}

void Call::convert(const Signature& signature) {
  for (int i = 0; i < signature.own; ++i) {
    const int at = signature.order[static_cast<size_t>(i)];
    const Parameter& p = signature.parameters[static_cast<size_t>(at)];
    auto* argument = new (storage_ + static_cast<size_t>(i) * sizeof(ops::Argument)) ops::Argument;
    ++constructed_;
    PyObject* object = slots_[at];
    if (at == varargs_ && p.type == Type::Tensors) {
      argument->kind = ops::Argument::Kind::Tensors;
      for (int k = 0; k < varargs_count_; ++k) {
        argument->tensors.push_back(unwrap(varargs_begin_[k]));
        large_ |= argument->tensors.back().numel() >= kReleaseGilElements;
      }
    } else if (!object) {
      convert_default(p, *argument);
    } else if (p.type == Type::Tensor && is_tensor(object)) {
      const Tensor& tensor = unwrap(object);
      argument->kind = ops::Argument::Kind::Tensor;
      new (&argument->tensor) Tensor(Tensor::adopt(tensor.impl()));
      borrowed_ |= 1u << i;
      large_ |= tensor.numel() >= kReleaseGilElements;
    } else if (at == varargs_) {
      argument->kind = ops::Argument::Kind::Ints;
      for (int k = 0; k < varargs_count_; ++k)
        argument->integers.push_back(as_int(varargs_begin_[k]));
    } else if (object != Py_None) {
      convert_one(signature, p, object, *argument);
    }
  }
}

// --- errors
// ----------------------------------------------------------------------------------------------------------

namespace {

const char* expected_name(const Parameter& p) {
  switch (p.type) {
    case Type::Tensor:
    case Type::Out:
      return "Tensor";
    case Type::Tensors:
      return "tuple of Tensors";
    case Type::Int:
      return "int";
    case Type::Float:
      return "float";
    case Type::Bool:
    case Type::RequiresGrad:
    case Type::PinMemory:
      return "bool";
    case Type::Scalar:
      return "Number";
    case Type::Ints:
      return p.fixed > 0 ? "int or tuple of ints" : "tuple of ints";
    case Type::DType:
      return "dtype";
    case Type::String:
      return "str";
    case Type::Generator:
      return "Generator";
    case Type::Device:
      return "device";
    case Type::Layout:
      return "layout";
    case Type::MemoryFormat:
      return "memory_format";
  }
  return "";
}

std::string given_name(PyObject* object) {
  if ((PyTuple_Check(object) || PyList_Check(object)) && PySequence_Fast_GET_SIZE(object) > 0) {
    return type_name(object) + " of " + type_name(PySequence_Fast_GET_ITEM(object, 0));
  }
  return object == Py_None ? "None" : type_name(object);
}

}  // namespace

std::string Call::explain(const Signature& signature, bool is_method, Arguments args,
                          Py_ssize_t nargs, PyObject* kwnames, bool numbers) {
  const int self = is_method ? 1 : 0;
  const auto& parameters = signature.parameters;
  if (!bind(signature, is_method, args, nargs, kwnames)) {
    if (nargs > signature.positional && varargs_ < 0) {
      return core::text("takes ", signature.positional - self, " positional argument",
                        signature.positional - self == 1 ? "" : "s", " but ", nargs - self,
                        nargs - self == 1 ? " was given" : " were given");
    }
    const Py_ssize_t keywords = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t k = 0; k < keywords; ++k) {
      PyObject* key = PyTuple_GET_ITEM(kwnames, k);
      const int found = find_keyword(signature, key);
      if (found < 0) return "got an unexpected keyword argument '" + to_string(key) + "'";
      if (found < nargs)
        return "got multiple values for argument '" + parameters[static_cast<size_t>(found)].name +
               "'";
    }
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (slots_[i] || parameters[i].has_default) continue;
      return core::text("missing required argument '", parameters[i].name, "' (position ",
                        static_cast<int>(i) + 1 - self, ")");
    }
    return "got arguments that do not fit";
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    PyObject* object = slots_[i];
    if (!object) continue;
    if (static_cast<int>(i) == varargs_) {
      for (int k = 0; k < varargs_count_; ++k) {
        if (is_element(parameters[i], varargs_begin_[k])) continue;
        return core::text("argument '", parameters[i].name, "' must be tuple of ",
                          parameters[i].separate ? "Tensors" : "ints",
                          ", but found element of type ", type_name(varargs_begin_[k]), " at pos ",
                          k);
      }
      continue;
    }
    if (matches_one(parameters[i], object, numbers)) continue;
    std::string position;
    if (static_cast<Py_ssize_t>(i) < nargs)
      position = core::text(" (position ", static_cast<int>(i) + 1 - self, ")");
    return core::text("argument '", parameters[i].name, "'", position, " must be ",
                      expected_name(parameters[i]), ", not ", given_name(object));
  }
  return "";
}

}  // namespace tapegrad::python
