// SPDX-License-Identifier: Apache-2.0
// The JSON form of a struct that lists its fields (fields.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tokamak/base/fields.h"
#include "tokamak/base/json.h"

namespace tokamak::base {
namespace detail {

Json scalar_to_json(bool value);
Json scalar_to_json(int64_t value);
Json scalar_to_json(double value);
/// The shortest decimal that reads back as this float, so that files show 1e-06 and not its double
/// expansion.
Json scalar_to_json(float value);
Json scalar_to_json(std::string_view value);

template <typename T>
Json value_to_json(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return scalar_to_json(enum_name(value));
  } else if constexpr (std::is_same_v<T, std::string>) {
    return scalar_to_json(std::string_view(value));
  } else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    return scalar_to_json(static_cast<int64_t>(value));
  } else {
    return scalar_to_json(value);
  }
}
template <typename T>
Json value_to_json(const std::vector<T>& values) {
  Json list = Json::array();
  for (const T& value : values) list.push_back(value_to_json(value));
  return list;
}

Result<void> scalar_from_json(const Json& json, std::string_view key, bool& out);
/// An integer of at most `bits` bits, its sign among them.
Result<void> integer_from_json(const Json& json, std::string_view key, int bits, int64_t& out);
Result<void> scalar_from_json(const Json& json, std::string_view key, double& out);
Result<void> scalar_from_json(const Json& json, std::string_view key, std::string& out);
Result<void> require_list(const Json& json, std::string_view key);

template <typename T>
Result<void> value_from_json(const Json& json, std::string_view key, T& out) {
  if constexpr (std::is_enum_v<T>) {
    std::string name;
    TKM_RETURN_IF_ERROR(scalar_from_json(json, key, name));
    TKM_ASSIGN(out, enum_from_name<T>(name, key));
  } else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    int64_t wide = 0;
    TKM_RETURN_IF_ERROR(integer_from_json(json, key, static_cast<int>(sizeof(T) * 8), wide));
    out = static_cast<T>(wide);
  } else if constexpr (std::is_floating_point_v<T>) {
    double wide = 0;
    TKM_RETURN_IF_ERROR(scalar_from_json(json, key, wide));
    out = static_cast<T>(wide);
  } else {
    return scalar_from_json(json, key, out);
  }
  return {};
}
template <typename T>
Result<void> value_from_json(const Json& json, std::string_view key, std::vector<T>& out) {
  TKM_RETURN_IF_ERROR(require_list(json, key));
  out.resize(json.size());
  for (size_t i = 0; i < out.size(); ++i) {
    TKM_RETURN_IF_ERROR(value_from_json(json[i], key, out[i]));
  }
  return {};
}

void set_member(Json& object, std::string_view name, Json value);
/// Calls read(name, value) for each member of an object until it fails.
using ReadMember = Result<void> (*)(std::string_view name, const Json& value, void* out);
Result<void> read_members(const Json& object, ReadMember read, void* out);
Error unknown_attribute(std::string_view name);

}  // namespace detail

/// A JSON object of the fields that differ from a default-constructed T (all of them with `all`).
template <typename T>
Json fields_to_json(const T& value, bool all = false) {
  Json object = Json::object();
  const T fallback{};
  for_each_field<T>([&](const auto& field) {
    const auto& member = value.*field.member;
    if (all || !(member == fallback.*field.member)) {
      detail::set_member(object, field.name, detail::value_to_json(member));
    }
  });
  return object;
}

/// The T whose fields are in `object`; absent fields keep their defaults. Errors: invalid, for an
/// unknown key or a wrong type.
template <typename T>
Result<T> fields_from_json(const Json& object) {
  T out{};
  TKM_RETURN_IF_ERROR(detail::read_members(
      object,
      [](std::string_view name, const Json& json, void* target) -> Result<void> {
        Result<void> status = detail::unknown_attribute(name);
        for_each_field<T>([&](const auto& field) {
          if (field.name != name) return;
          status = detail::value_from_json(json, name, static_cast<T*>(target)->*field.member);
        });
        return status;
      },
      &out));
  return out;
}

}  // namespace tokamak::base
