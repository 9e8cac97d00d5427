// SPDX-License-Identifier: Apache-2.0
// Failures at every place where there can be one: who ends with them, and who does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/executor/step_loop_test.h"

namespace tokamak::executor {
namespace {

/// All requests of a test run from the first step on.
constexpr runtime::SessionInfo kRoomy{.vocab_size = kVocab,
                                      .max_seq_len = 400,
                                      .max_step_tokens = 96,
                                      .max_step_rows = 8,
                                      .max_sequences = 8,
                                      .num_pages = 64};

/// Serves `count` requests with ids "0", "1", … of which those that `fails` names meet `fault` from
/// their third token on; expects the others to get their answers. A step that cannot be launched
/// leaves alone the one under way, whose token comes first.
void expect_isolated(Fault fault, int count, const std::vector<std::string>& fails) {
  auto is_victim = [&](const std::string& id) {
    return std::find(fails.begin(), fails.end(), id) != fails.end();
  };
  ExecutorOptions options;
  int turns = 0;
  options.fault = [&](Fault place, const Request& request) {
    return place == fault && turns >= 3 && is_victim(request.id);
  };
  const int64_t said = 3 + (fault == Fault::kStep ? Bench::max_under_way - 1 : 0);
  Bench bench(kRoomy, options);
  bench.tokenizer = letter_tokenizer(kVocab);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < count; ++i) {
    Request request = request_of(prompt_of(5, i), 10);
    request.id = std::to_string(i);
    streams.push_back(bench.submit(request));
  }
  for (; turns == 0 || bench.more; ++turns) bench.turn();
  for (int i = 0; i < count; ++i) {
    const Response all = collect(*streams[i]);
    const auto expected = FakeSession::answer(prompt_of(5, i), 10, kVocab);
    if (is_victim(std::to_string(i))) {
      EXPECT_EQ(all.finish->reason, FinishReason::kError);
      EXPECT_EQ(all.finish->error->code, ErrorCode::kInternal);
      EXPECT_NE(all.finish->error->message.find("injected"), std::string::npos);
      EXPECT_EQ(all.tokens, std::vector(expected.begin(), expected.begin() + said)) << i;
    } else {
      EXPECT_EQ(all.finish->reason, FinishReason::kLength) << i;
      EXPECT_EQ(all.tokens, expected) << i;
    }
  }
  EXPECT_EQ(bench.stats().pages_used, 0);
}

class Faults : public StepsUnderWay {};
TKM_TEST_STEPS_UNDER_WAY(Faults);

TEST_P(Faults, EndTheRequestsThatCauseThemAndNoOther) {
  for (Fault fault : {Fault::kPages, Fault::kStep, Fault::kRow, Fault::kText}) {
    SCOPED_TRACE(static_cast<int>(fault));
    expect_isolated(fault, 1, {"0"});
    expect_isolated(fault, 2, {"1"});
    expect_isolated(fault, 8, {"5"});
    expect_isolated(fault, 7, {"0", "6"});
    expect_isolated(fault, 5, {"0", "1", "2", "3", "4"});
  }
}

TEST_P(Faults, TheCauseOfAStepsFailureIsFoundInFewSteps) {
  Bench bench(kRoomy);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 8; ++i) streams.push_back(bench.submit(request_of({i}, 2)));
  bench.session->on_step = [](const runtime::Step& step) -> Result<void> {
    for (int32_t token : step.token_ids) {
      if (token == 3) return base::internal_error("no 3, please");
    }
    return {};
  };
  bench.turn();
  // All 8, then a half, a quarter, itself.
  EXPECT_EQ(bench.stats().failed_steps, 4);
  EXPECT_EQ(bench.stats().steps, 7);
  EXPECT_EQ(collect(*streams[3]).finish->error->message, "no 3, please");
  EXPECT_EQ(bench.stats().output_tokens, 7);
}

TEST_P(Faults, AStepThatFailsOnceHurtsNobody) {
  for (bool throws : {false, true}) {
    Bench bench;
    int failures = 0;
    bench.session->on_step = [&](const runtime::Step&) -> Result<void> {
      if (bench.session->num_steps != 3 || failures++ > 0) return {};
      if (throws) throw base::CheckFailure("pages in range");
      return base::out_of_memory("a hiccup");
    };
    std::vector<std::shared_ptr<TokenStream>> streams;
    for (int i = 0; i < 4; ++i) streams.push_back(bench.submit(request_of(prompt_of(70, i), 6)));
    bench.finish();
    EXPECT_EQ(bench.stats().failed_steps, 1);
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(collect(*streams[i]).tokens, FakeSession::answer(prompt_of(70, i), 6, kVocab));
    }
  }
}

Error lost() {
  return {ErrorCode::kDevice, "cuda: the device is lost", "restart the server"};
}

TEST_P(Faults, ALostDeviceEndsEveryRequestAtOnceAndRefusesNewOnes) {
  Bench bench;
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 20; ++i) {
    Request request = request_of(prompt_of(70, i), 6);
    request.n = 1 + i % 3;
    streams.push_back(bench.submit(request));
  }
  bench.turn(3);
  EXPECT_FALSE(bench.failure());
  bench.session->on_step = [&](const runtime::Step&) -> Result<void> { return lost(); };
  const int64_t steps = bench.stats().steps;
  bench.turn();
  EXPECT_EQ(bench.stats().steps, steps + 1) << "nothing is tried again";
  EXPECT_EQ(bench.stats().failed_steps, 1);
  for (int i = 0; i < 20; ++i) {
    for (const Response& answer : collect_answers(*streams[i], 1 + i % 3)) {
      EXPECT_EQ(answer.finish->reason, FinishReason::kError);
      EXPECT_EQ(answer.finish->error->text(), lost().text());
    }
  }
  EXPECT_EQ(bench.stats().pages_used + bench.stats().pages_cached, 0);
  EXPECT_EQ(bench.stats().running + bench.stats().waiting, 0);
  ASSERT_TRUE(bench.failure());
  EXPECT_EQ(bench.failure()->text(), lost().text());

  const auto refused = static_cast<DrivenLoop&>(bench).submit(request_of({1}, 4));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().text(), lost().text());
  bench.turn();
  EXPECT_EQ(bench.stats().steps, steps + 1);
}

TEST_P(Faults, ADeviceLostWhileAStepIsTriedInHalvesEndsEveryRequest) {
  Bench bench(kRoomy);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 8; ++i) streams.push_back(bench.submit(request_of({i}, 2)));
  bench.session->on_step = [&](const runtime::Step& step) -> Result<void> {
    if (step.sequences.size() == 2) return lost();
    return base::internal_error("too many");
  };
  bench.turn();
  EXPECT_EQ(bench.stats().steps, 3) << "8, 4, 2";
  for (auto& stream : streams) EXPECT_EQ(collect(*stream).finish->error->text(), lost().text());
}

TEST_P(Faults, WhoCameWhileTheDeviceWasLostHearsOfItToo) {
  Bench bench;
  std::shared_ptr<TokenStream> late;
  bench.session->on_step = [&](const runtime::Step&) -> Result<void> {
    late = bench.submit(request_of({2}, 2));
    return lost();
  };
  auto stream = bench.submit(request_of({1}, 2));
  bench.finish();
  bench.turn();
  EXPECT_EQ(collect(*stream).finish->error->text(), lost().text());
  EXPECT_EQ(collect(*late).finish->error->text(), lost().text());
  EXPECT_EQ(bench.waiting(), 0);
}

}  // namespace
}  // namespace tokamak::executor
