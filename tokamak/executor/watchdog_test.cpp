// SPDX-License-Identifier: Apache-2.0
// A step that never ends: who learns of it, and that nobody waits for ever.
#include <condition_variable>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/executor/executor.h"
#include "tokamak/executor/fake_session.h"

namespace tokamak::executor {
namespace {

using testing::HasSubstr;

/// What a step waits for.
class Gate {
 public:
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

/// Its steps hang from the third on, until the gate is opened.
class HangingSession : public FakeSession {
 public:
  HangingSession(const runtime::SessionInfo& info,
                 bool in_launch,
                 std::shared_ptr<Gate> gate,
                 std::shared_ptr<Gate> ended)
      : FakeSession(info), ended_(std::move(ended)) {
    if (in_launch) {
      on_step = [this, gate](const runtime::Step&) -> Result<void> { return hang(*gate); };
    } else {
      on_finish = [this, gate]() -> Result<void> { return hang(*gate); };
    }
  }
  ~HangingSession() override { ended_->open(); }
  std::string describe_step() const override { return "kernel 7 of 9"; }

 private:
  Result<void> hang(Gate& gate) {
    if (++calls_ >= 3) gate.wait();
    return {};
  }

  const std::shared_ptr<Gate> ended_;
  int calls_ = 0;
};

constexpr runtime::SessionInfo kInfo{.vocab_size = 500,
                                     .max_seq_len = 400,
                                     .max_step_tokens = 96,
                                     .max_step_rows = 8,
                                     .max_sequences = 8,
                                     .num_pages = 12};

Request request_of(int32_t token) {
  Request request;
  request.prompt = {token};
  request.sampling.max_tokens = 50;
  return request;
}

class HangingSteps : public testing::TestWithParam<std::tuple<bool, int64_t>> {
 protected:
  void SetUp() override {
    runtime::SessionInfo info = kInfo;
    info.max_under_way = std::get<1>(GetParam());
    ExecutorOptions options;
    options.step_timeout_seconds = 0.3;
    auto session = std::make_unique<HangingSession>(info, std::get<0>(GetParam()), gate, ended);
    executor = Executor::start(std::move(session), nullptr, options).value();
  }
  /// The session must be gone before the test is.
  void TearDown() override {
    gate->open();
    executor.reset();
    ended->wait();
  }

  const std::shared_ptr<Gate> gate = std::make_shared<Gate>(), ended = std::make_shared<Gate>();
  std::unique_ptr<Executor> executor;
};
INSTANTIATE_TEST_SUITE_P(LaunchOrFinish,
                         HangingSteps,
                         testing::Combine(testing::Bool(), testing::Values(1, 2)));

TEST_P(HangingSteps, EndsAllRequestsAndNamesTheStep) {
  Request several = request_of(2);
  several.n = 3;
  auto one = executor->submit(request_of(1)).value();
  auto three = executor->submit(several).value();
  const Response answer = collect(*one);
  ASSERT_TRUE(answer.finish);
  EXPECT_EQ(answer.finish->reason, FinishReason::kError);
  EXPECT_EQ(answer.finish->error->code, ErrorCode::kDevice);
  EXPECT_THAT(answer.finish->error->message, HasSubstr("step 3 of "));
  EXPECT_THAT(answer.finish->error->message, HasSubstr(" sequences, "));
  EXPECT_THAT(answer.finish->error->message,
              HasSubstr("has not ended within 0.3 s (step_timeout); it is at kernel 7 of 9"));
  for (const Response& each : collect_answers(*three, 3)) {
    EXPECT_EQ(each.finish->reason, FinishReason::kError);
  }
  // From before the first stream ended.
  ASSERT_TRUE(executor->failure());
  EXPECT_EQ(executor->failure()->message, answer.finish->error->message);
  EXPECT_EQ(executor->submit(request_of(3)).error().message, executor->failure()->message);
  executor->drain();
}

TEST_P(HangingSteps, LeavesTheThreadBehindThatHangs) {
  auto stream = executor->submit(request_of(1)).value();
  collect(*stream);
  executor->stop();
  executor.reset();  // Returns, though the step has not ended.
}

TEST_P(HangingSteps, WhatTheStepSaysAfterAllIsDropped) {
  auto stream = executor->submit(request_of(1)).value();
  const Response answer = collect(*stream);
  EXPECT_LE(answer.tokens.size(), 2u);
  gate->open();
  executor.reset();
  ended->wait();
  EXPECT_FALSE(stream->next());
}

TEST(StepTimeout, OfZeroLetsAStepTakeItsTime) {
  ExecutorOptions options;
  options.step_timeout_seconds = 0;
  auto session = std::make_unique<FakeSession>(kInfo);
  session->on_step = [](const runtime::Step&) -> Result<void> {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return {};
  };
  auto executor = Executor::start(std::move(session), nullptr, options).value();
  auto stream = executor->submit(request_of(1)).value();
  EXPECT_EQ(collect(*stream).finish->reason, FinishReason::kLength);
  options.step_timeout_seconds = -1;
  EXPECT_EQ(Executor::start(std::make_unique<FakeSession>(kInfo), nullptr, options).error().message,
            "step_timeout_seconds is -1, must be between 0 and 1e6");
}

TEST(StepTimeout, LeavesAloneStepsThatEndInTime) {
  ExecutorOptions options;
  options.step_timeout_seconds = 5;
  auto executor = Executor::start(std::make_unique<FakeSession>(kInfo), nullptr, options).value();
  for (int32_t i = 0; i < 20; ++i) {
    auto stream = executor->submit(request_of(i)).value();
    EXPECT_EQ(collect(*stream).finish->reason, FinishReason::kLength);
  }
  EXPECT_FALSE(executor->failure());
}

}  // namespace
}  // namespace tokamak::executor
