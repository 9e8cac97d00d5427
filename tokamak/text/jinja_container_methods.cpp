// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "tokamak/text/jinja_compare.h"
#include "tokamak/text/jinja_interpreter.h"
#include "tokamak/text/jinja_methods.h"

namespace tokamak::text::jinja {
namespace {

Value view_of(Interpreter& interpreter,
              const Value& dict,
              const Arguments& arguments,
              DictPart part) {
  bind_arguments("items", arguments, {});
  return Value::of(interpreter.heap().make<DictView>(dict.depth() + 1, dict, part));
}

Value dict_keys(Interpreter& interpreter, const Value& dict, const Arguments& arguments) {
  return view_of(interpreter, dict, arguments, DictPart::kKeys);
}
Value dict_values(Interpreter& interpreter, const Value& dict, const Arguments& arguments) {
  return view_of(interpreter, dict, arguments, DictPart::kValues);
}
Value dict_items(Interpreter& interpreter, const Value& dict, const Arguments& arguments) {
  return view_of(interpreter, dict, arguments, DictPart::kItems);
}

Value dict_get(Interpreter& interpreter, const Value& dict, const Arguments& arguments) {
  if (!arguments.named.empty()) fail("get() takes no keyword arguments");
  auto bound = bind_arguments("get", arguments, {"key", "default"}, 1);
  if (const Value* found = dict.dict().find(interpreter.heap(), bound[0])) return *found;
  return bound[1].is_missing() ? Value::none() : bound[1];
}

Value copy(Interpreter&, const Value& value, const Arguments& arguments) {
  bind_arguments("copy", arguments, {});
  return value;  // Nobody can tell: values do not change.
}

Value sequence_count(Interpreter& interpreter, const Value& sequence, const Arguments& arguments) {
  Value wanted = bind_arguments("count", arguments, {"value"}, 1)[0];
  int64_t count = 0;
  for (const Value& item : sequence.items()) count += equals(interpreter.heap(), item, wanted);
  return Value::integer(count);
}

Value sequence_index(Interpreter& interpreter, const Value& sequence, const Arguments& arguments) {
  auto bound = bind_arguments("index", arguments, {"value", "start", "stop"}, 1);
  auto size = static_cast<int64_t>(sequence.items().size());
  auto position = [&](const Value& value, int64_t fallback) {
    if (value.is_missing()) return fallback;
    if (!value.is_integer()) fail("index() needs integers");
    int64_t at = value.as_integer();
    return std::clamp<int64_t>(at < 0 ? at + size : at, 0, size);
  };
  int64_t stop = position(bound[2], size);
  for (int64_t i = position(bound[1], 0); i < stop; ++i) {
    if (equals(interpreter.heap(), sequence.items()[static_cast<size_t>(i)], bound[0])) {
      return Value::integer(i);
    }
  }
  fail("index(): the value is not in the {}", sequence.type_name());
}

Value is_integer(Interpreter&, const Value& number, const Arguments& arguments) {
  bind_arguments("is_integer", arguments, {});
  return Value::boolean(std::floor(number.as_float()) == number.as_float() &&
                        std::isfinite(number.as_float()));
}

Value bit_length(Interpreter&, const Value& number, const Arguments& arguments) {
  bind_arguments("bit_length", arguments, {});
  auto magnitude = static_cast<uint64_t>(number.as_integer());
  if (!number.is(Kind::kWideInt) && number.as_integer() < 0) magnitude = ~magnitude + 1;
  return Value::integer(magnitude == 0 ? 0 : 64 - __builtin_clzll(magnitude));
}

constexpr Method kDictMethods[] = {
    {"copy", copy},
    {"get", dict_get},
    {"items", dict_items},
    {"keys", dict_keys},
    {"values", dict_values},
};
constexpr Method kListMethods[] = {
    {"copy", copy},
    {"count", sequence_count},
    {"index", sequence_index},
};
constexpr Method kTupleMethods[] = {
    {"count", sequence_count},
    {"index", sequence_index},
};
constexpr Method kIntMethods[] = {{"bit_length", bit_length}};
constexpr Method kFloatMethods[] = {{"is_integer", is_integer}};

constexpr std::string_view kDictMutators[] = {"clear", "pop", "popitem", "setdefault", "update"};
constexpr std::string_view kListMutators[] = {
    "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"};

template <size_t N>
const Method* find_in(const Method (&methods)[N], std::string_view name) {
  for (const Method& method : methods) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

template <size_t N>
bool is_in(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

}  // namespace

const Method* find_method(const Value& value, std::string_view name) {
  switch (value.kind()) {
    case Kind::kString:
      return find_string_method(name);
    case Kind::kDict:
      return find_in(kDictMethods, name);
    case Kind::kList:
      return find_in(kListMethods, name);
    case Kind::kTuple:
      return find_in(kTupleMethods, name);
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kWideInt:
      return find_in(kIntMethods, name);
    case Kind::kFloat:
      return find_in(kFloatMethods, name);
    default:
      return nullptr;
  }
}

bool is_mutating_method(const Value& value, std::string_view name) {
  if (value.is_dict()) return is_in(kDictMutators, name);
  return value.is(Kind::kList) && is_in(kListMutators, name);
}

}  // namespace tokamak::text::jinja
