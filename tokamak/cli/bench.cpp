// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/bench.h"

#include <algorithm>

#include "tokamak/cli/command.h"

namespace tokamak::cli {
namespace {

struct LatencyFlags {
  ModelOptions model;
  api::LatencyOptions options;
  bool json = false;
};

struct ThroughputFlags {
  ModelOptions model;
  SessionFlags session;
  api::ThroughputOptions options;
  bool overlap = true, json = false;
};

constexpr int64_t kUsualContext = 1024;

struct KernelsFlags {
  ModelOptions model;
  int64_t batch = 1;
  std::optional<int64_t> context;
  bool json = false;
};

double gigabytes(double bytes) {
  return bytes / 1e9;
}

Result<int> run_latency(const LatencyFlags& flags) {
  TKM_ASSIGN(api::BuildOptions build, flags.model.build_options());
  TKM_ASSIGN(auto device, flags.model.open_device(build));
  auto begin = std::chrono::steady_clock::now();
  TKM_ASSIGN(engine::Engine engine, api::open_engine(flags.model.model, *device, build));
  double open_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  TKM_ASSIGN(api::LatencyReport r,
             api::bench_latency(engine, device, flags.options, build.progress));
  double share = r.tpot_ms > 0 ? r.floor_ms / r.tpot_ms : 0;
  if (flags.json) {
    Json json = {{"model", engine.manifest.model_name},
                 {"dtype", tensor::dtype_name(engine.manifest.dtype)},
                 {"device", device->fingerprint()},
                 {"batch", flags.options.batch},
                 {"input_len", flags.options.input_len},
                 {"output_len", flags.options.output_len},
                 {"ttft_ms", r.ttft_ms},
                 {"tpot_ms", r.tpot_ms},
                 {"prefill_tokens_per_second", r.prefill_tokens_per_second},
                 {"decode_tokens_per_second", r.decode_tokens_per_second},
                 {"step_bytes", r.step_bytes},
                 {"read_bandwidth", r.read_bandwidth},
                 {"floor_ms", r.floor_ms},
                 {"share_of_floor", share},
                 {"planned_bytes", r.planned_bytes},
                 {"peak_bytes", r.peak_bytes},
                 {"predicted_device_bytes", r.predicted_device_bytes},
                 {"device_bytes", r.device_bytes},
                 {"engine_seconds", open_seconds}};
    print(json.dump(1) + "\n");
    return 0;
  }
  print(fmt::format(
      "{} {} on {}\nbatch {}, {} in, {} out (random tokens, greedy, end tokens ignored)\n",
      engine.manifest.model_name,
      tensor::dtype_name(engine.manifest.dtype),
      device->fingerprint(),
      flags.options.batch,
      flags.options.input_len,
      flags.options.output_len));
  print(fmt::format("  TTFT    {:10.2f} ms   {:10.1f} prompt tokens/s\n",
                    r.ttft_ms,
                    r.prefill_tokens_per_second));
  print(fmt::format(
      "  TPOT    {:10.2f} ms   {:10.1f} tokens/s\n", r.tpot_ms, r.decode_tokens_per_second));
  print(fmt::format(
      "  floor   {:10.2f} ms   {:.3f} GB a step at {:.1f} GB/s read: {:.0f} % of it reached\n",
      r.floor_ms,
      gigabytes(static_cast<double>(r.step_bytes)),
      gigabytes(r.read_bandwidth),
      share * 100));
  print(fmt::format("  memory  {} planned, {} peak resident\n",
                    engine::bytes_text(r.planned_bytes),
                    engine::bytes_text(r.peak_bytes)));
  if (r.device_bytes > 0) {
    print(fmt::format(
        "  device  {} in use: {} driver and kernels before loading, {} planned, {} captured decode "
        "steps and the rest\n",
        engine::bytes_text(r.device_bytes),
        engine::bytes_text(r.predicted_device_bytes - r.planned_bytes),
        engine::bytes_text(r.planned_bytes),
        engine::bytes_text(std::max<int64_t>(0, r.device_bytes - r.predicted_device_bytes))));
  }
  return 0;
}

Result<int> run_kernels(const KernelsFlags& flags) {
  TKM_ASSIGN(api::BuildOptions build, flags.model.build_options());
  TKM_ASSIGN(auto device, flags.model.open_device(build));
  TKM_ASSIGN(engine::Engine engine, api::open_engine(flags.model.model, *device, build));
  const int64_t context =
      flags.context.value_or(std::min(kUsualContext, engine.plan.max_positions - 1));
  TKM_ASSIGN(api::KernelsReport r,
             api::bench_kernels(engine, device, flags.batch, context, build.progress));
  Json json = Json::array();
  double total_us = 0, total_floor = 0;
  if (!flags.json)
    print(fmt::format("{:>9} {:>5} {:>8} {:>7}  {}\n", "us", "count", "GB/s", "floor", "kernel"));
  for (const runtime::KernelTime& kernel : r.kernels) {
    double floor_us = static_cast<double>(kernel.bytes) / r.read_bandwidth * 1e6;
    double rate = static_cast<double>(kernel.bytes) / kernel.us * 1e6;
    total_us += kernel.us;
    total_floor += floor_us;
    json.push_back({{"op", kernel.op},
                    {"tactic", kernel.tactic},
                    {"count", kernel.count},
                    {"us", kernel.us},
                    {"bytes", kernel.bytes},
                    {"share_of_floor", floor_us / kernel.us}});
    if (!flags.json)
      print(fmt::format("{:9.1f} {:5} {:8.0f} {:5.0f} %  {}: {}\n",
                        kernel.us,
                        kernel.count,
                        gigabytes(rate),
                        floor_us / kernel.us * 100,
                        kernel.op,
                        kernel.tactic));
  }
  print(flags.json ? json.dump(1) + "\n"
                   : fmt::format("{:9.1f} in all, floor {:.1f}: {:.0f} %\n",
                                 total_us,
                                 total_floor,
                                 total_floor / total_us * 100));
  return 0;
}

Json percentile_json(const api::Percentiles& p) {
  return {{"p50", p.p50}, {"p90", p.p90}, {"p99", p.p99}, {"max", p.max}};
}

std::string percentile_line(std::string_view name, const api::Percentiles& p) {
  return fmt::format("  {:<6} p50 {:9.2f} ms  p90 {:9.2f} ms  p99 {:9.2f} ms  max {:9.2f} ms\n",
                     name,
                     p.p50,
                     p.p90,
                     p.p99,
                     p.max);
}

Result<int> run_throughput(const ThroughputFlags& flags) {
  api::OpenOptions options;
  TKM_ASSIGN(options.build, flags.model.build_options());
  options.session = flags.session.options;
  options.executor.max_queue = std::max<int64_t>(1024, flags.options.concurrency);
  options.executor.overlap = flags.overlap;
  TKM_ASSIGN(std::unique_ptr<api::Llm> llm, api::Llm::open(flags.model.model, options));
  TKM_ASSIGN(api::ThroughputReport r,
             api::bench_throughput(*llm, flags.options, options.build.progress));
  if (flags.json) {
    Json json = {{"model", llm->manifest().model_name},
                 {"dtype", tensor::dtype_name(llm->manifest().dtype)},
                 {"device", llm->manifest().fingerprint},
                 {"requests", flags.options.requests},
                 {"concurrency", flags.options.concurrency},
                 {"input_len", flags.options.input_len},
                 {"output_len", flags.options.output_len},
                 {"seconds", r.seconds},
                 {"prompt_tokens", r.prompt_tokens},
                 {"output_tokens", r.output_tokens},
                 {"requests_per_second", r.requests_per_second},
                 {"output_tokens_per_second", r.output_tokens_per_second},
                 {"total_tokens_per_second", r.total_tokens_per_second},
                 {"ttft_ms", percentile_json(r.ttft_ms)},
                 {"tpot_ms", percentile_json(r.tpot_ms)},
                 {"e2e_ms", percentile_json(r.e2e_ms)},
                 {"preemptions", r.preemptions},
                 {"peak_bytes", r.peak_bytes}};
    print(json.dump(1) + "\n");
    return 0;
  }
  print(fmt::format("{} {}: {} requests, {} at a time, {} in, {} out\n",
                    llm->manifest().model_name,
                    tensor::dtype_name(llm->manifest().dtype),
                    flags.options.requests,
                    flags.options.concurrency,
                    flags.options.input_len,
                    flags.options.output_len));
  print(
      fmt::format("  {:.2f} s, {:.2f} requests/s, {:.1f} output tokens/s, {:.1f} tokens/s in all, "
                  "{} preemptions, {} peak resident\n",
                  r.seconds,
                  r.requests_per_second,
                  r.output_tokens_per_second,
                  r.total_tokens_per_second,
                  r.preemptions,
                  engine::bytes_text(r.peak_bytes)));
  print(percentile_line("TTFT", r.ttft_ms) + percentile_line("TPOT", r.tpot_ms) +
        percentile_line("E2E", r.e2e_ms));
  return 0;
}

}  // namespace

void add_bench(CLI::App& app) {
  CLI::App* bench = app.add_subcommand("bench", "Measure speed");
  bench->require_subcommand(1);
  add_examples(*bench,
               {"tokamak bench latency models/storyteller",
                "tokamak bench serve --url http://127.0.0.1:8000"});
  auto latency = std::make_shared<LatencyFlags>();
  CLI::App* verb = add_verb(
      *bench, "latency", "One batch in lock step: TTFT, TPOT, share of the floor", [latency] {
        return run_latency(*latency);
      });
  latency->model.add_to(*verb);
  verb->add_option("--input-len", latency->options.input_len, "Prompt tokens")
      ->capture_default_str();
  verb->add_option("--output-len", latency->options.output_len, "Generated tokens")
      ->capture_default_str();
  verb->add_option("--batch", latency->options.batch, "Sequences")->capture_default_str();
  verb->add_option("--max-step-tokens",
                   latency->options.max_step_tokens,
                   "Rows of one packed step (prompts are cut into chunks of it); 0: 512 on a CPU, "
                   "2048 on a GPU")
      ->capture_default_str();
  verb->add_option("--repeats", latency->options.repeats, "Runs; the best counts")
      ->capture_default_str();
  verb->add_flag("--json", latency->json, "Print the report as JSON");
  add_examples(*verb, {"tokamak bench latency models/storyteller --input-len 512 --batch 4"});

  auto kernels = std::make_shared<KernelsFlags>();
  verb = add_verb(*bench,
                  "kernels",
                  "Where a decode step's time goes: each kind of kernel, its share of the floor",
                  [kernels] { return run_kernels(*kernels); });
  kernels->model.add_to(*verb);
  verb->add_option("--batch", kernels->batch, "Sequences")->capture_default_str();
  verb->add_option(
      "--context",
      kernels->context,
      "Tokens in the cache of each; default: 1024, or what the model can have if less");
  verb->add_flag("--json", kernels->json, "Print the table as JSON");
  add_examples(*verb, {"tokamak bench kernels models/storyteller --batch 8 --context 512"});

  auto throughput = std::make_shared<ThroughputFlags>();
  verb = add_verb(*bench,
                  "throughput",
                  "Many requests with in-flight batching: tokens/s and percentiles",
                  [throughput] { return run_throughput(*throughput); });
  throughput->model.add_to(*verb);
  throughput->session.add_to(*verb);
  verb->add_option("--input-len", throughput->options.input_len, "Prompt tokens")
      ->capture_default_str();
  verb->add_option("--output-len", throughput->options.output_len, "Generated tokens")
      ->capture_default_str();
  verb->add_option("--requests", throughput->options.requests, "Requests in all")
      ->capture_default_str();
  verb->add_option("--concurrency", throughput->options.concurrency, "Requests in flight")
      ->capture_default_str();
  verb->add_option("--shared-prefix",
                   throughput->options.shared_prefix,
                   "Tokens that all prompts begin with")
      ->capture_default_str();
  verb->add_option(
          "--vary", throughput->options.vary, "Lengths are drawn from [len (1 - vary), len]")
      ->capture_default_str();
  add_overlap_flag(*verb, throughput->overlap);
  verb->add_flag("--json", throughput->json, "Print the report as JSON");
  add_examples(*verb,
               {"tokamak bench throughput models/storyteller --requests 200 --concurrency 32"});

  add_bench_serve(*bench);
}

}  // namespace tokamak::cli
