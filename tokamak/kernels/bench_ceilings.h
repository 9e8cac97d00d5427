// SPDX-License-Identifier: Apache-2.0
// What the processor at hand can do at best, measured by loops that do nothing else: the floors
// that the benches compare with. Used by benches only.
//
// All times are minima over many short bursts, so that other programs on the machine count little.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include <benchmark/benchmark.h>

#include "tokamak/device/cpu/isa.h"
#include "tokamak/device/device.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tokamak::kernels::bench {

/// Threads: the environment variable TOKAMAK_BENCH_THREADS, else all processors.
inline device::Device& bench_device() {
  static std::shared_ptr<device::Device> device = [] {
    const char* threads = std::getenv("TOKAMAK_BENCH_THREADS");
    return device::open_device(Target::kCpu, threads ? std::atoi(threads) : 0).value();
  }();
  return *device;
}

/// Of the clock, or with one thread of that thread's processor time: what other programs take does
/// not count.
template <class F>
double seconds(F&& f) {
  bool alone = bench_device().pool().num_threads() == 1;
  auto now = [alone] {
    timespec t;
    clock_gettime(alone ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
  };
  double begin = now();
  f();
  return now() - begin;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) inline uint64_t read_all(const std::byte* from, int64_t bytes) {
  __m256i sums[8] = {};
  for (int64_t i = 0; i < bytes; i += 256) {
    for (int j = 0; j < 8; ++j) {
      auto* at = reinterpret_cast<const __m256i*>(from + i + j * 32);
      sums[j] = _mm256_add_epi64(sums[j], _mm256_loadu_si256(at));
    }
  }
  for (int j = 1; j < 8; ++j) sums[0] = _mm256_add_epi64(sums[0], sums[j]);
  return static_cast<uint64_t>(_mm256_extract_epi64(sums[0], 0));
}

constexpr int kChains = 12;  // Independent sums, enough to cover the latency of one.
__attribute__((target("avx512f,avx512bf16"))) inline void bf16_products(int64_t rounds) {
  // Named registers: the compiler keeps an array of them in memory, and then measures that.
  __m512 u = _mm512_setzero_ps(), a = u, b = u, c = u, d = u, e = u, f = u, g = u, h = u, i = u,
         j = u, k = u, l = u;
  for (int64_t round = 0; round < rounds; ++round) {
    asm volatile(
        "vdpbf16ps %12, %12, %0\n vdpbf16ps %12, %12, %1\n vdpbf16ps %12, %12, %2\n"
        "vdpbf16ps %12, %12, %3\n vdpbf16ps %12, %12, %4\n vdpbf16ps %12, %12, %5\n"
        "vdpbf16ps %12, %12, %6\n vdpbf16ps %12, %12, %7\n vdpbf16ps %12, %12, %8\n"
        "vdpbf16ps %12, %12, %9\n vdpbf16ps %12, %12, %10\n vdpbf16ps %12, %12, %11\n"
        : "+v"(a),
          "+v"(b),
          "+v"(c),
          "+v"(d),
          "+v"(e),
          "+v"(f),
          "+v"(g),
          "+v"(h),
          "+v"(i),
          "+v"(j),
          "+v"(k),
          "+v"(l)
        : "v"(u));
  }
}
#else
inline uint64_t read_all(const std::byte* from, int64_t bytes) {
  uint64_t sum = 0;
  for (int64_t i = 0; i < bytes; i += 8) {
    uint64_t word;
    std::memcpy(&word, from + i, 8);
    sum += word;
  }
  return sum;
}
#endif

/// Bytes a second that all threads read together from memory; 0 if not measured.
inline double read_ceiling() {
  static const double best = [] {
    device::Device& device = bench_device();
    constexpr int64_t kChunk = 1 << 20, kChunks = 512, kBurst = 8;
    device::Memory memory = device.allocate(kChunk * kChunks).value();
    auto* data = static_cast<std::byte*>(memory.data());
    std::memset(data, 1, kChunk * kChunks);
    double fastest = 1e9;
    for (int64_t run = 0; run < 600; ++run) {
      int64_t first = run * kBurst % kChunks;
      fastest =
          std::min(fastest, seconds([&] {
                     device.pool().parallel_for(kBurst, [&](int64_t i, int) {
                       benchmark::DoNotOptimize(read_all(data + (first + i) * kChunk, kChunk));
                     });
                   }));
    }
    return static_cast<double>(kChunk * kBurst) / fastest;
  }();
  return best;
}

/// Operations a second of bf16 products with f32 sums on all threads; 0 where the processor has no
/// instruction for them.
inline double bf16_ceiling() {
  static const double best = [] {
#if defined(__x86_64__)
    if (!device::cpu_info().avx512_bf16) return 0.0;
    device::Device& device = bench_device();
    constexpr int64_t kRounds = 20'000;
    int64_t threads = device.pool().num_threads();
    double fastest = 1e9;
    for (int run = 0; run < 400; ++run) {
      fastest = std::min(fastest, seconds([&] {
                           device.pool().parallel_for(
                               threads, [&](int64_t, int) { bf16_products(kRounds); });
                         }));
    }
    return static_cast<double>(threads * kRounds * kChains) * 64 / fastest;
#else
    return 0.0;
#endif
  }();
  return best;
}

/// Runs f until the benchmark has enough and reports by the fastest run: us, GB/s, GFLOP/s and
/// their shares of the ceilings.
template <class F>
void report_fastest(benchmark::State& state, double bytes, double flops, F&& f) {
  double read = read_ceiling(), peak = bf16_ceiling(), fastest = 1e9;
  int64_t run = 0;
  f(run++);
  for (auto _ : state) {
    double s = seconds([&] { f(run++); });
    fastest = std::min(fastest, s);
    state.SetIterationTime(s);
  }
  state.counters["us"] = fastest * 1e6;
  state.counters["GB/s"] = bytes / fastest * 1e-9;
  state.counters["GFLOP/s"] = flops / fastest * 1e-9;
  state.counters["read%"] = 100 * bytes / fastest / read;
  if (peak > 0) state.counters["peak%"] = 100 * flops / fastest / peak;
  double floor = std::max(bytes / read, peak > 0 ? flops / peak : 0.0);
  state.counters["floor%"] = 100 * floor / fastest;
}

}  // namespace tokamak::kernels::bench
