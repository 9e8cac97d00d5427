// SPDX-License-Identifier: Apache-2.0
// What the host does for one token of one stream, with a model that takes no time: schedule, build
// the step, make text, look for stops, hand over. us_per_token is the figure.
#include <benchmark/benchmark.h>

#include "tokamak/executor/executor.h"
#include "tokamak/executor/fake_session.h"

namespace tokamak::executor {
namespace {

constexpr int64_t kVocab = 32000;

class InstantSession : public runtime::Session {
 public:
  explicit InstantSession(int64_t sequences)
      : info_{.vocab_size = kVocab,
              .max_seq_len = 4096,
              .max_step_tokens = 2 * sequences,
              .max_step_rows = sequences,
              .max_sequences = sequences,
              .num_pages = sequences * 64} {}
  const runtime::SessionInfo& info() const override { return info_; }
  Result<runtime::StepOutput> step(const runtime::Step& step) override {
    runtime::StepOutput output;
    output.samples.reserve(step.samples.size());
    for (const auto& sample : step.samples) {
      runtime::Sampled sampled;
      sampled.token = static_cast<int32_t>(sample.context.position % kVocab);
      output.samples.emplace_back(std::move(sampled));
    }
    return output;
  }

 private:
  runtime::SessionInfo info_;
};

void streams(benchmark::State& state) {
  const int64_t count = state.range(0), tokens = 500;
  auto executor =
      *Executor::start(std::make_unique<InstantSession>(count), letter_tokenizer(kVocab));
  Request request;
  request.prompt = {1, 2, 3};
  request.sampling.max_tokens = tokens;
  request.sampling.ignore_eos = true;
  if (state.range(1)) request.sampling.stop = {"User:", "\n\n", "<|end|>", "never"};
  for (auto _ : state) {
    std::vector<std::shared_ptr<TokenStream>> streams;
    for (int64_t i = 0; i < count; ++i) streams.push_back(*executor->submit(request));
    for (auto& stream : streams) collect(*stream);
  }
  const ExecutorStats stats = executor->stats();
  state.counters["us_per_token"] =
      1e6 * (stats.turn_seconds - stats.step_seconds) / static_cast<double>(stats.output_tokens);
}
BENCHMARK(streams)
    ->ArgNames({"streams", "stops"})
    ->Args({1, 0})
    ->Args({64, 0})
    ->Args({256, 0})
    ->Args({256, 1});

}  // namespace
}  // namespace tokamak::executor
