// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/scanner.h"

#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

/// Reads runs of characters, and the sub-expressions that the patterns share, from `pos` on.
class Cursor {
 public:
  Cursor(std::string_view text, size_t pos)
      : text_(text), pos_(pos), classes_(character_classes()) {}

  bool at_end(size_t pos) const { return pos >= text_.size(); }
  char byte(size_t pos) const { return pos < text_.size() ? text_[pos] : '\0'; }
  bool is_newline(size_t pos) const { return byte(pos) == '\n' || byte(pos) == '\r'; }

  /// Classes of the character at pos and its size; no classes at the end.
  struct Character {
    uint16_t classes = 0;
    uint32_t size = 0;
    bool is(uint16_t any_of) const { return classes & any_of; }
  };
  Character at(size_t pos) const {
    if (pos >= text_.size()) return {};
    auto first = static_cast<unsigned char>(text_[pos]);
    if (first < 0x80) return {classes_[first], 1};
    CodePoint c = decode_utf8(text_.data() + pos);
    return {classes_[c.value], c.size};
  }
  size_t run_of(size_t pos, uint16_t any_of) const {
    for (Character c = at(pos); c.is(any_of); c = at(pos)) pos += c.size;
    return pos;
  }
  size_t run_of(size_t pos, uint16_t any_of, uint16_t none_of) const {
    for (Character c = at(pos); c.is(any_of) && !c.is(none_of); c = at(pos)) pos += c.size;
    return pos;
  }
  size_t run_of_at_most(size_t pos, uint16_t any_of, int count) const {
    for (Character c = at(pos); count > 0 && c.is(any_of); c = at(pos), --count) pos += c.size;
    return pos;
  }
  /// [^\s\p{L}\p{N}]*
  size_t run_of_others(size_t pos) const { return run_not_of(pos, kSpace | kLetter | kNumber); }
  size_t run_not_of(size_t pos, uint16_t none_of) const {
    for (Character c = at(pos); c.size && !c.is(none_of); c = at(pos)) pos += c.size;
    return pos;
  }
  size_t run_of_bytes(size_t pos, std::string_view bytes) const {
    while (!at_end(pos) && bytes.find(text_[pos]) != bytes.npos) ++pos;
    return pos;
  }

  /// 's|'t|'re|'ve|'m|'ll|'d at pos: its end, or pos. Without case, ſ (U+017F) is an s.
  size_t contraction(size_t pos, bool any_case) const {
    if (byte(pos) != '\'') return pos;
    auto letter = [&](size_t at) {
      char c = byte(at);
      return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    };
    switch (letter(pos + 1)) {
      case 's':
      case 't':
      case 'm':
      case 'd':
        return pos + 2;
      case 'r':
      case 'v':
        return letter(pos + 2) == 'e' ? pos + 3 : pos;
      case 'l':
        return letter(pos + 2) == 'l' ? pos + 3 : pos;
      case '\xc5':
        return any_case && byte(pos + 2) == '\xbf' ? pos + 3 : pos;
      default:
        return pos;
    }
  }

  /// \s+(?!\S)|\s+ at a space whose run ends at `end`.
  size_t spaces(size_t end) const {
    if (at_end(end)) return end;
    size_t last = previous_utf8(text_, end);
    return last > pos_ ? last : end;
  }
  /// \s*[\r\n]+ within the run of spaces up to `end`: its end, or pos.
  size_t through_last_newline(size_t end) const {
    while (end > pos_ && !is_newline(end - 1)) --end;
    return end;
  }

 private:
  std::string_view text_;
  size_t pos_;
  const uint16_t* classes_;
};

/// \s*[\r\n]+|\s+(?!\S)|\s+
size_t scan_spaces(const Cursor& cursor, size_t pos) {
  size_t end = cursor.run_of(pos, kSpace);
  size_t newline = cursor.through_last_newline(end);
  return newline > pos ? newline : cursor.spaces(end);
}

/// The patterns of GPT-4's first generation: words with one leading character, short numbers.
template <int kDigits, bool kMarksInWords = false>
size_t scan_words(std::string_view text, size_t pos) {
  constexpr uint16_t kInWord = kMarksInWords ? kLetter | kMark : kLetter;
  Cursor cursor(text, pos);
  Cursor::Character first = cursor.at(pos);
  if (first.is(kInWord)) return cursor.run_of(pos + first.size, kInWord);
  if (size_t end = cursor.contraction(pos, true); end > pos) return end;
  if (first.is(kNumber)) return cursor.run_of_at_most(pos, kNumber, kDigits);
  if (!cursor.is_newline(pos)) {
    size_t letters = pos + first.size;
    size_t end = cursor.run_of(letters, kInWord);
    if (end > letters) return end;
  }
  size_t others = pos + (text[pos] == ' ' ? 1 : 0);
  size_t end = cursor.run_not_of(others, kSpace | kNumber | kInWord);
  if (end > others) return cursor.run_of_bytes(end, "\r\n");
  return scan_spaces(cursor, pos);
}

struct CasedWords {
  int digits = 3;
  bool contractions = true;
  bool han_apart = false;
  std::string_view after_punctuation = "\r\n/";  ///< Taken along after a run of it.
};

/// [^\r\n\p{L}\p{N}]?A*B+ and then [^\r\n\p{L}\p{N}]?A+B*, where A are the upper and B the lower
/// like characters: the end of the match, or pos.
size_t scan_cased_word(const CasedWords& words, const Cursor& cursor, size_t pos) {
  const uint16_t none_of = words.han_apart ? kHan : 0;
  Cursor::Character first = cursor.at(pos);
  bool may_lead = !first.is(kLetter | kNumber) && !cursor.is_newline(pos);
  auto word_end = [&](size_t end) {
    return words.contractions ? cursor.contraction(end, true) : end;
  };
  // A*B+ from `begin`. Where no B follows the run of As, its last character that is also a B is
  // the one that B+ takes.
  auto ends_in_lower = [&](size_t begin) {
    size_t upper = begin, last_lower = begin;
    for (Cursor::Character c = cursor.at(upper); c.is(kUpperLike) && !c.is(none_of);
         c = cursor.at(upper)) {
      upper += c.size;
      if (c.is(kLowerLike)) last_lower = upper;
    }
    size_t lower = cursor.run_of(upper, kLowerLike, none_of);
    return lower > upper ? lower : last_lower;
  };
  auto starts_upper = [&](size_t begin) {
    size_t upper = cursor.run_of(begin, kUpperLike, none_of);
    return upper > begin ? cursor.run_of(upper, kLowerLike, none_of) : begin;
  };
  // Each alternative is tried with a leading character first, then without.
  const size_t begins[] = {may_lead ? pos + first.size : pos, pos};
  for (size_t begin : begins) {
    if (size_t end = ends_in_lower(begin); end > begin) return word_end(end);
  }
  for (size_t begin : begins) {
    if (size_t end = starts_upper(begin); end > begin) return word_end(end);
  }
  return pos;
}

/// The patterns of GPT-4o's generation: words end where lower case turns to upper case.
size_t scan_cased(const CasedWords& words, std::string_view text, size_t pos) {
  Cursor cursor(text, pos);
  if (words.han_apart) {
    size_t end = cursor.run_of(pos, kHan);
    if (end > pos) return end;
  }
  if (size_t end = scan_cased_word(words, cursor, pos); end > pos) return end;
  if (cursor.at(pos).is(kNumber)) return cursor.run_of_at_most(pos, kNumber, words.digits);
  size_t others = pos + (text[pos] == ' ' ? 1 : 0);
  size_t end = cursor.run_of_others(others);
  if (end > others) return cursor.run_of_bytes(end, words.after_punctuation);
  return scan_spaces(cursor, pos);
}

bool is_deepseek_cjk(char32_t c) {
  return (c >= 0x4e00 && c <= 0x9fa5) || (c >= 0x3040 && c <= 0x30ff);
}

size_t scan_deepseek_cjk(std::string_view text, size_t pos) {
  while (pos < text.size() && static_cast<unsigned char>(text[pos]) >= 0xe3) {
    CodePoint c = decode_utf8(text.data() + pos);
    if (!is_deepseek_cjk(c.value)) break;
    pos += c.size;
  }
  return pos;
}

size_t scan_numbers_of_3(std::string_view text, size_t pos) {
  return Cursor(text, pos).run_of_at_most(pos, kNumber, 3);
}

size_t scan_number(std::string_view text, size_t pos) {
  return Cursor(text, pos).run_of_at_most(pos, kNumber, 1);
}

size_t scan_deepseek(std::string_view text, size_t pos) {
  Cursor cursor(text, pos);
  Cursor::Character first = cursor.at(pos);
  auto is_ascii_letter = [&](size_t at) {
    char c = static_cast<char>(cursor.byte(at) | 0x20);
    return c >= 'a' && c <= 'z';
  };
  if (first.is(kAsciiPunctuation) && is_ascii_letter(pos + 1)) {
    size_t end = pos + 1;
    while (is_ascii_letter(end)) ++end;
    return end;
  }
  if (first.is(kLetter | kMark)) return cursor.run_of(pos, kLetter | kMark);
  if (!cursor.is_newline(pos) && !first.is(kPunctuation | kSymbol)) {
    size_t letters = pos + first.size;
    size_t end = cursor.run_of(letters, kLetter | kMark);
    if (end > letters) return end;
  }
  size_t others = pos + (text[pos] == ' ' ? 1 : 0);
  size_t end = cursor.run_of(others, kPunctuation | kSymbol);
  if (end > others) return cursor.run_of_bytes(end, "\r\n");
  return first.is(kSpace) ? scan_spaces(cursor, pos) : pos;
}

constexpr CasedWords kO200k{};
constexpr CasedWords kTekken{.digits = 1, .contractions = false};
constexpr CasedWords kKimi{.han_apart = true, .after_punctuation = "\r\n"};

constexpr ScannerSpec kScanners[] = {
    {"gpt2",
     R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
     scan_gpt2},
    {"llama3",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     scan_llama3},
    {"qwen2",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     scan_qwen2},
    {"qwen3.5",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     scan_qwen35},
    {"o200k",
     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     scan_o200k},
    {"tekken",
     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     scan_tekken},
    {"kimi",
     R"([\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     scan_kimi},
    {"deepseek",
     R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^)"
     "\r\n"
     R"(\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[)"
     "\r\n"
     R"(]*|\s*[)"
     "\r\n"
     R"(]+|\s+(?!\S)|\s+)",
     scan_deepseek},
    {"deepseek_cjk", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", scan_deepseek_cjk},
    {"numbers_of_3", R"(\p{N}{1,3})", scan_numbers_of_3},
    {"number", R"(\p{N})", scan_number},
};

}  // namespace

size_t scan_gpt2(std::string_view text, size_t pos) {
  Cursor cursor(text, pos);
  if (size_t end = cursor.contraction(pos, false); end > pos) return end;
  size_t begin = pos + (text[pos] == ' ' ? 1 : 0);
  Cursor::Character first = cursor.at(begin);
  if (first.is(kLetter)) return cursor.run_of(begin, kLetter);
  if (first.is(kNumber)) return cursor.run_of(begin, kNumber);
  if (size_t end = cursor.run_of_others(begin); end > begin) return end;
  return cursor.spaces(cursor.run_of(pos, kSpace));
}

size_t scan_llama3(std::string_view text, size_t pos) {
  return scan_words<3>(text, pos);
}

size_t scan_qwen2(std::string_view text, size_t pos) {
  return scan_words<1>(text, pos);
}

size_t scan_qwen35(std::string_view text, size_t pos) {
  return scan_words<1, true>(text, pos);
}

size_t scan_cl100k(std::string_view text, size_t pos) {
  Cursor cursor(text, pos);
  if (cursor.at(pos).is(kSpace)) {
    size_t end = cursor.run_of(pos, kSpace);
    if (end == text.size()) return end;
  }
  return scan_words<3>(text, pos);
}

size_t scan_o200k(std::string_view text, size_t pos) {
  return scan_cased(kO200k, text, pos);
}

size_t scan_tekken(std::string_view text, size_t pos) {
  return scan_cased(kTekken, text, pos);
}

size_t scan_kimi(std::string_view text, size_t pos) {
  return scan_cased(kKimi, text, pos);
}

std::span<const ScannerSpec> scanners() {
  return kScanners;
}

const ScannerSpec* find_scanner(std::string_view pattern) {
  for (const ScannerSpec& spec : kScanners) {
    if (spec.pattern == pattern) return &spec;
  }
  return nullptr;
}

}  // namespace tokamak::text
