// Included by tapegrad/tensor.h, so that its accessors are inlined; not an interface of its own.
// What a Tensor handle points to: storage, geometry, flags, and one opaque pointer to what autograd
// knows of it. Knows no gradients: `meta` belongs to the autograd room, `python` to the bindings.
#pragma once

#include <atomic>
#include <cstdint>

#include "tapegrad/detail/object_pool.h"
#include "tapegrad/detail/storage.h"
#include "tapegrad/tensor.h"

namespace tapegrad {

namespace core {
/// Reading the values of a lifted tensor (inside vmap): throws UnsupportedError.
[[noreturn]] TAPEGRAD_API void refuse_lifted();
}  // namespace core

/// What autograd attaches to a tensor (edge, gradient, hooks, tangents, batch record). Owned by the
/// tensor.
class TAPEGRAD_API TensorMeta : public core::Pooled {
 public:
  virtual ~TensorMeta();
  /// The tensor dies, and this with it.
  virtual void owner_dies(TensorImpl& owner) noexcept = 0;
};

/// Called by the core when Python must be told; set once by the bindings. See Note [Python
/// ownership] there.
struct PythonHooks {
  /// The last reference to an implementation that owns its Python object goes: the object takes
  /// both over.
  void (*release_object)(void* object) noexcept = nullptr;
};
TAPEGRAD_API PythonHooks& python_hooks();

class TAPEGRAD_API TensorImpl : public core::Pooled {
 public:
  enum Flag : uint16_t {
    kNeedsGrad = 1 << 0,      // a leaf that requires grad, or a result on the tape
    kHasTangent = 1 << 1,     // carries a forward-mode tangent
    kBatched = 1 << 2,        // lifted to a level of vmap or grad: values cannot be read
    kInference = 1 << 3,      // made under inference_mode
    kWrappedNumber = 1 << 4,  // a Python or C++ number: weak in promotion
    kContiguous = 1 << 5,     // cached: row-major without gaps
    kOwnsPython = 1 << 6,     // holds the reference to its Python object
    kRetainsGrad = 1 << 7,    // a non-leaf that keeps its .grad
    kEntryMask = kNeedsGrad | kHasTangent | kBatched | kInference,
  };

  /// Takes over one reference to `storage`; `offset` in elements.
  TensorImpl(core::Storage* storage, DType dtype, IntSpan sizes, IntSpan strides, int64_t offset);
  ~TensorImpl();
  TensorImpl(const TensorImpl&) = delete;
  TensorImpl& operator=(const TensorImpl&) = delete;

  DType dtype() const { return dtype_; }
  int dim() const { return ndim_; }
  int64_t numel() const { return numel_; }
  IntSpan sizes() const { return {geometry(), ndim_}; }
  IntSpan strides() const { return {geometry() + ndim_, ndim_}; }
  int64_t offset() const { return offset_; }
  bool is_contiguous() const { return has(kContiguous); }
  core::Storage* storage() const { return storage_; }
  char* data() const {
    if (has(kBatched)) [[unlikely]]
      core::refuse_lifted();
    return storage_->data() + offset_ * static_cast<int64_t>(item_size(dtype_));
  }

  bool has(uint16_t flags) const { return (flags_ & flags) != 0; }
  uint16_t flags() const { return flags_; }
  void set(uint16_t flag, bool value) {
    flags_ = static_cast<uint16_t>(value ? flags_ | flag : flags_ & ~flag);
  }

  uint32_t version() const { return storage_->version(); }
  void bump_version() { storage_->bump_version(); }

  /// Replaces storage and geometry in place (`.data = ...`, `out=` of another size). Takes over a
  /// reference to `storage`.
  void reset(core::Storage* storage, DType dtype, IntSpan sizes, IntSpan strides, int64_t offset);

  uint32_t reference_count() const { return references.load(std::memory_order_acquire); }

  // Fields of other rooms, plain on purpose.
  std::atomic<uint32_t> references{1};
  uint32_t view_version = 0;  // the storage's version when this view's edge was made
  TensorImpl* base =
      nullptr;  // strong; the tensor this is a differentiable view of. See Note [Views]
  TensorMeta* meta = nullptr;          // owned; autograd
  std::atomic<void*> python{nullptr};  // borrowed (or owned: kOwnsPython); bindings

 private:
  static constexpr int kInlineDims = 3;  // 112 bytes in all: a tape node stays below 400
  const int64_t* geometry() const { return ndim_ <= kInlineDims ? inline_ : heap_; }
  void set_geometry(IntSpan sizes, IntSpan strides);
  void drop_geometry() {
    if (ndim_ > kInlineDims) delete[] heap_;
  }

  DType dtype_;
  uint8_t ndim_ = 0;
  uint16_t flags_ = 0;
  core::Storage* storage_;
  int64_t offset_;
  int64_t numel_ = 0;
  union {
    int64_t inline_[2 * kInlineDims];
    int64_t* heap_;
  };
};

inline DType Tensor::dtype() const { return impl_->dtype(); }
inline int64_t Tensor::dim() const { return impl_->dim(); }
inline int64_t Tensor::numel() const { return impl_->numel(); }
inline IntSpan Tensor::sizes() const { return impl_->sizes(); }
inline IntSpan Tensor::strides() const { return impl_->strides(); }
inline int64_t Tensor::storage_offset() const { return impl_->offset(); }
inline bool Tensor::is_contiguous() const { return impl_->is_contiguous(); }
inline void* Tensor::data() const { return impl_->data(); }

}  // namespace tapegrad
