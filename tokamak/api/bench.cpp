// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/bench.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <limits>
#include <mutex>
#include <random>
#include <thread>

#include <sys/resource.h>

#include "tokamak/api/sequence_runner.h"

namespace tokamak::api {
namespace {

/// Of a step, on any device.
constexpr int64_t kLeastDefaultRows = 512;

using SteadyClock = std::chrono::steady_clock;

double milliseconds_since(SteadyClock::time_point begin) {
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - begin).count();
}

std::vector<int32_t> random_tokens(int64_t count, int64_t vocab, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int32_t> token(0, static_cast<int32_t>(vocab - 1));
  std::vector<int32_t> out(static_cast<size_t>(count));
  for (int32_t& id : out) id = token(random);
  return out;
}

/// Weights that a decode step reads whole, and the keys and values of `context` tokens for each of
/// `batch` sequences.
int64_t decode_step_bytes(const engine::Plan& plan, int64_t batch, int64_t context) {
  std::vector<bool> streamed(plan.values.size(), false);
  for (const engine::PlanStep& step : plan.steps) {
    if (step.op == "embedding") continue;  // Some rows of it, not all.
    for (int32_t input : step.inputs) streamed[static_cast<size_t>(input)] = true;
  }
  int64_t bytes = batch * context * plan.kv.page_bytes() * plan.kv.num_layers / op::kPageTokens;
  for (const engine::PlanWeight& weight : plan.weights)
    bytes += streamed[static_cast<size_t>(weight.value)] ? weight.bytes : 0;
  return bytes;
}

struct Run {
  double ttft_ms = 0, tpot_ms = 0;
};

Result<Run> run_once(SequenceRunner& runner,
                     int64_t vocab,
                     const LatencyOptions& options,
                     uint64_t seed) {
  Run run;
  runner.reset();
  std::vector<int32_t> next(static_cast<size_t>(options.batch));
  std::vector<int32_t> prompt = random_tokens(options.batch * options.input_len, vocab, seed);
  auto begin = SteadyClock::now();
  TKM_RETURN_IF_ERROR(runner.append_greedy(prompt, next));
  run.ttft_ms = milliseconds_since(begin);
  begin = SteadyClock::now();
  TKM_RETURN_IF_ERROR(runner.decode_greedy(options.output_len - 1, next));
  run.tpot_ms = options.output_len > 1
                    ? milliseconds_since(begin) / static_cast<double>(options.output_len - 1)
                    : 0;
  return run;
}

}  // namespace

int64_t peak_resident_bytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

double measure_read_bandwidth(device::Device& device) {
  if (double known = device.read_bandwidth(); known > 0) return known;
  constexpr int64_t kBytes = 512 << 20, kBlock = 4 << 20;
  device::Memory memory = device.allocate(kBytes).value();
  std::memset(memory.data(), 1, static_cast<size_t>(kBytes));
  std::atomic<uint64_t> sink{0};
  double best = std::numeric_limits<double>::infinity();
  for (int run = 0; run < 5; ++run) {
    auto begin = SteadyClock::now();
    device.pool().parallel_for(kBytes / kBlock, [&](int64_t block, int) {
      const auto* words = reinterpret_cast<const uint64_t*>(
          static_cast<const std::byte*>(memory.data()) + block * kBlock);
      uint64_t sums[16] = {};
      for (int64_t i = 0; i < kBlock / 8; i += 16) {
        for (int64_t j = 0; j < 16; ++j) sums[j] += words[i + j];
      }
      for (uint64_t sum : sums) sink += sum;
    });
    best = std::min(best, milliseconds_since(begin));
  }
  return static_cast<double>(kBytes) / best * 1000;
}

Result<LatencyReport> bench_latency(const engine::Engine& engine,
                                    std::shared_ptr<device::Device> device,
                                    const LatencyOptions& options,
                                    const base::Progress& progress) {
  if (options.input_len < 1 || options.output_len < 1 || options.batch < 1 || options.repeats < 1) {
    return base::invalid(
        fmt::format("input_len {}, output_len {}, batch {} and repeats {} must be positive",
                    options.input_len,
                    options.output_len,
                    options.batch,
                    options.repeats));
  }
  int64_t length = options.input_len + options.output_len;
  if (length > engine.plan.max_positions)
    return base::invalid(
        fmt::format("input_len {} + output_len {} are more than the model's {} positions",
                    options.input_len,
                    options.output_len,
                    engine.plan.max_positions));
  int64_t pages = (length + op::kPageTokens - 1) / op::kPageTokens;
  runtime::SessionOptions session_options{
      .max_step_tokens = options.max_step_tokens || options.batch > kLeastDefaultRows
                             ? std::max(options.max_step_tokens, options.batch)
                             : 0,
      .max_sequences = options.batch,
      .kv_tokens = options.batch * pages * op::kPageTokens};
  LatencyReport report;
  report.read_bandwidth = measure_read_bandwidth(*device);
  TKM_ASSIGN(runtime::SessionPlan planned, runtime::plan_session(engine, *device, session_options));
  report.planned_bytes = planned.memory.total_bytes();
  if (!device->host_accessible())
    report.predicted_device_bytes = planned.in_use_bytes + report.planned_bytes;
  TKM_ASSIGN(auto session, runtime::open_session(engine, device, session_options, progress));
  TKM_ASSIGN(SequenceRunner runner, SequenceRunner::make(*session, options.batch, length));
  Run best{std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  for (int i = 0; i < options.repeats; ++i) {
    TKM_ASSIGN(Run run,
               run_once(runner, engine.plan.vocab_size, options, static_cast<uint64_t>(i)));
    best = {std::min(best.ttft_ms, run.ttft_ms), std::min(best.tpot_ms, run.tpot_ms)};
    base::report(progress, "measuring", i + 1, options.repeats);
  }
  report.ttft_ms = best.ttft_ms;
  report.tpot_ms = best.tpot_ms;
  report.prefill_tokens_per_second =
      static_cast<double>(options.batch * options.input_len) / best.ttft_ms * 1000;
  report.decode_tokens_per_second =
      best.tpot_ms > 0 ? static_cast<double>(options.batch) / best.tpot_ms * 1000 : 0;
  report.step_bytes =
      decode_step_bytes(engine.plan, options.batch, options.input_len + options.output_len / 2);
  report.peak_bytes = peak_resident_bytes();
  if (!device->host_accessible())
    report.device_bytes = device->total_bytes() - device->free_bytes();
  // Once more: other work on the machine may have slowed the first measurement.
  report.read_bandwidth = std::max(report.read_bandwidth, measure_read_bandwidth(*device));
  report.floor_ms = static_cast<double>(report.step_bytes) / report.read_bandwidth * 1000;
  return report;
}

Result<KernelsReport> bench_kernels(const engine::Engine& engine,
                                    std::shared_ptr<device::Device> device,
                                    int64_t batch,
                                    int64_t context,
                                    const base::Progress& progress) {
  if (batch < 1) return base::invalid(fmt::format("batch is {}, must be at least 1", batch));
  if (context < 0 || context >= engine.plan.max_positions)
    return base::invalid(
        fmt::format("context is {}, must be in [0, {}): the model has {} positions",
                    context,
                    engine.plan.max_positions,
                    engine.plan.max_positions));
  int64_t pages = context / op::kPageTokens + 1;
  runtime::SessionOptions options{.max_step_tokens = std::max(kLeastDefaultRows, batch),
                                  .max_sequences = batch,
                                  .kv_tokens = batch * pages * op::kPageTokens};
  KernelsReport report;
  report.read_bandwidth = measure_read_bandwidth(*device);
  TKM_ASSIGN(auto session, runtime::open_session(engine, device, options, progress));
  TKM_ASSIGN(report.kernels, session->time_kernels(batch, context));
  return report;
}

Percentiles percentiles(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  auto at = [&](double share) {
    return values[std::min(values.size() - 1,
                           static_cast<size_t>(share * static_cast<double>(values.size())))];
  };
  return {at(0.5), at(0.9), at(0.99), values.back()};
}

Result<ThroughputReport> bench_throughput(Llm& llm,
                                          const ThroughputOptions& options,
                                          const base::Progress& progress) {
  for (const auto& [name, value] : {std::pair("requests", options.requests),
                                    std::pair("concurrency", options.concurrency),
                                    std::pair("input_len", options.input_len),
                                    std::pair("output_len", options.output_len)}) {
    if (value < 1) return base::invalid(fmt::format("{} is {}, must be at least 1", name, value));
  }
  if (!(options.vary >= 0 && options.vary < 1))
    return base::invalid(fmt::format("vary is {}, must be in [0, 1)", options.vary));
  if (options.shared_prefix < 0 || options.shared_prefix > options.input_len)
    return base::invalid(fmt::format("shared_prefix is {}, must be in [0, {}], the input_len",
                                     options.shared_prefix,
                                     options.input_len));
  int64_t vocab = llm.session_info().vocab_size;
  std::vector<int32_t> prefix = random_tokens(options.shared_prefix, vocab, 1);
  std::mt19937_64 random(2);
  auto length = [&](int64_t longest) {
    int64_t shortest = std::max<int64_t>(
        1, static_cast<int64_t>(static_cast<double>(longest) * (1 - options.vary)));
    return std::uniform_int_distribution<int64_t>(shortest, longest)(random);
  };
  struct Job {
    std::vector<int32_t> prompt;
    int64_t output_len;
  };
  std::vector<Job> jobs;
  for (int64_t i = 0; i < options.requests; ++i) {
    Job job{random_tokens(length(options.input_len), vocab, static_cast<uint64_t>(i) + 100),
            length(options.output_len)};
    std::copy_n(prefix.begin(), std::min(prefix.size(), job.prompt.size()), job.prompt.begin());
    jobs.push_back(std::move(job));
  }

  ThroughputReport report;
  std::mutex mutex;
  std::vector<double> ttft, tpot, e2e;
  std::optional<Error> error;
  std::atomic<int64_t> next{0}, done{0};
  auto client = [&] {
    for (int64_t i; (i = next++) < options.requests;) {
      const Job& job = jobs[static_cast<size_t>(i)];
      executor::Request request{.prompt = job.prompt};
      request.sampling.temperature = 0;
      request.sampling.ignore_eos = true;
      request.sampling.max_tokens = job.output_len;
      auto stream = llm.submit(std::move(request));
      std::optional<executor::Finish> finish;
      if (stream.ok()) {
        while (auto response = (*stream)->next()) finish = response->finish;
      }
      std::lock_guard lock(mutex);
      if (!stream.ok() || finish->error) {
        if (!error) error = stream.ok() ? *finish->error : stream.error();
        return;
      }
      const executor::Timing& t = finish->timing;
      auto ms = [](auto from, auto to) {
        return std::chrono::duration<double, std::milli>(to - from).count();
      };
      ttft.push_back(ms(t.arrival, *t.first_token));
      e2e.push_back(ms(t.arrival, t.finish));
      if (finish->usage.completion_tokens > 1)
        tpot.push_back(ms(*t.first_token, *t.last_token) /
                       static_cast<double>(finish->usage.completion_tokens - 1));
      report.prompt_tokens += finish->usage.prompt_tokens;
      report.output_tokens += finish->usage.completion_tokens;
      base::report(progress, "measuring", ++done, options.requests);
    }
  };
  auto begin = SteadyClock::now();
  std::vector<std::thread> clients;
  for (int64_t i = 0; i < std::min(options.concurrency, options.requests); ++i)
    clients.emplace_back(client);
  for (std::thread& thread : clients) thread.join();
  if (error) return *error;
  report.seconds = milliseconds_since(begin) / 1000;
  report.requests_per_second = static_cast<double>(options.requests) / report.seconds;
  report.output_tokens_per_second = static_cast<double>(report.output_tokens) / report.seconds;
  report.total_tokens_per_second =
      static_cast<double>(report.prompt_tokens + report.output_tokens) / report.seconds;
  report.ttft_ms = percentiles(std::move(ttft));
  report.tpot_ms = percentiles(std::move(tpot));
  report.e2e_ms = percentiles(std::move(e2e));
  report.preemptions = llm.stats().preemptions;
  report.peak_bytes = peak_resident_bytes();
  return report;
}

}  // namespace tokamak::api
