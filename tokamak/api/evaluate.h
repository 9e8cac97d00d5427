// SPDX-License-Identifier: Apache-2.0
// Perplexity of a text by the strided recipe of Hugging Face's documentation ("Perplexity of
// fixed-length models").
#pragma once

#include "tokamak/base/progress.h"
#include "tokamak/runtime/session.h"

namespace tokamak::api {

struct PerplexityOptions {
  int64_t context = 1024;  ///< Tokens of one window.
  int64_t stride =
      512;  ///< Tokens that the next window is further on; each token but the first is scored once.
};

struct PerplexityReport {
  int64_t tokens = 0;  ///< Scored.
  double nll = 0;      ///< Sum over the scored tokens, nats.
  double seconds = 0;
  std::vector<double> token_nll;  ///< One a scored token, in the order of the text.
  double nll_per_token() const { return tokens ? nll / static_cast<double>(tokens) : 0; }
};

/// Windows begin at 0, stride, 2 stride, …; each is run from an empty cache and scores the tokens
/// that no window before it has scored. Errors: invalid (context or stride out of range, fewer than
/// two tokens).
Result<PerplexityReport> perplexity(runtime::Session& session,
                                    std::span<const int32_t> tokens,
                                    const PerplexityOptions& options,
                                    const base::Progress& progress = {});

}  // namespace tokamak::api
