// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/command.h"
#include "tokamak/cli/load/load_run.h"

namespace tokamak::cli {
namespace {

struct ServeFlags {
  LoadOptions options;
  bool stop_at_eos = false;
  bool quiet = false;
  bool json = false;
};

Json spread_json(const Spread& s) {
  return {{"mean", s.mean},
          {"p50", s.p50},
          {"p90", s.p90},
          {"p95", s.p95},
          {"p99", s.p99},
          {"max", s.max}};
}

std::string spread_line(std::string_view name, const Spread& s) {
  return fmt::format(
      "  {:<5} mean {:9.2f} ms  p50 {:9.2f}  p90 {:9.2f}  p95 {:9.2f}  p99 {:9.2f}  max {:9.2f}\n",
      name,
      s.mean,
      s.p50,
      s.p90,
      s.p95,
      s.p99,
      s.max);
}

Json report_json(const LoadOptions& options, const LoadReport& r) {
  Json json = {{"url", options.url},
               {"model", r.model},
               {"prompts_of", r.prompts_of},
               {"seconds", r.seconds},
               {"completed", r.completed},
               {"disconnected", r.disconnected},
               {"refused", r.refused},
               {"errors", Json(r.errors)},
               {"prompt_tokens", r.prompt_tokens},
               {"cached_tokens", r.cached_tokens},
               {"output_tokens", r.output_tokens},
               {"requests_per_second", static_cast<double>(r.completed) / r.seconds},
               {"output_tokens_per_second", static_cast<double>(r.output_tokens) / r.seconds},
               {"ttft_ms", spread_json(r.ttft)},
               {"tpot_ms", spread_json(r.tpot)},
               {"itl_ms", spread_json(r.itl)},
               {"e2e_ms", spread_json(r.e2e)}};
  if (options.goodput_ttft_ms > 0 || options.goodput_tpot_ms > 0)
    json["goodput_per_second"] = static_cast<double>(r.good) / r.seconds;
  return json;
}

std::string report_text(const LoadOptions& options, const LoadReport& r) {
  std::string text = fmt::format(
      "{} at {}: {} requests answered in {:.2f} s, {:.2f} a second\n"
      "  {} prompt tokens ({} from the cache), {} output tokens, {:.1f} output tokens/s\n",
      r.model,
      options.url,
      r.completed,
      r.seconds,
      static_cast<double>(r.completed) / r.seconds,
      r.prompt_tokens,
      r.cached_tokens,
      r.output_tokens,
      static_cast<double>(r.output_tokens) / r.seconds);
  text += spread_line("TTFT", r.ttft) + spread_line("TPOT", r.tpot) + spread_line("ITL", r.itl) +
          spread_line("E2E", r.e2e);
  if (options.goodput_ttft_ms > 0 || options.goodput_tpot_ms > 0)
    text += fmt::format("  goodput {:.2f} requests/s ({} of {})\n",
                        static_cast<double>(r.good) / r.seconds,
                        r.good,
                        r.completed);
  if (r.prompts_of == "words" && !options.words)
    text += "  prompts are words: the server has no /tokenize that says how many tokens they are\n";
  if (r.disconnected || r.refused)
    text += fmt::format("  as meant: {} clients went away, {} malformed requests refused\n",
                        r.disconnected,
                        r.refused);
  for (const auto& [kind, count] : r.errors) text += fmt::format("  error: {} x {}\n", count, kind);
  return text;
}

Result<int> run_serve_bench(ServeFlags flags) {
  flags.options.ignore_eos = !flags.stop_at_eos;
  TKM_ASSIGN(LoadReport report, run_load(flags.options, progress_bar(flags.quiet)));
  print(flags.json ? report_json(flags.options, report).dump(1) + "\n"
                   : report_text(flags.options, report));
  return report.errors.empty() ? 0 : 1;
}

}  // namespace

void add_bench_serve(CLI::App& bench) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* verb = add_verb(
      bench,
      "serve",
      "Load on any OpenAI server through streamed /v1/completions: TTFT, TPOT, ITL, goodput",
      [flags] { return run_serve_bench(*flags); });
  LoadOptions& o = flags->options;
  WorkloadOptions& w = o.workload;
  verb->add_option("--url", o.url, "Where the server is")->capture_default_str();
  verb->add_option("--api-key", o.api_key, "Sent as a bearer token");
  verb->add_option("--model", o.model, "Default: the first of /v1/models");
  auto* trace = verb->add_option("--trace",
                                 w.trace,
                                 "Play this file: CSV with TIMESTAMP,ContextTokens,GeneratedTokens "
                                 "or JSON lines with timestamp, input_length, output_length, "
                                 "hash_ids");
  verb->add_option("--speed", w.speed, "Of the trace's clock")->capture_default_str();
  verb->add_option("--max-len",
                   w.max_len,
                   "Cut a trace's requests, prompt and answer, to this many tokens; 0: not")
      ->capture_default_str();
  verb->add_option(
          "--rate", w.rate, "Requests a second at random (Poisson); 0: as fast as they end")
      ->capture_default_str()
      ->excludes(trace);
  verb->add_option("--concurrency", o.concurrency, "Requests in flight at most")
      ->capture_default_str();
  verb->add_option("--requests", w.requests, "Requests in all; 0: until the duration is over")
      ->capture_default_str();
  verb->add_option("--duration", o.duration, "Seconds after which none begins; 0: no limit")
      ->capture_default_str();
  verb->add_option(
          "--input-len", w.input_len, "Tokens of a prompt, as the server's /tokenize has them")
      ->capture_default_str();
  verb->add_option("--output-len", w.output_len, "Tokens of an answer")->capture_default_str();
  verb->add_option("--vary", w.vary, "Lengths are drawn from [len (1 - vary), len]")
      ->capture_default_str();
  verb->add_option("--shared-prefix", w.shared_prefix, "Tokens that all prompts begin with")
      ->capture_default_str();
  auto* vocab =
      verb->add_option("--vocab",
                       o.vocab,
                       "Prompts are random token ids below this, for servers without a tokenizer");
  vocab->capture_default_str();
  verb->add_flag("--words",
                 o.words,
                 "Prompts are text, which the server must tokenize: lengths count words")
      ->excludes(vocab);
  verb->add_option("--temperature", o.temperature, "Of the sampling")->capture_default_str();
  verb->add_option("--extra-body",
                   o.extra_body,
                   "Fields of every request as a JSON object, such as '{\"logprobs\": 1}'");
  verb->add_flag("--stop-at-eos",
                 flags->stop_at_eos,
                 "Let the model end its answers (otherwise ignore_eos is sent)");
  verb->add_option("--disconnect-share", w.disconnect_share, "Of the clients that go away midway")
      ->capture_default_str();
  verb->add_option("--malformed-share", w.malformed_share, "Of the requests that are malformed")
      ->capture_default_str();
  verb->add_option("--goodput-ttft-ms", o.goodput_ttft_ms, "Count answers that are as fast")
      ->capture_default_str();
  verb->add_option("--goodput-tpot-ms", o.goodput_tpot_ms, "Count answers that are as fast")
      ->capture_default_str();
  verb->add_option("--timeout", o.timeout, "Seconds of one request")->capture_default_str();
  verb->add_option("--seed", w.seed, "Of lengths, times and prompts")->capture_default_str();
  verb->add_flag("--quiet", flags->quiet, "No progress bar");
  verb->add_flag("--json", flags->json, "Print the report as JSON");
  add_examples(*verb,
               {"tokamak bench serve --url http://127.0.0.1:8000 --requests 200 --concurrency 16",
                "tokamak bench serve --trace trace.csv --goodput-ttft-ms 200"});
}

}  // namespace tokamak::cli
