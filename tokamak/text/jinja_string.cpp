// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_string.h"

#include <algorithm>
#include <cstring>

#include "tokamak/text/jinja_heap.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text::jinja {
namespace {

bool is_line_end(char32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

// Runs of what is not whitespace, from the left; the last piece of a limited split is the rest.
std::vector<std::string_view> split_words(std::string_view text, int64_t limit) {
  std::vector<std::string_view> words;
  for (;;) {
    text = strip(text, Side::kLeft);
    if (text.empty()) return words;
    if (limit >= 0 && static_cast<int64_t>(words.size()) == limit) break;
    size_t end = 0;
    while (end < text.size()) {
      CodePoint c = decode_utf8(text.data() + end);
      if (is_space(c.value)) break;
      end += c.size;
    }
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  words.push_back(text);
  return words;
}

std::vector<std::string_view> rsplit_words(std::string_view text, int64_t limit) {
  std::vector<std::string_view> words;
  for (;;) {
    text = strip(text, Side::kRight);
    if (text.empty()) break;
    size_t begin = text.size();
    if (limit >= 0 && static_cast<int64_t>(words.size()) == limit) begin = 0;
    while (begin > 0) {
      size_t previous = previous_utf8(text, begin);
      if (is_space(decode_utf8(text.data() + previous).value)) break;
      begin = previous;
    }
    if (limit >= 0 && static_cast<int64_t>(words.size()) == limit) begin = 0;
    words.push_back(text.substr(begin));
    text = text.substr(0, begin);
  }
  std::reverse(words.begin(), words.end());
  return words;
}

}  // namespace

size_t find_text(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string::npos;
  if (needle.empty()) return from;
  // memmem is linear in both lengths, std::string_view::find is not.
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (!found) return std::string::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t rfind_text(std::string_view text, std::string_view needle) {
  std::string mirrored(text.rbegin(), text.rend());
  size_t found = find_text(mirrored, std::string(needle.rbegin(), needle.rend()));
  return found == std::string::npos ? found : text.size() - found - needle.size();
}

int64_t count_text(std::string_view text, std::string_view needle) {
  if (needle.empty()) return static_cast<int64_t>(count_characters(text)) + 1;
  int64_t count = 0;
  for (size_t at = find_text(text, needle); at != std::string::npos;
       at = find_text(text, needle, at + needle.size())) {
    ++count;
  }
  return count;
}

std::string replace_text(const Heap& heap,
                         std::string_view text,
                         std::string_view old_text,
                         std::string_view new_text,
                         int64_t limit) {
  std::string out;
  size_t done = 0;
  for (int64_t count = 0; limit < 0 || count < limit; ++count) {
    size_t found;
    if (old_text.empty()) {  // Between all characters and at both ends.
      found = count == 0            ? 0
              : done == text.size() ? std::string::npos
                                    : done + utf8_size(text[done]);
    } else {
      found = find_text(text, old_text, done);
    }
    if (found == std::string::npos) break;
    out += text.substr(done, found - done);
    out += new_text;
    heap.check_bytes(static_cast<int64_t>(out.size()));
    done = found + old_text.size();
  }
  out += text.substr(done);
  return out;
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x1f);
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

std::string_view strip(std::string_view text, Side side, std::optional<std::string_view> chars) {
  std::u32string set;
  if (chars) for_each_character(*chars, [&](char32_t c) { set += c; });
  std::sort(set.begin(), set.end());
  auto is_stripped = [&](char32_t c) {
    return chars ? std::binary_search(set.begin(), set.end(), c) : is_space(c);
  };
  while (side != Side::kRight && !text.empty()) {
    CodePoint c = decode_utf8(text.data());
    if (!is_stripped(c.value)) break;
    text.remove_prefix(c.size);
  }
  while (side != Side::kLeft && !text.empty()) {
    size_t last = previous_utf8(text, text.size());
    if (!is_stripped(decode_utf8(text.data() + last).value)) break;
    text = text.substr(0, last);
  }
  return text;
}

std::vector<std::string_view> split(std::string_view text,
                                    std::optional<std::string_view> separator,
                                    int64_t limit,
                                    bool from_right) {
  if (!separator) return from_right ? rsplit_words(text, limit) : split_words(text, limit);
  if (separator->empty()) fail("empty separator");
  std::vector<size_t> found;
  for (size_t at = 0; (at = find_text(text, *separator, at)) != std::string::npos;
       at += separator->size()) {
    if (!from_right && limit >= 0 && static_cast<int64_t>(found.size()) >= limit) break;
    found.push_back(at);
  }
  if (from_right) {
    // Occurrences are counted from the right, which matters where they overlap.
    std::string mirrored(text.rbegin(), text.rend()),
        needle(separator->rbegin(), separator->rend());
    found.clear();
    for (size_t at = 0; (at = find_text(mirrored, needle, at)) != std::string::npos;
         at += needle.size()) {
      if (limit >= 0 && static_cast<int64_t>(found.size()) >= limit) break;
      found.push_back(text.size() - at - needle.size());
    }
    std::reverse(found.begin(), found.end());
  }
  std::vector<std::string_view> parts;
  size_t begin = 0;
  for (size_t at : found) {
    parts.push_back(text.substr(begin, at - begin));
    begin = at + separator->size();
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    CodePoint c = decode_utf8(text.data() + i);
    size_t end = i;
    i += c.size;
    if (!is_line_end(c.value)) continue;
    if (c.value == '\r' && i < text.size() && text[i] == '\n') ++i;
    lines.push_back(text.substr(begin, (keep_ends ? i : end) - begin));
    begin = i;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

size_t byte_of_character(const String& s, size_t index) {
  if (index >= s.num_characters) return s.text.size();
  if (s.is_ascii()) return index;
  size_t at = 0;
  for (; index > 0; --index) at += utf8_size(s.text[at]);
  return at;
}

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

SliceRange slice_range(std::optional<int64_t> start,
                       std::optional<int64_t> stop,
                       int64_t step,
                       int64_t count) {
  if (step == 0) fail("slice step cannot be zero");
  int64_t lowest = step < 0 ? -1 : 0, highest = step < 0 ? count - 1 : count;
  auto clamp = [&](std::optional<int64_t> index, int64_t fallback) {
    if (!index) return fallback;
    int64_t i = *index < 0 ? *index + count : *index;
    return std::clamp(i, lowest, highest);
  };
  int64_t from = clamp(start, step < 0 ? highest : lowest);
  int64_t to = clamp(stop, step < 0 ? lowest : highest);
  step = std::max(step, -INT64_MAX);  // The one step that cannot be negated.
  int64_t span = step < 0 ? from - to : to - from;
  int64_t stride = step < 0 ? -step : step;
  return {from, to, step, span <= 0 ? 0 : (span - 1) / stride + 1};
}

std::string escape_html(Heap& heap, std::string_view text) {
  heap.step_characters(text.size());
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
    heap.check_bytes(static_cast<int64_t>(out.size()));
  }
  return out;
}

}  // namespace tokamak::text::jinja
