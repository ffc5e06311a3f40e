// Matrix products: matmul in all its shapes, linear, and what is composed of them.
#include <string>

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "kernels/contraction.h"
#include "kernels/copy.h"
#include "ops/elementwise_rules.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;
using autograd::Inputs;
using autograd::Pull;
using kernels::MatmulArgs;

namespace {

// --- checks
// ----------------------------------------------------------------------------------------------------------

const char* cast_call(DType dtype) {
  switch (dtype) {
    case DType::Float64:
      return ".double()";
    case DType::Float32:
      return ".float()";
    case DType::Float16:
      return ".half()";
    case DType::BFloat16:
      return ".bfloat16()";
    default:
      return ".to(dtype)";
  }
}

/// Operands must agree in dtype; the message says which to cast, and how.
void check_same_dtype(const char* op, const Tensor& a, const char* a_name, const Tensor& b,
                      const char* b_name) {
  if (is_complex(a.dtype()) || a.dtype() == DType::Bool) refuse_dtype(op, a, "a number type");
  if (a.dtype() == b.dtype()) return;
  throw DTypeError(core::text(
      op, ": expected ", a_name, " and ", b_name, " to have the same dtype, but ", a_name, " is ",
      dtype_name(a.dtype()), " and ", b_name, " is ", dtype_name(b.dtype()), "; convert ", a_name,
      " with ", cast_call(b.dtype()), " or ", b_name, " with ", cast_call(a.dtype())));
}

[[noreturn]] void refuse_shapes(const char* op, const Tensor& a, const Tensor& b, int64_t inner_a,
                                int64_t inner_b) {
  const auto matrix = [](const Tensor& t) {
    const IntSpan s = t.sizes();
    return s.size() == 2 ? core::text(s[0], "x", s[1]) : shape_string(s);
  };
  throw ShapeError(core::text(op, ": mat1 and mat2 shapes cannot be multiplied (", matrix(a),
                              " and ", matrix(b), "): the inner sizes are ", inner_a, " and ",
                              inner_b, "; transpose one operand or change its layout"));
}

void check_dims(const char* op, const Tensor& a, int64_t a_dims, const Tensor& b, int64_t b_dims) {
  if (a.dim() == a_dims && b.dim() == b_dims) return;
  throw ShapeError(core::text(op, ": expected a ", a_dims, "-D and a ", b_dims,
                              "-D tensor, got shapes ", shape_string(a.sizes()), " and ",
                              shape_string(b.sizes())));
}

// --- the kernel's arguments
// ------------------------------------------------------------------------------------------

void launch_matmul(const Tensor& c, const Tensor& a, const Tensor& b, const Tensor* bias,
                   const MatmulArgs& args, int64_t c_offset = 0, int64_t a_offset = 0,
                   int64_t b_offset = 0) {
  const auto item = static_cast<int64_t>(item_size(args.dtype));
  core::Operand oc = core::out(c), oa = core::in(a), ob = core::in(b);
  oc.byte_offset += c_offset * item;
  oa.byte_offset += a_offset * item;
  ob.byte_offset += b_offset * item;
  core::launch(&kernels::matmul, {oc, oa, ob, bias ? core::in(*bias) : core::none()}, args);
}

/// An operand as a stack of matrices; vectors get their missing dimension.
struct Stack {
  IntSpan batch;  // sizes and strides of the leading dimensions
  IntSpan batch_strides;
  int64_t rows, columns, row_stride, column_stride;
};

Stack as_stack(const Tensor& t, bool left) {
  const IntSpan sizes = t.sizes(), strides = t.strides();
  const size_t n = sizes.size();
  if (n == 1) {
    if (left) return {{}, {}, 1, sizes[0], 0, strides[0]};
    return {{}, {}, sizes[0], 1, strides[0], 0};
  }
  return {IntSpan(sizes.data(), n - 2),
          IntSpan(strides.data(), n - 2),
          sizes[n - 2],
          sizes[n - 1],
          strides[n - 2],
          strides[n - 1]};
}

/// Batch dimensions of both operands and the result, merged where all three allow it.
struct BatchPlan {
  Dims sizes;
  Dims strides[3];  // c, a, b
};

BatchPlan merge_batches(const Dims& batch, const Stack& a, const Stack& b, int64_t c_matrix) {
  BatchPlan plan;
  int64_t c_stride = c_matrix;
  for (int i = batch.size() - 1; i >= 0; --i) {  // from the innermost
    const auto stride_of = [&](const Stack& s) -> int64_t {
      const int k = i - (batch.size() - static_cast<int>(s.batch.size()));
      if (k < 0 || s.batch[static_cast<size_t>(k)] == 1) return 0;
      return s.batch_strides[static_cast<size_t>(k)];
    };
    const int64_t strides[3] = {c_stride, stride_of(a), stride_of(b)};
    c_stride *= batch[i];
    if (batch[i] == 1) continue;
    const int last = plan.sizes.size() - 1;
    bool merges = last >= 0;
    for (int k = 0; merges && k < 3; ++k)
      merges = strides[k] == plan.strides[k][last] * plan.sizes[last];
    if (merges) {
      plan.sizes[last] *= batch[i];
    } else {
      plan.sizes.push_back(batch[i]);
      for (int k = 0; k < 3; ++k) plan.strides[k].push_back(strides[k]);
    }
  }
  return plan;  // dimension 0 is the innermost
}

/// Runs the batches: the innermost one inside the kernel, the others in a loop here.
void run_batches(const Tensor& c, const Tensor& a, const Tensor& b, MatmulArgs args,
                 const BatchPlan& plan) {
  if (plan.sizes.empty()) {
    launch_matmul(c, a, b, nullptr, args);
    return;
  }
  args.batch = plan.sizes[0];
  args.c_batch = plan.strides[0][0];
  args.a_batch = plan.strides[1][0];
  args.b_batch = plan.strides[2][0];
  // A stack of left operands that meets one right matrix is one tall matrix.
  if (args.b_batch == 0 && args.a_batch == args.m * args.a_row &&
      args.c_batch == args.m * args.c_row) {
    args.m *= args.batch;
    args.batch = 1;
  }
  Dims index(plan.sizes.size(), 0);
  for (;;) {
    int64_t offsets[3] = {0, 0, 0};
    for (int d = 1; d < plan.sizes.size(); ++d) {
      for (int k = 0; k < 3; ++k) offsets[k] += index[d] * plan.strides[k][d];
    }
    launch_matmul(c, a, b, nullptr, args, offsets[0], offsets[1], offsets[2]);
    int d = 1;
    while (d < plan.sizes.size() && ++index[d] == plan.sizes[d]) index[d++] = 0;
    if (d >= plan.sizes.size()) return;
  }
}

Tensor multiply(const char* op, const Tensor& a, const Tensor& b) {
  const Stack left = as_stack(a, true), right = as_stack(b, false);
  if (left.columns != right.rows) refuse_shapes(op, a, b, left.columns, right.rows);
  const Dims batch = left.batch.empty() && right.batch.empty()
                         ? Dims()
                         : broadcast_shapes(op, left.batch, right.batch);
  Dims sizes = batch;
  if (a.dim() > 1) sizes.push_back(left.rows);
  if (b.dim() > 1) sizes.push_back(right.columns);
  Tensor c = core::make_tensor(sizes, a.dtype());
  if (c.numel() == 0) return c;
  MatmulArgs args;
  args.dtype = a.dtype();
  args.m = left.rows;
  args.n = right.columns;
  args.k = left.columns;
  args.a_row = left.row_stride;
  args.a_col = left.column_stride;
  args.b_row = right.row_stride;
  args.b_col = right.column_stride;
  args.c_row = args.n;
  run_batches(c, a, b, args, merge_batches(batch, left, right, args.m * args.n));
  return c;
}

// --- matmul
// ----------------------------------------------------------------------------------------------------------

/// Folds the batch of both into the rows: for the gradient of a matrix that was broadcast over a
/// batch.
Tensor fold_rows(const Tensor& t) { return reshape(t, {-1, t.size(-1)}); }

struct MatmulRule : autograd::Rule {
  static constexpr const char* name = "Matmul";
  static constexpr bool bilinear = true;
  const char* op;
  unsigned saves_inputs(unsigned needs) const {
    return ((needs & 1) ? 2u : 0u) | ((needs & 2) ? 1u : 0u);
  }

  Tensor batch(const autograd::Batch& b) const;
  Tensor forward(Inputs in) const { return multiply(op, in[0], in[1]); }

  void pull(Pull& p) const {
    const auto input_dim = [&](int i) {
      return static_cast<int64_t>(p.needs(i) ? p.input_sizes(i).size() : 0);
    };
    Tensor a = p.needs(1) ? p.input(0) : Tensor();
    Tensor b = p.needs(0) ? p.input(1) : Tensor();
    const int64_t a_dim = a.defined() ? a.dim() : input_dim(0);
    const int64_t b_dim = b.defined() ? b.dim() : input_dim(1);
    Tensor g = p.grad();
    // Nothing is summed where the other operand is a vector: an outer product, which elementwise
    // multiplication writes at the speed of memory.
    const bool scaled_a = p.needs(0) && b_dim == 1, scaled_b = p.needs(1) && a_dim == 1;
    if (scaled_a) p.set(0, (a_dim == 1 ? g : unsqueeze(g, -1)) * b);
    if (scaled_b) p.set(1, b_dim == 1 ? g * a : unsqueeze(a, -1) * unsqueeze(g, -2));
    if (b_dim == 1) g = unsqueeze(g, -1);
    if (a_dim == 1) g = unsqueeze(g, -2);
    if (p.needs(0) && !scaled_a) {
      Tensor ga = autograd::enter(MatmulRule{{}, op}, g, transpose(b, -2, -1));
      p.set(0, a_dim == 1 ? squeeze(ga, -2) : ga);
    }
    if (p.needs(1) && !scaled_b) {
      Tensor gb;
      if (b_dim <= 2 && a_dim > 2) {
        gb = autograd::enter(MatmulRule{{}, op}, t(fold_rows(a)), fold_rows(g));
      } else {
        gb = autograd::enter(MatmulRule{{}, op}, transpose(a, -2, -1), g);
      }
      p.set(1, b_dim == 1 ? squeeze(gb, -1) : gb);
    }
  }
  Tensor push(autograd::Push& p) const {
    Tensor total;
    if (p.tangent(0).defined())
      total = autograd::enter(MatmulRule{{}, op}, p.tangent(0), p.input(1));
    if (p.tangent(1).defined()) {
      const Tensor part = autograd::enter(MatmulRule{{}, op}, p.input(0), p.tangent(1));
      total = total.defined() ? total + part : part;
    }
    return total;
  }
};

Tensor MatmulRule::batch(const autograd::Batch& b) const {
  const int64_t left = b.seen(0).dim(), right = b.seen(1).dim();
  if (!b.is_batched(1) && right <= 2) return autograd::enter(*this, b.lead(0), b.inner(1));
  if (!b.is_batched(0) && left <= 2 && right == 1)
    return autograd::enter(*this, b.lead(1), left == 2 ? t(b.inner(0)) : b.inner(0));
  // Both as stacks of matrices of as many dimensions.
  const int64_t ndim = std::max<int64_t>({2, left, right});
  const auto stacked = [&](int i, int64_t dim, int64_t vector_at) {
    Tensor tensor = dim == 1 ? unsqueeze(b.lead(i), vector_at) : b.lead(i);
    if (!b.is_batched(i)) return tensor;
    Dims sizes(tensor.sizes());
    for (int64_t d = std::max<int64_t>(dim, 2); d < ndim; ++d) sizes.insert(1, 1);
    return reshape(tensor, sizes);
  };
  Tensor result = autograd::enter(*this, stacked(0, left, -2), stacked(1, right, -1));
  if (right == 1) result = squeeze(result, -1);
  return left == 1 ? squeeze(result, right == 1 ? -1 : -2) : result;
}

Tensor enter_matmul(const char* op, const Tensor& a, const Tensor& b) {
  check_same_dtype(op, a, "the first operand", b, "the second");
  return autograd::enter(MatmulRule{{}, op}, a, b);
}

// --- linear
// ----------------------------------------------------------------------------------------------------------

/// A tensor (..., n) as rows of n, without a copy when it is contiguous or a matrix.
struct Rows {
  Tensor tensor;
  int64_t count, row, column;
  explicit Rows(const Tensor& t) : tensor(t) {
    const auto last = static_cast<size_t>(t.dim() - 1);
    if (t.dim() == 2) {
      count = t.sizes()[0];
      row = t.strides()[0];
      column = t.strides()[1];
      return;
    }
    if (!t.is_contiguous()) {
      tensor = core::make_tensor(t.sizes(), t.dtype());
      kernels::copy_values(tensor, t);
    }
    const int64_t width = t.sizes()[last];
    count = width == 0 ? 0 : t.numel() / width;
    if (t.dim() == 1) count = 1;
    row = width;
    column = 1;
  }
};

/// input (..., in) @ weight (out, in)^T + bias (out).
struct LinearRule : autograd::Rule {
  static constexpr const char* name = "Linear";
  unsigned saves_inputs(unsigned needs) const {
    return ((needs & 1) ? 2u : 0u) | ((needs & 2) ? 1u : 0u);
  }

  Tensor batch(const autograd::Batch& b) const;
  Tensor forward(Inputs in) const {
    const Tensor &x = in[0], &w = in[1];
    Dims sizes(x.sizes());
    sizes.back() = w.sizes()[0];
    Tensor y = core::make_tensor(sizes, x.dtype());
    if (y.numel() == 0) return y;
    const Rows rows(x);
    MatmulArgs args;
    args.dtype = x.dtype();
    args.m = y.numel() / w.sizes()[0];
    args.n = w.sizes()[0];
    args.k = w.sizes()[1];
    args.a_row = rows.row;
    args.a_col = rows.column;
    args.b_row = w.strides()[1];
    args.b_col = w.strides()[0];
    args.c_row = args.n;
    const Tensor* bias = nullptr;
    Tensor dense;
    if (in.size() == 3) {
      dense = in[2].is_contiguous() ? in[2] : clone(in[2]);
      bias = &dense;
      args.has_bias = true;
    }
    launch_matmul(y, rows.tensor, w, bias, args);
    return y;
  }

  /// d input = g @ weight.
  static Tensor input_gradient(const Tensor& g, const Tensor& w) {
    if (watched({&g, &w})) return matmul(g, w);
    Dims sizes(g.sizes());
    sizes.back() = w.sizes()[1];
    Tensor result = core::make_tensor(sizes, g.dtype());
    if (result.numel() == 0) return result;
    const Rows rows(g);
    MatmulArgs args;
    args.dtype = g.dtype();
    args.m = result.numel() / w.sizes()[1];
    args.n = w.sizes()[1];
    args.k = w.sizes()[0];
    args.a_row = rows.row;
    args.a_col = rows.column;
    args.b_row = w.strides()[0];
    args.b_col = w.strides()[1];
    args.c_row = args.n;
    launch_matmul(result, rows.tensor, w, nullptr, args);
    return result;
  }

  /// d weight = g^T @ input.
  static Tensor weight_gradient(const Tensor& g, const Tensor& x) {
    if (watched({&g, &x})) return matmul(t(fold_rows(g)), fold_rows(x));
    const Rows left(g), right(x);
    Tensor result = core::make_tensor({g.size(-1), x.size(-1)}, g.dtype());
    if (result.numel() == 0) return result;
    MatmulArgs args;
    args.dtype = g.dtype();
    args.m = g.size(-1);
    args.n = x.size(-1);
    args.k = g.numel() / args.m;
    args.a_row = left.column;
    args.a_col = left.row;
    args.b_row = right.row;
    args.b_col = right.column;
    args.c_row = args.n;
    launch_matmul(result, left.tensor, right.tensor, nullptr, args);
    return result;
  }

  void pull(Pull& p) const {
    const Tensor& g = p.grad();
    if (p.needs(0)) p.set(0, input_gradient(g, p.input(1)));
    if (p.needs(1)) p.set(1, weight_gradient(g, p.input(0)));
    if (p.input_count() == 3 && p.needs(2)) p.set(2, g);  // the engine sums over the rows
  }
  Tensor push(autograd::Push& p) const {
    Tensor total;
    const auto include = [&](const Tensor& part) { total = total.defined() ? total + part : part; };
    if (p.tangent(0).defined()) include(tapegrad::linear(p.tangent(0), p.input(1)));
    if (p.tangent(1).defined()) include(tapegrad::linear(p.input(0), p.tangent(1)));
    if (p.inputs.size() == 3 && p.tangent(2).defined()) include(p.tangent(2));
    return expand(total, p.output().sizes());
  }
  bool curved(unsigned moving) const { return (moving & 3u) == 3u; }
};

Tensor LinearRule::batch(const autograd::Batch& b) const {
  const bool biased = b.count() > 2;
  if (!b.is_batched(1) && !(biased && b.is_batched(2))) {
    const Tensor x = b.lead(0);
    return biased ? autograd::enter(*this, x, b.inner(1), b.inner(2))
                  : autograd::enter(*this, x, b.inner(1));
  }
  const Tensor y = matmul(b.seen(0), transpose(b.seen(1), -2, -1));
  return autograd::lower_batch(biased ? y + b.seen(2) : y, 0, b.level(), b.size());
}

void check_linear(const Tensor& input, const Tensor& weight, const Tensor& bias) {
  check_same_dtype("linear", input, "input", weight, "weight");
  if (bias.defined()) check_same_dtype("linear", bias, "bias", weight, "weight");
  if (weight.dim() != 2 || input.dim() < 1) {
    throw ShapeError(core::text(
        "linear: expected input (..., in_features) and weight (out_features, in_features), got ",
        shape_string(input.sizes()), " and ", shape_string(weight.sizes())));
  }
  const int64_t in_features = weight.sizes()[1];
  if (input.size(-1) != in_features) {
    throw ShapeError(core::text("linear: mat1 and mat2 shapes cannot be multiplied (",
                                input.numel() / std::max<int64_t>(1, input.size(-1)), "x",
                                input.size(-1), " and ", in_features, "x", weight.sizes()[0],
                                "): input of shape ", shape_string(input.sizes()), " has ",
                                input.size(-1), " features, the layer takes ", in_features));
  }
  if (bias.defined() && !(bias.dim() == 1 && bias.sizes()[0] == weight.sizes()[0])) {
    throw ShapeError(core::text("linear: expected a bias of shape (", weight.sizes()[0], ",), got ",
                                shape_string(bias.sizes())));
  }
}

Tensor scaled(const Tensor& t, Scalar factor) { return factor.to_double() == 1.0 ? t : t * factor; }

/// beta * input + alpha * product, where beta = 0 hides even NaN in input.
Tensor add_product(const Tensor& input, const Tensor& product, Scalar beta, Scalar alpha) {
  Tensor right = scaled(product, alpha);
  if (beta.to_double() == 0.0) return right;
  return scaled(input, beta) + right;
}

}  // namespace

// --- public
// ----------------------------------------------------------------------------------------------------------

Tensor matmul(const Tensor& input, const Tensor& other) {
  if (input.dim() == 0 || other.dim() == 0) {
    throw ShapeError(core::text("matmul: both operands need at least one dimension, got shapes ",
                                shape_string(input.sizes()), " and ", shape_string(other.sizes()),
                                "; use * to scale by a number"));
  }
  return enter_matmul("matmul", input, other);
}
Tensor mm(const Tensor& input, const Tensor& mat2) {
  check_dims("mm", input, 2, mat2, 2);
  return enter_matmul("mm", input, mat2);
}
Tensor bmm(const Tensor& input, const Tensor& mat2) {
  check_dims("bmm", input, 3, mat2, 3);
  if (input.size(0) != mat2.size(0)) {
    throw ShapeError(core::text("bmm: expected equal batch sizes, got shapes ",
                                shape_string(input.sizes()), " and ", shape_string(mat2.sizes()),
                                "; matmul() broadcasts"));
  }
  return enter_matmul("bmm", input, mat2);
}
Tensor mv(const Tensor& input, const Tensor& vec) {
  check_dims("mv", input, 2, vec, 1);
  return enter_matmul("mv", input, vec);
}
Tensor dot(const Tensor& input, const Tensor& tensor) {
  check_dims("dot", input, 1, tensor, 1);
  return enter_matmul("dot", input, tensor);
}

namespace {

/// Of two vectors of one floating dtype. As a product of a row and a column it would have gradients
/// of the size of the result, to be summed.
struct OuterRule : autograd::Rule {
  static constexpr const char* name = "Outer";
  unsigned saves_inputs(unsigned needs) const {
    return ((needs & 1) ? 2u : 0u) | ((needs & 2) ? 1u : 0u);
  }
  static Tensor product(const Tensor& a, const Tensor& b) {
    return unsqueeze(a, -1) * unsqueeze(b, -2);
  }
  Tensor batch(const autograd::Batch& b) const { return product(b.front(0), b.front(1)); }
  Tensor forward(Inputs in) const { return product(in[0].detach(), in[1].detach()); }
  void pull(Pull& p) const {
    if (p.needs(0)) p.set(0, mv(p.grad(), p.input(1)));
    if (p.needs(1)) p.set(1, mv(transpose(p.grad(), 0, 1), p.input(0)));
  }
};

}  // namespace

Tensor outer(const Tensor& input, const Tensor& vec2) {
  check_dims("outer", input, 1, vec2, 1);
  if (input.dtype() == vec2.dtype() && is_floating_point(input.dtype()))
    return autograd::enter(OuterRule{}, input, vec2);
  return OuterRule::product(input, vec2);
}

Tensor linear(const Tensor& input, const Tensor& weight, const Tensor& bias) {
  check_linear(input, weight, bias);
  if (bias.defined()) return autograd::enter(LinearRule{}, input, weight, bias);
  return autograd::enter(LinearRule{}, input, weight);
}

Tensor addmm(const Tensor& input, const Tensor& mat1, const Tensor& mat2, Scalar beta,
             Scalar alpha) {
  check_dims("addmm", mat1, 2, mat2, 2);
  check_same_dtype("addmm", mat1, "mat1", mat2, "mat2");
  check_same_dtype("addmm", input, "input", mat1, "mat1");
  const bool plain = beta.to_double() == 1.0 && alpha.to_double() == 1.0;
  if (plain && input.dim() == 1 && input.size(0) == mat2.size(1) && mat1.size(1) == mat2.size(0)) {
    return linear(mat1, t(mat2), input);
  }
  return add_product(input, mm(mat1, mat2), beta, alpha);
}

namespace {

Tensor addmv(const Tensor& input, const Tensor& mat, const Tensor& vec, Scalar beta, Scalar alpha) {
  return add_product(input, mv(mat, vec), beta, alpha);
}
Tensor baddbmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  return add_product(input, bmm(a, b), beta, alpha);
}
Tensor addbmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  return add_product(input, sum(bmm(a, b), {0}), beta, alpha);
}
Tensor addr(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  return add_product(input, outer(a, b), beta, alpha);
}
Tensor inner(const Tensor& input, const Tensor& other) {
  if (input.dim() == 0 || other.dim() == 0) return input * other;
  if (other.dim() == 1) return matmul(input, other);
  if (other.dim() == 2) return matmul(input, t(other));
  throw ShapeError(core::text("inner: expected other with at most 2 dimensions, got shape ",
                              shape_string(other.sizes()), "; use tensordot()"));
}

constexpr int kAll = kFunction | kMethod;

}  // namespace

TAPEGRAD_OP(
    kAll, "matmul(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
    R"(Matrix product: of vectors (a number), matrices, vectors and matrices, and stacks of matrices that broadcast.

Args:
    input: a tensor of one dimension or more
    other: a tensor of one dimension or more and the same dtype
    out: a tensor to write the result into

Raises:
    ShapeError: sizes that do not fit
    DTypeError: operands of different dtypes

Example:
    >>> import tapegrad as tg
    >>> tg.matmul(tg.tensor([[1., 2.], [3., 4.]]), tg.tensor([1., 1.]))
    tensor([3., 7.]))",
    &matmul);
TAPEGRAD_OP(kAll, "mm(Tensor input, Tensor mat2, *, Tensor? out=None) -> Tensor",
            R"(Product of two matrices (n, m) and (m, p).

Raises:
    ShapeError: operands that are not matrices, or do not fit

Example:
    >>> import tapegrad as tg
    >>> tg.mm(tg.tensor([[1., 2.]]), tg.tensor([[3.], [4.]]))
    tensor([[11.]]))",
            &mm);
TAPEGRAD_OP(kAll, "bmm(Tensor input, Tensor mat2, *, Tensor? out=None) -> Tensor",
            R"(Products of two stacks of matrices (b, n, m) and (b, m, p).

Raises:
    ShapeError: operands that are not stacks of equal length, or do not fit

Example:
    >>> import tapegrad as tg
    >>> tg.bmm(tg.ones(2, 1, 3), tg.ones(2, 3, 1)).flatten()
    tensor([3., 3.]))",
            &bmm);
TAPEGRAD_OP(kAll, "mv(Tensor input, Tensor vec, *, Tensor? out=None) -> Tensor",
            R"(Product of a matrix (n, m) and a vector (m,).

Example:
    >>> import tapegrad as tg
    >>> tg.mv(tg.tensor([[1., 2.], [3., 4.]]), tg.tensor([1., 1.]))
    tensor([3., 7.]))",
            &mv);
TAPEGRAD_OP(kAll, "dot(Tensor input, Tensor tensor, *, Tensor? out=None) -> Tensor",
            R"(Inner product of two vectors.

Example:
    >>> import tapegrad as tg
    >>> tg.dot(tg.tensor([1., 2.]), tg.tensor([3., 4.]))
    tensor(11.))",
            &dot);
TAPEGRAD_OP(kAll, "vdot(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
            R"(Inner product of two real vectors; the same as dot().

Example:
    >>> import tapegrad as tg
    >>> tg.vdot(tg.tensor([1., 2.]), tg.tensor([3., 4.]))
    tensor(11.))",
            &dot);
TAPEGRAD_OP(kAll, "inner(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
            R"(Product over the last dimension of both.

Example:
    >>> import tapegrad as tg
    >>> tg.inner(tg.tensor([1., 2.]), tg.tensor([3., 4.]))
    tensor(11.))",
            &inner);
TAPEGRAD_OP(kAll, "outer(Tensor input, Tensor vec2, *, Tensor? out=None) -> Tensor",
            R"(Outer product (n, m) of vectors (n,) and (m,).

Example:
    >>> import tapegrad as tg
    >>> tg.outer(tg.tensor([1., 2.]), tg.tensor([3., 4.]))
    tensor([[3., 4.],
            [6., 8.]]))",
            &outer);
TAPEGRAD_OP(kAll | kInplace,
            "addmm(Tensor input, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1, "
            "Tensor? out=None) -> Tensor",
            R"(beta * input + alpha * (mat1 @ mat2).

Args:
    input: a tensor that broadcasts to (n, p)
    mat1: a matrix (n, m)
    mat2: a matrix (m, p)
    beta: factor of input; 0 ignores it, NaN included
    alpha: factor of the product
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.addmm(tg.ones(1, 1), tg.tensor([[1., 2.]]), tg.tensor([[3.], [4.]]), beta=2)
    tensor([[13.]]))",
            &addmm);
TAPEGRAD_OP(kAll | kInplace,
            "addmv(Tensor input, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1, Tensor? "
            "out=None) -> Tensor",
            R"(beta * input + alpha * (mat @ vec).

Example:
    >>> import tapegrad as tg
    >>> tg.addmv(tg.ones(1), tg.tensor([[1., 2.]]), tg.tensor([3., 4.]))
    tensor([12.]))",
            &addmv);
TAPEGRAD_OP(kAll | kInplace,
            "addr(Tensor input, Tensor vec1, Tensor vec2, *, Scalar beta=1, Scalar alpha=1, "
            "Tensor? out=None) -> Tensor",
            R"(beta * input + alpha * outer(vec1, vec2).

Example:
    >>> import tapegrad as tg
    >>> tg.addr(tg.zeros(1, 2), tg.tensor([2.]), tg.tensor([3., 4.]))
    tensor([[6., 8.]]))",
            &addr);
TAPEGRAD_OP(kAll | kInplace,
            "baddbmm(Tensor input, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1, "
            "Tensor? out=None) -> "
            "Tensor",
            R"(beta * input + alpha * bmm(batch1, batch2).

Example:
    >>> import tapegrad as tg
    >>> tg.baddbmm(tg.ones(1, 1, 1), tg.ones(1, 1, 3), tg.ones(1, 3, 1)).item()
    4.0)",
            &baddbmm);
TAPEGRAD_OP(kAll | kInplace,
            "addbmm(Tensor input, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1, "
            "Tensor? out=None) -> "
            "Tensor",
            R"(beta * input + alpha * the sum over the batch of bmm(batch1, batch2).

Example:
    >>> import tapegrad as tg
    >>> tg.addbmm(tg.zeros(1, 1), tg.ones(2, 1, 3), tg.ones(2, 3, 1))
    tensor([[6.]]))",
            &addbmm);
TAPEGRAD_OP(kNN, "linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor",
            R"(input @ weight.T + bias.

Args:
    input: (..., in_features)
    weight: (out_features, in_features)
    bias: (out_features,) or None

Returns:
    (..., out_features)

Raises:
    ShapeError: sizes that do not fit
    DTypeError: operands of different dtypes

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.linear(tg.tensor([1., 2.]), tg.tensor([[3., 4.]]), tg.tensor([1.]))
    tensor([12.]))",
            &linear);

}  // namespace tapegrad
