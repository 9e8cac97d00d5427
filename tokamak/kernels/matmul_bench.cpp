// SPDX-License-Identifier: Apache-2.0
// The linear layers of a decoder of 1.1 B parameters (hidden 2048, feed-forward 5632), every tactic
// and configuration, weights rotated past the cache.
#include <random>

#include "tokamak/kernels/bench_ceilings.h"
#include "tokamak/kernels/kernel.h"
#include "tokamak/op/matmul.h"

namespace tokamak::kernels::bench {
namespace {

struct Layer {
  const char* name;
  int64_t outputs, depth;
  bool gated;
};
constexpr Layer kLayers[] = {{"qkv", 2560, 2048, false},
                             {"o", 2048, 2048, false},
                             {"gate_up", 11264, 2048, true},
                             {"down", 2048, 5632, false},
                             {"lm_head", 32000, 2048, false}};

KernelDesc desc_of(const Layer& layer, DType dtype) {
  op::MatMul matmul{.transposed = true, .gated = layer.gated};
  if (layer.gated) matmul.activation = op::ActivationKind::kSilu;
  KernelDesc desc{
      .op = matmul,
      .inputs = {{dtype, {tensor::kTokens, layer.depth}}, {dtype, {layer.outputs, layer.depth}}},
      .weights = {false, true}};
  desc.outputs = desc.op.infer(desc.inputs).value();
  return desc;
}

device::Memory random_memory(DType dtype, int64_t bytes) {
  device::Memory memory = bench_device().allocate(bytes).value();
  std::minstd_rand random(7);
  std::vector<float> block(4096);
  for (float& value : block) value = std::uniform_real_distribution<float>(-1, 1)(random);
  int64_t element = tensor::dtype_bytes(dtype), count = bytes / element;
  for (int64_t i = 0; i < count; i += std::ssize(block)) {
    tensor::convert(DType::kF32,
                    block.data(),
                    dtype,
                    static_cast<std::byte*>(memory.data()) + i * element,
                    std::min<int64_t>(std::ssize(block), count - i));
  }
  return memory;
}

void bench_matmul(benchmark::State& state,
                  const Layer& layer,
                  DType dtype,
                  int64_t tokens,
                  const Candidate& candidate) {
  KernelDesc desc = desc_of(layer, dtype);
  device::Device& device = bench_device();
  auto kernel = candidate.tactic->make(desc, candidate.config, device).value();
  int64_t weight_bytes = candidate.tactic->layout->bytes(desc);
  int64_t copies = std::clamp<int64_t>((128 << 20) / weight_bytes + 1, 2, 16);
  std::vector<device::Memory> weights;
  for (int64_t i = 0; i < copies; ++i) weights.push_back(random_memory(dtype, weight_bytes));
  TensorView x{dtype, desc.inputs[0].resolve(tokens, tokens), nullptr};
  TensorView w{dtype, desc.inputs[1].resolve(tokens, tokens), nullptr};
  TensorView y{dtype, desc.outputs[0].resolve(tokens, tokens), nullptr};
  device::Memory x_memory = random_memory(dtype, x.bytes()),
                 y_memory = device.allocate(y.bytes()).value(),
                 workspace =
                     device.allocate(kernel->workspace_bytes(tokens, tokens, tokens)).value();
  x.data = x_memory.data();
  y.data = y_memory.data();
  double flops = 2.0 * static_cast<double>(tokens * layer.outputs * layer.depth);
  double bytes = static_cast<double>(weight_bytes + x.bytes() + y.bytes());
  report_fastest(state, bytes, flops, [&](int64_t run) {
    w.data = weights[static_cast<size_t>(run % copies)].data();
    TensorView inputs[] = {x, w};
    kernel->run({.inputs = inputs, .outputs = std::span(&y, 1), .workspace = workspace.data()});
  });
}

[[maybe_unused]] const int kRegistered = [] {
  for (DType dtype : {DType::kBF16, DType::kF32}) {
    for (const Layer& layer : kLayers) {
      for (int64_t tokens : {1, 2, 4, 8, 12, 16, 32, 64, 128, 512}) {
        KernelDesc desc = desc_of(layer, dtype);
        auto found = candidates(desc, tokens, bench_device());
        if (!found.ok()) continue;
        for (const Candidate& candidate : *found) {
          std::string name = fmt::format("{}/{}/{}/{}{}",
                                         tensor::dtype_name(dtype),
                                         layer.name,
                                         tokens,
                                         candidate.tactic->name,
                                         candidate.config.dump());
          benchmark::RegisterBenchmark(name.c_str(),
                                       [layer, dtype, tokens, candidate](benchmark::State& state) {
                                         bench_matmul(state, layer, dtype, tokens, candidate);
                                       })
              ->UseManualTime()
              ->MinTime(0.3)
              ->Unit(benchmark::kMicrosecond);
        }
      }
    }
  }
  return 0;
}();

}  // namespace
}  // namespace tokamak::kernels::bench
