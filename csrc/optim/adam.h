// Adam and AdamW over many parameters at once: what tapegrad/optim.h and the bindings share.
#pragma once

#include "optim/refs.h"
#include "tapegrad/optim.h"

namespace tapegrad::optim {

/// Updates `params` (those with a defined gradient) in place. `max_exp_avg_sqs` is empty without
/// amsgrad. `steps` are one-element float32 tensors, incremented for what is updated. Checks
/// everything before it writes.
TAPEGRAD_API void adam_(TensorRefs params, TensorList grads, TensorRefs exp_avgs,
                        TensorRefs exp_avg_sqs, TensorRefs max_exp_avg_sqs, TensorRefs steps,
                        const AdamOptions& options);

}  // namespace tapegrad::optim
