// SPDX-License-Identifier: Apache-2.0
// How the next token is chosen from a row of logits.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tokamak/base/fields.h"

namespace tokamak::runtime {

/// Added to a token's logit before everything else.
struct LogitBias {
  int32_t token = 0;
  float bias = 0;  ///< [-100, 100]
};

/// Limits of lists in SamplingParams.
inline constexpr int64_t kMostBiases = 1024, kMostBadWords = 128, kMostBadWordTokens = 64;
inline constexpr int64_t kMostStops = 16, kMostStopBytes = 1024, kMostStopIds = 128;
/// Limit of SamplingParams::logprobs and prompt_logprobs.
inline constexpr int64_t kMostLogprobs = 20;
/// Limit of SamplingParams::logprob_token_ids, as in vLLM.
inline constexpr int64_t kMostLogprobTokenIds = 128;

/// Settings of one request. The order of effect: logit_bias, penalties, what is not allowed (banned
/// tokens, bad_words, all but allowed_token_ids), temperature, top-k, top-p, min-p, draw.
/// Repetition is defined as in Hugging Face transformers, then frequency and presence as in vLLM.
/// Temperature, top-k, top-p and min-p as in transformers, each on what the one before left (vLLM
/// applies min-p before top-k). Tokens that tie with the k-th best are all kept, as in both; of
/// tokens that tie at the border of top-p the lowest ids are. Temperatures below 1e-5 are greedy,
/// as in vLLM, and greedy takes the lowest id of the best.
struct SamplingParams {
  float temperature = 1.0f;  ///< 0: the most probable token (greedy). [0, 100]
  int64_t top_k = 0;         ///< Keep the k most probable; 0 and -1 keep all.
  float top_p =
      1.0f;  ///< Keep the smallest set of probability >= top_p. (0, 1]; 0 means greedy's one token.
  float min_p = 0.0f;  ///< Drop tokens below min_p times the highest probability. [0, 1]
  float repetition_penalty = 1.0f;  ///< Divides positive (multiplies negative) logits of tokens
                                    ///< seen in prompt or output. (0, 100]
  float presence_penalty = 0.0f;    ///< Subtracted once for each token seen in the output. [-2, 2]
  float frequency_penalty =
      0.0f;           ///< Subtracted for each time a token was seen in the output. [-2, 2]
  int64_t seed = -1;  ///< Same seed, same answer, in any batch; negative: a random one is drawn for
                      ///< the request.
  int64_t max_tokens =
      16;  ///< Of the answer. >= 1; with prompt_logprobs also 0: nothing is sampled.
  int64_t min_tokens = 0;  ///< No end of sequence or stop before so many.
  bool ignore_eos = false;
  int64_t logprobs = -1;  ///< Log-probabilities of this many best tokens with each token; 0: of the
                          ///< token alone; -1: none. <= 20
  std::vector<std::string> stop;  ///< The answer ends before any of these texts. At most 16, each
                                  ///< of 1 to 1024 bytes.
  std::vector<int64_t> stop_token_ids;  ///< The answer ends with any of these tokens. At most 128.
  bool include_stop_str_in_output = false;  ///< The answer ends after what stops it, be it a text
                                            ///< or a token, not before it.
  std::vector<LogitBias> logit_bias;        ///< At most 1024, each token once.
  /// Sequences of tokens that the answer never completes, whatever the prompt ends with. At most
  /// 128 of at most 64 tokens.
  std::vector<std::vector<int32_t>> bad_words;
  std::vector<int32_t> allowed_token_ids;  ///< Only these may be chosen; empty: all.
  /// Log-probabilities of these tokens, too, with each token of the answer: those that are not
  /// among the best ones anyway. Alone they ask for the token's own as well, as if `logprobs` were
  /// 0. At most 128; a token that is named twice counts once.
  std::vector<int32_t> logprob_token_ids;
  int64_t prompt_logprobs = -1;  ///< As `logprobs`, for each prompt token but the first. <= 20
  /// All but logit_bias, whose elements are structs.
  static constexpr auto kFields =
      std::tuple{Field{"temperature", &SamplingParams::temperature},
                 Field{"top_k", &SamplingParams::top_k},
                 Field{"top_p", &SamplingParams::top_p},
                 Field{"min_p", &SamplingParams::min_p},
                 Field{"repetition_penalty", &SamplingParams::repetition_penalty},
                 Field{"presence_penalty", &SamplingParams::presence_penalty},
                 Field{"frequency_penalty", &SamplingParams::frequency_penalty},
                 Field{"seed", &SamplingParams::seed},
                 Field{"max_tokens", &SamplingParams::max_tokens},
                 Field{"min_tokens", &SamplingParams::min_tokens},
                 Field{"ignore_eos", &SamplingParams::ignore_eos},
                 Field{"logprobs", &SamplingParams::logprobs},
                 Field{"stop", &SamplingParams::stop},
                 Field{"stop_token_ids", &SamplingParams::stop_token_ids},
                 Field{"include_stop_str_in_output", &SamplingParams::include_stop_str_in_output},
                 Field{"bad_words", &SamplingParams::bad_words},
                 Field{"allowed_token_ids", &SamplingParams::allowed_token_ids},
                 Field{"logprob_token_ids", &SamplingParams::logprob_token_ids},
                 Field{"prompt_logprobs", &SamplingParams::prompt_logprobs}};
  /// Log-probabilities come with the tokens of the answer.
  bool asks_logprobs() const { return logprobs >= 0 || !logprob_token_ids.empty(); }
  /// Errors: invalid, naming the field, its value and the limit; NaN is always out of range.
  Result<void> validate(int64_t vocab_size) const;
};

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;
};

/// What the sampler knows of a row beside its logits.
struct SampleContext {
  const SamplingParams* params = nullptr;
  /// Tokens so far, for penalties and bad_words. Of a step that is launched while the one before it
  /// is under way, the output may lack tokens that nobody knows yet.
  std::span<const int32_t> prompt, output;
  std::span<const int32_t> banned;  ///< Never chosen in this step (end tokens before min_tokens).
  uint64_t seed = 0;                ///< Of the request.
  int64_t position =
      0;  ///< Index of the token to be chosen in its sequence: (seed, position) fixes the draw.
  int32_t given = -1;  ///< >= 0: this token of the prompt is at `position`, nothing is chosen. Only
                       ///< its logprobs are asked for, SamplingParams::prompt_logprobs of them.
};

/// The best token is taken, nothing is drawn: temperature below 1e-5, or top_p 0.
bool is_greedy(const SamplingParams& params);
/// Penalties, bias or tokens that may not be chosen: the token is not chosen by the model's logits
/// alone.
bool changes_logits(const SampleContext& context);
/// The token depends on those before it by more than the model's logits: penalties, bad words of
/// several tokens.
bool reads_history(const SamplingParams& params);
/// sample() may be called: the context has all tokens that it reads.
bool knows_history(const SampleContext& context);
/// Log-probabilities are asked for beside the token, or instead of one.
bool asks_logprobs(const SampleContext& context);
/// Those of logprob_token_ids are among them.
bool names_logprobs(const SampleContext& context);

/// Logprobs are never NaN and not below this, so that every text form of a number can hold them.
inline constexpr float kLeastLogprob = -9999;

struct Sampled {
  int32_t token = 0;
  float logprob =
      0;  ///< Of the token under the model (before temperature and penalties), if it is asked for.
  /// Best first, equal ones by id: the `logprobs` best, and behind them those of logprob_token_ids
  /// that are not among these.
  std::vector<TokenLogprob> top_logprobs;
};

/// Chooses from logits [vocab]. Deterministic in (logits, context). Errors, naming the position:
/// internal, if no logit is finite or one is NaN or +infinity; invalid, if the settings allow no
/// token. `scratch` is reused between calls.
Result<Sampled> sample(std::span<const float> logits,
                       const SampleContext& context,
                       std::vector<float>& scratch);

/// Adds the log-probabilities of logprob_token_ids to `sampled`, which has all others that sample()
/// gives. The logits are neither NaN nor +infinity, and one is finite.
void add_named_logprobs(std::span<const float> logits,
                        const SamplingParams& params,
                        std::vector<float>& scratch,
                        Sampled& sampled);

}  // namespace tokamak::runtime
