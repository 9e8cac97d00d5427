// SPDX-License-Identifier: Apache-2.0
// Reflection for plain structs: a struct lists its members once, in `static constexpr auto kFields
// = std::tuple{Field{"eps", &T::eps}, …}`, and gets equality from that, and its JSON form from
// fields_json.h. Member types: bool, int, int64_t, float, double, std::string, enums with
// `enum_names(E)`, and vectors of numbers.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

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
/// Errors: invalid, with the names that there are.
Result<size_t> find_name(std::string_view name,
                         std::string_view what,
                         std::span<const std::string_view> names);
template <typename E>
Result<E> enum_from_name(std::string_view name, std::string_view what) {
  static constexpr auto kNames = enum_names(E{});
  TKM_ASSIGN(size_t index, find_name(name, what, kNames));
  return static_cast<E>(index);
}

/// Calls visit(field) for each field of T in order.
template <typename T, typename Visit>
void for_each_field(Visit&& visit) {
  constexpr size_t kCount = std::tuple_size_v<std::remove_const_t<decltype(T::kFields)>>;
  const auto visit_all = [&]<size_t... i>(std::index_sequence<i...>) {
    (visit(std::get<i>(T::kFields)), ...);
  };
  visit_all(std::make_index_sequence<kCount>());
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
