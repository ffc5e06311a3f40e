// Copies that stand where a view was asked for: while both tensors can be reached, a write to one
// would not be seen in the other. Owns the list of such pairs; knows no operation.
#pragma once

#include "tapegrad/tensor.h"

namespace tapegrad::autograd {

/// `copy` was given in place of a view of `source`.
void note_view_copy(const Tensor& source, const Tensor& copy);

/// Throws GradError, naming `op`, if `self` belongs to a pair whose other half can still be
/// reached.
void check_view_copies(const char* op, const Tensor& self);

}  // namespace tapegrad::autograd
