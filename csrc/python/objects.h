// The small types of the shell: dtype, device, layout, memory_format, Size, Generator, finfo,
// iinfo. Knows no tensor operation.
#pragma once

#include <optional>

#include "python/common.h"
#include "tapegrad/dtype.h"
#include "tapegrad/random.h"
#include "tapegrad/shape.h"

namespace tapegrad::python {

struct PyDType {
  PyObject_HEAD DType dtype;
};
extern PyTypeObject* dtype_type;
inline bool is_dtype(PyObject* object) { return Py_TYPE(object) == dtype_type; }
/// The one object of a dtype; borrowed.
PyObject* dtype_object(DType dtype);
/// A dtype object, or Python's float, int or bool; nothing for other objects.
std::optional<DType> as_dtype(PyObject* object);

extern PyTypeObject* size_type;
PyObject* make_size(IntSpan sizes);

struct PyDevice {
  PyObject_HEAD int type;  // 0 cpu, 1 cuda, ...
  int index;               // -1 for none
};
extern PyTypeObject* device_type;
PyObject* cpu_device();
/// Raises unless `object` (None, a device or its name) means the CPU.
void expect_cpu(PyObject* object, const char* function);
bool is_device_like(PyObject* object);

enum class MemoryFormat { Contiguous, ChannelsLast, ChannelsLast3d, Preserve };
extern PyTypeObject* layout_type;
extern PyTypeObject* memory_format_type;
PyObject* strided_layout();
std::optional<MemoryFormat> as_memory_format(PyObject* object);

extern PyTypeObject* generator_type;
/// The generator of an object that is known to be one.
Generator* generator_of(PyObject* object);

void add_objects(PyObject* module);
void add_generator(PyObject* module);

}  // namespace tapegrad::python
