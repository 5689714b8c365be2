# What every target of this project is compiled with.
add_library(atom_flags INTERFACE)
target_compile_options(atom_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wdouble-promotion -Wold-style-cast -Wimplicit-fallthrough -Wundef
  -ffile-prefix-map=${CMAKE_SOURCE_DIR}=. -ffp-contract=off
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>  # g++ 12 sees overlaps in std::string that cannot happen (GCC PR 105329)
  # g++ collects its garbage from 128 MB on; from 1 GB on, which few units reach, templates take a fifth less time.
  $<$<CXX_COMPILER_ID:GNU>:--param=ggc-min-heapsize=1000000>)
if(ATOM_SANITIZE)
  target_compile_options(atom_flags INTERFACE -fsanitize=${ATOM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(atom_flags INTERFACE -fsanitize=${ATOM_SANITIZE})
endif()

# atom_library(name SOURCES ... [LINK ...]): a static library of this project, exported as atom::name.
function(atom_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;PRIVATE_LINK" ${ARGN})
  add_library(atom_${name} STATIC ${ARG_SOURCES})
  add_library(atom::${name} ALIAS atom_${name})
  set_target_properties(atom_${name} PROPERTIES EXPORT_NAME ${name})
  target_link_libraries(atom_${name} PUBLIC atom ${ARG_LINK} PRIVATE $<BUILD_INTERFACE:atom_flags> ${ARG_PRIVATE_LINK})
endfunction()

# atom_isa_sources(level file...): compiles files of a library for one instruction-set level.
function(atom_isa_sources level)
  set(flags_avx2 -mavx2 -mfma -mf16c -mbmi2)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)  # vzeroupper also below -O2: without it all SSE code behind a kernel is several times slower
    list(APPEND flags_avx2 -fexpensive-optimizations)
  endif()
  set(flags_avx512 ${flags_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd -mprefer-vector-width=512)
  set(flags_avx512_bf16 ${flags_avx512} -mavx512bf16 -mavx512vnni)
  set(flags_amx ${flags_avx512_bf16} -mamx-tile -mamx-bf16 -mamx-int8)
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "${flags_${level}}")
endfunction()
