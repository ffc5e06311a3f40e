// Copies past the caches, for results too large to be found there again. For instruction-set
// objects only.
#pragma once

#include <cstdint>

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

#if defined(__SSE2__)
#if defined(__AVX512F__)
typedef float StreamLine __attribute__((vector_size(64)));
#elif defined(__AVX__)
typedef float StreamLine __attribute__((vector_size(32)));
#else
typedef float StreamLine __attribute__((vector_size(16)));
#endif

inline void store_past_caches(char* to, StreamLine line) {
#if defined(__clang__)
  __builtin_nontemporal_store(line, reinterpret_cast<StreamLine*>(to));
#elif defined(__AVX512F__)
  __builtin_ia32_movntps512(reinterpret_cast<float*>(to), line);
#elif defined(__AVX__)
  __builtin_ia32_movntps256(reinterpret_cast<float*>(to), line);
#else
  __builtin_ia32_movntps(reinterpret_cast<float*>(to), line);
#endif
}
#endif

/// As memcpy. Other threads see it after stream_end().
void stream(const void* source, void* target, int64_t bytes) {
  const char* from = static_cast<const char*>(source);
  char* to = static_cast<char*>(target);
#if defined(__SSE2__)
  constexpr int64_t kSize = sizeof(StreamLine);
  const int64_t ahead = -static_cast<int64_t>(reinterpret_cast<uintptr_t>(to)) & (kSize - 1);
  if (bytes > ahead) {
    __builtin_memcpy(to, from, static_cast<size_t>(ahead));
    from += ahead;
    to += ahead;
    bytes -= ahead;
    for (; bytes >= kSize; bytes -= kSize, from += kSize, to += kSize) {
      StreamLine line;
      __builtin_memcpy(&line, from, kSize);
      store_past_caches(to, line);
    }
  }
#endif
  __builtin_memcpy(to, from, static_cast<size_t>(bytes));
}

void stream_end() {
#if defined(__SSE2__)
  __builtin_ia32_sfence();
#endif
}

}  // namespace
}  // namespace tapegrad::kernels::TAPEGRAD_ISA
