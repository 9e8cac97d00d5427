// SPDX-License-Identifier: Apache-2.0
// What completions and chat have in common: the fields of a request and the prompts they become.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tokamak/executor/request.h"
#include "tokamak/server/context_length.h"
#include "tokamak/server/exchange.h"
#include "tokamak/server/model.h"
#include "tokamak/server/openai_fields.h"
#include "tokamak/server/options.h"
#include "tokamak/server/sampling_fields.h"

namespace tokamak::server {

/// A request without its prompt.
struct OpenAiRequest {
  Endpoint endpoint = Endpoint::kCompletions;
  std::string id;          ///< Of the answer: cmpl-…, chatcmpl-….
  std::string request_id;  ///< As the client gave it, or drawn.
  std::string model;       ///< As the client called it.
  runtime::SamplingParams sampling;
  std::optional<int64_t> max_tokens;  ///< Nothing: the endpoint's default. 0: no answer.
  LengthNames length_names;
  int64_t n = 1, best_of = 1;
  int64_t logprobs = -1;  ///< For the answer; -1: none.
  bool echo = false;
  bool stream = false, include_usage = false, continuous_usage = false;
  bool add_special_tokens = true, skip_special_tokens = true;
  int64_t truncate_prompt_tokens = 0;  ///< Keep the last so many; 0: all; -1: what fits.
  bool tokens_as_ids = false, return_token_ids = false;
  int priority = 0;
  std::string cache_salt;
};

struct Prompt {
  std::vector<int32_t> ids;
  std::string text;  ///< What echo repeats.
};

/// Errors: invalid, unsupported, not_found (the model); each names the field.
Result<OpenAiRequest> read_openai_request(const Json& body,
                                          Endpoint endpoint,
                                          const HttpRequest& http,
                                          const Model& model);

/// The request for the executor. With no max_tokens of the client's, chat takes all the room that
/// is left and completions OpenAI's 16, both the model's own default before.
executor::Request executor_request(const OpenAiRequest& request,
                                   const Prompt& prompt,
                                   const Model& model);

}  // namespace tokamak::server
