// SPDX-License-Identifier: Apache-2.0
// The executor with its thread: what clients see.
#include "tokamak/executor/executor.h"

#include <future>
#include <limits>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/executor/fake_session.h"

namespace tokamak::executor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int64_t kVocab = 1000;
runtime::SessionInfo info_of_session{.vocab_size = kVocab,
                                     .max_seq_len = 512,
                                     .max_step_tokens = 64,
                                     .max_step_rows = 16,
                                     .max_sequences = 16,
                                     .num_pages = 32};

/// Every test runs with one step under way and with two.
class Service : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { info_of_session.max_under_way = GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(StepsUnderWay, Service, testing::Values(1, 2));

Request request_of(std::vector<int32_t> prompt, int64_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.sampling.max_tokens = max_tokens;
  return request;
}

std::vector<int32_t> prompt_of(int64_t size, int64_t first) {
  std::vector<int32_t> prompt;
  for (int64_t i = 0; i < size; ++i)
    prompt.push_back(static_cast<int32_t>((first + i * 7) % kVocab));
  return prompt;
}

std::unique_ptr<Executor> start(ExecutorOptions options = {}) {
  auto executor = Executor::start(
      std::make_unique<FakeSession>(info_of_session), letter_tokenizer(kVocab), options);
  return std::move(executor).value();
}

/// A session that waits in each step until it is let through.
struct Gate {
  std::promise<void> open;
  std::shared_future<void> opened = open.get_future().share();

  std::unique_ptr<Executor> start(ExecutorOptions options = {}) {
    auto session = std::make_unique<FakeSession>(info_of_session);
    session->on_step = [opened = opened](const runtime::Step&) -> Result<void> {
      opened.wait();
      return {};
    };
    return std::move(Executor::start(std::move(session), nullptr, options)).value();
  }
};

TEST_P(Service, StreamsTheAnswerOfTheModel) {
  auto executor = start();
  Request request = request_of({1, 2, 3}, 20);
  request.id = "mine";
  auto stream = executor->submit(request);
  ASSERT_TRUE(stream.ok()) << stream.error().text();
  EXPECT_EQ((*stream)->id(), "mine");
  const Response all = collect(**stream);
  EXPECT_EQ(all.tokens, FakeSession::answer({1, 2, 3}, 20, kVocab));
  ASSERT_TRUE(all.finish);
  EXPECT_EQ(all.finish->reason, FinishReason::kLength);
  EXPECT_EQ(all.finish->usage.prompt_tokens, 3);
  EXPECT_EQ(all.finish->usage.completion_tokens, 20);
  std::string text;
  for (int32_t token : all.tokens) text += static_cast<char>('a' + token % 26);
  EXPECT_EQ(all.text, text);
}

TEST_P(Service, ManyRequestsAtOnceGetTheAnswersTheyWouldGetAlone) {
  auto executor = start();
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 60; ++i) {
    streams.push_back(*executor->submit(request_of(prompt_of(1 + i * 4, i), 1 + i * 2)));
  }
  for (int i = 0; i < 60; ++i) {
    const Response all = collect(*streams[i]);
    EXPECT_EQ(all.tokens, FakeSession::answer(prompt_of(1 + i * 4, i), 1 + i * 2, kVocab)) << i;
  }
  executor->drain();
  EXPECT_EQ(executor->stats().pages_used, 0);
  EXPECT_EQ(executor->stats().output_tokens, 60 + 59 * 60);
  EXPECT_EQ(executor->stats().finished[static_cast<size_t>(FinishReason::kLength)], 60);
}

TEST_P(Service, RefusesWhatItCannotServeWithTheNumbers) {
  auto executor = start();
  auto refusal = [&](Request request) {
    auto stream = executor->submit(std::move(request));
    EXPECT_FALSE(stream.ok());
    EXPECT_EQ(stream.error().code, ErrorCode::kInvalid);
    return stream.error().text();
  };
  EXPECT_EQ(refusal(request_of({}, 5)), "prompt is empty, it needs at least one token");
  EXPECT_EQ(refusal(request_of({1, 2, 1000}, 5)),
            "prompt token 1000 at index 2 is not in [0, 1000)");
  EXPECT_EQ(refusal(request_of({-1}, 5)), "prompt token -1 at index 0 is not in [0, 1000)");
  EXPECT_EQ(refusal(request_of(prompt_of(512, 1), 1)),
            "prompt of 512 tokens leaves no room for an answer, max_seq_len is 512\n"
            "hint: shorten the prompt to at most 511 tokens");
  EXPECT_EQ(refusal(request_of(prompt_of(500, 1), 13)),
            "prompt of 500 tokens + max_tokens 13 > max_seq_len 512\n"
            "hint: set max_tokens to at most 12");
  EXPECT_EQ(refusal(request_of({1}, std::numeric_limits<int64_t>::max())),
            "prompt of 1 tokens + max_tokens 9223372036854775807 > max_seq_len 512\n"
            "hint: set max_tokens to at most 511");
  Request request = request_of({1}, 5);
  request.priority = 101;
  EXPECT_EQ(refusal(request), "priority is 101, must be between -100 and 100");
  request.priority = 0;
  request.sampling.temperature = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(refusal(request), "temperature is nan, must be between 0 and 100");
  EXPECT_TRUE(executor->submit(request_of(prompt_of(500, 1), 12)).ok());
}

TEST_P(Service, RefusesARequestThatNeedsMorePagesThanThereAre) {
  runtime::SessionInfo info = info_of_session;
  info.num_pages = 2;
  const auto status = validate(request_of(prompt_of(100, 1), 30), info);
  EXPECT_EQ(status.error().message,
            "prompt of 100 tokens + max_tokens 30 need 3 KV pages of 64 tokens, there are 2");
  EXPECT_TRUE(validate(request_of(prompt_of(100, 1), 29), info).ok());
}

TEST_P(Service, StopTextsNeedATokenizer) {
  auto executor = *Executor::start(std::make_unique<FakeSession>(info_of_session), nullptr);
  Request request = request_of({1}, 5);
  request.sampling.stop = {"x"};
  EXPECT_EQ(executor->submit(request).error().code, ErrorCode::kUnsupported);
}

TEST_P(Service, RefusesOptionsOutOfRange) {
  auto message = [](ExecutorOptions options) {
    auto executor =
        Executor::start(std::make_unique<FakeSession>(info_of_session), nullptr, options);
    return executor.ok() ? "ok" : executor.error().message;
  };
  EXPECT_EQ(message({.max_queue = 0}), "max_queue is 0, must be at least 1");
  EXPECT_EQ(message({.budget_tokens = -1}), "budget_tokens is -1, must be at least 0");
  EXPECT_EQ(message({.eos_ids = {1000}}), "eos_ids[0] is 1000, must be in [0, 1000)");
  EXPECT_EQ(message({}), "ok");
}

TEST_P(Service, AFullQueueRefusesAsOverloaded) {
  Gate gate;
  auto executor = gate.start({.max_queue = 2, .max_running = 1});
  auto running = *executor->submit(request_of({1}, 3));
  std::vector<std::shared_ptr<TokenStream>> waiting;
  Result<std::shared_ptr<TokenStream>> last = base::internal_error("");
  while ((last = executor->submit(request_of({2}, 3))).ok()) waiting.push_back(*last);
  EXPECT_EQ(last.error().code, ErrorCode::kOverloaded);
  EXPECT_EQ(last.error().message, "the queue is full: 2 requests wait, max_queue is 2");
  gate.open.set_value();
  EXPECT_EQ(collect(*running).finish->reason, FinishReason::kLength);
  for (auto& stream : waiting) EXPECT_EQ(collect(*stream).finish->reason, FinishReason::kLength);
  EXPECT_TRUE(executor->submit(request_of({1}, 1)).ok());
}

TEST_P(Service, NextWaitsNoLongerThanItsTimeout) {
  Gate gate;
  auto executor = gate.start();
  auto stream = *executor->submit(request_of({1}, 1));
  const auto part = stream->next(milliseconds(5));
  ASSERT_TRUE(part);
  EXPECT_TRUE(part->tokens.empty());
  EXPECT_FALSE(part->finish);
  gate.open.set_value();
  EXPECT_EQ(collect(*stream).tokens.size(), 1u);
}

TEST_P(Service, DrainFinishesWhatIsThereAndRefusesTheRest) {
  Gate gate;
  auto executor = gate.start();
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 20; ++i) streams.push_back(*executor->submit(request_of({i}, 10)));
  auto drained = std::async(std::launch::async, [&] { executor->drain(); });
  Result<std::shared_ptr<TokenStream>> refused = base::internal_error("");
  while ((refused = executor->submit(request_of({1}, 1))).ok()) std::this_thread::yield();
  EXPECT_EQ(refused.error().code, ErrorCode::kOverloaded);
  EXPECT_EQ(drained.wait_for(milliseconds(5)), std::future_status::timeout);
  gate.open.set_value();
  drained.wait();
  for (auto& stream : streams) EXPECT_EQ(collect(*stream).finish->reason, FinishReason::kLength);
  EXPECT_EQ(executor->stats().running + executor->stats().waiting, 0);
}

TEST_P(Service, StopCancelsWhatIsThereAndStreamsOutliveTheExecutor) {
  auto session = std::make_unique<FakeSession>(info_of_session);
  session->on_step = [](const runtime::Step&) -> Result<void> {
    std::this_thread::sleep_for(milliseconds(1));
    return {};
  };
  auto executor = *Executor::start(std::move(session), nullptr);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 40; ++i) streams.push_back(*executor->submit(request_of({i}, 500)));
  EXPECT_FALSE(streams[0]->next()->finish);
  executor.reset();
  for (auto& stream : streams) {
    EXPECT_EQ(collect(*stream).finish->reason, FinishReason::kCancelled);
    stream->cancel();
  }
}

TEST_P(Service, AStopFromAnotherThreadEndsADrain) {
  Gate gate;
  auto executor = gate.start();
  auto stream = *executor->submit(request_of({1}, 500));
  auto drained = std::async(std::launch::async, [&] { executor->drain(); });
  auto stopped = std::async(std::launch::async, [&] { executor->stop(); });
  gate.open.set_value();
  drained.wait();
  stopped.wait();
  EXPECT_TRUE(collect(*stream).finish);
}

TEST_P(Service, AListenerIsCalledForWhatIsNewAndForWhatIsThere) {
  auto executor = start();
  auto stream = *executor->submit(request_of({1}, 30));
  std::atomic<int> calls = 0;
  stream->set_listener([&] { ++calls; });
  Response all;
  while (!all.finish) {
    const int before = calls;
    auto part = stream->next(seconds(0));
    all.tokens.insert(all.tokens.end(), part->tokens.begin(), part->tokens.end());
    all.finish = part->finish;
    if (part->tokens.empty() && !part->finish) {
      while (calls == before) std::this_thread::yield();
    }
  }
  EXPECT_EQ(all.tokens.size(), 30u);
}

TEST_P(Service, TheSameSeedGivesTheSameDrawsAndNoSeedAnother) {
  auto session = std::make_unique<FakeSession>(info_of_session);
  session->on_sample = [](const runtime::SampleRow& row) {
    runtime::Sampled sampled;
    // A byte of the seed each, so that 8 tokens tell it.
    sampled.token = static_cast<int32_t>(row.context.seed >> 8 * (row.context.position % 8) & 0xff);
    return std::optional<Result<runtime::Sampled>>(sampled);
  };
  auto executor = *Executor::start(std::move(session), nullptr);
  auto answer = [&](int64_t seed) {
    Request request = request_of({1}, 8);
    request.sampling.seed = seed;
    return collect(**executor->submit(request)).tokens;
  };
  EXPECT_EQ(answer(7), answer(7));
  EXPECT_NE(answer(7), answer(8));
  EXPECT_NE(answer(-1), answer(-1));
}

// Everything that clients can do, from many threads at once; for the thread sanitizer above all.
TEST_P(Service, HoldsUnderManyClientsThatSubmitReadCancelAndLeave) {
  auto session = std::make_unique<FakeSession>(info_of_session);
  auto faults = std::make_shared<std::mt19937>(1);
  session->on_step = [faults](const runtime::Step&) -> Result<void> {
    if ((*faults)() % 500 == 0) throw base::CheckFailure("injected");
    return {};
  };
  auto executor = std::move(Executor::start(std::move(session),
                                            letter_tokenizer(kVocab, 3),
                                            ExecutorOptions{.max_queue = 30}))
                      .value();
  std::atomic<int64_t> submitted = 0, complete = 0, refused = 0;
  auto client = [&](int name) {
    std::mt19937 random(name);
    for (int i = 0; i < 60; ++i) {
      const int64_t answer = 1 + random() % 60;
      Request request = request_of(prompt_of(1 + random() % 150, random() % kVocab), answer);
      request.priority = static_cast<int>(random() % 3);
      if (random() % 8 == 0) request.deadline = Clock::now() + milliseconds(random() % 5);
      const auto expected = FakeSession::answer(request.prompt, answer, kVocab);
      auto stream = executor->submit(request);
      if (!stream.ok()) {
        EXPECT_EQ(stream.error().code, ErrorCode::kOverloaded);
        ++refused;
        continue;
      }
      ++submitted;
      if (random() % 4 == 0) continue;  // Leaves.
      if (random() % 4 == 0) (*stream)->cancel();
      const Response all = collect(**stream);
      ASSERT_TRUE(all.finish);
      ASSERT_TRUE(std::equal(all.tokens.begin(), all.tokens.end(), expected.begin()));
      complete += all.finish->reason == FinishReason::kLength;
      executor->stats();
    }
  };
  std::vector<std::thread> threads;
  for (int name = 0; name < 8; ++name) threads.emplace_back(client, name);
  for (auto& thread : threads) thread.join();
  executor->drain();
  const ExecutorStats stats = executor->stats();
  EXPECT_EQ(stats.pages_used, 0);
  EXPECT_EQ(stats.running + stats.waiting, 0);
  int64_t finished = 0;
  for (int64_t count : stats.finished) finished += count;
  EXPECT_EQ(finished, submitted);
  EXPECT_GT(complete, 50);
}

TEST_P(Service, ALostDeviceIsKeptForTheOwnerAndHoldsUpNobody) {
  auto session = std::make_unique<FakeSession>(info_of_session);
  session->on_step = [steps = 0](const runtime::Step&) mutable -> Result<void> {
    if (++steps == 5) return Error{ErrorCode::kDevice, "cuda: the device is lost", {}};
    return {};
  };
  auto executor = std::move(Executor::start(std::move(session), nullptr)).value();
  EXPECT_FALSE(executor->failure());
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 6; ++i) {
    auto stream = executor->submit(request_of({i}, 400));
    if (!stream.ok()) {
      EXPECT_EQ(stream.error().code, ErrorCode::kDevice);
      continue;
    }
    streams.push_back(*stream);
  }
  ASSERT_FALSE(streams.empty());
  for (auto& stream : streams) {
    const Response all = collect(*stream);
    ASSERT_EQ(all.finish->reason, FinishReason::kError);
    EXPECT_EQ(all.finish->error->code, ErrorCode::kDevice);
    ASSERT_TRUE(executor->failure()) << "it is known before any stream ends with it";
  }
  EXPECT_EQ(executor->failure()->message, "cuda: the device is lost");
  EXPECT_EQ(executor->submit(request_of({1}, 1)).error().message, "cuda: the device is lost");
  executor->drain();
  executor->stop();
  EXPECT_EQ(executor->submit(request_of({1}, 1)).error().code, ErrorCode::kDevice);
}

}  // namespace
}  // namespace tokamak::executor
