// The memory behind tensors: reference count, version counter shared by all views, bytes. Small
// values (16 bytes) live inline; external memory (NumPy, DLPack) carries a release function. Knows
// no shapes, dtypes or gradients.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tapegrad/detail/object_pool.h"
#include "tapegrad/export.h"

namespace tapegrad::core {

class TAPEGRAD_API Storage : public Pooled {
 public:
  /// A new storage of uninitialised bytes with one reference. Throws std::bad_alloc-derived Error
  /// when memory is out.
  static Storage* create(size_t bytes);
  /// Wraps memory that `release(context)` frees when the last view is gone.
  static Storage* wrap(void* data, size_t bytes, void (*release)(void*), void* context);

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }
  bool unique() const { return references_.load(std::memory_order_acquire) == 1; }
  uint32_t reference_count() const { return references_.load(std::memory_order_relaxed); }

  char* data() const { return data_; }
  size_t bytes() const { return static_cast<size_t>(bytes_); }
  bool external() const { return kind_ == Kind::External; }

  /// Counts in-place writes; saved tensors compare it.
  uint32_t version() const { return version_.load(std::memory_order_relaxed); }
  void bump_version() { version_.fetch_add(1, std::memory_order_relaxed); }

  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

 private:
  struct External {
    void (*release)(void*);
    void* context;
  };
  Storage() = default;
  ~Storage() = default;
  void destroy() noexcept;

  enum class Kind : uint64_t { Own, External };
  static constexpr size_t kInlineBytes = 16;
  std::atomic<uint32_t> references_{1};
  std::atomic<uint32_t> version_{0};
  char* data_ = nullptr;
  size_t bytes_ : 56 = 0;
  Kind kind_ : 8 = Kind::Own;
  alignas(8) char inline_[kInlineBytes];  // a small value, or the External of wrapped memory
};

/// An owning pointer to a Storage.
class StorageRef {
 public:
  StorageRef() = default;
  static StorageRef adopt(Storage* storage) {
    StorageRef ref;
    ref.storage_ = storage;
    return ref;
  }
  static StorageRef share(Storage* storage) {
    if (storage) storage->retain();
    return adopt(storage);
  }
  StorageRef(const StorageRef& other) : storage_(other.storage_) {
    if (storage_) storage_->retain();
  }
  StorageRef(StorageRef&& other) noexcept : storage_(std::exchange(other.storage_, nullptr)) {}
  StorageRef& operator=(StorageRef other) noexcept {
    std::swap(storage_, other.storage_);
    return *this;
  }
  ~StorageRef() {
    if (storage_) storage_->release();
  }
  Storage* get() const { return storage_; }
  Storage* operator->() const { return storage_; }

 private:
  Storage* storage_ = nullptr;
};

}  // namespace tapegrad::core
