// SPDX-License-Identifier: Apache-2.0
// Walks JSON text without building values. Vocabularies are megabytes of short strings that go
// straight into a table; the small rest is handed on, as text, to parse_json.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tokamak/base/result.h"
#include "tokamak/text/function_ref.h"

namespace tokamak::text {

/// Reads one value after another. Strings are views into the text or, with escapes, into a buffer
/// that the next string overwrites. The text must be valid UTF-8 and outlive the scanner.
class JsonScanner {
 public:
  /// `what` names the source in errors.
  JsonScanner(std::string_view text, std::string what) : text_(text), what_(std::move(what)) {}

  /// Calls visit(key) for each member; visit must read the member's value.
  Result<void> object(FunctionRef<Result<void>(std::string_view key)> visit);
  /// Calls visit(index) for each element; visit must read it.
  Result<void> array(FunctionRef<Result<void>(size_t index)> visit);
  Result<std::string_view> string();
  Result<int64_t> integer();
  Result<double> number();
  /// Steps over any value; returns its text.
  Result<std::string_view> skip();
  /// Nothing but space may follow.
  Result<void> end();

  /// The first character of the value that comes next: one of {["tfn-0…9, or \0 at the end.
  char peek();
  /// corrupt, with the place.
  Error error(std::string_view problem) const;

 private:
  static constexpr int kMaxDepth = 64;
  void skip_space();
  Result<void> expect(char c);
  Result<void> escape();
  Result<void> skip_nested(int depth);
  Result<std::string_view> number_text();

  std::string_view text_;
  std::string what_;
  size_t pos_ = 0;
  std::string buffer_;
};

}  // namespace tokamak::text
