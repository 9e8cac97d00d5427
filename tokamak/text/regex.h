// SPDX-License-Identifier: Apache-2.0
// Regular expressions of tokenizer.json files. They are written for Oniguruma (Ruby's dialect); we
// run them with PCRE2, translated where the two differ: \s, \w and \h, scripts, possessive
// intervals, unions and intersections of character classes, the flags of (?m).
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tokamak/base/result.h"

namespace tokamak::text {

struct Match {
  size_t begin = 0, end = 0;
};

/// Immutable: any number of threads may search with it.
class Regex {
 public:
  /// Errors: unsupported (what PCRE2 or the translation does not know, with the offset).
  static Result<Regex> compile(std::string_view pattern);
  /// A pattern in PCRE2's own dialect.
  static Result<Regex> compile_pcre2(std::string_view pattern);
  /// Matches exactly `text`.
  static Result<Regex> literal(std::string_view text);

  /// The first match that begins at or after `from`, in valid UTF-8. Errors: unsupported (the
  /// pattern backtracks beyond a limit).
  Result<std::optional<Match>> find(std::string_view text, size_t from) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
};

/// The pattern in PCRE2's dialect. Errors: unsupported.
Result<std::string> translate_oniguruma(std::string_view pattern);

}  // namespace tokamak::text
