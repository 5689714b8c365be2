# Installation and export: find_package(atom) gives atom::atom, atom::kernels, atom::engine, atom::builds and
# atom::tools, and atom_add_model().
include(CMakePackageConfigHelpers)

file(GLOB_RECURSE atom_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/*.hpp)
target_sources(atom INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${atom_headers})

set(atom_libraries atom)
foreach(library atom_kernels atom_gpu atom_engine atom_builds atom_tools)
  if(TARGET ${library})
    list(APPEND atom_libraries ${library})
  endif()
endforeach()
install(TARGETS ${atom_libraries} EXPORT atomTargets FILE_SET HEADERS)
if(TARGET atom_cli)
  install(TARGETS atom_cli)
  install(TARGETS atom_spec_gen EXPORT atomTargets)
endif()

set(atom_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/atom)
install(EXPORT atomTargets NAMESPACE atom:: DESTINATION ${atom_cmake_dir})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/atomConfig.cmake.in ${PROJECT_BINARY_DIR}/atomConfig.cmake
  INSTALL_DESTINATION ${atom_cmake_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/atomConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/atomConfig.cmake ${PROJECT_BINARY_DIR}/atomConfigVersion.cmake DESTINATION ${atom_cmake_dir})
if(TARGET atom_tools)
  install(FILES ${CMAKE_CURRENT_LIST_DIR}/AtomModel.cmake ${CMAKE_CURRENT_LIST_DIR}/model_main.cpp.in DESTINATION ${atom_cmake_dir})
endif()
