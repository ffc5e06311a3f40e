// A small test framework: TEST registers a function, CHECK* report file, line and values and go on,
// REQUIRE stops the test. One executable runs everything; `cpp_tests NAME` runs the tests whose
// "file.name" contains NAME. It must know nothing of tapegrad.
#pragma once

#include <cmath>
#include <functional>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace check {

struct Case {
  std::string name;
  void (*function)();
};

struct State {
  std::vector<Case> cases;
  int checks = 0;
  int failures = 0;
};

// Thrown by REQUIRE; no std::exception, so that a test's own catch does not swallow it.
struct Stop {};

inline State& state() {
  static State instance;
  return instance;
}

inline bool add(std::string_view file, const char* name, void (*function)()) {
  const std::string_view stem = file.substr(file.find_last_of('/') + 1);
  const std::string prefix(stem.substr(0, stem.find('.')));
  state().cases.push_back({prefix + "." + name, function});
  return true;
}

template <class T>
std::string show(const T& value) {
  if constexpr (requires(std::ostream& out) { out << value; }) {
    std::ostringstream out;
    out.precision(17);
    out << std::boolalpha << value;
    return out.str();
  } else if constexpr (requires { value.begin() != value.end(); }) {
    std::string text = "[";
    for (const auto& item : value) text += (text.size() > 1 ? ", " : "") + show(item);
    return text + "]";
  } else {
    return "(value)";
  }
}

inline bool report(bool ok, const char* file, int line, const std::string& text) {
  ++state().checks;
  if (!ok) {
    ++state().failures;
    std::cerr << file << ":" << line << ": " << text << "\n";
  }
  return ok;
}

template <class A, class B>
bool compare(const A& a, const B& b, bool ok, const char* text, const char* file, int line) {
  return report(ok, file, line, ok ? "" : std::string(text) + ": " + show(a) + " and " + show(b));
}

// True for |a - b| <= tolerance * max(1, |b|), equal infinities and two NaN.
inline bool close(double a, double b, double tolerance) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return true;
  return std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
}

template <class Error, class Function>
bool throws(Function&& function, std::string_view part, const char* file, int line) {
  try {
    std::forward<Function>(function)();
  } catch (const Error& error) {
    const std::string what = error.what();
    return report(what.find(part) != std::string::npos, file, line,
                  "message \"" + what + "\" lacks \"" + std::string(part) + "\"");
  } catch (const std::exception& error) {
    return report(false, file, line, std::string("another exception: ") + error.what());
  }
  return report(false, file, line, "no exception");
}

}  // namespace check

#define CHECK_JOIN_(a, b) a##b
#define CHECK_JOIN(a, b) CHECK_JOIN_(a, b)

#define TEST(name)                                                   \
  static void name();                                                \
  [[maybe_unused]] static const bool CHECK_JOIN(name, _registered) = \
      ::check::add(__FILE__, #name, name);                           \
  static void name()

#define CHECK(...) ::check::report(static_cast<bool>(__VA_ARGS__), __FILE__, __LINE__, #__VA_ARGS__)
#define REQUIRE(...)                             \
  if (!CHECK(__VA_ARGS__)) throw ::check::Stop { \
    }

#define CHECK_COMPARE_(a, op, b)                                                      \
  [](const auto& x_, const auto& y_) {                                                \
    return ::check::compare(x_, y_, x_ op y_, #a " " #op " " #b, __FILE__, __LINE__); \
  }(a, b)
#define CHECK_EQ(a, b) CHECK_COMPARE_(a, ==, b)
#define CHECK_NE(a, b) CHECK_COMPARE_(a, !=, b)
#define CHECK_LT(a, b) CHECK_COMPARE_(a, <, b)
#define CHECK_LE(a, b) CHECK_COMPARE_(a, <=, b)

#define CHECK_CLOSE(a, b, tolerance)                                                             \
  [](double x_, double y_, double t_) {                                                          \
    return ::check::compare(x_, y_, ::check::close(x_, y_, t_), #a " is close to " #b, __FILE__, \
                            __LINE__);                                                           \
  }(a, b, tolerance)

// The expression must throw Error, and its message must contain `part`.
#define CHECK_THROWS(Error, part, ...) \
  ::check::throws<Error>([&] { (void)(__VA_ARGS__); }, part, __FILE__, __LINE__)
