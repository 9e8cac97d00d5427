// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/decoder.h"

#include <charconv>

#include "tokamak/text/byte_level.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

constexpr std::string_view kMetaspace = "\u2581";

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  if (from.empty()) return;
  size_t at = text.find(from);
  if (at == text.npos) return;
  std::string out;
  size_t done = 0;
  for (; at != text.npos; at = text.find(from, done)) {
    out.append(text, done, at - done);
    out += to;
    done = at + from.size();
  }
  out.append(text, done);
  text = std::move(out);
}

/// The byte of a token like <0xE2>.
std::optional<unsigned char> fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return {};
  unsigned value = 0;
  auto [end, code] = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
  if (code != std::errc() || end != token.data() + 5) return {};
  return static_cast<unsigned char>(value);
}

/// English spacing of word-piece models, one rule after the other.
void clean_up(std::string& text) {
  static constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},
      {" ?", "?"},
      {" !", "!"},
      {" ,", ","},
      {" ' ", "'"},
      {" n't", "n't"},
      {" 'm", "'m"},
      {" do not", " don't"},
      {" 's", "'s"},
      {" 've", "'ve"},
      {" 're", "'re"},
  };
  for (auto [from, to] : kRules) replace_all(text, from, to);
}

void strip(std::string& text, std::string_view character, int left, int right) {
  size_t begin = 0, end = text.size();
  for (; left > 0 && std::string_view(text).substr(begin).starts_with(character); --left) {
    begin += character.size();
  }
  for (; right > 0 && std::string_view(text).substr(begin, end - begin).ends_with(character);
       --right) {
    end -= character.size();
  }
  text = text.substr(begin, end - begin);
}

}  // namespace

Decoder Decoder::byte_level() {
  Decoder decoder;
  decoder.steps_ = {{.kind = Kind::kByteLevel}};
  return decoder;
}

Decoder Decoder::sentencepiece(bool drop_first_space,
                               bool drop_leading_spaces,
                               const std::string& unk_piece,
                               const std::string& unk_surface) {
  Decoder decoder;
  decoder.steps_ = {{.kind = Kind::kByteFallback},
                    {.kind = Kind::kSentencePiece,
                     .from = unk_piece,
                     .to = unk_surface,
                     .drop_first_space = drop_first_space}};
  decoder.rules_.repair_each_byte = true;
  decoder.rules_.first_until_text = drop_leading_spaces;
  return decoder;
}

Result<Decoder> Decoder::make(const Component& component) {
  Decoder decoder;
  decoder.steps_.clear();
  TKM_RETURN_IF_ERROR(decoder.add(component));
  return decoder;
}

Result<void> Decoder::add(const Component& component) {
  const std::string& type = component.type();
  if (type == "Sequence") {
    TKM_ASSIGN(auto parts, component.get_components("decoders"));
    for (const Component& part : parts) TKM_RETURN_IF_ERROR(add(part));
    return {};
  }
  if (type == "Fuse") {
    fused_ = true;
    return {};
  }
  if (type == "Strip") {
    TKM_ASSIGN(char32_t content, component.get_character("content"));
    TKM_ASSIGN(int64_t start, component.get_int("start"));
    TKM_ASSIGN(int64_t stop, component.get_int("stop"));
    constexpr int64_t kMost = 1 << 20;
    if (start < 0 || start > kMost) return component.corrupt("start", fmt::format("is {}", start));
    if (stop < 0 || stop > kMost) return component.corrupt("stop", fmt::format("is {}", stop));
    std::string character;
    append_utf8(character, content);
    if (!fused_) {
      steps_.push_back({.kind = Kind::kStrip,
                        .from = character,
                        .strip_left = static_cast<int>(start),
                        .strip_right = static_cast<int>(stop)});
      return {};
    }
    if (rules_.strip.empty()) {
      rules_.strip = character;
      rules_.strip_left = static_cast<int>(start);
      rules_.strip_right = static_cast<int>(stop);
      return {};
    }
  }
  if (fused_) {
    return base::unsupported(
        fmt::format("{}: decoder '{}' on joined text is not supported", component.where(), type));
  }
  Step step{};
  if (type == "ByteLevel") {
    step.kind = Kind::kByteLevel;
    fused_ = true;
  } else if (type == "Metaspace") {
    TKM_ASSIGN(char32_t replacement, component.get_character("replacement"));
    TKM_ASSIGN(std::string scheme, component.get_string("prepend_scheme", "always"));
    TKM_ASSIGN(bool add_prefix_space, component.get_bool("add_prefix_space", true));
    step.kind = Kind::kMetaspace;
    append_utf8(step.from, replacement);
    step.to = scheme == "never" || !add_prefix_space ? " " : "";
  } else if (type == "ByteFallback") {
    step.kind = Kind::kByteFallback;
    rules_.repair_each_byte = true;
  } else if (type == "Replace") {
    TKM_ASSIGN(PatternText pattern, get_pattern(component));
    TKM_ASSIGN(step.to, component.get_string("content"));
    if (pattern.is_regex) {
      return base::unsupported(
          fmt::format("{}: decoder 'Replace' with a regex is not supported", component.where()));
    }
    step.kind = Kind::kReplace;
    step.from = pattern.text;
    // Each of a chain of replacements multiplies what the one before has made.
    if (!step.from.empty()) growth_ *= std::max<size_t>(1, step.to.size() / step.from.size());
    if (growth_ > kMostGrowth) {
      return base::unsupported(
          fmt::format("{}: decoders make {} times its size of a token, the "
                      "limit is {}",
                      component.where(),
                      growth_,
                      kMostGrowth));
    }
  } else if (type == "WordPiece") {
    TKM_ASSIGN(step.from, component.get_string("prefix"));
    TKM_ASSIGN(step.cleanup, component.get_bool("cleanup"));
    step.kind = Kind::kWordPiece;
  } else if (type == "BPEDecoder") {
    TKM_ASSIGN(step.from, component.get_string("suffix"));
    step.kind = Kind::kSuffix;
    rules_.looks_ahead = true;
  } else {
    return component.unsupported_type("decoder");
  }
  steps_.push_back(std::move(step));
  return {};
}

TokenPiece Decoder::piece(std::string_view token, bool first, bool last) const {
  TokenPiece piece{std::string(token)};
  for (const Step& step : steps_) {
    if (!piece.is_byte) apply(step, piece, first, last);
  }
  return piece;
}

void Decoder::apply(const Step& step, TokenPiece& piece, bool first, bool last) {
  std::string& text = piece.bytes;
  switch (step.kind) {
    case Kind::kByteLevel:
      if (auto bytes = alphabet_to_bytes(text)) text = std::move(*bytes);
      break;
    case Kind::kMetaspace:
      replace_all(text, step.from, first ? step.to : " ");
      break;
    case Kind::kByteFallback:
      if (auto byte = fallback_byte(text)) {
        text.assign(1, static_cast<char>(*byte));
        piece.is_byte = true;
      }
      break;
    case Kind::kReplace:
      replace_all(text, step.from, step.to);
      break;
    case Kind::kStrip:
      strip(text, step.from, step.strip_left, step.strip_right);
      break;
    case Kind::kWordPiece:
      if (!first) {
        if (text.starts_with(step.from))
          text.erase(0, step.from.size());
        else
          text.insert(0, 1, ' ');
      }
      if (step.cleanup) clean_up(text);
      break;
    case Kind::kSuffix:
      replace_all(text, step.from, last ? "" : " ");
      break;
    case Kind::kSpaceBetween:
      if (!first) text.insert(0, 1, ' ');
      break;
    case Kind::kSentencePiece:
      if (text == step.from) {
        text = step.to;
        break;
      }
      if (first && step.drop_first_space && text.starts_with(kMetaspace))
        text.erase(0, kMetaspace.size());
      replace_all(text, kMetaspace, " ");
      break;
  }
}

}  // namespace tokamak::text
