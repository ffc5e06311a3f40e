// What the losses share: reductions by name, and the legacy pair of flags of PyTorch's signatures.
// Knows no formula.
#pragma once

#include <optional>
#include <string_view>

#include "tapegrad/tensor.h"

namespace tapegrad::ops {

enum class Reduction : uint8_t { None, Mean, Sum };

/// Throws ValueError on another name.
Reduction reduction_of(const char* op, std::string_view name);
/// The name that size_average and reduce, where given, stand for.
std::string_view legacy_reduction(std::optional<bool> size_average, std::optional<bool> reduce,
                                  std::string_view reduction);
/// each, its sum or its mean.
Tensor reduce_loss(const Tensor& each, Reduction reduction);

}  // namespace tapegrad::ops
