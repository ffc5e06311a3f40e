#include "python/optim.h"

#include <vector>

#include "optim/adam.h"
#include "optim/sgd.h"
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

PyObject* sgd(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<10> bound("sgd_",
                        {"params", "grads", "momentum_buffers", "first", "lr", "momentum",
                         "dampening", "weight_decay", "nesterov", "maximize"},
                        10, args, nargs, kwnames);
  const TensorSequence params(bound[0], "sgd_", "params");
  const std::vector<Tensor> grads = gradients(bound[1], params, "sgd_");
  const TensorSequence buffers(bound[2], "sgd_", "momentum_buffers");
  std::vector<uint8_t> first;
  if (bound.has(3)) {
    const Ref items = checked(PySequence_Fast(bound[3], "first must be a list of bool, or None"));
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
      first.push_back(flag(PySequence_Fast_GET_ITEM(items.get(), i)));
    }
  }
  const SGDOptions options{.lr = number(bound[4]),
                           .momentum = number(bound[5]),
                           .dampening = number(bound[6]),
                           .weight_decay = number(bound[7]),
                           .nesterov = flag(bound[8]),
                           .maximize = flag(bound[9])};
  {
    const ReleaseGil released(params.is_large());
    optim::sgd_(params, grads, buffers, first, options);
  }
  Py_RETURN_NONE;
}

PyObject* adam(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<14> bound(
      "adam_",
      {"params", "grads", "exp_avgs", "exp_avg_sqs", "max_exp_avg_sqs", "steps", "lr", "beta1",
       "beta2", "eps", "weight_decay", "amsgrad", "maximize", "decoupled"},
      14, args, nargs, kwnames);
  const TensorSequence params(bound[0], "adam_", "params");
  const std::vector<Tensor> grads = gradients(bound[1], params, "adam_");
  const TensorSequence means(bound[2], "adam_", "exp_avgs");
  const TensorSequence squares(bound[3], "adam_", "exp_avg_sqs");
  const TensorSequence maxima(bound[4], "adam_", "max_exp_avg_sqs");
  const TensorSequence steps(bound[5], "adam_", "steps");
  const AdamOptions options{.lr = number(bound[6]),
                            .beta1 = number(bound[7]),
                            .beta2 = number(bound[8]),
                            .eps = number(bound[9]),
                            .weight_decay = number(bound[10]),
                            .amsgrad = flag(bound[11]),
                            .maximize = flag(bound[12]),
                            .decoupled_weight_decay = flag(bound[13])};
  {
    const ReleaseGil released(params.is_large());
    optim::adam_(params, grads, means, squares, maxima, steps, options);
  }
  Py_RETURN_NONE;
}

}  // namespace

void add_optim(PyObject* module) {
  static PyMethodDef functions[] = {
      method<&sgd>("sgd_",
                   "One step of SGD over a list of parameters; see tapegrad.optim._kernels."),
      method<&adam>("adam_",
                    "One step of Adam over a list of parameters; see tapegrad.optim._kernels."),
      {nullptr, nullptr, 0, nullptr}};
  checked(PyModule_AddFunctions(module, functions));
}

}  // namespace tapegrad::python
