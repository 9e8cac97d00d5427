// SPDX-License-Identifier: Apache-2.0
// The products of a decode step of Llama-3-8B on a GPU, every way the tuner tries for up to
// 128 tokens: launches captured one after the other, weights rotated past the cache. `differs` is
// the largest difference from the first one's result, against the largest value there.
#include <map>

#include <benchmark/benchmark.h>

#include "tokamak/kernels/cuda/bench_difference.h"
#include "tokamak/kernels/cuda/fill/fill_random.h"
#include "tokamak/kernels/cuda/gemm/matmul_problem.h"
#include "tokamak/kernels/cuda/tactics.h"
#include "tokamak/tensor/tensor.h"

namespace tokamak::kernels::cuda {
namespace {

struct Layer {
  const char* name;
  int64_t outputs, depth;
  bool gated = false, residual = false;
};
constexpr Layer kLayers[] = {{"qkv", 6144, 4096},
                             {"o", 4096, 4096, false, true},
                             {"gate_up", 28672, 4096, true},
                             {"down", 4096, 14336, false, true}};
constexpr int64_t kTokens[] = {8, 16, 32, 64, 128};
constexpr int64_t kColdBytes = 200 << 20;
constexpr int kLaunches = 20;

KernelDesc desc_of(const Layer& layer) {
  op::MatMul matmul{.transposed = true, .residual = layer.residual, .gated = layer.gated};
  if (layer.gated) matmul.activation = op::ActivationKind::kSilu;
  KernelDesc desc{.op = matmul,
                  .inputs = {{DType::kBF16, {tensor::kTokens, layer.depth}},
                             {DType::kBF16, {layer.outputs, layer.depth}}},
                  .weights = {false, true}};
  if (layer.residual) {
    desc.inputs.push_back({DType::kBF16, {tensor::kTokens, layer.outputs}});
    desc.weights.push_back(false);
  }
  desc.outputs = desc.op.infer(desc.inputs).value();
  return desc;
}

struct Way {
  const Tactic* tactic;
  Json config;
};

/// What the tuner would try.
std::vector<Way> ways_of(const Layer& layer, int64_t tokens, device::Device& device) {
  KernelDesc desc = desc_of(layer);
  std::vector<Way> out;
  for (const Tactic* tactic : {&matmul_cuda_tma(), &matmul_cuda_cluster()}) {
    for (Json& config : tactic->candidates(desc, tokens, device)) out.push_back({tactic, config});
  }
  return out;
}

/// The GPU, with all kernels compiled side by side; null without one.
device::Device* gpu() {
  static const std::shared_ptr<device::Device> opened = [] {
    std::shared_ptr<device::Device> device;
    if (auto found = device::open_device(Target::kCuda); found.ok()) device = *found;
    if (!device) return device;
    std::vector<std::pair<KernelDesc, Way>> all;
    for (const Layer& layer : kLayers) {
      for (int64_t tokens : kTokens) {
        for (Way& way : ways_of(layer, tokens, *device)) all.push_back({desc_of(layer), way});
      }
    }
    device->pool().parallel_for(std::ssize(all), [&](int64_t i, int) {
      const auto& [desc, way] = all[static_cast<size_t>(i)];
      // What fails here fails again, with its message, where it is benched.
      (void)way.tactic->make(desc, way.config, *device).ok();
    });
    return device;
  }();
  return opened.get();
}

device::Memory random_memory(device::Device& device, int64_t bytes, uint64_t seed) {
  device::Memory memory = device.allocate(bytes).value();
  auto filled = fill_random(device, memory.data(), DType::kBF16, bytes / 2, 0, 1, seed);
  TKM_CHECK(filled.ok(), "{}", filled.error().text());
  return memory;
}

/// Buffers of one layer.
struct Step {
  Step(device::Device& device, const Layer& layer, int64_t tokens)
      : desc(desc_of(layer)), tokens(tokens) {
    for (size_t i = 0; i < desc.inputs.size(); ++i) {
      TensorView view{DType::kBF16, desc.inputs[i].resolve(tokens, tokens), nullptr};
      int64_t copies = i == 1 ? kColdBytes / view.bytes() + 1 : 1;
      for (int64_t c = 0; c < copies; ++c) {
        memory.push_back(random_memory(device, view.bytes(), i * 100 + static_cast<uint64_t>(c)));
        if (i == 1) weights.push_back(memory.back().data());
      }
      view.data = memory.back().data();
      inputs.push_back(view);
    }
    y = {DType::kBF16, desc.outputs[0].resolve(tokens, tokens), nullptr};
    memory.push_back(device.allocate(y.bytes()).value());
    y.data = memory.back().data();
  }
  void run(Kernel& kernel, void* workspace, size_t n) {
    inputs[1].data = weights[n % weights.size()];
    kernel.run({.inputs = inputs, .outputs = std::span(&y, 1), .workspace = workspace});
  }
  std::vector<float> result(device::Device& device) const {
    std::vector<uint16_t> bits(static_cast<size_t>(y.bytes() / 2));
    device.copy_to_host(bits.data(), y.data, y.bytes());
    TKM_CHECK(device.synchronize().ok(), "download of a result");
    std::vector<float> out(bits.size());
    tensor::convert(DType::kBF16, bits.data(), DType::kF32, out.data(), std::ssize(out));
    return out;
  }
  KernelDesc desc;
  int64_t tokens;
  std::vector<device::Memory> memory;
  std::vector<void*> weights;
  std::vector<TensorView> inputs;
  TensorView y;
};

void bench_decode(benchmark::State& state, const Layer& layer, int64_t tokens, size_t index) {
  device::Device* device = gpu();
  if (!device) return state.SkipWithError("no GPU");
  Way way = ways_of(layer, tokens, *device).at(index);
  state.SetLabel(std::string(way.tactic->name) + way.config.dump());
  auto kernel = way.tactic->make(desc_of(layer), way.config, *device);
  if (!kernel.ok()) return state.SkipWithError(kernel.error().text().c_str());
  static std::map<std::string, std::unique_ptr<Step>> steps;
  static std::map<std::string, std::vector<float>> first_results;
  std::string name = fmt::format("{}/{}", layer.name, tokens);
  auto& step = steps[name];
  if (!step) step = std::make_unique<Step>(*device, layer, tokens);
  device::Memory workspace =
      device->allocate((*kernel)->workspace_bytes(tokens, tokens, tokens)).value();
  device->fill_bytes(step->y.data, 0xff, step->y.bytes());
  step->run(**kernel, workspace.data(), 0);
  std::vector<float> result = step->result(*device);
  if (!first_results.contains(name)) first_results[name] = result;
  state.counters["differs"] = difference(first_results[name], result);
  auto graph = device->capture([&] {
    for (size_t n = 0; n < kLaunches; ++n) step->run(**kernel, workspace.data(), n);
  });
  if (!graph.ok()) return state.SkipWithError(graph.error().text().c_str());
  double fastest = 1e9;
  for (auto _ : state) {
    auto us = device->time_us([&] { (*graph)->launch(); });
    if (!us.ok()) return state.SkipWithError(us.error().text().c_str());
    fastest = std::min(fastest, *us / kLaunches);
    state.SetIterationTime(*us * 1e-6 / kLaunches);
  }
  state.counters["us"] = fastest;
  state.counters["TB/s"] = static_cast<double>(layer.outputs * layer.depth * 2) / fastest * 1e-6;
}

[[maybe_unused]] const int kRegistered = [] {
  auto compiling = device::cuda::CudaDevice::compile_only({}, 1);
  for (const Layer& layer : kLayers) {
    for (int64_t tokens : kTokens) {
      size_t count = ways_of(layer, tokens, *compiling).size();
      for (size_t i = 0; i < count; ++i) {
        std::string name = fmt::format("matmul_cuda/{}/{}/{}", layer.name, tokens, i);
        benchmark::RegisterBenchmark(
            name.c_str(),
            [&layer, tokens, i](benchmark::State& state) { bench_decode(state, layer, tokens, i); })
            ->UseManualTime()
            ->Iterations(4)
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }
  return 0;
}();

}  // namespace
}  // namespace tokamak::kernels::cuda
