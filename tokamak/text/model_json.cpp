// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/model_json.h"

#include "tokamak/base/json.h"
#include "tokamak/text/byte_level.h"
#include "tokamak/text/unicode.h"
#include "tokamak/text/unigram.h"
#include "tokamak/text/word_piece.h"

namespace tokamak::text {
namespace {

constexpr size_t kMaxMerges = size_t{1} << 23;

// The merges point into the text of the file; those with escapes are copied.
Result<std::string_view> stable_string(JsonScanner& scanner,
                                       std::string_view text,
                                       ModelSource& source) {
  TKM_ASSIGN(std::string_view value, scanner.string());
  if (value.data() >= text.data() && value.data() < text.data() + text.size()) return value;
  source.pool.push_back(std::make_unique<std::string>(value));
  return std::string_view(*source.pool.back());
}

Result<void> read_merges(JsonScanner& scanner, std::string_view text, ModelSource& source) {
  return scanner.array([&](size_t index) -> Result<void> {
    if (index >= kMaxMerges) return scanner.error(fmt::format("over {} merges", kMaxMerges));
    std::string_view left, right;
    if (scanner.peek() == '[') {
      TKM_RETURN_IF_ERROR(scanner.array([&](size_t side) -> Result<void> {
        if (side > 1) return scanner.error(fmt::format("merges[{}] has over two parts", index));
        TKM_ASSIGN((side == 0 ? left : right), stable_string(scanner, text, source));
        return {};
      }));
    } else {
      TKM_ASSIGN(std::string_view merge, stable_string(scanner, text, source));
      size_t space = merge.find(' ');
      if (space == merge.npos || merge.find(' ', space + 1) != merge.npos) {
        return scanner.error(fmt::format("merges[{}] = '{}' is not two tokens", index, merge));
      }
      left = merge.substr(0, space);
      right = merge.substr(space + 1);
    }
    source.merges.emplace_back(left, right);
    return {};
  });
}

// Unigram: a list of [token, score].
Result<void> read_scored_vocab(JsonScanner& scanner, ModelSource& source) {
  return scanner.array([&](size_t id) -> Result<void> {
    if (id >= static_cast<size_t>(kMaxTokens)) {
      return scanner.error(fmt::format("over {} tokens", kMaxTokens));
    }
    size_t members = 0;
    TKM_RETURN_IF_ERROR(scanner.array([&](size_t member) -> Result<void> {
      members = member + 1;
      if (member == 0) {
        TKM_ASSIGN(std::string_view token, scanner.string());
        source.tokens.set(token, static_cast<TokenId>(id));
        source.scores.push_back(0);
      } else if (member == 1) {
        TKM_ASSIGN(source.scores.back(), scanner.number());
      } else {
        return scanner.error(fmt::format("vocab[{}] has over two members", id));
      }
      return {};
    }));
    if (members != 2) return scanner.error(fmt::format("vocab[{}] is not [token, score]", id));
    return {};
  });
}

template <typename T>
Result<T> small_value(JsonScanner& scanner, std::string_view key, T fallback) {
  TKM_ASSIGN(std::string_view text, scanner.skip());
  TKM_ASSIGN(Json value, base::parse_json(text, key));
  if (value.is_null()) return fallback;
  bool fits = false;
  if constexpr (std::is_same_v<T, bool>) fits = value.is_boolean();
  if constexpr (std::is_same_v<T, std::string>) fits = value.is_string();
  if constexpr (std::is_same_v<T, int64_t>) fits = value.is_number_integer();
  if (!fits) return scanner.error(fmt::format("'{}' is {}", key, base::type_name(value)));
  return value.get<T>();
}

Result<void> read_member(JsonScanner& scanner,
                         std::string_view key,
                         std::string_view text,
                         ModelSource& source) {
  if (key == "vocab") {
    return scanner.peek() == '[' ? read_scored_vocab(scanner, source)
                                 : read_vocab(scanner, source.tokens);
  }
  if (key == "merges") return read_merges(scanner, text, source);
  auto assign = [&](auto& member) -> Result<void> {
    using T = std::remove_reference_t<decltype(member)>;
    TKM_ASSIGN(member, small_value<T>(scanner, key, T(member)));
    return {};
  };
  auto assign_text = [&](std::optional<std::string>& member) -> Result<void> {
    if (scanner.peek() == 'n') {
      auto null = scanner.skip();
      if (!null.ok()) return null.error();
      return {};
    }
    TKM_ASSIGN(member, small_value<std::string>(scanner, key, ""));
    return {};
  };
  if (key == "type") return assign(source.type);
  if (key == "unk_token") return assign_text(source.unk_token);
  if (key == "continuing_subword_prefix") return assign_text(source.continuing_subword_prefix);
  if (key == "end_of_word_suffix") return assign(source.bpe.end_of_word_suffix);
  if (key == "fuse_unk") return assign(source.bpe.fuse_unk);
  if (key == "byte_fallback") return assign(source.bpe.byte_fallback);
  if (key == "ignore_merges") return assign(source.bpe.ignore_merges);
  if (key == "max_input_chars_per_word") return assign(source.max_input_chars_per_word);
  if (key == "unk_id") {
    TKM_ASSIGN(int64_t id, small_value<int64_t>(scanner, key, -1));
    if (id >= 0) source.unk_id = id;
    return {};
  }
  TKM_ASSIGN(std::string_view value, scanner.skip());
  if (key == "dropout" && value != "null" && value != "0" && value != "0.0") {
    return base::unsupported(fmt::format("model.dropout = {} makes encoding random", value));
  }
  return {};
}

}  // namespace

Result<void> read_vocab(JsonScanner& scanner, TokenTable& tokens) {
  return scanner.object([&](std::string_view token) -> Result<void> {
    TKM_ASSIGN(int64_t id, scanner.integer());
    if (id < 0 || id >= kMaxTokens) {
      return scanner.error(fmt::format("id {} of '{}' is not in [0, {})", id, token, kMaxTokens));
    }
    tokens.set(token, static_cast<TokenId>(id));
    return {};
  });
}

Result<ModelSource> read_model(JsonScanner& scanner,
                               std::string_view text,
                               const std::string& where) {
  ModelSource source;
  // A token takes some 20 bytes of the file.
  source.tokens.reserve(std::min<size_t>(text.size() / 60, 1 << 18), text.size() / 6);
  TKM_RETURN_IF_ERROR(scanner.object(
      [&](std::string_view key) { return read_member(scanner, key, text, source); }));
  if (source.type.empty()) {
    // Files of the first versions do not name the type.
    if (!source.scores.empty())
      source.type = "Unigram";
    else if (!source.merges.empty())
      source.type = "BPE";
    else
      return base::corrupt(fmt::format("{}: 'type' is missing", where));
  }
  return source;
}

bool works_on_bytes(const ModelSource& source) {
  if (source.type != "BPE" || !source.continuing_subword_prefix.value_or("").empty() ||
      !source.bpe.end_of_word_suffix.empty()) {
    return false;
  }
  for (int b = 0; b < 256; ++b) {
    std::string character;
    append_utf8(character, byte_to_character(static_cast<unsigned char>(b)));
    if (!source.tokens.find(character)) return false;
  }
  return true;
}

namespace {

Result<std::unique_ptr<Model>> make_bpe(const ModelSource& source,
                                        bool byte_level,
                                        const std::string& where) {
  Merges merges;
  merges.reserve(source.merges.size());
  std::string merged;
  BpeOptions options = source.bpe;
  options.unk_token = source.unk_token.value_or("");
  options.continuing_subword_prefix = source.continuing_subword_prefix.value_or("");
  size_t prefix = options.continuing_subword_prefix.size();
  for (size_t rank = 0; rank < source.merges.size(); ++rank) {
    auto [left, right] = source.merges[rank];
    merged = left;
    if (right.size() >= prefix) merged += right.substr(prefix);
    auto left_id = source.tokens.find(left), right_id = source.tokens.find(right);
    auto merged_id = source.tokens.find(merged);
    if (!left_id || !right_id || !merged_id) {
      return base::corrupt(fmt::format("{}.merges[{}]: '{}' is not in the vocabulary",
                                       where,
                                       rank,
                                       !left_id    ? left
                                       : !right_id ? right
                                                   : merged));
    }
    merges.add(static_cast<Symbol>(*left_id),
               static_cast<Symbol>(*right_id),
               static_cast<uint32_t>(rank),
               static_cast<Symbol>(*merged_id));
  }
  if (!byte_level) {
    return std::unique_ptr<Model>(
        std::make_unique<Bpe>(source.tokens, std::move(merges), options, false));
  }
  // Tokens with characters beyond the byte alphabet cannot come up; they have no bytes.
  TokenTable bytes;
  bytes.reserve(source.tokens.count(), source.tokens.count() * 8);
  for (TokenId id = 0; id < source.tokens.size(); ++id) {
    if (!source.tokens.has(id)) continue;
    if (auto raw = alphabet_to_bytes(source.tokens.token(id))) bytes.set(*raw, id);
  }
  return std::unique_ptr<Model>(
      std::make_unique<Bpe>(std::move(bytes), std::move(merges), options, true));
}

Result<std::unique_ptr<Model>> make_unigram(const ModelSource& source, const std::string& where) {
  if (source.scores.size() != static_cast<size_t>(source.tokens.size())) {
    return base::corrupt(fmt::format("{}.vocab must be a list of [token, score]", where));
  }
  UnigramOptions options;
  options.byte_fallback = source.bpe.byte_fallback;
  if (source.unk_id) {
    if (*source.unk_id >= source.tokens.size()) {
      return base::corrupt(fmt::format(
          "{}.unk_id {} is not in [0, {})", where, *source.unk_id, source.tokens.size()));
    }
    options.unk = static_cast<TokenId>(*source.unk_id);
  }
  return std::unique_ptr<Model>(
      std::make_unique<Unigram>(source.tokens, source.scores, std::move(options)));
}

}  // namespace

Result<std::unique_ptr<Model>> make_model(const ModelSource& source,
                                          bool byte_level,
                                          const std::string& where) {
  if (source.type == "BPE") return make_bpe(source, byte_level, where);
  if (source.type == "Unigram") return make_unigram(source, where);
  if (source.type == "WordPiece") {
    return std::unique_ptr<Model>(
        std::make_unique<WordPiece>(source.tokens,
                                    source.unk_token.value_or("[UNK]"),
                                    source.continuing_subword_prefix.value_or("##"),
                                    source.max_input_chars_per_word));
  }
  if (source.type == "WordLevel") {
    return std::unique_ptr<Model>(
        std::make_unique<WordLevel>(source.tokens, source.unk_token.value_or("<unk>")));
  }
  return base::unsupported(fmt::format("{}: model '{}' is not supported", where, source.type));
}

}  // namespace tokamak::text
