// SPDX-License-Identifier: Apache-2.0
// UTF-8 and the Unicode character data that tokenizers ask about. The data is ICU's; it is read
// once into a flat table, because pre-tokenizers classify every character of every prompt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tokamak::text {

/// Offset of the first byte that is not part of valid UTF-8, if there is one.
std::optional<size_t> find_invalid_utf8(std::string_view text);
bool is_ascii(std::string_view text);

struct CodePoint {
  char32_t value = 0;
  uint32_t size = 0;  ///< Bytes in UTF-8.
};

/// The character at `p`, which must be the start of valid UTF-8.
inline CodePoint decode_utf8(const char* p) {
  auto byte = [p](int i) { return static_cast<char32_t>(static_cast<unsigned char>(p[i])); };
  char32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  if (first < 0xe0) return {(first & 0x1f) << 6 | (byte(1) & 0x3f), 2};
  if (first < 0xf0) return {(first & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
  return {(first & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f),
          4};
}
/// Bytes of the character whose first byte is `first`.
inline size_t utf8_size(char first) {
  auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}
/// The start of the character that ends before `end` (> 0).
inline size_t previous_utf8(std::string_view text, size_t end) {
  do {
    --end;
  } while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80);
  return end;
}
void append_utf8(std::string& out, char32_t value);

/// Calls visit(char32_t) for each character of valid UTF-8.
template <typename Visit>
void for_each_character(std::string_view text, Visit&& visit) {
  for (size_t i = 0; i < text.size();) {
    CodePoint c = decode_utf8(text.data() + i);
    visit(c.value);
    i += c.size;
  }
}

/// What a character is: general categories, and the sets that pre-tokenizer patterns name.
enum CharacterClass : uint16_t {
  kLetter = 1 << 0,             ///< \p{L}
  kNumber = 1 << 1,             ///< \p{N}
  kSpace = 1 << 2,              ///< White_Space
  kMark = 1 << 3,               ///< \p{M}
  kPunctuation = 1 << 4,        ///< \p{P}
  kSymbol = 1 << 5,             ///< \p{S}
  kUpperLike = 1 << 6,          ///< [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
  kLowerLike = 1 << 7,          ///< [\p{Ll}\p{Lm}\p{Lo}\p{M}]
  kHan = 1 << 8,                ///< Script=Han
  kWord = 1 << 9,               ///< \w of UTS #18: Alphabetic, M, Nd, Pc, Join_Control
  kAsciiPunctuation = 1 << 10,  ///< !"#$%&'()*+,-./:;<=>?@[\]^_`{|}~
  // Some components of Hugging Face's library use older data, which published ids depend on.
  kPunctuation8 = 1 << 11,     ///< \p{P} of Unicode 8, and ASCII punctuation
  kNonSpacingMark8 = 1 << 12,  ///< \p{Mn} of Unicode 8
  kControl8 = 1 << 13,         ///< \p{C} of Unicode 8 but for unassigned characters
  kMark9 = 1 << 14,            ///< \p{M} of Unicode 9
};

/// CharacterClass bits by code point (0x110000 entries).
const uint16_t* character_classes();
inline bool is_class(char32_t c, uint16_t classes) {
  return character_classes()[c] & classes;
}

/// Lower case of one character without context, as Unicode's full mapping has it.
void append_lowercase(std::string& out, char32_t value);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
/// `text` must be valid UTF-8; it is left alone if it is already normalized. Characters younger
/// than Unicode 9 stay as they are: that is the data of the library that tokenizers were trained
/// with.
void normalize_unicode(NormalForm form, std::string& text);

/// The extended grapheme clusters of valid UTF-8: their ends in order.
std::vector<size_t> grapheme_ends(std::string_view text);

}  // namespace tokamak::text
