// SPDX-License-Identifier: Apache-2.0
// What the tests of the step loop share: a small fake session, and a loop whose invariants are
// checked after each turn. Every test runs twice, with one step under way and with two.
#pragma once

#include <gtest/gtest.h>

#include "tokamak/executor/driven_loop.h"
#include "tokamak/executor/fake_session.h"

namespace tokamak::executor {

inline constexpr int64_t kVocab = 500;
inline constexpr runtime::SessionInfo kSmall{.vocab_size = kVocab,
                                             .max_seq_len = 400,
                                             .max_step_tokens = 96,
                                             .max_step_rows = 8,
                                             .max_sequences = 8,
                                             .num_pages = 12};

inline std::vector<int32_t> prompt_of(int64_t size, int64_t first) {
  std::vector<int32_t> prompt;
  for (int64_t i = 0; i < size; ++i)
    prompt.push_back(static_cast<int32_t>((first + i * 13) % kVocab));
  return prompt;
}

inline Request request_of(std::vector<int32_t> prompt, int64_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.sampling.max_tokens = max_tokens;
  return request;
}

/// Owns the loop; the session is the loop's. `max_under_way` is its limit, whatever `info` says.
struct Bench : DrivenLoop {
  static inline int64_t max_under_way = 1;

  explicit Bench(runtime::SessionInfo info = kSmall, const ExecutorOptions& options = {})
      : Bench(new FakeSession((info.max_under_way = max_under_way, info)), options) {}

  std::shared_ptr<TokenStream> submit(Request request) {
    const auto status = validate(request, session->info());
    TKM_CHECK(status.ok(), "{}", status.error().text());
    return *DrivenLoop::submit(std::move(request));
  }
  /// Turns until `count` more steps have ended, or nothing is left.
  void turn(int64_t count = 1) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t steps = stats().steps;
      do {
        more = DrivenLoop::turn();
        loop().check_invariants();
      } while (more && stats().steps == steps);
    }
  }
  /// Turns until nothing is left.
  void finish() {
    do turn();
    while (more);
  }
  /// The answer to a request that is alone from now on.
  Response answer(Request request) {
    auto stream = submit(std::move(request));
    finish();
    return collect(*stream);
  }

  FakeSession* const session;
  bool more = false;

 private:
  Bench(FakeSession* made, const ExecutorOptions& options)
      : DrivenLoop(std::unique_ptr<runtime::Session>(made), options), session(made) {}
};

/// With two steps under way, what comes is in the step behind the one under way: a step later.
class StepsUnderWay : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { Bench::max_under_way = GetParam(); }
};
#define TKM_TEST_STEPS_UNDER_WAY(suite) \
  INSTANTIATE_TEST_SUITE_P(StepsUnderWay, suite, testing::Values(1, 2))

}  // namespace tokamak::executor
