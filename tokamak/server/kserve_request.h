// SPDX-License-Identifier: Apache-2.0
// A text to continue, as it came by one of KServe's protocols.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tokamak/executor/request.h"
#include "tokamak/server/context_length.h"
#include "tokamak/server/service.h"

namespace tokamak::server {

/// One of the texts of an HTTP request, with its parameters.
struct KServeRequest {
  std::string text;
  runtime::SamplingParams sampling;
  std::optional<int64_t> max_tokens;  ///< Nothing: the model's default, else the room left.
  bool with_prompt = false;           ///< The answer begins with its prompt.
  int64_t stream_interval = 1;        ///< Tokens of one piece of a stream.
  std::string cache_salt;
  std::map<std::string, std::string, std::less<>> names;  ///< Of parameters, as the client wrote
                                                          ///< them.

  /// An error about a field, with the name that the client gave it.
  Error in_its_words(Error error) const;
  LengthNames length_names(std::string_view prompt) const;
};

/// With the defaults of the model and the salt of the client.
KServeRequest new_request(const HttpRequest& http, const Model& model);

/// Errors: invalid (more than the server's max_choices).
Result<void> check_num_texts(size_t count, const Service& service);

/// Errors: invalid (not UTF-8; a setting out of range), unsupported (no tokenizer).
Result<std::vector<executor::Request>> executor_requests(std::span<const KServeRequest> requests,
                                                         const Model& model);

/// What the answers begin with.
std::vector<std::string> shown_prompts(std::span<const KServeRequest> requests);

}  // namespace tokamak::server
