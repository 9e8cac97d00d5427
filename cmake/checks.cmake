# SPDX-License-Identifier: Apache-2.0
# Checks of the source tree itself, run with the tests.
if(TOKAMAK_TESTS)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  add_test(NAME layers COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/check_layers.py)
  add_test(NAME layers_self_test COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/check_layers_test.py)
endif()
