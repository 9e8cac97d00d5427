// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/json_scanner.h"

#include <charconv>

#include "tokamak/text/unicode.h"

namespace tokamak::text {

Error JsonScanner::error(std::string_view problem) const {
  return base::corrupt(fmt::format("{}: {} at byte {}", what_, problem, pos_));
}

void JsonScanner::skip_space() {
  while (pos_ < text_.size() && (text_[pos_] == ' ' || text_[pos_] == '\n' || text_[pos_] == '\r' ||
                                 text_[pos_] == '\t')) {
    ++pos_;
  }
}

char JsonScanner::peek() {
  skip_space();
  return pos_ < text_.size() ? text_[pos_] : '\0';
}

Result<void> JsonScanner::expect(char c) {
  if (peek() != c) return error(fmt::format("not valid JSON: expected '{}'", c));
  ++pos_;
  return {};
}

Result<void> JsonScanner::object(FunctionRef<Result<void>(std::string_view)> visit) {
  TKM_RETURN_IF_ERROR(expect('{'));
  if (peek() == '}') return expect('}');
  for (;;) {
    TKM_ASSIGN(std::string_view key, string());
    TKM_RETURN_IF_ERROR(expect(':'));
    // The value may use the buffer that the key is in.
    if (key.data() == buffer_.data()) {
      std::string copy(key);
      TKM_RETURN_IF_ERROR(visit(copy));
    } else {
      TKM_RETURN_IF_ERROR(visit(key));
    }
    if (peek() != ',') return expect('}');
    ++pos_;
  }
}

Result<void> JsonScanner::array(FunctionRef<Result<void>(size_t)> visit) {
  TKM_RETURN_IF_ERROR(expect('['));
  if (peek() == ']') return expect(']');
  for (size_t i = 0;; ++i) {
    TKM_RETURN_IF_ERROR(visit(i));
    if (peek() != ',') return expect(']');
    ++pos_;
  }
}

Result<std::string_view> JsonScanner::string() {
  TKM_RETURN_IF_ERROR(expect('"'));
  size_t begin = pos_;
  auto plain = [&] {
    while (pos_ < text_.size() && text_[pos_] != '"' && text_[pos_] != '\\' &&
           static_cast<unsigned char>(text_[pos_]) >= 0x20) {
      ++pos_;
    }
  };
  plain();
  if (pos_ < text_.size() && text_[pos_] == '"') {
    ++pos_;
    return text_.substr(begin, pos_ - 1 - begin);
  }
  buffer_.assign(text_, begin, pos_ - begin);
  while (pos_ < text_.size() && text_[pos_] == '\\') {
    TKM_RETURN_IF_ERROR(escape());
    begin = pos_;
    plain();
    buffer_.append(text_, begin, pos_ - begin);
  }
  if (pos_ >= text_.size() || text_[pos_] != '"') {
    return error(pos_ < text_.size() ? "not valid JSON: control character in a string"
                                     : "not valid JSON: the file ends in a string");
  }
  ++pos_;
  return std::string_view(buffer_);
}

Result<void> JsonScanner::escape() {
  auto hex4 = [&]() -> Result<char32_t> {
    uint32_t value = 0;
    std::string_view digits = text_.substr(std::min(pos_, text_.size()), 4);
    auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (code != std::errc() || end != digits.data() + 4 || digits.size() != 4) {
      return error("not valid JSON: \\u needs four hexadecimal digits");
    }
    pos_ += 4;
    return static_cast<char32_t>(value);
  };
  ++pos_;
  char c = pos_ < text_.size() ? text_[pos_++] : '\0';
  switch (c) {
    case '"':
    case '\\':
    case '/':
      buffer_ += c;
      return {};
    case 'b':
      buffer_ += '\b';
      return {};
    case 'f':
      buffer_ += '\f';
      return {};
    case 'n':
      buffer_ += '\n';
      return {};
    case 'r':
      buffer_ += '\r';
      return {};
    case 't':
      buffer_ += '\t';
      return {};
    case 'u':
      break;
    default:
      return error("not valid JSON: unknown escape in a string");
  }
  TKM_ASSIGN(char32_t unit, hex4());
  if (unit >= 0xd800 && unit <= 0xdbff && text_.substr(pos_, 2) == "\\u") {
    pos_ += 2;
    TKM_ASSIGN(char32_t low, hex4());
    if (low < 0xdc00 || low > 0xdfff) return error("not valid JSON: unpaired surrogate");
    unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
  } else if (unit >= 0xd800 && unit <= 0xdfff) {
    return error("not valid JSON: unpaired surrogate");
  }
  append_utf8(buffer_, unit);
  return {};
}

Result<std::string_view> JsonScanner::number_text() {
  skip_space();
  size_t begin = pos_;
  while (pos_ < text_.size() &&
         std::string_view("+-.0123456789eE").find(text_[pos_]) != std::string_view::npos) {
    ++pos_;
  }
  if (pos_ == begin) return error("expected a number");
  return text_.substr(begin, pos_ - begin);
}

Result<int64_t> JsonScanner::integer() {
  TKM_ASSIGN(std::string_view digits, number_text());
  int64_t value = 0;
  auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (code != std::errc() || end != digits.data() + digits.size()) {
    return error(fmt::format("'{}' is not an integer of 64 bits", digits));
  }
  return value;
}

Result<double> JsonScanner::number() {
  TKM_ASSIGN(std::string_view digits, number_text());
  double value = 0;
  auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (code != std::errc() || end != digits.data() + digits.size()) {
    return error(fmt::format("'{}' is not a number", digits));
  }
  return value;
}

Result<std::string_view> JsonScanner::skip() {
  skip_space();
  size_t begin = pos_;
  TKM_RETURN_IF_ERROR(skip_nested(0));
  return text_.substr(begin, pos_ - begin);
}

Result<void> JsonScanner::skip_nested(int depth) {
  if (depth > kMaxDepth) return error(fmt::format("JSON is nested over {} deep", kMaxDepth));
  switch (peek()) {
    case '{':
      return object([&](std::string_view) { return skip_nested(depth + 1); });
    case '[':
      return array([&](size_t) { return skip_nested(depth + 1); });
    case '"': {
      auto skipped = string();
      if (!skipped.ok()) return skipped.error();
      return {};
    }
    default:
      break;
  }
  for (std::string_view word : {"true", "false", "null"}) {
    if (text_.substr(pos_, word.size()) == word) {
      pos_ += word.size();
      return {};
    }
  }
  auto skipped = number();
  if (!skipped.ok()) return skipped.error();
  return {};
}

Result<void> JsonScanner::end() {
  if (peek() != '\0' || pos_ < text_.size()) return error("not valid JSON: text after the value");
  return {};
}

}  // namespace tokamak::text
