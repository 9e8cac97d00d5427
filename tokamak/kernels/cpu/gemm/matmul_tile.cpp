// SPDX-License-Identifier: Apache-2.0
// matmul_cpu_tile: many tokens. Tokens are packed in tiles of about 12; a thread claims panels of
// 32 outputs and multiplies each with every tile of a chunk, so that a panel (K = 2048: 128 KiB) is
// read from memory once a chunk and then from the L2 cache, while the packed chunk stays in L2 or
// L3. Sums of a tile stay in registers over the whole depth. While a panel is multiplied, the next
// one is brought into L2.
#include "tokamak/base/fields_json.h"
#include "tokamak/kernels/cpu/gemm/matmul_panels.h"
#include "tokamak/kernels/cpu/tactics.h"

namespace tokamak::kernels::cpu {
namespace {

struct TileConfig {
  int64_t chunk = 512;  ///< Tokens packed at a time.
  int64_t panels = 1;   ///< Panels a thread claims at a time.
  static constexpr auto kFields =
      std::tuple{Field{"chunk", &TileConfig::chunk}, Field{"panels", &TileConfig::panels}};
};

class TileMatMul : public PanelMatMul {
 public:
  TileMatMul(const KernelDesc& desc, const TileConfig& config, device::Device& device)
      : PanelMatMul(desc, device), config_(config) {}

  int64_t workspace_bytes(int64_t max_tokens, int64_t max_rows, int64_t) const override {
    int64_t tokens = std::min(largest_rows(x_type_, max_tokens, max_rows), config_.chunk);
    return tokens * packed_bytes(1) + 64;
  }

  void run(const Launch& launch) override {
    Epilogue epilogue = Epilogue::bind(matmul_, launch);
    int64_t tokens = launch.inputs[0].rows(), chunks = ceil_div(tokens, config_.chunk);
    for (int64_t c = 0; c < chunks; ++c) {
      int64_t first = c * tokens / chunks, end = (c + 1) * tokens / chunks;
      run_chunk(launch, epilogue, first, end - first);
    }
  }

 private:
  void run_chunk(const Launch& launch,
                 const Epilogue& epilogue,
                 int64_t first_token,
                 int64_t num_tokens) const {
    int64_t tiles = ceil_div(num_tokens, micro_.best_tokens), token_bytes = packed_bytes(1);
    auto begin = [&](int64_t tile) { return tile * num_tokens / tiles; };
    device_.pool().parallel_for(tiles, [&](int64_t t, int) {
      micro_.pack({.x = row(launch, first_token + begin(t)),
                   .tokens = begin(t + 1) - begin(t),
                   .depth = shape_.depth,
                   .row_stride = shape_.depth,
                   .packed = offset(launch.workspace, begin(t) * token_bytes)});
    });
    int64_t num_panels = shape_.num_panels(), threads = device_.pool().num_threads();
    // A panel has 8 cache lines for every 4 steps; each tile prefetches its share of the next one.
    int64_t lines = ceil_div(8, tiles), bytes_a_tile = lines * 64 * (shape_.steps() / 4);
    device_.pool().parallel_for(ceil_div(num_panels, config_.panels), [&](int64_t i, int) {
      int64_t end = std::min((i + 1) * config_.panels, num_panels);
      for (int64_t p = i * config_.panels; p < end; ++p) {
        int64_t next = p + 1 < end ? p + 1 : (i + threads) * config_.panels;
        for (int64_t t = 0; t < tiles; ++t) {
          bool fetch = next < num_panels && t * bytes_a_tile < shape_.panel_bytes();
          run_tile(epilogue,
                   offset(launch.workspace, begin(t) * token_bytes),
                   panel(launch, p),
                   p,
                   first_token + begin(t),
                   begin(t + 1) - begin(t),
                   panel(launch, fetch ? next : p) + t * bytes_a_tile,
                   fetch ? lines : 0);
        }
      }
    });
  }

  TileConfig config_;
};

constexpr int64_t kFewestTokens = 8;

}  // namespace

const Tactic& matmul_cpu_tile() {
  static const Tactic tactic = {
      .name = "matmul_cpu_tile",
      .target = Target::kCpu,
      .layout = &panel_layout(),
      .candidates =
          [](const KernelDesc& desc, int64_t tokens, const device::Device&) {
            std::vector<Json> configs;
            if (!PanelMatMul::claims(desc) || tokens < kFewestTokens) return configs;
            configs.push_back(base::fields_to_json(TileConfig{}, /*all=*/true));
            if (tokens > 128)
              configs.push_back(base::fields_to_json(TileConfig{.chunk = 128}, /*all=*/true));
            return configs;
          },
      .make = [](const KernelDesc& desc, const Json& json, device::Device& device) -> Made {
        TKM_ASSIGN(auto config, base::fields_from_json<TileConfig>(json));
        constexpr int64_t kMost = 1 << 20;  // So that sums with sizes do not overflow.
        if (config.chunk < 1 || config.chunk > kMost || config.panels < 1 || config.panels > kMost)
          return base::invalid("matmul_cpu_tile: no such config: " + json.dump());
        return std::unique_ptr<Kernel>(std::make_unique<TileMatMul>(desc, config, device));
      }};
  return tactic;
}

}  // namespace tokamak::kernels::cpu
