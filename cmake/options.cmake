# What a builder may choose, and the flags that follow from it for every target of ours.

option(TAPEGRAD_BUILD_TESTS "Build the C++ tests (run them with ctest)" OFF)
option(TAPEGRAD_WARNINGS_AS_ERRORS "Treat compiler warnings as errors" OFF)
option(TAPEGRAD_ONEDNN "Use oneDNN for float32 and bfloat16 contractions" ON)

set(TAPEGRAD_SANITIZE "" CACHE STRING "Sanitizers: empty, address,undefined or thread")
set_property(CACHE TAPEGRAD_SANITIZE PROPERTY STRINGS "" "address,undefined" "thread")

set(TAPEGRAD_THREADS "openmp" CACHE STRING "Back end of parallel_for: openmp or std")
set_property(CACHE TAPEGRAD_THREADS PROPERTY STRINGS openmp std)
if(NOT TAPEGRAD_THREADS MATCHES "^(openmp|std)$")
  message(FATAL_ERROR "TAPEGRAD_THREADS is '${TAPEGRAD_THREADS}'; it must be openmp or std")
endif()

# The instruction-set levels that the kernels in csrc/kernels/isa are compiled for; fewer build faster.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(_default_levels "v2;v3;v4")
else()
  set(_default_levels "base")
endif()
set(TAPEGRAD_ISA_LEVELS "${_default_levels}" CACHE STRING
    "Kernel instruction-set levels: any of v2, v3, v4 (x86-64), or base")
foreach(level IN LISTS TAPEGRAD_ISA_LEVELS)
  if(NOT level MATCHES "^(base|v2|v3|v4)$")
    message(FATAL_ERROR "TAPEGRAD_ISA_LEVELS has '${level}'; known are base, v2, v3 and v4")
  endif()
endforeach()
if(NOT TAPEGRAD_ISA_LEVELS)
  message(FATAL_ERROR "TAPEGRAD_ISA_LEVELS is empty; give at least one of base, v2, v3, v4")
endif()

# A developer's build puts the module and the libraries into python/tapegrad, so that
# PYTHONPATH=python works; a build for a wheel or for a sanitizer must leave the source tree alone.
set(_default_develop OFF)
if(PROJECT_IS_TOP_LEVEL AND NOT DEFINED SKBUILD AND NOT TAPEGRAD_SANITIZE)
  set(_default_develop ON)
endif()
option(TAPEGRAD_DEVELOP "Put _C and the libraries into the source tree's python/tapegrad" ${_default_develop})

# A wheel must work where no oneDNN and no compiler's runtime is installed.
set(_default_bundle OFF)
if(DEFINED SKBUILD)
  set(_default_bundle ON)
endif()
option(TAPEGRAD_BUNDLE_LIBS "Install the libraries of oneDNN and OpenMP beside ours" ${_default_bundle})

option(TAPEGRAD_PYTHON "Build the Python extension module" ON)

# Note [Floating-point flags]: results must not depend on what the compiler may contract, so fused
# multiply-add is written out in the kernels; errno and traps are never read, and giving them up lets
# loops with comparisons vectorise. No -ffast-math: NaN, inf and signed zero keep their meaning.
add_library(tapegrad_flags INTERFACE)
target_compile_features(tapegrad_flags INTERFACE cxx_std_20)
target_compile_options(
  tapegrad_flags
  INTERFACE -Wall -Wextra -Wshadow -ffp-contract=off -fwrapv -fno-math-errno -fno-trapping-math
            -fno-semantic-interposition
            $<$<BOOL:${TAPEGRAD_WARNINGS_AS_ERRORS}>:-Werror>)
if(TAPEGRAD_SANITIZE)
  target_compile_options(tapegrad_flags INTERFACE -fsanitize=${TAPEGRAD_SANITIZE} -fno-sanitize=vptr -fno-omit-frame-pointer
                                                  -fno-sanitize-recover=all -g1)
  target_link_options(tapegrad_flags INTERFACE -fsanitize=${TAPEGRAD_SANITIZE})
endif()
