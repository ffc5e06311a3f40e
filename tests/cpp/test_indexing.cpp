// Reads and writes by index against plain loops: values, gradients to second order, tangents,
// errors that change nothing, and the same bits on any number of threads.
#include "shape_support.h"
#include "tapegrad/parallel.h"

namespace {

using namespace support;

std::vector<double> list(std::initializer_list<double> items) { return items; }

int64_t element_offset(const Tensor& x, const Dims& at) {
  int64_t offset = 0;
  for (int d = 0; d < at.size(); ++d) offset += at[d] * x.strides()[static_cast<size_t>(d)];
  return offset;
}
double& element(const Tensor& x, const Dims& at) {
  return x.data_ptr<double>()[element_offset(x, at)];
}
int64_t number(const Tensor& index, const Dims& at) {
  return index.data_ptr<int64_t>()[element_offset(index, at)];
}

/// Calls f(position) for all positions of a shape in row-major order.
template <class F>
void for_each(IntSpan sizes, F f) {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  Dims at(static_cast<int>(sizes.size()), 0);
  for (int64_t i = 0; i < count; ++i) {
    f(at);
    for (int d = at.size() - 1; d >= 0 && ++at[d] == sizes[static_cast<size_t>(d)]; --d) at[d] = 0;
  }
}

/// A random list of indices for `sizes`: integers (negative too), masks and full slices.
struct Case {
  std::vector<Tensor> indices;
  bool repeats = false;  // a place may come twice

  Case(Random& random, IntSpan sizes) {
    Dims shape;
    for (int64_t n = random.below(3); n > 0; --n) shape.push_back(random.between(1, 3));
    const size_t covered =
        static_cast<size_t>(random.between(1, static_cast<int64_t>(sizes.size())));
    for (size_t d = 0; d < covered; ++d) {
      if (random.chance(30) && d + 1 < covered) {
        indices.emplace_back();
        continue;
      }
      Dims own(shape);
      if (own.size() > 0 && random.chance(30)) own[0] = 1;
      indices.push_back(random_index(random, own, -sizes[d], sizes[d] - 1));
    }
    if (!indices.back().defined())
      indices.back() = random_index(random, shape, 0, sizes[covered - 1] - 1);
    repeats = true;
  }
};

/// The source position of result position `at`, by the rules of NumPy.
struct Reader {
  Dims result;
  Dims shape;
  std::vector<Tensor> expanded;
  std::vector<int> dims;
  int front = 0;
  int ndim;

  Reader(const Tensor& x, const std::vector<Tensor>& indices) : ndim(static_cast<int>(x.dim())) {
    for (const Tensor& i : indices) {
      if (i.defined()) shape = broadcast_shapes("test", shape, i.sizes());
    }
    bool together = true;
    for (size_t d = 0; d < indices.size(); ++d) {
      if (!indices[d].defined()) continue;
      if (!dims.empty() && dims.back() + 1 != static_cast<int>(d)) together = false;
      dims.push_back(static_cast<int>(d));
      expanded.push_back(expand(indices[d], shape));
    }
    front = together ? dims[0] : 0;
    for (int d = 0; d < front; ++d) result.push_back(x.size(d));
    for (const int64_t n : shape) result.push_back(n);
    for (int d = front; d < ndim; ++d) {
      if (!indexed(d)) result.push_back(x.size(d));
    }
  }
  bool indexed(int d) const {
    for (const int i : dims) {
      if (i == d) return true;
    }
    return false;
  }
  Dims source(const Tensor& x, const Dims& at) const {
    Dims b, from(ndim, 0);
    for (int i = 0; i < shape.size(); ++i) b.push_back(at[front + i]);
    int next = front + shape.size();
    for (int d = 0; d < ndim; ++d) {
      if (indexed(d)) continue;
      from[d] = d < front ? at[d] : at[next++];
    }
    for (size_t k = 0; k < dims.size(); ++k) {
      const int64_t i = number(expanded[k], b);
      from[dims[k]] = i < 0 ? i + x.size(dims[k]) : i;
    }
    return from;
  }
};

Dims random_sizes(Random& random, int64_t most_dims) {
  Dims sizes;
  for (int64_t n = random.between(1, most_dims); n > 0; --n) sizes.push_back(random.between(1, 4));
  return sizes;
}

TEST(advanced_indexing_reads_what_plain_loops_read) {
  Random random(3);
  for (int round = 0; round < 300; ++round) {
    const Tensor x = random_tensor(random, random_sizes(random, 4));
    const Case c(random, x.sizes());
    const Reader reader(x, c.indices);
    const Tensor y = index(x, c.indices);
    REQUIRE(y.sizes() == IntSpan(reader.result));
    for_each(y.sizes(),
             [&](const Dims& at) { CHECK_EQ(element(y, at), element(x, reader.source(x, at))); });
  }
}

TEST(index_put_writes_what_plain_loops_write) {
  Random random(4);
  for (int round = 0; round < 300; ++round) {
    const Tensor x = random_tensor(random, random_sizes(random, 4));
    const Case c(random, x.sizes());
    const Reader reader(x, c.indices);
    const bool accumulate = random.chance(50);
    Tensor v = random_tensor(random, reader.result);
    if (random.chance(20)) v = random_tensor(random, {});
    const Tensor full = expand(v, reader.result);
    const Tensor expected = clone(x);
    for_each(full.sizes(), [&](const Dims& at) {
      double& to = element(expected, reader.source(x, at));
      to = accumulate ? to + element(full, at) : element(full, at);
    });
    const std::vector<double> before = values(x);
    CHECK(near(index_put(x, c.indices, v, accumulate), expected));
    CHECK_EQ(values(x), before);
    Tensor written = x;
    index_put_(written, c.indices, v, accumulate);
    CHECK(near(x, expected));
  }
}

TEST(gather_and_scatter_do_what_plain_loops_do) {
  Random random(5);
  for (int round = 0; round < 300; ++round) {
    const Tensor x = random_tensor(random, random_sizes(random, 3));
    const int dim = static_cast<int>(random.below(x.dim()));
    Dims sizes(x.sizes());
    for (int d = 0; d < sizes.size(); ++d)
      sizes[d] = d == dim ? random.between(0, 6) : random.between(1, sizes[d]);
    Tensor i = random_index(random, sizes, 0, x.size(dim) - 1);
    if (random.chance(30) && i.dim() > 1) i = transpose(contiguous(transpose(i, 0, 1)), 0, 1);
    const auto place = [&](const Dims& at) {
      Dims to(at);
      to[dim] = number(i, at);
      return to;
    };
    const Tensor y = gather(x, dim, i);
    REQUIRE(y.sizes() == i.sizes());
    for_each(y.sizes(), [&](const Dims& at) { CHECK_EQ(element(y, at), element(x, place(at))); });

    Dims larger(sizes);
    for (int64_t& n : larger) n += random.below(2);
    const Tensor v = random_tensor(random, larger);
    const Tensor sum_expected = clone(x);
    for_each(i.sizes(),
             [&](const Dims& at) { element(sum_expected, place(at)) += element(v, at); });
    CHECK(near(scatter_add(x, dim, i, v), sum_expected));
  }
}

TEST(indexing_obeys_the_laws_of_linear_maps) {
  Random random(6);
  for (int round = 0; round < 25; ++round) {
    const Tensor x = random_tensor(random, random_sizes(random, 3));
    const Case c(random, x.sizes());
    const Reader reader(x, c.indices);
    const Tensor v = random_tensor(random, reader.result);
    const bool accumulate = random.chance(50);
    check_linear([&](const Tensor& t) { return index(t, c.indices); }, x, random);
    // Where places repeat, one value wins: only the sum is linear in the values then.
    check_linear([&](const Tensor& t) { return index_put(t, c.indices, v, accumulate); }, x,
                 random);
    check_linear([&](const Tensor& t) { return index_put(x, c.indices, t, true); }, v, random);
    const int dim = static_cast<int>(random.below(x.dim()));
    const Tensor row = random_index(random, {3}, 0, x.size(dim) - 1);
    check_linear([&](const Tensor& t) { return index_select(t, dim, row); }, x, random);
    const Tensor source = random_tensor(random, index_select(x, dim, row).sizes());
    check_linear([&](const Tensor& t) { return index_add(t, dim, row, source); }, x, random);
    check_linear([&](const Tensor& t) { return index_add(x, dim, row, t); }, source, random);
    const Tensor i = random_index(random, x.sizes(), 0, x.size(dim) - 1);
    check_linear([&](const Tensor& t) { return gather(t, dim, i); }, x, random);
    check_linear([&](const Tensor& t) { return scatter_add(t, dim, i, x); }, x, random);
    check_linear([&](const Tensor& t) { return scatter_add(x, dim, i, t); }, x, random);
    const Tensor mask = random_tensor(random, x.sizes()) > Scalar(0);
    const Tensor two = full({}, 2.0, DType::Float64);
    check_linear([&](const Tensor& t) { return masked_fill(t, mask, two); }, x, random);
    check_linear([&](const Tensor& t) { return masked_fill(x, mask, t); }, two, random);
    check_linear([&](const Tensor& t) { return masked_select(t, mask); }, x, random);
  }
}

TEST(masks_select_their_true_elements_in_order) {
  Random random(7);
  for (int round = 0; round < 60; ++round) {
    const Tensor x = random_tensor(random, random_sizes(random, 3));
    const Tensor mask = random_tensor(random, x.sizes()) > Scalar(0);
    std::vector<double> expected;
    for_each(x.sizes(), [&](const Dims& at) {
      if (mask.data_ptr<bool>()[element_offset(mask, at)]) expected.push_back(element(x, at));
    });
    CHECK_EQ(values(index(x, {&mask, 1})), expected);
    CHECK_EQ(values(masked_select(x, mask)), expected);
    const Tensor places = nonzero(mask);
    CHECK_EQ(places.size(0), static_cast<int64_t>(expected.size()));
    for (int64_t k = 0; k < places.size(0); ++k) {
      Dims at;
      for (int d = 0; d < static_cast<int>(x.dim()); ++d) at.push_back(number(places, {k, d}));
      CHECK_EQ(element(x, at), expected[static_cast<size_t>(k)]);
    }
    const Tensor filled = masked_fill(x, mask, full({}, 9.0, DType::Float64));
    Tensor assigned = clone(x);
    index_put_(assigned, {&mask, 1}, full({}, 9.0));
    CHECK_EQ(values(filled), values(assigned));
  }
  const Tensor x = from_values<double>({0, 1, 2, 3, 4, 5}, {2, 3});
  const Tensor rows = from_values<int64_t>({1, 0}, {2});
  const Tensor mask = rows > Scalar(0);
  CHECK_EQ(values(index(x, {&mask, 1})), list({0, 1, 2}));
  const Tensor columns = from_values<int64_t>({1, 1, 0}, {3}) > Scalar(0);
  CHECK_EQ(values(index(x, std::vector<Tensor>{rows, columns})), list({3, 1}));
}

TEST(nonzero_finds_every_dtypes_elements) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const Tensor x = to(from_values<double>({0, 1, 0, 2, -0.0}, {5}), static_cast<DType>(i));
    CHECK_EQ(values(nonzero(x)), list({1, 3}));
  }
  CHECK(nonzero(full({}, 3)).sizes() == IntSpan({1, 0}));
  CHECK(nonzero(zeros({2, 0})).sizes() == IntSpan({0, 2}));
  Tensor large = zeros({100000});
  Tensor every = slice(large, 0, 5, std::nullopt, 7);
  fill_(every, 1);
  const std::vector<double> found = values(nonzero(large));
  CHECK_EQ(static_cast<int64_t>(found.size()), every.numel());
  CHECK_EQ(found[1000], 5.0 + 7000);
}

TEST(repeated_writes_in_place_reach_the_tape) {
  Tensor x = from_values<double>({1, 2, 3}, {3}).set_requires_grad(true);
  const Tensor v = from_values<double>({5, 7}, {2}).set_requires_grad(true);
  const Tensor i = from_values<int64_t>({2, 2}, {2});
  Tensor y = x * Scalar(2.0);
  index_put_(y, {&i, 1}, v, true);
  CHECK_EQ(values(y), list({2, 4, 18}));
  sum(y * y).backward();
  CHECK_EQ(values(x.grad()), list({8, 16, 72}));
  CHECK_EQ(values(v.grad()), list({36, 36}));

  const Tensor base = x * Scalar(1.0);
  Tensor part = narrow(base, 0, 1, 2);
  const Tensor first = from_values<int64_t>({0}, {1});
  index_put_(part, {&first, 1}, narrow(v, 0, 0, 1) * Scalar(0.0));
  x.set_grad(Tensor());
  sum(base * base).backward();
  CHECK_EQ(values(x.grad()), list({2, 0, 6}));
}

TEST(a_changed_index_is_noticed_by_the_backward_pass) {
  const Tensor x = from_values<double>({1, 2, 3}, {3}).set_requires_grad(true);
  Tensor i = from_values<int64_t>({2, 0}, {2});
  const Tensor y = index(x, {&i, 1});
  fill_(i, 1);
  CHECK_THROWS(GradError, "", sum(y).backward());
}

TEST(half_types_are_summed_in_float) {
  const Tensor i = zeros({4096}, DType::Int64);
  const Tensor ones_half = ones({4096}, DType::Float16);
  CHECK_EQ(values(index_add(zeros({1}, DType::Float16), 0, i, ones_half)), list({4096}));
  CHECK_EQ(values(scatter_add(zeros({1}, DType::BFloat16), 0, i, ones({4096}, DType::BFloat16))),
           list({4096}));
  CHECK_EQ(
      values(index_add(zeros({1}, DType::UInt8), 0, narrow(i, 0, 0, 3), ones({3}, DType::UInt8))),
      list({3}));
}

TEST(bad_indices_are_errors_that_change_nothing) {
  Tensor x = from_values<double>({1, 2, 3, 4, 5, 6}, {2, 3});
  const std::vector<double> before = values(x);
  const Tensor big = from_values<int64_t>({0, 2}, {2});
  const Tensor negative = from_values<int64_t>({-3}, {1});
  const Tensor three = from_values<int64_t>({0, 1, 0}, {3});
  const Tensor one = full({}, 9.0, DType::Float64);
  CHECK_THROWS(IndexError, "index 2 is out of bounds for dimension 0 with size 2",
               index_put_(x, {&big, 1}, one));
  CHECK_THROWS(IndexError, "index -3", index(x, {&negative, 1}));
  CHECK_THROWS(IndexError, "too many indices", index(x, std::vector<Tensor>{big, big, big}));
  CHECK_THROWS(IndexError, "shape mismatch",
               index(x, std::vector<Tensor>{from_values<int64_t>({0, 1}, {2}), three}));
  CHECK_THROWS(IndexError, "int64, int32 or bool", index(x, {&one, 1}));
  const Tensor mask = three > Scalar(0);
  CHECK_THROWS(IndexError, "shape of the mask (3,) at index 0", index(x, {&mask, 1}));
  CHECK_THROWS(ShapeError, "(2, 3)",
               index_put_(x, std::vector<Tensor>{from_values<int64_t>({0, 1}, {2})},
                          zeros({2}, DType::Float64)));
  CHECK_THROWS(IndexError, "index 2", index_select(x, 0, big));
  CHECK_THROWS(IndexError, "index -3", gather(reshape(x, {6}), 0, negative));
  CHECK_THROWS(DTypeError, "index must be", gather(reshape(x, {6}), 0, zeros({2})));
  CHECK_THROWS(ShapeError, "gather", gather(x, 0, zeros({1, 4}, DType::Int64)));
  CHECK_THROWS(ShapeError, "source must have the shape (2, 3)",
               index_add(x, 0, zeros({2}, DType::Int64),
                         x * Scalar(1.0) + zeros({1, 2, 3}, DType::Float64)));
  CHECK_THROWS(DTypeError, "mask must be a bool", masked_fill(x, x, one));
  CHECK_THROWS(ShapeError, "do not broadcast", masked_fill(x, zeros({2}, DType::Bool), one));
  CHECK_EQ(values(x), before);
}

TEST(sums_by_index_have_the_same_bits_on_any_number_of_threads) {
  Random random(8);
  const Tensor rows = random_index(random, {3000}, 0, 49);
  const Tensor v = to(random_tensor(random, {3000, 64}, false), DType::Float32);
  const Tensor i = random_index(random, {300, 700}, 0, 39);
  const Tensor w = to(random_tensor(random, {300, 700}, false), DType::Float32);
  const Tensor wide = to(random_tensor(random, {64, 3000}, false), DType::Float32);
  const auto run = [&] {
    return std::vector<Tensor>{
        index_add(zeros({50, 64}), 0, rows, v),    index_add(zeros({64, 50}), 1, rows, wide),
        index_put(zeros({50, 64}), {&rows, 1}, v), scatter_add(zeros({300, 40}), 1, i, w),
        scatter_add(zeros({40, 700}), 0, i, w),    gather(w, 0, i),
        gather(wide, 1, narrow(i, 0, 0, 64))};
  };
  const int threads = get_num_threads();
  set_num_threads(1);
  const std::vector<Tensor> serial = run();
  set_num_threads(3);
  const std::vector<Tensor> parallel = run();
  set_num_threads(threads);
  for (size_t k = 0; k < serial.size(); ++k) CHECK(values(serial[k]) == values(parallel[k]));
}

}  // namespace
