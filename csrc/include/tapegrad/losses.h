// Losses beyond those of tapegrad/ops.h, with the names and meanings of torch.nn.functional. Each
// reduces by `reduction`: "mean", "sum" or "none". The documentation stands with the definitions
// (csrc/ops/loss_*.cpp, csrc/ops/ctc.cpp).
#pragma once

#include <string_view>

#include "tapegrad/tensor.h"

namespace tapegrad {

/// `input` holds log-probabilities; "batchmean" is the sum by the number of samples.
TAPEGRAD_API Tensor kl_div(const Tensor& input, const Tensor& target,
                           std::string_view reduction = "mean", bool log_target = false);
TAPEGRAD_API Tensor poisson_nll_loss(const Tensor& input, const Tensor& target,
                                     bool log_input = true, bool full = false, double eps = 1e-8,
                                     std::string_view reduction = "mean");
TAPEGRAD_API Tensor gaussian_nll_loss(const Tensor& input, const Tensor& target, const Tensor& var,
                                      bool full = false, double eps = 1e-6,
                                      std::string_view reduction = "mean");

TAPEGRAD_API Tensor soft_margin_loss(const Tensor& input, const Tensor& target,
                                     std::string_view reduction = "mean");
TAPEGRAD_API Tensor hinge_embedding_loss(const Tensor& input, const Tensor& target,
                                         double margin = 1.0, std::string_view reduction = "mean");
TAPEGRAD_API Tensor margin_ranking_loss(const Tensor& input1, const Tensor& input2,
                                        const Tensor& target, double margin = 0.0,
                                        std::string_view reduction = "mean");
TAPEGRAD_API Tensor cosine_embedding_loss(const Tensor& input1, const Tensor& input2,
                                          const Tensor& target, double margin = 0.0,
                                          std::string_view reduction = "mean");
TAPEGRAD_API Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive,
                                        const Tensor& negative, double margin = 1.0, double p = 2.0,
                                        double eps = 1e-6, bool swap = false,
                                        std::string_view reduction = "mean");
TAPEGRAD_API Tensor multi_margin_loss(const Tensor& input, const Tensor& target, int64_t p = 1,
                                      double margin = 1.0, const Tensor& weight = {},
                                      std::string_view reduction = "mean");
TAPEGRAD_API Tensor multilabel_margin_loss(const Tensor& input, const Tensor& target,
                                           std::string_view reduction = "mean");
TAPEGRAD_API Tensor multilabel_soft_margin_loss(const Tensor& input, const Tensor& target,
                                                const Tensor& weight = {},
                                                std::string_view reduction = "mean");

/// Graves et al., "Connectionist temporal classification" (2006). log_probs: (T, N, C) or (T, C);
/// targets: (N, S), (S,) or all targets one after the other.
TAPEGRAD_API Tensor ctc_loss(const Tensor& log_probs, const Tensor& targets, IntSpan input_lengths,
                             IntSpan target_lengths, int64_t blank = 0,
                             std::string_view reduction = "mean", bool zero_infinity = false);

}  // namespace tapegrad
