// SPDX-License-Identifier: Apache-2.0
// attend_cuda_plain, attention_cuda_plain: a warp a head and row, for whatever types and head_dim.
#include "tokamak/kernels/cuda/attention/attend_kernels.h"
#include "tokamak/kernels/cuda/tactics.h"

namespace tokamak::kernels::cuda {

std::string AttendProblem::config(int64_t stages, int64_t warps) const {
  return construct("AttendConfig",
                   settings.num_heads,
                   settings.num_kv_heads,
                   settings.head_dim,
                   settings.window > 0,
                   settings.softcap > 0,
                   stages,
                   warps);
}

std::optional<AttendProblem> attend_problem(const KernelDesc& desc) {
  if (const auto* attend = desc.op.as<op::Attend>())
    return AttendProblem{.settings = *attend, .x = desc.inputs[0].dtype};
  if (const auto* attention = desc.op.as<op::Attention>())
    return AttendProblem{.settings = *attention, .x = desc.inputs[0].dtype, .append = true};
  return std::nullopt;
}

Result<void> PlainAttend::load(DType kv) {
  if (functions_.contains(kv)) return {};
  std::string kernel =
      instantiate("attend_plain", problem_.config(2, 4), device_type(problem_.x), device_type(kv));
  TKM_ASSIGN(functions_[kv], load_function(device_, "attention/attend_plain.cuh", kernel));
  return {};
}

void PlainAttend::run(const Launch& launch, const op::KvCache& cache) {
  auto loaded = load(cache.dtype);
  TKM_CHECK(loaded.ok(), "attend: {}", loaded.error().text());
  functions_[cache.dtype].launch({.grid = {grid_size(launch.inputs[0].rows()),
                                           grid_size(ceil_div(problem_.settings.num_heads, 4))},
                                  .block = {128},
                                  .dependent = true},
                                 launch.inputs[0].data,
                                 launch.outputs[0].data,
                                 attend_params(problem_.settings),
                                 batch_argument(launch),
                                 cache_argument(cache));
}

Result<void> Append::load(DType kv) {
  if (functions_.contains(kv)) return {};
  std::string kernel = instantiate("append",
                                   problem_.settings.num_kv_heads,
                                   problem_.settings.head_dim,
                                   device_type(problem_.x),
                                   device_type(kv));
  TKM_ASSIGN(functions_[kv], load_function(device_, "attention/append.cuh", kernel));
  return {};
}

void Append::run(const Launch& launch, const op::KvCache& cache) {
  auto loaded = load(cache.dtype);
  TKM_CHECK(loaded.ok(), "attention: {}", loaded.error().text());
  functions_[cache.dtype].launch(
      {.grid = {grid_size(launch.inputs[0].rows())}, .block = {128}, .dependent = true},
      launch.inputs[1].data,
      launch.inputs[2].data,
      batch_argument(launch),
      cache_argument(cache));
}

namespace {

class PlainAttendKernel : public Kernel {
 public:
  PlainAttendKernel(device::Device& device, const AttendProblem& problem)
      : problem_(problem), attend_(device, problem), append_(device, problem) {}

  Result<void> load() {
    if (problem_.append) TKM_RETURN_IF_ERROR(append_.load(problem_.x));
    return attend_.load(problem_.x);
  }
  void run(const Launch& launch) override {
    if (launch.inputs[0].rows() == 0) return;
    const op::KvCache& cache = cache_of_layer(launch, problem_.settings.layer);
    if (problem_.append) append_.run(launch, cache);
    attend_.run(launch, cache);
  }

 private:
  AttendProblem problem_;
  PlainAttend attend_;
  Append append_;
};

Made make(const KernelDesc& desc, const Json&, device::Device& device) {
  auto kernel = std::make_unique<PlainAttendKernel>(device, *attend_problem(desc));
  TKM_RETURN_IF_ERROR(kernel->load());
  return std::unique_ptr<Kernel>(std::move(kernel));
}

}  // namespace

const Tactic& attend_cuda_plain() {
  static const Tactic tactic = {.name = "attend_cuda_plain",
                                .target = Target::kCuda,
                                .candidates = claim<op::Attend>,
                                .make = make};
  return tactic;
}

const Tactic& attention_cuda_plain() {
  static const Tactic tactic = {.name = "attention_cuda_plain",
                                .target = Target::kCuda,
                                .candidates = claim<op::Attention>,
                                .make = make};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
