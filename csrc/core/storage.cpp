#include "tapegrad/detail/storage.h"

#include <new>

#include "core/allocator.h"

namespace tapegrad::core {

Storage* Storage::create(size_t bytes) {
  if (bytes <= kInlineBytes) {
    auto* storage = new Storage;
    storage->data_ = storage->inline_;
    storage->bytes_ = bytes;
    return storage;
  }
  void* block = allocate(bytes);
  Storage* storage = nullptr;
  try {
    storage = new Storage;
  } catch (...) {
    deallocate(block, bytes);
    throw;
  }
  storage->data_ = static_cast<char*>(block);
  storage->bytes_ = bytes;
  return storage;
}

Storage* Storage::wrap(void* data, size_t bytes, void (*release)(void*), void* context) {
  auto* storage = new Storage;
  storage->data_ = static_cast<char*>(data);
  storage->bytes_ = bytes;
  storage->kind_ = Kind::External;
  new (storage->inline_) External{release, context};
  return storage;
}

void Storage::destroy() noexcept {
  if (external()) {
    const auto* external = std::launder(reinterpret_cast<External*>(inline_));
    external->release(external->context);
  } else if (data_ != inline_) {
    deallocate(data_, bytes_);
  }
  delete this;
}

}  // namespace tapegrad::core
