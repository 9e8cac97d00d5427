// SPDX-License-Identifier: Apache-2.0
// Reads one component (a normalizer, a decoder, …) of a tokenizer.json.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/base/json.h"
#include "tokamak/base/result.h"

namespace tokamak::text {

inline constexpr int64_t kMostComponents = 64;

/// A JSON object with its place in the file; what is wrong in it becomes an error of that place.
class Component {
 public:
  /// Errors: corrupt (not an object, or no string "type").
  static Result<Component> open(const Json& json, std::string where);
  /// A whole section of the file. Errors: also corrupt (over kMostComponents in it, all depths
  /// together: a text goes through each, some of them as deep in the stack as they are many).
  static Result<Component> open_section(const Json& json, std::string where);

  const std::string& type() const { return type_; }
  const std::string& where() const { return where_; }
  const Json* find(std::string_view key) const { return base::find(*json_, key); }

  /// Errors: corrupt (absent without a fallback, or of another type).
  Result<bool> get_bool(std::string_view key, std::optional<bool> fallback = {}) const;
  Result<int64_t> get_int(std::string_view key, std::optional<int64_t> fallback = {}) const;
  Result<std::string> get_string(std::string_view key,
                                 std::optional<std::string> fallback = {}) const;
  /// A string of one character.
  Result<char32_t> get_character(std::string_view key) const;
  /// The components of the list `key`.
  Result<std::vector<Component>> get_components(std::string_view key) const;

  /// "<where>.<key> <what>".
  Error corrupt(std::string_view key, std::string_view what) const;
  /// "<kind> <type> is not supported".
  Error unsupported_type(std::string_view kind) const;

 private:
  const Json* json_ = nullptr;
  std::string where_, type_;
};

/// base::get_int, with floats beyond 64 bits refused.
Result<int64_t> get_integer(const Json& object,
                            std::string_view key,
                            std::optional<int64_t> fallback = {});

/// `pattern` of Split and Replace: {"String": …} or {"Regex": …}.
struct PatternText {
  std::string text;
  bool is_regex = false;
};
Result<PatternText> get_pattern(const Component& component);

/// The bytes of standard base64, padded or not; none if it is not.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace tokamak::text
