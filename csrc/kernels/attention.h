// Scaled dot-product attention, block by block: what the serial kernels of one instruction-set
// level take, and the drivers that split the work over the team. Knows nothing of tensors or
// gradients' tape.
//
// Note [Attention in blocks]: a block of queries meets the keys a block at a time. Maximum and sum
// of a row are kept while blocks pass ("online", Milakov and Gimelshein 2018; Dao et al. 2022), so
// that no matrix of queries by keys is ever whole. The forward pass leaves the logarithm of each
// row's sum of exponentials, from which the backward pass makes the weights of a block again.
// Blocks depend on the shape alone, never on threads.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace tapegrad::kernels {

/// Matrices that a piece of work reads and writes. Each has a row stride, and a first element for
/// every batch; columns are adjacent (or, the mask's, all the same).
enum AttentionPlace : uint8_t {
  kAttentionQuery,
  kAttentionKey,
  kAttentionValue,
  kAttentionMask,
  kAttentionOut,
  kAttentionGrad,  // of the output
  kAttentionQueryGrad,
  kAttentionKeyGrad,
  kAttentionValueGrad,
  kAttentionPlaces,
};

enum class AttentionMask : uint8_t { None, Bool, Add };

struct AttentionParameters {
  int64_t batches = 0;  // of queries
  int64_t groups = 1;   // batches of queries that share keys and values, side by side
  int64_t queries = 0, keys = 0, width = 0, value_width = 0;
  int64_t row[kAttentionPlaces] = {};
  int64_t mask_column = 0;
  double scale = 1;
  AttentionMask mask = AttentionMask::None;
  bool causal = false;  // query i sees keys 0 ... i
  bool is_double = false;
  double dropout = 0;              // the share of weights that is dropped
  uint64_t seed = 0, counter = 0;  // of Philox; each pair of blocks has its own counters

  // Filled in by plan_attention().
  int64_t query_block = 0, key_block = 0;    // rows of a block of queries, of keys
  int64_t query_blocks = 0, key_blocks = 0;  // how many
  int64_t pitch = 0;                         // between rows of a block of weights
  int64_t block_counters = 0;                // of Philox, that one pair of blocks uses up
  int64_t scratch = 0;  // numbers at kAttentionScratch, before what products need
};

/// Cuts into blocks, from the shape.
void plan_attention(AttentionParameters& p);

/// Operands, in order.
enum AttentionOperand : uint8_t {
  kAttentionLogSums = kAttentionPlaces,  // (batches, queries)
  kAttentionFirst,                       // int64: [batch][place], the first element of each
  kAttentionScratch,
  kAttentionOperands,
};

struct AttentionPart : AttentionParameters {
  int64_t begin = 0,
          end = 0;  // forward: pairs (batch, block of queries); backward: batches of keys
};

TAPEGRAD_KERNEL(attention_forward_part, AttentionPart)
TAPEGRAD_KERNEL(attention_backward_part, AttentionPart)
/// What a dropped weight is multiplied with (0 or 1 / (1 - p)), for all weights: data[0], dense.
TAPEGRAD_KERNEL(attention_dropout, AttentionParameters)

/// data: as AttentionOperand says, without scratch. Writes output and logarithms of sums.
void attention_forward(void* const* data, const AttentionParameters& p);
/// Writes the gradients of query, key and value; null ones are left out.
void attention_backward(void* const* data, const AttentionParameters& p);

}  // namespace tapegrad::kernels
