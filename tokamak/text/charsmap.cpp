// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/charsmap.h"

#include <cstring>

#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

// A unit: bit 8 says that a key ends here, whose value is in the unit at its offset; bits 0-7 (and
// 31, which values have) are the byte that leads here; the rest is the offset to the children.
bool ends_key(uint32_t unit) {
  return unit >> 8 & 1;
}
uint32_t label(uint32_t unit) {
  return unit & 0x800000ffu;
}
uint32_t offset(uint32_t unit) {
  return unit >> 10 << ((unit & 0x200u) >> 6);
}
uint32_t value(uint32_t unit) {
  return unit & 0x7fffffffu;
}

bool at_character(std::string_view text, size_t at) {
  return at >= text.size() || (static_cast<unsigned char>(text[at]) & 0xc0) != 0x80;
}

}  // namespace

Result<Charsmap> Charsmap::parse(std::string_view blob, std::string_view where) {
  uint32_t size = 0;
  if (blob.size() < 4) {
    return base::corrupt(fmt::format("{}: character map of {} bytes", where, blob.size()));
  }
  std::memcpy(&size, blob.data(), 4);
  if (size > blob.size() - 4 || size % 4 != 0) {
    return base::corrupt(fmt::format(
        "{}: trie of {} bytes in a character map of {} bytes", where, size, blob.size()));
  }
  Charsmap map;
  map.units_.resize(size / 4);
  if (size > 0) std::memcpy(map.units_.data(), blob.data() + 4, size);
  map.replacements_ = blob.substr(4 + size);
  if (auto bad = find_invalid_utf8(map.replacements_)) {
    return base::corrupt(
        fmt::format("{}: replacements are not valid UTF-8 at byte {}", where, *bad));
  }
  return map;
}

std::optional<Charsmap::Hit> Charsmap::find(std::string_view text, bool shortest) const {
  std::optional<Hit> hit;
  if (units_.empty()) return hit;
  uint32_t at = offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    auto byte = static_cast<unsigned char>(text[i]);
    // A NUL would lead to the value units.
    if (byte == 0) break;
    at ^= byte;
    if (at >= units_.size() || label(units_[at]) != byte) break;
    uint32_t unit = units_[at];
    at ^= offset(unit);
    if (!ends_key(unit) || at >= units_.size() || !at_character(text, i + 1)) continue;
    uint32_t begin = value(units_[at]);
    if (begin >= replacements_.size() || !at_character(replacements_, begin)) continue;
    hit = {i + 1, std::string_view(replacements_.c_str() + begin)};
    if (shortest) break;
  }
  return hit;
}

}  // namespace tokamak::text
