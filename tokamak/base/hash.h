// SPDX-License-Identifier: Apache-2.0
// 128-bit content hashes (XXH3): cache keys and file identities, not for secrets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tokamak::base {

struct Hash128 {
  uint64_t high = 0, low = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
  /// 32 hexadecimal digits.
  std::string hex() const;
};

Hash128 hash_bytes(std::span<const std::byte> bytes, uint64_t seed = 0);
Hash128 hash_text(std::string_view text, uint64_t seed = 0);

}  // namespace tokamak::base
