# SPDX-License-Identifier: Apache-2.0
# Checks of the source tree itself, run with the tests.
if(TOKAMAK_TESTS)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  add_test(NAME layers COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/check_layers.py)
  add_test(NAME http_clients
           COMMAND ${CMAKE_SOURCE_DIR}/scripts/http_clients.sh $<TARGET_FILE:tokamak>
           WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(http_clients PROPERTIES LABELS slow SKIP_RETURN_CODE 77)
  if(NOT TOKAMAK_SANITIZE)
    add_test(NAME guide COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/guide/guide_test.py)
    set_tests_properties(guide PROPERTIES ENVIRONMENT TOKAMAK=$<TARGET_FILE:tokamak> LABELS slow)
  endif()
  add_test(NAME layers_self_test COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/check_layers_test.py)
  add_test(NAME bench_peers COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/bench/peers/peers_test.py)
endif()
