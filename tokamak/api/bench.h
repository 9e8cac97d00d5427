// SPDX-License-Identifier: Apache-2.0
// Speed of an engine: latency of one batch in lock step, throughput of many requests through the
// executor.
#pragma once

#include "tokamak/api/llm.h"

namespace tokamak::api {

struct LatencyOptions {
  int64_t input_len = 128, output_len = 128, batch = 1;
  int64_t max_step_tokens =
      0;            ///< Prompts are computed in chunks of so many rows; 0: the session's default.
  int repeats = 3;  ///< The best of them counts; the first is also a warm-up.
};

struct LatencyReport {
  double ttft_ms = 0;  ///< From the prompt to the logits of its last token, all of the batch.
  double tpot_ms = 0;  ///< Mean time of one decode step.
  double prefill_tokens_per_second = 0;
  double decode_tokens_per_second = 0;  ///< Of the whole batch.
  int64_t step_bytes =
      0;  ///< Weights and keys/values that a decode step must read, at half of the output.
  double read_bandwidth = 0;  ///< Bytes per second that the device's threads read, measured now.
  double floor_ms = 0;        ///< step_bytes / read_bandwidth
  int64_t planned_bytes = 0;  ///< The byte table's sum.
  int64_t peak_bytes = 0;     ///< Largest resident size of the process.
  int64_t predicted_device_bytes = 0;  ///< Of a GPU: what was in use, and planned_bytes.
  int64_t device_bytes = 0;            ///< In use after the run.
};

/// Errors: invalid (lengths that the model does not take), those of opening.
Result<LatencyReport> bench_latency(const engine::Engine& engine,
                                    std::shared_ptr<device::Device> device,
                                    const LatencyOptions& options,
                                    const base::Progress& progress = {});

struct KernelsReport {
  std::vector<runtime::KernelTime> kernels;
  double read_bandwidth = 0;  ///< As LatencyReport's.
};
/// Times a decode step of `batch` sequences of `context` tokens, kind by kind of kernel.
Result<KernelsReport> bench_kernels(const engine::Engine& engine,
                                    std::shared_ptr<device::Device> device,
                                    int64_t batch,
                                    int64_t context,
                                    const base::Progress& progress = {});

struct ThroughputOptions {
  int64_t input_len = 128, output_len = 128;
  int64_t requests = 64, concurrency = 16;
  int64_t shared_prefix = 0;  ///< First tokens that all prompts have in common.
  double vary = 0.0;          ///< Lengths are drawn from [len (1 - vary), len].
};

struct Percentiles {
  double p50 = 0, p90 = 0, p99 = 0, max = 0;
};
Percentiles percentiles(std::vector<double> values);

struct ThroughputReport {
  double seconds = 0;
  int64_t prompt_tokens = 0, output_tokens = 0;
  double requests_per_second = 0, output_tokens_per_second = 0, total_tokens_per_second = 0;
  Percentiles ttft_ms, tpot_ms, e2e_ms;
  int64_t preemptions = 0;
  int64_t peak_bytes = 0;
};

/// Keeps `concurrency` requests of random tokens in flight until `requests` are answered.
Result<ThroughputReport> bench_throughput(Llm& llm,
                                          const ThroughputOptions& options,
                                          const base::Progress& progress = {});

/// Bytes per second that the pool's threads read together from memory (sums over a buffer far
/// larger than the caches).
double measure_read_bandwidth(device::Device& device);

/// Largest resident size of this process so far.
int64_t peak_resident_bytes();

}  // namespace tokamak::api
