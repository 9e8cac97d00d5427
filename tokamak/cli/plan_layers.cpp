// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/plan_layers.h"

#include <algorithm>
#include <charconv>
#include <map>

namespace tokamak::cli {
namespace {

constexpr int64_t kOutside = -1, kUnknown = -2;

/// The first part of a tensor's name that is a number: "model.layers.3.mlp.up_proj.weight".
int64_t layer_in_name(std::string_view name) {
  while (!name.empty()) {
    std::string_view part = name.substr(0, name.find('.'));
    int64_t number = 0;
    auto [end, status] = std::from_chars(part.data(), part.data() + part.size(), number);
    if (status == std::errc() && end == part.data() + part.size() && number >= 0) return number;
    name.remove_prefix(std::min(name.size(), part.size() + 1));
  }
  return kOutside;
}

int64_t layer_of(const engine::Plan& plan, const engine::PlanStep& step) {
  for (const engine::PlanWeight& weight : plan.weights) {
    bool reads =
        std::find(step.inputs.begin(), step.inputs.end(), weight.value) != step.inputs.end();
    if (reads && !weight.parts.empty()) return layer_in_name(weight.parts[0].tensor);
  }
  if (step.op == "attend" || step.op == "attention" || step.op == "rope_append" ||
      step.op == "rope_attend")
    return step.attributes.value("layer", int64_t{0});
  return step.op == "select_rows" ? kOutside : kUnknown;
}

/// Ranges of at least three numbers are written as such.
std::string numbers_text(const std::vector<int64_t>& numbers) {
  std::string out;
  for (size_t i = 0; i < numbers.size();) {
    size_t end = i + 1;
    while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
    if (end - i < 3) end = i + 1;
    out += fmt::format("{}{}", out.empty() ? "" : ", ", numbers[i]);
    if (end - i > 1) out += fmt::format(" to {}", numbers[end - 1]);
    i = end;
  }
  return out;
}

}  // namespace

std::string problem_text(const engine::Plan& plan, const engine::PlanStep& step) {
  std::string out = step.op + "(";
  for (int32_t i : step.inputs)
    out += (out.back() == '(' ? "" : ", ") + plan.values[static_cast<size_t>(i)].type.text();
  out += ")";
  for (const auto& [key, value] : step.attributes.items()) {
    std::string text = value.dump();
    if (key != "layer")
      out += fmt::format(" {}={}", key, text.size() > 40 ? text.substr(0, 37) + "..." : text);
  }
  return out;
}

std::vector<LayerKind> layer_kinds(const engine::Plan& plan) {
  struct Run {
    int64_t layer;
    std::string signature;
    std::vector<const engine::PlanStep*> steps;
  };
  std::vector<Run> runs;
  for (const engine::PlanStep& step : plan.steps) {
    int64_t layer = layer_of(plan, step);
    if (layer == kUnknown) layer = runs.empty() ? kOutside : runs.back().layer;
    if (runs.empty() || runs.back().layer != layer) runs.push_back({layer, {}, {}});
    runs.back().signature += problem_text(plan, step);
    for (const engine::PlanChoice& choice : step.choices)
      runs.back().signature +=
          fmt::format(" {} {} {}", choice.max_tokens, choice.tactic, choice.config.dump());
    runs.back().steps.push_back(&step);
  }
  std::vector<LayerKind> out;
  std::map<std::string, size_t> index;
  for (Run& run : runs) {
    if (run.layer == kOutside) {
      out.push_back({.steps = std::move(run.steps),
                     .title = out.empty() ? "before the layers" : "behind the layers"});
      continue;
    }
    auto [it, added] = index.emplace(std::move(run.signature), out.size());
    if (added) out.push_back({.steps = std::move(run.steps)});
    out[it->second].layers.push_back(run.layer);
  }
  for (LayerKind& kind : out) {
    if (!kind.layers.empty())
      kind.title = (kind.layers.size() > 1 ? "layers " : "layer ") + numbers_text(kind.layers);
  }
  return out;
}

}  // namespace tokamak::cli
