// The operations, by family. Names, parameters, defaults and results are PyTorch's; the docstrings
// stand with the definitions (csrc/ops) and are what Python shows.
#pragma once

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "tapegrad/elementwise_declarations.h"
#include "tapegrad/random.h"
#include "tapegrad/tensor.h"

namespace tapegrad {

// --- creation (ops/create.cpp)
// ---------------------------------------------------------------------------------------
TAPEGRAD_API Tensor empty(IntSpan size, std::optional<DType> dtype = {});
TAPEGRAD_API Tensor empty_strided(IntSpan size, IntSpan stride, std::optional<DType> dtype = {});
TAPEGRAD_API Tensor zeros(IntSpan size, std::optional<DType> dtype = {});
TAPEGRAD_API Tensor ones(IntSpan size, std::optional<DType> dtype = {});
TAPEGRAD_API Tensor full(IntSpan size, Scalar fill_value, std::optional<DType> dtype = {});
TAPEGRAD_API Tensor empty_like(const Tensor& input, std::optional<DType> dtype = {});
TAPEGRAD_API Tensor zeros_like(const Tensor& input, std::optional<DType> dtype = {});
TAPEGRAD_API Tensor ones_like(const Tensor& input, std::optional<DType> dtype = {});
TAPEGRAD_API Tensor full_like(const Tensor& input, Scalar fill_value,
                              std::optional<DType> dtype = {});
TAPEGRAD_API Tensor arange(Scalar start, Scalar end, Scalar step = 1,
                           std::optional<DType> dtype = {});
TAPEGRAD_API Tensor linspace(Scalar start, Scalar end, int64_t steps,
                             std::optional<DType> dtype = {});
/// Powers of `base` from base^start to base^end.
TAPEGRAD_API Tensor logspace(Scalar start, Scalar end, int64_t steps, double base = 10.0,
                             std::optional<DType> dtype = {});
TAPEGRAD_API Tensor eye(int64_t n, std::optional<int64_t> m = {}, std::optional<DType> dtype = {});
/// A 0-d tensor; copies from memory are made with from_values.
TAPEGRAD_API Tensor scalar_tensor(Scalar value, std::optional<DType> dtype = {});
/// A copy of row-major values.
template <class T>
Tensor from_values(const std::vector<T>& values, IntSpan size) {
  Tensor result = empty(size, dtype_of<T>());
  T* data = result.data_ptr<T>();
  for (size_t i = 0; i < values.size() && static_cast<int64_t>(i) < result.numel(); ++i)
    data[i] = values[i];
  return result;
}

// --- random (ops/random.cpp)
// -----------------------------------------------------------------------------------------
TAPEGRAD_API Tensor rand(IntSpan size, Generator* generator = nullptr,
                         std::optional<DType> dtype = {});
TAPEGRAD_API Tensor randn(IntSpan size, Generator* generator = nullptr,
                          std::optional<DType> dtype = {});
TAPEGRAD_API Tensor randint(int64_t low, int64_t high, IntSpan size, Generator* generator = nullptr,
                            std::optional<DType> dtype = {});
TAPEGRAD_API Tensor randperm(int64_t n, Generator* generator = nullptr,
                             std::optional<DType> dtype = {});
TAPEGRAD_API Tensor rand_like(const Tensor& input, std::optional<DType> dtype = {});
TAPEGRAD_API Tensor randn_like(const Tensor& input, std::optional<DType> dtype = {});
TAPEGRAD_API Tensor randint_like(const Tensor& input, int64_t low, int64_t high,
                                 std::optional<DType> dtype = {});
TAPEGRAD_API Tensor bernoulli(const Tensor& input, Generator* generator = nullptr);
TAPEGRAD_API Tensor& uniform_(Tensor& self, double from = 0, double to = 1,
                              Generator* generator = nullptr);
TAPEGRAD_API Tensor& normal_(Tensor& self, double mean = 0, double std = 1,
                             Generator* generator = nullptr);
TAPEGRAD_API Tensor& exponential_(Tensor& self, double lambd = 1, Generator* generator = nullptr);
TAPEGRAD_API Tensor dropout(const Tensor& input, double p = 0.5, bool training = true);

// --- copies and conversion (ops/copy.cpp)
// ----------------------------------------------------------------------------
TAPEGRAD_API Tensor clone(const Tensor& input);
/// `input` itself when it is contiguous already.
TAPEGRAD_API Tensor contiguous(const Tensor& input);
/// `input` itself when it has that dtype already.
TAPEGRAD_API Tensor to(const Tensor& input, DType dtype, bool copy = false);
/// Writes `src` (broadcast and converted) into `self`; recorded.
TAPEGRAD_API Tensor& copy_(Tensor& self, const Tensor& src);
TAPEGRAD_API Tensor& fill_(Tensor& self, Scalar value);
TAPEGRAD_API Tensor& zero_(Tensor& self);

// --- views (ops/views.cpp)
// -------------------------------------------------------------------------------------------
TAPEGRAD_API Tensor as_strided(const Tensor& input, IntSpan size, IntSpan stride,
                               std::optional<int64_t> storage_offset = {});
/// `input` with the region that as_strided(size, stride, storage_offset) shows replaced by `src`,
/// as a new tensor.
TAPEGRAD_API Tensor as_strided_scatter(const Tensor& input, const Tensor& src, IntSpan size,
                                       IntSpan stride, std::optional<int64_t> storage_offset = {});
TAPEGRAD_API Tensor view(const Tensor& input, IntSpan size);
TAPEGRAD_API Tensor reshape(const Tensor& input, IntSpan shape);
TAPEGRAD_API Tensor flatten(const Tensor& input, int64_t start_dim = 0, int64_t end_dim = -1);
TAPEGRAD_API Tensor transpose(const Tensor& input, int64_t dim0, int64_t dim1);
TAPEGRAD_API Tensor permute(const Tensor& input, IntSpan dims);
TAPEGRAD_API Tensor t(const Tensor& input);
TAPEGRAD_API Tensor squeeze(const Tensor& input, OptionalInts dim = {});
TAPEGRAD_API Tensor unsqueeze(const Tensor& input, int64_t dim);
TAPEGRAD_API Tensor expand(const Tensor& input, IntSpan size);
TAPEGRAD_API Tensor narrow(const Tensor& input, int64_t dim, int64_t start, int64_t length);
TAPEGRAD_API Tensor select(const Tensor& input, int64_t dim, int64_t index);
/// Python's input[..., start:end:step, ...]; bounds are clipped.
TAPEGRAD_API Tensor slice(const Tensor& input, int64_t dim, std::optional<int64_t> start,
                          std::optional<int64_t> end, int64_t step = 1);
TAPEGRAD_API Tensor diagonal(const Tensor& input, int64_t offset = 0, int64_t dim1 = 0,
                             int64_t dim2 = 1);
TAPEGRAD_API std::vector<Tensor> split(const Tensor& input, int64_t split_size, int64_t dim = 0);
TAPEGRAD_API std::vector<Tensor> split_with_sizes(const Tensor& input, IntSpan split_sizes,
                                                  int64_t dim = 0);
TAPEGRAD_API std::vector<Tensor> chunk(const Tensor& input, int64_t chunks, int64_t dim = 0);
TAPEGRAD_API std::vector<Tensor> unbind(const Tensor& input, int64_t dim = 0);
TAPEGRAD_API Tensor detach(const Tensor& input);
/// Sums `input` down to a shape that broadcasts to its own.
TAPEGRAD_API Tensor sum_to_size(const Tensor& input, IntSpan size);

// --- other arrangements, as copies (ops/arrange.cpp)
// --------------------------------------------------------------
TAPEGRAD_API Tensor flip(const Tensor& input, IntSpan dims);
TAPEGRAD_API Tensor roll(const Tensor& input, IntSpan shifts, IntSpan dims = {});
TAPEGRAD_API Tensor rot90(const Tensor& input, int64_t k, IntSpan dims);
TAPEGRAD_API Tensor repeat(const Tensor& input, IntSpan repeats);
TAPEGRAD_API Tensor tile(const Tensor& input, IntSpan dims);
TAPEGRAD_API Tensor repeat_interleave(const Tensor& input, int64_t repeats,
                                      std::optional<int64_t> dim = {});
TAPEGRAD_API Tensor repeat_interleave(const Tensor& input, const Tensor& repeats,
                                      std::optional<int64_t> dim = {});
/// Indices that repeat i as often as repeats[i] says.
TAPEGRAD_API Tensor repeat_interleave(const Tensor& repeats);
TAPEGRAD_API Tensor tril(const Tensor& input, int64_t diagonal = 0);
TAPEGRAD_API Tensor triu(const Tensor& input, int64_t diagonal = 0);

// --- shapes built from other shapes (ops/shapes.cpp)
// --------------------------------------------------------------
TAPEGRAD_API Tensor diag(const Tensor& input, int64_t diagonal = 0);
TAPEGRAD_API Tensor diag_embed(const Tensor& input, int64_t offset = 0, int64_t dim1 = -2,
                               int64_t dim2 = -1);
TAPEGRAD_API Tensor diagonal_scatter(const Tensor& input, const Tensor& src, int64_t offset = 0,
                                     int64_t dim1 = 0, int64_t dim2 = 1);
TAPEGRAD_API Tensor select_scatter(const Tensor& input, const Tensor& src, int64_t dim,
                                   int64_t index);
TAPEGRAD_API Tensor slice_scatter(const Tensor& input, const Tensor& src, int64_t dim = 0,
                                  std::optional<int64_t> start = {},
                                  std::optional<int64_t> end = {}, int64_t step = 1);
/// Windows of `size` along a dimension, `step` apart, as a new last dimension; a view.
TAPEGRAD_API Tensor unfold(const Tensor& input, int64_t dimension, int64_t size, int64_t step);
TAPEGRAD_API std::vector<Tensor> broadcast_tensors(TensorList tensors);
TAPEGRAD_API std::vector<Tensor> tensor_split(const Tensor& input, int64_t sections,
                                              int64_t dim = 0);
TAPEGRAD_API std::vector<Tensor> tensor_split(const Tensor& input, IntSpan indices,
                                              int64_t dim = 0);
TAPEGRAD_API std::vector<Tensor> meshgrid(TensorList tensors, std::string_view indexing = "ij");
TAPEGRAD_API Tensor block_diag(TensorList tensors);

// --- joining and indexing (ops/join.cpp, ops/index.cpp)
// --------------------------------------------------------------
TAPEGRAD_API Tensor cat(TensorList tensors, int64_t dim = 0);
TAPEGRAD_API Tensor stack(TensorList tensors, int64_t dim = 0);
TAPEGRAD_API Tensor gather(const Tensor& input, int64_t dim, const Tensor& index);
TAPEGRAD_API Tensor scatter_add(const Tensor& input, int64_t dim, const Tensor& index,
                                const Tensor& src);
TAPEGRAD_API Tensor index_select(const Tensor& input, int64_t dim, const Tensor& index);
TAPEGRAD_API Tensor index_add(const Tensor& input, int64_t dim, const Tensor& index,
                              const Tensor& source);
/// NumPy's advanced indexing; an undefined entry of `indices` is a full slice. Masks (bool) are
/// taken as nonzero().
TAPEGRAD_API Tensor index(const Tensor& input, TensorList indices);
/// `input` with the indexed elements replaced by (or, with `accumulate`, increased by) `values`, as
/// a new tensor.
TAPEGRAD_API Tensor index_put(const Tensor& input, TensorList indices, const Tensor& values,
                              bool accumulate = false);
TAPEGRAD_API Tensor& index_put_(Tensor& self, TensorList indices, const Tensor& values,
                                bool accumulate = false);
TAPEGRAD_API Tensor masked_fill(const Tensor& input, const Tensor& mask, const Tensor& value);
TAPEGRAD_API Tensor masked_select(const Tensor& input, const Tensor& mask);
TAPEGRAD_API Tensor nonzero(const Tensor& input);

// --- reductions and scans (ops/reduce.cpp, ops/extrema.cpp, ops/scan.cpp)
// --------------------------------------------
TAPEGRAD_API Tensor sum(const Tensor& input, OptionalInts dim = {}, bool keepdim = false,
                        std::optional<DType> dtype = {});
TAPEGRAD_API Tensor mean(const Tensor& input, OptionalInts dim = {}, bool keepdim = false,
                         std::optional<DType> dtype = {});
TAPEGRAD_API Tensor nansum(const Tensor& input, OptionalInts dim = {}, bool keepdim = false,
                           std::optional<DType> dtype = {});
TAPEGRAD_API Tensor nanmean(const Tensor& input, OptionalInts dim = {}, bool keepdim = false,
                            std::optional<DType> dtype = {});
TAPEGRAD_API Tensor prod(const Tensor& input, OptionalInts dim = {}, bool keepdim = false,
                         std::optional<DType> dtype = {});
TAPEGRAD_API Tensor var(const Tensor& input, OptionalInts dim = {},
                        std::optional<Scalar> correction = {}, bool keepdim = false);
TAPEGRAD_API Tensor std_dev(const Tensor& input, OptionalInts dim = {},
                            std::optional<Scalar> correction = {}, bool keepdim = false);
/// Spread and mean.
TAPEGRAD_API std::vector<Tensor> var_mean(const Tensor& input, OptionalInts dim = {},
                                          std::optional<Scalar> correction = {},
                                          bool keepdim = false);
TAPEGRAD_API std::vector<Tensor> std_mean(const Tensor& input, OptionalInts dim = {},
                                          std::optional<Scalar> correction = {},
                                          bool keepdim = false);
TAPEGRAD_API Tensor norm(const Tensor& input, Scalar p = 2.0, OptionalInts dim = {},
                         bool keepdim = false);
TAPEGRAD_API Tensor logsumexp(const Tensor& input, OptionalInts dim, bool keepdim = false);
TAPEGRAD_API Tensor amax(const Tensor& input, OptionalInts dim = {}, bool keepdim = false);
TAPEGRAD_API Tensor amin(const Tensor& input, OptionalInts dim = {}, bool keepdim = false);
/// Minimum and maximum, of all or along one dimension.
TAPEGRAD_API std::vector<Tensor> aminmax(const Tensor& input, std::optional<int64_t> dim = {},
                                         bool keepdim = false);
/// Values and indices.
TAPEGRAD_API std::vector<Tensor> max(const Tensor& input, int64_t dim, bool keepdim = false);
TAPEGRAD_API std::vector<Tensor> min(const Tensor& input, int64_t dim, bool keepdim = false);
TAPEGRAD_API Tensor max(const Tensor& input);
TAPEGRAD_API Tensor min(const Tensor& input);
TAPEGRAD_API Tensor argmax(const Tensor& input, std::optional<int64_t> dim = {},
                           bool keepdim = false);
TAPEGRAD_API Tensor argmin(const Tensor& input, std::optional<int64_t> dim = {},
                           bool keepdim = false);
TAPEGRAD_API Tensor any(const Tensor& input, OptionalInts dim = {}, bool keepdim = false);
TAPEGRAD_API Tensor all(const Tensor& input, OptionalInts dim = {}, bool keepdim = false);
TAPEGRAD_API Tensor count_nonzero(const Tensor& input, OptionalInts dim = {});
TAPEGRAD_API Tensor cumsum(const Tensor& input, int64_t dim, std::optional<DType> dtype = {});
TAPEGRAD_API Tensor cumprod(const Tensor& input, int64_t dim, std::optional<DType> dtype = {});

// --- order (ops/sort.cpp, ops/order_statistics.cpp, ops/order_scans.cpp, ops/unique.cpp,
// ops/scatter_reduce.cpp)
// ----------------------------------------------------------------
/// Values and indices; stable.
TAPEGRAD_API std::vector<Tensor> sort(const Tensor& input, int64_t dim = -1,
                                      bool descending = false);
TAPEGRAD_API Tensor argsort(const Tensor& input, int64_t dim = -1, bool descending = false);
/// Values and indices of the k greatest (least) elements.
TAPEGRAD_API std::vector<Tensor> topk(const Tensor& input, int64_t k, int64_t dim = -1,
                                      bool largest = true, bool sorted = true);
TAPEGRAD_API std::vector<Tensor> kthvalue(const Tensor& input, int64_t k, int64_t dim = -1,
                                          bool keepdim = false);
/// The lower median; along a dimension, values and indices.
TAPEGRAD_API Tensor median(const Tensor& input);
TAPEGRAD_API std::vector<Tensor> median(const Tensor& input, int64_t dim, bool keepdim = false);
TAPEGRAD_API Tensor nanmedian(const Tensor& input);
TAPEGRAD_API std::vector<Tensor> nanmedian(const Tensor& input, int64_t dim, bool keepdim = false);
TAPEGRAD_API std::vector<Tensor> mode(const Tensor& input, int64_t dim = -1, bool keepdim = false);
TAPEGRAD_API Tensor quantile(const Tensor& input, const Tensor& q, std::optional<int64_t> dim = {},
                             bool keepdim = false, std::string_view interpolation = "linear");
TAPEGRAD_API Tensor nanquantile(const Tensor& input, const Tensor& q,
                                std::optional<int64_t> dim = {}, bool keepdim = false,
                                std::string_view interpolation = "linear");
TAPEGRAD_API Tensor searchsorted(const Tensor& sorted_sequence, const Tensor& input,
                                 bool right = false);
/// Values and indices of the running extremum.
TAPEGRAD_API std::vector<Tensor> cummax(const Tensor& input, int64_t dim);
TAPEGRAD_API std::vector<Tensor> cummin(const Tensor& input, int64_t dim);
TAPEGRAD_API Tensor logcumsumexp(const Tensor& input, int64_t dim);
TAPEGRAD_API Tensor bincount(const Tensor& input, const Tensor& weights = {},
                             int64_t minlength = 0);
TAPEGRAD_API Tensor histc(const Tensor& input, int64_t bins = 100, Scalar min = 0, Scalar max = 0);
TAPEGRAD_API Tensor scatter_reduce(const Tensor& input, int64_t dim, const Tensor& index,
                                   const Tensor& src, std::string_view reduce,
                                   bool include_self = true);

// --- contractions (ops/matmul.cpp)
// -----------------------------------------------------------------------------------
TAPEGRAD_API Tensor matmul(const Tensor& input, const Tensor& other);
TAPEGRAD_API Tensor mm(const Tensor& input, const Tensor& mat2);
TAPEGRAD_API Tensor bmm(const Tensor& input, const Tensor& mat2);
TAPEGRAD_API Tensor mv(const Tensor& input, const Tensor& vec);
TAPEGRAD_API Tensor dot(const Tensor& input, const Tensor& tensor);
TAPEGRAD_API Tensor outer(const Tensor& input, const Tensor& vec2);
TAPEGRAD_API Tensor addmm(const Tensor& input, const Tensor& mat1, const Tensor& mat2,
                          Scalar beta = 1, Scalar alpha = 1);
TAPEGRAD_API Tensor linear(const Tensor& input, const Tensor& weight, const Tensor& bias = {});
/// Sums of products by an equation such as "bij,bjk->bik".
TAPEGRAD_API Tensor einsum(std::string_view equation, TensorList operands);
TAPEGRAD_API Tensor tensordot(const Tensor& input, const Tensor& other, IntSpan dims_self,
                              IntSpan dims_other);
TAPEGRAD_API Tensor trace(const Tensor& input);
TAPEGRAD_API Tensor kron(const Tensor& input, const Tensor& other);
TAPEGRAD_API Tensor cross(const Tensor& input, const Tensor& other,
                          std::optional<int64_t> dim = {});
TAPEGRAD_API Tensor vecdot(const Tensor& x, const Tensor& y, int64_t dim = -1);
TAPEGRAD_API Tensor multi_dot(TensorList tensors);
/// Distances between the rows of two stacks.
TAPEGRAD_API Tensor cdist(const Tensor& x1, const Tensor& x2, double p = 2.0,
                          std::string_view compute_mode = "use_mm_for_euclid_dist_if_necessary");

// --- softmax and losses (ops/softmax.cpp, ops/loss.cpp)
// --------------------------------------------------------------
TAPEGRAD_API Tensor softmax(const Tensor& input, int64_t dim, std::optional<DType> dtype = {});
TAPEGRAD_API Tensor log_softmax(const Tensor& input, int64_t dim, std::optional<DType> dtype = {});
TAPEGRAD_API Tensor nll_loss(const Tensor& input, const Tensor& target, const Tensor& weight = {},
                             int64_t ignore_index = -100, std::string_view reduction = "mean");
TAPEGRAD_API Tensor cross_entropy(const Tensor& input, const Tensor& target,
                                  const Tensor& weight = {}, int64_t ignore_index = -100,
                                  std::string_view reduction = "mean",
                                  double label_smoothing = 0.0);
TAPEGRAD_API Tensor mse_loss(const Tensor& input, const Tensor& target,
                             std::string_view reduction = "mean");
TAPEGRAD_API Tensor l1_loss(const Tensor& input, const Tensor& target,
                            std::string_view reduction = "mean");
/// Quadratic below `beta`, linear above.
TAPEGRAD_API Tensor smooth_l1_loss(const Tensor& input, const Tensor& target,
                                   std::string_view reduction = "mean", double beta = 1.0);
TAPEGRAD_API Tensor huber_loss(const Tensor& input, const Tensor& target,
                               std::string_view reduction = "mean", double delta = 1.0);
TAPEGRAD_API Tensor binary_cross_entropy(const Tensor& input, const Tensor& target,
                                         const Tensor& weight = {},
                                         std::string_view reduction = "mean");
TAPEGRAD_API Tensor binary_cross_entropy_with_logits(const Tensor& input, const Tensor& target,
                                                     const Tensor& weight = {},
                                                     std::string_view reduction = "mean",
                                                     const Tensor& pos_weight = {});

}  // namespace tapegrad
