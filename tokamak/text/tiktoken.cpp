// SPDX-License-Identifier: Apache-2.0
#include <charconv>

#include "tokamak/text/ranked_tokens.h"
#include "tokamak/text/scanner.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

/// `names` from id `first` on, then reserved ones, "<prefix><n>|>", up to `count`.
SpecialTokens numbered(TokenId first,
                       std::vector<std::string> names,
                       int count,
                       std::string_view prefix,
                       int first_number) {
  SpecialTokens tokens;
  for (std::string& name : names) {
    tokens.push_back({std::move(name), static_cast<TokenId>(first + tokens.size())});
  }
  for (int n = first_number; static_cast<int>(tokens.size()) < count; ++n) {
    tokens.push_back(
        {fmt::format("{}{}|>", prefix, n), static_cast<TokenId>(first + tokens.size())});
  }
  return tokens;
}

SpecialTokens llama3_specials(TokenId first) {
  return numbered(first,
                  {"<|begin_of_text|>",
                   "<|end_of_text|>",
                   "<|reserved_special_token_0|>",
                   "<|reserved_special_token_1|>",
                   "<|finetune_right_pad_id|>",
                   "<|step_id|>",
                   "<|start_header_id|>",
                   "<|end_header_id|>",
                   "<|eom_id|>",
                   "<|eot_id|>",
                   "<|python_tag|>",
                   "<|image|>"},
                  256,
                  "<|reserved_special_token_",
                  2);
}

void append_reserved(std::vector<std::string>& names, std::string_view kind, int first, int count) {
  for (int n = first; n < first + count; ++n) {
    names.push_back(fmt::format("<|{}_reserved_special_token_{}|>", kind, n));
  }
}

SpecialTokens llama4_specials(TokenId first) {
  std::vector<std::string> names = {"<|begin_of_text|>",
                                    "<|end_of_text|>",
                                    "<|fim_prefix|>",
                                    "<|fim_middle|>",
                                    "<|fim_suffix|>",
                                    "<|header_start|>",
                                    "<|header_end|>",
                                    "<|eom|>",
                                    "<|eot|>",
                                    "<|step|>"};
  append_reserved(names, "text_post_train", 0, 6);
  names.insert(names.end(), {"<|python_start|>", "<|python_end|>", "<|finetune_right_pad|>"});
  append_reserved(names, "text_post_train", 8, 61);
  names.insert(names.end(), {"<|image_start|>", "<|image_end|>"});
  append_reserved(names, "vision", 0, 2);
  names.insert(names.end(), {"<|tile_x_separator|>", "<|tile_y_separator|>"});
  append_reserved(names, "vision", 2, 4);
  names.push_back("<|image|>");
  append_reserved(names, "vision", 6, 1);
  names.push_back("<|patch|>");
  append_reserved(names, "vision", 7, 1041);
  append_reserved(names, "reasoning", 0, 8);
  names.insert(names.end(), {"<|reasoning_thinking_start|>", "<|reasoning_thinking_end|>"});
  return numbered(first, std::move(names), 2048, "<|reserved_special_token_", 0);
}

SpecialTokens qwen_specials(TokenId first) {
  return numbered(first, {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}, 3 + 205, "<|extra_", 0);
}

// Kimi's names are in tokenizer_config.json; these are the ids without one there.
SpecialTokens kimi_specials(TokenId first) {
  SpecialTokens tokens;
  for (TokenId id = first; id < first + 256; ++id) {
    tokens.push_back({fmt::format("<|reserved_token_{}|>", id), id});
  }
  return tokens;
}

SpecialTokens gpt2_specials(TokenId) {
  return {{"<|endoftext|>", 50256}};
}

SpecialTokens cl100k_specials(TokenId) {
  return {{"<|endoftext|>", 100257},
          {"<|fim_prefix|>", 100258},
          {"<|fim_middle|>", 100259},
          {"<|fim_suffix|>", 100260},
          {"<|endofprompt|>", 100276}};
}

SpecialTokens o200k_specials(TokenId) {
  return {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}};
}

/// A family of tiktoken files: what its owner's code sets beside the file.
struct Family {
  std::string_view name;
  int64_t num_tokens;
  Scanner scanner;
  SpecialTokens (*special_tokens)(TokenId first);
  std::string_view bos, eos;  ///< BOS is put before every text; empty: none.
  bool nfc = false;           ///< Text is normalized first.
};

constexpr Family kFamilies[] = {
    {"r50k_base", 50256, scan_gpt2, gpt2_specials, "", "<|endoftext|>"},
    {"p50k_base", 50280, scan_gpt2, gpt2_specials, "", "<|endoftext|>"},
    {"cl100k_base", 100256, scan_cl100k, cl100k_specials, "", "<|endoftext|>"},
    {"o200k_base", 199998, scan_o200k, o200k_specials, "", "<|endoftext|>"},
    {"llama3", 128000, scan_llama3, llama3_specials, "<|begin_of_text|>", "<|end_of_text|>"},
    {"llama4", 200000, scan_o200k, llama4_specials, "<|begin_of_text|>", "<|end_of_text|>"},
    {"qwen", 151643, scan_qwen2, qwen_specials, "", "<|endoftext|>", true},
    {"kimi_k2", 163584, scan_kimi, kimi_specials, "", ""},
};

Result<TokenTable> read_ranks(std::string_view text, const std::string& file) {
  TokenTable tokens;
  tokens.reserve(std::min<size_t>(text.size() / 10, 1 << 18), text.size() / 2);
  for (size_t line = 1; !text.empty(); ++line) {
    std::string_view row = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), row.size() + 1));
    if (row.ends_with('\r')) row.remove_suffix(1);
    if (row.empty()) continue;
    auto corrupt = [&](std::string_view what) {
      return base::corrupt(fmt::format("{}: line {}: {}", file, line, what));
    };
    size_t space = row.find(' ');
    if (space == row.npos) return corrupt("expected a token in base64 and its rank");
    int64_t rank = -1;
    auto [end, code] = std::from_chars(row.data() + space + 1, row.data() + row.size(), rank);
    if (code != std::errc() || end != row.data() + row.size()) {
      return corrupt("the rank is not an integer");
    }
    auto bytes = decode_base64(row.substr(0, space));
    if (!bytes) return corrupt("the token is not base64");
    if (auto added = add_ranked_token(tokens, *bytes, rank); !added.ok()) {
      return corrupt(added.error().message);
    }
  }
  return tokens;
}

}  // namespace

Result<Pipeline> read_tiktoken(std::string_view text, const std::string& file) {
  TKM_ASSIGN(TokenTable tokens, read_ranks(text, file));
  const Family* family = nullptr;
  for (const Family& candidate : kFamilies) {
    if (candidate.num_tokens == tokens.count()) family = &candidate;
  }
  if (!family) {
    return base::unsupported(
        fmt::format("{}: no known tiktoken vocabulary has {} tokens", file, tokens.count()),
        "use the checkpoint's tokenizer.json");
  }
  auto first_special = static_cast<TokenId>(tokens.size());
  TKM_ASSIGN(Pipeline parts, make_ranked_pipeline(std::move(tokens), family->scanner, file));
  TKM_RETURN_IF_ERROR(add_special_tokens(parts, family->special_tokens(first_special)));
  if (family->nfc) parts.normalizer = make_nfc();
  parts.bos = parts.names.find(family->bos);
  parts.eos = parts.names.find(family->eos);
  if (parts.bos) parts.prefix = {*parts.bos};
  return parts;
}

}  // namespace tokamak::text
