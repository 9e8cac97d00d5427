// SPDX-License-Identifier: Apache-2.0
// Cuts a template into tokens: text, and the names, literals and operators of its tags. All rules
// about whitespace (trim_blocks, lstrip_blocks, the signs - and +) are applied here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tokamak::text::jinja {

enum class TokenKind : uint8_t {
  kText,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text;  ///< Text; a name; an operator; a string without quotes and escapes.
  int64_t integer = 0;
  double number = 0;
  bool is(TokenKind k) const { return kind == k; }
  bool is_name(std::string_view name) const { return kind == TokenKind::kName && text == name; }
  bool is_operator(std::string_view sign) const {
    return kind == TokenKind::kOperator && text == sign;
  }
};

/// The tokens of valid UTF-8, with kEnd as the last. Fails with `line` at the line of the error.
std::vector<Token> tokenize(std::string_view source, int& line);

/// What the token is called in messages.
std::string describe(const Token& token);

}  // namespace tokamak::text::jinja
