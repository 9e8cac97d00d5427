// SPDX-License-Identifier: Apache-2.0
#include "tokamak/base/json.h"

#include "tokamak/base/json_builder.h"

template class nlohmann::basic_json<nlohmann::ordered_map>;
template nlohmann::json nlohmann::json::parse<const char*>(
    const char*, const char*, nlohmann::json::parser_callback_t, bool, bool);

namespace tokamak::base {
namespace {

Error wrong_type(std::string_view key, std::string_view expected, const Json& found) {
  std::string shown = found.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (shown.size() > 80) shown = shown.substr(0, 77) + "...";
  return invalid(
      fmt::format("'{}' must be {}, but is {} ({})", key, expected, type_name(found), shown));
}

Error missing(std::string_view key) {
  return invalid(fmt::format("'{}' is missing", key));
}

}  // namespace

std::string type_name(const Json& value) {
  return value.type_name();
}

Result<Json> parse_json(std::string_view text, std::string_view what, int max_depth) {
  JsonBuilder builder({.max_depth = max_depth});
  if (Json::sax_parse(text, &builder)) return std::move(builder.value());
  const JsonFault& fault = builder.fault();
  switch (fault.kind) {
    case JsonFault::Kind::kDepth:
      return corrupt(fmt::format("{}: JSON is nested more than {} deep", what, max_depth));
    case JsonFault::Kind::kSyntax:
    case JsonFault::Kind::kEncoding:
      return corrupt(
          fmt::format("{}: not valid JSON at byte {}: {}", what, fault.byte, fault.detail));
    default:
      return corrupt(fmt::format("{}: not valid JSON: {}", what, fault.detail));
  }
}

const Json* find(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  auto it = object.find(std::string(key));
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

Result<int64_t> get_int(const Json& object, std::string_view key, std::optional<int64_t> fallback) {
  const Json* value = find(object, key);
  if (!value) return fallback ? Result<int64_t>(*fallback) : missing(key);
  if (value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    return wrong_type(key, "an integer of 64 bits", *value);
  }
  if (value->is_number_integer()) return value->get<int64_t>();
  if (value->is_number_float()) {
    double number = value->get<double>();
    if (std::abs(number) < 9e15 && number == static_cast<double>(static_cast<int64_t>(number))) {
      return static_cast<int64_t>(number);
    }
  }
  return wrong_type(key, "an integer", *value);
}

Result<double> get_number(const Json& object,
                          std::string_view key,
                          std::optional<double> fallback) {
  const Json* value = find(object, key);
  if (!value) return fallback ? Result<double>(*fallback) : missing(key);
  if (!value->is_number()) return wrong_type(key, "a number", *value);
  return value->get<double>();
}

Result<bool> get_bool(const Json& object, std::string_view key, std::optional<bool> fallback) {
  const Json* value = find(object, key);
  if (!value) return fallback ? Result<bool>(*fallback) : missing(key);
  if (!value->is_boolean()) return wrong_type(key, "true or false", *value);
  return value->get<bool>();
}

Result<std::string> get_string(const Json& object,
                               std::string_view key,
                               std::optional<std::string> fallback) {
  const Json* value = find(object, key);
  if (!value) return fallback ? Result<std::string>(*fallback) : missing(key);
  if (!value->is_string()) return wrong_type(key, "a string", *value);
  return value->get<std::string>();
}

Result<std::vector<int64_t>> get_ints(const Json& object, std::string_view key) {
  const Json* value = find(object, key);
  if (!value) return missing(key);
  if (!value->is_array()) return wrong_type(key, "a list of integers", *value);
  std::vector<int64_t> out;
  for (const Json& element : *value) {
    if (!element.is_number_integer()) return wrong_type(key, "a list of integers", *value);
    out.push_back(element.get<int64_t>());
  }
  return out;
}

Result<std::vector<double>> get_numbers(const Json& object, std::string_view key) {
  const Json* value = find(object, key);
  if (!value) return missing(key);
  if (!value->is_array()) return wrong_type(key, "a list of numbers", *value);
  std::vector<double> out;
  for (const Json& element : *value) {
    if (!element.is_number()) return wrong_type(key, "a list of numbers", *value);
    out.push_back(element.get<double>());
  }
  return out;
}

}  // namespace tokamak::base
