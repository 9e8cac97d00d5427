// SPDX-License-Identifier: Apache-2.0
// Published traces of serving, replayed on the scheduler with a session whose steps take simulated
// time. Prints a table: what the prefix cache saves, how long requests wait, what is used.
//   executor_slow_test --gtest_filter='TraceReplay.*'
#include <algorithm>
#include <list>
#include <unordered_map>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tokamak/executor/driven_loop.h"
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
  Result<runtime::StepOutput> step(const runtime::Step& step) override {
    on_step(step);
    runtime::StepOutput output;
    for (size_t i = 0; i < step.samples.size(); ++i) {
      runtime::Sampled sampled;
      sampled.token = kTraceVocab - 1;
      output.samples.emplace_back(std::move(sampled));
    }
    return output;
  }
  std::function<void(const runtime::Step&)> on_step = [](const runtime::Step&) {};

 private:
  runtime::SessionInfo info_;
};

struct Replayed {
  Finish finish;
  double arrival = 0, admission = 0, first_token = 0, end = 0;  // Seconds.
};

class Replay : public DrivenLoop {
 public:
  explicit Replay(const runtime::SessionInfo& info) : Replay(new TimedSession(info), info) {}

  void submit(const TraceRequest& from) {
    Request request;
    request.prompt = prompt_of(from);
    request.sampling.max_tokens = from.output;
    streams_.push_back(*DrivenLoop::submit(std::move(request)));
  }

  double seconds(TimePoint at) const { return std::chrono::duration<double>(at - begin_).count(); }
  double elapsed() const { return seconds(time); }

  /// All that were submitted, `arrivals` in the same order. They must have ended.
  std::vector<Replayed> results(std::span<const double> arrivals) {
    std::vector<Replayed> all;
    for (size_t i = 0; i < streams_.size(); ++i) {
      auto last = streams_[i]->next(std::chrono::seconds(0));
      TKM_CHECK(last && last->finish, "request {} is lost", i);
      const Timing& timing = last->finish->timing;
      all.push_back({*last->finish,
                     arrivals[i],
                     seconds(*timing.admission),
                     seconds(*timing.first_token),
                     seconds(timing.finish)});
    }
    return all;
  }

  TimedSession* const session;

 private:
  Replay(TimedSession* made, const runtime::SessionInfo& info)
      : DrivenLoop(std::unique_ptr<runtime::Session>(made), {.max_queue = 1 << 20}),
        session(made),
        begin_(time) {
    EXPECT_EQ(info.vocab_size, kTraceVocab);
  }
  const TimePoint begin_;
  std::vector<std::shared_ptr<TokenStream>> streams_;
};

constexpr runtime::SessionInfo session_of(int64_t num_pages, int64_t budget) {
  return {.vocab_size = kTraceVocab,
          .max_seq_len = 1 << 18,
          .max_step_tokens = budget,
          .max_step_rows = 256,
          .max_sequences = 256,
          .num_pages = num_pages};
}

std::string percentiles(const std::vector<Replayed>& all, double Replayed::*point) {
  std::vector<double> waits;
  for (const Replayed& one : all) waits.push_back(one.*point - one.arrival);
  std::sort(waits.begin(), waits.end());
  auto at = [&](double share) { return waits[static_cast<size_t>(share * (waits.size() - 1))]; };
  return fmt::format("{:7.2f} {:7.2f} {:7.2f}", at(0.5), at(0.95), at(0.99));
}

/// Tokens of prompts that a cache that forgets nothing would have.
int64_t possible_hits(const std::vector<TraceRequest>& trace) {
  std::unordered_map<int64_t, bool> known;
  int64_t pages = 0;
  for (const TraceRequest& request : trace) {
    int64_t shared = 0;
    const int64_t most = most_shared_pages(request);
    while (shared < most && known.contains(content_of(request, shared))) ++shared;
    pages += shared;
    for (int64_t n = 0; n < request.input / kPageTokens; ++n) known[content_of(request, n)];
  }
  return pages * kPageTokens;
}

/// Tokens of prompts that cannot have been lost before they were asked for again: a page is given
/// away only if all others are used, or were used after it; so not while all requests that were
/// there since its last use need no more pages than there are. From when each request was there.
int64_t certain_hits(const std::vector<TraceRequest>& trace,
                     const std::vector<Replayed>& all,
                     int64_t num_pages,
                     bool preempted) {
  // In order of time; of ends and admissions at one time the ends last, which is on the safe side.
  std::vector<std::pair<double, int64_t>> events;  // An admission: the request; an end: ~request.
  for (size_t i = 0; i < all.size(); ++i) {
    events.emplace_back(all[i].admission, i);
    events.emplace_back(all[i].end, ~static_cast<int64_t>(i));
  }
  std::sort(events.begin(), events.end(), [](const auto& a, const auto& b) {
    return std::tuple(a.first, a.second < 0, a.second) <
           std::tuple(b.first, b.second < 0, b.second);
  });
  // Who was preempted may for a while hold pages again that are still cached.
  auto pages_of = [&](int64_t i) {
    return pages_for(trace[i].input + trace[i].output) * (preempted ? 2 : 1);
  };
  // By content: the pages of all that ended before the one that used it last.
  std::unordered_map<int64_t, int64_t> uses;
  int64_t admitted = 0, ended = 0, hits = 0;
  double ended_at = -1;
  int64_t ended_before = 0;  // Strictly before ended_at.
  for (const auto& [time, event] : events) {
    if (event < 0) {
      const int64_t i = ~event;
      if (time > ended_at) ended_at = time, ended_before = ended;
      ended += pages_of(i);
      for (int64_t n = 0; n < trace[i].input / kPageTokens; ++n)
        uses[content_of(trace[i], n)] = ended_before;
      continue;
    }
    // Pages are given away after all admissions of a turn, so later ones do not count.
    admitted += pages_of(event);
    for (int64_t n = 0; n < most_shared_pages(trace[event]); ++n, hits += kPageTokens) {
      const auto use = uses.find(content_of(trace[event], n));
      if (use == uses.end() || admitted - use->second > num_pages) break;
    }
  }
  return hits;
}

struct TraceCase {
  const char *label, *name;
  double rate;  ///< Arrivals of an hour of the trace in an hour of the simulation.
};

void PrintTo(const TraceCase& trace, std::ostream* out) {
  *out << trace.name << " x" << trace.rate;
}

class TraceReplay : public testing::TestWithParam<TraceCase> {};

TEST_P(TraceReplay, LosesNothingAndHitsWhatItMust) {
  const auto& [label, name, rate] = GetParam();
  if (!std::filesystem::exists(trace_path(name)))
    GTEST_SKIP() << "NO TEST DATA: " << trace_path(name) << "; set TOKAMAK_TEST_DATA";
  const auto trace = read_trace(name);
  // 117 GB of pages of 8 MiB, steps of 2048 tokens.
  const runtime::SessionInfo info = session_of(14000, 2048);
  Replay replay(info);
  int64_t step_tokens = 0;
  double page_seconds = 0, busy = 0;
  replay.session->on_step = [&](const runtime::Step& step) {
    const auto cost = StepCost{}(step);
    replay.time += cost;
    step_tokens += static_cast<int64_t>(step.token_ids.size());
    busy += std::chrono::duration<double>(cost).count();
  };
  std::vector<double> arrivals;
  int64_t prompt_tokens = 0, output_tokens = 0, peak_pages = 0;
  for (bool more = false; more || arrivals.size() < trace.size();) {
    if (!more) {
      const double next = trace[arrivals.size()].seconds / rate;
      const double wait = std::max(0.0, next - replay.elapsed());
      replay.time += std::chrono::nanoseconds(static_cast<int64_t>(wait * 1e9) + 1);
    }
    while (arrivals.size() < trace.size() &&
           trace[arrivals.size()].seconds / rate <= replay.elapsed()) {
      const TraceRequest& next = trace[arrivals.size()];
      replay.submit(next);
      arrivals.push_back(next.seconds / rate);
      prompt_tokens += next.input;
      output_tokens += next.output;
    }
    const double before = replay.elapsed();
    more = replay.turn();
    const int64_t pages = replay.stats().pages_used;
    page_seconds += static_cast<double>(pages) * (replay.elapsed() - before);
    peak_pages = std::max(peak_pages, pages);
  }
  replay.loop().check_invariants();

  const ExecutorStats stats = replay.stats();
  const auto all = replay.results(arrivals);
  ASSERT_EQ(all.size(), trace.size());
  int64_t hits = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(all[i].finish.reason, FinishReason::kLength);
    ASSERT_EQ(all[i].finish.usage.prompt_tokens, trace[i].input);
    ASSERT_EQ(all[i].finish.usage.completion_tokens, trace[i].output);
    ASSERT_GE(all[i].admission, all[i].arrival);
    hits += all[i].finish.usage.cached_tokens;
  }
  EXPECT_EQ(stats.prefix_hit_tokens, hits);
  EXPECT_EQ(stats.prefix_query_tokens, prompt_tokens);
  EXPECT_EQ(stats.output_tokens, output_tokens);
  EXPECT_EQ(stats.pages_used, 0) << "no page is leaked";
  EXPECT_EQ(stats.running + stats.waiting, 0);
  if (stats.preemptions == 0) {
    EXPECT_EQ(step_tokens, prompt_tokens - hits + output_tokens - stats.requests)
        << "nothing is computed twice, and the last token of an answer not at all";
  }
  const int64_t possible = possible_hits(trace);
  const int64_t certain = certain_hits(trace, all, info.num_pages, stats.preemptions > 0);
  EXPECT_LE(hits, possible);
  EXPECT_GE(hits, certain);

  auto share = [&](auto tokens) { return 100.0 * static_cast<double>(tokens) / prompt_tokens; };
  const double elapsed = replay.elapsed();
  fmt::print("{} x {}: {} requests, {} tokens in, {} out, {:.0f} s\n",
             name,
             rate,
             trace.size(),
             prompt_tokens,
             output_tokens,
             elapsed);
  fmt::print("  prefix hits     {:.1f} % of prompt tokens (certain {:.1f}, possible {:.1f})\n",
             share(hits),
             share(certain),
             share(possible));
  fmt::print("  first step, s   {}  (p50 p95 p99)\n", percentiles(all, &Replayed::admission));
  fmt::print("  first token, s  {}\n", percentiles(all, &Replayed::first_token));
  fmt::print("  device busy     {:.1f} %; {} steps, {:.1f} % of their token budget\n",
             100 * busy / elapsed,
             stats.steps,
             100.0 * step_tokens / static_cast<double>(stats.steps * info.max_step_tokens));
  fmt::print("  KV pages        {:.1f} % used, {:.1f} % at most; {} evicted, {} preemptions\n",
             100 * page_seconds / elapsed / info.num_pages,
             100.0 * peak_pages / info.num_pages,
             stats.evictions,
             stats.preemptions);
}

INSTANTIATE_TEST_SUITE_P(
    Published,
    TraceReplay,
    testing::Values(TraceCase{"AzureCode", "AzureLLMInferenceTrace_code.csv", 2},
                    TraceCase{"AzureConversation", "AzureLLMInferenceTrace_conv.csv", 2},
                    TraceCase{"MooncakeConversation", "mooncake_conversation_trace.jsonl", 0.25},
                    TraceCase{"MooncakeSynthetic", "mooncake_synthetic_trace.jsonl", 0.125}),
    [](const auto& info) { return std::string(info.param.label); });

/// The least recently used pages of requests that come one after the other, written plainly.
class PlainCache {
 public:
  explicit PlainCache(int64_t num_pages) : free_(num_pages) {}

  /// Pages that `request` takes as they are.
  int64_t serve(const TraceRequest& request) {
    int64_t hits = 0;
    while (hits < most_shared_pages(request) && cached_.contains(content_of(request, hits))) ++hits;
    for (int64_t n = 0; n < hits; ++n) remove(content_of(request, n));
    for (int64_t n = hits; n < pages_for(request.input); ++n, --free_) {
      if (free_ == 0) remove(order_.front()), ++free_;
    }
    for (int64_t n = pages_for(request.input) - 1; n >= 0; --n) {
      if (n >= request.input / kPageTokens) {
        ++free_;
        continue;
      }
      // A last page that is full was computed again, though it may be here.
      const int64_t content = content_of(request, n);
      if (cached_.contains(content)) remove(content), ++free_;
      cached_[content] = order_.insert(order_.end(), content);
    }
    return hits;
  }

 private:
  void remove(int64_t content) {
    order_.erase(cached_.at(content));
    cached_.erase(content);
  }
  int64_t free_;
  std::list<int64_t> order_;  // Least recently used first.
  std::unordered_map<int64_t, std::list<int64_t>::iterator> cached_;
};

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
