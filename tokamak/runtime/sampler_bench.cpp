// SPDX-License-Identifier: Apache-2.0
// One row of a large vocabulary, by setting and by the shape of the logits: normal ones are the
// worst case for narrowing, peaked ones are like a language model's.
#include <random>

#include <benchmark/benchmark.h>

#include "tokamak/runtime/sampling.h"

namespace tokamak::runtime {
namespace {

constexpr int64_t kVocab = 128 * 1024;

std::vector<float> logits_of(bool peaked) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal(0, peaked ? 2.5f : 1.0f);
  std::vector<float> logits(kVocab);
  for (float& logit : logits) logit = normal(random);
  if (peaked) {
    for (int i = 0; i < 100; ++i) logits[random() % kVocab] = 18.0f - 0.1f * static_cast<float>(i);
  }
  return logits;
}

void run(benchmark::State& state, const SamplingParams& params) {
  const auto logits = logits_of(state.range(0) != 0);
  std::vector<float> scratch;
  std::vector<int32_t> output;
  for (int i = 0; i < 500; ++i) output.push_back(i * 7);
  SampleContext context;
  context.params = &params;
  context.output = output;
  for (auto _ : state) {
    ++context.position;
    benchmark::DoNotOptimize(sample(logits, context, scratch)->token);
  }
  state.SetBytesProcessed(state.iterations() * kVocab * static_cast<int64_t>(sizeof(float)));
  state.SetLabel(state.range(0) ? "peaked" : "normal");
}

void greedy(benchmark::State& state) {
  run(state, {.temperature = 0});
}
void temperature(benchmark::State& state) {
  run(state, {});
}
void top_k_50(benchmark::State& state) {
  run(state, {.top_k = 50});
}
void top_k_2000(benchmark::State& state) {
  run(state, {.top_k = 2000});
}
void top_p_90(benchmark::State& state) {
  run(state, {.top_p = 0.9f});
}
void top_k_50_top_p_90(benchmark::State& state) {
  run(state, {.top_k = 50, .top_p = 0.9f});
}
void min_p_05(benchmark::State& state) {
  run(state, {.min_p = 0.05f});
}
void greedy_penalties(benchmark::State& state) {
  run(state, {.temperature = 0, .repetition_penalty = 1.1f, .presence_penalty = 0.5f});
}
void greedy_logprobs_5(benchmark::State& state) {
  run(state, {.temperature = 0, .logprobs = 5});
}
BENCHMARK(greedy)->Arg(0);
BENCHMARK(temperature)->Arg(0)->Arg(1);
BENCHMARK(top_k_50)->Arg(0)->Arg(1);
BENCHMARK(top_k_2000)->Arg(0)->Arg(1);
BENCHMARK(top_p_90)->Arg(0)->Arg(1);
BENCHMARK(top_k_50_top_p_90)->Arg(0)->Arg(1);
BENCHMARK(min_p_05)->Arg(0)->Arg(1);
BENCHMARK(greedy_penalties)->Arg(0);
BENCHMARK(greedy_logprobs_5)->Arg(0);

}  // namespace
}  // namespace tokamak::runtime
