// SPDX-License-Identifier: Apache-2.0
// The part of Python's strings that needs character data: case and classes of characters.
#include <memory>

#include <unicode/ucasemap.h>
#include <unicode/uchar.h>

#include "tokamak/text/jinja_string.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text::jinja {
namespace {

using Mapping = int32_t (*)(const UCaseMap*, char*, int32_t, const char*, int32_t, UErrorCode*);

// Full mappings of the root locale, final sigma included.
std::string map_case(std::string_view text, Mapping mapping) {
  if (text.size() > size_t{INT32_MAX} / 4) fail("cannot change the case of {} bytes", text.size());
  UErrorCode status = U_ZERO_ERROR;
  std::unique_ptr<UCaseMap, void (*)(UCaseMap*)> map(ucasemap_open("", 0, &status),
                                                     &ucasemap_close);
  std::string out(text.size() * 3 + 16, '\0');  // No mapping makes more of a character.
  int32_t size = mapping(map.get(),
                         out.data(),
                         static_cast<int32_t>(out.size()),
                         text.data(),
                         static_cast<int32_t>(text.size()),
                         &status);
  if (U_FAILURE(status)) fail("cannot change the case: {}", u_errorName(status));
  out.resize(static_cast<size_t>(size));
  return out;
}

bool is_lower(char32_t c) {
  if (c < 0x80) return c >= 'a' && c <= 'z';
  return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_LOWERCASE);
}

bool is_upper(char32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z';
  return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_UPPERCASE);
}

bool is_title_letter(char32_t c) {
  return c >= 0x80 && u_charType(static_cast<UChar32>(c)) == U_TITLECASE_LETTER;
}

bool is_cased(char32_t c) {
  return is_lower(c) || is_upper(c) || is_title_letter(c);
}

std::string text_of(char32_t c) {
  std::string out;
  append_utf8(out, c);
  return out;
}

std::string title_of(char32_t c) {
  auto title = static_cast<char32_t>(u_totitle(static_cast<UChar32>(c)));
  if (title != c || c < 0x80) return text_of(title);
  std::string upper = to_upper(text_of(c));
  if (count_characters(upper) == 1) return upper;
  size_t first = utf8_size(upper[0]);  // ß becomes Ss, not SS.
  return upper.substr(0, first) + to_lower(std::string_view(upper).substr(first));
}

bool is_numeric(char32_t c, std::initializer_list<UNumericType> types) {
  auto type =
      static_cast<UNumericType>(u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_NUMERIC_TYPE));
  for (UNumericType wanted : types) {
    if (type == wanted) return true;
  }
  return false;
}

bool is_letter(char32_t c) {
  return U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_L_MASK;
}
bool is_decimal(char32_t c) {
  return is_numeric(c, {U_NT_DECIMAL});
}
bool is_digit(char32_t c) {
  return is_numeric(c, {U_NT_DECIMAL, U_NT_DIGIT});
}
bool is_any_number(char32_t c) {
  return is_numeric(c, {U_NT_DECIMAL, U_NT_DIGIT, U_NT_NUMERIC});
}

// islower and isupper: some character is cased, and none is cased otherwise.
bool all_cased(std::string_view text, bool (*is_wanted)(char32_t), bool (*is_refused)(char32_t)) {
  bool found = false, other = false;
  for_each_character(text, [&](char32_t c) {
    found |= is_wanted(c);
    other |= is_refused(c) || is_title_letter(c);
  });
  return found && !other;
}

bool is_title(std::string_view text) {
  bool found = false, valid = true, after_cased = false;
  for_each_character(text, [&](char32_t c) {
    bool begins = is_upper(c) || is_title_letter(c), continues = is_lower(c);
    if (begins) valid &= !after_cased;
    if (continues) valid &= after_cased;
    after_cased = begins || continues;
    found |= after_cased;
  });
  return found && valid;
}

template <typename Is>
bool all_of(std::string_view text, Is is) {
  bool all = !text.empty();
  for_each_character(text, [&](char32_t c) { all = all && is(c); });
  return all;
}

bool is_identifier(std::string_view text) {
  bool first = true;
  return all_of(text, [&](char32_t c) {
    bool begins = c == '_' || u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_XID_START);
    bool fits =
        begins || (!first && u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_XID_CONTINUE));
    first = false;
    return fits;
  });
}

}  // namespace

std::string to_upper(std::string_view text) {
  if (!is_ascii(text)) return map_case(text, ucasemap_utf8ToUpper);
  std::string out(text);
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return out;
}

std::string to_lower(std::string_view text) {
  if (!is_ascii(text)) return map_case(text, ucasemap_utf8ToLower);
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  for_each_character(text, [&](char32_t c) {
    out += is_upper(c) ? to_lower(text_of(c)) : is_lower(c) ? to_upper(text_of(c)) : text_of(c);
  });
  return out;
}

std::string capitalize(std::string_view text) {
  if (text.empty()) return {};
  CodePoint first = decode_utf8(text.data());
  return title_of(first.value) + to_lower(text.substr(first.size));
}

std::string title_case(std::string_view text) {
  std::string out;
  bool after_cased = false;
  for_each_character(text, [&](char32_t c) {
    out += after_cased ? to_lower(text_of(c)) : title_of(c);
    after_cased = is_cased(c);
  });
  return out;
}

bool is_printable(char32_t c) {
  if (c < 0x7f) return c >= 0x20;
  return !(U_GET_GC_MASK(static_cast<UChar32>(c)) & (U_GC_C_MASK | U_GC_Z_MASK));
}

bool is_word(char32_t c) {
  return c == '_' || is_letter(c) || is_any_number(c);
}

bool has_property(std::string_view text, TextProperty property) {
  switch (property) {
    case TextProperty::kAlpha:
      return all_of(text, is_letter);
    case TextProperty::kAlnum:
      return all_of(text, [](char32_t c) { return is_letter(c) || is_any_number(c); });
    case TextProperty::kDecimal:
      return all_of(text, is_decimal);
    case TextProperty::kDigit:
      return all_of(text, is_digit);
    case TextProperty::kNumeric:
      return all_of(text, is_any_number);
    case TextProperty::kSpace:
      return all_of(text, is_space);
    case TextProperty::kLower:
      return all_cased(text, is_lower, is_upper);
    case TextProperty::kUpper:
      return all_cased(text, is_upper, is_lower);
    case TextProperty::kTitle:
      return is_title(text);
    case TextProperty::kAscii:
      return is_ascii(text);
    case TextProperty::kPrintable:
      return text.empty() || all_of(text, is_printable);
    case TextProperty::kIdentifier:
      return is_identifier(text);
  }
  return false;
}

}  // namespace tokamak::text::jinja
