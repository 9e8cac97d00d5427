// SPDX-License-Identifier: Apache-2.0
// Requests of KServe's two protocols: texts to continue, and one set of parameters for all.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/executor/request.h"
#include "tokamak/server/service.h"

namespace tokamak::server {

struct KServeRequest {
  std::vector<std::string> texts;
  runtime::SamplingParams sampling;
  std::optional<int64_t> max_tokens;  ///< Nothing: the model's default, else the room left.
  bool with_prompt = false;           ///< Answers begin with their prompts.
  int64_t stream_interval = 1;        ///< Tokens of one piece of a stream.
  std::string cache_salt;
};

/// Reads the parameters, which are those of KServe v1's predict, Triton's generate and the inputs
/// of an infer request alike. Errors: invalid, unsupported; each names the parameter. Unknown ones
/// are counted, or refused with --strict-fields.
Result<void> read_parameters(const Json& parameters,
                             Service& service,
                             const Model& model,
                             KServeRequest& request);

/// One request for the executor a text. Errors: invalid (more texts than the server's max_choices;
/// not UTF-8), unsupported (no tokenizer).
Result<std::vector<executor::Request>> executor_requests(const KServeRequest& request,
                                                         const Service& service,
                                                         const Model& model);

}  // namespace tokamak::server
