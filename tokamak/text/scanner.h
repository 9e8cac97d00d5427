// SPDX-License-Identifier: Apache-2.0
// Hand-written matchers of the patterns that published tokenizers split text with. They match what
// the regular expression matches, many times faster; a property test holds them against PCRE2.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace tokamak::text {

/// The end of the pattern's match at `pos` (< text.size()); `pos` if it does not match there.
/// `text` is valid UTF-8.
using Scanner = size_t (*)(std::string_view text, size_t pos);

struct ScannerSpec {
  std::string_view name;     ///< The family that introduced the pattern.
  std::string_view pattern;  ///< In the spelling of tokenizer.json files.
  Scanner scan;
};

/// All scanners; patterns that differ in spelling only have an entry each.
std::span<const ScannerSpec> scanners();
/// By the exact text of the pattern, or null.
const ScannerSpec* find_scanner(std::string_view pattern);

size_t scan_gpt2(std::string_view text, size_t pos);
size_t scan_llama3(std::string_view text, size_t pos);
size_t scan_qwen2(std::string_view text, size_t pos);
size_t scan_qwen35(std::string_view text, size_t pos);
/// tiktoken's cl100k_base: llama3's, but spaces at the end of the text stay together.
size_t scan_cl100k(std::string_view text, size_t pos);
size_t scan_o200k(std::string_view text, size_t pos);
size_t scan_tekken(std::string_view text, size_t pos);
size_t scan_kimi(std::string_view text, size_t pos);

}  // namespace tokamak::text
