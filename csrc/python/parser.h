// Signatures of the op table, and the binding of Python arguments to them. Knows no operation by
// name.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "ops/registry.h"
#include "python/convert.h"

namespace tapegrad::python {

enum class Type : uint8_t {
  Tensor,
  Tensors,
  Int,
  Float,
  Bool,
  Scalar,
  Ints,
  DType,
  String,
  Generator,
  Out,
  RequiresGrad,
  Device,
  Layout,
  PinMemory,
  MemoryFormat
};

struct Parameter {
  std::string name;
  PyObject* key;  // the name, interned
  Type type;
  bool optional = false;  // None is allowed
  bool has_default = false;
  int fixed = 0;          // int[k]: a single int stands for k of them
  bool separate = false;  // Tensor[*]: may be given as separate arguments
  std::string default_text;
  Scalar default_number;  // Int, Float, Bool, Scalar
  Dims default_ints;
  std::string default_string;
};

inline constexpr int kMaxParameters = 24;

struct Signature {
  const ops::OpEntry* entry;
  std::vector<Parameter> parameters;
  int positional = 0;      // how many may be given by position
  int required = 0;        // the first parameters, which have no default
  int own = 0;             // the parameters of the C++ function come first in `order`
  std::vector<int> order;  // C++ parameter i is parameters[order[i]]
  bool has_shell = false;  // there are parameters that belong to the parser, not to the function
  int out = -1, requires_grad = -1, device = -1, layout = -1, pin_memory = -1, memory_format = -1;
  std::vector<std::string> result_names;  // of a named tuple
  bool tuple_result = false;
  bool writes_first = false;  // Tensor(a!)
  std::string result_text;
};

/// Throws std::invalid_argument on a signature that it does not understand.
Signature parse_signature(const ops::OpEntry& entry);

/// The arguments of one call, in C++ form. Tensors are borrowed from the Python arguments.
class Call {
 public:
  Call() = default;
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  /// Fills slots; false (without an error set) when names or counts do not fit.
  bool bind(const Signature& signature, bool is_method, Arguments args, Py_ssize_t nargs,
            PyObject* kwnames);
  /// Whether every bound object has the type that the signature wants. With `numbers`, numbers
  /// stand for tensors.
  bool matches(const Signature& signature, bool numbers) const;
  /// Converts; call after matches().
  void convert(const Signature& signature);
  const ops::Argument* arguments() const { return list(); }
  /// Lets the function see another tensor as its first argument.
  void replace_first(Tensor tensor);
  PyObject* slot(int i) const { return i < 0 ? nullptr : slots_[i]; }
  bool is_large() const { return large_; }

  /// Why bind() or matches() said no.
  std::string explain(const Signature& signature, bool is_method, Arguments args, Py_ssize_t nargs,
                      PyObject* kwnames, bool numbers);

 private:
  ops::Argument* list() const {
    return const_cast<ops::Argument*>(reinterpret_cast<const ops::Argument*>(storage_));
  }
  bool matches_varargs(const Parameter& parameter) const;
  bool matches_one(const Parameter& parameter, PyObject* object, bool numbers) const;
  void convert_one(const Signature& signature, const Parameter& parameter, PyObject* object,
                   ops::Argument& argument);
  void convert_default(const Parameter& parameter, ops::Argument& argument);

  PyObject* slots_[kMaxParameters];
  int varargs_ = -1;  // parameter that takes all positional arguments from varargs_begin_ on
  Arguments varargs_begin_ = nullptr;
  int varargs_count_ = 0;
  int constructed_ = 0;
  uint32_t borrowed_ = 0;  // bit i: arguments[i].tensor is borrowed
  bool large_ = false;
  alignas(ops::Argument) char storage_[kMaxParameters * sizeof(ops::Argument)];
};

}  // namespace tapegrad::python
