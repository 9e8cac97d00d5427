// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/tuner.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <random>

#include "tokamak/base/fields.h"
#include "tokamak/base/file.h"
#include "tokamak/base/log.h"

namespace tokamak::compiler {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kColdBytes = 96 << 20;  // More than the last-level cache of the machines we know.
constexpr int kMaxCopies = 8;
constexpr double kBudgetUs = 40'000;
constexpr int kMinRuns = 3, kMaxRuns = 20;

void fill_random(DType dtype, void* data, int64_t count) {
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
}

/// Buffers for the values of one candidate, with several copies of the weight that it streams.
class Bench {
 public:
  Bench(device::Device& device,
        const kernels::KernelDesc& desc,
        const kernels::Candidate& candidate,
        int64_t tokens) {
    for (size_t i = 0; i < desc.inputs.size(); ++i)
      inputs_.push_back(value(device, desc.inputs[i], tokens));
    for (const TensorType& type : desc.outputs) outputs_.push_back(value(device, type, tokens));
    if (desc.weights.size() > 1 && desc.weights[1]) {
      const auto& layout =
          candidate.tactic->layout ? *candidate.tactic->layout : kernels::row_major_layout();
      int64_t bytes = layout.bytes(desc);
      int64_t copies =
          std::clamp<int64_t>(kColdBytes / std::max<int64_t>(bytes, 1) + 1, 1, kMaxCopies);
      for (int64_t i = 0; i < copies; ++i) {
        weights_.push_back(device.allocate(bytes).value());
        fill_random(desc.inputs[1].dtype,
                    weights_.back().data(),
                    bytes / tensor::dtype_bytes(desc.inputs[1].dtype));
      }
    }
  }
  kernels::Launch launch(size_t run) {
    if (!weights_.empty()) inputs_[1].data = weights_[run % weights_.size()].data();
    return {.inputs = inputs_, .outputs = outputs_, .batch = &batch_};
  }

 private:
  TensorView value(device::Device& device, const TensorType& type, int64_t tokens) {
    TensorView view{type.dtype, type.resolve(tokens, tokens), nullptr};
    memory_.push_back(device.allocate(view.bytes()).value());
    view.data = memory_.back().data();
    if (tensor::is_float(type.dtype)) fill_random(type.dtype, view.data, view.count());
    return view;
  }
  std::vector<device::Memory> memory_, weights_;
  std::vector<TensorView> inputs_, outputs_;
  op::BatchView batch_;
};

bool worth_timing(const kernels::KernelDesc& desc) {
  return !desc.op.has_state() && tensor::is_float(desc.inputs[0].dtype);
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
    : device_(device), cache_file_(std::move(cache_file)), measure_(measure) {
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
  for (size_t i = 0; i < candidates.size(); ++i) {
    std::string key = fmt::format("{} | {} v{} {} | {}",
                                  problem_key(desc, tokens),
                                  candidates[i].tactic->name,
                                  candidates[i].tactic->version,
                                  candidates[i].config.dump(),
                                  device_.fingerprint());
    if (auto it = cache_.find(key); it != cache_.end()) {
      out[i] = it->second;
      ++num_from_cache_;
      continue;
    }
    TKM_ASSIGN(out[i], time_one(desc, tokens, candidates[i]));
    if (std::isfinite(out[i])) cache_[key] = out[i];
    ++num_timed_;
  }
  return out;
}

Result<double> Tuner::time_one(const kernels::KernelDesc& desc,
                               int64_t tokens,
                               const kernels::Candidate& candidate) {
  auto kernel = candidate.tactic->make(desc, candidate.config, device_);
  if (!kernel.ok()) {
    base::log_debug("{} {} cannot be made: {}",
                    candidate.tactic->name,
                    candidate.config.dump(),
                    kernel.error().message);
    return std::numeric_limits<double>::infinity();
  }
  Bench bench(device_, desc, candidate, tokens);
  TKM_ASSIGN(device::Memory workspace,
             device_.allocate((*kernel)->workspace_bytes(tokens, tokens, tokens)));
  double best = std::numeric_limits<double>::infinity(), total = 0;
  for (int run = -1; run < kMinRuns || (total < kBudgetUs && run < kMaxRuns);
       ++run) {  // Run -1 warms up.
    kernels::Launch launch = bench.launch(static_cast<size_t>(run + 1));
    launch.workspace = workspace.data();
    auto begin = Clock::now();
    (*kernel)->run(launch);
    double us = std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
    if (run < 0) continue;
    best = std::min(best, us);
    total += us;
    if (total > 8 * kBudgetUs) break;
  }
  return best;
}

Result<void> Tuner::save() const {
  if (cache_file_.empty() || num_timed_ == 0) return {};
  Json json = Json::object();
  for (const auto& [key, us] : cache_) json[key] = us;
  TKM_RETURN_IF_ERROR(base::make_folders(cache_file_.parent_path()));
  return base::write_file_atomic(cache_file_, json.dump(0) + "\n");
}

}  // namespace tokamak::compiler
