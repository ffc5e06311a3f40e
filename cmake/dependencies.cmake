# Finds Python, pybind11, OpenMP, oneDNN and Eigen. What a prefix known to CMake offers comes first; then
# what the Python interpreter's environment carries as packages (a virtual environment, or pip's isolated
# build environment, whose paths die with the build: nothing found there may stay in the cache).

if(TAPEGRAD_PYTHON)
  # pip's build and plain CMake differ only in how much of Python's development files they may need.
  find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
else()
  find_package(Python 3.10 COMPONENTS Interpreter)
endif()

set(TAPEGRAD_PYTHON_PREFIXES "")
if(Python_EXECUTABLE)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/cmake/python_prefixes.py"
    OUTPUT_VARIABLE TAPEGRAD_PYTHON_PREFIXES
    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
endif()

# Searches again when the cached place has gone, which is what happens after an isolated build.
macro(tapegrad_find name)
  if(DEFINED ${name}_DIR AND NOT EXISTS "${${name}_DIR}")
    unset(${name}_DIR CACHE)
  endif()
  find_package(${name} ${ARGN} CONFIG QUIET PATHS ${TAPEGRAD_PYTHON_PREFIXES})
endmacro()

if(TAPEGRAD_PYTHON)
  # Without this, pybind11 would link with -flto.
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION OFF)
  tapegrad_find(pybind11 3.0)
  if(NOT pybind11_FOUND)
    message(FATAL_ERROR "pybind11 >= 3.0 not found: pip install pybind11 into the environment of "
                        "${Python_EXECUTABLE}, or give -Dpybind11_DIR=...")
  endif()
  message(STATUS "pybind11 ${pybind11_VERSION}: ${pybind11_DIR}")
endif()

if(TAPEGRAD_THREADS STREQUAL "openmp")
  find_package(OpenMP REQUIRED COMPONENTS CXX)
endif()
find_package(Threads REQUIRED)

tapegrad_find(Eigen3 3.4)
if(NOT Eigen3_FOUND)
  tapegrad_find(Eigen3 5.0)
endif()
if(NOT Eigen3_FOUND)
  message(FATAL_ERROR "Eigen >= 3.4 not found: pip install cmeel-eigen into the environment of "
                      "${Python_EXECUTABLE}, or give -DEigen3_DIR=...")
endif()
message(STATUS "Eigen ${Eigen3_VERSION}: ${Eigen3_DIR}")

set(TAPEGRAD_HAS_ONEDNN 0)
if(TAPEGRAD_ONEDNN)
  # oneDNN's exported targets ask for the policies of CMake 2.6, which CMake 4 refuses without this.
  set(CMAKE_POLICY_VERSION_MINIMUM 3.25)
  tapegrad_find(dnnl 3.2)
  unset(CMAKE_POLICY_VERSION_MINIMUM)
  if(NOT dnnl_FOUND)
    message(FATAL_ERROR "oneDNN >= 3.2 not found: pip install onednn-devel-cpu-gomp==2023.2.0 "
                        "onednn-cpu-gomp==2023.2.0 into the environment of ${Python_EXECUTABLE}, give "
                        "-Ddnnl_DIR=..., or build the portable path with -DTAPEGRAD_ONEDNN=OFF")
  endif()
  set(TAPEGRAD_HAS_ONEDNN 1)
  message(STATUS "oneDNN ${dnnl_VERSION}: ${dnnl_DIR}")
endif()
