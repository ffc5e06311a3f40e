// What the operations on tables of vectors share. Knows no bags.
#pragma once

#include "tapegrad/tensor.h"

namespace tapegrad::ops {

/// Scales the rows that are looked up and longer than max_norm down to it, in place.
void shorten_rows(const Tensor& weight, const Tensor& rows, double max_norm, double norm_type);

}  // namespace tapegrad::ops
