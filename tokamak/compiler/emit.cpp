// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/emit.h"

#include <limits>
#include <map>
#include <set>

#include "tokamak/base/fields.h"
#include "tokamak/compiler/floor.h"
#include "tokamak/compiler/timed_problem.h"
#include "tokamak/op/attention.h"

namespace tokamak::compiler {
namespace {

using engine::Plan;
using engine::PlanChoice;
using engine::PlanStep;
using engine::PlanValueKind;
using engine::PlanWeight;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

class Emitter {
 public:
  Emitter(const ir::Graph& graph,
          device::Device& device,
          Tuner& tuner,
          const base::Progress& progress)
      : graph_(graph), device_(device), tuner_(tuner), progress_(progress) {}

  Result<Plan> run(int64_t max_positions) {
    TKM_RETURN_IF_ERROR(add_values());
    TKM_RETURN_IF_ERROR(add_steps());
    add_lifetimes();
    TKM_RETURN_IF_ERROR(choose_tactics());
    plan_.max_positions = max_positions;
    return std::move(plan_);
  }

 private:
  Result<void> add_values() {
    for (ir::Value value : graph_.inputs())
      index_[&name_of(value)] = add_value(value.name(), PlanValueKind::kInput, value.type());
    for (ir::Value value : graph_.weights()) {
      int32_t index = add_value(value.name(), PlanValueKind::kWeight, value.type());
      index_[&name_of(value)] = index;
      PlanWeight weight{.value = index, .parts = value.parts()};
      weight_of_[index] = plan_.weights.size();
      plan_.weights.push_back(std::move(weight));
    }
    auto role = [&](std::string_view name, int32_t& slot) {
      for (size_t i = 0; i < plan_.values.size(); ++i) {
        if (plan_.values[i].kind == PlanValueKind::kInput && plan_.values[i].name == name)
          slot = static_cast<int32_t>(i);
      }
      return slot >= 0 ? Result<void>()
                       : base::invalid(fmt::format("the graph has no input '{}'", name));
    };
    TKM_RETURN_IF_ERROR(role("token_ids", plan_.token_ids));
    TKM_RETURN_IF_ERROR(role("positions", plan_.positions));
    TKM_RETURN_IF_ERROR(role("rows", plan_.rows));
    if (graph_.outputs().size() != 1)
      return base::invalid(
          fmt::format("the graph has {} outputs, a decoder has 1", graph_.outputs().size()));
    return {};
  }

  Result<void> add_steps() {
    for (const ir::Node* node : graph_.nodes()) {
      PlanStep step{.op = std::string(node->op().name()), .attributes = node->op().attributes()};
      for (ir::Value value : node->inputs()) step.inputs.push_back(index_.at(&name_of(value)));
      for (size_t i = 0; i < node->num_outputs(); ++i) {
        ir::Value value = node->output(i);
        step.outputs.push_back(index_[&name_of(value)] =
                                   add_value(value.name(), PlanValueKind::kBuffer, value.type()));
      }
      TKM_RETURN_IF_ERROR(add_kv_layer(*node));
      plan_.steps.push_back(std::move(step));
    }
    plan_.logits = index_.at(&name_of(graph_.outputs()[0]));
    const TensorType& type = plan_.values[static_cast<size_t>(plan_.logits)].type;
    if (type.dtype != DType::kF32 || type.rank() != 2)
      return base::invalid("the graph's output is " + type.text() + ", logits are f32[R, vocab]");
    plan_.vocab_size = type.columns();
    return {};
  }

  Result<void> add_kv_layer(const ir::Node& node) {
    const auto settings = op::attention_settings(node.op());
    if (!settings) return {};
    engine::KvLayout& kv = plan_.kv;
    if (kv.num_layers &&
        (kv.num_kv_heads != settings->num_kv_heads || kv.head_dim != settings->head_dim)) {
      return base::unsupported(
          "layers with different key/value heads in one model are not supported");
    }
    kv.num_layers = std::max(kv.num_layers, settings->layer + 1);
    kv.num_kv_heads = settings->num_kv_heads;
    kv.head_dim = settings->head_dim;
    kv.dtype = node.output().type().dtype;
    return {};
  }

  void add_lifetimes() {
    for (size_t s = 0; s < plan_.steps.size(); ++s) {
      int32_t step = static_cast<int32_t>(s);
      for (int32_t output : plan_.steps[s].outputs) {
        auto& value = plan_.values[static_cast<size_t>(output)];
        value.first_step = value.last_step = step;
      }
      for (int32_t input : plan_.steps[s].inputs) {
        auto& value = plan_.values[static_cast<size_t>(input)];
        if (value.kind == PlanValueKind::kBuffer) value.last_step = step;
      }
    }
  }

  Result<void> choose_tactics() {
    std::vector<const TimedProblem*> problems;
    for (const PlanStep& step : plan_.steps) {
      TKM_ASSIGN(kernels::KernelDesc desc, step_desc(plan_, step));
      TKM_ASSIGN(const TimedProblem* problem, problem_of(desc));
      problems.push_back(problem);
      descs_.push_back(std::move(desc));
    }
    TKM_RETURN_IF_ERROR(time_problems());
    choose_layouts(problems);
    std::vector<std::string> layouts;
    for (size_t s = 0; s < plan_.steps.size(); ++s) {
      TKM_ASSIGN(std::string layout, bind_weight(s, *problems[s]));
      layouts.push_back(std::move(layout));
    }
    TKM_RETURN_IF_ERROR(decide_in_layer(problems, layouts));
    for (size_t s = 0; s < plan_.steps.size(); ++s) {
      for (size_t b = 0; b < problems[s]->size(); ++b) {
        auto decided = verdicts_.find({problems[s], layouts[s], b});
        PlanChoice choice = choose((*problems[s])[b],
                                   layouts[s],
                                   decided == verdicts_.end() ? Verdict{} : decided->second);
        if (choice.tactic.empty())
          return base::internal_error(
              fmt::format("{}: no tactic reads the layout {}", plan_.steps[s].op, layouts[s]));
        plan_.steps[s].choices.push_back(std::move(choice));
      }
      merge_equal_choices(plan_.steps[s].choices);
    }
    return finish_weights();
  }

  /// The second round, for the problems of the layers that repeat.
  Result<void> decide_in_layer(const std::vector<const TimedProblem*>& problems,
                               const std::vector<std::string>& layouts) {
    if (!tuner_.asks_layers()) return {};
    std::map<std::pair<const TimedProblem*, std::string_view>, size_t> numbers;
    std::vector<size_t> kinds;
    for (size_t s = 0; s < problems.size(); ++s)
      kinds.push_back(
          numbers.emplace(std::pair(problems[s], layouts[s]), numbers.size()).first->second);
    std::optional<Layer> layer = find_layer(plan_, descs_, kinds);
    if (!layer) return {};
    std::vector<size_t> steps(layer->num_problems);  // One of the plan's for each problem.
    for (const LayerStep& step : layer->steps) steps[step.problem] = step.plan_step;
    const auto tokens = buckets(device_.target());
    for (size_t b = 0; b < tokens.size(); ++b) {
      base::report(progress_, "timing layers", static_cast<int64_t>(b), std::ssize(tokens));
      std::vector<std::vector<kernels::Candidate>> chosen;
      for (size_t s : steps) chosen.push_back(finalists((*problems[s])[b], layouts[s]));
      TKM_ASSIGN(auto verdicts, tuner_.decide_in_layer(*layer, chosen, tokens[b]));
      for (size_t p = 0; p < steps.size(); ++p)
        verdicts_[{problems[steps[p]], layouts[steps[p]], b}] = verdicts[p];
    }
    base::report(progress_, "timing layers", std::ssize(tokens), std::ssize(tokens));
    return {};
  }

  /// Neighbouring buckets with the same tactic and config become one where neither was timed.
  static void merge_equal_choices(std::vector<PlanChoice>& choices) {
    std::vector<PlanChoice> merged;
    for (PlanChoice& choice : choices) {
      bool timed = choice.us > 0 || (!merged.empty() && merged.back().us > 0);
      if (!merged.empty() && !timed && merged.back().tactic == choice.tactic &&
          merged.back().config == choice.config)
        merged.back() = std::move(choice);
      else
        merged.push_back(std::move(choice));
    }
    choices = std::move(merged);
  }

  /// With its candidates, not yet timed.
  Result<const TimedProblem*> problem_of(const kernels::KernelDesc& desc) {
    std::string key =
        problem_key(desc, 0) + (desc.weights.size() > 1 && desc.weights[1] ? " weight" : "");
    auto [it, is_new] = problems_.try_emplace(key);
    TimedProblem& problem = it->second.buckets;
    if (!is_new) return &std::as_const(problem);
    it->second.desc = desc;
    for (int64_t tokens : buckets(device_.target())) {
      TimedBucket bucket{.tokens = tokens};
      TKM_ASSIGN(bucket.candidates, kernels::candidates(desc, tokens, device_));
      bucket.floor_us = floor_us(step_work(desc, tokens, device_), desc.inputs[0].dtype, device_);
      problem.push_back(std::move(bucket));
    }
    return &std::as_const(problem);
  }

  /// All kernels are made before the first is timed: that compiles, on all processors.
  Result<void> time_problems() {
    std::vector<TunerQuestion> questions;
    std::vector<TimedBucket*> asking;
    for (auto& [key, problem] : problems_) {
      for (TimedBucket& bucket : problem.buckets) {
        questions.push_back({&problem.desc, bucket.tokens, &bucket.candidates});
        asking.push_back(&bucket);
      }
    }
    const auto count = std::ssize(questions);
    base::report(progress_, "making kernels to choose from", 0, count);
    tuner_.prepare(questions);
    for (size_t i = 0; i < questions.size(); ++i) {
      base::report(progress_, "choosing tactics", static_cast<int64_t>(i), count);
      const auto& [desc, tokens, candidates] = questions[i];
      TKM_ASSIGN(asking[i]->us, tuner_.time(*desc, tokens, *candidates));
    }
    base::report(progress_, "choosing tactics", count, count);
    return {};
  }

  /// One layout a weight: the one whose best tactics are fastest over all buckets, small batches
  /// counting most.
  void choose_layouts(const std::vector<const TimedProblem*>& problems) {
    for (size_t s = 0; s < plan_.steps.size(); ++s) {
      int32_t value = packed_input(s);
      if (value < 0 || plan_.steps[s].op == "embedding")
        continue;  // A table follows the head that shares it.
      std::set<std::string_view> layouts;
      for (const TimedBucket& bucket : *problems[s]) {
        for (const auto& candidate : bucket.candidates)
          layouts.insert(layout_name(*candidate.tactic));
      }
      double best = kInfinity;
      for (std::string_view layout : layouts) {
        double cost = 0;
        for (const TimedBucket& bucket : *problems[s]) {
          PlanChoice choice = choose(bucket, layout);
          cost +=
              choice.tactic.empty() ? kInfinity : choice.us / static_cast<double>(bucket.tokens);
        }
        if (layout_of_.contains(value) && cost >= best) continue;
        best = cost;
        layout_of_[value] = layout;
      }
    }
  }

  /// The weight at input 1, which tactics may want packed; -1 if that is not a weight.
  int32_t packed_input(size_t s) const {
    const PlanStep& step = plan_.steps[s];
    bool packs = step.op == "matmul" || step.op == "norm_matmul" || step.op == "embedding";
    if (step.inputs.size() < 2 || !packs) return -1;
    int32_t value = step.inputs[1];
    return plan_.values[static_cast<size_t>(value)].kind == PlanValueKind::kWeight ? value : -1;
  }

  /// Makes the step read its weight in a layout that it can; returns the layout, empty where there
  /// is no packed weight.
  Result<std::string> bind_weight(size_t s, const TimedProblem& problem) {
    int32_t value = packed_input(s);
    if (value < 0) return std::string();
    std::string layout(layout_of_.contains(value) ? layout_of_.at(value)
                                                  : kernels::row_major_layout().name);
    if (choose(problem[0], layout).tactic.empty()) {
      // Another consumer wants a layout that this one cannot read: it gets a copy of its own.
      layout = kernels::row_major_layout().name;
      value = copy_of(value);
      plan_.steps[s].inputs[1] = value;
    }
    PlanWeight& weight = plan_.weights[weight_of_.at(value)];
    weight.layout = layout;
    if (layout != kernels::row_major_layout().name) weight.step = static_cast<int32_t>(s);
    return layout;
  }

  int32_t copy_of(int32_t value) {
    if (auto it = copies_.find(value); it != copies_.end()) return it->second;
    engine::PlanValue copy = plan_.values[static_cast<size_t>(value)];
    copy.name += " (row_major)";
    plan_.values.push_back(copy);
    int32_t index = static_cast<int32_t>(plan_.values.size()) - 1;
    PlanWeight weight = plan_.weights[weight_of_.at(value)];
    weight.value = index;
    weight.step = -1;
    weight_of_[index] = plan_.weights.size();
    plan_.weights.push_back(std::move(weight));
    return copies_[value] = index;
  }

  Result<void> finish_weights() {
    for (PlanWeight& weight : plan_.weights) {
      const TensorType& type = plan_.values[static_cast<size_t>(weight.value)].type;
      if (weight.layout.empty()) weight.layout = kernels::row_major_layout().name;
      weight.bytes = tensor::num_elements(type.resolve(0, 0)) * tensor::dtype_bytes(type.dtype);
      if (weight.step < 0) continue;
      const PlanStep& step = plan_.steps[static_cast<size_t>(weight.step)];
      TKM_ASSIGN(kernels::KernelDesc desc, step_desc(plan_, step));
      weight.bytes = kernels::find_tactic(step.choices[0].tactic)->layout->bytes(desc);
    }
    return {};
  }

  int32_t add_value(std::string name, PlanValueKind kind, TensorType type) {
    plan_.values.push_back({std::move(name), kind, std::move(type)});
    return static_cast<int32_t>(plan_.values.size()) - 1;
  }
  /// The address of a value's name identifies it.
  static const std::string& name_of(const ir::Value& value) { return value.name(); }

  const ir::Graph& graph_;
  device::Device& device_;
  Tuner& tuner_;
  const base::Progress& progress_;
  Plan plan_;
  std::map<const std::string*, int32_t> index_;
  std::map<int32_t, size_t> weight_of_;
  std::map<int32_t, int32_t> copies_;
  std::map<int32_t, std::string_view> layout_of_;
  struct Problem {
    kernels::KernelDesc desc;  ///< Of the first step that has it.
    TimedProblem buckets;
  };
  std::map<std::string, Problem> problems_;
  std::vector<kernels::KernelDesc> descs_;  ///< Of the plan's steps.
  /// Of a problem with a layout, by the number of the bucket.
  std::map<std::tuple<const TimedProblem*, std::string, size_t>, Verdict> verdicts_;
};

}  // namespace

std::span<const int64_t> buckets(Target target) {
  static constexpr int64_t kHost[] = {1, 2, 4, 8, 16, 64, 256};
  static constexpr int64_t kGpu[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 2048};
  return target == Target::kCuda ? std::span<const int64_t>(kGpu) : std::span(kHost);
}

Result<kernels::KernelDesc> step_desc(const Plan& plan, const PlanStep& step) {
  kernels::KernelDesc desc;
  TKM_ASSIGN(desc.op, op::Op::parse(step.op, step.attributes));
  engine::StepTypes types = plan.types(step);
  desc.inputs = std::move(types.inputs);
  desc.outputs = std::move(types.outputs);
  desc.weights = std::move(types.weights);
  return desc;
}

Result<Plan> emit(const ir::Graph& graph,
                  int64_t max_positions,
                  device::Device& device,
                  Tuner& tuner,
                  const base::Progress& progress) {
  TKM_RETURN_IF_ERROR(graph.verify());
  return Emitter(graph, device, tuner, progress).run(max_positions);
}

}  // namespace tokamak::compiler
