// SPDX-License-Identifier: Apache-2.0
// The step loop on one thread with a fake session and a clock that is set: every test here is
// deterministic.
#include "tokamak/executor/step_loop.h"

#include <map>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/executor/fake_session.h"

namespace tokamak::executor {
namespace {

using std::chrono::seconds;

constexpr int64_t kVocab = 500;
constexpr runtime::SessionInfo kSmall{.vocab_size = kVocab,
                                      .max_seq_len = 400,
                                      .max_step_tokens = 96,
                                      .max_step_rows = 8,
                                      .max_sequences = 8,
                                      .num_pages = 12};

std::vector<int32_t> prompt_of(int64_t size, int64_t first) {
  std::vector<int32_t> prompt;
  for (int64_t i = 0; i < size; ++i)
    prompt.push_back(static_cast<int32_t>((first + i * 13) % kVocab));
  return prompt;
}

Request request_of(std::vector<int32_t> prompt, int64_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.sampling.max_tokens = max_tokens;
  return request;
}

/// A loop and the time it believes in.
struct Bench {
  explicit Bench(const runtime::SessionInfo& info = kSmall, ExecutorOptions options = {}) {
    options.now = [this] { return time; };
    inbox = std::make_shared<Inbox>(options.max_queue);
    auto made = std::make_unique<FakeSession>(info);
    session = made.get();
    loop = std::make_unique<StepLoop>(std::move(made), options, inbox);
  }

  std::shared_ptr<TokenStream> submit(Request request) {
    const TimePoint since = time - seconds(10) * request.priority;
    const uint64_t number = next_number++;
    Answer answer(request, tokenizer, {});
    auto active = std::make_unique<ActiveRequest>(
        std::move(request), number, number, std::move(answer), time, since);
    auto responses = active->responses();
    auto status = inbox->put(std::move(active));
    TKM_CHECK(status.ok(), "{}", status.error().text());
    return std::make_shared<TokenStream>("", responses, [inbox = inbox] { inbox->wake(); });
  }

  void turn(int count = 1) {
    for (int i = 0; i < count; ++i) {
      more = loop->turn();
      loop->check_invariants();
    }
  }
  /// Turns until nothing is left.
  void finish() {
    do turn();
    while (more);
  }

  TimePoint time{seconds(1000)};
  std::shared_ptr<const text::Tokenizer> tokenizer;
  std::shared_ptr<Inbox> inbox;
  FakeSession* session;
  std::unique_ptr<StepLoop> loop;
  uint64_t next_number = 0;
  bool more = false;
};

TEST(StepLoop, APromptIsComputedInChunksWhileOthersAnswer) {
  Bench bench;
  auto talking = bench.submit(request_of(prompt_of(5, 1), 50));
  bench.turn();
  EXPECT_EQ(talking->next(seconds(0))->tokens.size(), 1u);
  auto long_prompt = bench.submit(request_of(prompt_of(200, 2), 4));
  for (int i = 0; i < 2; ++i) {
    bench.turn();
    EXPECT_EQ(talking->next(seconds(0))->tokens.size(), 1u) << "the answer goes on in each step";
    EXPECT_TRUE(long_prompt->next(seconds(0))->tokens.empty());
  }
  bench.turn();
  EXPECT_EQ(long_prompt->next(seconds(0))->tokens,
            FakeSession::answer(prompt_of(200, 2), 1, kVocab));
  bench.finish();
  EXPECT_EQ(bench.loop->stats().prompt_tokens, 205);
  EXPECT_EQ(bench.loop->stats().output_tokens, 54);
}

TEST(StepLoop, WhenPagesRunOutTheYoungestIsPreemptedAndItsAnswerIsTheSame) {
  Bench bench;
  // Six requests that grow to 4 pages each, in 12 pages.
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 6; ++i) {
    streams.push_back(bench.submit(request_of(prompt_of(60, i), 180)));
    bench.time += seconds(1);
  }
  bench.finish();
  EXPECT_GT(bench.loop->stats().preemptions, 0);
  EXPECT_EQ(bench.loop->stats().pages_used, 0);
  for (int i = 0; i < 6; ++i) {
    const Response all = collect(*streams[i]);
    EXPECT_EQ(all.tokens, FakeSession::answer(prompt_of(60, i), 180, kVocab)) << i;
    EXPECT_EQ(all.finish->reason, FinishReason::kLength);
    EXPECT_EQ(all.finish->usage.prompt_tokens, 60);
    EXPECT_EQ(all.finish->usage.completion_tokens, 180);
  }
}

TEST(StepLoop, PriorityGoesFirstButNobodyWaitsForever) {
  ExecutorOptions options;
  options.max_running = 1;
  Bench bench(kSmall, options);
  auto running = bench.submit(request_of({1}, 3));
  bench.turn();
  auto low = bench.submit(request_of({2}, 1));
  Request urgent = request_of({3}, 1);
  urgent.priority = 1;
  auto high = bench.submit(urgent);
  bench.turn();
  EXPECT_TRUE(high->next(seconds(0))->finish) << "it takes the place of the one that runs";
  EXPECT_FALSE(low->next(seconds(0))->finish);
  // Ten seconds later, a request of priority 1 is no better than one that came ten seconds before.
  bench.time += seconds(11);
  auto late = bench.submit(urgent);
  while (!running->next(seconds(0))->finish) bench.turn();
  bench.turn();
  EXPECT_TRUE(low->next(seconds(0))->finish);
  EXPECT_FALSE(late->next(seconds(0))->finish);
}

TEST(StepLoop, CancelEndsARequestInEveryState) {
  ExecutorOptions options;
  options.max_running = 1;
  Bench bench(kSmall, options);
  auto prefilling = bench.submit(request_of(prompt_of(300, 1), 10));
  bench.turn();
  EXPECT_GT(bench.loop->stats().pages_used, 0);
  auto queued = bench.submit(request_of({1}, 10));
  auto never_seen = bench.submit(request_of({1}, 10));
  never_seen->cancel();
  prefilling->cancel();
  bench.turn();
  EXPECT_EQ(collect(*prefilling).finish->reason, FinishReason::kCancelled);
  EXPECT_EQ(collect(*never_seen).finish->reason, FinishReason::kCancelled);
  auto part = queued->next(seconds(0));
  EXPECT_EQ(part->tokens.size(), 1u);
  queued->cancel();
  bench.turn();
  EXPECT_EQ(collect(*queued).finish->reason, FinishReason::kCancelled);
  EXPECT_EQ(bench.loop->stats().pages_used, 0);
  EXPECT_EQ(bench.inbox->waiting, 0);
  EXPECT_FALSE(queued->next()) << "nothing follows the last response";
}

TEST(StepLoop, DestroyingTheStreamFreesThePagesWithinOneTurn) {
  Bench bench;
  auto stream = bench.submit(request_of(prompt_of(90, 1), 100));
  bench.turn(3);
  EXPECT_EQ(bench.loop->stats().pages_used, 2);
  stream.reset();
  bench.turn();
  EXPECT_EQ(bench.loop->stats().pages_used, 0);
  EXPECT_EQ(bench.loop->stats().finished[static_cast<size_t>(FinishReason::kCancelled)], 1);
}

TEST(StepLoop, ADeadlineEndsRunningAndWaitingRequests) {
  ExecutorOptions options;
  options.max_running = 1;
  Bench bench(kSmall, options);
  Request request = request_of({1, 2}, 100);
  request.deadline = bench.time + seconds(5);
  auto running = bench.submit(request);
  request.deadline = bench.time + seconds(3);
  auto waiting = bench.submit(request);
  auto patient = bench.submit(request_of({3}, 2));
  bench.turn(2);
  bench.time += seconds(3);
  bench.turn();
  EXPECT_EQ(collect(*waiting).finish->reason, FinishReason::kDeadline);
  bench.time += seconds(2);
  bench.turn(3);
  const Response all = collect(*running);
  EXPECT_EQ(all.finish->reason, FinishReason::kDeadline);
  EXPECT_EQ(all.tokens.size(), 3u) << "what was said before it stays";
  EXPECT_EQ(collect(*patient).finish->reason, FinishReason::kLength);
}

TEST(StepLoop, TimingHoldsTheStationsOfARequest) {
  Bench bench;
  const TimePoint start = bench.time;
  bench.session->on_step = [&](const runtime::Step&) -> Result<void> {
    bench.time += seconds(1);
    return {};
  };
  auto stream = bench.submit(request_of({1, 2}, 3));
  bench.time += seconds(5);
  bench.finish();
  const Timing timing = collect(*stream).finish->timing;
  EXPECT_EQ(timing.arrival, start);
  EXPECT_EQ(timing.admission, start + seconds(5));
  EXPECT_EQ(timing.first_token, start + seconds(6));
  EXPECT_EQ(timing.last_token, start + seconds(8));
  EXPECT_EQ(timing.finish, start + seconds(8));
  EXPECT_DOUBLE_EQ(bench.loop->stats().step_seconds, 3);
}

TEST(StepLoop, AnErrorOfARowFailsItsRequestAlone) {
  Bench bench;
  auto good = bench.submit(request_of({1}, 5));
  auto bad = bench.submit(request_of({2}, 5));
  bench.session->on_sample = [](const runtime::SampleRow& row) {
    std::optional<Result<runtime::Sampled>> chosen;
    if (row.context.prompt[0] == 2 && row.context.position == 3) {
      chosen = base::internal_error("the logits for position 3 have NaN or infinity");
    }
    return chosen;
  };
  bench.finish();
  const Response failed = collect(*bad);
  EXPECT_EQ(failed.finish->reason, FinishReason::kError);
  EXPECT_EQ(failed.finish->error->message, "the logits for position 3 have NaN or infinity");
  EXPECT_EQ(failed.tokens.size(), 2u);
  EXPECT_EQ(collect(*good).tokens, FakeSession::answer({1}, 5, kVocab));
}

TEST(StepLoop, AnErrorOfAStepFailsTheRequestsInItAndNoOther) {
  for (bool throws : {false, true}) {
    ExecutorOptions options;
    options.max_running = 1;
    Bench bench(kSmall, options);
    auto bad = bench.submit(request_of({1}, 5));
    auto good = bench.submit(request_of({2}, 5));
    bench.session->on_step = [&](const runtime::Step&) -> Result<void> {
      if (bench.session->num_steps != 2) return {};
      bench.session->on_step = {};
      if (throws) throw base::CheckFailure("pages in range");
      return Error{ErrorCode::kDevice, "the device is lost", {}};
    };
    bench.finish();
    const Response failed = collect(*bad);
    EXPECT_EQ(failed.finish->reason, FinishReason::kError);
    EXPECT_EQ(failed.finish->error->code, throws ? ErrorCode::kInternal : ErrorCode::kDevice);
    EXPECT_EQ(failed.tokens.size(), 2u);
    EXPECT_EQ(collect(*good).tokens, FakeSession::answer({2}, 5, kVocab));
    EXPECT_EQ(bench.loop->stats().pages_used, 0);
  }
}

/// A tokenizer that fails on one token.
class BrokenTokenizer : public FakeTokenizer {
 public:
  using FakeTokenizer::FakeTokenizer;
  text::TokenPiece piece(text::TokenId id, bool first, bool last) const override {
    TKM_CHECK(id != 7, "token {}", id);
    return FakeTokenizer::piece(id, first, last);
  }
};

TEST(StepLoop, AFailureWhileTextIsMadeFailsItsRequestAlone) {
  Bench bench;
  bench.tokenizer = std::make_shared<BrokenTokenizer>(std::vector<std::string>(kVocab, "x"));
  auto good = bench.submit(request_of({1}, 5));
  auto bad = bench.submit(request_of({2}, 5));
  bench.session->on_sample = [](const runtime::SampleRow& row) {
    runtime::Sampled sampled;
    sampled.token = row.context.prompt[0] == 2 && row.context.position == 2 ? 7 : 3;
    return std::optional<Result<runtime::Sampled>>(sampled);
  };
  bench.finish();
  EXPECT_EQ(collect(*bad).finish->reason, FinishReason::kError);
  EXPECT_EQ(collect(*good).text, "xxxxx");
}

TEST(StepLoop, LogprobsComeWithTheirTokens) {
  Bench bench;
  Request request = request_of({1}, 3);
  request.sampling.logprobs = 1;
  auto stream = bench.submit(request);
  bench.session->on_sample = [](const runtime::SampleRow& row) {
    runtime::Sampled sampled;
    sampled.token = static_cast<int32_t>(row.context.position);
    sampled.logprob = -1.5f;
    sampled.top_logprobs = {{4, -0.5f}};
    return std::optional<Result<runtime::Sampled>>(sampled);
  };
  bench.finish();
  const Response all = collect(*stream);
  ASSERT_EQ(all.logprobs.size(), all.tokens.size());
  EXPECT_EQ(all.logprobs[2].logprob, -1.5f);
  EXPECT_EQ(all.logprobs[2].top[0].token, 4);
}

TEST(StepLoop, RunsNoMoreThanEveryLimitAllows) {
  runtime::SessionInfo info = kSmall;
  info.max_step_rows = 3;
  info.max_sequences = 5;
  ExecutorOptions options;
  options.budget_tokens = 4;
  EXPECT_EQ(capacity_limits(options, info).max_running, 3);
  EXPECT_EQ(batch_limits(options, info).budget_tokens, 4);
  options.budget_tokens = 2;
  EXPECT_EQ(capacity_limits(options, info).max_running, 2);
  Bench bench(info, options);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 10; ++i) streams.push_back(bench.submit(request_of(prompt_of(20, i), 10)));
  bench.finish();  // The fake session checks its limits.
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(collect(*streams[i]).tokens, FakeSession::answer(prompt_of(20, i), 10, kVocab));
  }
}

// What a client may expect of a request, under everything that can happen to it.
class Simulation {
 public:
  explicit Simulation(uint64_t seed) : random_(seed), bench_(kSmall) {
    bench_.session->on_step = [this](const runtime::Step&) -> Result<void> {
      if (!chance(2000)) return {};
      if (chance(2)) throw base::CheckFailure("injected");
      return base::internal_error("injected");
    };
    bench_.session->on_sample = [this](const runtime::SampleRow&) {
      std::optional<Result<runtime::Sampled>> chosen;
      if (chance(2000)) chosen = base::internal_error("injected");
      return chosen;
    };
  }

  void run(int events) {
    for (int event = 0; event < events; ++event) {
      const uint64_t kind = random_() % 100;
      if (kind < 12) {
        if (clients_.size() < 60) arrive();
      } else if (kind < 15) {
        if (auto* client = any()) client->stream->cancel(), client->cancelled = true;
      } else if (kind < 16) {
        bench_.time += seconds(random_() % 20);
      } else {
        bench_.turn();
        ++turns_;
        read();
      }
    }
    while (!clients_.empty()) {
      bench_.turn();
      ++turns_;
      read();
    }
    bench_.turn();
    const ExecutorStats stats = bench_.loop->stats();
    EXPECT_EQ(stats.pages_used, 0);
    EXPECT_EQ(stats.running + stats.waiting, 0);
    int64_t finished = 0;
    for (int64_t count : stats.finished) {
      EXPECT_GT(count, 0) << "the simulation reaches every reason";
      finished += count;
    }
    EXPECT_EQ(finished, arrived_) << "no request is lost, none finishes twice";
    EXPECT_GT(stats.preemptions, 50);
  }

 private:
  struct Client {
    std::shared_ptr<TokenStream> stream;
    Request request;
    std::vector<int32_t> expected, tokens;
    TimePoint since;
    bool cancelled = false;
    int64_t work = 0;       // Steps that it needs at most, alone.
    int64_t last_turn = 0;  // It must be finished by then.
  };

  bool chance(uint64_t one_in) { return random_() % one_in == 0; }
  Client* any() { return clients_.empty() ? nullptr : &clients_[random_() % clients_.size()]; }

  void arrive() {
    Client client;
    const int64_t prompt = 1 + static_cast<int64_t>(chance(4) ? random_() % 300 : random_() % 60);
    const int64_t answer = 1 + static_cast<int64_t>(chance(4) ? random_() % 100 : random_() % 20);
    client.request =
        request_of(prompt_of(prompt, static_cast<int64_t>(random_() % kVocab)), answer);
    if (chance(5)) client.request.priority = static_cast<int>(random_() % 5) - 2;
    if (chance(10)) client.request.deadline = bench_.time + seconds(random_() % 30);
    client.expected = FakeSession::answer(client.request.prompt, answer, kVocab);
    if (chance(4)) {
      const int32_t stop = client.expected[random_() % client.expected.size()];
      client.request.sampling.stop_token_ids = {stop};
      auto& expected = client.expected;
      expected.erase(std::find(expected.begin(), expected.end(), stop) + 1, expected.end());
    }
    client.since = bench_.time - seconds(10) * client.request.priority;
    client.work = prompt + answer;
    client.last_turn = turns_ + client.work;
    // The most urgent advances in every turn. Who is overtaken waits for the newcomer's work, and
    // for that of all before it again, which may have been preempted.
    for (Client& other : clients_) {
      if (other.since <= client.since) {
        client.last_turn += other.work;
      } else {
        other.last_turn += 2 * client.work + 700;
      }
    }
    client.stream = bench_.submit(client.request);
    clients_.push_back(std::move(client));
    ++arrived_;
  }

  void read() {
    for (Client& client : clients_) {
      ASSERT_LE(turns_, client.last_turn) << "waiting is bounded";
      auto part = client.stream->next(seconds(0));
      ASSERT_TRUE(part);
      client.tokens.insert(client.tokens.end(), part->tokens.begin(), part->tokens.end());
      if (part->finish) check(client, *part->finish);
    }
    std::erase_if(clients_, [](const Client& client) { return client.stream == nullptr; });
  }

  void check(Client& client, const Finish& finish) {
    ASSERT_LE(client.tokens.size(), client.expected.size());
    ASSERT_TRUE(std::equal(client.tokens.begin(), client.tokens.end(), client.expected.begin()));
    ASSERT_EQ(finish.usage.completion_tokens, static_cast<int64_t>(client.tokens.size()));
    ASSERT_EQ(finish.usage.prompt_tokens, static_cast<int64_t>(client.request.prompt.size()));
    switch (finish.reason) {
      case FinishReason::kLength:
        ASSERT_EQ(client.tokens.size(), client.expected.size());
        break;
      case FinishReason::kCancelled:
        ASSERT_TRUE(client.cancelled);
        break;
      case FinishReason::kDeadline:
        ASSERT_LE(*client.request.deadline, bench_.time);
        break;
      case FinishReason::kError:
        ASSERT_EQ(finish.error->message, "injected");
        break;
      case FinishReason::kStop:
        ASSERT_EQ(client.tokens.size(), client.expected.size());
        ASSERT_EQ(finish.stop_reason, StopReason{client.tokens.back()});
        break;
    }
    ASSERT_FALSE(client.stream->next()) << "a request finishes once";
    client.stream.reset();
  }

  std::mt19937_64 random_;
  Bench bench_;
  std::vector<Client> clients_;
  int64_t turns_ = 0, arrived_ = 0;
};

TEST(StepLoop, HoldsItsPromisesInARandomSimulation) {
  Simulation(1).run(200000);
}

}  // namespace
}  // namespace tokamak::executor
