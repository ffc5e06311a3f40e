# libtapegrad: every room's sources become objects once; the shared library and the C++ tests (which reach
# hidden internals) both link those objects.

set(_csrc "${PROJECT_SOURCE_DIR}/csrc")

# tapegrad_objects(NAME SOURCES...): an object library with the flags, includes and defines of ours.
function(tapegrad_objects name)
  add_library(${name} OBJECT ${ARGN})
  target_link_libraries(${name} PRIVATE tapegrad_flags)
  target_include_directories(${name} PRIVATE "${_csrc}/include" "${_csrc}")
  target_compile_definitions(
    ${name} PRIVATE TAPEGRAD_HAS_ONEDNN=${TAPEGRAD_HAS_ONEDNN}
                    $<$<STREQUAL:${TAPEGRAD_THREADS},std>:TAPEGRAD_PARALLEL_STD=1>)
  foreach(level IN LISTS TAPEGRAD_ISA_LEVELS)
    string(TOUPPER "TAPEGRAD_HAVE_${level}" define)
    target_compile_definitions(${name} PRIVATE ${define}=1)
  endforeach()
endfunction()

set(TAPEGRAD_OBJECT_TARGETS "")

# Only core may use OpenMP.
file(GLOB _core_sources CONFIGURE_DEPENDS "${_csrc}/core/*.cpp")
if(NOT _core_sources)
  set(_core_sources "${PROJECT_BINARY_DIR}/starter_core.cpp")
  file(WRITE ${_core_sources} "#include \"tapegrad/export.h\"\n#include \"tapegrad/version.h\"\n"
       "namespace tapegrad { TAPEGRAD_API const char* version() { return TAPEGRAD_VERSION; } }\n")
endif()
tapegrad_objects(tapegrad_core ${_core_sources})
if(TAPEGRAD_THREADS STREQUAL "openmp")
  target_link_libraries(tapegrad_core PRIVATE OpenMP::OpenMP_CXX)
endif()
list(APPEND TAPEGRAD_OBJECT_TARGETS tapegrad_core)

# Only kernels may use oneDNN and Eigen.
file(GLOB _kernel_sources CONFIGURE_DEPENDS "${_csrc}/kernels/*.cpp")
if(_kernel_sources)
  tapegrad_objects(tapegrad_kernels ${_kernel_sources})
  target_link_libraries(tapegrad_kernels PRIVATE Eigen3::Eigen)
  if(TAPEGRAD_HAS_ONEDNN)
    target_link_libraries(tapegrad_kernels PRIVATE DNNL::dnnl)
  endif()
  list(APPEND TAPEGRAD_OBJECT_TARGETS tapegrad_kernels)
endif()

# Note [One object per instruction set]: each file in kernels/isa is compiled once a level, with its code in
# a namespace named by TAPEGRAD_ISA. A weak symbol outside of it, compiled for a wide level, could be the
# one that the linker keeps for everybody: tools/check_isa_symbols.py looks for such symbols.
file(GLOB _isa_sources CONFIGURE_DEPENDS "${_csrc}/kernels/isa/*.cpp")
set(TAPEGRAD_ISA_TARGETS "")
if(_isa_sources)
  foreach(level IN LISTS TAPEGRAD_ISA_LEVELS)
    set(target tapegrad_isa_${level})
    tapegrad_objects(${target} ${_isa_sources})
    target_compile_definitions(${target} PRIVATE TAPEGRAD_ISA=${level})
    target_link_libraries(${target} PRIVATE Eigen3::Eigen)
    target_compile_options(
      ${target}
      PRIVATE -fopenmp-simd $<$<NOT:$<STREQUAL:${level},base>>:-march=x86-64-${level}>
              $<$<STREQUAL:${level},v4>:-mprefer-vector-width=512>)
    list(APPEND TAPEGRAD_ISA_TARGETS ${target})
  endforeach()
endif()
list(APPEND TAPEGRAD_OBJECT_TARGETS ${TAPEGRAD_ISA_TARGETS})

file(GLOB _other_sources CONFIGURE_DEPENDS "${_csrc}/autograd/*.cpp" "${_csrc}/ops/*.cpp" "${_csrc}/optim/*.cpp"
     "${_csrc}/io/*.cpp")
if(_other_sources)
  tapegrad_objects(tapegrad_rooms ${_other_sources})
  list(APPEND TAPEGRAD_OBJECT_TARGETS tapegrad_rooms)
endif()

# What anything made of these objects must link.
add_library(tapegrad_link INTERFACE)
target_link_libraries(tapegrad_link INTERFACE Threads::Threads ${CMAKE_DL_LIBS})
if(TAPEGRAD_THREADS STREQUAL "openmp")
  target_link_libraries(tapegrad_link INTERFACE OpenMP::OpenMP_CXX)
endif()
if(TAPEGRAD_HAS_ONEDNN)
  target_link_libraries(tapegrad_link INTERFACE DNNL::dnnl)
endif()

set(_object_files "")
foreach(target IN LISTS TAPEGRAD_OBJECT_TARGETS)
  list(APPEND _object_files $<TARGET_OBJECTS:${target}>)
endforeach()

add_library(tapegrad SHARED ${_object_files})
add_library(tapegrad::tapegrad ALIAS tapegrad)
target_compile_features(tapegrad PUBLIC cxx_std_20)
target_link_libraries(tapegrad PRIVATE $<BUILD_INTERFACE:tapegrad_flags> $<BUILD_INTERFACE:tapegrad_link>)
file(GLOB _public_headers CONFIGURE_DEPENDS "${_csrc}/include/tapegrad/*.h")
target_sources(tapegrad PUBLIC FILE_SET HEADERS BASE_DIRS "${_csrc}/include" FILES ${_public_headers})
# One file, named by its SONAME: a wheel cannot hold the usual chain of links.
set(_soversion ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set_target_properties(tapegrad PROPERTIES LINKER_LANGUAGE CXX VERSION ${_soversion} SOVERSION ${_soversion})
target_link_options(tapegrad PRIVATE -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/exports.map
                    -Wl,-Bsymbolic-functions)
set_property(TARGET tapegrad APPEND PROPERTY LINK_DEPENDS "${PROJECT_SOURCE_DIR}/cmake/exports.map")
if(NOT TAPEGRAD_SANITIZE)
  target_link_options(tapegrad PRIVATE -Wl,--no-undefined)
endif()
if(TAPEGRAD_DEVELOP)
  set_target_properties(tapegrad PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${PROJECT_SOURCE_DIR}/python/tapegrad/lib")
endif()

# tapegrad_test_executable(NAME SOURCES...): a program on the library's objects.
function(tapegrad_test_executable name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE tapegrad_flags tapegrad_link)
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/csrc/include" "${PROJECT_SOURCE_DIR}/csrc")
  foreach(target IN LISTS TAPEGRAD_OBJECT_TARGETS)
    target_sources(${name} PRIVATE $<TARGET_OBJECTS:${target}>)
  endforeach()
endfunction()
