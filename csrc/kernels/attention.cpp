#include "kernels/attention.h"

#include <algorithm>

#include "core/allocator.h"
#include "core/parallel.h"
#include "kernels/isa/gemm.h"
#include "kernels/random.h"

namespace tapegrad::kernels {
namespace {

// Multiply-adds below which a second thread costs more than it saves.
constexpr int64_t kSerialWork = 200'000;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

size_t scratch_bytes(const AttentionParameters& p) {
  const size_t numbers = static_cast<size_t>(p.scratch) * (p.is_double ? 8 : 4);
  return (numbers + 63) / 64 * 64 + kGemmScratchBytes;
}

using Part = void (*)(void* const* data, const AttentionPart& part);

void run_parts(Part run, void* const* data, const AttentionParameters& p, int64_t parts,
               int64_t work_each) {
  const int64_t grain = std::max<int64_t>(1, kSerialWork / std::max<int64_t>(1, work_each));
  core::parallel_for(0, parts, grain, [&](int64_t begin, int64_t end) {
    const core::Scratch scratch(scratch_bytes(p));
    void* with_scratch[kAttentionOperands];
    std::copy(data, data + kAttentionScratch, with_scratch);
    with_scratch[kAttentionScratch] = scratch.as<void>();
    AttentionPart part{p};
    part.begin = begin;
    part.end = end;
    run(with_scratch, part);
  });
}

}  // namespace

void plan_attention(AttentionParameters& p) {
  constexpr int64_t kKeys = 256;
  // Small blocks follow a causal mask more closely, large ones pack keys less often.
  p.query_block = p.queries > 256 ? 128 : p.causal ? 32 : 64;
  p.key_block = std::clamp<int64_t>(p.keys, 1, kKeys);
  p.query_blocks = ceil_div(p.queries, p.query_block);
  p.key_blocks = ceil_div(p.keys, p.key_block);
  // Rows have room for whole lanes (32), and do not start at the same place of the cache.
  p.pitch = ceil_div(p.key_block, 16) * 16 + 16;
  p.block_counters = static_cast<int64_t>(random_counters(p.query_block * p.key_block, false));
  p.scratch = 3 * p.query_block * (p.pitch + 1);
}

void attention_forward(void* const* data, const AttentionParameters& p) {
  run_parts(&attention_forward_part, data, p, p.batches * p.query_blocks,
            std::min(p.query_block, p.queries) * p.keys * (p.width + p.value_width));
}

void attention_backward(void* const* data, const AttentionParameters& p) {
  run_parts(&attention_backward_part, data, p, p.batches / p.groups,
            p.groups * p.queries * p.keys * (3 * p.width + 2 * p.value_width));
}

}  // namespace tapegrad::kernels
