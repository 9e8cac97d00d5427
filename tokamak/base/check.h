// SPDX-License-Identifier: Apache-2.0
// TKM_CHECK: what must hold if our own code is right. A failure throws; only the step loop, a route
// handler, the CLI's main and the Python border catch it, so that it fails its owner and nobody
// else.
#pragma once

#include <stdexcept>
#include <string>

#include <fmt/format.h>

namespace tokamak::base {

class CheckFailure : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void throw_check_failure(const char* condition,
                                      const char* file,
                                      int line,
                                      const std::string& detail);

}  // namespace tokamak::base

/// TKM_CHECK(cond, "format", values…): throws CheckFailure with the condition, the place and the
/// formatted values.
#define TKM_CHECK(condition, ...)                                      \
  do {                                                                 \
    if (!(condition)) [[unlikely]]                                     \
      ::tokamak::base::throw_check_failure(                            \
          #condition, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
  } while (0)
