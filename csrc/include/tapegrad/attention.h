// Scaled dot-product attention (ops/attention.cpp).
#pragma once

#include <optional>

#include "tapegrad/tensor.h"

namespace tapegrad {

/// dropout(softmax(scale * query @ key^T + mask)) @ value over the last two dimensions, without a
/// matrix of queries by keys. A boolean mask says which keys a query sees; a floating-point one is
/// added. A query that sees no key gives 0.
TAPEGRAD_API Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key,
                                                 const Tensor& value, const Tensor& attn_mask = {},
                                                 double dropout_p = 0.0, bool is_causal = false,
                                                 std::optional<double> scale = {},
                                                 bool enable_gqa = false);

}  // namespace tapegrad
