// SPDX-License-Identifier: Apache-2.0
// Fields about the choice of tokens, the same on every protocol.
#pragma once

#include <string_view>
#include <vector>

#include "tokamak/server/exchange.h"
#include "tokamak/server/field_reader.h"
#include "tokamak/server/model.h"

namespace tokamak::server {

/// Of stop texts, under whatever name.
inline constexpr ListLimits kStopLimits{.elements = runtime::kMostStops,
                                        .bytes = runtime::kMostStopBytes};

/// Everything of SamplingParams that has one name on the wire, but max_tokens and logprobs.
void read_sampling(FieldReader& reader, const Model& model, runtime::SamplingParams& sampling);

/// Ids of a text. Errors: unsupported (no tokenizer), invalid.
Result<std::vector<int32_t>> encode(const Model& model,
                                    std::string_view text,
                                    bool add_special_tokens);

/// The same of a prompt. One that is much longer than the model's context, and of which not only
/// the end is kept (`is_cut`), is not read to its end: the ids of its beginning are enough to
/// refuse it for its length.
Result<std::vector<int32_t>> encode_prompt(const Model& model,
                                           std::string_view text,
                                           bool add_special_tokens,
                                           bool is_cut = false);

/// A min_tokens that is the model's default and not the request's is no more than max_tokens.
void bound_defaults(const Model& model, runtime::SamplingParams& sampling);

/// Tokens that an answer to a prompt of so many can have; at least 1, so that a prompt that is too
/// long is refused as such.
int64_t room_left(size_t prompt_size, const Model& model);

/// Of the executor's request. How fast a prompt is answered tells whether its pages are cached, so
/// the holder of one API key shares no pages with that of another.
std::string cache_salt(const HttpRequest& http, std::string_view given);

}  // namespace tokamak::server
