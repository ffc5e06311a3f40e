// Cross products: every triple on its own.
#include "kernels/cross.h"

#include "core/parallel.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 8192;  // triples that are worth a thread

/// Triples [0, count): the three elements of each are `step` apart, its neighbours `next` apart.
template <class T>
void triples(T* out, const T* a, const T* b, int64_t count, int64_t step, int64_t next) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const int64_t x = i * next, y = x + step, z = y + step;
    const T ax = a[x], ay = a[y], az = a[z], bx = b[x], by = b[y], bz = b[z];
    out[x] = ay * bz - az * by;
    out[y] = az * bx - ax * bz;
    out[z] = ax * by - ay * bx;
  }
}

template <class T>
void all_triples(void* const* data, const CrossArgs& args) {
  T* out = static_cast<T*>(data[0]);
  const T* a = static_cast<const T*>(data[1]);
  const T* b = static_cast<const T*>(data[2]);
  if (args.inner == 1) {
    core::parallel_for(0, args.outer, kGrain, [&](int64_t begin, int64_t end) {
      triples<T>(out + begin * 3, a + begin * 3, b + begin * 3, end - begin, 1, 3);
    });
    return;
  }
  const int64_t grain = args.inner >= kGrain ? 1 : kGrain / args.inner;
  core::parallel_for(0, args.outer, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = i * 3 * args.inner;
      triples<T>(out + at, a + at, b + at, args.inner, args.inner, 1);
    }
  });
}

}  // namespace

void cross_product(void* const* data, const CrossArgs& args) {
  if (args.is_double) {
    all_triples<double>(data, args);
  } else {
    all_triples<float>(data, args);
  }
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
