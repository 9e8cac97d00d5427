// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/version.h"

#include <fmt/format.h>

namespace tokamak::cli {

std::string version_text() {
  return fmt::format("tokamak {} (commit {})", TOKAMAK_VERSION, commit());
}

}  // namespace tokamak::cli
