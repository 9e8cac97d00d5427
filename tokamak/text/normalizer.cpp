// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/normalizer.h"

#include "tokamak/text/byte_level.h"
#include "tokamak/text/charsmap.h"
#include "tokamak/text/regex.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

Result<void> check_growth(const std::string& text, size_t most_bytes) {
  if (text.size() <= most_bytes) return {};
  return base::unsupported(
      fmt::format("the tokenizer's normalizer makes over {} bytes of a text", most_bytes));
}

/// A normalizer that rewrites text and, but for its growth, cannot fail.
template <typename Rewrite>
class Simple : public Normalizer {
 public:
  explicit Simple(Rewrite rewrite) : rewrite_(std::move(rewrite)) {}
  Result<void> rewrite(std::string& text, size_t most_bytes) const override {
    rewrite_(text);
    return check_growth(text, most_bytes);
  }

 private:
  Rewrite rewrite_;
};
template <typename Rewrite>
std::unique_ptr<Normalizer> simple(Rewrite rewrite) {
  return std::make_unique<Simple<Rewrite>>(std::move(rewrite));
}

/// `map` appends what becomes of a character to the string.
template <typename Map>
void map_characters(std::string& text, Map map) {
  std::string out;
  out.reserve(text.size());
  for_each_character(text, [&](char32_t c) { map(out, c); });
  text = std::move(out);
}

class Sequence : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}
  Result<void> rewrite(std::string& text, size_t most_bytes) const override {
    for (const auto& step : steps_) TKM_RETURN_IF_ERROR(step->rewrite(text, most_bytes));
    return {};
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

class Replace : public Normalizer {
 public:
  Replace(Regex regex, std::string content)
      : regex_(std::move(regex)), content_(std::move(content)) {}
  Result<void> rewrite(std::string& text, size_t most_bytes) const override {
    if (text.empty()) return {};
    std::string out;
    size_t done = 0;
    std::optional<size_t> last_end;
    for (size_t pos = 0; pos <= text.size();) {
      TKM_ASSIGN(std::optional<Match> match, regex_.find(text, pos));
      if (!match) break;
      if (match->begin == match->end && match->end == last_end) {
        pos += pos < text.size() ? utf8_size(text[pos]) : 1;
        continue;
      }
      out.append(text, done, match->begin - done);
      out += content_;
      done = pos = match->end;
      last_end = match->end;
      TKM_RETURN_IF_ERROR(check_growth(out, most_bytes));
    }
    out.append(text, done);
    text = std::move(out);
    return check_growth(text, most_bytes);
  }

 private:
  Regex regex_;
  std::string content_;
};

class ReplaceLiteral : public Normalizer {
 public:
  ReplaceLiteral(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  Result<void> rewrite(std::string& text, size_t most_bytes) const override {
    std::string out;
    out.reserve(text.size());
    size_t done = 0;
    for (size_t at = text.find(from_); at != text.npos; at = text.find(from_, done)) {
      out.append(text, done, at - done);
      out += to_;
      done = at + from_.size();
      TKM_RETURN_IF_ERROR(check_growth(out, most_bytes));
    }
    out.append(text, done);
    text = std::move(out);
    return check_growth(text, most_bytes);
  }

 private:
  std::string from_, to_;
};

void strip_space(std::string& text, bool left, bool right) {
  size_t begin = 0, end = text.size();
  while (left && begin < end && is_class(decode_utf8(text.data() + begin).value, kSpace)) {
    begin += utf8_size(text[begin]);
  }
  while (right && end > begin) {
    size_t last = previous_utf8(text, end);
    if (!is_class(decode_utf8(text.data() + last).value, kSpace)) break;
    end = last;
  }
  text = text.substr(begin, end - begin);
}

void clean_nmt(std::string& out, char32_t c) {
  if ((c >= 0x01 && c <= 0x08) || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f || c == 0x8f ||
      c == 0x9f) {
    return;
  }
  bool is_space = c == 0x09 || c == 0x0a || c == 0x0c || c == 0x0d || c == 0x1680 ||
                  (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                  c == 0xfeff || c == 0xfffd;
  append_utf8(out, is_space ? U' ' : c);
}

struct Bert {
  bool clean_text, handle_chinese_chars, strip_accents, lowercase;

  static bool is_chinese(char32_t c) {
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
           (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
  }

  void operator()(std::string& text) const {
    if (clean_text) {
      map_characters(text, [](std::string& out, char32_t c) {
        bool is_space = is_class(c, kSpace);
        bool is_tab = c == '\t' || c == '\n' || c == '\r';
        if (c == 0 || c == 0xfffd || (is_class(c, kControl8) && !is_tab)) return;
        append_utf8(out, is_space ? U' ' : c);
      });
    }
    if (handle_chinese_chars) {
      map_characters(text, [](std::string& out, char32_t c) {
        if (is_chinese(c)) out += ' ';
        append_utf8(out, c);
        if (is_chinese(c)) out += ' ';
      });
    }
    if (strip_accents) {
      normalize_unicode(NormalForm::kNfd, text);
      map_characters(text, [](std::string& out, char32_t c) {
        if (!is_class(c, kNonSpacingMark8)) append_utf8(out, c);
      });
    }
    if (lowercase) map_characters(text, append_lowercase);
  }
};

/// SentencePiece's map as Hugging Face applies it: by grapheme clusters of under six bytes, of
/// which the shortest key counts for all, else by characters.
class Precompiled : public Normalizer {
 public:
  explicit Precompiled(Charsmap map) : map_(std::move(map)) {}
  Result<void> rewrite(std::string& text, size_t most_bytes) const override {
    std::string out;
    out.reserve(text.size());
    size_t begin = 0;
    for (size_t end : grapheme_ends(text)) {
      append(std::string_view(text).substr(begin, end - begin), out);
      begin = end;
      TKM_RETURN_IF_ERROR(check_growth(out, most_bytes));
    }
    text = std::move(out);
    return {};
  }

 private:
  void append(std::string_view grapheme, std::string& out) const {
    if (grapheme.size() < 6) {
      if (auto hit = map_.shortest(grapheme)) {
        out += hit->replacement;
        return;
      }
    }
    for (size_t i = 0; i < grapheme.size();) {
      size_t size = utf8_size(grapheme[i]);
      std::string_view character = grapheme.substr(i, size);
      auto hit = map_.shortest(character);
      out += hit ? hit->replacement : character;
      i += size;
    }
  }

  Charsmap map_;
};

Result<std::unique_ptr<Normalizer>> make_replace(const Component& component) {
  TKM_ASSIGN(PatternText pattern, get_pattern(component));
  TKM_ASSIGN(std::string content, component.get_string("content"));
  if (!pattern.is_regex && !pattern.text.empty()) {
    return std::unique_ptr<Normalizer>(
        std::make_unique<ReplaceLiteral>(pattern.text, std::move(content)));
  }
  auto regex = Regex::compile(pattern.text);
  if (!regex.ok()) {
    return base::unsupported(fmt::format("{}: {}", component.where(), regex.error().message));
  }
  return std::unique_ptr<Normalizer>(std::make_unique<Replace>(std::move(*regex), content));
}

Result<std::unique_ptr<Normalizer>> make_bert(const Component& component) {
  Bert bert{};
  TKM_ASSIGN(bert.clean_text, component.get_bool("clean_text"));
  TKM_ASSIGN(bert.handle_chinese_chars, component.get_bool("handle_chinese_chars"));
  TKM_ASSIGN(bert.lowercase, component.get_bool("lowercase"));
  TKM_ASSIGN(bert.strip_accents, component.get_bool("strip_accents", bert.lowercase));
  return simple(bert);
}

std::unique_ptr<Normalizer> make_unicode(NormalForm form) {
  return simple([form](std::string& text) { normalize_unicode(form, text); });
}

}  // namespace

std::unique_ptr<Normalizer> make_nfc() {
  return make_unicode(NormalForm::kNfc);
}

Result<std::unique_ptr<Normalizer>> make_normalizer(const Component& component) {
  const std::string& type = component.type();
  if (type == "Sequence") {
    TKM_ASSIGN(auto parts, component.get_components("normalizers"));
    std::vector<std::unique_ptr<Normalizer>> steps;
    for (const Component& part : parts) {
      TKM_ASSIGN(auto step, make_normalizer(part));
      steps.push_back(std::move(step));
    }
    return std::unique_ptr<Normalizer>(std::make_unique<Sequence>(std::move(steps)));
  }
  if (type == "NFC") return make_unicode(NormalForm::kNfc);
  if (type == "NFD") return make_unicode(NormalForm::kNfd);
  if (type == "NFKC") return make_unicode(NormalForm::kNfkc);
  if (type == "NFKD") return make_unicode(NormalForm::kNfkd);
  if (type == "Replace") return make_replace(component);
  if (type == "BertNormalizer" || type == "Bert") return make_bert(component);
  if (type == "Lowercase") {
    return simple([](std::string& text) { map_characters(text, append_lowercase); });
  }
  if (type == "StripAccents") {
    return simple([](std::string& text) {
      map_characters(text, [](std::string& out, char32_t c) {
        if (!is_class(c, kMark9)) append_utf8(out, c);
      });
    });
  }
  if (type == "Nmt") {
    return simple([](std::string& text) { map_characters(text, clean_nmt); });
  }
  if (type == "ByteLevel") {
    return simple([](std::string& text) { text = bytes_to_alphabet(text); });
  }
  if (type == "Strip") {
    TKM_ASSIGN(bool left, component.get_bool("strip_left"));
    TKM_ASSIGN(bool right, component.get_bool("strip_right"));
    return simple([left, right](std::string& text) { strip_space(text, left, right); });
  }
  if (type == "Prepend") {
    TKM_ASSIGN(std::string prefix, component.get_string("prepend"));
    return simple([prefix](std::string& text) {
      if (!text.empty()) text.insert(0, prefix);
    });
  }
  if (type == "Precompiled") {
    TKM_ASSIGN(std::string encoded, component.get_string("precompiled_charsmap"));
    if (encoded.empty()) return simple([](std::string&) {});
    auto blob = decode_base64(encoded);
    if (!blob) return component.corrupt("precompiled_charsmap", "is not base64");
    TKM_ASSIGN(Charsmap map, Charsmap::parse(*blob, component.where()));
    return std::unique_ptr<Normalizer>(std::make_unique<Precompiled>(std::move(map)));
  }
  return component.unsupported_type("normalizer");
}

}  // namespace tokamak::text
