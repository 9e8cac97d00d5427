// SPDX-License-Identifier: Apache-2.0
// Attention over the paged cache: decode steps at long contexts (against the read of keys and
// values) and chunks of prompts (against the peak of products).
#include "tokamak/kernels/bench_ceilings.h"
#include "tokamak/kernels/kernel.h"
#include "tokamak/op/attention.h"

namespace tokamak::kernels::bench {
namespace {

struct Heads {
  const char* name;
  int64_t num_heads, num_kv_heads, head_dim;
};
constexpr Heads kHeads[] = {
    {"32x4x64", 32, 4, 64}, {"32x8x128", 32, 8, 128}, {"16x16x128", 16, 16, 128}};

void bench_attend(benchmark::State& state,
                  const Heads& heads,
                  DType dtype,
                  int64_t tokens,
                  int64_t context,
                  const Json& config) {
  op::Attend attend;
  attend.num_heads = heads.num_heads;
  attend.num_kv_heads = heads.num_kv_heads;
  attend.head_dim = heads.head_dim;
  attend.scale = 1.0f / std::sqrt(static_cast<float>(heads.head_dim));
  KernelDesc desc{.op = attend,
                  .inputs = {{dtype, {tensor::kTokens, heads.num_heads * heads.head_dim}}},
                  .weights = {false}};
  desc.outputs = desc.inputs;
  device::Device& device = bench_device();
  auto kernel = find_tactic("attend_cpu_pages")->make(desc, config, device).value();
  // Several caches in turn, so that decode steps read memory.
  int64_t num_pages = (context + tokens + op::kPageTokens - 1) / op::kPageTokens;
  int64_t page_bytes = op::KvCache::bytes_of_page(dtype, heads.num_kv_heads, heads.head_dim);
  int64_t cache_bytes = num_pages * page_bytes;
  int64_t copies = std::clamp<int64_t>((96 << 20) / cache_bytes + 1, 1, 64);
  device::Memory cache_memory = device.allocate(copies * cache_bytes).value();
  device::Memory q_memory = device.allocate(tokens * heads.num_heads * heads.head_dim * 4).value(),
                 y_memory = device.allocate(q_memory.bytes()).value(),
                 workspace =
                     device.allocate(kernel->workspace_bytes(tokens, tokens, tokens)).value();
  auto fill = [&](const device::Memory& memory) {
    uint32_t random = 1;
    for (int64_t i = 0; i < memory.bytes() / tensor::dtype_bytes(dtype); ++i) {
      random = random * 1664525u + 1013904223u;
      float value = static_cast<float>(random >> 8) * 0x1p-23f - 1.0f;
      if (dtype == DType::kBF16)
        static_cast<uint16_t*>(memory.data())[i] = tensor::float_to_bf16(value);
      else
        static_cast<float*>(memory.data())[i] = value;
    }
  };
  fill(cache_memory);
  fill(q_memory);
  std::vector<int32_t> pages(static_cast<size_t>(num_pages));
  for (size_t i = 0; i < pages.size(); ++i)
    pages[i] = static_cast<int32_t>(i * 7 % pages.size());  // Out of order, as pools become.
  op::SequenceSpan sequence{.num_tokens = static_cast<int32_t>(tokens),
                            .context = static_cast<int32_t>(context),
                            .pages = pages};
  TensorView q{dtype, {tokens, heads.num_heads * heads.head_dim}, q_memory.data()}, y = q;
  y.data = y_memory.data();
  double visible = static_cast<double>(tokens) * static_cast<double>(context) +
                   0.5 * static_cast<double>(tokens * (tokens + 1));
  double flops = 4.0 * visible * static_cast<double>(heads.num_heads * heads.head_dim);
  double bytes = 2.0 * static_cast<double>((context + tokens) * heads.num_kv_heads *
                                           heads.head_dim * tensor::dtype_bytes(dtype));
  report_fastest(state, bytes, flops, [&](int64_t run) {
    op::KvCache cache{
        .dtype = dtype,
        .num_kv_heads = static_cast<int32_t>(heads.num_kv_heads),
        .head_dim = static_cast<int32_t>(heads.head_dim),
        .page_bytes = page_bytes,
        .data = static_cast<std::byte*>(cache_memory.data()) + run % copies * cache_bytes};
    op::BatchView batch{std::span(&sequence, 1), std::span(&cache, 1)};
    kernel->run({.inputs = std::span(&q, 1),
                 .outputs = std::span(&y, 1),
                 .batch = &batch,
                 .workspace = workspace.data()});
  });
}

[[maybe_unused]] const int kRegistered = [] {
  struct Step {
    int64_t tokens, context;
  };
  for (DType dtype : {DType::kBF16, DType::kF32}) {
    for (const Heads& heads : kHeads) {
      for (Step step : {Step{1, 512},
                        Step{1, 2048},
                        Step{1, 8192},
                        Step{1, 32768},
                        Step{128, 0},
                        Step{512, 0},
                        Step{512, 2048},
                        Step{512, 8192}}) {
        for (int64_t rows :
             step.tokens > 1 ? std::vector<int64_t>{32, 48, 64} : std::vector<int64_t>{64}) {
          std::string name = fmt::format("attend/{}/{}/{}+{}/{}",
                                         tensor::dtype_name(dtype),
                                         heads.name,
                                         step.context,
                                         step.tokens,
                                         rows);
          benchmark::RegisterBenchmark(
              name.c_str(),
              [=](benchmark::State& state) {
                bench_attend(
                    state, heads, dtype, step.tokens, step.context, Json{{"block_rows", rows}});
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
