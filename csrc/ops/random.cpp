// Random tensors and dropout.
#include "kernels/random.h"

#include <cmath>

#include "autograd/entry.h"
#include "autograd/inplace.h"
#include "autograd/lifted.h"
#include "core/allocator.h"
#include "core/launch.h"
#include "core/text.h"
#include "kernels/copy.h"
#include "ops/fill_check.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;
using kernels::RandomParameters;

namespace {

using Kernel = void (*)(void* const*, const RandomParameters&);

Generator& chosen(Generator* generator) { return generator ? *generator : default_generator(); }

/// The shape with the samples of the open batch levels in front, where each draws its own numbers.
/// Throws in a level that allows no random operation.
Dims with_batches(const char* op, IntSpan size) {
  Dims result(size);
  for (const autograd::Level& level : autograd::batch_levels()) {
    if (level.randomness == autograd::Randomness::Error) {
      throw Error(core::text(
          op,
          ": vmap: called random operation while in randomness error mode. Please either use "
          "the 'same' or 'different' randomness flags on vmap or perform the randomness "
          "operation out of vmap"));
    }
    if (level.randomness == autograd::Randomness::Different) result.insert(0, level.size);
  }
  return result;
}

/// What one sample sees of a result of that shape.
Tensor lift_batches(Tensor result) {
  const std::vector<autograd::Level> levels = autograd::batch_levels();
  size_t drawn = 0;
  for (const autograd::Level& level : levels)
    drawn += level.randomness == autograd::Randomness::Different;
  for (const autograd::Level& level : levels) {
    if (level.randomness != autograd::Randomness::Different) continue;
    result = autograd::lift(result, static_cast<int>(--drawn), level.id);
  }
  return result;
}

RandomParameters draw(Generator* generator, DType dtype, int64_t n, bool double_width, double a,
                      double b) {
  const Generator::Draw draw = chosen(generator).reserve(kernels::random_counters(n, double_width));
  return {dtype, draw.seed, draw.offset, n, a, b};
}

void check_floating(const char* op, DType dtype) {
  if (!is_floating_point(dtype)) {
    throw DTypeError(core::text(op, ": expected a floating-point dtype, got ", dtype_name(dtype)));
  }
}

/// A new contiguous tensor of float32 or float64 (half types are converted by the caller) filled by
/// `kernel`.
Tensor fresh(Kernel kernel, IntSpan size, DType dtype, Generator* generator, double a, double b) {
  const DType native = dtype == DType::Float64 ? DType::Float64 : DType::Float32;
  const bool batches = autograd::any_level_open();
  Tensor result = core::make_tensor(batches ? IntSpan(with_batches("random", size)) : size, native);
  if (result.numel() > 0) {
    const RandomParameters p =
        draw(generator, dtype, result.numel(), native == DType::Float64, a, b);
    core::launch(kernel, {core::out(result)}, p);
  }
  result = to(result, dtype);
  return batches ? lift_batches(std::move(result)) : result;
}

Tensor& fill(const char* op, Kernel kernel, Tensor& self, Generator* generator, double a,
             double b) {
  check_floating(op, self.dtype());
  autograd::check_writable(op, self);
  const bool native = self.dtype() == DType::Float32 || self.dtype() == DType::Float64;
  if (native && self.is_contiguous() && !autograd::must_record(self, self) &&
      !autograd::any_level_open()) {
    if (self.numel() > 0) {
      const RandomParameters p =
          draw(generator, self.dtype(), self.numel(), self.dtype() == DType::Float64, a, b);
      core::launch(kernel, {core::out(self)}, p);
    }
    self->bump_version();
    return self;
  }
  return autograd::assign_inplace(op, self,
                                  fresh(kernel, self.sizes(), self.dtype(), generator, a, b));
}

/// n random 64-bit words.
class Bits {
 public:
  Bits(int64_t n, Generator* generator) : memory_(static_cast<size_t>(n) * sizeof(uint64_t)) {
    if (n == 0) return;
    void* data[] = {memory_.as<void>()};
    kernels::random_bits(data, draw(generator, DType::Int64, n, true, 0, 0));
  }
  /// Word i mapped to [0, range): the high half of the product, whose bias is below range / 2^64.
  uint64_t below(int64_t i, uint64_t range) const {
    return static_cast<uint64_t>(
        (static_cast<unsigned __int128>(memory_.as<uint64_t>()[i]) * range) >> 64);
  }

 private:
  core::Scratch memory_;
};

}  // namespace

Tensor rand(IntSpan size, Generator* generator, std::optional<DType> dtype) {
  const DType type = dtype.value_or(default_dtype());
  check_floating("rand", type);
  return fresh(&kernels::random_uniform, size, type, generator, 0, 1);
}

Tensor randn(IntSpan size, Generator* generator, std::optional<DType> dtype) {
  const DType type = dtype.value_or(default_dtype());
  check_floating("randn", type);
  return fresh(&kernels::random_normal, size, type, generator, 0, 1);
}

Tensor rand_like(const Tensor& input, std::optional<DType> dtype) {
  return rand(input.sizes(), nullptr, dtype.value_or(input.dtype()));
}
Tensor randn_like(const Tensor& input, std::optional<DType> dtype) {
  return randn(input.sizes(), nullptr, dtype.value_or(input.dtype()));
}

Tensor randint(int64_t low, int64_t high, IntSpan size, Generator* generator,
               std::optional<DType> dtype) {
  if (low >= high) {
    throw ValueError(
        core::text("randint: expected low < high, got low = ", low, " and high = ", high));
  }
  check_fill("randint", low, dtype.value_or(DType::Int64));
  check_fill("randint", high - 1, dtype.value_or(DType::Int64));
  const bool batches = autograd::any_level_open();
  Tensor result =
      core::make_tensor(batches ? IntSpan(with_batches("randint", size)) : size, DType::Int64);
  const Bits bits(result.numel(), generator);
  const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  auto* out = result.data_ptr<int64_t>();
  for (int64_t i = 0; i < result.numel(); ++i) {
    out[i] = static_cast<int64_t>(static_cast<uint64_t>(low) + bits.below(i, range));
  }
  result = to(result, dtype.value_or(DType::Int64));
  return batches ? lift_batches(std::move(result)) : result;
}

Tensor randint_like(const Tensor& input, int64_t low, int64_t high, std::optional<DType> dtype) {
  return randint(low, high, input.sizes(), nullptr, dtype.value_or(input.dtype()));
}

Tensor randperm(int64_t n, Generator* generator, std::optional<DType> dtype) {
  if (n < 0) throw ValueError(core::text("randperm: expected n >= 0, got ", n));
  if (!with_batches("randperm", {}).empty()) {
    throw UnsupportedError(
        "randperm: vmap: a permutation of its own for each sample is not supported; use "
        "rand(n).argsort(), or randomness='same'");
  }
  Tensor result = core::make_tensor({n}, DType::Int64);
  auto* out = result.data_ptr<int64_t>();
  const Bits bits(n, generator);
  for (int64_t i = 0; i < n; ++i) {  // Fisher and Yates, inside out
    const auto j = static_cast<int64_t>(bits.below(i, static_cast<uint64_t>(i) + 1));
    out[i] = out[j];
    out[j] = i;
  }
  return to(result, dtype.value_or(DType::Int64));
}

Tensor& uniform_(Tensor& self, double from, double to, Generator* generator) {
  if (!(from <= to)) {
    throw ValueError(
        core::text("uniform_: expected from <= to, got from = ", from, " and to = ", to));
  }
  return fill("uniform_", &kernels::random_uniform, self, generator, from, to);
}

Tensor& normal_(Tensor& self, double mean, double std, Generator* generator) {
  if (!(std >= 0)) throw ValueError(core::text("normal_: expected std >= 0, got ", std));
  return fill("normal_", &kernels::random_normal, self, generator, mean, std);
}

namespace {

/// mean + std * z, outside the tape.
Tensor normal_around(const Tensor& mean, const Tensor& std, Generator* generator) {
  const DType dtype = result_type(mean, std);
  check_floating("normal", dtype);
  if (autograd::any_below(lt(std, Scalar(0)))) {
    throw ValueError("normal: expected std >= 0, got a negative element");
  }
  const Dims shape = broadcast_shapes("normal", mean.sizes(), std.sizes());
  return randn(shape, generator, dtype) * std.detach() + mean.detach();
}

void check_probability(const char* op, double p) {
  if (!(p >= 0 && p <= 1))
    throw ValueError(core::text(op, ": expected a probability in [0, 1], got ", p));
}

Tensor bernoulli_values(IntSpan size, DType dtype, double p, Generator* generator) {
  return to(lt(rand(size, generator, DType::Float64), Scalar(p)), dtype);
}

}  // namespace

Tensor bernoulli(const Tensor& input, Generator* generator) {
  check_floating("bernoulli", input.dtype());
  const Tensor values = contiguous(to(input.detach(), DType::Float64));
  for (int64_t i = 0; i < values.numel(); ++i)
    check_probability("bernoulli", values.data_ptr<double>()[i]);
  return to(lt(rand(input.sizes(), generator, DType::Float64), values), input.dtype());
}

Tensor& exponential_(Tensor& self, double lambd, Generator* generator) {
  if (!(lambd > 0)) throw ValueError(core::text("exponential_: expected lambd > 0, got ", lambd));
  check_floating("exponential_", self.dtype());
  autograd::check_writable("exponential_", self);
  // -log(1 - u) of a u in [0, 1) is finite.
  const Tensor u = rand(self.sizes(), generator, DType::Float64);
  return autograd::assign_inplace("exponential_", self,
                                  to(log1p(-u) * Scalar(-1 / lambd), self.dtype()));
}

// --- dropout
// ---------------------------------------------------------------------------------------------------------

namespace {

/// Multiplication by a mask that is never stored: key and counter reproduce it. Linear and its own
/// adjoint.
struct DropoutRule : autograd::Rule {
  static constexpr const char* name = "Dropout";
  static constexpr bool linear = true;
  double p;
  Generator::Draw draw;

  Tensor forward(autograd::Inputs in) const {
    const DType dtype = in[0].dtype();
    const DType native = dtype == DType::Float64 ? DType::Float64 : DType::Float32;
    const Tensor x = contiguous(to(in[0], native));
    Tensor y = core::make_tensor(x.sizes(), native);
    const double factor = p < 1 ? 1 / (1 - p) : 0;
    const RandomParameters parameters{native, draw.seed, draw.offset, x.numel(), p, factor};
    if (x.numel() > 0)
      core::launch(&kernels::random_dropout, {core::out(y), core::in(x)}, parameters);
    return to(y, dtype);
  }
  void pull(autograd::Pull& pull) const {
    pull.set(0, autograd::enter(DropoutRule(*this), pull.grad()));
  }
};

}  // namespace

Tensor dropout(const Tensor& input, double p, bool training) {
  check_probability("dropout", p);
  check_floating("dropout", input.dtype());
  if (!training || p == 0) return input;
  if (autograd::any_level_open() && p < 1) {
    const Tensor kept = ge(rand(input.sizes(), nullptr, DType::Float32), Scalar(p));
    return input * to(kept, input.dtype()) * Scalar(1 / (1 - p));
  }
  DropoutRule rule;
  rule.p = p;
  rule.draw = default_generator().reserve(kernels::random_counters(input.numel(), false));
  return autograd::enter(rule, input);
}

// --- registrations
// ---------------------------------------------------------------------------------------------------

#define TAPEGRAD_FACTORY_OPTIONS                                                         \
  "Tensor? out=None, dtype? dtype=None, layout? layout=None, device? device=None, bool " \
  "pin_memory=False, "                                                                   \
  "bool requires_grad=False) -> Tensor"
#define TAPEGRAD_LIKE_OPTIONS                                                                 \
  "dtype? dtype=None, layout? layout=None, device? device=None, bool pin_memory=False, bool " \
  "requires_grad=False, memory_format? memory_format=None) -> Tensor"

TAPEGRAD_OP(kFunction, "rand(int[] size, *, Generator? generator=None, " TAPEGRAD_FACTORY_OPTIONS,
            R"(Uniform random numbers in [0, 1).

Args:
    size: shape, as a tuple or as several integers
    generator: where the numbers come from; None for the default generator
    dtype: a floating-point dtype; None for the default dtype

Example:
    >>> import tapegrad as tg
    >>> x = tg.rand(2, 3, generator=tg.Generator().manual_seed(0))
    >>> x.shape, bool((x >= 0).all()), bool((x < 1).all())
    (tapegrad.Size([2, 3]), True, True))",
            &rand);
TAPEGRAD_OP(kFunction, "randn(int[] size, *, Generator? generator=None, " TAPEGRAD_FACTORY_OPTIONS,
            R"(Normal random numbers of mean 0 and standard deviation 1.

Args:
    size: shape, as a tuple or as several integers
    generator: where the numbers come from; None for the default generator
    dtype: a floating-point dtype; None for the default dtype

Example:
    >>> import tapegrad as tg
    >>> tg.randn(2, 3).shape
    tapegrad.Size([2, 3]))",
            &randn);
TAPEGRAD_OP(kFunction, "rand_like(Tensor input, *, " TAPEGRAD_LIKE_OPTIONS,
            R"(Uniform random numbers in [0, 1), of input's shape and dtype.

Example:
    >>> import tapegrad as tg
    >>> tg.rand_like(tg.zeros(2)).shape
    tapegrad.Size([2]))",
            &rand_like);
TAPEGRAD_OP(kFunction, "randn_like(Tensor input, *, " TAPEGRAD_LIKE_OPTIONS,
            R"(Normal random numbers, of input's shape and dtype.

Example:
    >>> import tapegrad as tg
    >>> tg.randn_like(tg.zeros(2)).shape
    tapegrad.Size([2]))",
            &randn_like);
TAPEGRAD_OP(kFunction,
            "randint(int low, int high, int[] size, *, Generator? "
            "generator=None, " TAPEGRAD_FACTORY_OPTIONS,
            R"(Random integers in [low, high).

Args:
    low: lowest value; 0 when left out
    high: one above the highest value
    size: shape
    generator: where the numbers come from; None for the default generator
    dtype: int64 unless given

Raises:
    ValueError: low >= high, or values that the dtype cannot hold

Example:
    >>> import tapegrad as tg
    >>> x = tg.randint(3, 5, (10,))
    >>> bool(((x == 3) | (x == 4)).all())
    True)",
            &randint);
TAPEGRAD_OP(
    kFunction,
    "randint(int high, int[] size, *, Generator? generator=None, " TAPEGRAD_FACTORY_OPTIONS, "",
    +[](int64_t high, IntSpan size, Generator* generator, std::optional<DType> dtype) {
      return randint(0, high, size, generator, dtype);
    });
TAPEGRAD_OP(kFunction, "randint_like(Tensor input, int low, int high, *, " TAPEGRAD_LIKE_OPTIONS,
            R"(Random integers in [low, high), of input's shape and dtype.

Args:
    input: a tensor
    low: lowest value; 0 when left out
    high: one above the highest value
    dtype: element type; None for input's

Raises:
    ValueError: low >= high, or values that the dtype cannot hold

Example:
    >>> import tapegrad as tg
    >>> tg.randint_like(tg.zeros(2), 7, 8)
    tensor([7., 7.]))",
            &randint_like);
TAPEGRAD_OP(
    kFunction, "randint_like(Tensor input, int high, *, " TAPEGRAD_LIKE_OPTIONS, "",
    +[](const Tensor& input, int64_t high, std::optional<DType> dtype) {
      return randint_like(input, 0, high, dtype);
    });
TAPEGRAD_OP(kFunction, "randperm(int n, *, Generator? generator=None, " TAPEGRAD_FACTORY_OPTIONS,
            R"(The integers 0 .. n - 1 in random order.

Example:
    >>> import tapegrad as tg
    >>> sorted(tg.randperm(4).tolist())
    [0, 1, 2, 3])",
            &randperm);
TAPEGRAD_OP(kFunction | kMethod, "bernoulli(Tensor input, *, Generator? generator=None) -> Tensor",
            R"(1 with the probability that input gives, else 0.

Args:
    input: probabilities in [0, 1]
    generator: where the numbers come from; None for the default generator

Raises:
    ValueError: a probability outside [0, 1]

Example:
    >>> import tapegrad as tg
    >>> tg.bernoulli(tg.tensor([0., 1.]))
    tensor([0., 1.]))",
            &bernoulli);
TAPEGRAD_OP(
    kMethod,
    "bernoulli_(Tensor(a!) input, float p=0.5, *, Generator? generator=None) -> Tensor(a!)",
    "Fills the tensor with 1 with probability p, else 0.",
    +[](const Tensor& self, double p, Generator* generator) {
      check_probability("bernoulli_", p);
      Tensor written = self;
      return autograd::assign_inplace("bernoulli_", written,
                                      bernoulli_values(self.sizes(), self.dtype(), p, generator));
    });
TAPEGRAD_OP(
    kMethod,
    "uniform_(Tensor(a!) input, float from=0, float to=1, *, Generator? generator=None) -> "
    "Tensor(a!)",
    R"(Fills the tensor with uniform random numbers in [from, to).

Example:
    >>> import tapegrad as tg
    >>> bool((tg.empty(4).uniform_(2, 3) >= 2).all())
    True)",
    +[](const Tensor& self, double from, double to, Generator* generator) {
      Tensor written = self;
      return uniform_(written, from, to, generator);
    });
TAPEGRAD_OP(
    kMethod,
    "normal_(Tensor(a!) input, float mean=0, float std=1, *, Generator? generator=None) -> "
    "Tensor(a!)",
    R"(Fills the tensor with normal random numbers.

Example:
    >>> import tapegrad as tg
    >>> tg.empty(4).normal_(5, 0)
    tensor([5., 5., 5., 5.]))",
    +[](const Tensor& self, double mean, double std, Generator* generator) {
      Tensor written = self;
      return normal_(written, mean, std, generator);
    });
TAPEGRAD_OP(
    kFunction,
    "normal(float mean, float std, int[] size, *, Generator? "
    "generator=None, " TAPEGRAD_FACTORY_OPTIONS,
    R"(Normal random numbers of the given mean and standard deviation.

Example:
    >>> import tapegrad as tg
    >>> tg.normal(1., 0., (2,))
    tensor([1., 1.]))",
    +[](double mean, double std, IntSpan size, Generator* generator, std::optional<DType> dtype) {
      Tensor result = empty(size, dtype);
      return normal_(result, mean, std, generator);
    });
TAPEGRAD_OP(
    kFunction, "normal(Tensor mean, Tensor std, *, Generator? generator=None) -> Tensor", "",
    +[](const Tensor& mean, const Tensor& std, Generator* generator) {
      return normal_around(mean, std, generator);
    });
TAPEGRAD_OP(
    kFunction, "normal(Tensor mean, float std=1, *, Generator? generator=None) -> Tensor", "",
    +[](const Tensor& mean, double std, Generator* generator) {
      return normal_around(mean, core::make_scalar(std, mean.dtype()), generator);
    });
TAPEGRAD_OP(
    kFunction, "normal(float mean, Tensor std, *, Generator? generator=None) -> Tensor", "",
    +[](double mean, const Tensor& std, Generator* generator) {
      return normal_around(core::make_scalar(mean, std.dtype()), std, generator);
    });
TAPEGRAD_OP(
    kMethod,
    "exponential_(Tensor(a!) input, float lambd=1, *, Generator? generator=None) -> Tensor(a!)",
    R"(Fills the tensor with random numbers x >= 0 of density lambd * exp(-lambd * x).

Args:
    input: a floating-point tensor
    lambd: the rate, above 0
    generator: where the numbers come from; None for the default generator

Raises:
    ValueError: lambd not above 0

Example:
    >>> import tapegrad as tg
    >>> bool((tg.empty(4).exponential_(2.) >= 0).all())
    True)",
    +[](const Tensor& self, double lambd, Generator* generator) {
      Tensor written = self;
      return exponential_(written, lambd, generator);
    });
TAPEGRAD_OP(
    kNN, "dropout(Tensor input, float p=0.5, bool training=True, bool inplace=False) -> Tensor",
    R"(Sets elements to zero with probability p and scales the others by 1 / (1 - p) (Srivastava et al., 2014).

Args:
    input: a floating-point tensor
    p: probability of an element to be dropped
    training: False returns input as it is
    inplace: write the result into input

Raises:
    ValueError: p outside [0, 1]

Example:
    >>> import tapegrad as tg
    >>> y = tg.nn.functional.dropout(tg.ones(100), 0.5)
    >>> sorted(set(y.tolist()))
    [0.0, 2.0])",
    +[](const Tensor& x, double p, bool training, bool inplace) {
      Tensor written = x;
      if (!inplace || !training) return dropout(x, p, training);
      return autograd::assign_inplace("dropout_", written, dropout(x, p, training));
    });

}  // namespace tapegrad
