// Functions written in C++ against tapegrad/function.h: values, higher orders, forward mode, marks,
// names, errors, long chains.
#include <any>
#include <utility>
#include <vector>

#include "autograd/level.h"
#include "autograd/lifted.h"
#include "check.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/function.h"
#include "tapegrad/ops.h"
#include "tapegrad/random.h"

namespace {

using namespace tapegrad;

Tensor leaf(double value) { return full({}, value, DType::Float64).set_requires_grad(true); }
double value(const Tensor& tensor) { return tensor.item().to_double(); }

struct Cube : Function<Cube> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, double scale) {
    ctx->save_for_backward({x, Tensor()});
    ctx->saved_data["scale"] = scale;
    return x * x * x * scale;
  }
  static std::vector<Tensor> backward(AutogradContext* ctx, std::vector<Tensor> gradients) {
    const std::vector<Tensor> saved = ctx->get_saved_variables();
    CHECK(!saved[1].defined());
    const double scale = std::any_cast<double>(ctx->saved_data["scale"]);
    return {gradients[0] * saved[0] * saved[0] * (3 * scale), Tensor()};
  }
  static std::vector<Tensor> jvp(AutogradContext* ctx, std::vector<Tensor> tangents) {
    const Tensor x = ctx->get_saved_variables()[0];
    const double scale = std::any_cast<double>(ctx->saved_data["scale"]);
    return {tangents[0] * x * x * (3 * scale)};
  }
};

struct Split : Function<Split> {
  static constexpr const char* name = "split_in_two";
  static std::vector<Tensor> forward(AutogradContext* ctx, const Tensor& x, const Tensor& y) {
    CHECK(ctx->needs_input_grad(0));
    const Tensor sign_of_x = sign(x);
    ctx->mark_non_differentiable({sign_of_x});
    ctx->set_materialize_grads(false);
    return {x * 2, y * 3, sign_of_x};
  }
  static std::vector<Tensor> backward(AutogradContext*, std::vector<Tensor> gradients) {
    CHECK(!gradients[1].defined());
    return {gradients[0] * 2, Tensor()};
  }
};

struct AddOne : Function<AddOne> {
  static Tensor forward(AutogradContext* ctx, Tensor x) {
    add_(x, ones({}, x.dtype()));
    ctx->mark_dirty({x});
    return x;
  }
  static std::vector<Tensor> backward(AutogradContext*, std::vector<Tensor> gradients) {
    return {gradients[0] * 5};
  }
};

struct Missing : Function<Missing> {
  static std::vector<Tensor> forward(AutogradContext*, const Tensor& x) {
    return {x * 2, Tensor()};
  }
  static std::vector<Tensor> backward(AutogradContext*, std::vector<Tensor> gradients) {
    return {gradients[0] * 2};
  }
};

// Two outputs where the first element is above 1.
struct Uneven : Function<Uneven> {
  static std::vector<Tensor> forward(AutogradContext*, const Tensor& x) {
    if (*x.data_ptr<double>() > 1) return {x, x};
    return {x};
  }
  static std::vector<Tensor> backward(AutogradContext*, std::vector<Tensor> gradients) {
    return {gradients[0]};
  }
};

struct TooMany : Function<TooMany> {
  static Tensor forward(AutogradContext*, const Tensor& x) { return x * 1; }
  static std::vector<Tensor> backward(AutogradContext*, std::vector<Tensor> gradients) {
    return {gradients[0], gradients[0]};
  }
};

TEST(a_function_has_values_and_derivatives_of_any_order) {
  const Tensor x = leaf(2);
  Tensor y = Cube::apply(x, 0.5);
  CHECK_EQ(value(y), 4.0);
  for (const double want : {6.0, 6.0}) {
    y = grad({&y, 1}, {&x, 1}, {}, {.create_graph = true})[0];
    CHECK_EQ(value(y), want);
  }
}

TEST(a_function_passes_tangents_at_two_levels) {
  const int outer = enter_dual_level();
  const int inner = enter_dual_level();
  const Tensor one = ones({}, DType::Float64);
  const Tensor x = make_dual(make_dual(full({}, 2, DType::Float64), one, outer), one, inner);
  const Tensor y = Cube::apply(x, 1.0);
  const Tensor first = unpack_dual(y, inner).second;
  CHECK_EQ(value(unpack_dual(first, outer).first), 12.0);
  CHECK_EQ(value(unpack_dual(first, outer).second), 12.0);
  exit_dual_level(inner);
  exit_dual_level(outer);
}

TEST(outputs_can_be_several_and_not_differentiable) {
  const Tensor x = leaf(2), y = leaf(3);
  const std::vector<Tensor> out = Split::apply(x, y);
  CHECK(out[0].requires_grad());
  CHECK(!out[2].requires_grad());
  out[0].backward();
  CHECK_EQ(value(x.grad()), 2.0);
  CHECK(!y.grad().defined());
}

TEST(an_input_written_in_place_is_the_result) {
  const Tensor x = leaf(2);
  const Tensor y = x * 3;
  const Tensor z = AddOne::apply(y);
  CHECK(z.is_same(y));
  z.backward();
  CHECK_EQ(value(x.grad()), 15.0);
}

TEST(errors_name_the_function) {
  const Tensor x = leaf(2);
  const Tensor y = TooMany::apply(x);
  bool caught = false;
  try {
    y.backward();
  } catch (const GradError& error) {
    const std::string what = error.what();
    caught = what.find("TooManyBackward") != std::string::npos &&
             what.find("expected 1, got 2") != std::string::npos;
  }
  CHECK(caught);
  const int level = enter_dual_level();
  caught = false;
  try {
    TooMany::apply(make_dual(full({}, 2, DType::Float64), ones({}, DType::Float64), level));
  } catch (const UnsupportedError&) {
    caught = true;
  }
  exit_dual_level(level);
  CHECK(caught);
}

TEST(a_long_chain_of_functions_is_walked_and_freed) {
  const Tensor x = leaf(1);
  Tensor y = x;
  for (int i = 0; i < 200000; ++i) y = Cube::apply(y, 1.0);
  y.backward();
  CHECK(x.grad().defined());
}

// --- inside transforms
// ------------------------------------------------------------------------------------------

int runs = 0;

/// x^2 by a loop over memory, as a user's kernel would.
Tensor squared(const Tensor& x) {
  ++runs;
  const Tensor dense = contiguous(x), y = empty(x.sizes(), x.dtype());
  for (int64_t i = 0; i < x.numel(); ++i)
    y.data_ptr<double>()[i] = dense.data_ptr<double>()[i] * dense.data_ptr<double>()[i];
  return y;
}

struct Square : Function<Square> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return squared(x);
  }
  static std::vector<Tensor> backward(AutogradContext* ctx, std::vector<Tensor> gradients) {
    return {gradients[0] * ctx->get_saved_variables()[0] * 2};
  }
};

struct SquareWithSetup : Function<SquareWithSetup> {
  static Tensor forward(const Tensor& x) { return squared(x); }
  static void setup_context(AutogradContext* ctx, const std::vector<Tensor>& outputs,
                            const Tensor& x) {
    CHECK_EQ(outputs.size(), size_t{1});
    ctx->save_for_backward({x});
  }
  static std::vector<Tensor> backward(AutogradContext* ctx, std::vector<Tensor> gradients) {
    return {gradients[0] * ctx->get_saved_variables()[0] * 2};
  }
  static std::vector<Tensor> jvp(AutogradContext* ctx, std::vector<Tensor> tangents) {
    return {tangents[0] * ctx->get_saved_variables()[0] * 2};
  }
  static std::pair<Tensor, std::vector<int>> vmap(const VmapInfo& info, const Tensor& x) {
    CHECK_EQ(info.batch_size, int64_t{3});
    return {apply(x), {info.in_dims[0]}};
  }
};

struct Noise : Function<Noise> {
  static Tensor forward(AutogradContext*, const Tensor& x) { return x + rand(x.sizes()); }
  static std::vector<Tensor> backward(AutogradContext*, std::vector<Tensor> gradients) {
    return gradients;
  }
};

struct Opaque : Function<Opaque> {
  static constexpr bool once_differentiable = true;
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return squared(x);
  }
  static std::vector<Tensor> backward(AutogradContext* ctx, std::vector<Tensor> gradients) {
    CHECK(!is_grad_enabled());
    return {gradients[0] * ctx->get_saved_variables()[0] * 2};
  }
};

/// vmap over dimension 1 of a 2 x 3 tensor; the results along dimension 0.
template <class F>
Tensor over_columns(const Tensor& x, F f,
                    autograd::Randomness randomness = autograd::Randomness::Error) {
  const int level = autograd::open_level(autograd::Level::Kind::Batch, 3, randomness);
  Tensor result;
  try {
    result = autograd::lower_batch(f(autograd::lift(x, 1, level)), 0, level, 3);
  } catch (...) {
    autograd::close_level("test", level);
    throw;
  }
  autograd::close_level("test", level);
  return result;
}

/// The gradient of sum(f(x)) by a grad level of its own, as func.grad takes it.
template <class F>
Tensor nested_gradient(const Tensor& x, F f) {
  const int level = autograd::open_level(autograd::Level::Kind::Grad);
  const Tensor inside = autograd::lift(x, -1, level).set_requires_grad(true);
  const Tensor y = sum(f(inside));
  const Tensor result =
      autograd::lower(grad({&y, 1}, {&inside, 1}, {}, {.create_graph = true})[0], level);
  autograd::close_grad_level(level);
  return result;
}

Tensor six() { return reshape(arange(1, 7, 1, DType::Float64), Dims{2, 3}); }
bool same(const Tensor& a, const Tensor& b) { return equal(a, b); }

template <class F>
bool refused(const char* word, F f) {
  try {
    f();
  } catch (const Error& error) {
    return std::string(error.what()).find(word) != std::string::npos;
  }
  return false;
}

TEST(a_function_runs_over_a_batch_sample_by_sample) {
  const Tensor x = six().set_requires_grad(true);
  runs = 0;
  const Tensor y = over_columns(x, [](const Tensor& each) {
    CHECK_EQ(each.dim(), int64_t{1});
    return Square::apply(each);
  });
  CHECK_EQ(runs, 3);
  CHECK(same(y, transpose(x * x, 0, 1)));
  sum(y * y).backward();
  CHECK(same(x.grad(), x * x * x * 4));
}

TEST(a_function_with_a_rule_runs_once_for_all_samples) {
  const Tensor x = six().set_requires_grad(true);
  runs = 0;
  const Tensor y = over_columns(x, [](const Tensor& each) { return SquareWithSetup::apply(each); });
  CHECK_EQ(runs, 1);
  CHECK(same(y, transpose(x * x, 0, 1)));
  sum(y).backward();
  CHECK(same(x.grad(), x * 2));
}

TEST(a_function_that_reads_memory_is_differentiated_by_levels) {
  const Tensor x = six();
  const auto once = [](const Tensor& each) {
    return nested_gradient(each, [](const Tensor& t) { return Square::apply(t) * t; });
  };
  CHECK(same(once(x), x * x * 3));
  CHECK(same(nested_gradient(x, once), x * 6));
  const auto set_up = [](const Tensor& each) {
    return nested_gradient(each, [](const Tensor& t) { return SquareWithSetup::apply(t) * t; });
  };
  CHECK(same(nested_gradient(x, set_up), x * 6));
  CHECK(same(over_columns(x, set_up), transpose(x * x * 3, 0, 1)));
  CHECK(same(over_columns(x, [&](const Tensor& each) { return nested_gradient(each, set_up); }),
             transpose(x * 6, 0, 1)));
  const int dual = enter_dual_level();
  const Tensor moved = over_columns(make_dual(x, ones_like(x), dual), [](const Tensor& each) {
    return SquareWithSetup::apply(each);
  });
  CHECK(same(unpack_dual(moved, dual).second, transpose(x * 2, 0, 1)));
  exit_dual_level(dual);
}

TEST(a_batch_of_a_function_refuses_what_it_cannot_do_and_changes_nothing) {
  const Tensor x = six();
  const Tensor before = clone(x);
  CHECK(refused("AddOne: mark_dirty",
                [&] { over_columns(x, [](const Tensor& each) { return AddOne::apply(each); }); }));
  CHECK(same(x, before));
  CHECK(refused("randomness='same'",
                [&] { over_columns(x, [](const Tensor& each) { return Noise::apply(each); }); }));
  CHECK(refused("result 1 of Missing is an undefined tensor", [&] {
    over_columns(x, [](const Tensor& each) { return Missing::apply(each)[0]; });
  }));
  CHECK(refused("Uneven gave 1 results for one sample and 2 for another", [&] {
    over_columns(x, [](const Tensor& each) { return Uneven::apply(each)[0]; });
  }));
  CHECK(refused("at least one sample", [&] {
    const int level = autograd::open_level(autograd::Level::Kind::Batch, 0);
    try {
      Square::apply(autograd::lift(empty(Dims{0, 2}, DType::Float64), 0, level));
    } catch (...) {
      autograd::close_level("test", level);
      throw;
    }
    autograd::close_level("test", level);
  }));
}

TEST(a_batch_of_a_function_draws_as_vmap_says) {
  const Tensor x = zeros(Dims{2, 3}, DType::Float64);
  const auto drawn = [&](autograd::Randomness randomness) {
    return over_columns(x, [](const Tensor& each) { return Noise::apply(each); }, randomness);
  };
  const Tensor alike = drawn(autograd::Randomness::Same);
  CHECK(same(select(alike, 0, 0), select(alike, 0, 2)));
  const Tensor different = drawn(autograd::Randomness::Different);
  CHECK(!same(select(different, 0, 0), select(different, 0, 2)));
}

TEST(a_function_differentiable_once_refuses_the_second_derivative) {
  const Tensor x = leaf(3);
  const Tensor y = Opaque::apply(x);
  const Tensor first = grad({&y, 1}, {&x, 1}, {}, {.create_graph = true})[0];
  CHECK_EQ(value(first), 6.0);
  CHECK(refused("differentiate twice", [&] { first.backward(); }));
}

}  // namespace
