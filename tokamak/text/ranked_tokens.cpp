// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/ranked_tokens.h"

#include "tokamak/text/bpe.h"
#include "tokamak/text/byte_level.h"

namespace tokamak::text {
namespace {

// The longest published token has 256 bytes; every way to cut a token is looked up.
constexpr size_t kMaxTokenBytes = 1024;

}  // namespace

Result<Pipeline> make_ranked_pipeline(TokenTable tokens, Scanner scanner, const std::string& file) {
  for (int b = 0; b < 256; ++b) {
    char byte = static_cast<char>(b);
    if (!tokens.find({&byte, 1})) {
      return base::corrupt(fmt::format("{}: byte {:#04x} is no token", file, b));
    }
  }
  // Neighbours merge if their bytes together are a token: every way to cut a token into two is a
  // merge of its rank.
  Merges merges;
  merges.reserve(static_cast<size_t>(tokens.count()) * 2);
  Pipeline parts;
  parts.names.reserve(tokens.count(), tokens.count() * 8);
  for (TokenId id = 0; id < tokens.size(); ++id) {
    if (!tokens.has(id)) continue;
    std::string_view token = tokens.token(id);
    for (size_t cut = 1; cut < token.size(); ++cut) {
      auto left = tokens.find(token.substr(0, cut));
      auto right = left ? tokens.find(token.substr(cut)) : std::nullopt;
      if (!right) continue;
      merges.add(static_cast<Symbol>(*left),
                 static_cast<Symbol>(*right),
                 static_cast<uint32_t>(id),
                 static_cast<Symbol>(id));
    }
    parts.names.set(bytes_to_alphabet(token), id);
  }
  BpeOptions options;
  options.ignore_merges = true;
  parts.added = AddedTokens(tokens.size());
  parts.model = std::make_unique<Bpe>(std::move(tokens), std::move(merges), options, true);
  parts.pre_tokenizer = make_scanner_split(scanner);
  parts.decoder = Decoder::byte_level();
  return parts;
}

Result<void> add_special_tokens(Pipeline& parts, const SpecialTokens& specials) {
  std::vector<AddedToken> added;
  for (const auto& [content, id] : specials) {
    parts.names.set(content, id);
    added.push_back({.content = content, .normalized = false, .special = true});
  }
  return parts.added.add(std::move(added), nullptr, parts.names);
}

Result<void> add_ranked_token(TokenTable& tokens, std::string_view bytes, int64_t id) {
  if (bytes.empty() || bytes.size() > kMaxTokenBytes) {
    return base::corrupt(
        fmt::format("token of {} bytes, expected 1 to {}", bytes.size(), kMaxTokenBytes));
  }
  if (id < 0 || id >= kMaxTokens) {
    return base::corrupt(fmt::format("id {} is not in [0, {})", id, kMaxTokens));
  }
  if (tokens.find(bytes) || tokens.has(static_cast<TokenId>(id))) {
    return base::corrupt(fmt::format("token or id {} appears twice", id));
  }
  tokens.set(bytes, static_cast<TokenId>(id));
  return {};
}

}  // namespace tokamak::text
