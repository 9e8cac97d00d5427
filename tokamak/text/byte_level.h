// SPDX-License-Identifier: Apache-2.0
// GPT-2's alphabet of bytes: each of the 256 bytes is written as one printable character, so that
// vocabulary files are text ("Ġworld"). Bytes that print in Latin-1 stand for themselves, the
// others follow from U+0100 on in order.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tokamak::text {

char32_t byte_to_character(unsigned char byte);
std::optional<unsigned char> character_to_byte(char32_t character);

/// Each byte as its character.
std::string bytes_to_alphabet(std::string_view bytes);
/// The bytes of `text` (valid UTF-8), if all its characters are of the alphabet.
std::optional<std::string> alphabet_to_bytes(std::string_view text);

}  // namespace tokamak::text
