// SPDX-License-Identifier: Apache-2.0
// JSON from outside, read without exceptions: every access names the key, what was found and what
// was expected.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "tokamak/base/json_fwd.h"
#include "tokamak/base/result.h"

// Compiled once, in json.cpp. The second is what the literals of the library call, which we do not.
extern template class nlohmann::basic_json<nlohmann::ordered_map>;
extern template nlohmann::json nlohmann::json::parse<const char*>(
    const char*, const char*, nlohmann::json::parser_callback_t, bool, bool);

namespace tokamak::base {

/// Parses UTF-8 JSON. `what` names the source in errors ("config.json"). Refuses nesting deeper
/// than `max_depth`. Errors: corrupt, with the byte offset.
Result<Json> parse_json(std::string_view text, std::string_view what, int max_depth = 64);

/// The member `key` of `object`, or null if it is absent or null.
const Json* find(const Json& object, std::string_view key);

/// Typed members. Without a default a missing (or null) key is an error; a value of another type
/// always is.
Result<int64_t> get_int(const Json& object,
                        std::string_view key,
                        std::optional<int64_t> fallback = {});
Result<double> get_number(const Json& object,
                          std::string_view key,
                          std::optional<double> fallback = {});
Result<bool> get_bool(const Json& object, std::string_view key, std::optional<bool> fallback = {});
Result<std::string> get_string(const Json& object,
                               std::string_view key,
                               std::optional<std::string> fallback = {});
Result<std::vector<int64_t>> get_ints(const Json& object, std::string_view key);
Result<std::vector<double>> get_numbers(const Json& object, std::string_view key);

/// The name of a JSON value's type, for messages: "number", "string", …
std::string type_name(const Json& value);

}  // namespace tokamak::base
