// The table of all operations as users see them: a PyTorch-style signature, a docstring, and a call
// that takes its arguments as values. The argument parser, the Python functions and methods, the
// docstrings and the stubs are made from it.
//
//   TAPEGRAD_OP(kFunction | kMethod, "logsumexp(Tensor input, int[1] dim, bool keepdim=False, *,
//   Tensor? out=None) -> Tensor",
//               "doc ...", logsumexp)
//
// Signature types and the C++ parameters they stand for:
// clang-format off
//   Tensor, Tensor?    const Tensor& (undefined for None)   Tensor[]           TensorList
//   Scalar, Scalar?    Scalar, std::optional<Scalar>        Tensor[*]          TensorList, may be given as separate arguments
//   int, int?          int64_t, std::optional<int64_t>      int[], int[1]      IntSpan (int[1] takes an int)
//   float, float?      double, std::optional<double>        int[]?             OptionalInts
//   bool, bool?        bool, std::optional<bool>            dtype, dtype?      DType, std::optional<DType>
//   str, str?          std::string_view, std::optional<std::string_view>
//   Generator?         Generator*
// clang-format on
// Parameters that the C++ function does not have and the parser handles: `Tensor? out=None`, `bool
// requires_grad=False`, `device? device=None`, `layout? layout=None`, `bool pin_memory=False`,
// `memory_format? memory_format=None` (last ones). Results: Tensor, bool, int, float, Scalar,
// dtype, Tensor[], (Tensor values, Tensor indices) (a named tuple), () (nothing), Tensor | Tensor[]
// (OneOrMore: the tensor itself where there is one). Several entries of one name are overloads,
// tried in order of registration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tapegrad/random.h"
#include "tapegrad/tensor.h"

namespace tapegrad::ops {

/// One argument of a call through the registry; which member is valid follows from the signature's
/// type.
struct Argument {
  enum class Kind : uint8_t {
    None,
    Tensor,
    Tensors,
    Int,
    Float,
    Bool,
    Scalar,
    Ints,
    DType,
    String,
    Generator
  };
  Kind kind = Kind::None;
  tapegrad::DType dtype = DType::Float32;
  bool boolean = false;
  int64_t integer = 0;
  double floating = 0;
  tapegrad::Scalar scalar;
  tapegrad::Tensor tensor;
  std::vector<tapegrad::Tensor> tensors;
  Dims integers;
  std::string_view string;
  tapegrad::Generator* generator = nullptr;
};

/// A result that is one tensor or a tuple of several, as the arguments ask for.
struct OneOrMore {
  std::vector<tapegrad::Tensor> tensors;
  bool always_tuple = false;
};

/// What a call through the registry gives.
struct Result {
  enum class Kind : uint8_t { None, Tensor, Tensors, Int, Float, Bool, Scalar, DType };
  Kind kind = Kind::None;
  bool boolean = false;
  tapegrad::DType dtype = DType::Float32;
  int64_t integer = 0;
  double floating = 0;
  tapegrad::Scalar scalar;
  tapegrad::Tensor tensor;
  std::vector<tapegrad::Tensor> tensors;
};

enum Variant : uint8_t {
  kFunction = 1,  // tapegrad.name(...)
  kMethod = 2,    // tensor.name(...): the first parameter is the tensor
  kInplace = 4,   // also tensor.name_(...) and tapegrad.name_(...): computes, then assigns to the
                  // first argument
  kNN = 8,        // tapegrad.nn.functional.name(...) (in _C._nn)
  kSpecial = 16,  // special_name: tapegrad.special.name(...) (in _C._special)
  kLinalg = 32,   // linalg_name: tapegrad.linalg.name(...) (in _C._linalg)
};

struct OpEntry {
  std::string_view signature;
  std::string_view doc;
  uint8_t variants;
  void (*function)();
  void (*invoke)(void (*function)(), const Argument* arguments, Result& result);
  int parameter_count;  // of the C++ function
  std::string_view name() const { return signature.substr(0, signature.find('(')); }
};

/// In order of registration. Complete once the library is loaded.
TAPEGRAD_API const std::vector<OpEntry>& op_table();

namespace detail {

template <class T>
struct Unbox;
template <>
struct Unbox<const Tensor&> {
  static const Tensor& get(const Argument& a) { return a.tensor; }
};
template <>
struct Unbox<TensorList> {
  static TensorList get(const Argument& a) { return a.tensors; }
};
template <>
struct Unbox<int64_t> {
  static int64_t get(const Argument& a) { return a.integer; }
};
template <>
struct Unbox<double> {
  static double get(const Argument& a) { return a.floating; }
};
template <>
struct Unbox<bool> {
  static bool get(const Argument& a) { return a.boolean; }
};
template <>
struct Unbox<Scalar> {
  static Scalar get(const Argument& a) { return a.scalar; }
};
template <>
struct Unbox<DType> {
  static DType get(const Argument& a) { return a.dtype; }
};
template <>
struct Unbox<std::string_view> {
  static std::string_view get(const Argument& a) { return a.string; }
};
template <>
struct Unbox<Generator*> {
  static Generator* get(const Argument& a) { return a.generator; }
};
template <>
struct Unbox<IntSpan> {
  static IntSpan get(const Argument& a) { return a.integers; }
};
template <>
struct Unbox<OptionalInts> {
  static OptionalInts get(const Argument& a) {
    return a.kind == Argument::Kind::None ? OptionalInts() : OptionalInts(IntSpan(a.integers));
  }
};
template <class T>
struct Unbox<std::optional<T>> {
  static std::optional<T> get(const Argument& a) {
    if (a.kind == Argument::Kind::None) return std::nullopt;
    return Unbox<T>::get(a);
  }
};

template <class T>
void box(Result& r, T&& value) {
  using Value = std::remove_cvref_t<T>;
  if constexpr (std::is_same_v<Value, Tensor>) {
    r.kind = Result::Kind::Tensor;
    r.tensor = std::forward<T>(value);
  } else if constexpr (std::is_same_v<Value, std::vector<Tensor>>) {
    r.kind = Result::Kind::Tensors;
    r.tensors = std::forward<T>(value);
  } else if constexpr (std::is_same_v<Value, OneOrMore>) {
    const bool one = value.tensors.size() == 1 && !value.always_tuple;
    r.kind = one ? Result::Kind::Tensor : Result::Kind::Tensors;
    if (one) r.tensor = value.tensors[0];
    r.tensors = std::forward<T>(value).tensors;
  } else if constexpr (std::is_same_v<Value, bool>) {
    r.kind = Result::Kind::Bool;
    r.boolean = value;
  } else if constexpr (std::is_same_v<Value, int64_t>) {
    r.kind = Result::Kind::Int;
    r.integer = value;
  } else if constexpr (std::is_same_v<Value, double>) {
    r.kind = Result::Kind::Float;
    r.floating = value;
  } else if constexpr (std::is_same_v<Value, DType>) {
    r.kind = Result::Kind::DType;
    r.dtype = value;
  } else {
    static_assert(std::is_same_v<Value, Scalar>, "results that the registry knows: see its head");
    r.kind = Result::Kind::Scalar;
    r.scalar = value;
  }
}

template <class R, class... P, size_t... I>
void invoke(void (*function)(), const Argument* arguments, Result& result,
            std::index_sequence<I...>) {
  auto typed = reinterpret_cast<R (*)(P...)>(function);
  if constexpr (std::is_void_v<R>) {
    typed(Unbox<P>::get(arguments[I])...);
  } else {
    box(result, typed(Unbox<P>::get(arguments[I])...));
  }
}

}  // namespace detail

class TAPEGRAD_API Registration {
 public:
  template <class R, class... P>
  Registration(int variants, std::string_view signature, std::string_view doc,
               R (*function)(P...)) {
    add({signature, doc, static_cast<uint8_t>(variants), reinterpret_cast<void (*)()>(function),
         [](void (*f)(), const Argument* arguments, Result& result) {
           detail::invoke<R, P...>(f, arguments, result, std::index_sequence_for<P...>());
         },
         static_cast<int>(sizeof...(P))});
  }

 private:
  static void add(const OpEntry& entry);
};

}  // namespace tapegrad::ops

#define TAPEGRAD_CONCAT_(a, b) a##b
#define TAPEGRAD_CONCAT(a, b) TAPEGRAD_CONCAT_(a, b)
/// Registers an operation; see the head of ops/registry.h. `...` is a function, or +[](...) {...}
/// where it is overloaded.
#define TAPEGRAD_OP(variants, signature, doc, ...)                                         \
  static const ::tapegrad::ops::Registration TAPEGRAD_CONCAT(registration_, __COUNTER__) { \
    variants, signature, doc, __VA_ARGS__                                                  \
  }
