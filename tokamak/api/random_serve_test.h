// SPDX-License-Identifier: Apache-2.0
// Requests at random against one engine, and each of them alone against a second one: the batch
// that a request was in may change its tokens only where rounding decides.
#pragma once

#include <random>

#include <gtest/gtest.h>

#include "tokamak/api/llm.h"

namespace tokamak::api {

struct RandomServe {
  Target target = Target::kCpu;
  std::string dtype;
  int64_t num_requests = 0;
  bool draws = false;             ///< Some requests sample by chance; else all are greedy.
  bool demands = false;           ///< Some have penalties, bias, bans or ask for logprobs.
  double largest_gap = 0;         ///< Log-probabilities so close may change places.
  int64_t most_draw_changes = 0;  ///< Draws, and choices by changed logits, that may fall to a
                                  ///< neighbour by rounding, in all.
};

struct RandomRequest {
  executor::Request request;
  int64_t cancel_after = -1;  ///< Tokens; -1: never.
};

/// What is more than a plain choice of a token, of every kind at random.
inline void demand_at_random(runtime::SamplingParams& sampling,
                             std::span<const int32_t> prompt,
                             int64_t vocab,
                             std::mt19937& random) {
  auto below = [&](int64_t limit) { return static_cast<int64_t>(random() % limit); };
  auto token = [&] { return static_cast<int32_t>(3 + below(vocab - 3)); };
  if (below(2)) sampling.repetition_penalty = 1.2f;
  if (below(3) == 0) sampling.frequency_penalty = 0.3f;
  if (below(3) == 0) sampling.presence_penalty = 0.7f;
  if (below(3) == 0) sampling.logprobs = below(21);
  if (below(8) == 0) sampling.prompt_logprobs = below(4);
  if (below(4) == 0) {
    sampling.min_tokens = 1 + below(sampling.max_tokens);
    sampling.stop_token_ids = {token(), token(), prompt.front()};
  }
  if (below(4) == 0) sampling.logit_bias = {{prompt.front(), 4.5f}, {2, -3}};
  for (int64_t i = 0, count = below(3) ? 0 : 4; i < count; ++i)
    sampling.bad_words.push_back({token(), token()});
  // Likely to be met: words of the prompt, and of one token.
  if (below(3) == 0) sampling.bad_words.push_back({prompt.back()});
  if (below(3) == 0 && prompt.size() > 2)
    sampling.bad_words.emplace_back(prompt.end() - 3, prompt.end());
  for (int64_t i = 0, count = below(6) ? 0 : 200; i < count; ++i)
    sampling.allowed_token_ids.push_back(token());
  // Beside the best tokens, one that two runs place differently would be told once or twice.
  if (sampling.logprobs < 0 && below(4) == 0)
    sampling.logprob_token_ids = {token(), token(), prompt.front()};
  // The device leaves each of its tokens to the host.
  if (sampling.temperature > 0 && below(6) == 0) sampling.top_k = 600;
}

/// Prompts of 1 to 200 tokens, half of them behind one of four prefixes of 64 to 256 tokens.
inline std::vector<RandomRequest> random_requests(const RandomServe& serve, int64_t vocab) {
  std::mt19937 random(4);
  auto below = [&](int64_t limit) { return static_cast<int64_t>(random() % limit); };
  auto tokens = [&](int64_t count) {
    std::vector<int32_t> out(static_cast<size_t>(count));
    for (int32_t& token : out) token = static_cast<int32_t>(3 + below(vocab - 3));
    return out;
  };
  const std::vector<int32_t> prefixes[] = {tokens(64), tokens(128), tokens(200), tokens(256)};
  std::vector<RandomRequest> out(static_cast<size_t>(serve.num_requests));
  for (RandomRequest& r : out) {
    if (below(2)) r.request.prompt = prefixes[below(4)];
    const std::vector<int32_t> own = tokens(1 + below(below(4) ? 30 : 200));
    r.request.prompt.insert(r.request.prompt.end(), own.begin(), own.end());
    runtime::SamplingParams& sampling = r.request.sampling;
    sampling.max_tokens = 1 + below(below(4) ? 24 : 80);
    sampling.ignore_eos = below(2);
    sampling.temperature = 0;
    if (serve.draws && below(2)) {
      sampling.temperature = 0.8f;
      sampling.top_k = below(2) ? 20 : 0;
      sampling.top_p = below(2) ? 0.9f : 1.0f;
      sampling.seed = below(1 << 30);
    }
    if (serve.demands && below(2)) demand_at_random(sampling, r.request.prompt, vocab, random);
    r.request.priority = static_cast<int>(below(3));
    if (below(10) == 0) r.cancel_after = below(12);
  }
  return out;
}

struct ReadAnswer {
  std::vector<int32_t> tokens;
  std::vector<executor::TokenLogprobs> logprobs, prompt_logprobs;
};

inline ReadAnswer read_answer(executor::TokenStream& stream, int64_t cancel_after) {
  ReadAnswer out;
  auto append = [](auto& all, auto& part) { all.insert(all.end(), part.begin(), part.end()); };
  while (auto response = stream.next()) {
    append(out.tokens, response->tokens);
    append(out.logprobs, response->logprobs);
    append(out.prompt_logprobs, response->prompt_logprobs);
    if (cancel_after >= 0 && std::ssize(out.tokens) >= cancel_after) stream.cancel();
    if (response->finish) {
      EXPECT_NE(response->finish->reason, executor::FinishReason::kError)
          << response->finish->error->text();
    }
  }
  return out;
}

/// Of the first `count` tokens. Tokens whose log-probabilities are close may change places.
inline void expect_same_logprobs(std::span<const executor::TokenLogprobs> got,
                                 std::span<const executor::TokenLogprobs> expected,
                                 size_t count,
                                 double largest_gap) {
  for (size_t i = 0; i < std::min({got.size(), expected.size(), count}); ++i) {
    EXPECT_NEAR(got[i].logprob, expected[i].logprob, largest_gap);
    ASSERT_EQ(got[i].top.size(), expected[i].top.size());
    for (size_t j = 0; j < got[i].top.size(); ++j)
      EXPECT_NEAR(got[i].top[j].logprob, expected[i].top[j].logprob, largest_gap);
  }
}

/// Log-probability of the best token minus that of the second at answer position `at`.
inline double gap_at(Llm& llm, executor::Request request, size_t at) {
  request.sampling.logprobs = 2;
  auto stream = llm.submit(std::move(request)).value();
  std::vector<executor::TokenLogprobs> all;
  while (auto response = stream->next())
    all.insert(all.end(), response->logprobs.begin(), response->logprobs.end());
  return at < all.size() ? double{all[at].top[0].logprob} - all[at].top[1].logprob : 1e9;
}

inline void serve_at_random(const std::filesystem::path& model, const RandomServe& serve) {
  OpenOptions options;
  options.build = {.target = serve.target, .dtype = serve.dtype, .tune = false};
  OpenOptions alone_options = options;
  // So few pages that requests wait for them and cached prefixes are evicted.
  options.session = {.max_step_tokens = 128, .max_sequences = 32, .kv_tokens = 1600};
  options.executor.max_queue = serve.num_requests;
  alone_options.session = {
      .max_step_tokens = 512, .max_step_rows = 64, .max_sequences = 1, .kv_tokens = 1024};
  alone_options.executor.prefix_reuse = false;
  auto together = Llm::open(model, options), alone = Llm::open(model, alone_options);
  ASSERT_TRUE(together.ok()) << together.error().text();
  ASSERT_TRUE(alone.ok()) << alone.error().text();

  const auto requests = random_requests(serve, (*together)->session_info().vocab_size);
  std::vector<std::shared_ptr<executor::TokenStream>> streams;
  for (const RandomRequest& r : requests) streams.push_back((*together)->submit(r.request).value());
  std::vector<ReadAnswer> answers;
  for (size_t i = 0; i < streams.size(); ++i)
    answers.push_back(read_answer(*streams[i], requests[i].cancel_after));

  int64_t close_calls = 0, draw_changes = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const executor::Request& request = requests[i].request;
    const ReadAnswer alone_answer = read_answer(*(*alone)->submit(request).value(), -1);
    const auto &expected = alone_answer.tokens, &got = answers[i].tokens;
    const auto [here, there] =
        std::mismatch(got.begin(), got.end(), expected.begin(), expected.end());
    const auto at = static_cast<size_t>(here - got.begin());
    expect_same_logprobs(answers[i].logprobs, alone_answer.logprobs, at, serve.largest_gap);
    expect_same_logprobs(answers[i].prompt_logprobs,
                         alone_answer.prompt_logprobs,
                         request.prompt.size(),
                         serve.largest_gap);
    const bool equal =
        here == got.end() && (there == expected.end() || requests[i].cancel_after >= 0);
    if (equal) continue;
    const bool changed =
        runtime::changes_logits({.params = &request.sampling}) || request.sampling.min_tokens > 0;
    if (request.sampling.temperature > 0 || changed) {
      ++draw_changes;
      continue;
    }
    EXPECT_LT(gap_at(**alone, request, at), serve.largest_gap)
        << "request " << i << " after " << at << " of " << expected.size() << " tokens";
    ++close_calls;
  }
  EXPECT_LE(draw_changes, serve.most_draw_changes);
  const executor::ExecutorStats stats = (*together)->stats();
  EXPECT_GT(stats.prefix_hit_tokens, 0);
  EXPECT_EQ(stats.pages_used, 0);
  fmt::print(
      "{} requests, {} tokens in {} steps, {} preempted, {} of {} prompt tokens cached; changed by "
      "rounding: {} greedy, {} drawn\n",
      requests.size(),
      stats.output_tokens,
      stats.steps,
      stats.preemptions,
      stats.prefix_hit_tokens,
      stats.prefix_query_tokens,
      close_calls,
      draw_changes);
}

}  // namespace tokamak::api
