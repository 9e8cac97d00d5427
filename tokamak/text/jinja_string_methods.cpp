// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "tokamak/text/jinja_compare.h"
#include "tokamak/text/jinja_format.h"
#include "tokamak/text/jinja_interpreter.h"
#include "tokamak/text/jinja_methods.h"
#include "tokamak/text/jinja_print.h"
#include "tokamak/text/jinja_string.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text::jinja {
namespace {

const std::string& text_argument(const Value& value, std::string_view method) {
  if (!value.is_string()) fail("{}() needs a string, not {}", method, value.type_name());
  return value.text();
}

int64_t integer_argument(const Value& value, int64_t fallback, std::string_view method) {
  if (value.is_missing()) return fallback;
  if (!value.is_integer()) fail("{}() needs an integer, not {}", method, value.type_name());
  return value.as_integer();
}

void refuse_named(const Arguments& arguments, std::string_view method) {
  if (!arguments.named.empty()) fail("{}() takes no keyword arguments", method);
}

// What a method of Markup makes is Markup again.
Value like(Interpreter& interpreter, const Value& self, std::string text) {
  return interpreter.heap().string(std::move(text), self.string().is_markup);
}

template <std::string (*kMap)(std::string_view)>
Value map_text(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  bind_arguments("the string method", arguments, {});
  interpreter.heap().step_characters(self.text().size());
  return like(interpreter, self, kMap(self.text()));
}

template <TextProperty kProperty>
Value test_text(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  bind_arguments("the string method", arguments, {});
  interpreter.heap().step_characters(self.text().size());
  return Value::boolean(has_property(self.text(), kProperty));
}

template <Side kSide>
Value strip_text(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  refuse_named(arguments, "strip");
  Value chars = bind_arguments("strip", arguments, {"chars"})[0];
  std::optional<std::string_view> set;
  if (!chars.is_missing() && !chars.is_none()) set = text_argument(chars, "strip");
  if (set) interpreter.heap().step_characters(self.text().size() + set->size());
  return like(interpreter, self, std::string(strip(self.text(), kSide, set)));
}

template <bool kFromRight>
Value split_text(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  auto bound = bind_arguments("split", arguments, {"sep", "maxsplit"});
  std::optional<std::string_view> separator;
  if (!bound[0].is_missing() && !bound[0].is_none()) separator = text_argument(bound[0], "split");
  separator ? interpreter.heap().step_bytes(self.text().size())
            : interpreter.heap().step_characters(self.text().size());
  std::vector<Value> parts;
  for (std::string_view part :
       split(self.text(), separator, integer_argument(bound[1], -1, "split"), kFromRight)) {
    parts.push_back(like(interpreter, self, std::string(part)));
  }
  return interpreter.heap().list(std::move(parts));
}

Value split_text_lines(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  auto bound = bind_arguments("splitlines", arguments, {"keepends"});
  interpreter.heap().step_characters(self.text().size());
  std::vector<Value> lines;
  for (std::string_view line : split_lines(self.text(), truth(bound[0]))) {
    lines.push_back(like(interpreter, self, std::string(line)));
  }
  return interpreter.heap().list(std::move(lines));
}

template <bool kFromRight>
Value partition(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  refuse_named(arguments, "partition");
  Value separator = bind_arguments("partition", arguments, {"sep"}, 1)[0];
  const std::string& sep = text_argument(separator, "partition");
  if (sep.empty()) fail("empty separator");
  const std::string& text = self.text();
  interpreter.heap().step_bytes(text.size());
  size_t at = kFromRight ? rfind_text(text, sep) : find_text(text, sep);
  std::string parts[3] = {text, "", ""};
  if (at != std::string::npos) {
    parts[0] = text.substr(0, at);
    parts[1] = sep;
    parts[2] = text.substr(at + sep.size());
  } else if (kFromRight) {
    std::swap(parts[0], parts[2]);
  }
  std::vector<Value> values;
  for (std::string& part : parts) values.push_back(like(interpreter, self, std::move(part)));
  return interpreter.heap().tuple(std::move(values));
}

/// text[start:end] of the methods that search, in bytes; `is_valid` is false beyond the end.
struct SearchRange {
  std::string_view text;
  size_t offset = 0;
  bool is_valid = true;
};

SearchRange search_range(Heap& heap, const Value& self, const Value& start, const Value& end) {
  const String& s = self.string();
  heap.step_bytes(s.text.size());
  auto size = static_cast<int64_t>(s.num_characters);
  auto position = [&](const Value& value, int64_t fallback) {
    if (value.is_missing() || value.is_none()) return fallback;
    int64_t at = integer_argument(value, 0, "find");
    return at < 0 ? std::max<int64_t>(at + size, 0) : at;
  };
  int64_t from = position(start, 0), to = std::min(position(end, size), size);
  if (from > to) return {{}, 0, false};
  size_t begin = byte_of_character(s, static_cast<size_t>(from));
  size_t stop = byte_of_character(s, static_cast<size_t>(to));
  return {std::string_view(s.text).substr(begin, stop - begin), begin, true};
}

template <bool kFromRight, bool kMustExist>
Value find_in_text(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  refuse_named(arguments, "find");
  auto bound = bind_arguments("find", arguments, {"sub", "start", "end"}, 1);
  const std::string& needle = text_argument(bound[0], "find");
  SearchRange range = search_range(interpreter.heap(), self, bound[1], bound[2]);
  size_t at = !range.is_valid ? std::string::npos
              : kFromRight    ? rfind_text(range.text, needle)
                              : find_text(range.text, needle);
  if (at == std::string::npos) {
    if (kMustExist) fail("substring not found");
    return Value::integer(-1);
  }
  return Value::integer(static_cast<int64_t>(
      count_characters(std::string_view(self.text()).substr(0, range.offset + at))));
}

Value count_in_text(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  refuse_named(arguments, "count");
  auto bound = bind_arguments("count", arguments, {"sub", "start", "end"}, 1);
  const std::string& needle = text_argument(bound[0], "count");
  SearchRange range = search_range(interpreter.heap(), self, bound[1], bound[2]);
  return Value::integer(range.is_valid ? count_text(range.text, needle) : 0);
}

template <bool kAtEnd>
Value has_affix(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  refuse_named(arguments, "startswith");
  auto bound = bind_arguments("startswith", arguments, {"prefix", "start", "end"}, 1);
  bool whole = bound[1].is_missing() && bound[2].is_missing();
  SearchRange range = whole ? SearchRange{self.text(), 0, true}
                            : search_range(interpreter.heap(), self, bound[1], bound[2]);
  auto matches = [&](const Value& affix) {
    const std::string& text = text_argument(affix, "startswith");
    interpreter.heap().step_bytes(text.size());
    return range.is_valid && (kAtEnd ? range.text.ends_with(text) : range.text.starts_with(text));
  };
  if (!bound[0].is(Kind::kTuple)) return Value::boolean(matches(bound[0]));
  const auto& affixes = bound[0].items();
  return Value::boolean(std::any_of(affixes.begin(), affixes.end(), matches));
}

template <bool kAtEnd>
Value remove_affix(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  refuse_named(arguments, "removeprefix");
  Value argument = bind_arguments("removeprefix", arguments, {"affix"}, 1)[0];
  const std::string& affix = text_argument(argument, "removeprefix");
  std::string_view text = self.text();
  if (kAtEnd && text.ends_with(affix)) text.remove_suffix(affix.size());
  if (!kAtEnd && text.starts_with(affix)) text.remove_prefix(affix.size());
  return like(interpreter, self, std::string(text));
}

Value replace_in_text(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  refuse_named(arguments, "replace");
  auto bound = bind_arguments("replace", arguments, {"old", "new", "count"}, 2);
  Heap& heap = interpreter.heap();
  heap.step_bytes(self.text().size());
  std::string replacement = text_argument(bound[1], "replace");
  if (self.string().is_markup && !bound[1].string().is_markup) {
    replacement = escape_html(heap, replacement);
  }
  return like(interpreter,
              self,
              replace_text(heap,
                           self.text(),
                           text_argument(bound[0], "replace"),
                           replacement,
                           integer_argument(bound[2], -1, "replace")));
}

Value join_texts(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  Value items = bind_arguments("join", arguments, {"iterable"}, 1)[0];
  Heap& heap = interpreter.heap();
  std::string out;
  bool is_first = true;
  for_each(heap, items, [&](const Value& item) {
    if (!item.is_string()) fail("join() needs strings, found {}", item.type_name());
    if (!is_first) append_text(heap, out, self);
    is_first = false;
    bool escapes = self.string().is_markup && !item.string().is_markup;
    out += escapes ? escape_html(heap, item.text()) : item.text();
    heap.check_bytes(static_cast<int64_t>(out.size()));
  });
  return like(interpreter, self, std::move(out));
}

template <char kAlign>
Value justify(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  refuse_named(arguments, "center");
  auto bound = bind_arguments("center", arguments, {"width", "fillchar"}, 1);
  FormatSpec spec;
  spec.width = std::max<int64_t>(integer_argument(bound[0], 0, "center"), 0);
  if (!bound[1].is_missing()) spec.fill = text_argument(bound[1], "center");
  if (count_characters(spec.fill) != 1) fail("the fill character must be one character");
  Heap& heap = interpreter.heap();
  heap.check_bytes(spec.width);
  std::string text = self.text();
  if (kAlign == '^') {  // str.center puts an odd space elsewhere than format does.
    auto missing = spec.width - static_cast<int64_t>(self.string().num_characters);
    if (missing > 0) {
      int64_t left = missing / 2 + (missing & spec.width & 1);
      FormatSpec half = spec;
      half.width -= missing - left;
      text = pad(heap, half, std::move(text), '>', 0);
    }
    return like(interpreter, self, pad(heap, spec, std::move(text), '<', 0));
  }
  return like(interpreter, self, pad(heap, spec, std::move(text), kAlign, 0));
}

Value zero_fill(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  refuse_named(arguments, "zfill");
  FormatSpec spec;
  spec.fill = "0";
  spec.width = integer_argument(bind_arguments("zfill", arguments, {"width"}, 1)[0], 0, "zfill");
  const std::string& text = self.text();
  size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  return like(interpreter, self, pad(interpreter.heap(), spec, text, '=', sign));
}

Value expand_tabs(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  int64_t size =
      integer_argument(bind_arguments("expandtabs", arguments, {"tabsize"})[0], 8, "expandtabs");
  Heap& heap = interpreter.heap();
  heap.check_bytes(size);
  heap.step_characters(self.text().size());
  std::string out;
  int64_t column = 0;
  for_each_character(self.text(), [&](char32_t c) {
    if (c != '\t') {
      append_utf8(out, c);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    } else if (size > 0) {
      int64_t spaces = size - column % size;
      out.append(static_cast<size_t>(spaces), ' ');
      column += spaces;
      heap.check_bytes(static_cast<int64_t>(out.size()));
    }
  });
  return like(interpreter, self, std::move(out));
}

Value format_map(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  Value mapping = bind_arguments("format_map", arguments, {"mapping"}, 1)[0];
  if (!mapping.is_dict()) fail("format_map() needs a dict, not {}", mapping.type_name());
  Arguments named;
  for (const auto& [key, value] : mapping.dict().entries()) {
    if (key.is_string()) named.named.emplace_back(key.text(), value);
  }
  return format_braces(interpreter, self, named);
}

constexpr Method kMethods[] = {
    {"capitalize", map_text<capitalize>},
    {"casefold", map_text<to_lower>},
    {"center", justify<'^'>},
    {"count", count_in_text},
    {"endswith", has_affix<true>},
    {"expandtabs", expand_tabs},
    {"find", find_in_text<false, false>},
    {"format", format_braces},
    {"format_map", format_map},
    {"index", find_in_text<false, true>},
    {"isalnum", test_text<TextProperty::kAlnum>},
    {"isalpha", test_text<TextProperty::kAlpha>},
    {"isascii", test_text<TextProperty::kAscii>},
    {"isdecimal", test_text<TextProperty::kDecimal>},
    {"isdigit", test_text<TextProperty::kDigit>},
    {"isidentifier", test_text<TextProperty::kIdentifier>},
    {"islower", test_text<TextProperty::kLower>},
    {"isnumeric", test_text<TextProperty::kNumeric>},
    {"isprintable", test_text<TextProperty::kPrintable>},
    {"isspace", test_text<TextProperty::kSpace>},
    {"istitle", test_text<TextProperty::kTitle>},
    {"isupper", test_text<TextProperty::kUpper>},
    {"join", join_texts},
    {"ljust", justify<'<'>},
    {"lower", map_text<to_lower>},
    {"lstrip", strip_text<Side::kLeft>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace_in_text},
    {"rfind", find_in_text<true, false>},
    {"rindex", find_in_text<true, true>},
    {"rjust", justify<'>'>},
    {"rpartition", partition<true>},
    {"rsplit", split_text<true>},
    {"rstrip", strip_text<Side::kRight>},
    {"split", split_text<false>},
    {"splitlines", split_text_lines},
    {"startswith", has_affix<false>},
    {"strip", strip_text<Side::kBoth>},
    {"swapcase", map_text<swap_case>},
    {"title", map_text<title_case>},
    {"upper", map_text<to_upper>},
    {"zfill", zero_fill},
};

}  // namespace

const Method* find_string_method(std::string_view name) {
  auto found = std::lower_bound(
      std::begin(kMethods), std::end(kMethods), name, [](const Method& m, std::string_view n) {
        return m.name < n;
      });
  return found != std::end(kMethods) && found->name == name ? found : nullptr;
}

}  // namespace tokamak::text::jinja
