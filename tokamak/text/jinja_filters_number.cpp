// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "tokamak/text/jinja_compare.h"
#include "tokamak/text/jinja_filter_tables.h"
#include "tokamak/text/jinja_literal.h"
#include "tokamak/text/jinja_operators.h"
#include "tokamak/text/jinja_print.h"

namespace tokamak::text::jinja {
namespace {

// int() of a number; nothing for what has no integer.
std::optional<Value> truncated(const Value& value) {
  if (value.is_integer()) return Value::integer(value.as_integer());
  if (value.is(Kind::kWideInt)) return value;
  if (!value.is(Kind::kFloat) || std::isnan(value.as_float())) return {};
  return Value::integer(integer_from(value.as_float()));
}

Value to_integer(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  auto bound = bind_arguments("int", arguments, {"default", "base"});
  Value fallback = bound[0].is_missing() ? Value::integer(0) : bound[0];
  if (value.is_undefined()) fail("{}", value.undefined_reason());
  if (!value.is_string()) return truncated(value).value_or(fallback);
  int64_t base = bound[1].is_missing() ? 10 : require_integer(bound[1], "int");
  if (base != 0 && (base < 2 || base > 36)) return fallback;
  interpreter.heap().step_bytes(value.text().size());
  if (auto parsed = parse_integer(value.text(), static_cast<int>(base))) {
    return Value::integer(*parsed);
  }
  auto number = parse_float(value.text());  // So that '42.23' becomes 42.
  if (!number || !std::isfinite(*number)) return fallback;
  return Value::integer(integer_from(*number));
}

Value to_float(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  auto bound = bind_arguments("float", arguments, {"default"});
  Value fallback = bound[0].is_missing() ? Value::number(0) : bound[0];
  if (value.is_undefined()) fail("{}", value.undefined_reason());
  if (value.is_number()) return Value::number(static_cast<double>(value.as_number()));
  if (!value.is_string()) return fallback;
  interpreter.heap().step_bytes(value.text().size());
  auto number = parse_float(value.text());
  return number ? Value::number(*number) : fallback;
}

Value absolute(Interpreter&, const Value& value, const Arguments& arguments) {
  bind_arguments("abs", arguments, {});
  if (value.is_integer()) {
    return value.as_integer() < 0 ? negate(value) : Value::integer(value.as_integer());
  }
  if (value.is(Kind::kWideInt)) return value;
  if (value.is(Kind::kFloat)) return Value::number(std::fabs(value.as_float()));
  fail("abs: expected a number, found {}", value.type_name());
}

// To a multiple of 10^digits, halves to the even one.
int64_t round_integer(int64_t value, int64_t digits) {
  if (digits > 19) return 0;
  unsigned __int128 unit = 1;
  for (int64_t i = 0; i < digits; ++i) unit *= 10;
  bool is_negative = value < 0;
  unsigned __int128 magnitude =
      is_negative ? ~static_cast<uint64_t>(value) + 1 : static_cast<uint64_t>(value);
  unsigned __int128 quotient = magnitude / unit, rest = magnitude % unit;
  if (rest * 2 > unit || (rest * 2 == unit && quotient % 2 == 1)) ++quotient;
  unsigned __int128 rounded = quotient * unit;
  if (rounded > static_cast<unsigned __int128>(INT64_MAX)) fail("the result does not fit 64 bits");
  auto narrow = static_cast<int64_t>(rounded);
  return is_negative ? -narrow : narrow;
}

double round_float(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 323) return value;
  if (digits < -308) return std::copysign(0.0, value);
  if (digits < 0) {
    double unit = std::pow(10.0, static_cast<double>(-digits));
    return std::nearbyint(value / unit) * unit;
  }
  // The C library rounds the exact binary value, as Python does.
  char buffer[700];
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(digits), value);
  return std::strtod(buffer, nullptr);
}

Value round_filter(Interpreter&, const Value& value, const Arguments& arguments) {
  auto bound = bind_arguments("round", arguments, {"precision", "method"});
  int64_t precision = bound[0].is_missing() ? 0 : require_integer(bound[0], "round");
  std::string method = bound[1].is_string()    ? bound[1].text()
                       : bound[1].is_missing() ? "common"
                                               : "";
  if (method != "common" && method != "ceil" && method != "floor") {
    fail("round: the method must be common, ceil or floor");
  }
  if (!value.is_number() || value.is(Kind::kWideInt)) {
    fail("round: expected a number, found {}", value.type_name());
  }
  if (method == "common") {
    if (value.is(Kind::kFloat)) return Value::number(round_float(value.as_float(), precision));
    int64_t integer = value.as_integer();
    return Value::integer(precision < 0 ? round_integer(integer, -precision) : integer);
  }
  double unit = std::pow(10.0, static_cast<double>(precision));
  double scaled = static_cast<double>(value.as_number()) * unit;
  if (!std::isfinite(scaled)) fail("round: the number is too large");
  return Value::number((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

Value sum(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  auto bound = bind_arguments("sum", arguments, {"attribute", "start"});
  AttributePath path(interpreter, bound[0]);
  Value total = bound[1].is_missing() ? Value::integer(0) : bound[1];
  if (total.is_string()) fail("sum: text cannot be summed up, use join");
  for_each(interpreter.heap(), value, [&](const Value& item) {
    total = apply_arithmetic(interpreter.heap(), Operator::kAdd, total, path.get(item));
  });
  return total;
}

constexpr Filter kFilters[] = {
    {"abs", absolute},
    {"float", to_float},
    {"int", to_integer},
    {"round", round_filter},
    {"sum", sum},
};

}  // namespace

std::span<const Filter> number_filters() {
  return kFilters;
}

}  // namespace tokamak::text::jinja
