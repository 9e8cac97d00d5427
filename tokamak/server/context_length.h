// SPDX-License-Identifier: Apache-2.0
// Whether prompt and answer fit the model's context, said so that programs understand it.
#pragma once

#include <optional>
#include <string>

#include "tokamak/executor/request.h"
#include "tokamak/server/errors.h"

namespace tokamak::server {

/// What the client calls that which makes a request long.
struct LengthNames {
  std::string prompt = "prompt", max_tokens = "max_tokens";
};

/// The most tokens of prompt and answer together: what the model was made for, or less where the KV
/// cache holds less.
int64_t context_tokens(const runtime::SessionInfo& info);

/// As far as the tokens of a text are counted: the count of a longer one says "at least".
int64_t counted_tokens(const runtime::SessionInfo& info);

/// 400 with the code "context_length_exceeded", by which clients choose what to do next (shorten
/// the conversation, take another model), and words that those know who look for OpenAI's. Also if
/// the prompt is empty. Nothing if it fits.
std::optional<Fault> length_fault(const executor::Request& request,
                                  const runtime::SessionInfo& info,
                                  const LengthNames& names);

}  // namespace tokamak::server
