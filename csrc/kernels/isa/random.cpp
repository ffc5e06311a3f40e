// The distributions that are made of Philox.
#include "kernels/random.h"

#include "core/parallel.h"
#include "kernels/isa/philox.h"
#include "kernels/isa/vector_math.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrainChunks = 64;

/// Calls f(words, begin, count) for every chunk of `per_chunk` elements.
template <class F>
[[gnu::always_inline]] inline void for_chunks(const RandomParameters& p, int64_t per_chunk, F f) {
  const int64_t chunks = (p.n + per_chunk - 1) / per_chunk;
  core::parallel_for(0, chunks, kGrainChunks, [&](int64_t begin, int64_t end) {
    uint32_t words[kPhiloxWords];
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      philox_chunk(p.seed, p.offset + static_cast<uint64_t>(chunk * kPhiloxCounters), words);
      const int64_t first = chunk * per_chunk;
      f(words, first, p.n - first < per_chunk ? p.n - first : per_chunk);
    }
  });
}

/// The leading bits of a word that a number of [0, 1) in this dtype can hold: more would round
/// to 1.
uint32_t kept_bits(DType dtype) {
  return dtype == DType::Float16 ? 0xffe00000u : dtype == DType::BFloat16 ? 0xff000000u : ~0u;
}

/// A value of [from, to): rounding may reach the open end, which is then replaced by the start.
template <class T>
[[gnu::always_inline]] inline T between(T u, T from, T to) {
  const T x = u * (to - from) + from;
  return x < to || from == to ? x : from;
}

/// Two independent normal numbers from two uniform ones (Box and Muller, 1958); u1 in (0, 1].
template <class T>
[[gnu::always_inline]] inline void box_muller(T u1, T u2, T& first, T& second) {
  const T radius = sqrt(T(-2) * log(u1));
  const T angle = T(6.283185307179586477) * u2;
  first = radius * cos(angle);
  second = radius * sin(angle);
}

}  // namespace

void random_uniform(void* const* data, const RandomParameters& p) {
  if (p.dtype == DType::Float64) {
    auto* out = static_cast<double*>(data[0]);
    for_chunks(p, kPhiloxWords / 2, [=](const uint32_t* w, int64_t first, int64_t count) {
      for (int64_t i = 0; i < count; ++i) {
        out[first + i] = between(unit(w[i], w[kPhiloxWords / 2 + i]), p.a, p.b);
      }
    });
    return;
  }
  auto* out = static_cast<float*>(data[0]);
  const auto a = static_cast<float>(p.a), b = static_cast<float>(p.b);
  const uint32_t kept = kept_bits(p.dtype);
  for_chunks(p, kPhiloxWords, [=](const uint32_t* w, int64_t first, int64_t count) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) out[first + i] = between(unit(w[i] & kept), a, b);
  });
}

void random_normal(void* const* data, const RandomParameters& p) {
  if (p.dtype == DType::Float64) {
    auto* out = static_cast<double*>(data[0]);
    for_chunks(p, kPhiloxWords / 2, [=](const uint32_t* w, int64_t first, int64_t count) {
      double z[kPhiloxWords / 2];
      constexpr int64_t half = kPhiloxWords / 4;
#pragma omp simd
      for (int64_t i = 0; i < half; ++i) {
        const double u1 = unit(w[i], w[half + i]) + 0x1p-53;
        box_muller(u1, unit(w[2 * half + i], w[3 * half + i]), z[i], z[half + i]);
      }
      for (int64_t i = 0; i < count; ++i) out[first + i] = z[i] * p.b + p.a;
    });
    return;
  }
  auto* out = static_cast<float*>(data[0]);
  const auto mean = static_cast<float>(p.a), deviation = static_cast<float>(p.b);
  for_chunks(p, kPhiloxWords, [=](const uint32_t* w, int64_t first, int64_t count) {
    float z[kPhiloxWords];
    constexpr int64_t half = kPhiloxWords / 2;
#pragma omp simd
    for (int64_t i = 0; i < half; ++i) {
      box_muller(unit(w[i]) + 0x1p-24f, unit(w[half + i]), z[i], z[half + i]);
    }
    for (int64_t i = 0; i < count; ++i) out[first + i] = z[i] * deviation + mean;
  });
}

void random_bits(void* const* data, const RandomParameters& p) {
  auto* out = static_cast<uint64_t*>(data[0]);
  for_chunks(p, kPhiloxWords / 2, [=](const uint32_t* w, int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      out[first + i] = (uint64_t{w[i]} << 32) | w[kPhiloxWords / 2 + i];
    }
  });
}

namespace {

template <class T>
void drop(void* const* data, const RandomParameters& p) {
  auto* out = static_cast<T*>(data[0]);
  const auto* in = static_cast<const T*>(data[1]);
  const auto limit = static_cast<float>(p.a);
  const auto factor = static_cast<T>(p.b);
  for_chunks(p, kPhiloxWords, [=](const uint32_t* w, int64_t first, int64_t count) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      out[first + i] = unit(w[i]) < limit ? T(0) : in[first + i] * factor;
    }
  });
}

}  // namespace

void random_dropout(void* const* data, const RandomParameters& p) {
  if (p.dtype == DType::Float64)
    drop<double>(data, p);
  else
    drop<float>(data, p);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
