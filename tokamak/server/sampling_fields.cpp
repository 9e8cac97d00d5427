// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/sampling_fields.h"

#include <algorithm>
#include <charconv>

#include <openssl/sha.h>

#include "tokamak/executor/kv_cache.h"
#include "tokamak/server/context_length.h"

namespace tokamak::server {
namespace {

/// No word of kMostBadWordTokens tokens is as long.
constexpr int64_t kMostBadWordBytes = 1024;

/// Any number of 64 bits is a seed. Ours are not negative, so the highest bit goes; -1 stands for a
/// seed that is drawn, as everywhere.
void read_seed(FieldReader& reader, int64_t& out) {
  const Json* value = reader.find("seed");
  if (!value) return;
  if (value->is_number_unsigned()) {
    out = static_cast<int64_t>(value->get<uint64_t>() & INT64_MAX);
    return;
  }
  int64_t seed = -1;
  reader.integer("seed", seed);
  out = seed == -1 ? -1 : seed & INT64_MAX;
}

void read_values(FieldReader& reader, const Model& model, runtime::SamplingParams& s) {
  reader.number("temperature", s.temperature);
  reader.integer("top_k", s.top_k);
  reader.number("top_p", s.top_p);
  reader.number("min_p", s.min_p);
  reader.number("repetition_penalty", s.repetition_penalty);
  reader.number("presence_penalty", s.presence_penalty);
  reader.number("frequency_penalty", s.frequency_penalty);
  read_seed(reader, s.seed);
  reader.integer("min_tokens", s.min_tokens);
  reader.boolean("ignore_eos", s.ignore_eos);
  reader.texts("stop", s.stop, kStopLimits);
  if (const Json* stop = reader.find("stop"); stop && *stop == "") s.stop.clear();  // None.
  reader.integers("stop_token_ids", s.stop_token_ids, {.elements = runtime::kMostStopIds});
  reader.boolean("include_stop_str_in_output", s.include_stop_str_in_output);
  reader.ids("allowed_token_ids", s.allowed_token_ids, {.elements = model.info().vocab_size});
  reader.integer("prompt_logprobs", s.prompt_logprobs, 0, 20);
}

/// {"id": bias}
void read_logit_bias(FieldReader& reader, std::vector<runtime::LogitBias>& out) {
  const Json* bias = reader.find("logit_bias");
  if (!bias) return;
  if (!bias->is_object()) return reader.fail(wrong_type("logit_bias", "an object", *bias));
  if (static_cast<int64_t>(bias->size()) > runtime::kMostBiases) {
    return reader.fail(base::invalid(fmt::format(
        "logit_bias has {} tokens, at most {} are allowed", bias->size(), runtime::kMostBiases)));
  }
  for (const auto& [key, value] : bias->items()) {
    runtime::LogitBias entry;
    const char* end = key.data() + key.size();
    auto [stop, error] = std::from_chars(key.data(), end, entry.token);
    if (error != std::errc{} || stop != end) {
      return reader.fail(base::invalid(
          fmt::format("logit_bias has the key '{}', which is no token id", key.substr(0, 40))));
    }
    if (!value.is_number()) {
      return reader.fail(wrong_type(fmt::format("logit_bias.{}", key), "a number", value));
    }
    entry.bias = to_float(value.get<double>());
    out.push_back(entry);
  }
}

/// A word in the middle of a text has another token than one at its beginning, so each is banned
/// both ways.
void read_bad_words(FieldReader& reader, const Model& model, runtime::SamplingParams& sampling) {
  std::vector<std::string> words;
  reader.texts(
      "bad_words", words, {.elements = runtime::kMostBadWords, .bytes = kMostBadWordBytes});
  for (const std::string& word : words) {
    const size_t begin = word.find_first_not_of(' ');
    if (begin == std::string::npos) {
      return reader.fail(base::invalid("bad_words holds a word without any character"));
    }
    for (const std::string& form : {word.substr(begin), " " + word.substr(begin)}) {
      auto ids = encode(model, form, /*add_special_tokens=*/false);
      if (!ids.ok()) return reader.fail(ids.error());
      auto& banned = sampling.bad_words;
      if (std::find(banned.begin(), banned.end(), *ids) == banned.end()) banned.push_back(*ids);
    }
  }
}

}  // namespace

void read_sampling(FieldReader& reader, const Model& model, runtime::SamplingParams& sampling) {
  read_values(reader, model, sampling);
  read_logit_bias(reader, sampling.logit_bias);
  read_bad_words(reader, model, sampling);
}

Result<std::vector<int32_t>> encode(const Model& model,
                                    std::string_view text,
                                    bool add_special_tokens) {
  if (!model.tokenizer) {
    return base::unsupported(fmt::format("model '{}' has no tokenizer", model.name()),
                             "send token ids");
  }
  return model.tokenizer->encode(text, {.add_special_tokens = add_special_tokens});
}

Result<std::vector<int32_t>> encode_prompt(const Model& model,
                                           std::string_view text,
                                           bool add_special_tokens,
                                           bool is_cut) {
  // A token has 4 bytes or so, but one may stand for any number of spaces or unknown characters:
  // what counts is how many tokens there are, and the rest of a text takes none of those away but
  // at the border.
  const auto context = static_cast<size_t>(model.info().max_seq_len);
  size_t beginning = 32 * context;
  if (!is_cut && text.size() > 2 * beginning) {
    while (beginning > 0 && (static_cast<unsigned char>(text[beginning]) & 0xc0) == 0x80)
      --beginning;
    auto ids = encode(model, text.substr(0, beginning), add_special_tokens);
    if (!ids.ok() || std::ssize(*ids) > counted_tokens(model.info())) return ids;
  }
  return encode(model, text, add_special_tokens);
}

void bound_defaults(const Model& model, runtime::SamplingParams& sampling) {
  if (sampling.min_tokens == model.defaults.min_tokens)
    sampling.min_tokens = std::min(sampling.min_tokens, sampling.max_tokens);
}

int64_t room_left(size_t prompt_size, const Model& model) {
  const runtime::SessionInfo& info = model.info();
  // The last token is never fed back, so it needs no place in the cache.
  const int64_t cache = info.num_pages * op::kPageTokens + 1;
  return std::max<int64_t>(1,
                           std::min(info.max_seq_len, cache) - static_cast<int64_t>(prompt_size));
}

std::string cache_salt(const HttpRequest& http, std::string_view given) {
  const std::string salt =
      http.key < 0 ? std::string(given) : fmt::format("{}:{}", http.key, given);
  if (salt.size() <= executor::kMaxSaltBytes) return salt;
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(salt.data()), salt.size(), digest);
  return {reinterpret_cast<const char*>(digest), sizeof(digest)};
}

}  // namespace tokamak::server
