#include "python/transforms.h"

#include <string>

#include "autograd/engine.h"
#include "autograd/lifted.h"
#include "autograd/meta.h"
#include "core/thread_state.h"
#include "python/autograd.h"
#include "python/convert.h"
#include "tapegrad/error.h"

namespace tapegrad::python {

namespace {

using autograd::Level;
using autograd::Randomness;

Randomness randomness_of(PyObject* object) {
  const std::string name = to_string(object);
  if (name == "error") return Randomness::Error;
  if (name == "same") return Randomness::Same;
  if (name == "different") return Randomness::Different;
  raise(PyExc_ValueError, "vmap: randomness must be 'error', 'different' or 'same', got '%s'",
        name.c_str());
}

PyObject* open_batch(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<2> bound("_open_batch_level", {"size", "randomness"}, 2, args, nargs, kwnames);
  return PyLong_FromLong(
      autograd::open_level(Level::Kind::Batch, as_int(bound[0]), randomness_of(bound[1])));
}
PyObject* close_batch(PyObject*, PyObject* level) {
  autograd::close_level("vmap", static_cast<int>(as_int(level)));
  Py_RETURN_NONE;
}
PyObject* open_grad(PyObject*) { return PyLong_FromLong(autograd::open_level(Level::Kind::Grad)); }
PyObject* close_grad(PyObject*, PyObject* level) {
  autograd::close_grad_level(static_cast<int>(as_int(level)));
  Py_RETURN_NONE;
}
PyObject* open_taylor(PyObject*, PyObject* order) {
  return PyLong_FromLong(autograd::open_level(Level::Kind::Taylor, as_int(order)));
}
PyObject* open_laplacian(PyObject*, PyObject* batch) {
  return PyLong_FromLong(autograd::open_level(Level::Kind::Laplacian, as_int(batch)));
}
PyObject* close_taylor(PyObject*, PyObject* level) {
  autograd::close_level("taylor", static_cast<int>(as_int(level)));
  Py_RETURN_NONE;
}
PyObject* make_curve(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<3> bound("_make_curve", {"tensor", "coefficients", "level"}, 3, args, nargs, kwnames);
  const int level = static_cast<int>(as_int(bound[2]));
  const Tensor curve = autograd::strip_tangent(expect_tensor(bound[0], "taylor", "primal"), level);
  autograd::set_series(curve, level, tensor_list(bound[1], "taylor", "coefficients"));
  return wrap(curve);
}
PyObject* unpack_curve(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<2> bound("_unpack_curve", {"tensor", "level"}, 2, args, nargs, kwnames);
  const Tensor& curve = expect_tensor(bound[0], "taylor", "output");
  const int level = static_cast<int>(as_int(bound[1]));
  const std::vector<Tensor> series = autograd::series_at(curve, level);
  return Py_BuildValue("(NN)", wrap(autograd::strip_tangent(curve, level)),
                       wrap_tuple(series.data(), series.size()));
}
PyObject* any_open(PyObject*) { return PyBool_FromLong(autograd::any_level_open()); }

PyObject* lift_tensor(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<3> bound("_lift", {"tensor", "dim", "level"}, 3, args, nargs, kwnames);
  return wrap(autograd::lift(expect_tensor(bound[0], "lift", "tensor"),
                             static_cast<int>(as_int(bound[1])),
                             static_cast<int>(as_int(bound[2]))));
}
PyObject* lower_tensor(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<2> bound("_lower", {"tensor", "level"}, 2, args, nargs, kwnames);
  return wrap(autograd::lower(expect_tensor(bound[0], "lower", "tensor"),
                              static_cast<int>(as_int(bound[1]))));
}
PyObject* lower_batch_tensor(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<4> bound("_lower_batch", {"tensor", "dim", "level", "size"}, 4, args, nargs, kwnames);
  return wrap(autograd::lower_batch(expect_tensor(bound[0], "vmap", "output"),
                                    static_cast<int>(as_int(bound[1])),
                                    static_cast<int>(as_int(bound[2])), as_int(bound[3])));
}
PyObject* level_of_tensor(PyObject*, PyObject* tensor) {
  return PyLong_FromLong(autograd::level_of(expect_tensor(tensor, "level_of", "tensor")));
}
PyObject* has_other_leaves(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<2> bound("_has_other_leaves", {"outputs", "inputs"}, 2, args, nargs, kwnames);
  return PyBool_FromLong(autograd::reaches_other_leaves(tensor_list(bound[0], "grad", "outputs"),
                                                        tensor_list(bound[1], "grad", "inputs")));
}
/// Of the tensor itself or of one below a level.
PyObject* requires_grad_below(PyObject*, PyObject* object) {
  Tensor tensor = expect_tensor(object, "requires_grad_below", "tensor");
  while (true) {
    if (tensor.requires_grad()) Py_RETURN_TRUE;
    if (autograd::level_of(tensor) < 0) Py_RETURN_FALSE;
    tensor = autograd::lifted(tensor).inner;
  }
}
PyObject* set_silent(PyObject*, PyObject* level) {
  return PyLong_FromLong(
      std::exchange(core::thread_state.silent_level, static_cast<int>(as_int(level))));
}

}  // namespace

void add_transforms(PyObject* module) {
  static PyMethodDef functions[] = {
      method<&open_batch>("_open_batch_level", "Open a level of vmap; returns its number."),
      method<&close_batch>("_close_batch_level", "Close a level of vmap."),
      method<&open_grad>("_open_grad_level", "Open a grad level; returns its number."),
      method<&close_grad>("_close_grad_level", "Close a grad level."),
      method<&open_taylor>("_open_taylor_level", "Open a Taylor level of some order."),
      method<&open_laplacian>("_open_laplacian_level",
                              "Open a Laplacian level whose tangents lie on a batch level."),
      method<&close_taylor>("_close_taylor_level", "Close a Taylor level."),
      method<&make_curve>("_make_curve", "A tensor with Taylor coefficients 1, 2, ..."),
      method<&unpack_curve>("_unpack_curve", "A tensor and its Taylor coefficients 1, 2, ..."),
      method<&any_open>("_any_level_open", "Whether a transform is open on this thread."),
      method<&lift_tensor>("_lift", "A tensor seen from inside a level; dim -1: not batched."),
      method<&lower_tensor>("_lower", "What a tensor is outside of a grad level."),
      method<&lower_batch_tensor>("_lower_batch", "All samples of a tensor of a batch level."),
      method<&level_of_tensor>("_level_of", "The level a tensor belongs to; -1 for none."),
      method<&has_other_leaves>("_has_other_leaves",
                                "Whether outputs depend on leaves that are not among the inputs."),
      method<&requires_grad_below>("_requires_grad_below",
                                   "Whether a tensor, or what it was lifted from, requires grad."),
      method<&set_silent>("_set_silent_level",
                          "Do not record on the tape of this grad level; returns the previous."),
      {nullptr, nullptr, 0, nullptr}};
  checked(PyModule_AddFunctions(module, functions));
}

}  // namespace tapegrad::python
