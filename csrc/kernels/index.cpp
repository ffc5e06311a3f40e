#include "kernels/index.h"

#include <cstring>

#include "core/parallel.h"

namespace tapegrad::kernels {
namespace {

constexpr int64_t kGrainBytes = 128 * 1024;

}  // namespace

void copy_rows(void* const* data, const CopyRows& p) {
  char* to = static_cast<char*>(data[0]);
  const char* from = static_cast<const char*>(data[1]);
  if (p.rows == 1) {
    core::parallel_for(0, p.bytes, kGrainBytes, [&](int64_t begin, int64_t end) {
      std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
    });
    return;
  }
  core::parallel_for(0, p.rows, kGrainBytes / (p.bytes + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      std::memcpy(to + i * p.to_stride, from + i * p.from_stride, static_cast<size_t>(p.bytes));
  });
}

}  // namespace tapegrad::kernels
