// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/openai_logprobs.h"

#include <cmath>
#include <set>

#include "tokamak/base/json.h"

namespace tokamak::server {
namespace {

constexpr float kLeast = -9999;  // JSON has no infinity.

std::string number(float logprob) {
  return fmt::format("{}", std::isfinite(logprob) ? std::max(logprob, kLeast) : kLeast);
}

/// Appends the elements of a list between brackets.
template <typename Range, typename Append>
void append_list(std::string& out, const Range& range, Append append) {
  out += '[';
  bool first = true;
  for (const auto& element : range) {
    if (!std::exchange(first, false)) out += ',';
    append(element);
  }
  out += ']';
}

/// Characters of a JSON string's value, an escape counted as one.
int64_t num_characters(const std::string& text) {
  int64_t count = 0;
  for (char c : text) count += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return count;
}

/// The token itself first, as vLLM has it. Each text once: two tokens may read the same when they
/// are parts of a character.
void append_top(std::string& out,
                const executor::TokenLogprobs& logprobs,
                int32_t chosen,
                const TokenTexts& texts) {
  std::set<std::string> seen;
  out += '{';
  auto add = [&](int32_t id, float logprob) {
    std::string key = texts.json(id);
    if (!seen.insert(key).second) return;
    if (seen.size() > 1) out += ',';
    out += key + ":" + number(logprob);
  };
  add(chosen, logprobs.logprob);
  for (const runtime::TokenLogprob& top : logprobs.top) add(top.token, top.logprob);
  out += '}';
}

void append_bytes(std::string& out, const std::string& bytes) {
  append_list(out, bytes, [&](char c) { out += std::to_string(static_cast<unsigned char>(c)); });
}

void append_chat_token(std::string& out, int32_t id, float logprob, const TokenTexts& texts) {
  out += fmt::format(R"("token":{},"logprob":{},"bytes":)", texts.json(id), number(logprob));
  append_bytes(out, texts.bytes(id));
}

}  // namespace

std::string TokenTexts::bytes(int32_t id, bool opens_text) const {
  // A model may have more rows of logits than its tokenizer has tokens.
  if (!tokenizer || id >= tokenizer->vocab_size()) return {};
  return tokenizer->piece(id, opens_text, /*last=*/false).bytes;
}

std::string TokenTexts::json(int32_t id, bool opens_text) const {
  if (!tokenizer || as_ids) return fmt::format("\"token_id:{}\"", id);
  return Json(bytes(id, opens_text)).dump(-1, ' ', false, Json::error_handler_t::replace);
}

void append_completion_logprobs(std::string& out,
                                std::span<const ScoredToken> prompt,
                                std::span<const ScoredToken> tokens,
                                const TokenTexts& texts,
                                int64_t& offset) {
  auto append_lists = [&](auto append) {
    out += '[';
    for (size_t i = 0; i < prompt.size() + tokens.size(); ++i) {
      if (i > 0) out += ',';
      append(i < prompt.size() ? prompt[i] : tokens[i - prompt.size()]);
    }
    out += ']';
  };
  out += R"({"tokens":)";
  append_lists([&](const ScoredToken& token) { out += texts.json(token.id, token.opens_text); });
  out += R"(,"token_logprobs":)";
  append_lists([&](const ScoredToken& token) {
    out += token.logprobs ? number(token.logprobs->logprob) : "null";
  });
  out += R"(,"top_logprobs":)";
  append_lists([&](const ScoredToken& token) {
    if (!token.logprobs) {
      out += "null";
    } else {
      append_top(out, *token.logprobs, token.id, texts);
    }
  });
  out += R"(,"text_offset":)";
  append_lists([&](const ScoredToken& token) {
    out += std::to_string(offset);
    if (token.in_text) offset += num_characters(texts.bytes(token.id, token.opens_text));
  });
  out += '}';
}

void append_chat_logprobs(std::string& out,
                          std::span<const ScoredToken> tokens,
                          const TokenTexts& texts) {
  out += R"({"content":)";
  append_list(out, tokens, [&](const ScoredToken& token) {
    out += '{';
    append_chat_token(out, token.id, token.logprobs->logprob, texts);
    out += R"(,"top_logprobs":)";
    append_list(out, token.logprobs->top, [&](const runtime::TokenLogprob& top) {
      out += '{';
      append_chat_token(out, top.token, top.logprob, texts);
      out += '}';
    });
    out += '}';
  });
  out += '}';
}

void append_prompt_logprobs(std::string& out,
                            std::span<const ScoredToken> tokens,
                            const TokenTexts& texts) {
  append_list(out, tokens, [&](const ScoredToken& token) {
    if (!token.logprobs) {
      out += "null";
      return;
    }
    out += '{';
    bool has_chosen = false;
    int rank = 0;
    for (const runtime::TokenLogprob& top : token.logprobs->top) {
      has_chosen = has_chosen || top.token == token.id;
      out += fmt::format(R"({}"{}":{{"logprob":{},"rank":{},"decoded_token":{}}})",
                         rank > 0 ? "," : "",
                         top.token,
                         number(top.logprob),
                         rank + 1,
                         texts.json(top.token));
      ++rank;
    }
    if (!has_chosen) {
      out += fmt::format(R"({}"{}":{{"logprob":{},"decoded_token":{}}})",
                         rank > 0 ? "," : "",
                         token.id,
                         number(token.logprobs->logprob),
                         texts.json(token.id));
    }
    out += '}';
  });
}

}  // namespace tokamak::server
