// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_parser.h"

#include <algorithm>
#include <unordered_set>

namespace tokamak::text::jinja {
namespace {

/// Sets a value until the end of the scope.
template <typename T>
class Temporarily {
 public:
  Temporarily(T& place, T value) : place_(place), saved_(std::exchange(place, value)) {}
  ~Temporarily() { place_ = saved_; }

 private:
  T& place_;
  T saved_;
};

constexpr std::string_view kOtherTags[] = {
    "autoescape", "block", "debug", "do", "extends", "from", "import", "include", "trans"};

}  // namespace

Parser::Parser(std::vector<Token> tokens, const TemplateLimits& limits, int& line)
    : tokens_(std::move(tokens)), limits_(limits), line_(line) {
  line_ = current().line;
}

Parser::Nesting::Nesting(Parser& parser) : depth_(parser.depth_) {
  if (depth_ >= parser.limits_.max_depth) {
    fail("nesting is deeper than max_depth = {}", parser.limits_.max_depth);
  }
  ++depth_;
}

TemplateTree Parser::parse() {
  TemplateTree tree;
  tree.body = parse_block({});
  if (!unknown_.empty()) {
    line_ = unknown_[0].line;
    throw Failure(ErrorCode::kUnsupported, unknown_[0].message);
  }
  return tree;
}

const Token& Parser::advance() {
  const Token& token = tokens_[next_];
  if (next_ + 1 < tokens_.size()) ++next_;
  line_ = current().line;
  return token;
}

bool Parser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  advance();
  return true;
}

bool Parser::skip_operator(std::string_view sign) {
  if (!current().is_operator(sign)) return false;
  advance();
  return true;
}

const Token& Parser::expect(TokenKind kind, std::string_view what) {
  if (!current().is(kind)) fail_unexpected(what);
  return advance();
}

void Parser::expect_operator(std::string_view sign) {
  if (!skip_operator(sign)) fail_unexpected(fmt::format("'{}'", sign));
}

void Parser::fail_unexpected(std::string_view expected) const {
  fail("expected {}, found {}", expected, describe(current()));
}

Block Parser::parse_block(std::initializer_list<std::string_view> end_tags) {
  Nesting nesting(*this);
  Block block;
  while (!current().is(TokenKind::kEnd)) {
    const Token& token = current();
    if (token.is(TokenKind::kText)) {
      auto text = std::make_unique<TextStatement>(token.line);
      text->text = advance().text;
      block.push_back(std::move(text));
    } else if (token.is(TokenKind::kVariableBegin)) {
      advance();
      auto output = std::make_unique<OutputStatement>(token.line);
      output->expressions.push_back(parse_tuple(Condition::kAllowed));
      expect(TokenKind::kVariableEnd, "'}}'");
      block.push_back(std::move(output));
    } else {
      expect(TokenKind::kBlockBegin, "text or a tag");
      auto ends = [&](std::string_view tag) { return current().is_name(tag); };
      if (std::any_of(end_tags.begin(), end_tags.end(), ends)) return block;
      block.push_back(parse_statement());
      expect(TokenKind::kBlockEnd, "'%}'");
    }
  }
  if (end_tags.size() > 0) fail_unexpected(fmt::format("'{}'", *(end_tags.end() - 1)));
  return block;
}

Block Parser::parse_body(std::initializer_list<std::string_view> end_tags) {
  skip_operator(":");
  expect(TokenKind::kBlockEnd, "'%}'");
  return parse_block(end_tags);
}

Block Parser::parse_whole_body(std::string_view end_tag) {
  Block body = parse_body({end_tag});
  advance();
  return body;
}

StatementPtr Parser::parse_statement() {
  if (!current().is(TokenKind::kName)) fail_unexpected("the name of a tag");
  const std::string& tag = current().text;
  if (tag == "if") return parse_if();
  if (tag == "for") return parse_for();
  if (tag == "set") return parse_set();
  if (tag == "macro") return parse_macro();
  if (tag == "call") return parse_call_block();
  if (tag == "filter") return parse_filter_block();
  if (tag == "with") return parse_with();
  if (tag == "generation") return parse_generation();
  if (tag == "break") return parse_loop_control(StatementKind::kBreak);
  if (tag == "continue") return parse_loop_control(StatementKind::kContinue);
  if (tag == "print") return parse_print();
  fail_unknown_tag(tag);
}

void Parser::fail_unknown_tag(const std::string& tag) const {
  bool is_jinja =
      std::find(std::begin(kOtherTags), std::end(kOtherTags), tag) != std::end(kOtherTags);
  if (tag.starts_with("end") || tag == "else" || tag == "elif") fail("unexpected tag '{}'", tag);
  throw Failure(ErrorCode::kUnsupported,
                is_jinja ? fmt::format("the tag '{}' is not supported in chat templates", tag)
                         : fmt::format("unknown tag '{}'", tag));
}

StatementPtr Parser::parse_if() {
  auto node = std::make_unique<IfStatement>(current().line);
  Temporarily soft(is_soft_, true);
  while (true) {
    advance();
    IfStatement::Branch branch;
    branch.condition = parse_tuple(Condition::kRefused);
    branch.body = parse_body({"elif", "else", "endif"});
    node->branches.push_back(std::move(branch));
    if (current().is_name("elif")) continue;
    if (skip_name("else")) {
      node->else_body = parse_whole_body("endif");
    } else {
      advance();
    }
    return node;
  }
}

StatementPtr Parser::parse_for() {
  auto node = std::make_unique<ForStatement>(current().line);
  advance();
  Temporarily around(open_fors_, open_fors_ + 1);
  node->target = parse_target(TargetStyle::kNames, true);
  node->test_target = node->target;
  if (!skip_name("in")) fail_unexpected("'in'");
  node->iterable = parse_tuple(Condition::kRefused, true);
  Temporarily soft(is_soft_, false);
  if (skip_name("if")) node->test = parse_expression();
  node->is_recursive = skip_name("recursive");
  {
    Temporarily loops(open_loops_, open_loops_ + 1);
    open_bodies_.push_back(node.get());
    node->body = parse_body({"else", "endfor"});
    open_bodies_.pop_back();
  }
  if (skip_name("else")) {
    node->else_body = parse_whole_body("endfor");
  } else {
    advance();
  }
  return node;
}

StatementPtr Parser::parse_set() {
  int line = advance().line;
  Target target = parse_target(TargetStyle::kNamesAndNamespaces);
  if (skip_operator("=")) {
    auto node = std::make_unique<SetStatement>(line);
    node->target = std::move(target);
    node->value = parse_tuple(Condition::kAllowed);
    return node;
  }
  auto node = std::make_unique<CaptureStatement>(line);
  node->has_target = true;
  node->target = std::move(target);
  Temporarily soft(is_soft_, false);
  while (skip_operator("|")) node->filter = parse_filter(std::move(node->filter));
  node->body = parse_whole_body("endset");
  return node;
}

StatementPtr Parser::parse_filter_block() {
  auto node = std::make_unique<CaptureStatement>(advance().line);
  Temporarily soft(is_soft_, false);
  do {
    node->filter = parse_filter(std::move(node->filter));
  } while (skip_operator("|"));
  node->body = parse_whole_body("endfilter");
  return node;
}

StatementPtr Parser::parse_with() {
  auto node = std::make_unique<WithStatement>(advance().line);
  while (!current().is(TokenKind::kBlockEnd)) {
    if (!node->variables.empty()) expect_operator(",");
    Target target = parse_target(TargetStyle::kNames);
    expect_operator("=");
    node->variables.emplace_back(std::move(target), parse_expression());
  }
  Temporarily soft(is_soft_, false);
  node->body = parse_whole_body("endwith");
  return node;
}

StatementPtr Parser::parse_macro() {
  auto node = std::make_unique<MacroStatement>(StatementKind::kMacro, advance().line);
  node->definition.name = parse_name_target().name;
  parse_signature(node->definition);
  parse_macro_body(node->definition, "endmacro");
  return node;
}

StatementPtr Parser::parse_call_block() {
  auto node = std::make_unique<MacroStatement>(StatementKind::kCallBlock, advance().line);
  node->definition.name = Value::none();
  if (current().is_operator("(")) parse_signature(node->definition);
  node->call = parse_expression();
  if (node->call->kind != ExpressionKind::kCall) fail("expected a call");
  parse_macro_body(node->definition, "endcall");
  return node;
}

StatementPtr Parser::parse_generation() {
  auto node = std::make_unique<MacroStatement>(StatementKind::kGeneration, advance().line);
  node->definition.name = Value::none();
  parse_macro_body(node->definition, "endgeneration");
  return node;
}

StatementPtr Parser::parse_loop_control(StatementKind kind) {
  const Token& token = advance();
  if (open_loops_ == 0) fail("'{}' outside of a loop", token.text);
  return std::make_unique<LoopControlStatement>(kind, token.line);
}

StatementPtr Parser::parse_print() {
  auto node = std::make_unique<OutputStatement>(advance().line);
  while (!current().is(TokenKind::kBlockEnd)) {
    if (!node->expressions.empty()) expect_operator(",");
    node->expressions.push_back(parse_expression());
  }
  return node;
}

void Parser::parse_signature(MacroDefinition& macro) {
  expect_operator("(");
  std::unordered_set<std::string> names;
  while (!current().is_operator(")")) {
    if (!macro.parameters.empty()) expect_operator(",");
    MacroDefinition::Parameter parameter;
    parameter.name = parse_name_target().name;
    if (!names.insert(std::string(parameter.name.text())).second) {
      fail("two parameters are called '{}'", parameter.name.text());
    }
    if (skip_operator("=")) {
      parameter.fallback = parse_expression();
    } else if (!macro.parameters.empty() && macro.parameters.back().fallback) {
      fail("parameter '{}' without a default follows one with a default", parameter.name.text());
    }
    macro.parameters.push_back(std::move(parameter));
  }
  advance();
}

void Parser::parse_macro_body(MacroDefinition& macro, std::string_view end_tag) {
  Temporarily loops(open_loops_, 0);
  Temporarily soft(is_soft_, false);
  open_macros_.push_back(&macro);
  macro.body = parse_whole_body(end_tag);
  open_macros_.pop_back();
  for (const auto& parameter : macro.parameters) {
    if (parameter.name.text() == "kwargs") macro.uses_kwargs = false;
    if (parameter.name.text() == "varargs") macro.uses_varargs = false;
    if (parameter.name.text() == "caller" && macro.uses_caller && !parameter.fallback) {
      fail("the parameter 'caller' must have a default");
    }
  }
}

Target Parser::parse_target(TargetStyle style, bool ends_with_in) {
  Target first = parse_single_target(style);
  if (!current().is_operator(",")) return first;
  Target tuple;
  tuple.kind = Target::Kind::kTuple;
  tuple.line = first.line;
  tuple.items.push_back(std::move(first));
  while (skip_operator(",")) {
    if (at_tuple_end(false) || (ends_with_in && current().is_name("in"))) break;
    if (current().is_operator("=")) fail_unexpected("a name");
    tuple.items.push_back(parse_single_target(style));
  }
  return tuple;
}

Target Parser::parse_single_target(TargetStyle style) {
  Nesting nesting(*this);
  if (skip_operator("(")) {
    Target tuple;
    tuple.kind = Target::Kind::kTuple;
    tuple.line = current().line;
    bool has_comma = false;
    while (!current().is_operator(")")) {
      if (!tuple.items.empty()) {
        expect_operator(",");
        has_comma = true;
        if (current().is_operator(")")) break;
      }
      tuple.items.push_back(parse_single_target(TargetStyle::kNames));
    }
    advance();
    if (tuple.items.size() == 1 && !has_comma) return std::move(tuple.items[0]);
    return tuple;
  }
  Target target = parse_name_target();
  if (style == TargetStyle::kNamesAndNamespaces && skip_operator(".")) {
    target.kind = Target::Kind::kNamespace;
    target.attribute = Value::constant(expect(TokenKind::kName, "a name").text);
  } else if (open_fors_ > 0 && target.name.text() == "loop") {
    fail("'loop' cannot be assigned within a loop");
  }
  return target;
}

Target Parser::parse_name_target() {
  const Token& token = expect(TokenKind::kName, "a name");
  for (std::string_view reserved : {"true", "false", "none", "True", "False", "None"}) {
    if (token.text == reserved) fail("'{}' cannot be assigned", reserved);
  }
  Target target;
  target.line = token.line;
  target.name = Value::constant(token.text);
  return target;
}

}  // namespace tokamak::text::jinja
