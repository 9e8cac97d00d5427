// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/evaluate.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "tokamak/api/sequence_runner.h"

namespace tokamak::api {
namespace {

/// -log softmax(logits)[token], in nats.
double negative_log_likelihood(std::span<const float> logits, int32_t token) {
  float largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return std::log(sum) + largest - logits[static_cast<size_t>(token)];
}

}  // namespace

Result<PerplexityReport> perplexity(runtime::Session& session,
                                    std::span<const int32_t> tokens,
                                    const PerplexityOptions& options,
                                    const base::Progress& progress) {
  int64_t total = static_cast<int64_t>(tokens.size()), limit = session.info().max_seq_len;
  if (options.context < 2 || options.context > limit)
    return base::invalid(
        fmt::format("context is {}, must be between 2 and the model's {}", options.context, limit));
  if (options.stride < 1 || options.stride >= options.context)
    return base::invalid(fmt::format("stride is {}, must be between 1 and context - 1 = {}",
                                     options.stride,
                                     options.context - 1));
  if (total < 2)
    return base::invalid(fmt::format("the text has {} tokens, at least 2 are needed", total));
  auto begin_time = std::chrono::steady_clock::now();
  PerplexityReport report;
  TKM_ASSIGN(SequenceRunner runner,
             SequenceRunner::make(session, 1, std::min(options.context, total)));
  int64_t scored = 1;  // The first token of the text has nothing before it.
  for (int64_t begin = 0; scored < total; begin += options.stride) {
    int64_t end = std::min(begin + options.context, total);
    runner.reset();
    auto score = [&](int64_t, int64_t index, std::span<const float> logits) {
      int64_t next = begin + index + 1;
      if (next < scored || next >= end) return;
      double nll = negative_log_likelihood(logits, tokens[static_cast<size_t>(next)]);
      report.nll += nll;
      report.token_nll.push_back(nll);
    };
    TKM_RETURN_IF_ERROR(runner.append(
        tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)), true, score));
    scored = end;
    base::report(progress, "scoring", scored, total);
  }
  report.tokens = static_cast<int64_t>(report.token_nll.size());
  report.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_time).count();
  return report;
}

}  // namespace tokamak::api
