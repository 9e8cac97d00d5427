// SPDX-License-Identifier: Apache-2.0
// Published traces of serving, replayed on the scheduler with a session whose steps take simulated
// time. Prints a table: what the prefix cache saves, how long requests wait, what is used.
//   executor_slow_test --gtest_filter='TraceReplay.*'
#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tokamak/executor/driven_loop.h"
#include "tokamak/executor/trace_hits_test.h"
#include "tokamak/executor/trace_test.h"

namespace tokamak::executor {
namespace {

constexpr int64_t kPageTokens = op::kPageTokens;

/// A step of Llama-3-8B in bfloat16 on one H200, as bench/RESULTS.md has it: one sequence of 1024
/// tokens 4.2 ms and 64 of them 7.3 ms; a prompt of 1024 tokens 26 ms, of 8000 tokens 279 ms.
struct StepCost {
  double step_us = 4150;         ///< Weights are read, kernels are launched.
  double token_us = 20;          ///< Multiplied with all weights; decodes hide behind the reading.
  double context_us = 0.048;     ///< Of each token of context, read for a decode.
  double attention_us = 0.0035;  ///< Of a token of a prompt, for each token before it.

  std::chrono::nanoseconds operator()(const runtime::Step& step) const {
    double prompt_us = 0, decode_us = 0;
    for (const auto& sequence : step.sequences) {
      const double tokens = sequence.num_tokens, middle = sequence.context + tokens / 2;
      if (sequence.num_tokens == 1) {
        decode_us += context_us * sequence.context;
      } else {
        prompt_us += tokens * (token_us + attention_us * middle);
      }
    }
    const double us = std::max(step_us, prompt_us) + decode_us;
    return std::chrono::nanoseconds(static_cast<int64_t>(1000 * us));
  }
};

/// Takes time and says one token that no prompt has.
class TimedSession : public runtime::Session {
 public:
  explicit TimedSession(const runtime::SessionInfo& info) : info_(info) {}
  const runtime::SessionInfo& info() const override { return info_; }
  Result<void> launch(const runtime::Step& step) override {
    on_step(step);
    num_samples_ = step.samples.size();
    return {};
  }
  Result<runtime::StepOutput> finish() override {
    runtime::StepOutput output;
    for (size_t i = 0; i < num_samples_; ++i) {
      runtime::Sampled sampled;
      sampled.token = kTraceVocab - 1;
      output.samples.emplace_back(std::move(sampled));
    }
    return output;
  }
  std::function<void(const runtime::Step&)> on_step = [](const runtime::Step&) {};

 private:
  runtime::SessionInfo info_;
  size_t num_samples_ = 0;
};

/// What became of a request.
struct Replayed {
  Finish finish;
  double arrival = 0, admission = 0, first_token = 0, end = 0;  // Seconds.
};

constexpr runtime::SessionInfo session_of(int64_t num_pages, int64_t budget) {
  return {.vocab_size = kTraceVocab,
          .max_seq_len = 1 << 18,
          .max_step_tokens = budget,
          .max_step_rows = 256,
          .max_sequences = 256,
          .num_pages = num_pages};
}

class Replay : public DrivenLoop {
 public:
  explicit Replay(const runtime::SessionInfo& info) : Replay(new TimedSession(info)) {
    session_->on_step = [this](const runtime::Step& step) {
      const auto cost = StepCost{}(step);
      time += cost;
      step_tokens += static_cast<int64_t>(step.token_ids.size());
      busy_seconds += std::chrono::duration<double>(cost).count();
    };
  }

  double elapsed() const { return seconds(time); }

  void submit(const TraceRequest& from) {
    Request request;
    request.prompt = prompt_of(from);
    request.sampling.max_tokens = from.output;
    streams_.push_back(*DrivenLoop::submit(std::move(request)));
  }

  /// Until all have ended. Those that come while a step runs find the loop after it.
  void run(const std::vector<TraceRequest>& trace, double rate) {
    for (bool more = false; more || arrivals_.size() < trace.size();) {
      auto next_arrival = [&] { return trace[arrivals_.size()].seconds / rate; };
      if (!more) {
        const double wait = std::max(0.0, next_arrival() - elapsed());
        time += std::chrono::nanoseconds(static_cast<int64_t>(wait * 1e9) + 1);
      }
      while (arrivals_.size() < trace.size() && next_arrival() <= elapsed()) {
        submit(trace[arrivals_.size()]);
        arrivals_.push_back(next_arrival());
      }
      const double before = elapsed();
      more = turn();
      const int64_t pages = stats().pages_used;
      page_seconds += static_cast<double>(pages) * (elapsed() - before);
      peak_pages = std::max(peak_pages, pages);
    }
  }

  /// Of all that run() submitted.
  std::vector<Replayed> results() {
    std::vector<Replayed> all;
    for (size_t i = 0; i < streams_.size(); ++i) {
      auto last = streams_[i]->next(std::chrono::seconds(0));
      TKM_CHECK(last && last->finish, "request {} is lost", i);
      const Timing& timing = last->finish->timing;
      all.push_back({*last->finish,
                     arrivals_[i],
                     seconds(*timing.admission),
                     seconds(*timing.first_token),
                     seconds(timing.finish)});
    }
    return all;
  }

  int64_t step_tokens = 0, peak_pages = 0;
  double page_seconds = 0, busy_seconds = 0;

 private:
  explicit Replay(TimedSession* session)
      : DrivenLoop(std::unique_ptr<runtime::Session>(session), {.max_queue = 1 << 20}),
        session_(session),
        begin_(time) {}
  double seconds(TimePoint at) const { return std::chrono::duration<double>(at - begin_).count(); }

  TimedSession* const session_;
  const TimePoint begin_;
  std::vector<double> arrivals_;
  std::vector<std::shared_ptr<TokenStream>> streams_;
};

struct TraceCase {
  const char *label, *name;
  double rate;  ///< Arrivals of an hour of the trace in an hour of the simulation.
};

std::ostream& operator<<(std::ostream& out, const TraceCase& trace) {
  return out << trace.name << " x" << trace.rate;
}

/// Tokens of prompts.
struct Hits {
  int64_t found = 0, certain = 0, possible = 0, alone = 0;
};

std::string percentiles(const std::vector<Replayed>& all, double Replayed::*point) {
  std::vector<double> waits;
  waits.reserve(all.size());
  for (const Replayed& one : all) waits.push_back(one.*point - one.arrival);
  std::sort(waits.begin(), waits.end());
  auto at = [&](double share) { return waits[static_cast<size_t>(share * (waits.size() - 1))]; };
  return fmt::format("{:7.2f} {:7.2f} {:7.2f}", at(0.5), at(0.95), at(0.99));
}

void print_table(const TraceCase& trace,
                 const Replay& replay,
                 const std::vector<Replayed>& all,
                 const Hits& hits,
                 const runtime::SessionInfo& info) {
  const ExecutorStats stats = replay.stats();
  const double elapsed = replay.elapsed();
  auto percent = [](auto part, auto whole) {
    return 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  };
  auto share = [&](int64_t tokens) { return percent(tokens, stats.prefix_query_tokens); };
  fmt::print("{} x {}: {} requests, {} tokens in, {} out, {:.0f} s\n",
             trace.name,
             trace.rate,
             all.size(),
             stats.prefix_query_tokens,
             stats.output_tokens,
             elapsed);
  fmt::print(
      "  prefix hits     {:.1f} % of prompt tokens (certain {:.1f}, possible {:.1f}, "
      "one at a time {:.1f})\n",
      share(hits.found),
      share(hits.certain),
      share(hits.possible),
      share(hits.alone));
  fmt::print("  first step, s   {}  (p50 p95 p99)\n", percentiles(all, &Replayed::admission));
  fmt::print("  first token, s  {}\n", percentiles(all, &Replayed::first_token));
  fmt::print("  device busy     {:.1f} %; {} steps, {:.1f} % of their token budget\n",
             percent(replay.busy_seconds, elapsed),
             stats.steps,
             percent(replay.step_tokens, stats.steps * info.max_step_tokens));
  fmt::print("  KV pages        {:.1f} % used, {:.1f} % at most; {} evicted, {} preemptions\n",
             percent(replay.page_seconds, elapsed * static_cast<double>(info.num_pages)),
             percent(replay.peak_pages, info.num_pages),
             stats.evictions,
             stats.preemptions);
}

class TraceReplay : public testing::TestWithParam<TraceCase> {};

TEST_P(TraceReplay, LosesNothingAndHitsWhatItMust) {
  const TraceCase& from = GetParam();
  if (!std::filesystem::exists(trace_path(from.name)))
    GTEST_SKIP() << "NO TEST DATA: " << trace_path(from.name) << "; set TOKAMAK_TEST_DATA";
  const auto trace = read_trace(from.name);
  // 117 GB of pages of 8 MiB, steps of 2048 tokens.
  const runtime::SessionInfo info = session_of(14000, 2048);
  Replay replay(info);
  replay.run(trace, from.rate);
  replay.loop().check_invariants();

  const ExecutorStats stats = replay.stats();
  const auto all = replay.results();
  ASSERT_EQ(all.size(), trace.size());
  int64_t prompt_tokens = 0, output_tokens = 0;
  Hits hits;
  std::vector<Stay> stays;
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(all[i].finish.reason, FinishReason::kLength);
    ASSERT_EQ(all[i].finish.usage.prompt_tokens, trace[i].input);
    ASSERT_EQ(all[i].finish.usage.completion_tokens, trace[i].output);
    ASSERT_GE(all[i].admission, all[i].arrival);
    prompt_tokens += trace[i].input;
    output_tokens += trace[i].output;
    hits.found += all[i].finish.usage.cached_tokens;
    stays.push_back({all[i].admission, all[i].end});
  }
  EXPECT_EQ(stats.prefix_hit_tokens, hits.found);
  EXPECT_EQ(stats.prefix_query_tokens, prompt_tokens);
  EXPECT_EQ(stats.output_tokens, output_tokens);
  EXPECT_EQ(stats.pages_used, 0) << "no page is leaked";
  EXPECT_EQ(stats.running + stats.waiting, 0);
  if (stats.preemptions == 0) {
    EXPECT_EQ(replay.step_tokens, prompt_tokens - hits.found + output_tokens - stats.requests)
        << "nothing is computed twice, and the last token of an answer not at all";
  }
  hits.certain = certain_hits(trace, stays, info.num_pages, stats.preemptions > 0);
  hits.possible = possible_hits(trace);
  EXPECT_GE(hits.found, hits.certain);
  EXPECT_LE(hits.found, hits.possible);
  PlainCache plain(info.num_pages);
  for (const TraceRequest& request : trace) hits.alone += plain.serve(request) * kPageTokens;
  print_table(from, replay, all, hits, info);
}

INSTANTIATE_TEST_SUITE_P(
    Published,
    TraceReplay,
    testing::Values(TraceCase{"AzureCode", "AzureLLMInferenceTrace_code.csv", 2},
                    TraceCase{"AzureConversation", "AzureLLMInferenceTrace_conv.csv", 2},
                    TraceCase{"MooncakeConversation", "mooncake_conversation_trace.jsonl", 0.25},
                    TraceCase{"MooncakeSynthetic", "mooncake_synthetic_trace.jsonl", 0.125}),
    [](const auto& info) { return std::string(info.param.label); });

TEST(TraceReplay, OneAtATimeEveryRequestHitsWhatAPlainCacheOfThatSizeHas) {
  const std::string name = "mooncake_conversation_trace.jsonl";
  if (!std::filesystem::exists(trace_path(name)))
    GTEST_SKIP() << "NO TEST DATA: " << trace_path(name) << "; set TOKAMAK_TEST_DATA";
  auto trace = read_trace(name);
  trace.resize(3000);
  for (const int64_t num_pages : {2000, 14000}) {
    Replay replay(session_of(num_pages, 1 << 18));
    PlainCache plain(num_pages);
    int64_t expected = 0;
    for (auto& request : trace) {
      request.output = 1;
      replay.submit(request);
      while (replay.turn()) {
      }
      expected += plain.serve(request) * kPageTokens;
      ASSERT_EQ(replay.stats().prefix_hit_tokens, expected) << num_pages << " pages";
    }
    EXPECT_GT(replay.stats().evictions, 10000);
    EXPECT_LT(expected, possible_hits(trace));
  }
}

}  // namespace
}  // namespace tokamak::executor
