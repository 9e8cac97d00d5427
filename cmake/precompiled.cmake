# SPDX-License-Identifier: Apache-2.0
# Precompiled standard and third-party headers. `make lint` reads what changed without them, so that each file still proves its
# own includes.
option(TOKAMAK_PCH "Precompile the headers that most sources include" ON)

set(library_headers <algorithm> <array> <cmath> <filesystem> <functional> <map> <memory> <optional> <span> <string> <vector>
                    <fmt/format.h> <fmt/ranges.h> <nlohmann/json.hpp>)

# An executable compiles with other flags (PIE) than a library, so each kind has headers of its own.
if(TOKAMAK_PCH)
  file(WRITE ${CMAKE_BINARY_DIR}/precompiled.cpp "int main() {}\n")
  add_library(tokamak_library_headers OBJECT ${CMAKE_BINARY_DIR}/precompiled.cpp)
  target_link_libraries(tokamak_library_headers PRIVATE fmt::fmt spdlog::spdlog nlohmann_json::nlohmann_json)
  target_precompile_headers(tokamak_library_headers PRIVATE ${library_headers})
  if(TOKAMAK_TESTS)
    add_executable(tokamak_test_headers ${CMAKE_BINARY_DIR}/precompiled.cpp)
    target_link_libraries(tokamak_test_headers PRIVATE fmt::fmt spdlog::spdlog nlohmann_json::nlohmann_json GTest::gmock GTest::gtest)
    target_compile_options(tokamak_test_headers PRIVATE ${TOKAMAK_TEST_OPTIONS})
    target_precompile_headers(tokamak_test_headers PRIVATE ${library_headers} <gmock/gmock.h> <gtest/gtest.h>)
  endif()
endif()

# tokamak_precompiled(<target> library|test): compiles the target with the headers above.
function(tokamak_precompiled target kind)
  if(TOKAMAK_PCH)
    target_precompile_headers(${target} REUSE_FROM tokamak_${kind}_headers)
  endif()
endfunction()
