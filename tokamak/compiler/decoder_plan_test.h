// SPDX-License-Identifier: Apache-2.0
// Plans of a small decoder for the tests of this folder.
#pragma once

#include <map>

#include <gtest/gtest.h>

#include "tokamak/compiler/emit.h"
#include "tokamak/compiler/layer.h"
#include "tokamak/compiler/pipeline.h"
#include "tokamak/models/decoder.h"

namespace tokamak::compiler {

/// One layer for each window; 0: none.
inline models::DecoderSpec small_decoder(const std::vector<int64_t>& windows) {
  models::DecoderSpec spec;
  spec.vocab_size = 512;
  spec.hidden_size = 128;
  spec.intermediate_size = 256;
  spec.num_heads = 2;
  spec.num_kv_heads = 1;
  spec.head_dim = 64;
  spec.max_positions = 2048;
  spec.layers = models::uniform_layers(std::ssize(windows), {.rotary_dim = 64});
  for (size_t i = 0; i < windows.size(); ++i) spec.layers[i].window = windows[i];
  return spec;
}

inline engine::Plan decoder_plan(device::Device& device,
                                 const models::DecoderSpec& spec,
                                 const PipelineOptions& options,
                                 Tuner& tuner) {
  auto graph = models::decoder_graph(spec, DType::kBF16).value();
  EXPECT_TRUE(run_pipeline(*graph, options).ok());
  return emit(*graph, spec.max_positions, device, tuner).value();
}
/// Nothing is timed.
inline engine::Plan decoder_plan(device::Device& device,
                                 const models::DecoderSpec& spec,
                                 const PipelineOptions& options) {
  Tuner tuner(device, {}, /*measure=*/false);
  return decoder_plan(device, spec, options, tuner);
}

inline std::optional<Layer> layer_of(const engine::Plan& plan) {
  std::vector<kernels::KernelDesc> descs;
  std::vector<size_t> problems;
  std::map<std::string, size_t> numbers;
  for (const engine::PlanStep& step : plan.steps) {
    descs.push_back(step_desc(plan, step).value());
    problems.push_back(numbers.emplace(problem_key(descs.back(), 0), numbers.size()).first->second);
  }
  return find_layer(plan, descs, problems);
}

}  // namespace tokamak::compiler
