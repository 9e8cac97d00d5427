// SPDX-License-Identifier: Apache-2.0
// Host side of attend_wgmma.cuh.
#include "tokamak/kernels/cuda/attention/attend_kernels.h"

namespace tokamak::kernels::cuda {

bool WgmmaAttend::claims(const AttendProblem& problem, const device::cuda::DeviceInfo& info) {
  int64_t d = problem.settings.head_dim;
  return info.compute_capability == 90 && problem.x == DType::kBF16 &&
         (d == 64 || d == 128 || d == 256) && problem.settings.scale > 0;
}

/// sizeof(tkm::WgmmaAttendShared)
int64_t WgmmaAttend::Config::shared_bytes(int64_t head_dim) const {
  int64_t bytes = (groups * 64 + 2 * stages * tokens) * head_dim * 2 + 4 * stages * 8;
  return round_up(bytes, 1024);
}

bool WgmmaAttend::Config::valid(const AttendProblem& problem,
                                const device::cuda::DeviceInfo& info) const {
  // Registers of a lane: scores, weights, sums of values. Those of three warpgroups hold
  // nothing beside them.
  int64_t head_dim = problem.settings.head_dim, registers = tokens / 2 + tokens / 4 + head_dim / 2;
  bool plain = problem.settings.window == 0 && problem.settings.softcap == 0;
  bool three = !turns && registers <= 128 && plain;
  return claims(problem, info) && (tokens == 64 || tokens == 128) && stages >= 2 && stages <= 8 &&
         (groups == 2 ? registers <= 192 : groups == 3 && three) &&
         shared_bytes(head_dim) <= info.max_shared_bytes;
}

Result<void> WgmmaAttend::load(const Config& config) {
  config_ = config;
  std::string text = construct("WgmmaAttendConfig",
                               problem_.config(config.stages, 4 * (config.groups + 1)),
                               config.tokens,
                               config.turns);
  TKM_ASSIGN(
      function_,
      load_function(device_, "attention/attend_wgmma.cuh", instantiate("attend_wgmma", text)));
  return {};
}

void WgmmaAttend::run(const Launch& launch, const op::KvCache& cache) const {
  const op::AttentionSettings& s = problem_.settings;
  auto map = device_.tensor_map({.data = cache.data,
                                 .shape = {s.head_dim,
                                           2 * s.num_kv_heads * op::kPageTokens,
                                           // More pages than there can be.
                                           device_.info().total_bytes / cache.page_bytes + 1},
                                 .strides = {s.head_dim * 2, cache.page_bytes},
                                 .box = {64, op::kPageTokens, 1}});
  TKM_CHECK(map.ok(), "attend_wgmma: {}", map.error().text());
  int64_t rows = launch.inputs[0].rows() * problem_.group();
  int64_t tiles = ceil_div(rows, config_.groups * 64) + launch.device_batch->num_sequences,
          blocks = tiles * s.num_kv_heads;
  if (config_.persistent) blocks = std::min<int64_t>(blocks, device_.info().num_sms);
  function_.launch({.grid = {grid_size(blocks)},
                    .block = {grid_size((config_.groups + 1) * 128)},
                    .shared_bytes = grid_size(config_.shared_bytes(s.head_dim)),
                    .dependent = true},
                   launch.inputs[0].data,
                   launch.outputs[0].data,
                   attend_params(s),
                   batch_argument(launch),
                   *map,
                   static_cast<int32_t>(tiles));
}

}  // namespace tokamak::kernels::cuda
