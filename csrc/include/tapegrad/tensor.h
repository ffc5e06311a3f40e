// The Tensor handle: a strided, reference-counted array with a dtype that autograd may follow.
// Operations on it are free functions (tapegrad/ops.h); differentiation is in tapegrad/autograd.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tapegrad/dtype.h"
#include "tapegrad/export.h"
#include "tapegrad/shape.h"

namespace tapegrad {

class TensorImpl;
namespace core {
TAPEGRAD_API void retain(TensorImpl* impl) noexcept;
TAPEGRAD_API void release(TensorImpl* impl) noexcept;
}  // namespace core

/// A handle; copying it shares the tensor. A default-constructed Tensor is undefined.
class TAPEGRAD_API Tensor {
 public:
  Tensor() noexcept : impl_(nullptr) {}
  Tensor(const Tensor& other) : impl_(other.impl_) {
    if (impl_) core::retain(impl_);
  }
  Tensor(Tensor&& other) noexcept : impl_(std::exchange(other.impl_, nullptr)) {}
  Tensor& operator=(const Tensor& other) {
    if (other.impl_) core::retain(other.impl_);
    TensorImpl* old = std::exchange(impl_, other.impl_);
    if (old) core::release(old);
    return *this;
  }
  Tensor& operator=(Tensor&& other) noexcept {
    if (this != &other) {
      TensorImpl* old = std::exchange(impl_, std::exchange(other.impl_, nullptr));
      if (old) core::release(old);
    }
    return *this;
  }
  ~Tensor() {
    if (impl_) core::release(impl_);
  }

  bool defined() const { return impl_ != nullptr; }
  DType dtype() const;
  int64_t dim() const;
  int64_t numel() const;
  IntSpan sizes() const;
  IntSpan strides() const;
  int64_t size(int64_t dim) const;
  int64_t storage_offset() const;
  bool is_contiguous() const;
  /// Address of the first element.
  void* data() const;
  /// Address of the first element; throws DTypeError when T is not the tensor's element type.
  template <class T>
  T* data_ptr() const;
  /// The value of a one-element tensor; throws ShapeError otherwise.
  Scalar item() const;

  bool requires_grad() const;
  /// Throws GradError on an integer tensor or when switching off a non-leaf.
  Tensor& set_requires_grad(bool value);
  bool is_leaf() const;
  /// The accumulated gradient of a leaf (or a tensor that retains it); undefined when there is
  /// none.
  Tensor grad() const;
  void set_grad(const Tensor& grad);
  /// See tapegrad/autograd.h.
  void backward(const Tensor& gradient = Tensor(), bool retain_graph = false,
                bool create_graph = false) const;
  /// The same memory, cut off from the tape.
  Tensor detach() const;

  /// Takes over one reference.
  static Tensor adopt(TensorImpl* impl) {
    Tensor tensor;
    tensor.impl_ = impl;
    return tensor;
  }
  static Tensor share(TensorImpl* impl) {
    if (impl) core::retain(impl);
    return adopt(impl);
  }
  TensorImpl* impl() const { return impl_; }
  TensorImpl* operator->() const { return impl_; }
  /// Gives up the reference without releasing it.
  TensorImpl* leak() { return std::exchange(impl_, nullptr); }
  bool is_same(const Tensor& other) const { return impl_ == other.impl_; }

 private:
  TensorImpl* impl_;
};

using TensorList = std::span<const Tensor>;

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<bool>() {
  return DType::Bool;
}
template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::UInt8;
}
template <>
constexpr DType dtype_of<int8_t>() {
  return DType::Int8;
}
template <>
constexpr DType dtype_of<int16_t>() {
  return DType::Int16;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::Int32;
}
template <>
constexpr DType dtype_of<int64_t>() {
  return DType::Int64;
}
template <>
constexpr DType dtype_of<float>() {
  return DType::Float32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::Float64;
}

namespace core {
TAPEGRAD_API void check_data_type(const Tensor& tensor, DType expected);
}

template <class T>
T* Tensor::data_ptr() const {
  core::check_data_type(*this, dtype_of<T>());
  return static_cast<T*>(data());
}

}  // namespace tapegrad

#include "tapegrad/detail/tensor_impl.h"
