# tapegrad._C: csrc/python, the only room that includes Python.h. Linked to the shared library, so that C++
# user code and Python share one allocator, one grad mode and one thread pool.

file(GLOB _python_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/csrc/python/*.cpp")
if(NOT _python_sources)
  set(_python_sources "${PROJECT_BINARY_DIR}/starter_module.cpp")
  file(WRITE ${_python_sources} "#include <pybind11/pybind11.h>\n#include \"tapegrad/version.h\"\n"
       "PYBIND11_MODULE(_C, m) { m.attr(\"__version__\") = TAPEGRAD_VERSION; }\n")
endif()
pybind11_add_module(tapegrad_python MODULE ${_python_sources})
set_target_properties(tapegrad_python PROPERTIES OUTPUT_NAME _C CXX_VISIBILITY_PRESET hidden)
target_link_libraries(tapegrad_python PRIVATE tapegrad_flags tapegrad)
target_include_directories(tapegrad_python PRIVATE "${PROJECT_SOURCE_DIR}/csrc")
if(TAPEGRAD_DEVELOP)
  set_target_properties(tapegrad_python PROPERTIES LIBRARY_OUTPUT_DIRECTORY
                                                   "${PROJECT_SOURCE_DIR}/python/tapegrad")
endif()
