// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace tokamak::server {

/// index.html, as it was when the program was built.
std::string_view page_html();

}  // namespace tokamak::server
