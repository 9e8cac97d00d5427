// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/layer.h"

#include <map>

#include "tokamak/op/attention.h"

namespace tokamak::compiler {
namespace {

/// From each step that attends to the next. What follows the last is no segment: the model's end
/// stands there.
std::vector<size_t> segment_begins(std::span<const kernels::KernelDesc> descs) {
  std::vector<size_t> begins;
  for (size_t s = 0; s < descs.size(); ++s) {
    if (op::attention_settings(descs[s].op)) begins.push_back(s);
  }
  return begins;
}

/// Segments [first, first + period) that those before them equal.
struct Repetition {
  size_t first = 0, period = 0;
};

/// Of all that repeat, what covers most segments; of those, the shortest.
Repetition longest_repetition(const std::vector<size_t>& kinds) {
  Repetition best;
  size_t covered = 0, count = kinds.size();
  for (size_t period = 1; 2 * period <= count; ++period) {
    size_t run = 0;  // Of segments from i on that the one a period later equals.
    for (size_t i = count - period; i-- > 0;) {
      run = kinds[i] == kinds[i + period] ? run + 1 : 0;
      if (run < period || run + period <= covered) continue;
      covered = run + period;
      best = {i + period, period};
    }
  }
  return best;
}

/// Where the plan's values of the layer [first, first + count) and of the one before come from.
std::vector<LayerStep::Read> reads_of(const engine::Plan& plan,
                                      size_t step,
                                      size_t first,
                                      size_t count) {
  std::vector<LayerStep::Read> out;
  const std::vector<int32_t>& inputs = plan.steps[step].inputs;
  for (size_t from = first - count; from < step; ++from) {
    const std::vector<int32_t>& outputs = plan.steps[from].outputs;
    size_t place = from < first ? from + count - first : from - first;
    // A step's own output and what a later run has overwritten cannot be read again.
    if (from < first && place <= step - first) continue;
    for (size_t i = 0; i < inputs.size(); ++i) {
      for (size_t o = 0; o < outputs.size(); ++o) {
        if (inputs[i] == outputs[o]) out.push_back({.input = i, .from = place, .output = o});
      }
    }
  }
  return out;
}

}  // namespace

std::optional<Layer> find_layer(const engine::Plan& plan,
                                std::span<const kernels::KernelDesc> descs,
                                std::span<const size_t> problems) {
  std::vector<size_t> begins = segment_begins(descs), kinds;
  std::map<std::vector<size_t>, size_t> known;
  for (size_t i = 0; i + 1 < begins.size(); ++i) {
    std::vector<size_t> segment(problems.begin() + static_cast<int64_t>(begins[i]),
                                problems.begin() + static_cast<int64_t>(begins[i + 1]));
    kinds.push_back(known.emplace(std::move(segment), known.size()).first->second);
  }
  auto [segment, period] = longest_repetition(kinds);
  if (period == 0) return std::nullopt;
  size_t first = begins[segment], count = begins[segment + period] - first;
  Layer layer;
  std::map<size_t, size_t> numbers;
  for (size_t s = first; s < first + count; ++s) {
    if (descs[s].op.has_state() && !op::attention_settings(descs[s].op)) return std::nullopt;
    size_t number = numbers.emplace(problems[s], numbers.size()).first->second;
    layer.steps.push_back({s, number, descs[s], reads_of(plan, s, first, count)});
  }
  layer.num_problems = numbers.size();
  return layer;
}

}  // namespace tokamak::compiler
