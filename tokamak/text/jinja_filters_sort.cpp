// SPDX-License-Identifier: Apache-2.0
// Filters that order, compare or group the items of a sequence.
#include "tokamak/text/jinja_compare.h"
#include "tokamak/text/jinja_filter_tables.h"
#include "tokamak/text/jinja_string.h"

namespace tokamak::text::jinja {
namespace {

using KeysAndValues = std::vector<std::pair<Value, Value>>;

Value fold(Interpreter& interpreter, const Value& key, bool is_case_sensitive) {
  return is_case_sensitive ? key : ignore_case(interpreter, key);
}

std::vector<Value> values_of(KeysAndValues& sorted) {
  std::vector<Value> values;
  for (auto& [key, value] : sorted) values.push_back(std::move(value));
  return values;
}

Value sort(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  auto bound = bind_arguments("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  Heap& heap = interpreter.heap();
  // "a,b.c" sorts by a, then by b.c.
  std::vector<AttributePath> paths;
  if (bound[2].is_string()) {
    for (std::string_view part : split(bound[2].text(), ",", -1, false)) {
      paths.emplace_back(interpreter, heap.string(std::string(part)));
    }
  } else {
    paths.emplace_back(interpreter, bound[2]);
  }
  KeysAndValues items;
  for_each(heap, value, [&](const Value& item) {
    std::vector<Value> keys;
    for (const auto& path : paths) {
      keys.push_back(fold(interpreter, path.get(item), truth(bound[1])));
    }
    items.emplace_back(heap.list(std::move(keys)), item);
    heap.check_items(static_cast<int64_t>(items.size()));
  });
  sort_values(heap, items, truth(bound[0]));
  return heap.list(values_of(items));
}

Value dict_sort(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  auto bound = bind_arguments("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  Heap& heap = interpreter.heap();
  std::string by = bound[1].is_string() ? bound[1].text() : bound[1].is_missing() ? "key" : "";
  if (by != "key" && by != "value") fail("dictsort: sorts by 'key' or 'value' only");
  if (value.is_undefined()) fail("{}", value.undefined_reason());
  if (!value.is_dict()) fail("dictsort: expected a mapping, found {}", value.type_name());
  KeysAndValues items;
  for (const auto& [key, element] : value.dict().entries()) {
    items.emplace_back(fold(interpreter, by == "key" ? key : element, truth(bound[0])),
                       heap.pair(key, element));
  }
  sort_values(heap, items, truth(bound[2]));
  return heap.list(values_of(items));
}

Value unique(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  auto bound = bind_arguments("unique", arguments, {"case_sensitive", "attribute"});
  auto seen = std::make_shared<Dict>();
  AttributePath path(interpreter, bound[1]);
  Heap& heap = interpreter.heap();
  auto open = [&heap, value] { return iterate(heap, value); };
  return make_generator(interpreter,
                        value.depth(),
                        open,
                        [=, &interpreter, is_case_sensitive = truth(bound[0])](Value& item) {
                          Value key = fold(interpreter, path.get(item), is_case_sensitive);
                          size_t before = seen->entries().size();
                          interpreter.heap().check_items(static_cast<int64_t>(before));
                          seen->set(interpreter.heap(), key, Value::none());
                          return seen->entries().size() > before;
                        });
}

Value extreme(Interpreter& interpreter,
              const Value& value,
              const Arguments& arguments,
              std::string_view sign,
              Order wanted) {
  auto bound = bind_arguments("min", arguments, {"case_sensitive", "attribute"});
  AttributePath path(interpreter, bound[1]);
  Value best, best_key;
  for_each(interpreter.heap(), value, [&](const Value& item) {
    Value key = fold(interpreter, path.get(item), truth(bound[0]));
    if (best.is_missing() || order(interpreter.heap(), key, best_key, sign) == wanted) {
      best = item;
      best_key = std::move(key);
    }
  });
  if (!best.is_missing()) return best;
  return Value::undefined_because("there is no such item, the sequence is empty");
}

Value minimum(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  return extreme(interpreter, value, arguments, "<", Order::kLess);
}

Value maximum(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  return extreme(interpreter, value, arguments, ">", Order::kGreater);
}

Value group_by(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  auto bound = bind_arguments("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  Heap& heap = interpreter.heap();
  AttributePath path(interpreter, bound[0]);
  KeysAndValues items;
  for_each(heap, value, [&](const Value& item) {
    Value key = fold(interpreter, path.get(item, bound[1]), truth(bound[2]));
    items.emplace_back(std::move(key), item);
  });
  sort_values(heap, items, false);
  std::vector<Value> groups;
  for (size_t begin = 0, end = 0; begin < items.size(); begin = end) {
    std::vector<Value> members;
    for (end = begin; end < items.size() && equals(heap, items[begin].first, items[end].first);
         ++end) {
      members.push_back(items[end].second);
    }
    if (members.empty()) {  // A key that does not equal itself: NaN.
      members.push_back(items[end++].second);
    }
    // The key as the first member has it, not in lower case.
    Value key = path.get(members[0], bound[1]);
    groups.push_back(heap.group(std::move(key), heap.list(std::move(members))));
  }
  return heap.list(std::move(groups));
}

constexpr Filter kFilters[] = {
    {"dictsort", dict_sort},
    {"groupby", group_by},
    {"max", maximum},
    {"min", minimum},
    {"sort", sort},
    {"unique", unique},
};

}  // namespace

std::span<const Filter> sort_filters() {
  return kFilters;
}

}  // namespace tokamak::text::jinja
