// Lifted tensors: how a tensor looks to code inside vmap or a nested grad. Owns the record (the
// inner tensor, its batch dimension, the level) and how inputs of an operation are taken apart and
// put together again; knows no operation but views.
//
// Note [Lifted tensors]
// Inside a batch level a lifted tensor shows one sample: it has the inner tensor's memory and
// version, but not the batch dimension. Its values cannot be read, only computed with: rules say by
// `broadcasts`, `leading`, shifted() or batch() how they run over all samples at once
// (autograd/entry.h); without one of these they run sample by sample. Inside a grad level nothing
// is batched (dim is -1); the lifted tensor has a place on the tape of its own, which only that
// level sees, while its inner tensor stays on the tape of the levels below.
#pragma once

#include <vector>

#include "autograd/level.h"
#include "tapegrad/tensor.h"

namespace tapegrad::autograd {

struct Inputs;

/// The record of a lifted tensor; level -1 for any other.
struct Lifted {
  Tensor inner;
  int dim = -1;
  int level = -1;
};
TAPEGRAD_API Lifted lifted(const Tensor& tensor);
TAPEGRAD_API int level_of(const Tensor& tensor);

/// `inner` seen from inside `level`; `dim` is the batch dimension, -1 when every sample sees all of
/// it.
TAPEGRAD_API Tensor lift(const Tensor& inner, int dim, int level);
/// What `tensor` is outside of grad level `level`.
TAPEGRAD_API Tensor lower(const Tensor& tensor, int level);
/// What `tensor` is outside of batch level `level`: all samples along a new dimension `dim`,
/// repeated `size` times when the tensor does not depend on the sample.
TAPEGRAD_API Tensor lower_batch(const Tensor& tensor, int dim, int level, int64_t size);
/// A tensor made inside grad level `level` that is written with values of that level becomes one of
/// it, until the level is closed; its base too.
void lift_in_place(const Tensor& tensor, int level);
/// Closes a grad level. Throws GradError unless it is the innermost open one.
TAPEGRAD_API void close_grad_level(int level);
/// The same values in another tensor object without a place on the tape.
Tensor plain_alias(const Tensor& tensor);

/// The inputs of an operation at the highest level among them, taken apart.
class Batch {
 public:
  explicit Batch(Inputs inputs);

  int level() const { return level_; }
  /// The number of samples; 0 dimensions are batched at a grad level.
  int64_t size() const { return size_; }
  int count() const { return static_cast<int>(parts_.size()); }
  bool any() const { return any_; }
  bool is_batched(int i) const { return part(i).dim >= 0; }
  int dim(int i) const { return part(i).dim; }
  /// Input i outside of the level, its batch dimension where it lies.
  const Tensor& inner(int i) const { return part(i).inner; }
  /// Input i as the operation's caller sees it.
  const Tensor& seen(int i) const { return *seen_[static_cast<size_t>(i)]; }
  /// Input i with the batch dimension first, expanded when it is not batched.
  Tensor front(int i) const;
  /// front(), dense if the caller sees a dense tensor: kernels may rely on what callers prepared.
  Tensor dense_front(int i) const;
  /// Input i with the batch dimension first, or as it is when not batched.
  Tensor lead(int i) const;
  /// Input i so that it broadcasts with others of up to `ndim` dimensions: lead(), with dimensions
  /// of size 1 after the batch dimension.
  Tensor aligned(int i, int64_t ndim) const;
  /// All inputs so that they broadcast together, with the dtypes that the caller's promotion sees.
  std::vector<Tensor> aligned() const;
  /// All inputs outside of the level.
  std::vector<Tensor> inner() const;
  /// The largest number of dimensions that the caller sees in an input.
  int64_t max_dim() const;
  /// Where the results carry the batch dimension; a rule that leaves it elsewhere says so.
  mutable int out_dim = 0;

 private:
  const Lifted& part(int i) const { return parts_[static_cast<size_t>(i)]; }
  std::vector<Lifted> parts_;
  std::vector<const Tensor*> seen_;
  int level_ = -1;
  int64_t size_ = 0;
  bool any_ = false;
};

/// The tensor below all levels.
Tensor bottom(const Tensor& tensor);
/// Whether any element of `flags` is true, in any sample: for checks that decide for all at once.
bool any_below(const Tensor& flags);
/// A tensor like `target` that can be written with what `source` holds: `target` itself, or a copy
/// at the levels of `source`.
Tensor room_for(const Tensor& source, const Tensor& target);
/// Sample `i` of every input, for a rule that runs sample by sample.
std::vector<Tensor> sample(const Batch& batch, int64_t i);
/// Results of all samples, stacked; throws, naming `op`, when their shapes differ.
std::vector<Tensor> join_samples(const char* op, std::vector<std::vector<Tensor>> samples);

}  // namespace tapegrad::autograd
