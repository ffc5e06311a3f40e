# Lays out PREFIX/lib, PREFIX/include and PREFIX/lib/cmake/tapegrad; in a wheel PREFIX is the package
# directory, which also takes the extension module. Run paths are relative: the tree may be moved.

include(CMakePackageConfigHelpers)

if(DEFINED SKBUILD)
  set(_libdir lib)
  set(_includedir include)
else()
  set(_libdir "${CMAKE_INSTALL_LIBDIR}")
  set(_includedir "${CMAKE_INSTALL_INCLUDEDIR}")
endif()
set(_cmakedir "${_libdir}/cmake/tapegrad")

set_target_properties(tapegrad PROPERTIES INSTALL_RPATH "$ORIGIN")
if(NOT TAPEGRAD_BUNDLE_LIBS)
  # oneDNN stays where it was found.
  set_target_properties(tapegrad PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
endif()
if(DEFINED SKBUILD)
  set(_namelink NAMELINK_SKIP)
endif()
install(
  TARGETS tapegrad
  EXPORT tapegradTargets
  LIBRARY DESTINATION "${_libdir}" ${_namelink}
  FILE_SET HEADERS DESTINATION "${_includedir}")
install(EXPORT tapegradTargets NAMESPACE tapegrad:: DESTINATION "${_cmakedir}")
configure_package_config_file(cmake/tapegradConfig.cmake.in "${PROJECT_BINARY_DIR}/tapegradConfig.cmake"
                              INSTALL_DESTINATION "${_cmakedir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/tapegradConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/tapegradConfig.cmake" "${PROJECT_BINARY_DIR}/tapegradConfigVersion.cmake"
        DESTINATION "${_cmakedir}")

# A plain `cmake --install` gives a C++ library; the module belongs to the Python package alone.
if(TAPEGRAD_PYTHON AND DEFINED SKBUILD)
  set_target_properties(tapegrad_python PROPERTIES INSTALL_RPATH "$ORIGIN/lib")
  install(TARGETS tapegrad_python LIBRARY DESTINATION .)
endif()

# tapegrad_bundle(FILE NAME): a stripped copy of a shared library, under the name others look for.
function(tapegrad_bundle file name)
  file(REAL_PATH "${file}" real)
  set(copy "${PROJECT_BINARY_DIR}/bundle/${name}")
  add_custom_command(
    OUTPUT "${copy}"
    COMMAND "${CMAKE_COMMAND}" -E make_directory "${PROJECT_BINARY_DIR}/bundle"
    COMMAND "${CMAKE_STRIP}" --strip-unneeded -o "${copy}" "${real}"
    DEPENDS "${real}"
    COMMENT "Bundling ${name}"
    VERBATIM)
  string(MAKE_C_IDENTIFIER "bundle_${name}" target)
  add_custom_target(${target} ALL DEPENDS "${copy}")
  install(PROGRAMS "${copy}" DESTINATION "${_libdir}")
endfunction()

if(TAPEGRAD_BUNDLE_LIBS)
  if(TAPEGRAD_HAS_ONEDNN)
    get_target_property(_dnnl DNNL::dnnl LOCATION)
    get_target_property(_dnnl_soname DNNL::dnnl IMPORTED_SONAME_RELEASE)
    if(NOT _dnnl_soname)
      set(_dnnl_soname libdnnl.so.3)
    endif()
    tapegrad_bundle("${_dnnl}" ${_dnnl_soname})
    # Its licence asks to travel with it.
    cmake_path(GET _dnnl PARENT_PATH _dnnl_lib)
    install(FILES "${_dnnl_lib}/../share/doc/onednn/LICENSE" "${_dnnl_lib}/../share/doc/onednn/THIRD-PARTY-PROGRAMS"
            DESTINATION "${_libdir}/licenses/onednn" OPTIONAL)
  endif()
  if(TAPEGRAD_THREADS STREQUAL "openmp" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    execute_process(COMMAND "${CMAKE_CXX_COMPILER}" -print-file-name=libgomp.so.1 OUTPUT_VARIABLE _gomp
                    OUTPUT_STRIP_TRAILING_WHITESPACE)
    tapegrad_bundle("${_gomp}" libgomp.so.1)
  endif()
endif()
