// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace tokamak::cli {

/// The commit that was built, short, with "-dirty" if files differed from it; "unknown" where the
/// source was no git checkout.
std::string_view commit();

/// "tokamak 0.1.0 (commit 0123456789ab)"
std::string version_text();

}  // namespace tokamak::cli
