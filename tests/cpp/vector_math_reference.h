// Units in the last place between a result and a reference of higher precision, and the numbers
// that vector math is tested on. Compiled for every processor; it must not include the vector math
// itself.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "check.h"

namespace vector_math_test {

using Reference = long double (*)(long double);
using Reference2 = long double (*)(long double, long double);

// Distance in units in the last place of T at `want`; a wrong infinity, NaN or sign of zero counts
// as 1e9.
template <class T>
double ulps(T got, long double want) {
  constexpr double kWrong = 1e9;
  if (std::isnan(want)) return std::isnan(got) ? 0 : kWrong;
  const T rounded = static_cast<T>(want);
  if (std::isnan(got)) return kWrong;
  if (std::isinf(got) || std::isinf(rounded)) return got == rounded ? 0 : kWrong;
  if (want == 0 && got == 0) return std::signbit(got) == std::signbit(want) ? 0 : kWrong;
  int exponent = 0;
  std::frexp(rounded, &exponent);
  exponent = std::max(exponent, std::numeric_limits<T>::min_exponent);
  if (rounded == 0) exponent = std::numeric_limits<T>::min_exponent;
  const long double unit = std::ldexp(1.0L, exponent - std::numeric_limits<T>::digits);
  return static_cast<double>(std::abs(static_cast<long double>(got) - want) / unit);
}

// Zeros, ones, infinities, NaN, the borders of normal and subnormal numbers, and some plain ones;
// both signs.
template <class T>
std::vector<T> special_values() {
  using L = std::numeric_limits<T>;
  std::vector<T> values;
  for (const T v :
       {T(0), T(0.3), T(0.5), T(1), std::nextafter(T(1), T(0)), std::nextafter(T(1), T(2)), T(1.5),
        T(2), T(2.5), T(3), T(4), T(1e4), T(0x1p23) + T(1), T(0x1p24), L::max(), L::min(),
        L::denorm_min(), L::infinity(), L::quiet_NaN()}) {
    values.push_back(v);
    values.push_back(-v);
  }
  return values;
}

// Numbers of all magnitudes, denser where functions bend, neighbours of round numbers, and special
// values.
inline std::vector<float> test_numbers(float) {
  std::vector<float> numbers = special_values<float>();
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 10007) {
    const auto word = static_cast<std::uint32_t>(bits);
    float value = 0;
    std::memcpy(&value, &word, sizeof value);
    numbers.push_back(value);
  }
  std::mt19937 random(7);
  std::uniform_real_distribution<float> near(-12, 12);
  for (int i = 0; i < 100000; ++i) numbers.push_back(near(random));
  return numbers;
}

inline std::vector<double> test_numbers(double) {
  std::vector<double> numbers = special_values<double>();
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> near(-12, 12);
  std::uniform_real_distribution<double> exponent(-60, 10);
  std::uniform_real_distribution<double> any_exponent(-1074, 1024);
  for (int i = 0; i < 30000; ++i) {
    numbers.push_back(near(random));
    numbers.push_back(std::exp2(exponent(random)));
    numbers.push_back(-std::exp2(exponent(random)));
    numbers.push_back(std::exp2(any_exponent(random)));
    numbers.push_back(-std::exp2(any_exponent(random)));
  }
  for (const double centre : {0.5, 1.0, 2.0, 3.141592653589793, 709.78, 745.13}) {
    double up = centre;
    double down = centre;
    for (int i = 0; i < 200; ++i) {
      numbers.insert(numbers.end(), {up, -up, down, -down});
      up = std::nextafter(up, 1e300);
      down = std::nextafter(down, -1e300);
    }
  }
  return numbers;
}

// The largest error of a function, reported against its bound.
template <class T>
class Worst {
 public:
  template <class... Arguments>
  void see(T got, long double want, Arguments... arguments) {
    const double error = ulps(got, want);
    if (error <= worst_) return;
    worst_ = error;
    where_ = "(";
    ((where_ += " " + check::show(arguments)), ...);
    where_ += " ): " + check::show(got) + " instead of " + check::show(want);
  }
  void check(const char* name, double bound) const {
    check::report(worst_ <= bound, __FILE__, __LINE__,
                  std::string(name) + (sizeof(T) == 4 ? " (float)" : " (double)") + " errs by " +
                      check::show(worst_) + " > " + check::show(bound) + " ulp at " + where_);
  }

 private:
  double worst_ = -1;
  std::string where_;
};

}  // namespace vector_math_test
