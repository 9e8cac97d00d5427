// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_lexer.h"

#include <algorithm>
#include <charconv>

#include "tokamak/text/jinja_literal.h"
#include "tokamak/text/jinja_string.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text::jinja {
namespace {

// Line ends become \n, and one at the very end is dropped.
std::string normalize_newlines(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

class Lexer {
 public:
  Lexer(std::string_view source, int& line) : source_(normalize_newlines(source)), line_(line) {
    line_ = 1;
  }

  std::vector<Token> run() {
    while (pos_ < source_.size()) read_text();
    add(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  bool at(std::string_view text) const { return rest().starts_with(text); }
  std::string_view rest() const { return std::string_view(source_).substr(pos_); }

  void advance(size_t bytes) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(pos_),
                                         source_.begin() + static_cast<ptrdiff_t>(pos_ + bytes),
                                         '\n'));
    pos_ += bytes;
    if (bytes) line_starts_ = source_[pos_ - 1] == '\n';
  }
  void skip_spaces() { advance(rest().size() - strip(rest(), Side::kLeft).size()); }

  void add(TokenKind kind, std::string text = {}) {
    tokens_.push_back({.kind = kind, .line = line_, .text = std::move(text)});
  }
  void add_text(std::string_view text) {
    if (!text.empty()) add(TokenKind::kText, std::string(text));
  }

  // Text up to the next tag, then the tag.
  void read_text() {
    size_t tag = pos_;
    do {
      tag = source_.find('{', tag);
      if (tag == std::string::npos || tag + 1 == source_.size()) {
        add_text(rest());
        return advance(rest().size());
      }
      char next = source_[tag + 1];
      if (next == '{' || next == '%' || next == '#') break;
      ++tag;
    } while (true);
    char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    bool is_variable = source_[tag + 1] == '{';
    add_text(before_tag(rest().substr(0, tag - pos_), sign, !is_variable));
    advance(tag - pos_);
    if (size_t size = raw_tag_size()) {
      advance(size);
      return read_raw();
    }
    char kind = source_[pos_ + 1];
    advance(sign == '-' || sign == '+' ? 3 : 2);
    if (kind == '#') return read_comment();
    add(is_variable ? TokenKind::kVariableBegin : TokenKind::kBlockBegin);
    read_tag(is_variable);
  }

  // What of the text before a tag is kept.
  std::string_view before_tag(std::string_view text, char sign, bool may_strip_line) const {
    if (sign == '-') return strip(text, Side::kRight);
    if (sign == '+' || !may_strip_line) return text;
    size_t line_begin = text.rfind('\n') + 1;
    if (line_begin == 0 && !line_starts_) return text;
    return strip(text.substr(line_begin)).empty() ? text.substr(0, line_begin) : text;
  }

  // The size of {% <name> %} with any signs and spaces here, or 0.
  size_t tag_size(std::string_view name, bool trims_newline) const {
    std::string_view left = rest();
    if (!left.starts_with("{%")) return 0;
    left.remove_prefix(2);
    if (left.starts_with('-') || left.starts_with('+')) left.remove_prefix(1);
    left = strip(left, Side::kLeft);
    if (!left.starts_with(name)) return 0;
    left = strip(left.substr(name.size()), Side::kLeft);
    size_t end = end_size(left, "%}", trims_newline, trims_newline);
    return end ? rest().size() - left.size() + end : 0;
  }
  size_t raw_tag_size() const { return tag_size("raw", false); }

  // The size of the end of a tag with its sign and the whitespace that goes with it, or 0.
  static size_t end_size(std::string_view text,
                         std::string_view end,
                         bool trims_newline,
                         bool allows_plus) {
    if (allows_plus && text.starts_with('+') && text.substr(1).starts_with(end)) return 3;
    if (text.starts_with('-') && text.substr(1).starts_with(end)) {
      return text.size() - strip(text.substr(3), Side::kLeft).size();
    }
    if (!text.starts_with(end)) return 0;
    return trims_newline && text.substr(2).starts_with('\n') ? 3 : 2;
  }

  void read_raw() {
    for (size_t tag = pos_; (tag = source_.find("{%", tag)) != std::string::npos; ++tag) {
      size_t begin = pos_;
      pos_ = tag;
      size_t size = tag_size("endraw", true);
      pos_ = begin;
      if (!size) continue;
      add_text(before_tag(rest().substr(0, tag - pos_), source_[tag + 2], true));
      return advance(tag - pos_ + size);
    }
    if (pos_ < source_.size()) fail("the raw block is not closed");
  }

  void read_comment() {
    for (size_t end = pos_; (end = source_.find("#}", end)) != std::string::npos; ++end) {
      size_t begin =
          end > pos_ && (source_[end - 1] == '-' || source_[end - 1] == '+') ? end - 1 : end;
      size_t size = end_size(std::string_view(source_).substr(begin), "#}", true, true);
      return advance(begin - pos_ + size);
    }
    if (pos_ < source_.size()) fail("the comment is not closed");
  }

  void read_tag(bool is_variable) {
    std::string closers;  // The brackets that are open, by what closes them.
    while (pos_ < source_.size()) {
      size_t end = closers.empty()
                       ? end_size(rest(), is_variable ? "}}" : "%}", !is_variable, !is_variable)
                       : 0;
      if (end) {
        add(is_variable ? TokenKind::kVariableEnd : TokenKind::kBlockEnd);
        return advance(end);
      }
      CodePoint c = decode_utf8(source_.data() + pos_);
      if (is_space(c.value)) {
        skip_spaces();
      } else if (is_digit(source_[pos_])) {
        read_number();
      } else if (is_word(c.value)) {
        read_name();
      } else if (c.value == '\'' || c.value == '"') {
        read_string();
      } else {
        read_operator(closers);
      }
    }
  }

  void read_number() {
    bool after_dot = pos_ > 0 && source_[pos_ - 1] == '.';
    NumberLiteral literal = read_number_literal(rest(), !after_dot);
    add(literal.is_float ? TokenKind::kFloat : TokenKind::kInteger);
    tokens_.back().integer = literal.integer;
    tokens_.back().number = literal.number;
    advance(literal.size);
  }

  void read_name() {
    size_t end = pos_;
    while (end < source_.size()) {
      CodePoint c = decode_utf8(source_.data() + end);
      if (!is_word(c.value)) break;
      end += c.size;
    }
    std::string name = source_.substr(pos_, end - pos_);
    if (!has_property(name, TextProperty::kIdentifier)) fail("'{}' is not a name", name);
    add(TokenKind::kName, std::move(name));
    advance(end - pos_);
  }

  void read_string() {
    size_t end = pos_ + 1;
    while (end < source_.size() && source_[end] != source_[pos_])
      end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail("the string is not closed");
    add(TokenKind::kString, unescape(std::string_view(source_).substr(pos_ + 1, end - pos_ - 1)));
    advance(end + 1 - pos_);
  }

  void read_operator(std::string& closers) {
    static constexpr std::string_view kOperators[] = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (std::string_view sign : kOperators) {
      if (!at(sign)) continue;
      if (size_t open = std::string_view("([{").find(sign); open != std::string::npos) {
        closers += ")]}"[open];
      } else if (sign == ")" || sign == "]" || sign == "}") {
        if (closers.empty() || closers.back() != sign[0]) fail("unexpected '{}'", sign);
        closers.pop_back();
      }
      add(TokenKind::kOperator, std::string(sign));
      return advance(sign.size());
    }
    CodePoint c = decode_utf8(source_.data() + pos_);
    fail("unexpected character '{}'", rest().substr(0, c.size));
  }

  std::string source_;
  int& line_;
  size_t pos_ = 0;
  bool line_starts_ = true;  // Whether what was read last ended with a line end.
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, int& line) {
  return Lexer(source, line).run();
}

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kText:
      return "text";
    case TokenKind::kVariableBegin:
      return "'{{'";
    case TokenKind::kVariableEnd:
      return "'}}'";
    case TokenKind::kBlockBegin:
      return "'{%'";
    case TokenKind::kBlockEnd:
      return "'%}'";
    case TokenKind::kString:
      return "a string";
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return "a number";
    case TokenKind::kEnd:
      return "the end of the template";
    default:
      return "'" + token.text + "'";
  }
}

}  // namespace tokamak::text::jinja
