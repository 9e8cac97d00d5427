// SPDX-License-Identifier: Apache-2.0
// What clients may expect, under everything that can happen to them at random.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/executor/step_loop_test.h"

namespace tokamak::executor {
namespace {

using std::chrono::seconds;

class Simulation {
 public:
  explicit Simulation(uint64_t seed) : random_(seed), bench_(kSmall, options()) {
    bench_.session->uses_seeds = true;
    bench_.session->undecided = [this](const runtime::SampleRow&) { return chance(50); };
    bench_.session->on_finish = [this]() -> Result<void> {
      if (chance(20000)) return base::internal_error("injected: a kernel");
      return {};
    };
  }

  void run(int events) {
    for (int event = 0; event < events && !testing::Test::HasFatalFailure(); ++event) {
      const uint64_t kind = random_() % 100;
      if (kind < 12) {
        if (clients_.size() < 60) arrive();
      } else if (kind < 15) {
        if (auto* client = any()) client->stream->cancel(), client->cancelled = true;
      } else if (kind < 16) {
        bench_.time += seconds(random_() % 20);
      } else {
        turn();
      }
    }
    while (!clients_.empty() && !testing::Test::HasFatalFailure()) turn();
    bench_.turn();
    check_end();
  }

 private:
  struct Client {
    std::shared_ptr<TokenStream> stream;
    Request request;
    std::vector<std::vector<int32_t>> expected, tokens;  // By answer.
    int64_t num_open = 0;                                // Answers that go on.
    size_t num_scores = 0;
    TimePoint since;
    bool cancelled = false;
    int64_t work = 0;       // Steps that it needs at most, alone.
    int64_t last_turn = 0;  // It must be finished by then.
  };

  ExecutorOptions options() {
    ExecutorOptions options;
    options.priority_seconds = 10;
    options.fault = [this](Fault fault, const Request&) {
      return chance(fault == Fault::kStep ? 20000 : 5000);
    };
    return options;
  }
  bool chance(uint64_t one_in) { return random_() % one_in == 0; }
  int64_t below(uint64_t limit) { return static_cast<int64_t>(random_() % limit); }
  Client* any() { return clients_.empty() ? nullptr : &clients_[random_() % clients_.size()]; }

  /// Of few beginnings, so that many share pages.
  std::vector<int32_t> any_prompt() {
    auto prompt = prompt_of(chance(2) ? 0 : 64 * below(4), below(3));
    const auto rest = prompt_of(1 + below(chance(4) ? 100 : 40), below(kVocab));
    prompt.insert(prompt.end(), rest.begin(), rest.end());
    return prompt;
  }

  Request any_request() {
    Request request = request_of(any_prompt(), 1 + (chance(4) ? below(100) : below(20)));
    if (chance(6)) request.n = 2 + below(3);
    if (chance(4)) request.cache_salt = "salt";
    if (chance(5)) request.priority = static_cast<int>(below(5)) - 2;
    if (chance(10)) request.deadline = bench_.time + seconds(below(30));
    if (chance(15)) request.sampling.logprobs = 0;
    if (chance(5)) request.sampling.presence_penalty = 1;
    if (chance(15)) {
      request.sampling.prompt_logprobs = 0;
      if (chance(2)) request.sampling.max_tokens = 0;
    }
    return request;
  }

  void arrive() {
    Client client;
    Request& request = client.request = any_request();
    const int64_t answer = request.sampling.max_tokens;
    for (int64_t i = 0; i < request.n; ++i) {
      client.expected.push_back(
          FakeSession::answer(request.prompt, answer, kVocab, static_cast<uint64_t>(arrived_ + i)));
    }
    if (answer > 0 && chance(4)) {
      const int32_t stop = client.expected[0][random_() % answer];
      request.sampling.stop_token_ids = {stop};
      for (auto& expected : client.expected) {
        const auto found = std::find(expected.begin(), expected.end(), stop);
        if (found != expected.end()) expected.erase(found + 1, expected.end());
      }
    }
    client.tokens.resize(request.n);
    client.num_open = request.n;
    client.since = bench_.time - seconds(10) * request.priority;
    // Of two steps under way, the second may be of no use to it.
    client.work =
        Bench::max_under_way * request.n * (static_cast<int64_t>(request.prompt.size()) + answer);
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
    client.stream = bench_.submit(request);
    clients_.push_back(std::move(client));
    ++arrived_;
    answers_ += request.n;
  }

  void turn() {
    bench_.turn();
    ++turns_;
    for (Client& client : clients_) {
      ASSERT_LE(turns_, client.last_turn) << "waiting is bounded";
      while (read(client)) {
      }
    }
    std::erase_if(clients_, [](const Client& client) { return client.num_open == 0; });
  }

  /// False if there is nothing to read now.
  bool read(Client& client) {
    const auto part = client.stream->next(seconds(0));
    if (client.num_open == 0) {
      EXPECT_FALSE(part) << "nothing follows the last response";
      return false;
    }
    if (!part) {
      ADD_FAILURE() << "a stream ended without its last response";
      client.num_open = 0;
      return false;
    }
    auto& tokens = client.tokens[part->index];
    tokens.insert(tokens.end(), part->tokens.begin(), part->tokens.end());
    client.num_scores += part->prompt_logprobs.size();
    if (!part->finish) return !part->tokens.empty() || !part->prompt_logprobs.empty();
    --client.num_open;
    check(client, tokens, client.expected[part->index], *part->finish);
    return true;
  }

  void check(const Client& client,
             const std::vector<int32_t>& tokens,
             const std::vector<int32_t>& expected,
             const Finish& finish) {
    const int64_t prompt = static_cast<int64_t>(client.request.prompt.size());
    ASSERT_LE(tokens.size(), expected.size());
    ASSERT_TRUE(std::equal(tokens.begin(), tokens.end(), expected.begin()));
    ASSERT_EQ(finish.usage.completion_tokens, static_cast<int64_t>(tokens.size()));
    ASSERT_EQ(finish.usage.prompt_tokens, prompt);
    ASSERT_LT(finish.usage.cached_tokens, prompt);
    switch (finish.reason) {
      case FinishReason::kLength:
        ASSERT_EQ(tokens.size(), expected.size());
        break;
      case FinishReason::kCancelled:
        ASSERT_TRUE(client.cancelled);
        break;
      case FinishReason::kDeadline:
        ASSERT_LE(*client.request.deadline, bench_.time);
        break;
      case FinishReason::kError:
        ASSERT_TRUE(finish.error->message.find("injected") != std::string::npos)
            << finish.error->message;
        break;
      case FinishReason::kStop:
        ASSERT_EQ(tokens.size(), expected.size());
        ASSERT_EQ(finish.stop_reason, StopReason{tokens.back()});
        break;
    }
    if (finish.usage.completion_tokens > 0 && client.request.sampling.prompt_logprobs >= 0) {
      ASSERT_EQ(client.num_scores, client.request.prompt.size() - 1);
    }
  }

  void check_end() {
    const ExecutorStats stats = bench_.stats();
    EXPECT_EQ(stats.pages_used, 0);
    EXPECT_EQ(stats.running + stats.waiting, 0);
    EXPECT_EQ(bench_.waiting(), 0);
    EXPECT_EQ(stats.requests, arrived_);
    int64_t finished = 0;
    for (int64_t count : stats.finished) {
      EXPECT_GT(count, 0) << "the simulation reaches every reason";
      finished += count;
    }
    EXPECT_EQ(finished, answers_) << "no answer is lost, none finishes twice";
    EXPECT_GT(stats.preemptions, 50);
    EXPECT_GT(stats.evictions, 50);
    EXPECT_GT(stats.failed_steps, 10);
    if (Bench::max_under_way > 1) {
      EXPECT_GT(bench_.session->num_followed, stats.steps / 3);
      EXPECT_GT(bench_.session->num_left_undecided, 1000);
    }
    EXPECT_GT(stats.prefix_hit_tokens, stats.prefix_query_tokens / 20);
  }

  std::mt19937_64 random_;
  Bench bench_;
  std::vector<Client> clients_;
  int64_t turns_ = 0, arrived_ = 0, answers_ = 0;
};

class Promises : public StepsUnderWay {};
TKM_TEST_STEPS_UNDER_WAY(Promises);

TEST_P(Promises, HoldThroughAMillionRandomEvents) {
  Simulation(1).run(1000000);
}

}  // namespace
}  // namespace tokamak::executor
