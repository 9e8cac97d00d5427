// SPDX-License-Identifier: Apache-2.0
// What follows an operand: attributes, items, calls, filters and tests.
#include <unordered_set>

#include "tokamak/text/jinja_filters.h"
#include "tokamak/text/jinja_parser.h"

namespace tokamak::text::jinja {

ExpressionPtr Parser::parse_postfix(ExpressionPtr node) {
  while (true) {
    if (current().is_operator(".") || current().is_operator("[")) {
      node = parse_subscript(std::move(node));
    } else if (current().is_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPtr Parser::parse_filters_and_tests(ExpressionPtr node) {
  while (true) {
    if (skip_operator("|")) {
      node = parse_filter(std::move(node));
    } else if (current().is_name("is")) {
      node = parse_test(std::move(node));
    } else if (current().is_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPtr Parser::parse_subscript(ExpressionPtr node) {
  const Token& sign = advance();
  if (sign.text == "[") return parse_slice(std::move(node));
  const Token& token = advance();
  if (token.is(TokenKind::kName)) {
    auto attribute = make(ExpressionKind::kAttribute, sign.line);
    attribute->value = Value::constant(token.text);
    add_operand(*attribute, std::move(node));
    return attribute;
  }
  if (!token.is(TokenKind::kInteger)) fail("expected a name or a number after '.'");
  auto index = make(ExpressionKind::kLiteral, token.line);
  index->value = Value::integer(token.integer);
  auto item = make(ExpressionKind::kItem, sign.line);
  add_operand(*item, std::move(node));
  add_operand(*item, std::move(index));
  return item;
}

// After the bracket: an index, several (a tuple), or a slice.
ExpressionPtr Parser::parse_slice(ExpressionPtr node) {
  int line = current().line;
  auto at_part_end = [&] {
    return current().is_operator(":") || current().is_operator("]") || current().is_operator(",");
  };
  if (current().is_operator("]")) {  // x[] is x[()].
    auto item = make(ExpressionKind::kItem, line);
    add_operand(*item, std::move(node));
    add_operand(*item, make(ExpressionKind::kTuple, line));
    advance();
    return item;
  }
  ExpressionPtr first = at_part_end() ? nullptr : parse_expression();
  if (skip_operator(":")) {
    auto slice = make(ExpressionKind::kSlice, line);
    add_operand(*slice, std::move(node));
    add_operand(*slice, std::move(first));
    add_operand(*slice, at_part_end() ? nullptr : parse_expression());
    bool has_step = skip_operator(":") && !at_part_end();
    add_operand(*slice, has_step ? parse_expression() : nullptr);
    expect_operator("]");
    return slice;
  }
  if (!first) fail_unexpected("an expression");
  auto item = make(ExpressionKind::kItem, line);
  add_operand(*item, std::move(node));
  if (current().is_operator(",")) {
    auto tuple = make(ExpressionKind::kTuple, line);
    add_operand(*tuple, std::move(first));
    while (skip_operator(",")) {
      if (current().is_operator("]")) break;
      add_operand(*tuple, parse_expression());
    }
    first = std::move(tuple);
  }
  add_operand(*item, std::move(first));
  expect_operator("]");
  return item;
}

ExpressionPtr Parser::parse_call(ExpressionPtr node) {
  auto call = make(ExpressionKind::kCall, current().line);
  add_operand(*call, std::move(node));
  add_arguments(*call, parse_call_arguments());
  return call;
}

std::unique_ptr<CallArguments> Parser::parse_call_arguments() {
  auto arguments = std::make_unique<CallArguments>();
  std::unordered_set<std::string> names;
  auto require = [](bool condition) {
    if (!condition) fail("positional arguments come before named and unpacked ones");
  };
  expect_operator("(");
  for (bool is_first = true; !current().is_operator(")"); is_first = false) {
    if (!is_first) {
      expect_operator(",");
      if (current().is_operator(")")) break;
    }
    if (skip_operator("*")) {
      require(!arguments->unpacked_list && !arguments->unpacked_dict);
      arguments->unpacked_list = parse_expression();
    } else if (skip_operator("**")) {
      require(!arguments->unpacked_dict);
      arguments->unpacked_dict = parse_expression();
    } else if (current().is(TokenKind::kName) && look_ahead().is_operator("=")) {
      require(!arguments->unpacked_dict);
      std::string name = advance().text;
      advance();
      if (!names.insert(name).second) fail("the argument '{}' is given twice", name);
      arguments->named.emplace_back(std::move(name), parse_expression());
    } else {
      require(!arguments->unpacked_list && !arguments->unpacked_dict && arguments->named.empty());
      arguments->positional.push_back(parse_expression());
    }
  }
  advance();
  return arguments;
}

void Parser::check_known(const Expression& node) {
  bool is_filter = node.kind == ExpressionKind::kFilter;
  if (is_soft_ || (is_filter ? node.filter != nullptr : node.test != nullptr)) return;
  unknown_.push_back(
      {fmt::format("unknown {} '{}'", is_filter ? "filter" : "test", node.value.text()),
       node.line});
}

// The name and arguments of a filter; the '|' is already read.
ExpressionPtr Parser::parse_filter(ExpressionPtr node) {
  const Token& token = expect(TokenKind::kName, "the name of a filter");
  std::string name = token.text;
  while (skip_operator(".")) name += "." + expect(TokenKind::kName, "a name").text;
  auto filter = make(ExpressionKind::kFilter, token.line);
  filter->filter = find_filter(name);
  filter->value = Value::constant(std::move(name));
  check_known(*filter);
  add_operand(*filter, std::move(node));
  add_arguments(
      *filter,
      current().is_operator("(") ? parse_call_arguments() : std::make_unique<CallArguments>());
  return filter;
}

ExpressionPtr Parser::parse_test(ExpressionPtr node) {
  int line = advance().line;
  bool negated = skip_name("not");
  std::string name = expect(TokenKind::kName, "the name of a test").text;
  while (skip_operator(".")) name += "." + expect(TokenKind::kName, "a name").text;
  auto test = make(ExpressionKind::kTest, line);
  test->test = find_test(name);
  test->value = Value::constant(std::move(name));
  check_known(*test);
  add_operand(*test, std::move(node));

  const Token& next = current();
  bool is_operand = next.is(TokenKind::kName) || next.is(TokenKind::kString) ||
                    next.is(TokenKind::kInteger) || next.is(TokenKind::kFloat) ||
                    next.is_operator("[") || next.is_operator("{");
  bool ends = next.is_name("else") || next.is_name("or") || next.is_name("and");
  auto arguments = std::make_unique<CallArguments>();
  if (next.is_operator("(")) {
    arguments = parse_call_arguments();
  } else if (is_operand && !ends) {
    if (next.is_name("is")) fail("tests cannot be chained with 'is'");
    arguments->positional.push_back(parse_postfix(parse_primary()));
  }
  add_arguments(*test, std::move(arguments));
  if (!negated) return test;
  auto inverse = make(ExpressionKind::kNot, line);
  add_operand(*inverse, std::move(test));
  return inverse;
}

}  // namespace tokamak::text::jinja
