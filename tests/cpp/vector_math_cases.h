// What every level's vector math must satisfy; included after vector_math_loops.h, outside of its
// target.
#pragma once

namespace {
using vector_math_test::Reference;
using vector_math_test::Reference2;
using vector_math_test::special_values;
using vector_math_test::test_numbers;
using vector_math_test::Worst;

long double sigmoid_reference(long double x) { return 1 / (1 + std::exp(-x)); }
long double softplus_reference(long double x) {
  return std::log1p(std::exp(-std::abs(x))) + (x < 0 ? 0 : x);
}
long double rsqrt_reference(long double x) { return 1 / std::sqrt(x); }
long double reciprocal_reference(long double x) { return 1 / x; }

template <class T>
void check_unary(const char* name, void (*loop)(const T*, T*, std::int64_t), Reference reference,
                 double bound, T limit, const std::vector<T>& numbers) {
  std::vector<T> x;
  for (const T v : numbers) {
    if (!(std::abs(v) > limit) || std::isinf(v)) x.push_back(v);
  }
  std::vector<T> y(x.size());
  loop(x.data(), y.data(), static_cast<std::int64_t>(x.size()));
  Worst<T> worst;
  for (std::size_t i = 0; i < x.size(); ++i) worst.see(y[i], reference(x[i]), x[i]);
  worst.check(name, bound);
}

// The bounds are those that the functions keep on every level, without fused multiply-add too.
void check_accuracy() {
  constexpr double kAll = std::numeric_limits<double>::infinity();
  const auto floats = test_numbers(0.0F);
  const auto doubles = test_numbers(0.0);
  const auto both = [&](const char* name, auto float_loop, auto double_loop, Reference reference,
                        double float_bound, double double_bound, double float_limit,
                        double double_limit) {
    check_unary<float>(name, float_loop, reference, float_bound, static_cast<float>(float_limit),
                       floats);
    check_unary<double>(name, double_loop, reference, double_bound, double_limit, doubles);
  };
#define BOTH(name, float_bound, double_bound, ...)                                             \
  both(#name, loop_##name<float>, loop_##name<double>, __VA_ARGS__, float_bound, double_bound, \
       kAll, kAll)
  BOTH(exp, 1.3, 1.3, std::exp);
  BOTH(exp2, 1.4, 1.2, std::exp2);
  BOTH(expm1, 1.8, 2.0, std::expm1);
  BOTH(log, 1.4, 1.1, std::log);
  BOTH(log2, 1.5, 1.1, std::log2);
  BOTH(log10, 2.0, 1.1, std::log10);
  BOTH(log1p, 2.0, 1.6, std::log1p);
  BOTH(log1p_exp, 2.1, 2.0, softplus_reference);
  BOTH(sigmoid, 2.0, 2.1, sigmoid_reference);
  BOTH(sqrt, 0.51, 0.51, std::sqrt);
  BOTH(rsqrt, 1.5, 1.5, rsqrt_reference);
  BOTH(reciprocal, 0.51, 0.51, reciprocal_reference);
  BOTH(asin, 1.8, 1.8, std::asin);
  BOTH(acos, 1.3, 1.3, std::acos);
  BOTH(atan, 1.5, 1.5, std::atan);
  BOTH(sinh, 1.9, 1.9, std::sinh);
  BOTH(cosh, 1.8, 1.8, std::cosh);
  BOTH(tanh, 2.1, 2.3, std::tanh);
  BOTH(asinh, 2.2, 2.0, std::asinh);
  BOTH(acosh, 2.3, 2.1, std::acosh);
  BOTH(atanh, 2.0, 1.9, std::atanh);
  BOTH(erf, 2.3, 1.9, std::erf);
  BOTH(erfc, 1.2, 3.4, std::erfc);
#undef BOTH
  constexpr double kFloat = level::kTrigLimit<float>;
  constexpr double kDouble = level::kTrigLimit<double>;
  both("sin", loop_sin<float>, loop_sin<double>, std::sin, 1.8, 1.8, kFloat, kDouble);
  both("cos", loop_cos<float>, loop_cos<double>, std::cos, 1.8, 1.8, kFloat, kDouble);
  both("tan", loop_tan<float>, loop_tan<double>, std::tan, 2.1, 1.9, kFloat, kDouble);
  both("sin by map_block", loop_sin_blocks<float>, loop_sin_blocks<double>, std::sin, 1.8, 1.8,
       kAll, kAll);
}

// Angles next to multiples of pi/2, where the reduction cancels most digits.
template <class T>
void check_near_multiples() {
  std::vector<T> x;
  const long double half_pi = std::acos(0.0L);
  for (long double k = 1; k * half_pi < level::kTrigLimit<T>; k = std::floor(k * 1.003L) + 1) {
    x.push_back(static_cast<T>(k * half_pi));
  }
  CHECK_LE(2000U, x.size());
  check_unary<T>("sin near k pi/2", loop_sin<T>, std::sin, 1.8, level::kTrigLimit<T>, x);
  check_unary<T>("cos near k pi/2", loop_cos<T>, std::cos, 1.8, level::kTrigLimit<T>, x);
}

template <class T>
void check_binary(const char* name, void (*loop)(const T*, const T*, T*, std::int64_t),
                  Reference2 reference, double bound) {
  std::vector<T> a;
  std::vector<T> b;
  for (const T u : special_values<T>()) {
    for (const T v : special_values<T>()) {
      a.push_back(u);
      b.push_back(v);
    }
  }
  std::mt19937_64 random(11);
  std::uniform_real_distribution<double> near(-40, 40);
  std::uniform_real_distribution<double> exponent(-100, 100);
  for (int i = 0; i < 100000; ++i) {
    a.push_back(static_cast<T>(i % 2 ? near(random) : std::exp2(exponent(random))));
    b.push_back(static_cast<T>(i % 3 ? near(random) : std::floor(near(random))));
  }
  std::vector<T> y(a.size());
  loop(a.data(), b.data(), y.data(), static_cast<std::int64_t>(a.size()));
  Worst<T> worst;
  for (std::size_t i = 0; i < a.size(); ++i) {
    worst.see(y[i], reference(a[i], b[i]), a[i], b[i]);
  }
  worst.check(name, bound);
}

long double maximum_reference(long double a, long double b) {
  return std::isnan(a) || std::isnan(b) ? std::nan("") : a < b ? b : a;
}
long double minimum_reference(long double a, long double b) {
  return std::isnan(a) || std::isnan(b) ? std::nan("") : a > b ? b : a;
}
// Of two zeros the second, as the vector math; C leaves it open.
long double fmax_reference(long double a, long double b) { return a > b || std::isnan(b) ? a : b; }
long double fmin_reference(long double a, long double b) { return a < b || std::isnan(b) ? a : b; }

template <class T>
void check_binary_functions() {
  check_binary<T>("pow", loop_pow<T>, std::pow, sizeof(T) == 4 ? 0.6 : 1.6);
  check_binary<T>("atan2", loop_atan2<T>, std::atan2, 1.8);
  check_binary<T>("hypot", loop_hypot<T>, std::hypot, 1.4);
  check_binary<T>("fmod", loop_fmod<T>, std::fmod, 0);
  check_binary<T>("copysign", loop_copysign<T>, std::copysign, 0);
  check_binary<T>("maximum", loop_maximum<T>, maximum_reference, 0);
  check_binary<T>("minimum", loop_minimum<T>, minimum_reference, 0);
  check_binary<T>("fmax", loop_fmax<T>, fmax_reference, 0);
  check_binary<T>("fmin", loop_fmin<T>, fmin_reference, 0);
}

template <class T>
void check_rounding() {
  std::vector<T> x = special_values<T>();
  for (int i = -20; i <= 20; ++i) x.push_back(static_cast<T>(i) / 2);
  const auto n = static_cast<std::int64_t>(x.size());
  std::vector<T> y(x.size());
  const auto compare = [&](const char* name, void (*loop)(const T*, T*, std::int64_t),
                           auto reference) {
    loop(x.data(), y.data(), n);
    Worst<T> worst;
    for (std::size_t i = 0; i < x.size(); ++i) worst.see(y[i], reference(x[i]), x[i]);
    worst.check(name, 0);
  };
  compare("floor", loop_floor<T>, [](T v) { return std::floor(v); });
  compare("ceil", loop_ceil<T>, [](T v) { return std::ceil(v); });
  compare("trunc", loop_trunc<T>, [](T v) { return std::trunc(v); });
  compare("round", loop_round<T>, [](T v) { return std::nearbyint(v); });
  compare("abs", loop_abs<T>, [](T v) { return std::abs(v); });
  compare("isnan", loop_isnan<T>, [](T v) { return std::isnan(v) ? T(1) : T(0); });
  compare("isfinite", loop_isfinite<T>, [](T v) { return std::isfinite(v) ? T(1) : T(0); });
  compare("sign", loop_sign<T>, [](T v) { return v > 0 ? T(1) : v < 0 ? T(-1) : T(0); });
}

void check_power_table() {
  // C99, F.9.4.4, where the reference could share a mistake with the library under test.
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double table[][3] = {{0, 0, 1},      {nan, 0, 1},      {1, nan, 1},      {-1, inf, 1},
                             {-1, -inf, 1},  {-0.0, -3, -inf}, {-0.0, -2, inf},  {-0.0, 3, -0.0},
                             {-0.0, 2, 0},   {0.5, inf, 0},    {0.5, -inf, inf}, {-inf, -3, -0.0},
                             {-inf, 2, inf}, {-inf, 3, -inf},  {inf, -1, 0},     {-8, 1.0 / 3, nan},
                             {-2, 3, -8},    {-inf, 0.5, inf}, {2, nan, nan},    {nan, 2, nan}};
  for (const auto& [x, y, want] : table) {
    double result = 0;
    loop_pow(&x, &y, &result, 1);
    CHECK(vector_math_test::ulps(result, want) == 0);
    const auto xf = static_cast<float>(x);
    const auto yf = static_cast<float>(y);
    float narrow = 0;
    loop_pow(&xf, &yf, &narrow, 1);
    CHECK(vector_math_test::ulps(narrow, want) == 0);
  }
}

}  // namespace

// The tests of one level, in the file that names it. On a processor without the level they check
// only that.
#define VECTOR_MATH_TEST(name, supported, ...) \
  TEST(name) {                                 \
    if (!CHECK_LEVEL(supported)) return;       \
    __VA_ARGS__;                               \
  }
#define CHECK_LEVEL(supported) (++check::state().checks, (supported))
#define VECTOR_MATH_TESTS(supported)                                                     \
  VECTOR_MATH_TEST(accuracy, supported, check_accuracy())                                \
  VECTOR_MATH_TEST(special_cases_of_power, supported, check_power_table())               \
  VECTOR_MATH_TEST(angles_next_to_multiples, supported, check_near_multiples<float>();   \
                   check_near_multiples<double>())                                       \
  VECTOR_MATH_TEST(functions_of_two_numbers, supported, check_binary_functions<float>(); \
                   check_binary_functions<double>())                                     \
  VECTOR_MATH_TEST(rounding_and_classes, supported, check_rounding<float>();             \
                   check_rounding<double>())
