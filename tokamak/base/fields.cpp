// SPDX-License-Identifier: Apache-2.0
#include "tokamak/base/fields.h"

#include <algorithm>

#include <fmt/ranges.h>

namespace tokamak::base {

Result<size_t> find_name(std::string_view name,
                         std::string_view what,
                         std::span<const std::string_view> names) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<size_t>(found - names.begin());
  return invalid(fmt::format("{} '{}' is not one of {}", what, name, fmt::join(names, ", ")));
}

}  // namespace tokamak::base
