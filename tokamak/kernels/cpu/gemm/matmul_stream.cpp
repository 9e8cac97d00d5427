// SPDX-License-Identifier: Apache-2.0
// matmul_cpu_stream: few tokens. Each weight is read from memory once and multiplied with all
// tokens of the step while it passes through the registers; time is that of the read until the
// multipliers become the limit. Threads claim small groups of panels, so that a disturbed core
// delays one group.
#include "tokamak/base/fields_json.h"
#include "tokamak/kernels/cpu/gemm/matmul_panels.h"
#include "tokamak/kernels/cpu/tactics.h"

namespace tokamak::kernels::cpu {
namespace {

struct StreamConfig {
  int64_t panels = 2;       ///< Panels a thread claims at a time.
  int64_t prefetch = 8192;  ///< Bytes that the prefetch runs ahead; 0 leaves it to the hardware.
  static constexpr auto kFields = std::tuple{Field{"panels", &StreamConfig::panels},
                                             Field{"prefetch", &StreamConfig::prefetch}};
};

class StreamMatMul : public PanelMatMul {
 public:
  StreamMatMul(const KernelDesc& desc, const StreamConfig& config, device::Device& device)
      : PanelMatMul(desc, device), config_(config) {}

  int64_t workspace_bytes(int64_t max_tokens, int64_t max_rows, int64_t) const override {
    int64_t tokens = largest_rows(x_type_, max_tokens, max_rows);
    return packed_bytes(std::min(tokens, micro_.max_tokens));
  }

  void run(const Launch& launch) override {
    Epilogue epilogue = Epilogue::bind(matmul_, launch);
    int64_t tokens = launch.inputs[0].rows(), passes = ceil_div(tokens, micro_.max_tokens);
    for (int64_t pass = 0; pass < passes; ++pass) {
      int64_t first = pass * tokens / passes, end = (pass + 1) * tokens / passes;
      run_pass(launch, epilogue, first, end - first);
    }
  }

 private:
  void run_pass(const Launch& launch,
                const Epilogue& epilogue,
                int64_t first_token,
                int64_t num_tokens) const {
    const void* x = row(launch, first_token);
    if (num_tokens > 1 || shape_.depth % 2 || !micro_.row_is_packed) {
      micro_.pack({.x = x,
                   .tokens = num_tokens,
                   .depth = shape_.depth,
                   .row_stride = shape_.depth,
                   .packed = launch.workspace});
      x = launch.workspace;
    }
    int64_t num_panels = shape_.num_panels(), lines = config_.prefetch ? 8 : 0;
    device_.pool().parallel_for(ceil_div(num_panels, config_.panels), [&](int64_t i, int) {
      int64_t end = std::min((i + 1) * config_.panels, num_panels);
      for (int64_t p = i * config_.panels; p < end; ++p) {
        const std::byte* weights = panel(launch, p);
        run_tile(
            epilogue, x, weights, p, first_token, num_tokens, weights + config_.prefetch, lines);
      }
    });
  }

  StreamConfig config_;
};

constexpr int64_t kMostTokens = 16;

}  // namespace

const Tactic& matmul_cpu_stream() {
  static const Tactic tactic = {
      .name = "matmul_cpu_stream",
      .target = Target::kCpu,
      .layout = &panel_layout(),
      .candidates =
          [](const KernelDesc& desc, int64_t tokens, const device::Device&) {
            std::vector<Json> configs;
            if (!PanelMatMul::claims(desc) || tokens > kMostTokens) return configs;
            // The hardware follows the stream of a few tokens by itself; with more, its prefetch
            // comes too late for the multipliers.
            std::vector<StreamConfig> order = {{.prefetch = 0}};
            if (micro_kernels(desc.inputs[0].dtype, desc.inputs[1].dtype).prefetches)
              order.insert(tokens > 4 ? order.begin() : order.end(), {.prefetch = 8192});
            for (const StreamConfig& config : order)
              configs.push_back(base::fields_to_json(config, /*all=*/true));
            return configs;
          },
      .make = [](const KernelDesc& desc, const Json& json, device::Device& device) -> Made {
        TKM_ASSIGN(auto config, base::fields_from_json<StreamConfig>(json));
        constexpr int64_t kMost = 1 << 20;  // So that sums with sizes do not overflow.
        if (config.panels < 1 || config.panels > kMost || config.prefetch < 0 ||
            config.prefetch > kMost)
          return base::invalid("matmul_cpu_stream: no such config: " + json.dump());
        return std::unique_ptr<Kernel>(std::make_unique<StreamMatMul>(desc, config, device));
      }};
  return tactic;
}

}  // namespace tokamak::kernels::cpu
