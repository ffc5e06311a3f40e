// Runs the registered tests; see check.h.
#include "check.h"

int main(int argc, char** argv) {
  const std::string_view filter = argc > 1 ? argv[1] : "";
  int run = 0;
  int failed = 0;
  for (const auto& test : check::state().cases) {
    if (test.name.find(filter) == std::string::npos) continue;
    ++run;
    const int before = check::state().failures;
    const int checks_before = check::state().checks;
    try {
      test.function();
      check::report(check::state().checks > checks_before, test.name.c_str(), 0, "checked nothing");
    } catch (const check::Stop&) {
    } catch (const std::exception& error) {
      check::report(false, test.name.c_str(), 0, std::string("exception: ") + error.what());
    }
    if (check::state().failures != before) {
      ++failed;
      std::cerr << "FAILED " << test.name << "\n";
    }
  }
  std::cout << run - failed << " passed, " << failed << " failed (" << check::state().checks
            << " checks)\n";
  return failed == 0 && run > 0 ? 0 : 1;
}
