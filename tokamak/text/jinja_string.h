// SPDX-License-Identifier: Apache-2.0
// Python's string algorithms on UTF-8. Positions are bytes unless they are called characters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/text/jinja_value.h"

namespace tokamak::text::jinja {

/// Where `needle` first begins at or after `from`, or npos; in linear time, whatever the strings.
size_t find_text(std::string_view text, std::string_view needle, size_t from = 0);
/// Where `needle` last begins, or npos; in linear time.
size_t rfind_text(std::string_view text, std::string_view needle);
int64_t count_text(std::string_view text, std::string_view needle);

/// Replaces the first `limit` occurrences (all if negative). Fails if the heap refuses the size.
std::string replace_text(const Heap& heap,
                         std::string_view text,
                         std::string_view old_text,
                         std::string_view new_text,
                         int64_t limit = -1);

enum class Side { kLeft, kRight, kBoth };
bool is_space(char32_t c);
/// Without whitespace, or the characters of `chars`, at its ends.
std::string_view strip(std::string_view text,
                       Side side = Side::kBoth,
                       std::optional<std::string_view> chars = {});
/// split and rsplit; without a separator at runs of whitespace. Negative `limit`: no limit.
std::vector<std::string_view> split(std::string_view text,
                                    std::optional<std::string_view> separator,
                                    int64_t limit,
                                    bool from_right);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string swap_case(std::string_view text);
/// The first character in title case, the others in lower case.
std::string capitalize(std::string_view text);
/// str.title(): every letter that follows no letter in title case.
std::string title_case(std::string_view text);

/// What str.isalpha() and its like ask.
enum class TextProperty {
  kAlpha,
  kAlnum,
  kDecimal,
  kDigit,
  kNumeric,
  kSpace,
  kLower,
  kUpper,
  kTitle,
  kAscii,
  kPrintable,
  kIdentifier,
};
bool has_property(std::string_view text, TextProperty property);
/// Whether repr() shows the character as it is.
bool is_printable(char32_t c);
/// \w of Python's regular expressions.
bool is_word(char32_t c);

/// The byte where character `index` begins; the end if there are fewer.
size_t byte_of_character(const String& s, size_t index);
size_t count_characters(std::string_view text);

/// The characters that slice [start:stop:step] of `count` elements selects. Python's rules.
struct SliceRange {
  int64_t start = 0, stop = 0, step = 1, count = 0;
};
SliceRange slice_range(std::optional<int64_t> start,
                       std::optional<int64_t> stop,
                       int64_t step,
                       int64_t count);

/// The text with & < > " ' as HTML entities.
std::string escape_html(Heap& heap, std::string_view text);

}  // namespace tokamak::text::jinja
