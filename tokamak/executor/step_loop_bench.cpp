// SPDX-License-Identifier: Apache-2.0
// What the host does for one token of one stream, from submit to the token in the client's hands,
// with a model that takes no time and waits until every token of the step before was taken, as a
// slow one would find them, with one step under way or two: schedule, build the step, make text,
// look for stops, hand over, wake the client, take out. Run it in the root of the repository, bound
// to one core:
//   taskset -c 0 executor_bench
// us_per_token is the CPU time of all threads.
#include <condition_variable>
#include <mutex>

#include <benchmark/benchmark.h>

#include "tokamak/executor/bench_session.h"
#include "tokamak/executor/executor.h"

namespace tokamak::executor {
namespace {

/// Holds the model back until the clients have what it said.
class Pace {
 public:
  void said(int64_t tokens) {
    std::lock_guard lock(mutex_);
    open_ += tokens;
  }
  void took(int64_t tokens) {
    std::lock_guard lock(mutex_);
    if ((open_ -= tokens) == 0) all_taken_.notify_one();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    all_taken_.wait(lock, [&] { return open_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_taken_;
  int64_t open_ = 0;
};

std::unique_ptr<BenchSession> paced_session(int64_t sequences,
                                            int64_t vocab_size,
                                            int64_t under_way,
                                            Pace& pace) {
  auto session =
      std::make_unique<BenchSession>(runtime::SessionInfo{.vocab_size = vocab_size,
                                                          .max_seq_len = 4096,
                                                          .max_step_tokens = 2 * sequences,
                                                          .max_step_rows = sequences,
                                                          .max_sequences = sequences,
                                                          .num_pages = sequences * 64,
                                                          .max_under_way = under_way});
  session->before = [&pace] { pace.wait(); };
  session->after = [&pace](int64_t tokens) { pace.said(tokens); };
  return session;
}

/// The streams that have something to read, for one thread that reads them all.
class Ready {
 public:
  void push(size_t stream) {
    std::lock_guard lock(mutex_);
    streams_.push_back(stream);
    if (streams_.size() == 1) some_.notify_one();
  }
  void take(std::vector<size_t>& streams) {
    streams.clear();
    std::unique_lock lock(mutex_);
    some_.wait(lock, [&] { return !streams_.empty(); });
    streams.swap(streams_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable some_;
  std::vector<size_t> streams_;
};

/// Submits `count` times and reads until all answers have ended.
void serve(Executor& executor, const Request& request, int64_t count, Pace& pace) {
  Ready ready;
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int64_t i = 0; i < count; ++i) {
    streams.push_back(*executor.submit(request));
    streams.back()->set_listener([&ready, i] { ready.push(static_cast<size_t>(i)); });
  }
  std::vector<size_t> batch;
  for (int64_t open = count; open > 0;) {
    ready.take(batch);
    for (const size_t i : batch) {
      for (bool more = true; more;) {
        const auto part = streams[i]->next(std::chrono::seconds(0));
        more = part && (!part->tokens.empty() || part->finish);
        if (!more) break;
        benchmark::DoNotOptimize(part->text.data());
        pace.took(static_cast<int64_t>(part->tokens.size()));
        open -= part->finish.has_value();
      }
    }
  }
}

void streams(benchmark::State& state) {
  const int64_t count = state.range(0);
  auto tokenizer = text::Tokenizer::load("models/storyteller");
  if (!tokenizer.ok()) return state.SkipWithError(tokenizer.error().text().c_str());
  Pace pace;
  auto executor = *Executor::start(
      paced_session(count, (*tokenizer)->vocab_size(), state.range(2), pace), *tokenizer);
  Request request;
  for (int32_t i = 0; i < 50; ++i) request.prompt.push_back(i * 31);
  request.sampling.max_tokens = 500;
  request.sampling.ignore_eos = true;
  if (state.range(1)) request.sampling.stop = {"User:", "\n\n\n", "<|end|>", "never said"};
  const double begin = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
  for (auto _ : state) serve(*executor, request, count, pace);
  const double cpu = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - begin;
  const auto tokens = static_cast<double>(executor->stats().output_tokens);
  state.counters["us_per_token"] = 1e6 * cpu / tokens;
}
BENCHMARK(streams)
    ->ArgNames({"streams", "stops", "steps"})
    ->Args({1, 0, 1})
    ->Args({1, 0, 2})
    ->Args({64, 0, 1})
    ->Args({64, 0, 2})
    ->Args({256, 0, 1})
    ->Args({256, 0, 2})
    ->Args({256, 1, 1})
    ->Args({256, 1, 2})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tokamak::executor
