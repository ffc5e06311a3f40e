// Creation, copies, views and joins: values, shared memory, gradients to second order, tangents,
// errors.
#include <limits>

#include "shape_support.h"

namespace {

using namespace support;

Tensor iota(IntSpan sizes) {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  return reshape(arange(0, count, 1, DType::Float64), sizes);
}
bool shares(const Tensor& a, const Tensor& b) { return a->storage() == b->storage(); }
std::vector<double> list(std::initializer_list<double> items) { return items; }

TEST(arange_counts_as_its_formula_says) {
  CHECK_EQ(values(arange(0, 5)), list({0, 1, 2, 3, 4}));
  CHECK(arange(0, 5).dtype() == DType::Int64);
  CHECK_EQ(values(arange(1, 2.5, 0.5)), list({1, 1.5, 2}));
  CHECK(arange(1, 2.5, 0.5).dtype() == DType::Float32);
  CHECK_EQ(values(arange(5, -1, -2)), list({5, 3, 1}));
  CHECK_EQ(arange(0, 1, 0.1).numel(), 10);
  CHECK_EQ(arange(1, 1).numel(), 0);
  CHECK_EQ(arange(0, 100000, 1, DType::Float32).numel(), 100000);
  CHECK_THROWS(ValueError, "step", arange(0, 5, 0));
  CHECK_THROWS(ValueError, "sign of step", arange(0, 5, -1));
  CHECK_THROWS(ValueError, "finite", arange(0, std::numeric_limits<double>::infinity()));
}

TEST(linspace_holds_both_ends_exactly) {
  const std::vector<double> x = values(linspace(0.1, 0.7, 7, DType::Float64));
  CHECK_EQ(x.front(), 0.1);
  CHECK_EQ(x.back(), 0.7);
  CHECK_CLOSE(x[3], 0.4, 1e-15);
  CHECK_EQ(values(linspace(3, 9, 1)), list({3}));
  CHECK_EQ(linspace(0, 1, 0).numel(), 0);
  CHECK_THROWS(ValueError, "non-negative", linspace(0, 1, -1));
}

TEST(filled_tensors_follow_their_values_dtype_and_range) {
  CHECK(full({2}, 7).dtype() == DType::Int64);
  CHECK(full({2}, true).dtype() == DType::Bool);
  CHECK(full({2}, 1.5).dtype() == DType::Float32);
  CHECK_EQ(values(full({2}, -1, DType::UInt8)), list({255, 255}));
  CHECK_THROWS(ValueError, "overflow", full({2}, 300, DType::UInt8));
  CHECK_THROWS(ValueError, "overflow", full({2}, 1e6, DType::Float16));
  CHECK_THROWS(ValueError, "overflow",
               full({2}, std::numeric_limits<double>::quiet_NaN(), DType::Int32));
  CHECK_EQ(values(eye(2, 3)), list({1, 0, 0, 0, 1, 0}));
  CHECK_EQ(values(eye(3, 0)).size(), size_t{0});
  CHECK(zeros_like(transpose(iota({2, 3}), 0, 1)).strides() == IntSpan({1, 3}));
  CHECK(empty_strided({2, 3}, {1, 2}).strides() == IntSpan({1, 2}));
}

TEST(views_show_the_same_memory_in_another_shape) {
  const Tensor x = iota({2, 3, 4});
  CHECK(shares(view(x, {6, -1}), x));
  CHECK_EQ(values(select(view(x, {6, 4}), 0, 5)), list({20, 21, 22, 23}));
  const Tensor y = transpose(x, 0, 2);
  CHECK_THROWS(ShapeError, ".contiguous()", view(y, {24}));
  CHECK(!shares(reshape(y, {24}), x));
  CHECK_EQ(values(reshape(y, {24})), values(contiguous(y)));
  CHECK(shares(view(slice(x, 2, 0, 4, 2), {6, 2}), x));
  CHECK_EQ(values(view(slice(x, 2, 0, 4, 2), {6, 2})), values(slice(x, 2, 0, 4, 2)));
  CHECK_THROWS(ShapeError, "invalid for an input of size 24", view(x, {5}));
  CHECK_THROWS(ShapeError, "only one dimension", view(x, {-1, -1}));
  CHECK_THROWS(ShapeError, "can be any value", view(zeros({0}), {-1, 0}));
  CHECK(view(zeros({0, 3}), {3, 0}).sizes() == IntSpan({3, 0}));
  CHECK(view(slice(zeros({5, 0, 4}), 2, 0, 4, 2), {1, 0}).is_contiguous());
  CHECK(flatten(x, 1).sizes() == IntSpan({2, 12}));
  CHECK(flatten(full({}, 1)).sizes() == IntSpan({1}));
  CHECK(squeeze(zeros({1, 3, 1})).sizes() == IntSpan({3}));
  CHECK(squeeze(zeros({1, 3, 1}), {0, 1}).sizes() == IntSpan({3, 1}));
  CHECK(expand(zeros({3, 1}), {2, -1, 4}).strides() == IntSpan({0, 1, 0}));
  CHECK_THROWS(ShapeError, "non-singleton dimension 1", expand(zeros({2, 3}), {2, 4}));
  CHECK_THROWS(IndexError, "out of range", transpose(x, 0, 3));
  CHECK_THROWS(ShapeError, "duplicate", permute(x, {0, 0, 1}));
}

TEST(windows_show_a_part) {
  const Tensor x = iota({3, 4});
  CHECK_EQ(values(select(x, 1, -1)), list({3, 7, 11}));
  CHECK_EQ(values(narrow(x, 0, -2, 1)), list({4, 5, 6, 7}));
  CHECK_EQ(values(slice(x, 1, 1, 100, 2)), list({1, 3, 5, 7, 9, 11}));
  CHECK_EQ(values(diagonal(x, 1)), list({1, 6, 11}));
  CHECK_EQ(values(diagonal(x, -1)), list({4, 9}));
  CHECK_EQ(diagonal(x, 7).numel(), 0);
  CHECK_EQ(slice(x, 0, 2, 1).numel(), 0);
  CHECK_THROWS(IndexError, "index 3 out of range", select(x, 0, 3));
  CHECK_THROWS(ShapeError, "exceeds", narrow(x, 0, 2, 2));
  CHECK_THROWS(ValueError, "step", slice(x, 0, 0, 2, -1));
  CHECK_THROWS(ShapeError, "sum to the size 3", split_with_sizes(x, {1, 1}));
  const std::vector<Tensor> pieces = split(iota({5}), 2);
  CHECK_EQ(pieces.size(), size_t{3});
  CHECK_EQ(values(pieces[2]), list({4}));
  CHECK_EQ(chunk(iota({5}), 4).size(), size_t{3});
  CHECK_EQ(chunk(zeros({0}), 4).size(), size_t{4});
  CHECK_EQ(unbind(x, 1).size(), size_t{4});
  CHECK(shares(unbind(x, 1)[3], x));
}

TEST(joins_copy_into_one) {
  const Tensor a = iota({2, 2}), b = iota({2, 1});
  CHECK_EQ(values(cat(std::vector<Tensor>{a, b}, 1)), list({0, 1, 0, 2, 3, 1}));
  CHECK_EQ(values(cat(std::vector<Tensor>{zeros({0}, DType::Float64), a}, 0)), values(a));
  CHECK_EQ(values(stack(std::vector<Tensor>{a, transpose(a, 0, 1)}, -1)),
           list({0, 0, 1, 2, 2, 1, 3, 3}));
  const Tensor mixed = cat(std::vector<Tensor>{arange(0, 2), full({1}, 2.5)}, 0);
  CHECK(mixed.dtype() == DType::Float32);
  CHECK_EQ(values(mixed), list({0, 1, 2.5}));
  CHECK_THROWS(ShapeError, "(2, 2), got (3, 2)", cat(std::vector<Tensor>{a, iota({3, 2})}, 1));
  CHECK_THROWS(ShapeError, "zero-dimensional", cat(std::vector<Tensor>{full({}, 1)}, 0));
  CHECK_THROWS(ShapeError, "entry 1", stack(std::vector<Tensor>{a, b}, 0));
  CHECK_THROWS(ValueError, "non-empty", cat(std::vector<Tensor>{}, 0));
}

TEST(large_joins_agree_with_small_ones) {
  const Tensor x = iota({300, 257});
  const std::vector<Tensor> parts = split(x, 100, 1);
  CHECK_EQ(values(cat(parts, 1)), values(x));
  CHECK_EQ(values(cat(split(x, 7, 0), 0)), values(x));
}

TEST(views_obey_the_laws_of_linear_maps) {
  Random random(1);
  const std::vector<std::pair<Dims, Linear>> cases = {
      {{2, 3, 4}, [](const Tensor& x) { return reshape(x, {4, 6}); }},
      {{2, 3, 4}, [](const Tensor& x) { return flatten(x, 0, 1); }},
      {{2, 3, 4}, [](const Tensor& x) { return transpose(x, 0, -1); }},
      {{2, 3, 4}, [](const Tensor& x) { return permute(x, {2, 0, 1}); }},
      {{1, 3, 1}, [](const Tensor& x) { return squeeze(x); }},
      {{3, 2}, [](const Tensor& x) { return unsqueeze(x, 1); }},
      {{3, 1}, [](const Tensor& x) { return expand(x, {2, 3, 4}); }},
      {{3, 4}, [](const Tensor& x) { return select(x, 1, 2); }},
      {{3, 5}, [](const Tensor& x) { return slice(x, 1, 1, 5, 2); }},
      {{5, 3}, [](const Tensor& x) { return narrow(x, 0, 1, 3); }},
      {{3, 4, 2}, [](const Tensor& x) { return diagonal(x, 1, 0, 1); }},
      {{4, 4}, [](const Tensor& x) { return diagonal(x, -2); }},
      {{5, 3}, [](const Tensor& x) { return split(x, 2, 0)[1]; }},
      {{5, 3},
       [](const Tensor& x) {
         const std::vector<Tensor> p = chunk(x, 3, 1);
         return p[0] * Scalar(2.0) + p[2];
       }},
      {{2, 3}, [](const Tensor& x) { return unbind(x, 1)[2]; }},
      {{2, 3}, [](const Tensor& x) { return clone(x); }},
      {{2, 3}, [](const Tensor& x) { return contiguous(transpose(x, 0, 1)); }},
      {{4, 3}, [](const Tensor& x) { return sum_to_size(x, {1, 3}); }},
      {{2, 3}, [](const Tensor& x) { return cat(std::vector<Tensor>{x, x * Scalar(3.0), x}, 1); }},
      {{2, 3}, [](const Tensor& x) { return stack(std::vector<Tensor>{x, -x}, 1); }},
      {{6}, [](const Tensor& x) { return view(x, {2, 3}); }},
  };
  for (const auto& [sizes, f] : cases) {
    const bool any_order = !(IntSpan(sizes) == IntSpan({6}));
    check_linear(f, random_tensor(random, sizes, any_order), random);
  }
}

TEST(conversion_passes_gradients_in_the_inputs_dtype) {
  const Tensor x = iota({3}).set_requires_grad(true);
  const Tensor y = to(x, DType::Float32);
  y.backward(ones({3}));
  CHECK(x.grad().dtype() == DType::Float64);
  CHECK_EQ(values(x.grad()), list({1, 1, 1}));
  CHECK(!to(x, DType::Int64).requires_grad());
  CHECK(to(x, DType::Float64).is_same(x));
  CHECK(!to(x, DType::Float64, true).is_same(x));
}

TEST(expanded_gradients_pass_through_every_kind_of_derivative) {
  for (Tensor (*f)(const Tensor&) : {&exp, &sigmoid, &sqrt, &square}) {
    const Tensor x = from_values<double>({0.5, 1.5, 2.5}, {3}).set_requires_grad(true);
    const Tensor y = f(x);
    const Tensor g = full({1}, 2.0, DType::Float64);
    const Tensor spread = grad({&y, 1}, {&x, 1}, std::vector<Tensor>{expand(g, {3})})[0];
    const Tensor again = f(x);
    const Tensor dense =
        grad({&again, 1}, {&x, 1}, std::vector<Tensor>{full({3}, 2.0, DType::Float64)})[0];
    CHECK_EQ(values(spread), values(dense));
  }
}

TEST(detach_shares_memory_and_version_and_nothing_else) {
  const Tensor x = iota({3}).set_requires_grad(true);
  Tensor y = detach(x * Scalar(2.0));
  CHECK(!y.requires_grad() && y.is_leaf());
  const Tensor z = iota({3});
  Tensor alias = detach(z);
  const uint32_t before = z->version();
  fill_(alias, 7);
  CHECK_EQ(values(z), list({7, 7, 7}));
  CHECK_EQ(z->version(), before + 1);
}

TEST(in_place_writes_are_recorded) {
  const Tensor x = iota({2, 2}).set_requires_grad(true);
  const Tensor v = iota({2}).set_requires_grad(true);
  Tensor y = x * Scalar(1.0);
  Tensor row = select(y, 0, 1);
  copy_(row, v * Scalar(3.0));
  CHECK_EQ(values(y), list({0, 1, 0, 3}));
  sum(y * y).backward();
  CHECK_EQ(values(x.grad()), list({0, 2, 0, 0}));
  CHECK_EQ(values(v.grad()), list({0, 18}));

  Tensor z = v * Scalar(2.0);
  copy_(z, v);  // a leaf itself as the source
  fill_(z, 5);
  CHECK_EQ(values(z), list({5, 5}));
  sum(z).backward();
  CHECK_EQ(values(v.grad()), list({0, 18}));
  Tensor leaf = v;
  CHECK_THROWS(GradError, "leaf", fill_(leaf, 1));
  CHECK_EQ(values(v), list({0, 1}));
}

TEST(copy_between_overlapping_views_reads_before_it_writes) {
  const Tensor x = iota({6});
  Tensor to_part = narrow(x, 0, 1, 5);
  copy_(to_part, narrow(x, 0, 0, 5));
  CHECK_EQ(values(x), list({0, 0, 1, 2, 3, 4}));
  Tensor square = iota({2, 2});
  copy_(square, transpose(square, 0, 1));
  CHECK_EQ(values(square), list({0, 2, 1, 3}));
  Tensor expanded = expand(zeros({1}), {3});
  CHECK_THROWS(ShapeError, "clone", fill_(expanded, 1));
  Tensor small = zeros({2});
  CHECK_THROWS(ShapeError, "(3,)", copy_(small, zeros({3})));
}

TEST(copy_converts_every_dtype) {
  for (int i = 0; i < kDTypeCount; ++i) {
    for (int j = 0; j < kDTypeCount; ++j) {
      Tensor target = zeros({3}, static_cast<DType>(i));
      copy_(target, to(from_values<double>({0, 1, 3}, {3}), static_cast<DType>(j)));
      const bool truth = i == 0 || j == 0;
      CHECK_EQ(values(target), list({0, 1, truth ? 1.0 : 3.0}));
    }
  }
}

}  // namespace
