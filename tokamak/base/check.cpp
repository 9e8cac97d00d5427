// SPDX-License-Identifier: Apache-2.0
#include "tokamak/base/check.h"

namespace tokamak::base {

void throw_check_failure(const char* condition,
                         const char* file,
                         int line,
                         const std::string& detail) {
  throw CheckFailure(fmt::format("check failed: {} ({}:{}): {}", condition, file, line, detail));
}

}  // namespace tokamak::base
