// Sums, means and maxima over bags of rows of a table.
//
// Note [Bags are a sparse matrix]
// The sum over bags is a product S W of a sparse matrix of factors, one row a bag, and the table.
// Its derivative in W is the product of the transposed matrix with the gradient: the same
// operation with entries sorted by row of the table, so that it differentiates again by itself and
// every row of a result is summed by one thread in a fixed order.
#include <limits>
#include <memory>
#include <vector>

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "kernels/resample.h"
#include "ops/embedding.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"
#include "tapegrad/resample.h"

namespace tapegrad {
namespace {

using autograd::Inputs;
using autograd::Pull;
using namespace ops;

/// The places of the factors: entry k stands in row bag[k] (sorted) and column rows[k].
struct Entries {
  Tensor rows;    // int64
  Tensor bags;    // int64, ascending
  Tensor starts;  // int64, count + 1 of them
  int64_t count = 0;
  int64_t height = 0;  // rows of the table
};
using EntriesRef = std::shared_ptr<const Entries>;

/// The entries sorted by row, and the permutation that does it.
EntriesRef transposed(const Entries& e, Tensor& order) {
  auto result = std::make_shared<Entries>();
  const int64_t n = e.rows.numel();
  result->rows = empty({n}, DType::Int64);
  result->bags = empty({n}, DType::Int64);
  result->starts = zeros({e.height + 1}, DType::Int64);
  result->count = e.height;
  result->height = e.count;
  order = empty({n}, DType::Int64);
  const auto *row = e.rows.data_ptr<int64_t>(), *bag = e.bags.data_ptr<int64_t>();
  auto* start = result->starts.data_ptr<int64_t>();
  for (int64_t k = 0; k < n; ++k) ++start[row[k] + 1];
  for (int64_t r = 0; r < e.height; ++r) start[r + 1] += start[r];
  std::vector<int64_t> next(start, start + e.height);
  auto *rows = result->rows.data_ptr<int64_t>(), *bags = result->bags.data_ptr<int64_t>();
  auto* places = order.data_ptr<int64_t>();
  for (int64_t k = 0; k < n; ++k) {
    const int64_t to = next[static_cast<size_t>(row[k])]++;
    rows[to] = bag[k];
    bags[to] = row[k];
    places[to] = k;
  }
  return result;
}

kernels::Bags arguments(const Entries& e, const Tensor& table) {
  kernels::Bags p;
  p.is_double = table.dtype() == DType::Float64;
  p.count = e.count;
  p.width = table.size(1);
  p.entries = e.rows.numel();
  return p;
}

/// (factors, table) -> sums; without factors all are 1.
struct BagSumRule : autograd::Rule {
  static constexpr const char* name = "EmbeddingBag";
  EntriesRef entries;
  bool weighted = false;

  unsigned saves_inputs(unsigned needs) const {
    return weighted ? (needs & 1u ? 2u : 0u) | (needs & 2u ? 1u : 0u) : 0u;
  }
  Tensor forward(Inputs in) const {
    const Tensor table = contiguous(in[weighted ? 1 : 0]);
    const Tensor factors = weighted ? contiguous(in[0]) : Tensor();
    Tensor result = core::make_tensor({entries->count, table.size(1)}, table.dtype());
    core::launch(&kernels::bag_sum,
                 {core::out(result), core::in(table), core::in(entries->rows),
                  core::in(entries->starts), weighted ? core::in(factors) : core::none()},
                 arguments(*entries, table));
    return result;
  }
  void pull(Pull& p) const {
    const Tensor& g = p.grad();
    Tensor order;
    if (!weighted) {
      p.set(0, autograd::enter(BagSumRule{{}, transposed(*entries, order), false}, g));
      return;
    }
    if (p.needs(0)) {
      const Tensor rows = index_select(p.input(1), 0, entries->rows);
      p.set(0, sum(rows * index_select(g, 0, entries->bags), 1));
    }
    if (p.needs(1)) {
      const EntriesRef turned = transposed(*entries, order);
      const Tensor factors = index_select(p.input(0), 0, order);
      p.set(1, autograd::enter(BagSumRule{{}, turned, true}, factors, g));
    }
  }
};

/// The row that has the maximum of each bag and column, -1 for an empty bag; no derivative.
struct BagArgmaxRule : autograd::Rule {
  static constexpr const char* name = "EmbeddingBagArgmax";
  static constexpr bool differentiable = false;
  const Entries* entries = nullptr;  // borrowed for the call
  Tensor forward(Inputs in) const {
    const Tensor table = contiguous(in[0]);
    Tensor result = core::make_tensor({entries->count, table.size(1)}, DType::Int64);
    core::launch(
        &kernels::bag_argmax,
        {core::out(result), core::in(table), core::in(entries->rows), core::in(entries->starts)},
        arguments(*entries, table));
    return result;
  }
  void pull(Pull&) const {}
};

struct Request {
  Tensor rows;    // 1-d int64
  Tensor starts;  // int64, one a bag
  Tensor weights;
  bool last = false;  // starts ends with the end of the last bag
};

Tensor as_indices(const char* argument, const Tensor& x) {
  if (x.dtype() != DType::Int64 && x.dtype() != DType::Int32) {
    throw DTypeError(core::text("embedding_bag: expected int64 or int32 ", argument, ", got a ",
                                core::describe(x), "; convert them with .long()"));
  }
  return contiguous(to(x.detach(), DType::Int64));
}

void check_starts(const Tensor& starts, int64_t entries, bool last) {
  const auto* at = starts.data_ptr<int64_t>();
  const int64_t n = starts.numel();
  if (last && n == 0)
    throw ShapeError("embedding_bag: include_last_offset=True needs at least one offset, got none");
  if (n > 0 && at[0] != 0)
    throw ValueError(core::text("embedding_bag: offsets[0] has to be 0, got ", at[0]));
  for (int64_t i = 0; i < n; ++i) {
    if (at[i] > entries || (i > 0 && at[i] < at[i - 1])) {
      throw ValueError(core::text("embedding_bag: offsets must rise and not exceed the ", entries,
                                  " indices, got ", at[i], " at position ", i));
    }
  }
}

Request request_of(const Tensor& input, const Tensor& offsets, const Tensor& weights, bool last) {
  Request r;
  const Tensor indices = as_indices("indices", input);
  if (weights.defined() && !(weights.sizes() == input.sizes())) {
    throw ShapeError(
        core::text("embedding_bag: expected per_sample_weights of the shape of input, ",
                   shape_string(input.sizes()), ", got ", shape_string(weights.sizes())));
  }
  r.rows = reshape(indices, {-1});
  r.weights = weights.defined() ? reshape(weights, {-1}) : weights;
  if (input.dim() == 2) {
    if (offsets.defined()) {
      throw ValueError(
          "embedding_bag: a 2-d input is a batch of bags of one size; offsets must be None");
    }
    const int64_t bags = input.size(0), size = input.size(1);
    r.starts = bags == 0   ? empty({0}, DType::Int64)
               : size == 0 ? zeros({bags}, DType::Int64)
                           : arange(0, bags * size, size);
    return r;
  }
  if (input.dim() != 1) {
    throw ShapeError(core::text("embedding_bag: expected an input of 1 or 2 dimensions, got a ",
                                core::describe(input)));
  }
  if (!offsets.defined() || offsets.dim() != 1) {
    throw ShapeError(
        "embedding_bag: a 1-d input needs offsets of 1 dimension, the start of each "
        "bag; for bags of one size give a 2-d input");
  }
  r.starts = as_indices("offsets", offsets);
  r.last = last;
  check_starts(r.starts, r.rows.numel(), last);
  return r;
}

/// The entries but those of the padding row; `kept` are their places (undefined: all).
EntriesRef entries_of(const Request& r, int64_t height, int64_t padding, Tensor& kept) {
  auto e = std::make_shared<Entries>();
  const int64_t n = r.rows.numel();
  const auto *row = r.rows.data_ptr<int64_t>(), *start = r.starts.data_ptr<int64_t>();
  const int64_t given = r.starts.numel();
  e->count = r.last ? given - 1 : given;
  e->height = height;
  e->starts = empty({e->count + 1}, DType::Int64);
  std::vector<int64_t> rows, bags, places;
  rows.reserve(static_cast<size_t>(n));
  bags.reserve(static_cast<size_t>(n));
  auto* starts = e->starts.data_ptr<int64_t>();
  for (int64_t b = 0; b < e->count; ++b) {
    starts[b] = static_cast<int64_t>(rows.size());
    const int64_t end = b + 1 < given ? start[b + 1] : n;
    for (int64_t k = start[b]; k < end; ++k) {
      if (row[k] < 0 || row[k] >= height) {
        throw IndexError(core::text("embedding_bag: index ", row[k], " at position ", k,
                                    " is out of range for a table of ", height, " embeddings"));
      }
      if (row[k] == padding) continue;
      rows.push_back(row[k]);
      bags.push_back(b);
      places.push_back(k);
    }
  }
  const auto total = static_cast<int64_t>(rows.size());
  starts[e->count] = total;
  e->rows = from_values(rows, {total});
  e->bags = from_values(bags, {total});
  kept = total == n ? Tensor() : from_values(places, {total});
  return e;
}

/// Of each bag, the number of entries, at least 1, as a column.
Tensor counts_of(const Entries& e, DType dtype) {
  const Tensor size = slice(e.starts, 0, 1, {}) - slice(e.starts, 0, 0, -1);
  return unsqueeze(to(clamp(size, Scalar(1)), dtype), 1);
}

/// Values as the table has them; their gradients divided by how often the row was looked up.
struct ByFrequencyRule : autograd::Rule {
  static constexpr const char* name = "EmbeddingFrequency";
  static constexpr bool linear = true;
  Tensor counts;  // a column
  Tensor forward(Inputs in) const { return in[0].detach(); }
  void pull(Pull& p) const { p.set(0, p.grad() / counts); }
};

Tensor by_frequency(const Entries& e, const Tensor& weight) {
  const Tensor one = ones({e.rows.numel()}, weight.dtype());
  const Tensor counts = index_add(zeros({e.height}, weight.dtype()), 0, e.rows, one);
  return autograd::enter(ByFrequencyRule{{}, unsqueeze(clamp(counts, Scalar(1.0)), 1)}, weight);
}

Tensor maxima(const EntriesRef& entries, const Tensor& table) {
  const Tensor best = autograd::enter(BagArgmaxRule{{}, entries.get()}, table);
  const Tensor none = lt(best, Scalar(0));
  if (table.size(0) == 0) return zeros(best.sizes(), table.dtype());
  const Tensor values = gather(table, 0, clamp(best, Scalar(0)));
  return masked_fill(values, none, scalar_tensor(0, table.dtype()));
}

/// Bags of one size whose row numbers cannot be read, as inside vmap: in operations.
Tensor in_operations(const Tensor& input, const Tensor& table, const Tensor& factors,
                     std::string_view mode, int64_t padding) {
  const int64_t bags = input.size(0), size = input.size(1);
  const Tensor flat = reshape(to(input.detach(), DType::Int64), {-1});
  Tensor rows = reshape(index_select(table, 0, flat), {bags, size, table.size(1)});
  if (factors.defined()) rows = rows * unsqueeze(factors, 2);
  const Tensor out = unsqueeze(eq(input, Scalar(padding)), 2);
  const Tensor zero = scalar_tensor(0, table.dtype());
  if (mode == "max") {
    constexpr double kLeast = -std::numeric_limits<double>::infinity();
    const Tensor most = max(masked_fill(rows, out, scalar_tensor(kLeast, table.dtype())), 1)[0];
    return masked_fill(most, all(out, 1), zero);
  }
  Tensor total = sum(masked_fill(rows, out, zero), 1);
  if (mode == "sum") return total;
  return total / clamp(to(sum(logical_not(out), 1), table.dtype()), Scalar(1.0));
}

void check_table(const Tensor& weight, const Tensor& factors, std::string_view mode) {
  if (weight.dim() != 2 || !is_floating_point(weight.dtype())) {
    throw ShapeError(
        core::text("embedding_bag: weight must be a floating-point tensor of 2 "
                   "dimensions, got a ",
                   core::describe(weight)));
  }
  if (mode != "sum" && mode != "mean" && mode != "max") {
    throw ValueError(
        core::text("embedding_bag: mode has to be one of sum, mean or max, got '", mode, "'"));
  }
  if (!factors.defined()) return;
  if (mode != "sum") {
    throw UnsupportedError(
        core::text("embedding_bag: per_sample_weights need mode='sum', got "
                   "mode='",
                   mode, "'"));
  }
  if (factors.dtype() != weight.dtype()) {
    throw DTypeError(core::text(
        "embedding_bag: per_sample_weights is ", dtype_name(factors.dtype()), " but weight is ",
        dtype_name(weight.dtype()), "; convert it by per_sample_weights.to(weight.dtype)"));
  }
}

}  // namespace

Tensor embedding_bag(const Tensor& input, const Tensor& weight, const Tensor& offsets,
                     std::optional<double> max_norm, double norm_type, bool scale_grad_by_freq,
                     std::string_view mode, const Tensor& per_sample_weights,
                     bool include_last_offset, std::optional<int64_t> padding_idx) {
  check_table(weight, per_sample_weights, mode);
  const int64_t height = weight.size(0);
  int64_t padding = padding_idx.value_or(-1);
  if (padding_idx && (padding < -height || padding >= height)) {
    throw IndexError(core::text("embedding_bag: padding_idx ", padding, " is out of range for ",
                                height, " embeddings"));
  }
  if (padding_idx && padding < 0) padding += height;
  if (scale_grad_by_freq && mode == "max")
    throw ValueError("embedding_bag: scale_grad_by_freq does not go with mode='max'");
  if (input->has(TensorImpl::kBatched) && input.dim() == 2 && input.size(1) > 0 &&
      !offsets.defined() && !max_norm && !scale_grad_by_freq) {
    return in_operations(input, weight, per_sample_weights, mode, padding);
  }
  const Request request = request_of(input, offsets, per_sample_weights, include_last_offset);
  Tensor kept;
  const EntriesRef entries = entries_of(request, height, padding_idx ? padding : -1, kept);
  if (max_norm) shorten_rows(weight, request.rows, *max_norm, norm_type);
  const DType dtype = weight.dtype();
  const DType compute = is_half(dtype) ? DType::Float32 : dtype;
  Tensor table = to(weight, compute);
  if (mode == "max") return to(maxima(entries, table), dtype);
  if (scale_grad_by_freq) table = by_frequency(*entries, table);
  if (request.weights.defined()) {
    const Tensor factors =
        kept.defined() ? index_select(request.weights, 0, kept) : request.weights;
    return to(autograd::enter(BagSumRule{{}, entries, true}, to(factors, compute), table), dtype);
  }
  Tensor result = autograd::enter(BagSumRule{{}, entries, false}, table);
  if (mode == "mean") result = result / counts_of(*entries, compute);
  return to(result, dtype);
}

TAPEGRAD_OP(
    kNN,
    "embedding_bag(Tensor input, Tensor weight, Tensor? offsets=None, float? max_norm=None, "
    "float norm_type=2.0, bool scale_grad_by_freq=False, str mode='mean', bool "
    "sparse=False, Tensor? per_sample_weights=None, bool include_last_offset=False, int? "
    "padding_idx=None) -> Tensor",
    R"(The sum, mean or maximum of each bag of rows of a table.

Args:
    input: numbers of rows, int64 or int32: (bags, size), or one list that offsets cuts into bags
    weight: the table, of shape (rows, features)
    offsets: for a 1-d input, the start of each bag
    max_norm: rows that are looked up and longer are scaled to this length, in weight itself
    norm_type: the p of that norm
    scale_grad_by_freq: divide gradients by how often their row was looked up; not with 'max'
    mode: 'sum', 'mean' or 'max'; an empty bag gives zeros
    sparse: not supported
    per_sample_weights: for 'sum', a factor for each entry of input
    include_last_offset: offsets ends with the end of the last bag
    padding_idx: a row that does not count

Returns:
    a tensor of shape (bags, features)

Raises:
    IndexError: a number outside of the table; names it and its position
    ShapeError, DTypeError, ValueError: arguments that do not fit

Example:
    >>> import tapegrad as tg
    >>> table = tg.tensor([[1., 2.], [3., 4.], [5., 6.]])
    >>> tg.nn.functional.embedding_bag(tg.tensor([0, 1, 2]), table, tg.tensor([0, 2]), mode="sum")
    tensor([[4., 6.],
            [5., 6.]]))",
    +[](const Tensor& input, const Tensor& weight, const Tensor& offsets,
        std::optional<double> max_norm, double norm_type, bool by_freq, std::string_view mode,
        bool sparse, const Tensor& factors, bool last, std::optional<int64_t> padding_idx) {
      if (sparse) {
        throw UnsupportedError(
            "embedding_bag: sparse gradients are not supported; leave sparse=False");
      }
      return embedding_bag(input, weight, offsets, max_norm, norm_type, by_freq, mode, factors,
                           last, padding_idx);
    });

}  // namespace tapegrad
