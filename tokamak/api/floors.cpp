// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/floors.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "tokamak/api/bench.h"
#include "tokamak/compiler/floor.h"
#include "tokamak/device/cpu/isa.h"
#include "tokamak/runtime/step_kernels.h"

namespace tokamak::api {
namespace {

/// By a chain of additions, of which a cycle does one.
double measure_clock_hertz() {
  constexpr int64_t kAdditions = 8'000'000;
  using Clock = std::chrono::steady_clock;
  double best = 0;
  for (int run = 0; run < 5; ++run) {
    // Not a constant: recent cores add those to a register several times a cycle, by renaming.
    uint64_t sum = 0, addend = 3;
    asm volatile("" : "+r"(addend));
    auto begin = Clock::now();
    for (int64_t i = 0; i < kAdditions / 8; ++i) {
      for (int unrolled = 0; unrolled < 8; ++unrolled) {
        sum += addend;
        asm volatile("" : "+r"(sum));  // One by one.
      }
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    best = std::max(best, static_cast<double>(kAdditions) / seconds);
  }
  return best;
}

/// Of one core: two units that multiply and add as many numbers as a register holds.
double flops_per_cycle(DType dtype) {
  const device::CpuInfo& cpu = device::cpu_info();
  if (cpu.avx512_bf16 && dtype == DType::kBF16) return 128;
  return cpu.avx512 ? 64 : cpu.avx2 ? 32 : 16;
}

}  // namespace

DeviceRates measure_rates(device::Device& device, DType dtype) {
  DeviceRates rates{.read_bandwidth = measure_read_bandwidth(device),
                    .peak_flops = device.peak_flops(dtype)};
  if (rates.peak_flops <= 0)
    rates.peak_flops = measure_clock_hertz() * flops_per_cycle(dtype) * device.pool().num_threads();
  return rates;
}

Result<void> add_floors(engine::Plan& plan, DeviceRates rates, const device::Device& device) {
  struct Open {
    engine::PlanChoice* choice;
    compiler::StepWork work;
  };
  std::vector<Open> open;
  for (engine::PlanStep& step : plan.steps) {
    TKM_ASSIGN(kernels::KernelDesc desc, runtime::step_desc(plan, step));
    for (engine::PlanChoice& choice : step.choices) {
      if (choice.us <= 0 || choice.floor_us > 0) continue;
      open.push_back({&choice, compiler::step_work(desc, choice.max_tokens, device)});
      const double per_second = 1e6 / choice.us;
      rates.read_bandwidth =
          std::max(rates.read_bandwidth, static_cast<double>(open.back().work.bytes) * per_second);
      rates.peak_flops = std::max(rates.peak_flops, open.back().work.flops * per_second);
    }
  }
  for (const Open& one : open)
    one.choice->floor_us = compiler::floor_us(one.work, rates.read_bandwidth, rates.peak_flops);
  return {};
}

}  // namespace tokamak::api
