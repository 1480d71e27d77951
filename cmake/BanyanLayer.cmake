# banyan_layer(NAME DEPS...): src/NAME becomes the static library banyan_NAME, and its *_test.cc files
# the program NAME_test, compiled four files at once; each *_fuzz.cc is a libFuzzer program of its own (preset asan). A layer names the layers that it may include; scripts/check_layers.py holds the
# includes against the order in docs/design.md. With
# BANYAN_PRECOMPILED, base/precompiled.h is compiled once for all layers but those that say NO_PRECOMPILED
# and those with costly headers of their own, whose precompiled.h includes it; for the tests, it is with GoogleTest that of
# tests/precompiled.h. UNITY n compiles n files at once: a clean build of many small files takes half as long, a changed one a little longer.
#   banyan_layer(cache DEPS base tensor LIBS absl::flat_hash_map TEST_LIBS banyan_other COST 5)
function(banyan_precompiled target layer)
  if(NOT BANYAN_PRECOMPILED)
    return()
  endif()
  if(NOT EXISTS ${CMAKE_SOURCE_DIR}/src/${layer}/precompiled.h)
    set(layer base)
  endif()
  if(target STREQUAL banyan_${layer})
    target_precompile_headers(${target} PRIVATE ${CMAKE_SOURCE_DIR}/src/${layer}/precompiled.h)
  else()
    target_precompile_headers(${target} REUSE_FROM banyan_${layer})
  endif()
endfunction()

function(banyan_layer name)
  cmake_parse_arguments(ARG "NO_PRECOMPILED" "COST;UNITY" "DEPS;LIBS;TEST_LIBS;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_(test|fuzz|bench)\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  foreach(pattern ${ARG_EXCLUDE})
    list(FILTER sources EXCLUDE REGEX "${pattern}")
  endforeach()

  list(TRANSFORM ARG_DEPS PREPEND banyan_ OUTPUT_VARIABLE deps)
  if(sources)
    add_library(banyan_${name} STATIC ${sources})
    set(scope PUBLIC)
  else()
    add_library(banyan_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(banyan_${name} ${scope} ${CMAKE_SOURCE_DIR}/src ${CMAKE_BINARY_DIR}/generated)
  target_link_libraries(banyan_${name} ${scope} ${deps} ${ARG_LIBS})
  if(sources AND NOT ARG_NO_PRECOMPILED)
    banyan_precompiled(banyan_${name} ${name})
  endif()
  if(ARG_UNITY)
    set_target_properties(banyan_${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${ARG_UNITY})
  endif()

  if(BANYAN_FUZZ)
    file(GLOB_RECURSE fuzzers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_fuzz.cc)
    foreach(fuzzer ${fuzzers})
      get_filename_component(stem ${fuzzer} NAME_WE)
      add_executable(${stem} ${fuzzer})
      set_target_properties(${stem} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
      target_link_libraries(${stem} PRIVATE banyan_${name})
      target_link_options(${stem} PRIVATE -fsanitize=fuzzer)
      add_dependencies(fuzzers ${stem})
    endforeach()
  endif()

  if(BANYAN_TESTS AND tests)
    if(NOT ARG_COST)
      set(ARG_COST 2)
    endif()
    add_executable(${name}_test ${tests})
    set_target_properties(${name}_test PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 4)
    target_link_libraries(${name}_test PRIVATE banyan_${name} ${ARG_TEST_LIBS} banyan_test_main)
    target_compile_definitions(${name}_test PRIVATE BANYAN_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    if(BANYAN_PRECOMPILED)
      target_precompile_headers(${name}_test REUSE_FROM banyan_test_main)
    endif()
    add_test(NAME ${name} COMMAND ${name}_test WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES LABELS "unit;${name}" COST ${ARG_COST})
    if(BANYAN_SANITIZE STREQUAL thread)
      set_tests_properties(${name} PROPERTIES ENVIRONMENT TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp)
    endif()
  endif()
endfunction()

# main() of the test programs, and what they have precompiled. Their own code is compiled quickly rather than well: what takes
# time in a test is a library's.
if(BANYAN_TESTS)
  add_library(banyan_test_main STATIC ${CMAKE_SOURCE_DIR}/tests/test_main.cc)
  target_link_libraries(banyan_test_main PUBLIC banyan_base GTest::gtest GTest::gmock)
  target_compile_options(banyan_test_main PUBLIC $<$<CONFIG:Release>:-O1>)
  if(BANYAN_PRECOMPILED)
    target_precompile_headers(banyan_test_main PRIVATE ${CMAKE_SOURCE_DIR}/tests/precompiled.h)
  endif()
endif()

# banyan_registrations(FOLDER OUT PREFIX ARG_TYPE): one Register<File>(ARG_TYPE&) per .cc file of FOLDER, called from
# a generated source, so that adding a file is all that registering takes. foo_bar.cc defines RegisterFooBar.
function(banyan_registrations folder output function_name arg_type header)
  file(GLOB files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cc)
  list(FILTER files EXCLUDE REGEX "_(test|fuzz|bench)\\.cc$")
  set(declarations "")
  set(calls "")
  foreach(file ${files})
    get_filename_component(stem ${file} NAME_WE)
    string(REPLACE "_" ";" words ${stem})
    set(pascal "")
    foreach(word ${words})
      string(SUBSTRING ${word} 0 1 head)
      string(SUBSTRING ${word} 1 -1 tail)
      string(TOUPPER ${head} head)
      string(APPEND pascal ${head}${tail})
    endforeach()
    string(APPEND declarations "void Register${pascal}(${arg_type}&);\n")
    string(APPEND calls "  Register${pascal}(registry);\n")
  endforeach()
  file(CONFIGURE OUTPUT ${output} CONTENT
"// Made by CMake from the files of src/${folder}.
#include \"${header}\"
namespace banyan {
${declarations}
void ${function_name}(${arg_type}& registry) {
${calls}}
}  // namespace banyan
")
endfunction()
