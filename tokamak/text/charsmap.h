// SPDX-License-Identifier: Apache-2.0
// The precompiled character map of SentencePiece: a double-array trie (J. Aoe, 1989, in the layout
// of darts-clone) from byte strings to replacements. It comes from files, so every step is bounded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/base/result.h"

namespace tokamak::text {

class Charsmap {
 public:
  struct Hit {
    size_t size = 0;  ///< Bytes of text that are replaced.
    std::string_view replacement;
  };

  /// `blob`: size of the trie (uint32, little endian), the trie, the replacements, each ended by
  /// NUL. Errors: corrupt.
  static Result<Charsmap> parse(std::string_view blob, std::string_view where);

  /// The shortest / longest key that `text` (valid UTF-8) starts with. Keys and replacements that
  /// are no whole characters do not count.
  std::optional<Hit> shortest(std::string_view text) const { return find(text, true); }
  std::optional<Hit> longest(std::string_view text) const { return find(text, false); }

 private:
  std::optional<Hit> find(std::string_view text, bool shortest) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace tokamak::text
