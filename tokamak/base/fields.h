// SPDX-License-Identifier: Apache-2.0
// Reflection for plain structs: a struct lists its members once, in `static constexpr auto kFields
// = std::tuple{Field{"eps", &T::eps}, …}`, and gets its text form, its JSON form, equality and a
// hash from that. Member types: bool, int, int64_t, float, double, std::string, enums with
// `enum_names(E)`, and vectors of numbers.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "tokamak/base/json.h"
#include "tokamak/base/result.h"

namespace tokamak::base {

template <typename Struct, typename Member>
struct Field {
  std::string_view name;
  Member Struct::*member;
  using Type = Member;
  constexpr Field(std::string_view n, Member Struct::*m) : name(n), member(m) {}
};

/// An enum takes part by `constexpr auto enum_names(E) { return std::array<std::string_view, N>{…};
/// }` beside it, in the order of its values.
template <typename E>
std::string_view enum_name(E value) {
  constexpr auto names = enum_names(E{});
  return names.at(static_cast<size_t>(value));
}
template <typename E>
Result<E> enum_from_name(std::string_view name, std::string_view what) {
  constexpr auto names = enum_names(E{});
  std::string known;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<E>(i);
    known += (i ? ", " : "") + std::string(names[i]);
  }
  return invalid(fmt::format("{} '{}' is not one of {}", what, name, known));
}

namespace detail {

template <typename T>
struct IsVector : std::false_type {};
template <typename T>
struct IsVector<std::vector<T>> : std::true_type {};

template <typename T>
Json value_to_json(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return std::string(enum_name(value));
  } else if constexpr (std::is_same_v<T, float>) {
    // The shortest decimal that reads back as this float, so that files show 1e-06 and not its
    // double expansion.
    double shortest = 0;
    std::string text = fmt::format("{}", value);
    std::from_chars(text.data(), text.data() + text.size(), shortest);
    return shortest;
  } else if constexpr (IsVector<T>::value) {
    Json list = Json::array();
    for (const auto& element : value) list.push_back(value_to_json(element));
    return list;
  } else {
    return value;
  }
}

template <typename T>
Result<T> value_from_json(const Json& json, std::string_view key) {
  auto expected = [&](std::string_view type) {
    return invalid(fmt::format("'{}' must be {}, but is {}", key, type, json.type_name()));
  };
  if constexpr (std::is_enum_v<T>) {
    if (!json.is_string()) return expected("a string");
    return enum_from_name<T>(json.get_ref<const std::string&>(), key);
  } else if constexpr (IsVector<T>::value) {
    if (!json.is_array()) return expected("a list");
    T list;
    for (const Json& element : json) {
      auto value = value_from_json<typename T::value_type>(element, key);
      if (!value.ok()) return value.error();
      list.push_back(*value);
    }
    return list;
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!json.is_boolean()) return expected("true or false");
    return json.get<bool>();
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!json.is_string()) return expected("a string");
    return json.get<std::string>();
  } else if constexpr (std::is_integral_v<T>) {
    if (!json.is_number_integer()) return expected("an integer");
    int64_t wide = json.get<int64_t>();
    if (static_cast<int64_t>(static_cast<T>(wide)) != wide) {
      return invalid(fmt::format("'{}' = {} does not fit {} bits", key, wide, sizeof(T) * 8));
    }
    return static_cast<T>(wide);
  } else {
    if (!json.is_number()) return expected("a number");
    return static_cast<T>(json.get<double>());
  }
}

}  // namespace detail

/// Calls visit(field) for each field of T in order.
template <typename T, typename Visit>
void for_each_field(Visit&& visit) {
  std::apply([&](const auto&... field) { (visit(field), ...); }, T::kFields);
}

/// A JSON object of the fields that differ from a default-constructed T (all of them with `all`).
template <typename T>
Json fields_to_json(const T& value, bool all = false) {
  Json object = Json::object();
  const T fallback{};
  for_each_field<T>([&](const auto& field) {
    if (all || !(value.*field.member == fallback.*field.member)) {
      object[std::string(field.name)] = detail::value_to_json(value.*field.member);
    }
  });
  return object;
}

/// The T whose fields are in `object`; absent fields keep their defaults. Errors: invalid, for an
/// unknown key or a wrong type.
template <typename T>
Result<T> fields_from_json(const Json& object) {
  T out{};
  if (!object.is_object())
    return invalid(fmt::format("expected an object, found {}", object.type_name()));
  for (const auto& [key, json] : object.items()) {
    bool known = false;
    Result<void> status;
    for_each_field<T>([&, &key = key, &json = json](const auto& field) {
      if (field.name != key) return;
      known = true;
      using Member = typename std::decay_t<decltype(field)>::Type;
      auto parsed = detail::value_from_json<Member>(json, key);
      if (parsed.ok())
        out.*field.member = std::move(*parsed);
      else
        status = parsed.error();
    });
    if (!status.ok()) return status.error();
    if (!known) return invalid(fmt::format("unknown attribute '{}'", key));
  }
  return out;
}

template <typename T>
bool fields_equal(const T& a, const T& b) {
  bool equal = true;
  for_each_field<T>(
      [&](const auto& field) { equal = equal && a.*field.member == b.*field.member; });
  return equal;
}

}  // namespace tokamak::base

namespace tokamak {
using base::Field;
}
