# SPDX-License-Identifier: Apache-2.0
# Warnings, sanitizers, linker and compiler cache: the same for every module.
find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Without this ccache caches nothing that is compiled with a precompiled header.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
endif()

add_compile_options(-Wall -Wextra -Wno-missing-field-initializers -Wvla -Wnon-virtual-dtor -Wsign-compare)
option(TOKAMAK_WERROR "Warnings are errors" ON)
if(TOKAMAK_WERROR)
  add_compile_options(-Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports these inside its own standard library at -O2 and above.
  add_compile_options(-Wno-restrict -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-array-bounds -Wno-stringop-overread -Wno-dangling-pointer)
endif()

# Tests wait for what they test, which is optimised; matchers compile in two thirds of the time like this.
set(TOKAMAK_TEST_OPTIONS $<$<CONFIG:Release>:-O1>)

if(TOKAMAK_SANITIZE)
  add_compile_options(-fsanitize=${TOKAMAK_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TOKAMAK_SANITIZE})
endif()
if(TOKAMAK_SANITIZE MATCHES undefined)
  # AddressSanitizer reports the accesses themselves; unrolled kernels compile three times as fast without.
  add_compile_options(-fno-sanitize=null,pointer-overflow)
endif()
if(TOKAMAK_SANITIZE MATCHES thread)
  # ThreadSanitizer does not model fences, and GCC refuses them; Asio's locks order the same accesses.
  add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
endif()
if(TOKAMAK_FUZZ)
  # Coverage feedback in every module; libFuzzer itself is linked into the fuzz targets only.
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()
add_link_options(-Wl,--as-needed)

# A packed program (make dist) finds the libraries beside it; RPATH, unlike RUNPATH, also holds for what those libraries need.
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
set(CMAKE_INSTALL_RPATH "\$ORIGIN/../lib")
add_link_options(-Wl,--disable-new-dtags)
