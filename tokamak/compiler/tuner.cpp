// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/tuner.h"

#include <cmath>
#include <limits>

#include "tokamak/base/fields.h"
#include "tokamak/base/file.h"
#include "tokamak/base/hash.h"
#include "tokamak/base/log.h"
#include "tokamak/compiler/layer_trial.h"
#include "tokamak/op/attention.h"

namespace tokamak::compiler {
namespace {

// A GPU's launches are too short to be timed one by one:
constexpr int kLaunches = 20;  // so many are timed together,
constexpr int kReplays = 3;    // so often.
constexpr double kBudgetUs = 40'000;
constexpr int kMinRuns = 3, kMaxRuns = 20;

bool attends(const op::Op& op) {
  return op::attention_settings(op).has_value();
}

bool worth_timing(const kernels::KernelDesc& desc) {
  return (!desc.op.has_state() || attends(desc.op)) && tensor::is_float(desc.inputs[0].dtype);
}

std::string candidate_text(const kernels::Candidate& candidate) {
  return fmt::format(
      "{} v{} {}", candidate.tactic->name, candidate.tactic->version, candidate.config.dump());
}

/// A key of a kernel: the desc with its layer, and the candidate.
std::string kernel_key(const kernels::KernelDesc& desc, const kernels::Candidate& candidate) {
  std::string key = fmt::format("{}{}", desc.op.name(), desc.op.attributes().dump());
  for (size_t i = 0; i < desc.inputs.size(); ++i)
    key += (desc.weights[i] ? " weight " : " ") + desc.inputs[i].text();
  return key + " | " + candidate_text(candidate);
}

/// A key of a layer: the problems of its steps.
std::string layer_key(const Layer& layer, int64_t tokens) {
  std::string text;
  for (const LayerStep& step : layer.steps) text += problem_key(step.desc, tokens) + "\n";
  return text;
}

void log_unmade(const kernels::Candidate& candidate, const Error& error) {
  base::log_debug(
      "{} {} cannot be used: {}", candidate.tactic->name, candidate.config.dump(), error.message);
}

/// Runs one by one: an average would hide that they differ.
Result<SampledTime> time_runs(device::Device& device, kernels::Kernel& kernel, Trial& trial) {
  std::vector<double> samples;
  double total = 0;
  for (int run = -1; run < kMinRuns || (total < kBudgetUs && run < kMaxRuns);
       ++run) {  // Run -1 warms up.
    kernels::Launch launch = trial.launch(static_cast<size_t>(run + 1));
    TKM_ASSIGN(double us, device.time_us([&] { kernel.run(launch); }));
    if (run < 0) continue;
    samples.push_back(us);
    total += us;
    if (total > 8 * kBudgetUs) break;
  }
  return sampled(std::move(samples));
}

/// A launch's share of many that were captured together, as they are in a decode step.
Result<SampledTime> time_launches(device::Device& device, kernels::Kernel& kernel, Trial& trial) {
  kernel.run(trial.launch(0));
  TKM_RETURN_IF_ERROR(device.synchronize());
  TKM_ASSIGN(std::unique_ptr<device::Graph> graph, device.capture([&] {
    for (size_t i = 0; i < kLaunches; ++i) kernel.run(trial.launch(i));
  }));
  std::vector<double> samples;
  for (int replay = -1; replay < kReplays; ++replay) {  // Replay -1 warms up.
    TKM_ASSIGN(double us, device.time_us([&] { graph->launch(); }));
    if (replay >= 0) samples.push_back(us / kLaunches);
  }
  return sampled(std::move(samples));
}

}  // namespace

std::string problem_key(const kernels::KernelDesc& desc, int64_t tokens) {
  Json attributes = desc.op.attributes();
  attributes.erase("layer");
  std::string key = fmt::format("{}{}", desc.op.name(), attributes.dump());
  for (const TensorType& type : desc.inputs) key += " " + type.text();
  if (attends(desc.op)) key += fmt::format(" context {}", TrialBatch::kContext);
  return key + fmt::format(" rows {}", tokens);
}

Tuner::Tuner(device::Device& device, std::filesystem::path cache_file, bool measure)
    : device_(device),
      cache_file_(std::move(cache_file)),
      measure_(measure && device.can_run()),
      asks_layers_(measure_ && !device.host_accessible()) {
  if (cache_file_.empty() || !std::filesystem::exists(cache_file_)) return;
  auto text = base::read_file(cache_file_);
  auto json =
      text.ok() ? base::parse_json(*text, cache_file_.string()) : Result<Json>(text.error());
  if (!json.ok() || !json->is_object()) {
    base::log_warn("the tactic cache {} cannot be read and is made anew", cache_file_.string());
    return;
  }
  for (const auto& [key, us] : json->items()) {
    if (us.is_number()) cache_[key] = us.get<double>();
  }
}

bool Tuner::times(const TunerQuestion& question) const {
  return measure_ && question.candidates->size() > 1 && worth_timing(*question.desc);
}

std::string Tuner::time_key(const TunerQuestion& question,
                            const kernels::Candidate& candidate) const {
  return fmt::format("{} | {} | {}",
                     problem_key(*question.desc, question.tokens),
                     candidate_text(candidate),
                     device_.fingerprint());
}

void Tuner::prepare(std::span<const TunerQuestion> questions) {
  struct Wanted {
    const kernels::KernelDesc* desc;
    const kernels::Candidate* candidate;
    kernels::MadeKernel* kernel;
  };
  std::vector<Wanted> wanted;
  for (const TunerQuestion& question : questions) {
    if (!times(question)) continue;
    for (const kernels::Candidate& candidate : *question.candidates) {
      if (cache_.contains(time_key(question, candidate))) continue;
      auto [it, is_new] = made_.try_emplace(kernel_key(*question.desc, candidate));
      if (is_new) wanted.push_back({question.desc, &candidate, &it->second});
    }
  }
  std::vector<kernels::MadeKernel> made =
      kernels::make_kernels(device_, std::ssize(wanted), [&](int64_t n) {
        const Wanted& one = wanted[static_cast<size_t>(n)];
        return one.candidate->tactic->make(*one.desc, one.candidate->config, device_);
      });
  for (size_t n = 0; n < wanted.size(); ++n) *wanted[n].kernel = std::move(made[n]);
}

Result<Timings> Tuner::time(const kernels::KernelDesc& desc,
                            int64_t tokens,
                            const std::vector<kernels::Candidate>& candidates) {
  Timings out(candidates.size(), std::numeric_limits<double>::infinity());
  const TunerQuestion question{&desc, tokens, &candidates};
  if (!times(question)) {
    out[0] = 0;
    return out;
  }
  std::vector<size_t> unknown;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (auto it = cache_.find(time_key(question, candidates[i])); it != cache_.end()) {
      out[i] = it->second;
      ++num_from_cache_;
    } else {
      unknown.push_back(i);
    }
  }
  if (unknown.empty()) return out;
  prepare({&question, 1});
  TKM_ASSIGN(TrialBatch batch, TrialBatch::make(device_, desc, tokens));
  TKM_ASSIGN(std::vector<SampledTime> times, time_steadily(unknown.size(), [&](size_t n) {
               return time_alone(question, candidates[unknown[n]], batch);
             }));
  for (size_t n = 0; n < unknown.size(); ++n) {
    ++num_timed_;
    const size_t i = unknown[n];
    out[i] = times[n].us;
    if (!std::isfinite(out[i])) continue;
    if (times[n].steady())
      cache_[time_key(question, candidates[i])] = out[i];
    else
      ++num_unsteady_;
  }
  return out;
}

Result<SampledTime> Tuner::time_alone(const TunerQuestion& question,
                                      const kernels::Candidate& candidate,
                                      TrialBatch& batch) {
  const Result<std::unique_ptr<kernels::Kernel>>& made =
      *made_.at(kernel_key(*question.desc, candidate));
  if (!made.ok()) {
    log_unmade(candidate, made.error());
    return SampledTime();
  }
  kernels::Kernel& kernel = **made;
  TKM_ASSIGN(Trial trial,
             Trial::make(device_, *question.desc, candidate, kernel, question.tokens, batch));
  auto time = device_.host_accessible() ? time_runs(device_, kernel, trial)
                                        : time_launches(device_, kernel, trial);
  // A device that is lost ends the build; a kernel that cannot be launched is no candidate.
  if (time.ok() || time.error().code == ErrorCode::kDevice) return time;
  log_unmade(candidate, time.error());
  return SampledTime();
}

Result<std::vector<Verdict>> Tuner::decide_in_layer(
    const Layer& layer,
    const std::vector<std::vector<kernels::Candidate>>& finalists,
    int64_t tokens) {
  std::vector<size_t> counts;
  for (const auto& of_problem : finalists) counts.push_back(of_problem.size());
  if (!asks_layers_) return std::vector<Verdict>(counts.size());
  const std::string problems = layer_key(layer, tokens);
  std::optional<LayerTrial> trial;
  auto compare = [&](const Assignment& incumbent,
                     const Assignment& challenger) -> Result<LayerTimes> {
    std::string text = problems + device_.fingerprint();
    for (const Assignment* assignment : {&incumbent, &challenger}) {
      for (size_t p = 0; p < counts.size(); ++p)
        text += "\n" + candidate_text(finalists[p][(*assignment)[p]]);
    }
    // Texts of whole layers are long.
    std::string key = fmt::format("layer rows {} | {}", tokens, base::hash_text(text).hex());
    return layer_times(key, [&]() -> Result<LayerTimes> {
      if (!trial) {
        TKM_ASSIGN(trial, LayerTrial::make(device_, layer, finalists, tokens));
      }
      return trial->compare(incumbent, challenger);
    });
  };
  auto verdicts = decide(counts, compare);
  if (verdicts.ok() || verdicts.error().code == ErrorCode::kDevice) return verdicts;
  base::log_warn("a layer of {} rows cannot be timed, kernels are chosen by their times alone: {}",
                 tokens,
                 verdicts.error().message);
  return std::vector<Verdict>(counts.size());
}

Result<LayerTimes> Tuner::layer_times(const std::string& key,
                                      const std::function<Result<LayerTimes>()>& measure) {
  const std::string incumbent = key + " incumbent", challenger = key + " challenger";
  auto first = cache_.find(incumbent), second = cache_.find(challenger);
  if (first != cache_.end() && second != cache_.end()) {
    ++num_from_cache_;
    return LayerTimes{first->second, second->second};
  }
  TKM_ASSIGN(LayerTimes times, measure());
  ++num_timed_;
  if (!times.steady) {
    ++num_unsteady_;
    return times;
  }
  cache_[incumbent] = times.incumbent_us;
  cache_[challenger] = times.challenger_us;
  return times;
}

Result<void> Tuner::save() const {
  if (cache_file_.empty() || num_timed_ == 0) return {};
  Json json = Json::object();
  for (const auto& [key, us] : cache_) json[key] = us;
  TKM_RETURN_IF_ERROR(base::make_folders(cache_file_.parent_path()));
  return base::write_file_atomic(cache_file_, json.dump(0) + "\n");
}

}  // namespace tokamak::compiler
