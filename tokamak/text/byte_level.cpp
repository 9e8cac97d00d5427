// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/byte_level.h"

#include <array>
#include <cstdint>

#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<int16_t, 512> byte{};

  constexpr Alphabet() {
    for (int16_t& b : byte) b = -1;
    char32_t next = 256;
    for (int b = 0; b < 256; ++b) {
      bool prints = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
      character[b] = prints ? static_cast<char32_t>(b) : next++;
      byte[character[b]] = static_cast<int16_t>(b);
    }
  }
};
constexpr Alphabet kAlphabet;

}  // namespace

char32_t byte_to_character(unsigned char byte) {
  return kAlphabet.character[byte];
}

std::optional<unsigned char> character_to_byte(char32_t character) {
  if (character >= kAlphabet.byte.size() || kAlphabet.byte[character] < 0) return {};
  return static_cast<unsigned char>(kAlphabet.byte[character]);
}

std::string bytes_to_alphabet(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (char byte : bytes) append_utf8(out, byte_to_character(static_cast<unsigned char>(byte)));
  return out;
}

std::optional<std::string> alphabet_to_bytes(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    CodePoint c = decode_utf8(text.data() + i);
    auto byte = character_to_byte(c.value);
    if (!byte) return {};
    out.push_back(static_cast<char>(*byte));
    i += c.size;
  }
  return out;
}

}  // namespace tokamak::text
