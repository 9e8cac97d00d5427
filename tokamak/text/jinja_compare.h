// SPDX-License-Identifier: Apache-2.0
// Python's truth, equality, order, hash and membership.
#pragma once

#include <cstddef>
#include <string_view>

#include "tokamak/text/jinja_heap.h"

namespace tokamak::text::jinja {

bool truth(const Value& value);
bool equals(Heap& heap, const Value& a, const Value& b);
/// Negative, zero or positive, as a < b, a == b or a > b. `sign` is how the failure names it.
enum class Order { kLess, kEqual, kGreater, kNone };
/// kNone if neither holds (NaN). Fails on values that have no order; `sign` names the comparison.
Order order(Heap& heap, const Value& a, const Value& b, std::string_view sign = "<");
/// Fails on values that Python cannot hash.
size_t hash_value(Heap& heap, const Value& value);
size_t hash_text(std::string_view text);
/// `item in container`.
bool contains(Heap& heap, const Value& container, const Value& item);
/// Python's `is`, as far as it can be told: numbers and strings are the same if they are equal.
bool is_same(const Value& a, const Value& b);

/// Sorts like Python's sorted(): stable, also when reversed. `key(value)` is what is compared.
void sort_values(Heap& heap, std::vector<std::pair<Value, Value>>& keys_and_values, bool reversed);

}  // namespace tokamak::text::jinja
