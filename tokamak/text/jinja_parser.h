// SPDX-License-Identifier: Apache-2.0
// Tokens to a tree. Statements are parsed in jinja_parser.cpp, expressions in
// jinja_parse_expression.cpp.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "tokamak/text/chat_template.h"
#include "tokamak/text/jinja_ast.h"
#include "tokamak/text/jinja_lexer.h"

namespace tokamak::text::jinja {

class Parser {
 public:
  /// `line` follows the parser, so that whoever catches a Failure knows where it was.
  Parser(std::vector<Token> tokens, const TemplateLimits& limits, int& line);
  TemplateTree parse();

 private:
  // Counts one level of nesting while it lives.
  class Nesting {
   public:
    explicit Nesting(Parser& parser);
    ~Nesting() { --depth_; }

   private:
    int& depth_;
  };

  const Token& current() const { return tokens_[next_]; }
  const Token& look_ahead() const { return tokens_[std::min(next_ + 1, tokens_.size() - 1)]; }
  const Token& advance();
  bool skip_name(std::string_view name);
  bool skip_operator(std::string_view sign);
  const Token& expect(TokenKind kind, std::string_view what);
  void expect_operator(std::string_view sign);
  [[noreturn]] void fail_unexpected(std::string_view expected) const;

  // Statements.
  Block parse_block(std::initializer_list<std::string_view> end_tags);
  // The rest of a tag, then the block up to one of the end tags, whose name is the current token.
  Block parse_body(std::initializer_list<std::string_view> end_tags);
  Block parse_whole_body(std::string_view end_tag);
  StatementPtr parse_statement();
  StatementPtr parse_if();
  StatementPtr parse_for();
  StatementPtr parse_set();
  StatementPtr parse_filter_block();
  StatementPtr parse_with();
  StatementPtr parse_macro();
  StatementPtr parse_call_block();
  StatementPtr parse_generation();
  StatementPtr parse_loop_control(StatementKind kind);
  StatementPtr parse_print();
  [[noreturn]] void fail_unknown_tag(const std::string& tag) const;
  void parse_signature(MacroDefinition& macro);
  void parse_macro_body(MacroDefinition& macro, std::string_view end_tag);
  enum class TargetStyle { kNames, kNamesAndNamespaces };
  Target parse_target(TargetStyle style, bool ends_with_in = false);
  Target parse_single_target(TargetStyle style);
  Target parse_name_target();

  // Expressions, from the loosest binding to the tightest.
  enum class Condition { kAllowed, kRefused };
  ExpressionPtr parse_tuple(Condition condition, bool ends_with_recursive = false);
  ExpressionPtr parse_expression();
  ExpressionPtr parse_conditional();
  ExpressionPtr parse_or();
  ExpressionPtr parse_and();
  ExpressionPtr parse_not();
  ExpressionPtr parse_compare();
  ExpressionPtr parse_sum();
  ExpressionPtr parse_concat();
  ExpressionPtr parse_product();
  ExpressionPtr parse_power();
  ExpressionPtr parse_unary(bool with_filters = true);
  ExpressionPtr parse_primary();
  ExpressionPtr parse_name();
  ExpressionPtr parse_parenthesized();
  ExpressionPtr parse_list();
  ExpressionPtr parse_dict();
  ExpressionPtr parse_postfix(ExpressionPtr node);
  ExpressionPtr parse_filters_and_tests(ExpressionPtr node);
  ExpressionPtr parse_subscript(ExpressionPtr node);
  ExpressionPtr parse_slice(ExpressionPtr node);
  ExpressionPtr parse_call(ExpressionPtr node);
  ExpressionPtr parse_filter(ExpressionPtr node);
  ExpressionPtr parse_test(ExpressionPtr node);
  std::unique_ptr<CallArguments> parse_call_arguments();
  bool at_tuple_end(bool ends_with_recursive) const;
  // A left-to-right chain of the operators that `match` accepts.
  template <typename ParseOperand>
  ExpressionPtr parse_arithmetic(
      std::initializer_list<std::pair<std::string_view, Operator>> operators,
      ParseOperand parse_operand);

  ExpressionPtr make(ExpressionKind kind, int line) const;
  // These keep the depth, too.
  void add_operand(Expression& node, ExpressionPtr operand) const;
  void add_arguments(Expression& node, std::unique_ptr<CallArguments> arguments) const;
  void include_depth(Expression& node, const Expression& part) const;
  // Notes a filter or test that does not exist.
  void check_known(const Expression& node);

  std::vector<Token> tokens_;
  const TemplateLimits& limits_;
  int& line_;
  size_t next_ = 0;
  int depth_ = 0;
  int open_loops_ = 0;    // Loops of the current function that break and continue could mean.
  int open_fors_ = 0;     // Loops around the current token, in whatever function.
  bool is_soft_ = false;  // Where an unknown filter fails only if it is reached.
  struct Unknown {
    std::string message;
    int line;
  };
  std::vector<Unknown> unknown_;  // The others.
  std::vector<ForStatement*> open_bodies_;
  std::vector<MacroDefinition*> open_macros_;
};

}  // namespace tokamak::text::jinja
