// Matrix products against a plain triple loop: exact where the values are small integers, bit for
// bit between thread counts and instruction-set levels where they are not.
#include <atomic>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "core/half.h"
#include "forks.h"
#include "kernels/contraction.h"
#include "kernels/dispatch.h"
#include "kernels/isa/gemm.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"
#include "tapegrad/parallel.h"

namespace {

using tapegrad::BFloat16;
using tapegrad::DType;
using tapegrad::Half;
using tapegrad::kernels::matmul;
using tapegrad::kernels::MatmulArgs;

template <class T>
constexpr DType kDType = DType::Float32;
template <>
constexpr DType kDType<double> = DType::Float64;
template <>
constexpr DType kDType<Half> = DType::Float16;
template <>
constexpr DType kDType<BFloat16> = DType::BFloat16;
template <>
constexpr DType kDType<uint8_t> = DType::UInt8;
template <>
constexpr DType kDType<int8_t> = DType::Int8;
template <>
constexpr DType kDType<int16_t> = DType::Int16;
template <>
constexpr DType kDType<int32_t> = DType::Int32;
template <>
constexpr DType kDType<int64_t> = DType::Int64;

template <class T>
T from_double(double value) {
  if constexpr (std::is_same_v<T, Half>)
    return tapegrad::core::to_half(static_cast<float>(value));
  else if constexpr (std::is_same_v<T, BFloat16>)
    return tapegrad::core::to_bfloat16(static_cast<float>(value));
  else if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<int64_t>(value));
  else
    return static_cast<T>(value);
}

template <class T>
double to_double(T value) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    return static_cast<double>(tapegrad::core::to_float(value));
  else
    return static_cast<double>(value);
}

// How a matrix lies in memory.
enum class Layout { kRows, kColumns, kPaddedRows, kReversed, kScattered };
constexpr Layout kLayouts[] = {Layout::kRows, Layout::kColumns, Layout::kPaddedRows,
                               Layout::kReversed, Layout::kScattered};

// A batch of matrices with guard elements around and between them.
template <class T>
struct Matrices {
  std::vector<T> data;
  int64_t row = 0, col = 0, batch = 0, start = 0;

  Matrices(int64_t count, int64_t rows, int64_t columns, Layout layout, bool repeat) {
    switch (layout) {
      case Layout::kRows:
        row = columns, col = 1;
        break;
      case Layout::kColumns:
        row = 1, col = rows;
        break;
      case Layout::kPaddedRows:
        row = columns + 3, col = 1;
        break;
      case Layout::kReversed:
        row = -(columns + 1), col = 1;
        break;
      case Layout::kScattered:
        row = 2 * columns + 1, col = 2;
        break;
    }
    const int64_t extent = rows * std::abs(row) + columns * col + 4;
    batch = repeat ? 0 : extent;
    start = 2 + (row < 0 ? (rows > 0 ? rows - 1 : 0) * -row : 0);
    data.resize(static_cast<size_t>(extent * (repeat ? 1 : count) + 64));
  }
  T& at(int64_t b, int64_t i, int64_t j) {
    return data[static_cast<size_t>(start + b * batch + i * row + j * col)];
  }
  T* origin() { return data.data() + start; }
};

struct Setting {
  int64_t batch, m, n, k;
  Layout a = Layout::kRows, b = Layout::kRows;
  double alpha = 1, beta = 0;
  bool bias = false, repeat_a = false, repeat_b = false;
};

template <class T>
struct Run {
  Matrices<T> a, b, c;
  std::vector<T> bias;
  MatmulArgs args;

  // Small integers, or values of the unit interval when `exact` is false.
  Run(const Setting& s, unsigned seed, bool exact)
      : a(s.batch, s.m, s.k, s.a, s.repeat_a),
        b(s.batch, s.k, s.n, s.b, s.repeat_b),
        c(s.batch, s.m, s.n, Layout::kPaddedRows, false),
        bias(static_cast<size_t>(s.n)) {
    std::mt19937 engine(seed);
    const auto draw = [&] {
      return exact ? static_cast<double>(engine() % 5) - 2
                   : static_cast<double>(engine()) / 4294967296.0;
    };
    for (auto* values : {&a.data, &b.data, &c.data, &bias}) {
      for (T& value : *values) value = from_double<T>(draw());
    }
    args.dtype = kDType<T>;
    args.batch = s.batch, args.m = s.m, args.n = s.n, args.k = s.k;
    args.a_row = a.row, args.a_col = a.col, args.a_batch = a.batch;
    args.b_row = b.row, args.b_col = b.col, args.b_batch = b.batch;
    args.c_row = c.row, args.c_batch = c.batch;
    args.alpha = s.alpha, args.beta = s.beta, args.has_bias = s.bias;
  }
  std::vector<void*> pointers() { return {c.origin(), a.origin(), b.origin(), bias.data()}; }
  void go() { matmul(pointers().data(), args); }
};

// The number of elements of C's memory, the guards included, that are not as they should be.
template <class T>
int64_t wrong_elements(const Setting& s, bool exact = true) {
  Run<T> run(s, 7, exact);
  Run<T> expected(s, 7, exact);
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t i = 0; i < s.m; ++i) {
      for (int64_t j = 0; j < s.n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < s.k; ++l) {
          sum += to_double(run.a.at(b, i, l)) * to_double(run.b.at(b, l, j));
        }
        double value = s.alpha * sum;
        if (s.beta != 0) value += s.beta * to_double(run.c.at(b, i, j));
        if (s.bias) value += to_double(run.bias[static_cast<size_t>(j)]);
        expected.c.at(b, i, j) = from_double<T>(value);
      }
    }
  }
  run.go();
  int64_t wrong = 0;
  for (size_t i = 0; i < run.c.data.size(); ++i) {
    const double got = to_double(run.c.data[i]), want = to_double(expected.c.data[i]);
    wrong += exact ? got != want : std::abs(got - want) > 2e-6 * static_cast<double>(s.k + 1);
  }
  return wrong;
}

std::string text(const Setting& s) {
  return std::to_string(s.batch) + " x " + std::to_string(s.m) + "x" + std::to_string(s.k) + "x" +
         std::to_string(s.n) + " layouts " + std::to_string(static_cast<int>(s.a)) + "," +
         std::to_string(static_cast<int>(s.b)) + " alpha " + std::to_string(s.alpha) + " beta " +
         std::to_string(s.beta) + (s.bias ? " bias" : "");
}

#define CHECK_PRODUCT(T, setting)                                      \
  ::check::report(wrong_elements<T>(setting) == 0, __FILE__, __LINE__, \
                  std::string(#T) + " " + text(setting))

TEST(shapes_and_layouts) {
  tapegrad::set_num_threads(2);
  const int64_t sizes[][3] = {{1, 1, 1},    {1, 7, 5},    {7, 1, 5},    {3, 4, 1},
                              {2, 3, 4},    {5, 17, 9},   {14, 32, 16}, {15, 33, 17},
                              {28, 64, 64}, {13, 31, 40}, {64, 2, 64},  {64, 64, 2},
                              {31, 9, 300}, {1, 100, 70}, {100, 1, 70}, {40, 70, 260}};
  for (const auto& size : sizes) {
    for (const Layout a : kLayouts) {
      for (const Layout b : kLayouts) {
        const Setting setting{1, size[0], size[1], size[2], a, b};
        CHECK_PRODUCT(float, setting);
        CHECK_PRODUCT(double, setting);
      }
    }
  }
}

TEST(large_enough_to_pack_and_to_split) {
  for (const int threads : {1, 2, 5}) {
    tapegrad::set_num_threads(threads);
    for (const Layout a : kLayouts) {
      const Setting tall{1, 301, 65, 523, a, Layout::kRows, 2, -1, true};
      const Setting wide{1, 60, 1100, 270, Layout::kRows, a, 1, 1, true};
      const Setting row{1, 1, 1100, 400, Layout::kRows, a, 2, 1, true};
      const Setting column{1, 1100, 1, 5000, a, Layout::kScattered, 2, 1, true};
      for (const Setting& setting : {tall, wide, row, column}) {
        CHECK_PRODUCT(float, setting);
        CHECK_PRODUCT(double, setting);
      }
    }
  }
}

TEST(every_small_size) {
  for (int64_t m = 1; m <= 16; m += 3) {
    for (int64_t n = 1; n <= 70; ++n) {
      const Setting setting{1, m, n,   1 + (m * n) % 35, Layout::kRows, Layout::kPaddedRows,
                            1, 1, true};
      CHECK_PRODUCT(float, setting);
      CHECK_PRODUCT(double, setting);
    }
  }
}

TEST(scaling_and_bias) {
  for (const double alpha : {1.0, -2.0, 0.0}) {
    for (const double beta : {0.0, 1.0, 3.0}) {
      for (const bool bias : {false, true}) {
        for (const int64_t k : {0, 1, 300}) {
          for (const auto& [m, n] : {std::pair{6, 40}, std::pair{1, 40}, std::pair{40, 1}}) {
            const Setting setting{2, m, n, k, Layout::kRows, Layout::kColumns, alpha, beta, bias};
            CHECK_PRODUCT(float, setting);
            CHECK_PRODUCT(double, setting);
            CHECK_PRODUCT(int32_t, setting);
          }
        }
      }
    }
  }
}

TEST(batches) {
  for (const int threads : {1, 2, 3}) {
    tapegrad::set_num_threads(threads);
    for (const int64_t batch : {1, 2, 5, 64}) {
      for (int repeat = 0; repeat < 4; ++repeat) {
        Setting setting{batch, 12, 20, 33, Layout::kRows, Layout::kColumns, 1, 1, true};
        setting.repeat_a = (repeat & 1) != 0;
        setting.repeat_b = (repeat & 2) != 0;
        CHECK_PRODUCT(float, setting);
        CHECK_PRODUCT(double, setting);
        CHECK_PRODUCT(BFloat16, setting);
        CHECK_PRODUCT(int64_t, setting);
      }
    }
  }
}

// Adjacent matrices against one B are computed as one tall product.
TEST(batch_against_one_matrix_is_folded) {
  constexpr int64_t kBatch = 6, kM = 4, kK = 3, kN = 5;
  std::vector<float> a(kBatch * kM * kK), b(kK * kN), c(kBatch * kM * kN, -1.0F);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 7);
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i % 5);
  MatmulArgs args;
  args.batch = kBatch, args.m = kM, args.n = kN, args.k = kK;
  args.a_row = kK, args.a_col = 1, args.a_batch = kM * kK;
  args.b_row = kN, args.b_col = 1;
  args.c_row = kN, args.c_batch = kM * kN;
  void* const data[] = {c.data(), a.data(), b.data()};
  matmul(data, args);
  int wrong = 0;
  for (size_t i = 0; i < c.size(); ++i) {
    float sum = 0;
    for (size_t l = 0; l < kK; ++l) sum += a[i / kN * kK + l] * b[l * kN + i % kN];
    wrong += c[i] != sum;
  }
  CHECK_EQ(wrong, 0);
}

TEST(half_types_and_integers) {
  tapegrad::set_num_threads(2);
  for (const Layout layout : kLayouts) {
    for (const int64_t n : {1, 20, 600}) {
      const Setting setting{2, 9, n, 30, layout, layout, 2, 1, true};
      CHECK_PRODUCT(Half, setting);
      CHECK_PRODUCT(BFloat16, setting);
      CHECK_PRODUCT(int8_t, setting);
      CHECK_PRODUCT(int16_t, setting);
      CHECK_PRODUCT(int32_t, setting);
      CHECK_PRODUCT(int64_t, setting);
    }
  }
  const Setting large{1, 200, 300, 100};
  CHECK_PRODUCT(Half, large);
  CHECK_PRODUCT(int32_t, large);
}

TEST(half_accumulates_in_float) {
  // In float16 alone 2048 + 1 stays 2048; the sum in float32 is rounded once.
  std::vector<Half> a(4096, from_double<Half>(1)), b(4096, from_double<Half>(1));
  Half c{};
  MatmulArgs args;
  args.dtype = DType::Float16;
  args.m = args.n = 1, args.k = 4096, args.a_row = 4096, args.a_col = args.b_row = args.b_col = 1;
  void* const data[] = {&c, a.data(), b.data()};
  matmul(data, args);
  CHECK_EQ(to_double(c), 4096.0);
}

TEST(integers_wrap_around) {
  const int8_t a[] = {100, 100};
  const int8_t b[] = {100, 100};
  int8_t c = 5;
  MatmulArgs args;
  args.dtype = DType::Int8;
  args.m = args.n = 1, args.k = 2, args.a_row = 2, args.a_col = args.b_row = args.b_col = 1;
  void* const data[] = {&c, const_cast<int8_t*>(a), const_cast<int8_t*>(b)};
  matmul(data, args);
  CHECK_EQ(int{c}, 32);  // 20000 mod 256
  const int64_t large = std::numeric_limits<int64_t>::max();
  const int64_t two = 2;
  int64_t product = 0;
  args.dtype = DType::Int64, args.k = 1;
  void* const wide[] = {&product, const_cast<int64_t*>(&large), const_cast<int64_t*>(&two)};
  matmul(wide, args);
  CHECK_EQ(product, -2);
}

TEST(real_values) {
  for (const int threads : {1, 2}) {
    tapegrad::set_num_threads(threads);
    for (const Layout b : {Layout::kRows, Layout::kColumns}) {
      CHECK_EQ(wrong_elements<float>({1, 130, 90, 784, Layout::kRows, b}, false), 0);
      CHECK_EQ(wrong_elements<float>({3, 1, 90, 784, Layout::kRows, b, 0.5, 0.25, true}, false), 0);
      CHECK_EQ(wrong_elements<double>({1, 130, 90, 784, Layout::kRows, b}, false), 0);
    }
  }
}

template <class T>
std::vector<T> result(const Setting& setting, int threads) {
  tapegrad::set_num_threads(threads);
  Run<T> run(setting, 11, false);
  run.go();
  return run.c.data;
}

template <class T>
bool same_bits(const std::vector<T>& x, const std::vector<T>& y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(T)) == 0;
}

TEST(same_bits_for_any_number_of_threads) {
  const Setting settings[] = {
      {1, 128, 512, 784, Layout::kRows, Layout::kColumns},
      {1, 97, 33, 300, Layout::kColumns, Layout::kRows, 1, 0, true},
      {1, 20, 1025, 77},
      {1, 1000, 65, 50, Layout::kRows, Layout::kScattered, 0.3, 0.7},
      {1, 1, 3001, 500},
      {1, 1, 3001, 500, Layout::kRows, Layout::kColumns},
      {1, 3001, 1, 500},
      {1, 3001, 1, 5000, Layout::kColumns, Layout::kRows},
      {7, 33, 65, 129},
      {7, 33, 65, 129, Layout::kRows, Layout::kColumns, 1, 1, true},
  };
  for (const Setting& setting : settings) {
    const auto once = result<float>(setting, 1);
    const auto once_wide = result<double>(setting, 1);
    for (const int threads : {2, 3, 8, 13}) {
      ::check::report(same_bits(once, result<float>(setting, threads)), __FILE__, __LINE__,
                      std::to_string(threads) + " threads, float32 " + text(setting));
      ::check::report(same_bits(once_wide, result<double>(setting, threads)), __FILE__, __LINE__,
                      std::to_string(threads) + " threads, float64 " + text(setting));
    }
  }
  tapegrad::set_num_threads(2);
}

TEST(no_c_read_without_beta) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const int64_t n : {1, 5, 40}) {
    for (const int64_t k : {0, 3}) {
      Run<float> run({1, 4, n, k}, 3, true);
      for (float& value : run.c.data) value = static_cast<float>(nan);
      run.go();
      bool finite = true;
      for (int64_t i = 0; i < 4; ++i) {
        for (int64_t j = 0; j < n; ++j) finite = finite && !std::isnan(run.c.at(0, i, j));
      }
      CHECK(finite);
    }
  }
}

TEST(nan_and_infinity_are_carried) {
  Run<double> run({1, 20, 40, 30}, 3, true);
  run.a.at(0, 3, 4) = std::numeric_limits<double>::quiet_NaN();
  run.a.at(0, 5, 6) = std::numeric_limits<double>::infinity();
  for (int64_t j = 0; j < 40; ++j) run.b.at(0, 6, j) = 1;
  run.go();
  CHECK(std::isnan(run.c.at(0, 3, 0)));
  CHECK(std::isnan(run.c.at(0, 3, 39)));
  CHECK_EQ(run.c.at(0, 5, 7), std::numeric_limits<double>::infinity());
  CHECK(!std::isnan(run.c.at(0, 4, 7)));
}

TEST(denormals_survive) {
  Run<float> run({1, 40, 40, 40}, 3, true);
  for (float& value : run.a.data) value = 1e-40F;
  for (float& value : run.b.data) value = 1;
  run.go();
  float expected = 0;
  for (int i = 0; i < 40; ++i) expected += 1e-40F;
  CHECK_EQ(run.c.at(0, 7, 9), expected);
  CHECK_LT(0.0, expected);
}

TEST(nothing_to_do) {
  Run<float> run({1, 4, 4, 4}, 3, true);
  const auto before = run.c.data;
  for (const auto member : {&MatmulArgs::batch, &MatmulArgs::m, &MatmulArgs::n}) {
    MatmulArgs empty = run.args;
    empty.*member = 0;
    matmul(run.pointers().data(), empty);
  }
  CHECK(same_bits(before, run.c.data));
}

TEST(other_dtypes_are_refused) {
  Run<float> run({1, 2, 2, 2}, 3, true);
  const auto before = run.c.data;
  run.args.dtype = DType::Bool;
  CHECK_THROWS(tapegrad::DTypeError, "matmul", run.go());
  CHECK(same_bits(before, run.c.data));
}

TEST(backend_is_named) {
  const std::string name = tapegrad::kernels::contraction_backend();
  CHECK(name.find(tapegrad::kernels::isa_name()) != std::string::npos);
}

#if defined(TAPEGRAD_HAVE_V3) && defined(TAPEGRAD_HAVE_V4)
// Both have fused multiply-add, and the order of summation does not depend on the vectors' width.
TEST(levels_agree) {
  if (tapegrad::kernels::isa_level() < 4) {
    CHECK(tapegrad::kernels::isa_level() >= 0);
    return;
  }
  tapegrad::set_num_threads(1);
  namespace kernels = tapegrad::kernels;
  const auto scratch = std::make_unique<double[]>(kernels::kGemmScratchBytes / 8 + 8);
  const auto start = (reinterpret_cast<uintptr_t>(scratch.get()) + 63) / 64 * 64;
  using kernels::GemmPath;
  for (const auto& [m, n, path] :
       {std::tuple{61, 83, GemmPath::kTiles}, std::tuple{1, 83, GemmPath::kRowVector},
        std::tuple{61, 1, GemmPath::kColumnVector}}) {
    for (const Layout layout : {Layout::kRows, Layout::kColumns}) {
      const Setting setting{1, m, n, 333, layout, layout, 0.5, 0.25, true};
      Run<float> v3(setting, 5, false), v4(setting, 5, false);
      const kernels::GemmArgs args{v3.args, path};
      auto data = v3.pointers();
      data.push_back(reinterpret_cast<void*>(start));
      kernels::v3::gemm(data.data(), args);
      data = v4.pointers();
      data.push_back(reinterpret_cast<void*>(start));
      kernels::v4::gemm(data.data(), args);
      CHECK(same_bits(v3.c.data, v4.c.data));
    }
  }
}
#endif

#if !defined(__SANITIZE_ADDRESS__)  // see Note [Forks beside allocations]
// Where the library multiplies bfloat16, each new shape is prepared under locks of its own.
TEST(forks_while_another_thread_prepares) {
  const auto multiply = [](int64_t n) {
    const tapegrad::Tensor a = tapegrad::ones({64, 64}, DType::BFloat16);
    return tapegrad::matmul(a, tapegrad::ones({64, n}, DType::BFloat16)).numel() == 64 * n;
  };
  std::atomic<bool> going{true};
  std::thread other([&] {
    for (int64_t n = 64; going; n = n % 3000 + 64) multiply(n);
  });
  for (int64_t i = 0; i < 20; ++i) CHECK(in_child([&] { return multiply(65 + 2 * i); }));
  going = false;
  other.join();
}
#endif

}  // namespace
