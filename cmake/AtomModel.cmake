# atom_add_model(<name> CONFIG config.json [FAMILY Qwen3] [BACKEND Cpu|Ref] [QUANT none|int8] [ACT bf16|f32] [KV bf16|f32|int8|fp8]
#                [WEIGHTS bf16|f16|f32] [TP n] [EP 1|n])
# Adds the executable atom-<name>: every subcommand of `atom`, and one build, in which each dimension of config.json is a constant.
# WEIGHTS: the checkpoint's element type, where it is not what config.json says. docs/specialised_binaries.md
set(ATOM_MODEL_MAIN ${CMAKE_CURRENT_LIST_DIR}/model_main.cpp.in CACHE INTERNAL "main of a program for one model")

function(atom_add_model name)
  set(choices FAMILY BACKEND QUANT ACT KV WEIGHTS TP EP)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "CONFIG;${choices}" "")
  if(ARG_UNPARSED_ARGUMENTS OR ARG_KEYWORDS_MISSING_VALUES OR NOT ARG_CONFIG)
    message(FATAL_ERROR "atom_add_model(${name}): expected CONFIG config.json, and optionally ${choices} with a value each; "
                        "found: ${ARGN}")
  endif()
  if(NOT name MATCHES "^[A-Za-z][A-Za-z0-9_]*$")
    message(FATAL_ERROR "atom_add_model(${name}): the name becomes a C++ type; use letters, digits and _")
  endif()
  set(flags)
  foreach(choice ${choices})
    if(DEFINED ARG_${choice})
      string(TOLOWER --${choice} flag)
      list(APPEND flags ${flag} ${ARG_${choice}})
    endif()
  endforeach()

  get_filename_component(config ${ARG_CONFIG} ABSOLUTE)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/atom-${name}.dir)
  set(header ${folder}/builds/${name}.hpp)
  add_custom_command(OUTPUT ${header}
    COMMAND atom::spec_gen --name ${name} --config ${config} ${flags} --output ${header}
    DEPENDS atom::spec_gen ${config} COMMENT "Writing the build ${name}" VERBATIM)
  configure_file(${ATOM_MODEL_MAIN} ${folder}/main.cpp @ONLY)
  add_executable(atom-${name} ${folder}/main.cpp ${header})
  target_include_directories(atom-${name} PRIVATE ${folder})
  target_compile_options(atom-${name} PRIVATE -ffp-contract=off)  # as the library: sums are rounded the same everywhere
  target_link_libraries(atom-${name} PRIVATE atom::tools)
endfunction()
