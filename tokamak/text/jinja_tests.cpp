// SPDX-License-Identifier: Apache-2.0
// What can follow `is`.
#include <algorithm>

#include "tokamak/text/jinja_compare.h"
#include "tokamak/text/jinja_filters.h"
#include "tokamak/text/jinja_interpreter.h"
#include "tokamak/text/jinja_operators.h"
#include "tokamak/text/jinja_print.h"
#include "tokamak/text/jinja_string.h"

namespace tokamak::text::jinja {
namespace {

Value argument(const Arguments& arguments, std::string_view test) {
  return bind_arguments(test, arguments, {"other"}, 1)[0];
}

template <bool (*kHolds)(const Value&)>
bool of_value(Interpreter&, const Value& value, const Arguments& arguments) {
  bind_arguments("the test", arguments, {});
  return kHolds(value);
}

bool is_defined(const Value& value) {
  return !value.is_undefined();
}
bool is_undefined(const Value& value) {
  return value.is_undefined();
}
bool is_none(const Value& value) {
  return value.is_none();
}
bool is_boolean(const Value& value) {
  return value.is(Kind::kBool);
}
bool is_true(const Value& value) {
  return value.is(Kind::kBool) && value.as_bool();
}
bool is_false(const Value& value) {
  return value.is(Kind::kBool) && !value.as_bool();
}
bool is_integer(const Value& value) {
  return value.is(Kind::kInt) || value.is(Kind::kWideInt);
}
bool is_float(const Value& value) {
  return value.is(Kind::kFloat);
}
bool is_number(const Value& value) {
  return value.is_number();
}
bool is_string(const Value& value) {
  return value.is_string();
}
bool is_mapping(const Value& value) {
  return value.is_dict();
}
bool is_sequence(const Value& value) {
  if (value.is(Kind::kObject)) return value.object().is_sequence();
  return value.is_string() || value.is_sequence() || value.is_dict() || value.is_undefined();
}
bool is_iterable_value(const Value& value) {
  return is_iterable(value);
}
bool is_callable(const Value& value) {
  return value.is_undefined() || (value.is(Kind::kObject) && value.object().is_callable());
}
bool is_escaped(const Value& value) {
  return value.is_string() && value.string().is_markup;
}

template <TextProperty kProperty>
bool has_case(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("the test", arguments, {});
  std::string text = to_text(interpreter.heap(), value);
  interpreter.heap().step_characters(text.size());
  return has_property(text, kProperty);
}

bool has_remainder(Interpreter& interpreter, const Value& value, int64_t divisor, int64_t rest) {
  Value modulo =
      apply_arithmetic(interpreter.heap(), Operator::kModulo, value, Value::integer(divisor));
  return equals(interpreter.heap(), modulo, Value::integer(rest));
}

bool is_odd(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("odd", arguments, {});
  return has_remainder(interpreter, value, 2, 1);
}
bool is_even(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("even", arguments, {});
  return has_remainder(interpreter, value, 2, 0);
}

bool is_divisible(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  Value divisor = bind_arguments("divisibleby", arguments, {"num"}, 1)[0];
  Heap& heap = interpreter.heap();
  return equals(heap, apply_arithmetic(heap, Operator::kModulo, value, divisor), Value::integer(0));
}

bool is_same_as(Interpreter&, const Value& value, const Arguments& arguments) {
  return is_same(value, argument(arguments, "sameas"));
}

bool is_in(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  Value container = bind_arguments("in", arguments, {"seq"}, 1)[0];
  return contains(interpreter.heap(), container, value);
}

bool is_equal(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  return equals(interpreter.heap(), value, argument(arguments, "eq"));
}
bool is_unequal(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  return !equals(interpreter.heap(), value, argument(arguments, "ne"));
}
bool is_less(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  return order(interpreter.heap(), value, argument(arguments, "lt"), "<") == Order::kLess;
}
bool is_less_or_equal(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  Order found = order(interpreter.heap(), value, argument(arguments, "le"), "<=");
  return found == Order::kLess || found == Order::kEqual;
}
bool is_greater(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  return order(interpreter.heap(), value, argument(arguments, "gt"), ">") == Order::kGreater;
}
bool is_greater_or_equal(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  Order found = order(interpreter.heap(), value, argument(arguments, "ge"), ">=");
  return found == Order::kGreater || found == Order::kEqual;
}

bool is_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("filter", arguments, {});
  hash_value(interpreter.heap(), value);
  return value.is_string() && find_filter(value.text());
}
bool is_test(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("test", arguments, {});
  hash_value(interpreter.heap(), value);
  return value.is_string() && find_test(value.text());
}

constexpr Test kTests[] = {
    {"!=", is_unequal},
    {"<", is_less},
    {"<=", is_less_or_equal},
    {"==", is_equal},
    {">", is_greater},
    {">=", is_greater_or_equal},
    {"boolean", of_value<is_boolean>},
    {"callable", of_value<is_callable>},
    {"defined", of_value<is_defined>},
    {"divisibleby", is_divisible},
    {"eq", is_equal},
    {"equalto", is_equal},
    {"escaped", of_value<is_escaped>},
    {"even", is_even},
    {"false", of_value<is_false>},
    {"filter", is_filter},
    {"float", of_value<is_float>},
    {"ge", is_greater_or_equal},
    {"greaterthan", is_greater},
    {"gt", is_greater},
    {"in", is_in},
    {"integer", of_value<is_integer>},
    {"iterable", of_value<is_iterable_value>},
    {"le", is_less_or_equal},
    {"lessthan", is_less},
    {"lower", has_case<TextProperty::kLower>},
    {"lt", is_less},
    {"mapping", of_value<is_mapping>},
    {"ne", is_unequal},
    {"none", of_value<is_none>},
    {"number", of_value<is_number>},
    {"odd", is_odd},
    {"sameas", is_same_as},
    {"sequence", of_value<is_sequence>},
    {"string", of_value<is_string>},
    {"test", is_test},
    {"true", of_value<is_true>},
    {"undefined", of_value<is_undefined>},
    {"upper", has_case<TextProperty::kUpper>},
};

}  // namespace

const Test* find_test(std::string_view name) {
  auto found = std::find_if(
      std::begin(kTests), std::end(kTests), [&](const Test& test) { return test.name == name; });
  return found == std::end(kTests) ? nullptr : found;
}

}  // namespace tokamak::text::jinja
