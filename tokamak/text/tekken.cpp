// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/json_scanner.h"
#include "tokamak/text/ranked_tokens.h"
#include "tokamak/text/scanner.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

struct TekkenFile {
  std::string pattern;
  int64_t vocab_size = 0, num_specials = 0;
  std::vector<std::string> tokens;
  std::vector<std::pair<int64_t, std::string>> specials;
};

// A member of an object that holds only scalars.
Result<Json> read_small(JsonScanner& scanner, const std::string& where) {
  TKM_ASSIGN(std::string_view text, scanner.skip());
  return base::parse_json(text, where);
}

Result<void> read_tekken_config(JsonScanner& scanner, TekkenFile& tekken, const std::string& file) {
  TKM_ASSIGN(Json config, read_small(scanner, file));
  auto read = [&]() -> Result<void> {
    TKM_ASSIGN(tekken.pattern, base::get_string(config, "pattern"));
    TKM_ASSIGN(tekken.vocab_size, get_integer(config, "default_vocab_size"));
    TKM_ASSIGN(tekken.num_specials, get_integer(config, "default_num_special_tokens"));
    return {};
  };
  if (auto done = read(); !done.ok()) {
    return base::corrupt(fmt::format("{}: config: {}", file, done.error().message));
  }
  if (tekken.num_specials < 0 || tekken.vocab_size < tekken.num_specials ||
      tekken.vocab_size > kMaxTokens) {
    return base::corrupt(fmt::format("{}: config: {} special tokens of {} tokens",
                                     file,
                                     tekken.num_specials,
                                     tekken.vocab_size));
  }
  return {};
}

Result<void> read_tekken_token(JsonScanner& scanner,
                               TekkenFile& tekken,
                               size_t index,
                               const std::string& file) {
  std::string bytes;
  bool found = false;
  TKM_RETURN_IF_ERROR(scanner.object([&](std::string_view key) -> Result<void> {
    if (key != "token_bytes") {
      auto skipped = scanner.skip();
      return skipped.ok() ? Result<void>() : Result<void>(skipped.error());
    }
    TKM_ASSIGN(std::string_view text, scanner.string());
    auto decoded = decode_base64(text);
    if (!decoded) {
      return base::corrupt(fmt::format("{}: vocab[{}].token_bytes is not base64", file, index));
    }
    bytes = std::move(*decoded);
    found = true;
    return {};
  }));
  if (!found) return base::corrupt(fmt::format("{}: vocab[{}] has no token_bytes", file, index));
  tekken.tokens.push_back(std::move(bytes));
  return {};
}

Result<TekkenFile> parse_tekken(std::string_view text, const std::string& file) {
  if (auto offset = find_invalid_utf8(text)) {
    return base::corrupt(fmt::format("{}: not valid UTF-8 at byte {}", file, *offset));
  }
  TekkenFile tekken;
  JsonScanner scanner(text, file);
  TKM_RETURN_IF_ERROR(scanner.object([&](std::string_view key) -> Result<void> {
    if (key == "config") return read_tekken_config(scanner, tekken, file);
    if (key == "vocab") {
      return scanner.array([&](size_t index) -> Result<void> {
        if (index >= static_cast<size_t>(kMaxTokens)) return scanner.error("too many tokens");
        return read_tekken_token(scanner, tekken, index, file);
      });
    }
    TKM_ASSIGN(std::string_view value, scanner.skip());
    if (key != "special_tokens" || value == "null") return {};
    TKM_ASSIGN(Json list, base::parse_json(value, file));
    for (const Json& token : list) {
      auto content = base::get_string(token, "token_str");
      auto rank = get_integer(token, "rank");
      if (!content.ok() || !rank.ok()) {
        return base::corrupt(fmt::format("{}: special_tokens: token_str and rank needed", file));
      }
      tekken.specials.emplace_back(*rank, *content);
    }
    return {};
  }));
  TKM_RETURN_IF_ERROR(scanner.end());
  if (tekken.pattern.empty()) return base::corrupt(fmt::format("{}: 'config' is missing", file));
  return tekken;
}

/// The special tokens of tekken files that do not list them.
constexpr std::string_view kTekkenSpecials[] = {"<unk>",
                                                "<s>",
                                                "</s>",
                                                "[INST]",
                                                "[/INST]",
                                                "[AVAILABLE_TOOLS]",
                                                "[/AVAILABLE_TOOLS]",
                                                "[TOOL_RESULTS]",
                                                "[/TOOL_RESULTS]",
                                                "[TOOL_CALLS]",
                                                "[IMG]",
                                                "<pad>",
                                                "[IMG_BREAK]",
                                                "[IMG_END]",
                                                "[PREFIX]",
                                                "[MIDDLE]",
                                                "[SUFFIX]",
                                                "[SYSTEM_PROMPT]",
                                                "[/SYSTEM_PROMPT]",
                                                "[TOOL_CONTENT]"};

}  // namespace

Result<Pipeline> read_tekken(std::string_view text, const std::string& file) {
  TKM_ASSIGN(TekkenFile tekken, parse_tekken(text, file));
  const ScannerSpec* scanner = find_scanner(tekken.pattern);
  if (!scanner) {
    return base::unsupported(fmt::format("{}: pattern '{}' is unknown", file, tekken.pattern));
  }
  // The file may list more tokens than the model uses; special tokens take the first ids.
  auto used = std::min<size_t>(tekken.tokens.size(), tekken.vocab_size - tekken.num_specials);
  TokenTable tokens;
  for (size_t rank = 0; rank < used; ++rank) {
    auto added = add_ranked_token(
        tokens, tekken.tokens[rank], static_cast<int64_t>(rank) + tekken.num_specials);
    if (!added.ok()) {
      return base::corrupt(fmt::format("{}: vocab[{}]: {}", file, rank, added.error().message));
    }
  }
  TKM_ASSIGN(Pipeline parts, make_ranked_pipeline(std::move(tokens), scanner->scan, file));
  SpecialTokens specials;
  for (TokenId id = 0; id < tekken.num_specials; ++id) {
    bool listed = tekken.specials.empty() && static_cast<size_t>(id) < std::size(kTekkenSpecials);
    specials.push_back(
        {listed ? std::string(kTekkenSpecials[id]) : fmt::format("<SPECIAL_{}>", id), id});
  }
  for (const auto& [rank, content] : tekken.specials) {
    if (rank < 0 || rank >= tekken.num_specials) {
      return base::corrupt(fmt::format(
          "{}: special_tokens: rank {} is not in [0, {})", file, rank, tekken.num_specials));
    }
    specials[rank].content = content;
  }
  TKM_RETURN_IF_ERROR(add_special_tokens(parts, specials));
  parts.bos = parts.names.find("<s>");
  parts.eos = parts.names.find("</s>");
  if (parts.bos) parts.prefix = {*parts.bos};
  return parts;
}

}  // namespace tokamak::text
