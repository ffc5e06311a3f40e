#include "python/optim.h"

#include <vector>

#include "optim/update.h"
#include "python/convert.h"

namespace tapegrad::python {

namespace {

/// Tensors of a Python sequence, kept alive while the GIL is released.
class TensorSequence {
 public:
  TensorSequence(PyObject* object, const char* function, const char* argument) {
    if (!object || object == Py_None) return;
    if (!PyList_Check(object) && !PyTuple_Check(object)) {
      raise(PyExc_TypeError, "%s(): argument '%s' must be a list of Tensors, not %s", function,
            argument, type_name(object).c_str());
    }
    items_ = checked(PySequence_Tuple(object));
    const Py_ssize_t count = PyTuple_GET_SIZE(items_.get());
    refs_.reserve(static_cast<size_t>(count));
    for (Py_ssize_t i = 0; i < count; ++i) {
      const Tensor& tensor = expect_tensor(PyTuple_GET_ITEM(items_.get(), i), function, argument);
      refs_.push_back(&tensor);
      numel_ += tensor.numel();
    }
  }
  operator optim::TensorRefs() const { return refs_; }
  const std::vector<const Tensor*>& refs() const { return refs_; }
  bool is_large() const { return numel_ >= kReleaseGilElements; }

 private:
  Ref items_;
  std::vector<const Tensor*> refs_;
  int64_t numel_ = 0;
};

/// The gradients given, None for parameters to skip; or those of the parameters themselves.
std::vector<Tensor> gradients(PyObject* object, const TensorSequence& params,
                              const char* function) {
  std::vector<Tensor> result;
  result.reserve(params.refs().size());
  if (!object || object == Py_None) {
    for (const Tensor* param : params.refs()) result.push_back(param->grad());
    return result;
  }
  const Ref items =
      checked(PySequence_Fast(object, "grads must be a list of Tensors and None, or None"));
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
    result.push_back(item == Py_None ? Tensor() : expect_tensor(item, function, "grads"));
  }
  return result;
}

double number(PyObject* object) { return as_scalar(object).to_double(); }
bool flag(PyObject* object) { return checked(PyObject_IsTrue(object)) != 0; }

/// Lists of tensors, one an entry of `names`.
class TensorSequences {
 public:
  TensorSequences(PyObject* object, const char* argument, const std::vector<const char*>& names) {
    const Ref items = checked(PySequence_Tuple(object));
    const auto count = static_cast<size_t>(PyTuple_GET_SIZE(items.get()));
    if (count != names.size()) {
      raise(PyExc_ValueError, "update_(): argument '%s' must have %zu lists for this rule, got %zu",
            argument, names.size(), count);
    }
    lists_.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      lists_.emplace_back(PyTuple_GET_ITEM(items.get(), static_cast<Py_ssize_t>(i)), "update_",
                          names[i]);
      refs_.push_back(lists_.back());
    }
  }
  std::span<const optim::TensorRefs> refs() const { return refs_; }

 private:
  std::vector<TensorSequence> lists_;
  std::vector<optim::TensorRefs> refs_;
};

/// Hyperparameters in the order of the rule: a tuple of numbers.
std::vector<double> numbers(PyObject* object, const optim::Rule& rule) {
  const Ref items = checked(PySequence_Tuple(object));
  std::vector<double> result;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.get()); ++i) {
    PyObject* item = PyTuple_GET_ITEM(items.get(), i);
    if (!is_number(item) && !is_tensor(item)) {
      const auto k = static_cast<size_t>(i);
      raise(PyExc_TypeError, "update_(): %s must be a number, not %s",
            k < rule.options.size() ? rule.options[k] : "an option", type_name(item).c_str());
    }
    result.push_back(number(item));
  }
  return result;
}

PyObject* update(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<12> bound("update_",
                        {"rule", "name", "params", "grads", "states", "scalars", "options",
                         "factor", "weight_decay", "shrink", "first", "check_only"},
                        7, args, nargs, kwnames);
  const optim::Rule& rule = optim::find_rule(to_string(bound[0]));
  const std::string name = to_string(bound[1]);
  const TensorSequence params(bound[2], "update_", "params");
  const std::vector<Tensor> grads = gradients(bound[3], params, "update_");
  const TensorSequences states(bound[4], "states", rule.states);
  const TensorSequences scalars(bound[5], "scalars", rule.scalars);
  const std::vector<double> options = numbers(bound[6], rule);
  std::vector<uint8_t> first;
  if (bound.has(10)) {
    const Ref items = checked(PySequence_Fast(bound[10], "first must be a list of bool, or None"));
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
      first.push_back(flag(PySequence_Fast_GET_ITEM(items.get(), i)));
    }
  }
  const auto common = [&](int i, double otherwise) {
    return bound.has(i) ? number(bound[i]) : otherwise;
  };
  const optim::StepOptions step{.options = options,
                                .common = {common(7, 1), common(8, 0), common(9, 1)},
                                .check_only = bound.has(11) && flag(bound[11])};
  {
    const ReleaseGil released(params.is_large());
    optim::update_(rule, name.c_str(), params, grads,
                   {.states = states.refs(), .scalars = scalars.refs(), .first = first}, step);
  }
  Py_RETURN_NONE;
}

PyObject* rules(PyObject*) {
  const auto names = [](const std::vector<const char*>& from) {
    Ref tuple = checked(PyTuple_New(static_cast<Py_ssize_t>(from.size())));
    for (size_t i = 0; i < from.size(); ++i) {
      PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i),
                       checked(PyUnicode_FromString(from[i])).release());
    }
    return tuple;
  };
  Ref result = checked(PyDict_New());
  for (const optim::Rule& rule : optim::all_rules()) {
    const Ref entry = checked(PyTuple_Pack(3, names(rule.states).get(), names(rule.scalars).get(),
                                           names(rule.options).get()));
    checked(PyDict_SetItemString(result.get(), rule.name, entry.get()));
  }
  return result.release();
}

}  // namespace

void add_optim(PyObject* module) {
  static PyMethodDef functions[] = {
      method<&update>("update_",
                      "One step of a rule over a list of parameters; see tapegrad.optim._kernels."),
      method<&rules>("rules", "The rules: name -> (states, scalars, options)."),
      {nullptr, nullptr, 0, nullptr}};
  checked(PyModule_AddFunctions(module, functions));
}

}  // namespace tapegrad::python
