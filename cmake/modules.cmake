# SPDX-License-Identifier: Apache-2.0
# A module is a folder of tokamak/: its sources are globbed; x_test.cpp go into <module>_test, x_bench.cpp into <module>_bench,
# x_slow_test.cpp and x_gpu_test.cpp into programs of their own with that label.

function(tokamak_globs folder sources tests benches)
  file(GLOB_RECURSE all CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tokamak/${folder}/*.cpp)
  set(test_files ${all})
  set(bench_files ${all})
  list(FILTER test_files INCLUDE REGEX "_test\\.cpp$")
  list(FILTER bench_files INCLUDE REGEX "_bench\\.cpp$")
  list(FILTER all EXCLUDE REGEX "_(test|bench|fuzz)\\.cpp$")
  set(${sources} ${all} PARENT_SCOPE)
  set(${tests} ${test_files} PARENT_SCOPE)
  set(${benches} ${bench_files} PARENT_SCOPE)
endfunction()

# The test program <name>_test, registered under its label; as <name>_1, <name>_2, … if <name>_SHARDS says that several share its
# cases.
function(tokamak_test_program name sources label)
  if(NOT sources)
    return()
  endif()
  add_executable(${name}_test ${sources})
  target_compile_options(${name}_test PRIVATE ${TOKAMAK_TEST_OPTIONS})
  tokamak_precompiled(${name}_test test)
  target_link_libraries(${name}_test PRIVATE ${ARGN} GTest::gmock GTest::gtest GTest::gtest_main)
  if(NOT ${name}_SHARDS)
    add_test(NAME ${name} COMMAND ${name}_test WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES LABELS "${label}")
    return()
  endif()
  foreach(shard RANGE 1 ${${name}_SHARDS})
    math(EXPR index "${shard} - 1")
    add_test(NAME ${name}_${shard} COMMAND ${name}_test WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name}_${shard} PROPERTIES LABELS "${label}"
      ENVIRONMENT "GTEST_TOTAL_SHARDS=${${name}_SHARDS};GTEST_SHARD_INDEX=${index}")
  endforeach()
endfunction()

function(tokamak_test_programs name tests benches)
  if(TOKAMAK_TESTS)
    set(slow ${tests})
    set(gpu ${tests})
    list(FILTER slow INCLUDE REGEX "_slow_test\\.cpp$")
    list(FILTER gpu INCLUDE REGEX "_gpu_test\\.cpp$")
    list(FILTER tests EXCLUDE REGEX "_(slow|gpu)_test\\.cpp$")
    tokamak_test_program(${name} "${tests}" unit ${ARGN})
    # Sanitizers slow down what is slow already, and no GPU is at hand where they run.
    if(NOT TOKAMAK_SANITIZE)
      tokamak_test_program(${name}_slow "${slow}" slow ${ARGN})
      tokamak_test_program(${name}_gpu "${gpu}" gpu ${ARGN})
    endif()
  endif()
  if(TOKAMAK_BENCHES AND benches)
    add_executable(${name}_bench ${benches})
    target_link_libraries(${name}_bench PRIVATE ${ARGN} benchmark::benchmark benchmark::benchmark_main)
  endif()
endfunction()

function(tokamak_module name)
  cmake_parse_arguments(ARG "" "" "MODULES;LINK" ${ARGN})
  list(TRANSFORM ARG_MODULES PREPEND tokamak_)
  tokamak_globs(${name} sources tests benches)
  if(sources)
    add_library(tokamak_${name} STATIC ${sources})
    tokamak_precompiled(tokamak_${name} library)
    target_include_directories(tokamak_${name} PUBLIC ${CMAKE_SOURCE_DIR})
    target_link_libraries(tokamak_${name} PUBLIC ${ARG_MODULES} ${ARG_LINK})
  else()
    add_library(tokamak_${name} INTERFACE)
    target_include_directories(tokamak_${name} INTERFACE ${CMAKE_SOURCE_DIR})
    target_link_libraries(tokamak_${name} INTERFACE ${ARG_MODULES} ${ARG_LINK})
  endif()
  tokamak_test_programs(${name} "${tests}" "${benches}" tokamak_${name})
endfunction()

# The .cuh files under tokamak/<folder> become a table of strings in <target>.
function(tokamak_embed_sources target folder)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tokamak/${folder}/*.cuh)
  set(output ${CMAKE_BINARY_DIR}/generated/${target}_sources.cpp)
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DFOLDER=${CMAKE_SOURCE_DIR}/tokamak/${folder} -DOUTPUT=${output} -P
            ${CMAKE_SOURCE_DIR}/cmake/embed_sources.cmake
    DEPENDS ${files} ${CMAKE_SOURCE_DIR}/cmake/embed_sources.cmake
    VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()

# The text of tokamak/<path> becomes what <function> of <header> returns, in <target>.
function(tokamak_embed_file target path header namespace function)
  set(output ${CMAKE_BINARY_DIR}/generated/${target}_${function}.cpp)
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${CMAKE_SOURCE_DIR}/tokamak/${path} -DHEADER=${header} -DNAMESPACE=${namespace}
            -DFUNCTION=${function} -DOUTPUT=${output} -P ${CMAKE_SOURCE_DIR}/cmake/embed_file.cmake
    DEPENDS ${CMAKE_SOURCE_DIR}/tokamak/${path} ${CMAKE_SOURCE_DIR}/cmake/embed_file.cmake
    VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()

# The commit that is built becomes what <function> of <header> returns, in <target>; looked up by every build.
function(tokamak_embed_commit target header namespace function)
  set(output ${CMAKE_BINARY_DIR}/generated/${target}_${function}.cpp)
  add_custom_target(${target}_${function}
    COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DHEADER=${header} -DNAMESPACE=${namespace} -DFUNCTION=${function}
            -DOUTPUT=${output} -P ${CMAKE_SOURCE_DIR}/cmake/embed_commit.cmake
    BYPRODUCTS ${output}
    VERBATIM)
  target_sources(${target} PRIVATE ${output})
  add_dependencies(${target} ${target}_${function})
endfunction()

# A program from tokamak/<folder>; everything but its main.cpp is also linked into its tests.
function(tokamak_program name folder)
  cmake_parse_arguments(ARG "" "" "MODULES;LINK" ${ARGN})
  list(TRANSFORM ARG_MODULES PREPEND tokamak_)
  tokamak_globs(${folder} sources tests benches)
  if(NOT sources)
    return()
  endif()
  set(main_file ${sources})
  list(FILTER main_file INCLUDE REGEX "/main\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  add_library(tokamak_${folder} STATIC ${sources})
  tokamak_precompiled(tokamak_${folder} library)
  target_include_directories(tokamak_${folder} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(tokamak_${folder} PUBLIC ${ARG_MODULES} ${ARG_LINK})
  add_executable(${name} ${main_file})
  target_link_libraries(${name} PRIVATE tokamak_${folder})
  tokamak_test_programs(${folder} "${tests}" "${benches}" tokamak_${folder})
endfunction()
