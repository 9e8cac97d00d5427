// SPDX-License-Identifier: Apache-2.0
// Server-sent events, and JSON strings for the path of every token.
#pragma once

#include <string>
#include <string_view>

namespace tokamak::server {

inline constexpr std::string_view kEventStream = "text/event-stream; charset=utf-8";
inline constexpr std::string_view kDone = "data: [DONE]\n\n";

/// Appends `data: {json}` and the empty line. `json` must be one line.
void append_event(std::string& out, std::string_view json);

/// Appends `text`, which is valid UTF-8, as a JSON string with its quotes.
void append_json_string(std::string& out, std::string_view text);

}  // namespace tokamak::server
