// SPDX-License-Identifier: Apache-2.0
// Oniguruma's dialect in PCRE2's (see regex.h).
#include <array>
#include <cctype>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tokamak/text/regex.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

// White_Space; PCRE2's own \s has U+180E too.
constexpr std::string_view kSpaces =
    R"(\x09-\x0d\x20\x85\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNotSpaces =
    R"(\x00-\x08\x0e-\x1f\x21-\x84\x86-\x9f\xa1-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027})"
    R"(\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{d7ff}\x{e000}-\x{10ffff})";
constexpr std::string_view kWordCharacters = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
// Outside of classes \w comes from a table of Latin-1 that has superscripts and fractions too.
constexpr std::string_view kWordOutside = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\xb2\xb3\xb9\xbc-\xbe)";

constexpr std::array<std::pair<std::string_view, std::string_view>, 17> kLongCategories{{
    {"letter", "L"},
    {"uppercaseletter", "Lu"},
    {"lowercaseletter", "Ll"},
    {"titlecaseletter", "Lt"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"mark", "M"},
    {"nonspacingmark", "Mn"},
    {"number", "N"},
    {"decimalnumber", "Nd"},
    {"punct", "P"},
    {"punctuation", "P"},
    {"symbol", "S"},
    {"separator", "Z"},
    {"spaceseparator", "Zs"},
    {"other", "C"},
    {"control", "Cc"},
}};
// POSIX brackets, which Oniguruma also takes as properties: items of a class.
constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kPosix{{
    {"alnum", R"(\p{Alphabetic}\p{Nd})"},
    {"alpha", R"(\p{Alphabetic})"},
    {"blank", R"(\t\p{Zs})"},
    {"cntrl", R"(\p{Cc})"},
    {"digit", R"(\p{Nd})"},
    {"lower", R"(\p{Lowercase})"},
    {"punct", R"(\p{P}\p{S})"},
    {"space", kSpaces},
    {"upper", R"(\p{Uppercase})"},
    {"word", kWordCharacters},
}};

std::optional<std::string_view> posix_items(std::string_view key) {
  for (auto [name, items] : kPosix) {
    if (key == name) return items;
  }
  return {};
}

std::string property_key(std::string_view name) {
  std::string key;
  for (char c : name) {
    if (c != '_' && c != ' ' && c != '-')
      key += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return key;
}

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  Result<std::string> run() {
    TKM_RETURN_IF_ERROR(sequence(0));
    if (pos_ < in_.size()) return fail("unbalanced ')'");
    return std::move(out_);
  }

 private:
  static constexpr int kMaxDepth = 50;

  bool more() const { return pos_ < in_.size(); }
  char peek(size_t ahead = 0) const { return pos_ + ahead < in_.size() ? in_[pos_ + ahead] : '\0'; }
  Error fail(std::string_view what) const {
    return base::unsupported(fmt::format("regex '{}': {} at byte {}", in_, what, pos_));
  }

  // Atoms with their quantifiers, up to the end of the group.
  Result<void> sequence(int depth) {
    if (depth > kMaxDepth) return fail("groups are nested too deep");
    size_t atom = out_.size();
    while (more() && peek() != ')') {
      char c = peek();
      if (c == '*' || c == '+' || c == '?') {
        out_ += in_[pos_++];
      } else if (c == '{' && interval_size() > 0) {
        size_t size = interval_size();
        out_ += in_.substr(pos_, size);
        pos_ += size;
        // A plus after an interval repeats it here; in PCRE2 it makes it possessive.
        if (peek() == '+') {
          out_.insert(atom, "(?:");
          out_ += ')';
        }
      } else {
        atom = out_.size();
        TKM_RETURN_IF_ERROR(one_atom(depth));
      }
    }
    return {};
  }

  size_t interval_size() const {
    size_t i = pos_ + 1, digits = 0;
    while (i < in_.size() && (std::isdigit(static_cast<unsigned char>(in_[i])) || in_[i] == ',')) {
      digits += in_[i++] != ',';
    }
    return digits > 0 && i < in_.size() && in_[i] == '}' ? i + 1 - pos_ : 0;
  }

  Result<void> one_atom(int depth) {
    switch (peek()) {
      case '(':
        return group(depth);
      case '[': {
        TKM_ASSIGN(std::string expression, character_class(depth + 1));
        out_ += expression;
        return {};
      }
      case '\\': {
        TKM_ASSIGN(std::string expression, escape(false));
        out_ += expression;
        return {};
      }
      default: {
        size_t size = std::min(utf8_size(peek()), in_.size() - pos_);
        out_ += in_.substr(pos_, size);
        pos_ += size;
        return {};
      }
    }
  }

  Result<void> group(int depth) {
    out_ += in_[pos_++];
    if (peek() == '?') {
      out_ += in_[pos_++];
      if (peek() == '~') return fail("absent operator");
      // Flags: Ruby's m makes a dot match newlines, which PCRE2 calls s.
      size_t flags = pos_;
      while (flags < in_.size() &&
             (std::isalpha(static_cast<unsigned char>(in_[flags])) || in_[flags] == '-'))
        ++flags;
      bool are_flags =
          flags > pos_ && flags < in_.size() && (in_[flags] == ')' || in_[flags] == ':');
      for (; are_flags && pos_ < flags; ++pos_) out_ += peek() == 'm' ? 's' : peek();
    }
    TKM_RETURN_IF_ERROR(sequence(depth + 1));
    if (!more()) return fail("missing ')'");
    out_ += in_[pos_++];
    return {};
  }

  // An escape; within a class it becomes items of a class.
  Result<std::string> escape(bool in_class) {
    ++pos_;
    if (!more()) return fail("pattern ends in a backslash");
    char c = in_[pos_++];
    auto set = [&](std::string_view items) {
      return in_class ? std::string(items) : fmt::format("[{}]", items);
    };
    switch (c) {
      case 's':
        return set(kSpaces);
      case 'S':
        return set(kNotSpaces);
      case 'w':
        return set(in_class ? kWordCharacters : kWordOutside);
      case 'W':
        if (in_class) return fail("\\W in a character class");
        return fmt::format("[^{}]", kWordOutside);
      case 'b':
      case 'B':
        if (in_class) return std::string{'\\', c};
        return word_boundary(c == 'B');
      case 'h':
        return set("0-9a-fA-F");
      case 'H':
        if (in_class) return fail("\\H in a character class");
        return std::string("[^0-9a-fA-F]");
      case 'p':
      case 'P':
        return property(c, in_class);
      case 'u':
        return unicode_escape();
      default:
        return std::string{'\\', c};
    }
  }

  static std::string word_boundary(bool negated) {
    std::string word = fmt::format("[{}]", kWordOutside);
    return fmt::format(
        "(?{}(?<={})(?!{})|(?<!{})(?={}))", negated ? '!' : ':', word, word, word, word);
  }

  Result<std::string> unicode_escape() {
    std::string_view digits = in_.substr(pos_, 4);
    if (digits.size() < 4 || digits.find_first_not_of("0123456789abcdefABCDEF") != digits.npos) {
      return fail("\\u without four digits");
    }
    pos_ += 4;
    return fmt::format("\\x{{{}}}", digits);
  }

  Result<std::string> property(char kind, bool in_class) {
    if (peek() != '{') return fail("property without a name in braces");
    size_t close = in_.find('}', pos_);
    if (close == in_.npos) return fail("property without '}'");
    std::string_view name = in_.substr(pos_ + 1, close - pos_ - 1);
    pos_ = close + 1;
    bool negated = kind == 'P';
    if (!name.empty() && name[0] == '^') {
      negated = !negated;
      name.remove_prefix(1);
    }
    const char* p = negated ? "\\P" : "\\p";
    std::string key = property_key(name);
    for (auto [long_name, category] : kLongCategories) {
      if (key == long_name) return fmt::format("{}{{{}}}", p, category);
    }
    if (auto items = posix_items(key)) {
      if (in_class && negated) return fail(fmt::format("negated {} in a character class", name));
      return in_class ? std::string(*items) : fmt::format("[{}{}]", negated ? "^" : "", *items);
    }
    // Categories have one or two letters. For scripts PCRE2 takes extensions along unless told.
    static constexpr std::array<std::string_view, 6> kBinary{
        "alphabetic", "any", "emoji", "ideographic", "lowercase", "uppercase"};
    bool plain = key.size() <= 2;
    for (std::string_view binary : kBinary) plain = plain || key == binary;
    return plain ? fmt::format("{}{{{}}}", p, name) : fmt::format("{}{{sc:{}}}", p, name);
  }

  // A class as an expression that matches one character: nested classes become alternatives, the
  // operands of && lookaheads.
  Result<std::string> character_class(int depth) {
    if (depth > kMaxDepth) return fail("classes are nested too deep");
    ++pos_;
    bool negated = peek() == '^';
    if (negated) ++pos_;
    std::vector<std::string> operands;
    std::string items;
    std::vector<std::string> nested;
    auto finish_operand = [&] {
      std::string operand = items.empty() ? "" : fmt::format("[{}]", items);
      for (const std::string& inner : nested) operand += (operand.empty() ? "" : "|") + inner;
      operands.push_back(nested.empty() ? operand : fmt::format("(?:{})", operand));
      items.clear();
      nested.clear();
    };
    for (bool first = true; more() && (first || peek() != ']'); first = false) {
      if (peek() == '&' && peek(1) == '&') {
        pos_ += 2;
        finish_operand();
      } else if (peek() == '[' && peek(1) == ':') {
        size_t close = in_.find(":]", pos_ + 2);
        if (close == in_.npos) return fail("POSIX bracket without ':]'");
        auto posix = posix_items(in_.substr(pos_ + 2, close - pos_ - 2));
        items += posix ? *posix : in_.substr(pos_, close + 2 - pos_);
        pos_ = close + 2;
      } else if (peek() == '[') {
        TKM_ASSIGN(std::string inner, character_class(depth + 1));
        nested.push_back(std::move(inner));
      } else if (peek() == '\\') {
        TKM_ASSIGN(std::string expression, escape(true));
        items += expression;
      } else if (peek() == '^' || (first && peek() == ']')) {
        items += '\\';
        items += in_[pos_++];
      } else {
        items += in_[pos_++];
      }
    }
    if (!more()) return fail("class without ']'");
    ++pos_;
    if (operands.empty() && nested.empty()) {
      if (items.empty()) return fail("empty class");
      return fmt::format("[{}{}]", negated ? "^" : "", items);
    }
    finish_operand();
    for (const std::string& operand : operands) {
      if (operand.empty()) return fail("empty operand of &&");
    }
    std::string all;
    for (size_t i = 1; i < operands.size(); ++i) all += fmt::format("(?={})", operands[i]);
    all += operands[0];
    return negated ? fmt::format("(?:(?!{})[\\s\\S])", all) : fmt::format("(?:{})", all);
  }

  std::string_view in_;
  size_t pos_ = 0;
  std::string out_;
};

}  // namespace

Result<std::string> translate_oniguruma(std::string_view pattern) {
  return Translator(pattern).run();
}

}  // namespace tokamak::text
