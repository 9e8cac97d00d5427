// SPDX-License-Identifier: Apache-2.0
// What every template can name: range, dict, namespace, cycler, joiner, raise_exception,
// strftime_now.
#pragma once

#include <string_view>

#include "tokamak/text/jinja_value.h"

namespace tokamak::text::jinja {

/// The global of that name, or missing.
Value find_global(std::string_view name);

}  // namespace tokamak::text::jinja
