// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_filters.h"
#include "tokamak/text/jinja_parser.h"

namespace tokamak::text::jinja {

ExpressionPtr Parser::make(ExpressionKind kind, int line) const {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->line = line;
  return node;
}

void Parser::include_depth(Expression& node, const Expression& part) const {
  node.depth = std::max(node.depth, part.depth + 1);
  if (node.depth > limits_.max_depth) {
    fail("nesting is deeper than max_depth = {}", limits_.max_depth);
  }
}

void Parser::add_operand(Expression& node, ExpressionPtr operand) const {
  if (operand) include_depth(node, *operand);
  node.operands.push_back(std::move(operand));
}

void Parser::add_arguments(Expression& node, std::unique_ptr<CallArguments> arguments) const {
  auto include = [&](const ExpressionPtr& argument) {
    if (argument) include_depth(node, *argument);
  };
  for (const auto& argument : arguments->positional) include(argument);
  for (const auto& [name, argument] : arguments->named) include(argument);
  include(arguments->unpacked_list);
  include(arguments->unpacked_dict);
  node.arguments = std::move(arguments);
}

bool Parser::at_tuple_end(bool ends_with_recursive) const {
  return current().is(TokenKind::kVariableEnd) || current().is(TokenKind::kBlockEnd) ||
         current().is_operator(")") || (ends_with_recursive && current().is_name("recursive"));
}

ExpressionPtr Parser::parse_tuple(Condition condition, bool ends_with_recursive) {
  int line = current().line;
  auto parse_item = [&] {
    return condition == Condition::kAllowed ? parse_expression() : parse_or();
  };
  if (at_tuple_end(ends_with_recursive)) fail_unexpected("an expression");
  ExpressionPtr first = parse_item();
  if (!current().is_operator(",")) return first;
  auto tuple = make(ExpressionKind::kTuple, line);
  add_operand(*tuple, std::move(first));
  while (skip_operator(",") && !at_tuple_end(ends_with_recursive)) {
    add_operand(*tuple, parse_item());
  }
  return tuple;
}

ExpressionPtr Parser::parse_expression() {
  return parse_conditional();
}

ExpressionPtr Parser::parse_conditional() {
  Nesting nesting(*this);
  int line = current().line;
  bool was_soft = is_soft_;
  size_t num_unknown = unknown_.size();
  ExpressionPtr node = parse_or();
  while (skip_name("if")) {
    unknown_.resize(num_unknown);  // What the first operand names may never be reached.
    is_soft_ = true;
    auto conditional = make(ExpressionKind::kConditional, line);
    add_operand(*conditional, parse_or());
    add_operand(*conditional, std::move(node));
    add_operand(*conditional, skip_name("else") ? parse_conditional() : nullptr);
    is_soft_ = was_soft;
    node = std::move(conditional);
  }
  return node;
}

ExpressionPtr Parser::parse_or() {
  ExpressionPtr node = parse_and();
  if (!current().is_name("or")) return node;
  auto chain = make(ExpressionKind::kOr, node->line);
  add_operand(*chain, std::move(node));
  while (skip_name("or")) add_operand(*chain, parse_and());
  return chain;
}

ExpressionPtr Parser::parse_and() {
  ExpressionPtr node = parse_not();
  if (!current().is_name("and")) return node;
  auto chain = make(ExpressionKind::kAnd, node->line);
  add_operand(*chain, std::move(node));
  while (skip_name("and")) add_operand(*chain, parse_not());
  return chain;
}

ExpressionPtr Parser::parse_not() {
  if (!current().is_name("not")) return parse_compare();
  Nesting nesting(*this);
  auto node = make(ExpressionKind::kNot, advance().line);
  add_operand(*node, parse_not());
  return node;
}

ExpressionPtr Parser::parse_compare() {
  static constexpr std::pair<std::string_view, Operator> kSigns[] = {
      {"==", Operator::kEqual},
      {"!=", Operator::kNotEqual},
      {"<", Operator::kLess},
      {"<=", Operator::kLessEqual},
      {">", Operator::kGreater},
      {">=", Operator::kGreaterEqual},
  };
  ExpressionPtr node = parse_sum();
  ExpressionPtr chain;
  auto add = [&](Operator op) {
    if (!chain) {
      chain = make(ExpressionKind::kCompare, node->line);
      add_operand(*chain, std::move(node));
    }
    chain->operators.push_back(op);
    add_operand(*chain, parse_sum());
  };
  for (bool found = true; found;) {
    found = false;
    for (const auto& [sign, op] : kSigns) {
      if (!skip_operator(sign)) continue;
      add(op);
      found = true;
      break;
    }
    if (found) continue;
    if (skip_name("in")) {
      add(Operator::kIn);
      found = true;
    } else if (current().is_name("not") && look_ahead().is_name("in")) {
      advance();
      advance();
      add(Operator::kNotIn);
      found = true;
    }
  }
  return chain ? std::move(chain) : std::move(node);
}

template <typename ParseOperand>
ExpressionPtr Parser::parse_arithmetic(
    std::initializer_list<std::pair<std::string_view, Operator>> operators,
    ParseOperand parse_operand) {
  ExpressionPtr node = parse_operand();
  ExpressionPtr chain;
  for (bool found = true; found;) {
    found = false;
    for (const auto& [sign, op] : operators) {
      if (!skip_operator(sign)) continue;
      if (!chain) {
        chain = make(ExpressionKind::kArithmetic, node->line);
        add_operand(*chain, std::move(node));
      }
      chain->operators.push_back(op);
      add_operand(*chain, parse_operand());
      found = true;
      break;
    }
  }
  return chain ? std::move(chain) : std::move(node);
}

ExpressionPtr Parser::parse_sum() {
  return parse_arithmetic({{"+", Operator::kAdd}, {"-", Operator::kSubtract}},
                          [this] { return parse_concat(); });
}

ExpressionPtr Parser::parse_concat() {
  ExpressionPtr node = parse_product();
  if (!current().is_operator("~")) return node;
  auto chain = make(ExpressionKind::kConcat, node->line);
  add_operand(*chain, std::move(node));
  while (skip_operator("~")) add_operand(*chain, parse_product());
  return chain;
}

ExpressionPtr Parser::parse_product() {
  return parse_arithmetic({{"*", Operator::kMultiply},
                           {"/", Operator::kDivide},
                           {"//", Operator::kFloorDivide},
                           {"%", Operator::kModulo}},
                          [this] { return parse_power(); });
}

ExpressionPtr Parser::parse_power() {
  return parse_arithmetic({{"**", Operator::kPower}}, [this] { return parse_unary(); });
}

ExpressionPtr Parser::parse_unary(bool with_filters) {
  ExpressionPtr node;
  if (current().is_operator("-") || current().is_operator("+")) {
    Nesting nesting(*this);
    const Token& sign = advance();
    node = make(sign.text == "-" ? ExpressionKind::kNegate : ExpressionKind::kPlus, sign.line);
    add_operand(*node, parse_unary(false));
  } else {
    node = parse_primary();
  }
  node = parse_postfix(std::move(node));
  return with_filters ? parse_filters_and_tests(std::move(node)) : std::move(node);
}

ExpressionPtr Parser::parse_primary() {
  const Token& token = current();
  switch (token.kind) {
    case TokenKind::kName:
      return parse_name();
    case TokenKind::kString: {
      auto node = make(ExpressionKind::kLiteral, token.line);
      std::string text;
      while (current().is(TokenKind::kString)) text += advance().text;
      node->value = Value::constant(std::move(text));
      return node;
    }
    case TokenKind::kInteger:
    case TokenKind::kFloat: {
      auto node = make(ExpressionKind::kLiteral, token.line);
      node->value =
          token.is(TokenKind::kFloat) ? Value::number(token.number) : Value::integer(token.integer);
      advance();
      return node;
    }
    default:
      if (token.is_operator("(")) return parse_parenthesized();
      if (token.is_operator("[")) return parse_list();
      if (token.is_operator("{")) return parse_dict();
      fail_unexpected("an expression");
  }
}

ExpressionPtr Parser::parse_name() {
  const Token& token = advance();
  auto literal = [&](Value value) {
    auto node = make(ExpressionKind::kLiteral, token.line);
    node->value = std::move(value);
    return node;
  };
  const std::string& name = token.text;
  if (name == "true" || name == "True") return literal(Value::boolean(true));
  if (name == "false" || name == "False") return literal(Value::boolean(false));
  if (name == "none" || name == "None") return literal(Value::none());
  if (name == "loop") {
    for (ForStatement* loop : open_bodies_) loop->uses_loop = true;
  }
  for (MacroDefinition* macro : open_macros_) {
    macro->uses_caller |= name == "caller";
    macro->uses_kwargs |= name == "kwargs";
    macro->uses_varargs |= name == "varargs";
  }
  auto node = make(ExpressionKind::kName, token.line);
  node->value = Value::constant(name);
  return node;
}

ExpressionPtr Parser::parse_parenthesized() {
  int line = advance().line;
  if (skip_operator(")")) return make(ExpressionKind::kTuple, line);
  ExpressionPtr node = parse_tuple(Condition::kAllowed);
  expect_operator(")");
  return node;
}

ExpressionPtr Parser::parse_list() {
  auto node = make(ExpressionKind::kList, advance().line);
  while (!current().is_operator("]")) {
    if (!node->operands.empty()) {
      expect_operator(",");
      if (current().is_operator("]")) break;
    }
    add_operand(*node, parse_expression());
  }
  advance();
  return node;
}

ExpressionPtr Parser::parse_dict() {
  auto node = make(ExpressionKind::kDict, advance().line);
  while (!current().is_operator("}")) {
    if (!node->operands.empty()) {
      expect_operator(",");
      if (current().is_operator("}")) break;
    }
    add_operand(*node, parse_expression());
    expect_operator(":");
    add_operand(*node, parse_expression());
  }
  advance();
  return node;
}

}  // namespace tokamak::text::jinja
