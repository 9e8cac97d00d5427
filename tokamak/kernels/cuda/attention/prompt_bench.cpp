// SPDX-License-Identifier: Apache-2.0
// Prompts and chunks of them on a GPU, every way that attend_cuda_flash has. `differs` is the
// largest difference from the first configuration's result, against the largest value there.
#include <cmath>
#include <map>
#include <set>

#include <benchmark/benchmark.h>

#include "tokamak/kernels/cuda/attention/attend_kernels.h"
#include "tokamak/kernels/cuda/bench_difference.h"
#include "tokamak/kernels/cuda/fill/fill_random.h"
#include "tokamak/kernels/cuda/tactics.h"
#include "tokamak/op/attention.h"
#include "tokamak/tensor/tensor.h"

namespace tokamak::kernels::cuda {
namespace {

struct Shape {
  const char* name;
  int64_t num_heads, num_kv_heads, head_dim;
  int64_t sequences, tokens, context;  ///< Tokens and cached ones of each sequence.
  bool explore = false;
  int64_t window = 0;
};
constexpr Shape kShapes[] = {{"1k", 32, 8, 128, 1, 1024, 0, true},
                             {"8k", 32, 8, 128, 1, 8192, 0, true},
                             {"16k", 32, 8, 128, 1, 16384, 0},
                             {"16x512", 32, 8, 128, 16, 512, 0},
                             {"2k_after_6k", 32, 8, 128, 1, 2048, 6144},
                             {"8k_mha", 32, 32, 128, 1, 8192, 0},
                             {"8k_group_7", 28, 4, 128, 1, 8192, 0},
                             {"8k_d64", 32, 8, 64, 1, 8192, 0, true},
                             {"8k_d256", 16, 8, 256, 1, 8192, 0},
                             {"16k_window_4k", 32, 8, 128, 1, 16384, 0, false, 4096}};

KernelDesc desc_of(const Shape& shape) {
  op::Attend attend;
  attend.num_heads = shape.num_heads;
  attend.num_kv_heads = shape.num_kv_heads;
  attend.head_dim = shape.head_dim;
  attend.window = shape.window;
  attend.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  KernelDesc desc{.op = attend,
                  .inputs = {{DType::kBF16, {tensor::kTokens, shape.num_heads * shape.head_dim}}},
                  .weights = {false}};
  desc.outputs = desc.inputs;
  return desc;
}

/// Products of the scores and of the values, of tokens that see each other.
double flops_of(const Shape& shape) {
  double visible = 0;
  for (int64_t t = 0; t < shape.tokens; ++t) {
    int64_t before = shape.context + t + 1;
    visible += static_cast<double>(shape.window ? std::min(shape.window, before) : before);
  }
  return 4.0 * visible * static_cast<double>(shape.sequences * shape.num_heads * shape.head_dim);
}

/// Buffers of one shape.
struct Step {
  Step(device::Device& device, const Shape& shape) : heads(shape.num_heads * shape.head_dim) {
    tokens = shape.sequences * shape.tokens;
    int64_t pages_each = ceil_div(shape.context + shape.tokens, op::kPageTokens),
            num_pages = shape.sequences * pages_each;
    layer = {
        .dtype = DType::kBF16,
        .num_kv_heads = static_cast<int32_t>(shape.num_kv_heads),
        .head_dim = static_cast<int32_t>(shape.head_dim),
        .page_bytes = op::KvCache::bytes_of_page(DType::kBF16, shape.num_kv_heads, shape.head_dim)};
    cache = device.allocate(num_pages * layer.page_bytes).value();
    q = device.allocate(tokens * heads * 2).value();
    y = device.allocate(tokens * heads * 2).value();
    layer.data = cache.data();
    for (auto* memory : {&cache, &q}) {
      uint64_t seed = memory == &q ? 1 : 2;
      auto filled =
          fill_random(device, memory->data(), DType::kBF16, memory->bytes() / 2, 0, 1.7f, seed);
      TKM_CHECK(filled.ok(), "{}", filled.error().text());
    }
    std::vector<int32_t> rows, contexts, table;
    for (int64_t s = 0; s <= shape.sequences; ++s)
      rows.push_back(static_cast<int32_t>(s * shape.tokens));
    contexts.assign(static_cast<size_t>(shape.sequences), static_cast<int32_t>(shape.context));
    for (int64_t p = 0; p < num_pages; ++p)  // Out of order, as pools become; 7 divides no count.
      table.push_back(static_cast<int32_t>(p * 7 % num_pages));
    batch.first_rows = upload(device, first_rows, rows);
    batch.contexts = upload(device, all_contexts, contexts);
    batch.page_table = upload(device, page_table, table);
    batch.num_sequences = static_cast<int32_t>(shape.sequences);
    batch.max_pages = static_cast<int32_t>(pages_each);
    batch.max_sequence_rows = static_cast<int32_t>(shape.tokens);
  }
  static const int32_t* upload(device::Device& device,
                               device::Memory& to,
                               const std::vector<int32_t>& values) {
    to = device.allocate(std::ssize(values) * 4).value();
    device.copy_to_device(to.data(), values.data(), std::ssize(values) * 4);
    TKM_CHECK(device.synchronize().ok(), "upload of a batch");
    return static_cast<const int32_t*>(to.data());
  }
  /// Some rows of y.
  std::vector<float> result(device::Device& device) const {
    std::vector<float> out;
    std::vector<uint16_t> bits(static_cast<size_t>(heads));
    for (int64_t row = 0; row < tokens; row += row + 300 < tokens ? 37 : 1) {
      device.copy_to_host(
          bits.data(), static_cast<std::byte*>(y.data()) + row * heads * 2, heads * 2);
      TKM_CHECK(device.synchronize().ok(), "download of a result");
      out.resize(out.size() + bits.size());
      tensor::convert(
          DType::kBF16, bits.data(), DType::kF32, &out[out.size() - bits.size()], heads);
    }
    return out;
  }
  void run(Kernel& kernel, void* workspace) const {
    TensorView input{DType::kBF16, {tokens, heads}, q.data()}, output = input;
    output.data = y.data();
    op::BatchView layers{.layers = std::span(&layer, 1)};
    kernel.run({.inputs = std::span(&input, 1),
                .outputs = std::span(&output, 1),
                .batch = &layers,
                .device_batch = &batch,
                .workspace = workspace});
  }
  int64_t heads, tokens;
  op::KvCache layer;
  device::Memory cache, q, y, first_rows, all_contexts, page_table;
  DeviceBatch batch;
};

/// Those of the tactic that differ in what runs prompts, then for some shapes all else that
/// attend_wgmma can be.
std::vector<Json> configs_of(const Shape& shape, device::Device& device) {
  KernelDesc desc = desc_of(shape);
  std::vector<Json> out;
  std::set<std::string> seen;
  auto add = [&](const Json& config) {
    Json tile = config;
    tile.erase("split_stages");
    tile.erase("split_waves");
    if (seen.insert(tile.dump()).second) out.push_back(config);
  };
  for (const Json& config :
       attend_cuda_flash().candidates(desc, shape.sequences * shape.tokens, device))
    add(config);
  if (!shape.explore) return out;
  Json config = out.back();
  for (int64_t warps : {12, 16}) {
    for (auto [tokens, stages] :
         {std::pair{64, 2}, {64, 3}, {64, 4}, {64, 6}, {128, 2}, {128, 3}}) {
      for (bool turns : {true, false}) {
        WgmmaAttend::Config asked{
            .tokens = tokens, .stages = stages, .groups = warps / 4 - 1, .turns = turns};
        if (!asked.valid(*attend_problem(desc), device::cuda::cuda_device(device).info())) continue;
        config["tile_tokens"] = tokens;
        config["tile_stages"] = stages;
        config["tile_warps"] = warps;
        config["tile_turns"] = turns;
        config["tile_persistent"] = true;
        add(config);
      }
    }
  }
  return out;
}

/// The GPU, with all kernels compiled side by side; null without one.
device::Device* gpu() {
  static const std::shared_ptr<device::Device> opened = [] {
    std::shared_ptr<device::Device> device;
    if (auto found = device::open_device(Target::kCuda); found.ok()) device = *found;
    if (!device) return device;
    std::vector<std::pair<KernelDesc, Json>> all;
    for (const Shape& shape : kShapes) {
      for (Json& config : configs_of(shape, *device))
        all.push_back({desc_of(shape), std::move(config)});
    }
    device->pool().parallel_for(std::ssize(all), [&](int64_t i, int) {
      const auto& [desc, config] = all[static_cast<size_t>(i)];
      // What fails here fails again, with its message, where it is benched.
      (void)attend_cuda_flash().make(desc, config, *device).ok();
    });
    return device;
  }();
  return opened.get();
}

void bench_prompt(benchmark::State& state, const Shape& shape, size_t index) {
  device::Device* device = gpu();
  if (!device) return state.SkipWithError("no GPU");
  std::vector<Json> configs = configs_of(shape, *device);
  if (index >= configs.size()) return state.SkipWithError("no such configuration");
  auto kernel = attend_cuda_flash().make(desc_of(shape), configs[index], *device);
  if (!kernel.ok()) return state.SkipWithError(kernel.error().text().c_str());
  state.SetLabel(configs[index].dump());
  static std::map<std::string, std::vector<float>> first_results;
  Step step(*device, shape);
  device::Memory workspace =
      device->allocate((*kernel)->workspace_bytes(step.tokens, step.tokens, shape.sequences))
          .value();
  device->fill_bytes(step.y.data(), 0xff, step.y.bytes());
  step.run(**kernel, workspace.data());
  std::vector<float> result = step.result(*device);
  if (!first_results.contains(shape.name)) first_results[shape.name] = result;
  state.counters["differs"] = difference(first_results[shape.name], result);
  double fastest = 1e9;
  constexpr int kLaunches = 4;
  for (auto _ : state) {
    auto us = device->time_us([&] {
      for (int i = 0; i < kLaunches; ++i) step.run(**kernel, workspace.data());
    });
    if (!us.ok()) return state.SkipWithError(us.error().text().c_str());
    fastest = std::min(fastest, *us / kLaunches);
    state.SetIterationTime(*us * 1e-6 / kLaunches);
  }
  state.counters["us"] = fastest;
  state.counters["TFLOP/s"] = flops_of(shape) / fastest * 1e-6;
}

[[maybe_unused]] const int kRegistered = [] {
  auto compiling = device::cuda::CudaDevice::compile_only({}, 1);
  for (const Shape& shape : kShapes) {
    size_t count = configs_of(shape, *compiling).size();
    for (size_t i = 0; i < count; ++i) {
      std::string name = fmt::format("attend_cuda/{}/{}", shape.name, i);
      benchmark::RegisterBenchmark(
          name.c_str(), [&shape, i](benchmark::State& state) { bench_prompt(state, shape, i); })
          ->UseManualTime()
          ->Iterations(10)
          ->Unit(benchmark::kMicrosecond);
    }
  }
  return 0;
}();

}  // namespace
}  // namespace tokamak::kernels::cuda
