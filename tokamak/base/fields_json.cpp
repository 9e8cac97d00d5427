// SPDX-License-Identifier: Apache-2.0
#include "tokamak/base/fields_json.h"

#include <charconv>
#include <limits>

namespace tokamak::base::detail {
namespace {

Error expected(std::string_view key, std::string_view type, const Json& found) {
  return invalid(fmt::format("'{}' must be {}, but is {}", key, type, found.type_name()));
}

}  // namespace

Json scalar_to_json(bool value) {
  return value;
}
Json scalar_to_json(int64_t value) {
  return value;
}
Json scalar_to_json(double value) {
  return value;
}
Json scalar_to_json(float value) {
  double shortest = 0;
  const std::string text = fmt::format("{}", value);
  std::from_chars(text.data(), text.data() + text.size(), shortest);
  return shortest;
}
Json scalar_to_json(std::string_view value) {
  return value;
}

Result<void> scalar_from_json(const Json& json, std::string_view key, bool& out) {
  if (!json.is_boolean()) return expected(key, "true or false", json);
  out = json.get<bool>();
  return {};
}

Result<void> integer_from_json(const Json& json, std::string_view key, int bits, int64_t& out) {
  if (!json.is_number_integer()) return expected(key, "an integer", json);
  out = json.get<int64_t>();
  const int64_t most = std::numeric_limits<int64_t>::max() >> (64 - bits);
  const bool wraps = json.is_number_unsigned() && out < 0;
  if (wraps || out > most || out < -most - 1) {
    return invalid(fmt::format("'{}' = {} does not fit {} bits", key, json.dump(), bits));
  }
  return {};
}

Result<void> scalar_from_json(const Json& json, std::string_view key, double& out) {
  if (!json.is_number()) return expected(key, "a number", json);
  out = json.get<double>();
  return {};
}

Result<void> scalar_from_json(const Json& json, std::string_view key, std::string& out) {
  if (!json.is_string()) return expected(key, "a string", json);
  out = json.get_ref<const std::string&>();
  return {};
}

Result<void> require_list(const Json& json, std::string_view key) {
  if (!json.is_array()) return expected(key, "a list", json);
  return {};
}

void set_member(Json& object, std::string_view name, Json value) {
  object[std::string(name)] = std::move(value);
}

Result<void> read_members(const Json& object, ReadMember read, void* out) {
  if (!object.is_object()) {
    return invalid(fmt::format("expected an object, found {}", object.type_name()));
  }
  for (const auto& [name, value] : object.items()) TKM_RETURN_IF_ERROR(read(name, value, out));
  return {};
}

Error unknown_attribute(std::string_view name) {
  return invalid(fmt::format("unknown attribute '{}'", name));
}

}  // namespace tokamak::base::detail
