// SPDX-License-Identifier: Apache-2.0
// Compiles what the cuda target would run, without a GPU: for each architecture every configuration
// of every kernel that the graphs of the known families ask for at any step size. NVRTC must be
// here (TOKAMAK_NVRTC, see scripts/install_nvrtc.sh); a spill, a stack frame or a serialised
// tensor-core instruction fails.
//
// TOKAMAK_KERNEL_MODELS=all also takes the published models of the test data's configs.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <set>

#include <gtest/gtest.h>

#include "tokamak/base/fields.h"
#include "tokamak/compiler/emit.h"
#include "tokamak/compiler/pipeline.h"
#include "tokamak/device/cuda/cuda_device.h"
#include "tokamak/device/cuda/libraries.h"
#include "tokamak/models/families.h"

namespace tokamak::compiler {
namespace {

namespace fs = std::filesystem;

fs::path test_data() {
  const char* folder = std::getenv("TOKAMAK_TEST_DATA");
  return folder && *folder ? folder : "../shared";
}

/// The small models of all families, and of the published ones those that we tune for.
std::vector<fs::path> model_folders() {
  std::vector<fs::path> out = {test_data() / "assets/configs/Meta-Llama-3-8B"};
  for (const auto& entry : fs::directory_iterator(test_data() / "goldens")) {
    if (fs::exists(entry.path() / "config.json")) out.push_back(entry.path());
  }
  const char* models = std::getenv("TOKAMAK_KERNEL_MODELS");
  if (models && std::string_view(models) == "all") {
    for (const auto& entry : fs::directory_iterator(test_data() / "assets/configs")) {
      if (fs::exists(entry.path() / "config.json")) out.push_back(entry.path());
    }
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

struct Wanted {
  kernels::KernelDesc desc;
  kernels::Candidate candidate;
};

class CudaKernels : public ::testing::TestWithParam<device::cuda::DeviceInfo> {
 protected:
  void add_model(const fs::path& folder, DType dtype, device::Device& device) {
    auto info = models::read_model(folder);
    // Families that no target runs yet.
    if (!info.ok()) return;
    auto graph = models::decoder_graph(info->spec, dtype);
    ASSERT_TRUE(graph.ok()) << folder << ": " << graph.error().text();
    ASSERT_TRUE(run_pipeline(**graph, {.target = Target::kCuda}).ok());
    Tuner tuner(device, {}, /*measure=*/false);
    auto plan = emit(**graph, info->spec.max_positions, device, tuner);
    if (!plan.ok()) {
      ADD_FAILURE() << folder << ": " << plan.error().text();
      return;
    }
    ++num_models_;
    for (const engine::PlanStep& step : plan->steps) {
      kernels::KernelDesc desc = step_desc(*plan, step).value();
      for (int64_t tokens : buckets(Target::kCuda)) {
        for (kernels::Candidate& candidate : kernels::candidates(desc, tokens, device).value()) {
          std::string key =
              problem_key(desc, 0) + std::string(candidate.tactic->name) + candidate.config.dump();
          if (seen_.insert(key).second) wanted_.push_back({desc, std::move(candidate)});
        }
      }
    }
  }

  std::set<std::string> seen_;
  std::vector<Wanted> wanted_;
  int num_models_ = 0;
};

TEST_P(CudaKernels, compile_without_spills) {
  if (auto nvrtc = device::cuda::nvrtc(); !nvrtc.ok())
    GTEST_SKIP() << "SKIPPED: " << nvrtc.error().text();
  if (!fs::exists(test_data() / "goldens"))
    GTEST_SKIP() << "SKIPPED: no test data in " << test_data() << "; set TOKAMAK_TEST_DATA";
  auto device = device::cuda::CudaDevice::compile_only(GetParam(), 0);
  auto begin = std::chrono::steady_clock::now();
  for (const fs::path& folder : model_folders()) {
    for (DType dtype : {DType::kBF16, DType::kF32}) {
      // Published sizes run in bf16.
      if (dtype == DType::kF32 && folder.parent_path().filename() == "configs") continue;
      add_model(folder, dtype, *device);
    }
  }
  EXPECT_GT(num_models_, 10);
  std::mutex mutex;
  std::vector<std::unique_ptr<kernels::Kernel>> kept(wanted_.size());
  device->pool().parallel_for(std::ssize(wanted_), [&](int64_t i, int) {
    const auto& [desc, candidate] = wanted_[static_cast<size_t>(i)];
    auto kernel = candidate.tactic->make(desc, candidate.config, *device);
    std::lock_guard lock(mutex);
    if (!kernel.ok())
      ADD_FAILURE() << candidate.tactic->name << " " << candidate.config.dump() << " for "
                    << problem_key(desc, 0) << ": " << kernel.error().text();
    else
      kept[static_cast<size_t>(i)] = std::move(*kernel);
  });
  fmt::print("{}: {} configurations of {} models in {:.0f} s\n",
             GetParam().architecture(),
             wanted_.size(),
             num_models_,
             std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
}

device::cuda::DeviceInfo device_of(int compute_capability, int num_sms, int max_shared_bytes) {
  device::cuda::DeviceInfo info;
  info.name = fmt::format("sm_{}", compute_capability);
  info.compute_capability = compute_capability;
  info.num_sms = num_sms;
  info.max_shared_bytes = max_shared_bytes;
  info.shared_bytes_per_sm = max_shared_bytes + 1024;
  return info;
}

INSTANTIATE_TEST_SUITE_P(Architectures,
                         CudaKernels,
                         ::testing::Values(device_of(90, 132, 232448),
                                           device_of(80, 108, 166912),
                                           device_of(89, 142, 101376),
                                           device_of(100, 148, 232448)),
                         [](const auto& info) { return info.param.architecture(); });

}  // namespace
}  // namespace tokamak::compiler
