// Scaled dot-product attention: the fused operation, and the same in operations, which serves
// derivatives that are differentiated again, gradients of a mask and random numbers under vmap.
#include "tapegrad/attention.h"

#include <cmath>
#include <limits>

#include "autograd/entry.h"
#include "autograd/level.h"
#include "core/launch.h"
#include "core/text.h"
#include "kernels/attention.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"
#include "tapegrad/random.h"

namespace tapegrad {

using namespace ops;
using kernels::AttentionParameters;

namespace {

constexpr const char* kOp = "scaled_dot_product_attention";

// --- how the operands lie ------------------------------------------------------------------------

/// With adjacent columns.
Tensor with_columns(const Tensor& t) {
  return t.size(-1) == 1 || t->strides().back() == 1 ? t : contiguous(t);
}
/// With columns that are adjacent, or all the same.
Tensor with_mask_columns(const Tensor& t) { return t->strides().back() == 0 ? t : with_columns(t); }

/// A new tensor (..., heads, rows, columns); in memory heads lie inside of rows where they do in
/// `like`, so that joining the heads afterwards moves nothing.
Tensor make_heads(IntSpan sizes, const Tensor& like) {
  const int n = static_cast<int>(sizes.size());
  const auto heads = static_cast<size_t>(n - 3), rows = static_cast<size_t>(n - 2);
  if (n < 4 || like->strides()[rows] <= like->strides()[heads])
    return core::make_tensor(sizes, like.dtype());
  Dims strides(n, 1);
  strides[n - 3] = sizes[rows + 1];
  strides[n - 2] = strides[n - 3] * sizes[heads];
  int64_t next = strides[n - 2] * sizes[rows];
  for (int d = n - 4; d >= 0; --d) {
    strides[d] = next;
    next *= sizes[static_cast<size_t>(d)];
  }
  return core::make_tensor(sizes, strides, like.dtype());
}

/// Calls f(index, offset) for every matrix of t, in order.
template <class F>
void for_matrices(const Tensor& t, F f) {
  const int n = static_cast<int>(t.dim()) - 2;
  Dims index(n, 0);
  int64_t offset = 0;
  for (int64_t i = 0;; ++i) {
    f(i, offset);
    int d = n - 1;
    for (; d >= 0; --d) {
      const auto k = static_cast<size_t>(d);
      offset += t->strides()[k];
      if (++index[d] < t->sizes()[k]) break;
      offset -= t->strides()[k] * t->sizes()[k];
      index[d] = 0;
    }
    if (d < 0) return;
  }
}

/// What one launch reads and writes.
class Launch {
 public:
  explicit Launch(const AttentionParameters& parameters)
      : p_(parameters),
        first_(core::make_tensor({parameters.batches, kernels::kAttentionPlaces}, DType::Int64)) {}

  /// Matrices of `t`, each serving `groups` batches side by side.
  void set(kernels::AttentionPlace place, const Tensor& t, int64_t groups = 1) {
    tensors_[place] = t;
    p_.row[place] = t->strides()[static_cast<size_t>(t.dim() - 2)];
    auto* first = static_cast<int64_t*>(first_.data());
    for_matrices(t, [&](int64_t i, int64_t offset) {
      for (int64_t g = i * groups; g < (i + 1) * groups; ++g)
        first[g * kernels::kAttentionPlaces + place] = offset;
    });
  }
  void set_mask(const Tensor& mask) {
    if (!mask.defined()) return;
    const Tensor columns = with_mask_columns(mask);
    set(kernels::kAttentionMask, columns);
    p_.mask_column = columns->strides().back() == 0 ? 0 : 1;
    p_.mask =
        mask.dtype() == DType::Bool ? kernels::AttentionMask::Bool : kernels::AttentionMask::Add;
  }
  void run(void (*kernel)(void* const*, const AttentionParameters&), const Tensor& log_sums) const {
    const auto operand = [&](int place) {
      const Tensor& t = tensors_[place];
      return t.defined() ? core::out(t) : core::none();
    };
    core::launch(kernel,
                 {operand(0), operand(1), operand(2), operand(3), operand(4), operand(5),
                  operand(6), operand(7), operand(8), core::out(log_sums), core::in(first_)},
                 p_);
  }

 private:
  AttentionParameters p_;
  Tensor first_;
  Tensor tensors_[kernels::kAttentionPlaces];
};

// --- in operations -------------------------------------------------------------------------------

struct Settings {
  double scale = 1;
  bool causal = false;
  int64_t groups = 1;  // heads of queries to one of keys
  double dropout = 0;
  Generator::Draw draw{};
};

/// Keys or values for every head of queries.
Tensor repeated(const Tensor& t, int64_t groups) {
  return groups == 1 ? t : repeat_interleave(t, groups, -3);
}
/// The adjoint of repeated().
Tensor summed(const Tensor& t, int64_t groups) {
  if (groups == 1) return t;
  Dims sizes(t.sizes());
  sizes[sizes.size() - 3] /= groups;
  sizes.insert(sizes.size() - 2, groups);
  return sum(reshape(t, sizes), {-3});
}

/// The weights of keys; rows that see none are 0.
Tensor attention_weights(const Settings& s, const Tensor& q, const Tensor& k, const Tensor& mask) {
  constexpr double kNever = -std::numeric_limits<double>::infinity();
  Tensor scores = matmul(q * Scalar(s.scale), transpose(k, -2, -1));
  if (mask.defined() && mask.dtype() == DType::Bool)
    scores = where(mask, scores, Scalar(kNever));
  else if (mask.defined())
    scores = scores + mask;
  if (s.causal) {
    const Tensor seen = tril(ones({q.size(-2), k.size(-2)}, DType::Bool));
    scores = where(seen, scores, Scalar(kNever));
  }
  if (!mask.defined()) return softmax(scores, -1);
  const Tensor nothing = eq(amax(scores.detach(), OptionalInts(-1), true), Scalar(kNever));
  return where(nothing, Scalar(0.0), softmax(where(nothing, Scalar(0.0), scores), -1));
}

/// What dropout multiplies the weights with; undefined where there is none.
Tensor dropout_factors(const AttentionParameters& p, IntSpan query_sizes, DType dtype) {
  if (p.dropout == 0) return {};
  Dims sizes(query_sizes);
  sizes.back() = p.keys;
  const Tensor factors = core::make_tensor(sizes, dtype);
  core::launch(&kernels::attention_dropout, {core::out(factors)}, p);
  return factors;
}

// --- the fused operation -------------------------------------------------------------------------

/// Inputs: query (..., H, L, E), key (..., H / groups, S, E), value, mask (..., H, L, S) if any.
/// Outputs: the result, and the logarithm of each row's sum of exponentials.
struct AttentionRule : autograd::Rule {
  static constexpr const char* name = "ScaledDotProductAttention";
  static constexpr bool leading = true;
  Settings settings;

  unsigned saves_inputs(unsigned) const { return 15; }
  unsigned saves_outputs(unsigned) const { return 3; }

  AttentionParameters parameters(const Tensor& q, const Tensor& k, const Tensor& v) const {
    AttentionParameters p;
    p.queries = q.size(-2);
    p.keys = k.size(-2);
    p.width = q.size(-1);
    p.value_width = v.size(-1);
    p.batches = 1;
    for (int64_t d = 0; d < q.dim() - 2; ++d) p.batches *= q.size(d);
    p.groups = settings.groups;
    p.scale = settings.scale;
    p.causal = settings.causal;
    p.is_double = q.dtype() == DType::Float64;
    p.dropout = settings.dropout;
    p.seed = settings.draw.seed;
    p.counter = settings.draw.offset;
    kernels::plan_attention(p);
    return p;
  }

  std::vector<Tensor> forward(autograd::Inputs in) const {
    const Tensor q = with_columns(in[0]), k = with_columns(in[1]), v = with_columns(in[2]);
    Dims sizes(q.sizes());
    sizes.back() = v.size(-1);
    const Tensor out = make_heads(sizes, q);
    sizes.erase(sizes.size() - 1);
    const Tensor log_sums = core::make_tensor(sizes, q.dtype());
    if (out->numel() == 0) return {out, log_sums};
    Launch launch(parameters(q, k, v));
    launch.set(kernels::kAttentionQuery, q);
    launch.set(kernels::kAttentionKey, k, settings.groups);
    launch.set(kernels::kAttentionValue, v, settings.groups);
    launch.set(kernels::kAttentionOut, out);
    if (in.size() > 3) launch.set_mask(in[3]);
    launch.run(&kernels::attention_forward, log_sums);
    return {out, log_sums};
  }

  void pull(autograd::Pull& p) const {
    const Tensor& g = p.grad(0);
    if (!g.defined()) return;
    const Tensor q = p.input(0), k = p.input(1), v = p.input(2);
    const Tensor mask = p.input_count() > 3 ? p.input(3) : Tensor();
    if (is_watched({&g, &q, &k, &v}))
      pull_composed(p, g, q, k, v, mask);
    else
      pull_fused(p, with_columns(g), with_columns(q), with_columns(k), with_columns(v), mask);
  }

  std::vector<Tensor> push(autograd::Push& p) const {
    const Tensor &q = p.input(0), &k = p.input(1), &v = p.input(2);
    const Tensor keys = repeated(k, settings.groups);
    const Tensor mask = p.inputs.size() > 3 ? p.input(3) : Tensor();
    const Tensor weights = attention_weights(settings, q, keys, mask);
    Tensor scores = zeros_like(weights);
    if (p.tangent(0).defined()) scores = matmul(p.tangent(0), transpose(keys, -2, -1));
    if (p.tangent(1).defined())
      scores = scores + matmul(q, transpose(repeated(p.tangent(1), settings.groups), -2, -1));
    scores = scores * Scalar(settings.scale);
    const Tensor along = sum(weights * scores, {-1}, true);
    const Tensor factors = dropout_factors(parameters(q, k, v), q.sizes(), q.dtype());
    const auto dropped = [&](const Tensor& t) { return factors.defined() ? t * factors : t; };
    Tensor out = matmul(dropped(weights * (scores - along)), repeated(v, settings.groups));
    if (p.tangent(2).defined())
      out = out + matmul(dropped(weights), repeated(p.tangent(2), settings.groups));
    return {out, squeeze(along, -1)};
  }

  void pull_fused(autograd::Pull& p, const Tensor& g, const Tensor& q, const Tensor& k,
                  const Tensor& v, const Tensor& mask) const {
    if (g->numel() == 0 || k.size(-2) == 0) return;
    Launch launch(parameters(q, k, v));
    launch.set(kernels::kAttentionQuery, q);
    launch.set(kernels::kAttentionKey, k, settings.groups);
    launch.set(kernels::kAttentionValue, v, settings.groups);
    launch.set(kernels::kAttentionOut, p.output(0));
    launch.set(kernels::kAttentionGrad, g);
    launch.set_mask(mask);
    const Tensor* inputs[] = {&q, &k, &v};
    Tensor results[3];
    for (int i = 0; i < 3; ++i) {
      if (!p.needs(i)) continue;
      results[i] = make_heads(inputs[i]->sizes(), *inputs[i]);
      launch.set(static_cast<kernels::AttentionPlace>(kernels::kAttentionQueryGrad + i), results[i],
                 i == 0 ? 1 : settings.groups);
    }
    launch.run(&kernels::attention_backward, p.output(1));
    for (int i = 0; i < 3; ++i) {
      if (results[i].defined()) p.set(i, std::move(results[i]));
    }
  }

  void pull_composed(autograd::Pull& p, const Tensor& g, const Tensor& q, const Tensor& k,
                     const Tensor& v, const Tensor& mask) const {
    const Tensor keys = repeated(k, settings.groups), values = repeated(v, settings.groups);
    const Tensor weights = attention_weights(settings, q, keys, mask);
    const Tensor factors = dropout_factors(parameters(q, k, v), q.sizes(), q.dtype());
    if (p.needs(2)) {
      const Tensor used = factors.defined() ? weights * factors : weights;
      p.set(2, summed(matmul(transpose(used, -2, -1), g), settings.groups));
    }
    if (!p.needs(0) && !p.needs(1)) return;
    Tensor pulled = matmul(g, transpose(values, -2, -1));
    if (factors.defined()) pulled = pulled * factors;
    const Tensor along = sum(weights * pulled, {-1}, true);
    const Tensor scores = weights * (pulled - along) * Scalar(settings.scale);
    if (p.needs(0)) p.set(0, matmul(scores, keys));
    if (p.needs(1)) p.set(1, summed(matmul(transpose(scores, -2, -1), q), settings.groups));
  }
};

// --- checks --------------------------------------------------------------------------------------

std::string shapes_of(const Tensor& q, const Tensor& k, const Tensor& v) {
  return core::text("query ", shape_string(q.sizes()), ", key ", shape_string(k.sizes()),
                    " and value ", shape_string(v.sizes()));
}

void check_operands(const Tensor& q, const Tensor& k, const Tensor& v) {
  if (!is_floating_point(q.dtype()) || q.dtype() != k.dtype() || q.dtype() != v.dtype()) {
    throw DTypeError(core::text(kOp,
                                ": expected query, key and value to have the same floating-point "
                                "dtype, got ",
                                dtype_name(q.dtype()), ", ", dtype_name(k.dtype()), " and ",
                                dtype_name(v.dtype()), "; convert them with .to(dtype)"));
  }
  if (q.dim() < 2 || k.dim() < 2 || v.dim() < 2) {
    throw ShapeError(core::text(
        kOp, ": expected tensors of at least 2 dimensions (..., L, E), got ", shapes_of(q, k, v)));
  }
  if (q.size(-1) != k.size(-1)) {
    throw ShapeError(
        core::text(kOp, ": query and key must have the same last size, got ", shapes_of(q, k, v)));
  }
  if (k.size(-2) != v.size(-2)) {
    throw ShapeError(core::text(kOp, ": key and value must have as many rows (size -2), got ",
                                shapes_of(q, k, v)));
  }
}

void check_mask(const Tensor& mask, const Tensor& q, bool is_causal) {
  if (!mask.defined()) return;
  if (is_causal) {
    throw Error(core::text(kOp,
                           ": explicit attn_mask should not be set when is_causal=True; give one "
                           "of them"));
  }
  if (mask.dtype() != DType::Bool && !is_floating_point(mask.dtype())) {
    throw DTypeError(core::text(kOp, ": expected attn_mask to be bool or ", dtype_name(q.dtype()),
                                " as query, got ", dtype_name(mask.dtype()),
                                "; convert it, for example by .bool()"));
  }
}

/// The heads of queries to one of keys.
int64_t count_groups(const Tensor& q, const Tensor& k, const Tensor& v) {
  if (q.dim() < 3 || k.dim() < 3 || v.dim() < 3) {
    throw ShapeError(core::text(kOp,
                                ": enable_gqa expects tensors (..., heads, length, features), "
                                "got ",
                                shapes_of(q, k, v)));
  }
  const int64_t heads = q.size(-3), shared = k.size(-3);
  if (shared != v.size(-3) || shared == 0 || heads % shared != 0) {
    throw ShapeError(core::text(kOp,
                                ": with enable_gqa the heads (size -3) of key and value must be "
                                "equal and divide those of query, got ",
                                shapes_of(q, k, v)));
  }
  return heads / shared;
}

Dims joined(IntSpan leading, std::initializer_list<int64_t> last) {
  Dims sizes(leading);
  for (const int64_t size : last) sizes.push_back(size);
  return sizes;
}
Dims leading_of(const Tensor& t) { return Dims(t.sizes().first(static_cast<size_t>(t.dim() - 2))); }
Tensor expanded(const Tensor& t, const Dims& sizes) {
  return t.sizes() == IntSpan(sizes) ? t : expand(t, sizes);
}

/// All operands with all leading dimensions.
struct Operands {
  Tensor q, k, v, mask;
};

Operands aligned(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                 int64_t groups) {
  const auto with_heads = [&](const Tensor& t) {
    Dims sizes = leading_of(t);
    if (groups > 1) sizes.back() *= groups;
    return sizes;
  };
  const Dims shared = broadcast_shapes(kOp, with_heads(k), with_heads(v));
  const Dims leading = broadcast_shapes(kOp, leading_of(q), shared);
  Dims key_leading = leading;
  if (groups > 1) key_leading.back() /= groups;
  Operands result;
  result.q = expanded(q, joined(leading, {q.size(-2), q.size(-1)}));
  result.k = expanded(k, joined(key_leading, {k.size(-2), k.size(-1)}));
  result.v = expanded(v, joined(key_leading, {v.size(-2), v.size(-1)}));
  if (mask.defined()) result.mask = expanded(mask, joined(leading, {q.size(-2), k.size(-2)}));
  return result;
}

/// All in operations: for a mask that wants a gradient, and for dropout under vmap.
Tensor composed(const Operands& in, const Settings& s) {
  const Tensor weights = attention_weights(s, in.q, repeated(in.k, s.groups), in.mask);
  return matmul(dropout(weights, s.dropout, true), repeated(in.v, s.groups));
}

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const Tensor& attn_mask, double dropout_p, bool is_causal,
                                    std::optional<double> scale, bool enable_gqa) {
  check_operands(query, key, value);
  check_mask(attn_mask, query, is_causal);
  if (!(dropout_p >= 0 && dropout_p <= 1)) {
    throw ValueError(
        core::text(kOp, ": expected dropout_p to be a probability in [0, 1], got ", dropout_p));
  }
  const DType dtype = query.dtype();
  const DType native = dtype == DType::Float64 ? DType::Float64 : DType::Float32;
  Tensor mask = attn_mask;
  if (mask.defined() && mask.dtype() != DType::Bool) mask = to(mask, native);
  AttentionRule rule;
  Settings& s = rule.settings;
  s.groups = enable_gqa ? count_groups(query, key, value) : 1;
  s.scale = scale.value_or(1 / std::sqrt(static_cast<double>(query.size(-1))));
  s.causal = is_causal;
  s.dropout = dropout_p;
  const Operands in =
      aligned(to(query, native), to(key, native), to(value, native), mask, s.groups);
  if (is_watched({&mask}) || (dropout_p > 0 && autograd::any_level_open()))
    return to(composed(in, s), dtype);
  if (dropout_p > 0) {
    const AttentionParameters p = rule.parameters(in.q, in.k, in.v);
    const int64_t pairs = p.batches * p.query_blocks * p.key_blocks;
    s.draw = default_generator().reserve(static_cast<uint64_t>(pairs * p.block_counters));
  }
  const std::vector<Tensor> results = mask.defined()
                                          ? autograd::enter(rule, in.q, in.k, in.v, in.mask)
                                          : autograd::enter(rule, in.q, in.k, in.v);
  return to(results[0], dtype);
}

TAPEGRAD_OP(
    kNN,
    "scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, "
    "float dropout_p=0.0, bool is_causal=False, float? scale=None, bool enable_gqa=False) -> "
    "Tensor",
    R"(dropout(softmax(scale * query @ key^T + mask)) @ value.

One fused operation, in blocks: no matrix of queries by keys is made, neither here nor in the
backward pass. A query whose mask hides all keys gives 0, with gradient 0.

Args:
    query: tensor of shape (..., Hq, L, E)
    key: tensor of shape (..., H, S, E)
    value: tensor of shape (..., H, S, Ev)
    attn_mask: of a shape that broadcasts to (..., Hq, L, S): bool, True where a query sees a key,
        or floating point, added to the scores
    dropout_p: the share of weights that is dropped, also outside of training: give 0 there
    is_causal: query i sees keys 0 to i; without attn_mask
    scale: factor of the scores; None: 1 / sqrt(E)
    enable_gqa: H divides Hq, and each head of key and value serves Hq / H heads of query

Returns:
    a tensor of shape (..., Hq, L, Ev)

Raises:
    ShapeError: shapes that do not fit
    DTypeError: query, key and value of different dtypes, or a mask of integers
    ValueError: dropout_p outside [0, 1]
    RuntimeError: attn_mask together with is_causal

Example:
    >>> import tapegrad as tg
    >>> q = tg.ones(1, 2, 3, 4)
    >>> tg.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True).shape
    tapegrad.Size([1, 2, 3, 4]))",
    &scaled_dot_product_attention);

}  // namespace tapegrad
