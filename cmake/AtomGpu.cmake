# GPU kernels are one set of sources (src/kernels/gpu/*.hip) for three compilers: nvcc, a clang that knows amdgcn, and, for the
# emulator, the host's own. Nothing here needs CMake's CUDA or HIP languages.
set(ATOM_GPU off CACHE STRING "Device kernels: off, hip (AMD) or cuda (NVIDIA)")
set_property(CACHE ATOM_GPU PROPERTY STRINGS off hip cuda)
if(NOT ATOM_GPU MATCHES "^(off|hip|cuda)$")
  message(FATAL_ERROR "ATOM_GPU: '${ATOM_GPU}' is none of off, hip, cuda")
endif()

if(ATOM_GPU STREQUAL cuda)
  set(ATOM_GPU_ARCH 90a CACHE STRING "Compute capabilities to compile for, e.g. 90a;100a")
  find_program(ATOM_NVCC nvcc HINTS ENV CUDA_PATH ENV CUDA_HOME /usr/local/cuda PATH_SUFFIXES bin)
  if(NOT ATOM_NVCC)
    message(FATAL_ERROR "ATOM_GPU=cuda: nvcc is not on the PATH, nor in CUDA_PATH, nor in /usr/local/cuda; install CUDA 12.4 or "
                        "newer, or pass -DATOM_NVCC=/path/to/nvcc, or leave ATOM_GPU off")
  endif()
  cmake_path(GET ATOM_NVCC PARENT_PATH cuda_bin)
  cmake_path(GET cuda_bin PARENT_PATH cuda_root)
  set(ATOM_GPU_COMPILE ${ATOM_NVCC} -x cu -ccbin ${CMAKE_CXX_COMPILER} --expt-relaxed-constexpr -Xcompiler -fPIC)
  foreach(arch ${ATOM_GPU_ARCH})
    list(APPEND ATOM_GPU_COMPILE -gencode=arch=compute_${arch},code=sm_${arch})
  endforeach()
  find_path(ATOM_GPU_INCLUDE cuda_runtime_api.h HINTS ${cuda_root}/include REQUIRED)
  find_library(ATOM_GPU_RUNTIME cudart_static HINTS ${cuda_root}/lib64 ${cuda_root}/lib REQUIRED)
elseif(ATOM_GPU STREQUAL hip)
  set(ATOM_GPU_ARCH gfx90a CACHE STRING "Chips to compile for, e.g. gfx90a;gfx942;gfx950")
  find_path(ATOM_GPU_INCLUDE hip/hip_runtime_api.h HINTS ENV ROCM_PATH /opt/rocm PATH_SUFFIXES include)
  find_library(ATOM_GPU_RUNTIME amdhip64 HINTS ENV ROCM_PATH /opt/rocm PATH_SUFFIXES lib lib64)
  if(NOT ATOM_GPU_INCLUDE OR NOT ATOM_GPU_RUNTIME)
    message(FATAL_ERROR "ATOM_GPU=hip: needs hip/hip_runtime_api.h (${ATOM_GPU_INCLUDE}) and libamdhip64 (${ATOM_GPU_RUNTIME}); "
                        "install libamdhip64-dev, or set ROCM_PATH, or leave ATOM_GPU off")
  endif()
  # Of the compilers that are here, the first that makes an object for all chips: one may know too few, or lack its lld or bundler.
  set(flags -x hip -nogpuinc -nogpulib -fPIC -D__HIP_PLATFORM_AMD__ -idirafter ${ATOM_GPU_INCLUDE} -Wno-pass-failed)  # clang 15's
  list(TRANSFORM ATOM_GPU_ARCH PREPEND --offload-arch= OUTPUT_VARIABLE chips)
  set(probe ${CMAKE_BINARY_DIR}/CMakeFiles/probe.hip)
  file(CONFIGURE OUTPUT ${probe} CONTENT [[
#if !defined(__HIP_DEVICE_COMPILE__)
#include <hip/hip_runtime_api.h>
#endif
__attribute__((global)) void probe(int* p) { *p = 1; }
]])
  set(ATOM_HIPCC "" CACHE STRING "Compiler of device kernels; empty: the first that makes objects for all chips")
  set(candidates ${ATOM_HIPCC})
  if(NOT candidates)
    set(candidates hipcc amdclang++ clang++ clang++-22 clang++-19 clang++-15)
  endif()
  set(refusals)
  foreach(name ${candidates})
    find_program(compiler ${name} HINTS ENV ROCM_PATH /opt/rocm PATH_SUFFIXES bin NO_CACHE)
    if(compiler)
      set(command ${compiler} ${flags} ${chips})
      if(NOT name MATCHES "hipcc|amdclang")  # those come with their runtime; what others make by default is too new for some
        list(APPEND command -mcode-object-version=5)
      endif()
      execute_process(COMMAND ${command} -c ${probe} -o ${probe}.o RESULT_VARIABLE failed OUTPUT_QUIET ERROR_VARIABLE said)
      if(NOT failed)
        set(ATOM_GPU_COMPILE ${command})
        break()
      endif()
      string(STRIP "${said}" said)
      string(APPEND refusals "\n${compiler}: ${said}")
      unset(compiler)
    endif()
  endforeach()
  if(NOT ATOM_GPU_COMPILE)
    message(FATAL_ERROR "ATOM_GPU=hip: no compiler here makes objects for ${ATOM_GPU_ARCH}; install hipcc (gfx90a), or clang-22, lld-22 "
                        "and clang-tools-22 (gfx90a;gfx942;gfx950), or name one with -DATOM_HIPCC, or other chips with "
                        "-DATOM_GPU_ARCH, or leave ATOM_GPU off${refusals}")
  endif()
  message(STATUS "ATOM_GPU=hip: kernels for ${ATOM_GPU_ARCH} by ${compiler}")
endif()

# atom_gpu_objects(out file...): compiles kernel sources for the device; `out` receives their objects.
function(atom_gpu_objects out)
  foreach(file ${ARGN})
    get_filename_component(name ${file} NAME_WE)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.${ATOM_GPU}.o)
    add_custom_command(OUTPUT ${object}
      COMMAND ${ATOM_GPU_COMPILE} -std=c++20 -O3 -I${PROJECT_SOURCE_DIR}/include -MD -MF ${object}.d -c ${file} -o ${object}
      DEPENDS ${file} DEPFILE ${object}.d VERBATIM COMMENT "Compiling ${name} for ${ATOM_GPU_ARCH}")
    list(APPEND objects ${object})
  endforeach()
  set(${out} ${objects} PARENT_SCOPE)
endfunction()
