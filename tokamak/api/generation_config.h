// SPDX-License-Identifier: Apache-2.0
// generation_config.json: what a model's makers say about how to sample from it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tokamak/base/json_fwd.h"
#include "tokamak/base/result.h"
#include "tokamak/runtime/sampling.h"

namespace tokamak::api {

/// What a request that says nothing gets, and what holds for every request.
struct GenerationDefaults {
  /// temperature (0 with do_sample false), top_k, top_p, min_p, repetition_penalty, min_new_tokens,
  /// stop_strings, and the bad_words_ids of several tokens, over our defaults.
  runtime::SamplingParams sampling;
  std::optional<int64_t> max_new_tokens;  ///< Of requests that name no length.
  std::vector<int64_t> eos_ids;
  std::vector<int32_t> suppressed_ids;        ///< suppress_tokens, bad_words_ids of one token.
  std::vector<int32_t> begin_suppressed_ids;  ///< begin_suppress_tokens.
  /// What would change answers and does not, "typical_p = 0.9": to be said once.
  std::vector<std::string> not_honoured;
};

/// What the model and its tokenizer can do, as far as the settings need it.
struct GenerationLimits {
  int64_t vocab_size = 0;
  int64_t max_positions = 0;  ///< max_length beyond it limits nothing.
  bool has_text = true;       ///< Without a tokenizer there are no stop texts.
};

/// Errors: invalid (a setting of another type, or out of range: its name, value and limit).
Result<GenerationDefaults> read_generation_config(const Json& config,
                                                  const GenerationLimits& limits);

}  // namespace tokamak::api
