// Writing into existing tensors: what may be written, and how the tape follows. Every in-place
// operation and every `out=` ends in one of these functions.
#pragma once

#include "tapegrad/tensor.h"

namespace tapegrad::autograd {

/// Throws, naming `op`, unless `self` may be written: a leaf that requires grad (while recording),
/// an expanded tensor or an inference tensor outside inference mode may not.
TAPEGRAD_API void check_writable(const char* op, const Tensor& self);

/// Whether writing `value` into `self` must be recorded.
TAPEGRAD_API bool must_record(const Tensor& self, const Tensor& value);

/// Writes `value` (broadcast and converted) into `self`, counts the version up, and makes `self`
/// the result of `value`'s history on the tape, its base and views included. Returns `self`.
TAPEGRAD_API Tensor& assign_inplace(const char* op, Tensor& self, const Tensor& value);

/// As assign_inplace with the values already in `self`'s memory: checks were made by the caller,
/// `value` (of `self`'s shape and dtype) carries the history and may share `self`'s memory.
TAPEGRAD_API void record_write(Tensor& self, const Tensor& value);

/// `out=`: resizes an empty or wrongly shaped `out` and writes `result` into it. Throws when `out`
/// requires grad or its dtype cannot hold the result. Returns `out`.
TAPEGRAD_API Tensor& assign_out(const char* op, Tensor& out, const Tensor& result);

/// `self.data = data`: `self` takes over the memory, shape and dtype of `data`; nothing is
/// recorded, and tensors saved for backward from the old memory are noticed as changed. Throws for
/// views, and for results on the tape when shape or dtype differ.
TAPEGRAD_API void set_data(Tensor& self, const Tensor& data);

/// Makes a result a leaf that requires no gradient (detach_).
TAPEGRAD_API void cut_from_tape(const Tensor& self);

}  // namespace tapegrad::autograd
