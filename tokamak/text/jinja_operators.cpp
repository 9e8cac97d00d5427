// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_operators.h"

#include <cmath>

#include "tokamak/text/jinja_object.h"
#include "tokamak/text/jinja_string.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text::jinja {
namespace {

std::string_view sign_of(Operator op) {
  switch (op) {
    case Operator::kAdd:
      return "+";
    case Operator::kSubtract:
      return "-";
    case Operator::kMultiply:
      return "*";
    case Operator::kDivide:
      return "/";
    case Operator::kFloorDivide:
      return "//";
    case Operator::kModulo:
      return "%";
    default:
      return "**";
  }
}

[[noreturn]] void fail_overflow() {
  fail("the result does not fit 64 bits");
}

int64_t multiply_exactly(int64_t a, int64_t b) {
  int64_t product;
  if (__builtin_mul_overflow(a, b, &product)) fail_overflow();
  return product;
}

int64_t subtract_exactly(int64_t a, int64_t b) {
  int64_t difference;
  if (__builtin_sub_overflow(a, b, &difference)) fail_overflow();
  return difference;
}

int64_t floor_divide(int64_t a, int64_t b) {
  if (b == 0) fail("division by zero");
  if (a == INT64_MIN && b == -1) fail_overflow();
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

int64_t floor_modulo(int64_t a, int64_t b) {
  if (b == 0) fail("division by zero");
  if (b == -1) return 0;
  int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

// The remainder with the sign of the divisor.
double float_modulo(double a, double b) {
  if (b == 0) fail("division by zero");
  double rest = std::fmod(a, b);
  if (rest != 0) return (rest < 0) != (b < 0) ? rest + b : rest;
  return std::copysign(0.0, b);
}

double float_floor_divide(double a, double b) {
  if (b == 0) fail("division by zero");
  double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

int64_t integer_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (true) {
    if (exponent & 1) result = multiply_exactly(result, base);
    exponent >>= 1;
    if (exponent == 0) return result;
    base = multiply_exactly(base, base);
  }
}

double float_power(double base, double exponent) {
  if (base == 0 && exponent < 0) fail("zero cannot be raised to a negative power");
  double result = std::pow(base, exponent);
  if (std::isnan(result) && !std::isnan(base) && !std::isnan(exponent)) {
    fail("a negative number cannot be raised to a fraction");
  }
  if (std::isinf(result) && std::isfinite(base) && std::isfinite(exponent)) {
    fail("the power is too large");
  }
  return result;
}

Value integer_arithmetic(Operator op, int64_t a, int64_t b) {
  switch (op) {
    case Operator::kAdd:
      return Value::integer(add_exactly(a, b));
    case Operator::kSubtract:
      return Value::integer(subtract_exactly(a, b));
    case Operator::kMultiply:
      return Value::integer(multiply_exactly(a, b));
    case Operator::kDivide:
      if (b == 0) fail("division by zero");
      return Value::number(
          static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)));
    case Operator::kFloorDivide:
      return Value::integer(floor_divide(a, b));
    case Operator::kModulo:
      return Value::integer(floor_modulo(a, b));
    default:
      if (b >= 0) return Value::integer(integer_power(a, b));
      return Value::number(float_power(static_cast<double>(a), static_cast<double>(b)));
  }
}

Value float_arithmetic(Operator op, double a, double b) {
  switch (op) {
    case Operator::kAdd:
      return Value::number(a + b);
    case Operator::kSubtract:
      return Value::number(a - b);
    case Operator::kMultiply:
      return Value::number(a * b);
    case Operator::kDivide:
      if (b == 0) fail("division by zero");
      return Value::number(a / b);
    case Operator::kFloorDivide:
      return Value::number(float_floor_divide(a, b));
    case Operator::kModulo:
      return Value::number(float_modulo(a, b));
    default:
      return Value::number(float_power(a, b));
  }
}

Value concatenate_text(Heap& heap, const Value& a, const Value& b) {
  heap.check_bytes(static_cast<int64_t>(a.text().size() + b.text().size()));
  bool is_markup = a.string().is_markup || b.string().is_markup;
  auto part = [&](const Value& value) {
    return is_markup && !value.string().is_markup ? escape_html(heap, value.text()) : value.text();
  };
  return heap.string(part(a) + part(b), is_markup);
}

Value concatenate_items(Heap& heap, const Value& a, const Value& b) {
  heap.check_items(static_cast<int64_t>(a.items().size() + b.items().size()));
  std::vector<Value> items = a.items();
  items.insert(items.end(), b.items().begin(), b.items().end());
  return a.is(Kind::kList) ? heap.list(std::move(items)) : heap.tuple(std::move(items));
}

Value repeat(Heap& heap, const Value& value, int64_t count) {
  count = std::max<int64_t>(count, 0);
  auto total = [&](size_t size) {
    int64_t product;
    if (__builtin_mul_overflow(static_cast<int64_t>(size), count, &product)) product = INT64_MAX;
    return product;
  };
  if (value.is_string()) {
    const std::string& text = value.text();
    heap.check_bytes(total(text.size()));
    std::string out;
    out.reserve(text.size() * static_cast<size_t>(text.empty() ? 0 : count));
    for (int64_t i = 0; i < count && !text.empty(); ++i) out += text;
    return heap.string(std::move(out), value.string().is_markup);
  }
  heap.check_items(total(value.items().size()));
  std::vector<Value> items;
  for (int64_t i = 0; i < count && !value.items().empty(); ++i) {
    items.insert(items.end(), value.items().begin(), value.items().end());
  }
  return value.is(Kind::kList) ? heap.list(std::move(items)) : heap.tuple(std::move(items));
}

bool can_repeat(const Value& value) {
  return value.is_string() || value.is_sequence();
}

}  // namespace

int64_t add_exactly(int64_t a, int64_t b) {
  int64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) fail_overflow();
  return sum;
}

int64_t integer_from(double value) {
  if (std::isnan(value)) fail("NaN is not an integer");
  if (value < -0x1p63 || value >= 0x1p63) fail_overflow();
  return static_cast<int64_t>(value);
}

Value apply_arithmetic(Heap& heap, Operator op, const Value& a, const Value& b) {
  if (op == Operator::kModulo && a.is_string()) return format_percent(heap, a, b);
  if (a.is_undefined()) fail("{}", a.undefined_reason());
  if (b.is_undefined()) fail("{}", b.undefined_reason());
  if (a.is_integer() && b.is_integer()) {
    return integer_arithmetic(op, a.as_integer(), b.as_integer());
  }
  if (a.is_number() && b.is_number()) {
    if (!a.is(Kind::kFloat) && !b.is(Kind::kFloat)) fail_overflow();
    return float_arithmetic(
        op, static_cast<double>(a.as_number()), static_cast<double>(b.as_number()));
  }
  if (op == Operator::kAdd) {
    if (a.is_string() && b.is_string()) return concatenate_text(heap, a, b);
    if (a.is_sequence() && a.kind() == b.kind()) return concatenate_items(heap, a, b);
  }
  if (op == Operator::kMultiply) {
    if (can_repeat(a) && b.is_integer()) return repeat(heap, a, b.as_integer());
    if (can_repeat(b) && a.is_integer()) return repeat(heap, b, a.as_integer());
  }
  fail("unsupported operands of {}: {} and {}", sign_of(op), a.type_name(), b.type_name());
}

Value negate(const Value& value) {
  if (value.is_undefined()) fail("{}", value.undefined_reason());
  if (value.is_integer()) return Value::integer(subtract_exactly(0, value.as_integer()));
  if (value.is(Kind::kFloat)) return Value::number(-value.as_float());
  fail("unsupported operand of -: {}", value.type_name());
}

Value plus(const Value& value) {
  if (value.is_undefined()) fail("{}", value.undefined_reason());
  if (value.is_integer()) return Value::integer(value.as_integer());
  if (value.is_number()) return value;
  fail("unsupported operand of +: {}", value.type_name());
}

Value slice(
    Heap& heap, const Value& value, const Value& start, const Value& stop, const Value& step) {
  if (value.is_undefined()) fail("{}", value.undefined_reason());
  auto* whole_range = value.as<Range>();
  if (!value.is_string() && !value.is_sequence() && !whole_range) {
    fail("'{}' object cannot be sliced", value.type_name());
  }
  auto index = [](const Value& part) -> std::optional<int64_t> {
    if (part.is_missing() || part.is_none()) return {};
    if (!part.is_integer())
      fail("slice indices must be integers or none, not {}", part.type_name());
    return part.as_integer();
  };
  SliceRange range = slice_range(index(start), index(stop), index(step).value_or(1), length(value));
  if (whole_range) {
    return whole_range->slice(heap, range.start, range.stop, range.step, range.count);
  }
  if (value.is_string()) {
    const String& s = value.string();
    if (range.step == 1) {
      if (!s.is_ascii()) heap.step_bytes(s.text.size());
      size_t begin = byte_of_character(s, static_cast<size_t>(range.start));
      size_t end = byte_of_character(s, static_cast<size_t>(range.start + range.count));
      return heap.string(range.count > 0 ? s.text.substr(begin, end - begin) : "", s.is_markup);
    }
    heap.step_characters(s.text.size());
    std::u32string characters;
    characters.reserve(s.num_characters);
    for_each_character(s.text, [&](char32_t c) { characters += c; });
    std::string out;
    for (int64_t i = 0; i < range.count; ++i) {
      append_utf8(out, characters[static_cast<size_t>(range.start + i * range.step)]);
    }
    return heap.string(std::move(out), s.is_markup);
  }
  std::vector<Value> items;
  heap.check_items(range.count);
  items.reserve(static_cast<size_t>(range.count));
  for (int64_t i = 0; i < range.count; ++i) {
    items.push_back(value.items()[static_cast<size_t>(range.start + i * range.step)]);
  }
  return value.is(Kind::kTuple) ? heap.tuple(std::move(items)) : heap.list(std::move(items));
}

}  // namespace tokamak::text::jinja
