// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/component.h"

#include <cmath>

#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

template <typename T>
Result<T> in_place(Result<T> value, const std::string& where) {
  if (value.ok()) return value;
  return base::corrupt(fmt::format("{}: {}", where, value.error().message));
}

/// Objects that name a type, as components of any depth do. Parsed JSON is nested 64 deep at most.
int64_t count_components(const Json& json) {
  int64_t count = base::find(json, "type") != nullptr;
  if (!json.is_structured()) return count;
  for (const Json& child : json) count += count_components(child);
  return count;
}

}  // namespace

Result<Component> Component::open_section(const Json& json, std::string where) {
  if (int64_t count = count_components(json); count > kMostComponents) {
    return base::corrupt(
        fmt::format("{} has {} components, the limit is {}", where, count, kMostComponents));
  }
  return open(json, std::move(where));
}

Result<Component> Component::open(const Json& json, std::string where) {
  Component component;
  component.json_ = &json;
  component.where_ = std::move(where);
  if (!json.is_object()) {
    return base::corrupt(
        fmt::format("{} must be an object, but is {}", component.where_, base::type_name(json)));
  }
  TKM_ASSIGN(component.type_, component.get_string("type"));
  return component;
}

Result<bool> Component::get_bool(std::string_view key, std::optional<bool> fallback) const {
  return in_place(base::get_bool(*json_, key, fallback), where_);
}

Result<int64_t> Component::get_int(std::string_view key, std::optional<int64_t> fallback) const {
  return in_place(get_integer(*json_, key, fallback), where_);
}

Result<std::string> Component::get_string(std::string_view key,
                                          std::optional<std::string> fallback) const {
  return in_place(base::get_string(*json_, key, std::move(fallback)), where_);
}

Result<char32_t> Component::get_character(std::string_view key) const {
  TKM_ASSIGN(std::string text, get_string(key));
  if (text.empty()) return corrupt(key, "must be one character, but is empty");
  CodePoint c = decode_utf8(text.data());
  if (c.size != text.size()) {
    return corrupt(key, fmt::format("must be one character, but is '{}'", text));
  }
  return c.value;
}

Result<std::vector<Component>> Component::get_components(std::string_view key) const {
  const Json* list = find(key);
  if (!list || !list->is_array()) return corrupt(key, "must be a list");
  std::vector<Component> components;
  for (size_t i = 0; i < list->size(); ++i) {
    TKM_ASSIGN(Component component, open((*list)[i], fmt::format("{}.{}[{}]", where_, key, i)));
    components.push_back(std::move(component));
  }
  return components;
}

Error Component::corrupt(std::string_view key, std::string_view what) const {
  return base::corrupt(fmt::format("{}.{} {}", where_, key, what));
}

Error Component::unsupported_type(std::string_view kind) const {
  return base::unsupported(fmt::format("{}: {} '{}' is not supported", where_, kind, type_));
}

Result<int64_t> get_integer(const Json& object,
                            std::string_view key,
                            std::optional<int64_t> fallback) {
  const Json* value = base::find(object, key);
  if (value && value->is_number_float() && std::abs(value->get<double>()) > 9e15) {
    return base::invalid(fmt::format("'{}' does not fit 64 bits", key));
  }
  return base::get_int(object, key, fallback);
}

Result<PatternText> get_pattern(const Component& component) {
  const Json* pattern = component.find("pattern");
  if (pattern && pattern->is_object() && pattern->size() == 1) {
    for (bool is_regex : {false, true}) {
      const Json* text = base::find(*pattern, is_regex ? "Regex" : "String");
      if (text && text->is_string()) return PatternText{text->get<std::string>(), is_regex};
    }
  }
  return component.corrupt("pattern", "must be {\"String\": …} or {\"Regex\": …}");
}

std::optional<std::string> decode_base64(std::string_view text) {
  auto value_of = [](char c) -> int {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
  };
  std::string out;
  out.reserve(text.size() / 4 * 3);
  size_t end = text.size();
  while (end > 0 && text[end - 1] == '=' && text.size() - end < 2) --end;
  uint32_t bits = 0;
  int count = 0;
  for (size_t i = 0; i < end; ++i) {
    int value = value_of(text[i]);
    if (value < 0) return {};
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>(bits >> count & 0xff));
    }
  }
  if (count >= 6) return {};
  return out;
}

}  // namespace tokamak::text
