#include "python/io.h"

#include "python/convert.h"
#include "python/tensor.h"
#include "tapegrad/io.h"

namespace tapegrad::python {

namespace {

/// A str, bytes or path object in the encoding of the file system.
std::string path_of(PyObject* object) {
  PyObject* bytes = nullptr;
  if (!PyUnicode_FSConverter(object, &bytes)) raise_current();
  const Ref owner = Ref::steal(bytes);
  return {PyBytes_AS_STRING(bytes), static_cast<size_t>(PyBytes_GET_SIZE(bytes))};
}

std::string text_of(PyObject* object, const char* what) {
  if (!PyUnicode_Check(object)) {
    raise(PyExc_TypeError, "save_safetensors(): %s must be str, not %s", what,
          type_name(object).c_str());
  }
  Py_ssize_t size = 0;
  const char* data = PyUnicode_AsUTF8AndSize(object, &size);
  if (!data) raise_current();
  return {data, static_cast<size_t>(size)};
}

Ref text_from(const std::string& text) {
  return checked(PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size())));
}

PyObject* save(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<3> bound("save_safetensors", {"tensors", "path", "metadata"}, 2, args, nargs,
                       kwnames);
  if (!PyDict_Check(bound[0])) {
    raise(PyExc_TypeError,
          "save_safetensors(): argument 'tensors' must be a dict of Tensors, not %s",
          type_name(bound[0]).c_str());
  }
  NamedTensors tensors;
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  for (Py_ssize_t at = 0; PyDict_Next(bound[0], &at, &key, &value);) {
    std::string name = text_of(key, "names");
    if (!is_tensor(value)) {
      raise(PyExc_TypeError, "save_safetensors(): '%s' must be a Tensor, not %s", name.c_str(),
            type_name(value).c_str());
    }
    tensors.emplace_back(std::move(name), unwrap(value));
  }
  Metadata metadata;
  if (bound.has(2)) {
    if (!PyDict_Check(bound[2])) {
      raise(PyExc_TypeError,
            "save_safetensors(): argument 'metadata' must be a dict of str, not %s",
            type_name(bound[2]).c_str());
    }
    for (Py_ssize_t at = 0; PyDict_Next(bound[2], &at, &key, &value);) {
      metadata.emplace(text_of(key, "metadata"), text_of(value, "metadata"));
    }
  }
  const std::string path = path_of(bound[1]);
  {
    const ReleaseGil release;
    save_safetensors(tensors, path, metadata);
  }
  Py_RETURN_NONE;
}

PyObject* load(PyObject*, PyObject* object) {
  const std::string path = path_of(object);
  SafetensorsFile file;
  {
    const ReleaseGil release;
    file = load_safetensors(path);
  }
  const Ref tensors = checked(PyDict_New());
  for (auto& [name, tensor] : file.tensors) {
    const Ref value = checked(wrap(std::move(tensor)));
    checked(PyDict_SetItem(tensors.get(), text_from(name).get(), value.get()));
  }
  const Ref metadata = checked(PyDict_New());
  for (const auto& [name, text] : file.metadata) {
    checked(PyDict_SetItem(metadata.get(), text_from(name).get(), text_from(text).get()));
  }
  return checked(PyTuple_Pack(2, tensors.get(), metadata.get())).release();
}

}  // namespace

void add_io(PyObject* module) {
  static PyMethodDef functions[] = {
      method<&save>("save_safetensors",
                    "save_safetensors(tensors, path, metadata=None): write a dict of Tensors to a "
                    "safetensors file, with a "
                    "dict of str as its metadata."),
      method<&load>("load_safetensors",
                    "load_safetensors(path): the dict of Tensors and the dict of metadata that a "
                    "safetensors file holds."),
      {nullptr, nullptr, 0, nullptr}};
  checked(PyModule_AddFunctions(module, functions));
}

}  // namespace tapegrad::python
