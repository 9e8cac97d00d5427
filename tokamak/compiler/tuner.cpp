// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/tuner.h"

#include <cmath>
#include <limits>
#include <random>

#include "tokamak/base/fields.h"
#include "tokamak/base/file.h"
#include "tokamak/base/log.h"
#include "tokamak/kernels/cuda/fill/fill_random.h"

namespace tokamak::compiler {
namespace {

constexpr int64_t kColdBytes = 96 << 20;  // More than the last-level cache of the machines we know.
constexpr int kMaxCopies = 8;
constexpr int kMaxDeviceCopies = 128;  // A GPU's launches are too short to be timed one by one:
constexpr int kLaunches = 20;          // so many are timed together,
constexpr int kReplays = 3;            // so often.
constexpr double kBudgetUs = 40'000;
constexpr int kMinRuns = 3, kMaxRuns = 20;

Result<void> fill_random(device::Device& device, DType dtype, void* data, int64_t count) {
  if (!device.host_accessible())
    return kernels::cuda::fill_random(device, data, dtype, count, 0.0f, 1.0f, 7);
  std::minstd_rand random(7);
  std::vector<float> block(4096);
  for (float& value : block) value = std::uniform_real_distribution<float>(-1, 1)(random);
  for (int64_t i = 0; i < count; i += static_cast<int64_t>(block.size())) {
    int64_t length = std::min<int64_t>(static_cast<int64_t>(block.size()), count - i);
    tensor::convert(DType::kF32,
                    block.data(),
                    dtype,
                    static_cast<std::byte*>(data) + i * tensor::dtype_bytes(dtype),
                    length);
  }
  return {};
}

/// Buffers for the values of one candidate, with several copies of the weight that it streams.
class Bench {
 public:
  static Result<Bench> make(device::Device& device,
                            const kernels::KernelDesc& desc,
                            const kernels::Candidate& candidate,
                            kernels::Kernel& kernel,
                            int64_t tokens) {
    Bench out;
    for (const TensorType& type : desc.inputs) {
      TKM_ASSIGN(TensorView view, out.value(device, type, tokens));
      out.inputs_.push_back(view);
    }
    for (const TensorType& type : desc.outputs) {
      TKM_ASSIGN(TensorView view, out.value(device, type, tokens));
      out.outputs_.push_back(view);
    }
    if (desc.weights.size() > 1 && desc.weights[1]) {
      const auto& layout =
          candidate.tactic->layout ? *candidate.tactic->layout : kernels::row_major_layout();
      TKM_RETURN_IF_ERROR(out.add_weights(device, desc.inputs[1].dtype, layout.bytes(desc)));
    }
    TKM_ASSIGN(out.workspace_, device.allocate(kernel.workspace_bytes(tokens, tokens, tokens)));
    return out;
  }
  kernels::Launch launch(size_t run) {
    if (!weights_.empty()) inputs_[1].data = weights_[run % weights_.size()].data();
    return {
        .inputs = inputs_, .outputs = outputs_, .batch = &batch_, .workspace = workspace_.data()};
  }

 private:
  Result<TensorView> value(device::Device& device, const TensorType& type, int64_t tokens) {
    TensorView view{type.dtype, type.resolve(tokens, tokens), nullptr};
    TKM_ASSIGN(device::Memory memory, device.allocate(view.bytes()));
    view.data = memory.data();
    memory_.push_back(std::move(memory));
    if (tensor::is_float(type.dtype))
      TKM_RETURN_IF_ERROR(fill_random(device, type.dtype, view.data, view.count()));
    return view;
  }
  Result<void> add_weights(device::Device& device, DType dtype, int64_t bytes) {
    int64_t copies = std::clamp<int64_t>(kColdBytes / std::max<int64_t>(bytes, 1) + 1,
                                         1,
                                         device.host_accessible() ? kMaxCopies : kMaxDeviceCopies);
    for (int64_t i = 0; i < copies; ++i) {
      TKM_ASSIGN(device::Memory memory, device.allocate(bytes));
      TKM_RETURN_IF_ERROR(
          fill_random(device, dtype, memory.data(), bytes / tensor::dtype_bytes(dtype)));
      weights_.push_back(std::move(memory));
    }
    return {};
  }
  std::vector<device::Memory> memory_, weights_;
  device::Memory workspace_;
  std::vector<TensorView> inputs_, outputs_;
  op::BatchView batch_;
};

bool worth_timing(const kernels::KernelDesc& desc) {
  return !desc.op.has_state() && tensor::is_float(desc.inputs[0].dtype);
}

void log_unmade(const kernels::Candidate& candidate, const Error& error) {
  base::log_debug(
      "{} {} cannot be used: {}", candidate.tactic->name, candidate.config.dump(), error.message);
}

/// The fastest of some runs, timed one by one.
Result<double> time_runs(device::Device& device, kernels::Kernel& kernel, Bench& bench) {
  double best = std::numeric_limits<double>::infinity(), total = 0;
  for (int run = -1; run < kMinRuns || (total < kBudgetUs && run < kMaxRuns);
       ++run) {  // Run -1 warms up.
    kernels::Launch launch = bench.launch(static_cast<size_t>(run + 1));
    TKM_ASSIGN(double us, device.time_us([&] { kernel.run(launch); }));
    if (run < 0) continue;
    best = std::min(best, us);
    total += us;
    if (total > 8 * kBudgetUs) break;
  }
  return best;
}

/// A launch's share of many that were captured together, as they are in a decode step.
Result<double> time_launches(device::Device& device, kernels::Kernel& kernel, Bench& bench) {
  kernel.run(bench.launch(0));
  TKM_RETURN_IF_ERROR(device.synchronize());
  TKM_ASSIGN(std::unique_ptr<device::Graph> graph, device.capture([&] {
    for (size_t i = 0; i < kLaunches; ++i) kernel.run(bench.launch(i));
  }));
  double best = std::numeric_limits<double>::infinity();
  for (int replay = -1; replay < kReplays; ++replay) {  // Replay -1 warms up.
    TKM_ASSIGN(double us, device.time_us([&] { graph->launch(); }));
    if (replay >= 0) best = std::min(best, us / kLaunches);
  }
  return best;
}

}  // namespace

std::string problem_key(const kernels::KernelDesc& desc, int64_t tokens) {
  Json attributes = desc.op.attributes();
  attributes.erase("layer");
  std::string key = fmt::format("{}{}", desc.op.name(), attributes.dump());
  for (const TensorType& type : desc.inputs) key += " " + type.text();
  return key + fmt::format(" rows {}", tokens);
}

Tuner::Tuner(device::Device& device, std::filesystem::path cache_file, bool measure)
    : device_(device), cache_file_(std::move(cache_file)), measure_(measure && device.can_run()) {
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

Result<Timings> Tuner::time(const kernels::KernelDesc& desc,
                            int64_t tokens,
                            const std::vector<kernels::Candidate>& candidates) {
  Timings out(candidates.size(), std::numeric_limits<double>::infinity());
  if (!measure_ || candidates.size() == 1 || !worth_timing(desc)) {
    out[0] = 0;
    return out;
  }
  std::vector<std::string> keys;
  std::vector<size_t> unknown;
  for (size_t i = 0; i < candidates.size(); ++i) {
    keys.push_back(fmt::format("{} | {} v{} {} | {}",
                               problem_key(desc, tokens),
                               candidates[i].tactic->name,
                               candidates[i].tactic->version,
                               candidates[i].config.dump(),
                               device_.fingerprint()));
    if (auto it = cache_.find(keys[i]); it != cache_.end()) {
      out[i] = it->second;
      ++num_from_cache_;
    } else {
      unknown.push_back(i);
    }
  }
  std::vector<MadeKernel> made = make_all(desc, candidates, unknown);
  for (size_t n = 0; n < unknown.size(); ++n) {
    size_t i = unknown[n];
    ++num_timed_;
    if (!made[n] || !made[n]->ok()) {
      log_unmade(candidates[i], made[n]->error());
      continue;
    }
    TKM_ASSIGN(Bench bench, Bench::make(device_, desc, candidates[i], ***made[n], tokens));
    auto us = device_.host_accessible() ? time_runs(device_, ***made[n], bench)
                                        : time_launches(device_, ***made[n], bench);
    // A device that is lost ends the build; a kernel that cannot be launched is no candidate.
    if (!us.ok() && us.error().code == ErrorCode::kDevice) return us.error();
    if (!us.ok()) {
      log_unmade(candidates[i], us.error());
      continue;
    }
    out[i] = cache_[keys[i]] = *us;
  }
  return out;
}

std::vector<Tuner::MadeKernel> Tuner::make_all(const kernels::KernelDesc& desc,
                                               const std::vector<kernels::Candidate>& candidates,
                                               const std::vector<size_t>& which) {
  std::vector<MadeKernel> out(which.size());
  auto make = [&](int64_t n, int) {
    const kernels::Candidate& candidate = candidates[which[static_cast<size_t>(n)]];
    out[static_cast<size_t>(n)] = candidate.tactic->make(desc, candidate.config, device_);
  };
  // Kernels of a GPU are compiled when they are made, so that they are made side by side.
  if (device_.host_accessible()) {
    for (int64_t n = 0; n < std::ssize(which); ++n) make(n, 0);
  } else {
    device_.pool().parallel_for(std::ssize(which), make);
  }
  return out;
}

Result<void> Tuner::save() const {
  if (cache_file_.empty() || num_timed_ == 0) return {};
  Json json = Json::object();
  for (const auto& [key, us] : cache_) json[key] = us;
  TKM_RETURN_IF_ERROR(base::make_folders(cache_file_.parent_path()));
  return base::write_file_atomic(cache_file_, json.dump(0) + "\n");
}

}  // namespace tokamak::compiler
