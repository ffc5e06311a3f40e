// Operators of Tensor. Each is a C slot: from Python to the operation in about 30 ns.
#include <vector>

#include "python/convert.h"
#include "tapegrad/ops.h"

namespace tapegrad::python {

namespace {

bool is_large(const Tensor& a) { return a.numel() >= kReleaseGilElements; }

template <class F>
PyObject* run(bool large, F f) {
  if (!large) [[likely]]
    return wrap(f());
  Tensor result;
  {
    const ReleaseGil released;
    result = f();
  }
  return wrap(std::move(result));
}

/// A number beside a tensor. Where the result's dtype is the tensor's anyway it is made in that
/// dtype at once.
Tensor number_beside(const Tensor& tensor, Scalar value) {
  const DType dtype = tensor.dtype();
  if (dtype == DType::Float32 || dtype == DType::Float64)
    return core::make_scalar(value, dtype, true);
  return core::make_scalar(
      value, value.is_floating_point() ? DType::Float64 : value.natural_dtype(), true);
}

// tt: tensor and tensor; ts: tensor and number; st: number and tensor.
#define TAPEGRAD_OPERATOR(Name, op)                                                              \
  struct Name {                                                                                  \
    static Tensor tt(const Tensor& a, const Tensor& b) { return tapegrad::op(a, b); }            \
    static Tensor ts(const Tensor& a, Scalar b) { return tapegrad::op(a, number_beside(a, b)); } \
    static Tensor st(Scalar a, const Tensor& b) { return tapegrad::op(number_beside(b, a), b); } \
  };

TAPEGRAD_OPERATOR(Add, add)
TAPEGRAD_OPERATOR(Sub, sub)
TAPEGRAD_OPERATOR(Mul, mul)
TAPEGRAD_OPERATOR(Div, div)
TAPEGRAD_OPERATOR(FloorDiv, floor_divide)
TAPEGRAD_OPERATOR(Remainder, remainder)
TAPEGRAD_OPERATOR(And, bitwise_and)
TAPEGRAD_OPERATOR(Or, bitwise_or)
TAPEGRAD_OPERATOR(Xor, bitwise_xor)
TAPEGRAD_OPERATOR(LeftShift, bitwise_left_shift)
TAPEGRAD_OPERATOR(RightShift, bitwise_right_shift)
TAPEGRAD_OPERATOR(Eq, eq)
TAPEGRAD_OPERATOR(Ne, ne)
TAPEGRAD_OPERATOR(Lt, lt)
TAPEGRAD_OPERATOR(Le, le)
TAPEGRAD_OPERATOR(Gt, gt)
TAPEGRAD_OPERATOR(Ge, ge)

struct Power {  // a number as exponent has formulas of its own
  static Tensor tt(const Tensor& a, const Tensor& b) { return tapegrad::pow(a, b); }
  static Tensor ts(const Tensor& a, Scalar b) { return tapegrad::pow(a, b); }
  static Tensor st(Scalar a, const Tensor& b) { return tapegrad::pow(a, b); }
};

struct MatMul {
  static Tensor tt(const Tensor& a, const Tensor& b) { return tapegrad::matmul(a, b); }
};

template <class Op>
concept TakesNumbers = requires(const Tensor& t, Scalar s) { Op::ts(t, s); };

template <class Op>
PyObject* binary(PyObject* a, PyObject* b) {
  if (is_tensor(a)) {
    const Tensor& x = unwrap(a);
    if (is_tensor(b)) [[likely]] {
      const Tensor& y = unwrap(b);
      return run(is_large(x) || is_large(y), [&] { return Op::tt(x, y); });
    }
    if constexpr (TakesNumbers<Op>) {
      if (is_number(b)) {
        const Scalar y = as_scalar(b);
        return run(is_large(x), [&] { return Op::ts(x, y); });
      }
    }
    if (is_numpy_array(b)) {
      const Tensor y = tensor_from_array(b, false);
      return run(is_large(x) || is_large(y), [&] { return Op::tt(x, y); });
    }
    Py_RETURN_NOTIMPLEMENTED;
  }
  const Tensor& y = unwrap(b);
  if constexpr (TakesNumbers<Op>) {
    if (is_number(a)) return wrap(Op::st(as_scalar(a), y));
  }
  if (is_numpy_array(a)) {
    const Tensor x = tensor_from_array(a, false);
    return run(is_large(x) || is_large(y), [&] { return Op::tt(x, y); });
  }
  Py_RETURN_NOTIMPLEMENTED;
}

PyObject* power(PyObject* a, PyObject* b, PyObject* modulus) {
  if (modulus != Py_None) raise(PyExc_TypeError, "pow(): a modulus is not supported for tensors");
  return binary<Power>(a, b);
}

#define TAPEGRAD_INPLACE(Name, op)                                                \
  struct Name {                                                                   \
    static void tt(Tensor& a, const Tensor& b) { tapegrad::op(a, b); }            \
    static void ts(Tensor& a, Scalar b) { tapegrad::op(a, number_beside(a, b)); } \
  };
TAPEGRAD_INPLACE(InAdd, add_)
TAPEGRAD_INPLACE(InSub, sub_)
TAPEGRAD_INPLACE(InMul, mul_)
TAPEGRAD_INPLACE(InDiv, div_)
TAPEGRAD_INPLACE(InFloorDiv, floor_divide_)
TAPEGRAD_INPLACE(InRemainder, remainder_)
TAPEGRAD_INPLACE(InPower, pow_)
TAPEGRAD_INPLACE(InAnd, bitwise_and_)
TAPEGRAD_INPLACE(InOr, bitwise_or_)
TAPEGRAD_INPLACE(InXor, bitwise_xor_)
TAPEGRAD_INPLACE(InLeftShift, bitwise_left_shift_)
TAPEGRAD_INPLACE(InRightShift, bitwise_right_shift_)

template <class Op>
PyObject* in_place(PyObject* self, PyObject* other) {
  Tensor& x = unwrap(self);
  if (is_tensor(other)) {
    const ReleaseGil released(is_large(x));
    Op::tt(x, unwrap(other));
  } else if (is_number(other)) {
    const Scalar y = as_scalar(other);
    const ReleaseGil released(is_large(x));
    Op::ts(x, y);
  } else if (is_numpy_array(other)) {
    Op::tt(x, tensor_from_array(other, false));
  } else {
    Py_RETURN_NOTIMPLEMENTED;
  }
  return Py_NewRef(self);
}

PyObject* in_place_power(PyObject* self, PyObject* other, PyObject*) {
  return in_place<InPower>(self, other);
}

template <Tensor (*F)(const Tensor&)>
PyObject* unary(PyObject* self) {
  const Tensor& x = unwrap(self);
  return run(is_large(x), [&] { return F(x); });
}

PyObject* negative(PyObject* self) {
  if (unwrap(self).dtype() == DType::Bool) {
    raise(PyExc_RuntimeError,
          "neg: negation, the `-` operator, on a bool tensor is not supported; use `~` or "
          "logical_not() to invert a mask");
  }
  return unary<&tapegrad::neg>(self);
}

PyObject* positive(PyObject* self) { return Py_NewRef(self); }

PyObject* invert(PyObject* self) {
  if (is_floating_point(unwrap(self).dtype())) {
    raise(PyExc_TypeError,
          "~ (operator.invert) is only implemented on integer and Boolean-type tensors, got %s",
          dtype_name(unwrap(self).dtype()));
  }
  return unary<&tapegrad::bitwise_not>(self);
}

int truth(PyObject* self) {
  const Tensor& x = unwrap(self);
  if (x.numel() == 0)
    raise(PyExc_RuntimeError, "Boolean value of Tensor with no values is ambiguous");
  if (x.numel() > 1) {
    raise(PyExc_RuntimeError,
          "Boolean value of Tensor with more than one value is ambiguous; use any() or all()");
  }
  return x.item().to_bool();
}

PyObject* to_int(PyObject* self) {
  const Scalar value = unwrap(self).item();
  return value.is_floating_point() ? PyLong_FromDouble(value.to_double())
                                   : PyLong_FromLongLong(value.to_int());
}

PyObject* to_float(PyObject* self) { return PyFloat_FromDouble(unwrap(self).item().to_double()); }

PyObject* to_index(PyObject* self) {
  const Tensor& x = unwrap(self);
  if (is_floating_point(x.dtype()) || x.numel() != 1) {
    raise(PyExc_TypeError, "only integer tensors of a single element can be converted to an index");
  }
  return PyLong_FromLongLong(x.item().to_int());
}

Py_ssize_t length(PyObject* self) {
  const Tensor& x = unwrap(self);
  if (x.dim() == 0) raise(PyExc_TypeError, "len() of a 0-d tensor");
  return static_cast<Py_ssize_t>(x.sizes()[0]);
}

int contains(PyObject* self, PyObject* value) {
  const Tensor& x = unwrap(self);
  if (is_tensor(value)) return tapegrad::any(tapegrad::eq(x, unwrap(value))).item().to_bool();
  if (is_number(value)) return tapegrad::any(tapegrad::eq(x, as_scalar(value))).item().to_bool();
  raise(PyExc_RuntimeError,
        "Tensor.__contains__ only supports Tensor or scalar, but you passed in a %s",
        type_name(value).c_str());
}

PyObject* iterate(PyObject* self) {
  const Tensor& x = unwrap(self);
  if (x.dim() == 0) raise(PyExc_TypeError, "iteration over a 0-d tensor");
  const std::vector<Tensor> rows = tapegrad::unbind(x, 0);
  const Ref tuple = Ref::steal(wrap_tuple(rows.data(), rows.size()));
  return PyObject_GetIter(tuple.get());
}

PyObject* sequence_item(PyObject* self, Py_ssize_t i) {
  const Ref index = checked(PyLong_FromSsize_t(i));
  return get_item(self, index.get());
}

}  // namespace

PyObject* rich_compare(PyObject* a, PyObject* b, int op) {
  switch (op) {
    case Py_EQ:
      return binary<Eq>(a, b);
    case Py_NE:
      return binary<Ne>(a, b);
    case Py_LT:
      return binary<Lt>(a, b);
    case Py_LE:
      return binary<Le>(a, b);
    case Py_GT:
      return binary<Gt>(a, b);
    default:
      return binary<Ge>(a, b);
  }
}

void number_slots(std::vector<PyType_Slot>& slots) {
  const auto add = [&slots](int slot, auto function) {
    slots.push_back({slot, reinterpret_cast<void*>(function)});
  };
  add(Py_nb_add, guarded<&binary<Add>>);
  add(Py_nb_subtract, guarded<&binary<Sub>>);
  add(Py_nb_multiply, guarded<&binary<Mul>>);
  add(Py_nb_true_divide, guarded<&binary<Div>>);
  add(Py_nb_floor_divide, guarded<&binary<FloorDiv>>);
  add(Py_nb_remainder, guarded<&binary<Remainder>>);
  add(Py_nb_matrix_multiply, guarded<&binary<MatMul>>);
  add(Py_nb_power, guarded<&power>);
  add(Py_nb_and, guarded<&binary<And>>);
  add(Py_nb_or, guarded<&binary<Or>>);
  add(Py_nb_xor, guarded<&binary<Xor>>);
  add(Py_nb_lshift, guarded<&binary<LeftShift>>);
  add(Py_nb_rshift, guarded<&binary<RightShift>>);
  add(Py_nb_inplace_add, guarded<&in_place<InAdd>>);
  add(Py_nb_inplace_subtract, guarded<&in_place<InSub>>);
  add(Py_nb_inplace_multiply, guarded<&in_place<InMul>>);
  add(Py_nb_inplace_true_divide, guarded<&in_place<InDiv>>);
  add(Py_nb_inplace_floor_divide, guarded<&in_place<InFloorDiv>>);
  add(Py_nb_inplace_remainder, guarded<&in_place<InRemainder>>);
  add(Py_nb_inplace_power, guarded<&in_place_power>);
  add(Py_nb_inplace_and, guarded<&in_place<InAnd>>);
  add(Py_nb_inplace_or, guarded<&in_place<InOr>>);
  add(Py_nb_inplace_xor, guarded<&in_place<InXor>>);
  add(Py_nb_inplace_lshift, guarded<&in_place<InLeftShift>>);
  add(Py_nb_inplace_rshift, guarded<&in_place<InRightShift>>);
  add(Py_nb_negative, guarded<&negative>);
  add(Py_nb_positive, guarded<&positive>);
  add(Py_nb_absolute, guarded<&unary<&tapegrad::abs>>);
  add(Py_nb_invert, guarded<&invert>);
  add(Py_nb_bool, guarded<&truth>);
  add(Py_nb_int, guarded<&to_int>);
  add(Py_nb_float, guarded<&to_float>);
  add(Py_nb_index, guarded<&to_index>);
  add(Py_mp_length, guarded<&length>);
  add(Py_sq_length, guarded<&length>);
  add(Py_sq_item, guarded<&sequence_item>);
  add(Py_sq_contains, guarded<&contains>);
  add(Py_tp_iter, guarded<&iterate>);
}

}  // namespace tapegrad::python
