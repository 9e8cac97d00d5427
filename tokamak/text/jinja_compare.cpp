// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_compare.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "tokamak/text/jinja_string.h"

namespace tokamak::text::jinja {
namespace {

bool same_text(Heap& heap, const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return false;
  heap.step_bytes(a.size());
  return a == b;
}

bool equal_items(Heap& heap, const std::vector<Value>& a, const std::vector<Value>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](const Value& x, const Value& y) {
    return equals(heap, x, y);
  });
}

bool equal_dicts(Heap& heap, const Dict& a, const Dict& b) {
  if (a.entries().size() != b.entries().size()) return false;
  for (const auto& [key, value] : a.entries()) {
    const Value* other = b.find(heap, key);
    if (!other || !equals(heap, value, *other)) return false;
  }
  return true;
}

bool equal_objects(Heap& heap, const Value& a, const Value& b) {
  if (a.shared() == b.shared()) return true;
  if (auto* x = a.as<NamespaceHandle>(), *y = b.as<NamespaceHandle>(); x && y) {
    return &x->target() == &y->target();
  }
  if (a.as<Range>() && b.as<Range>()) {
    return equal_items(heap, collect(heap, a), collect(heap, b));
  }
  auto *x = a.as<DictView>(), *y = b.as<DictView>();
  if (!x || !y || x->part() == DictPart::kValues || x->part() != y->part()) return false;
  if (x->part() == DictPart::kItems) return equal_dicts(heap, x->dict().dict(), y->dict().dict());
  if (x->length() != y->length()) return false;
  for (const auto& [key, value] : x->dict().dict().entries()) {
    if (!y->dict().dict().find(heap, key)) return false;
  }
  return true;
}

Order order_of(bool less, bool equal, bool greater) {
  return less ? Order::kLess : equal ? Order::kEqual : greater ? Order::kGreater : Order::kNone;
}

}  // namespace

bool truth(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kWideInt:
      return value.as_integer() != 0;
    case Kind::kFloat:
      return value.as_float() != 0;
    case Kind::kString:
      return !value.text().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.items().empty();
    case Kind::kDict:
      return !value.dict().entries().empty();
    case Kind::kObject:
      return value.object().length().value_or(1) != 0;
  }
  return false;
}

bool equals(Heap& heap, const Value& a, const Value& b) {
  heap.step();
  if (a.is_number() && b.is_number()) return a.as_number() == b.as_number();
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kString:
      return same_text(heap, a.text(), b.text());
    case Kind::kList:
    case Kind::kTuple:
      return equal_items(heap, a.items(), b.items());
    case Kind::kDict:
      return equal_dicts(heap, a.dict(), b.dict());
    case Kind::kObject:
      return equal_objects(heap, a, b);
    default:
      return true;  // None, undefined.
  }
}

Order order(Heap& heap, const Value& a, const Value& b, std::string_view sign) {
  heap.step();
  if (a.is_undefined()) fail("{}", a.undefined_reason());
  if (b.is_undefined()) fail("{}", b.undefined_reason());
  if (a.is_number() && b.is_number()) {
    long double x = a.as_number(), y = b.as_number();
    return order_of(x<y, x == y, x> y);
  }
  if (a.is_string() && b.is_string()) {
    heap.step_bytes(std::min(a.text().size(), b.text().size()));
    int sign_of = a.text().compare(b.text());  // UTF-8 sorts like its code points.
    return order_of(sign_of < 0, sign_of == 0, true);
  }
  if (a.is_sequence() && a.kind() == b.kind()) {
    const auto &x = a.items(), &y = b.items();
    for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
      if (!equals(heap, x[i], y[i])) return order(heap, x[i], y[i], sign);
    }
    return order_of(x.size() < y.size(), x.size() == y.size(), true);
  }
  fail("'{}' not supported between {} and {}", sign, a.type_name(), b.type_name());
}

size_t hash_text(std::string_view text) {
  return std::hash<std::string_view>{}(text);
}

size_t hash_value(Heap& heap, const Value& value) {
  heap.step();
  switch (value.kind()) {
    case Kind::kString:
      heap.step_bytes(value.text().size());
      return hash_text(value.text());
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kWideInt:
    case Kind::kFloat:  // 1, 1.0 and True are one key.
      return std::hash<double>{}(static_cast<double>(value.as_number()));
    case Kind::kTuple: {
      size_t hash = value.items().size();
      for (const Value& item : value.items()) hash = hash * 1000003 ^ hash_value(heap, item);
      return hash;
    }
    case Kind::kList:
    case Kind::kDict:
      fail("unhashable type: {}", value.type_name());
    case Kind::kObject:
      if (auto* handle = value.as<NamespaceHandle>()) {
        return std::hash<const void*>{}(&handle->target());
      }
      if (value.as<Range>()) return static_cast<size_t>(*value.object().length());
      if (value.as<DictView>()) fail("unhashable type: {}", value.type_name());
      return std::hash<const void*>{}(value.shared());
    default:
      return static_cast<size_t>(value.kind());
  }
}

bool contains(Heap& heap, const Value& container, const Value& item) {
  if (container.is_string()) {
    if (!item.is_string()) {
      fail("'in <string>' requires a string on its left, not {}", item.type_name());
    }
    heap.step_bytes(container.text().size() + item.text().size());
    return find_text(container.text(), item.text()) != std::string::npos;
  }
  if (container.is_dict()) return container.dict().find(heap, item) != nullptr;
  auto* view = container.as<DictView>();
  if (view && view->part() == DictPart::kKeys) {
    return view->dict().dict().find(heap, item) != nullptr;
  }
  auto same = [&](const Value& x) { return x.shared() == item.shared() && is_same(x, item); };
  auto iterator = iterate(heap, container);
  for (Value element; iterator->next(element);) {
    if (same(element) || equals(heap, element, item)) return true;
  }
  return false;
}

bool is_same(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kWideInt:
      return a.as_integer() == b.as_integer();
    case Kind::kFloat:
      return a.as_float() == b.as_float();
    case Kind::kString:
      return a.text() == b.text();
    case Kind::kObject:
      if (auto* x = a.as<NamespaceHandle>(), *y = b.as<NamespaceHandle>(); x && y) {
        return &x->target() == &y->target();
      }
      return a.shared() == b.shared();
    default:
      return a.shared() == b.shared();
  }
}

void sort_values(Heap& heap, std::vector<std::pair<Value, Value>>& keys_and_values, bool reversed) {
  std::stable_sort(
      keys_and_values.begin(), keys_and_values.end(), [&](const auto& a, const auto& b) {
        return reversed ? order(heap, b.first, a.first) == Order::kLess
                        : order(heap, a.first, b.first) == Order::kLess;
      });
}

}  // namespace tokamak::text::jinja
