# Installs the build tree into a folder of its own, then configures, builds and runs the consumer against that.
set(work ${BUILD}/tests/install)
file(REMOVE_RECURSE ${work})
set(flags)
if(SANITIZE)
  set(flags -DCMAKE_CXX_FLAGS=-fsanitize=${SANITIZE})
endif()

function(step)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\n${output}")
  endif()
endfunction()

step(${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/prefix --config ${CONFIG})
step(${CMAKE_COMMAND} -G Ninja -S ${CMAKE_CURRENT_LIST_DIR} -B ${work}/build -DCMAKE_PREFIX_PATH=${work}/prefix
     -DCMAKE_BUILD_TYPE=${CONFIG} -DCMAKE_CXX_COMPILER=${COMPILER} -DMODEL=${MODEL} ${flags})
step(${CMAKE_COMMAND} --build ${work}/build)
step(${work}/build/headers)
step(${work}/build/engine ${MODEL})

if(TOOLS)
  set(atom ${work}/build/atom-tiny)  # the user's own, from atom_add_model
  step(${atom} inspect --model ${MODEL})
  step(${atom} logits --model ${MODEL} --input ${MODEL}/golden.safetensors --output ${work}/added.safetensors)
  set(ENV{XDG_CACHE_HOME} ${work}/cache)
  set(ENV{CXX} ${COMPILER})
  step(${work}/prefix/bin/atom build --model ${MODEL} --output "${work}/atom built")
  step("${work}/atom built" logits --model ${MODEL} --input ${MODEL}/golden.safetensors --output ${work}/built.safetensors)
  step(${CMAKE_COMMAND} -E compare_files ${work}/added.safetensors ${work}/built.safetensors)
endif()
