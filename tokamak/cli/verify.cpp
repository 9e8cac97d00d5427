// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/verify.h"

#include "tokamak/cli/command.h"
#include "tokamak/engine/engine.h"

namespace tokamak::cli {
namespace {

struct VerifyFlags {
  ModelOptions model;
  std::string golden;
  bool weights = false;
  double tolerance = 0;
  bool json = false;
};

std::string report_text(const api::VerifyReport& report) {
  std::string out;
  for (const api::PromptCheck& check : report.prompts) {
    out += fmt::format("{:<10} {:>5} tokens  relative error {:.3e}  worst {:.3e} at position {}",
                       check.name,
                       check.num_tokens,
                       check.relative_error,
                       check.worst_error,
                       check.worst_position);
    if (check.generated)
      out += fmt::format("  greedy {}/{}", check.generated_equal, check.generated);
    if (check.generated_equal < check.generated)
      out += fmt::format(" (then a top-2 gap of {:.4f})", check.gap_at_difference);
    out += "\n";
  }
  return out + fmt::format("{}: tolerance {:.0e}\n",
                           report.passed() ? "passed" : "FAILED",
                           report.tolerance);
}

Json report_json(const api::VerifyReport& report) {
  Json prompts = Json::array();
  for (const api::PromptCheck& check : report.prompts) {
    prompts.push_back({{"name", check.name},
                       {"num_tokens", check.num_tokens},
                       {"relative_error", check.relative_error},
                       {"worst_position", check.worst_position},
                       {"worst_error", check.worst_error},
                       {"generated", check.generated},
                       {"generated_equal", check.generated_equal},
                       {"gap_at_difference", check.gap_at_difference}});
  }
  return {{"passed", report.passed()},
          {"tolerance", report.tolerance},
          {"prompts", std::move(prompts)}};
}

std::string report_text(const api::WeightsReport& report) {
  std::string out;
  for (const std::string& problem : report.problems) out += problem + "\n";
  return out + fmt::format("weights: {} of {} tensors are as they were, {} read at {:.1f} GB/s\n",
                           report.tensors - std::ssize(report.problems),
                           report.tensors,
                           engine::bytes_text(report.bytes),
                           static_cast<double>(report.bytes) / 1e9 / report.seconds);
}

Json report_json(const api::WeightsReport& report) {
  return {{"tensors", report.tensors},
          {"bytes", report.bytes},
          {"seconds", report.seconds},
          {"problems", report.problems}};
}

/// Needs no device: the weights are not loaded.
Result<api::WeightsReport> verify_weights(const VerifyFlags& flags) {
  TKM_ASSIGN(engine::Engine engine, engine::read_engine(flags.model.model));
  base::ThreadPool pool(flags.model.threads);
  return api::verify_weights(engine, pool, progress_bar(flags.model.quiet));
}

Result<api::VerifyReport> verify_golden(const VerifyFlags& flags) {
  TKM_ASSIGN(api::BuildOptions build, flags.model.build_options());
  TKM_ASSIGN(auto device, flags.model.open_device(build));
  TKM_ASSIGN(engine::Engine engine, api::open_engine(flags.model.model, *device, build));
  runtime::SessionOptions options{.max_step_tokens = 64, .max_step_rows = 64, .max_sequences = 1};
  TKM_ASSIGN(auto session, runtime::open_session(engine, device, options, build.progress));
  double tolerance =
      flags.tolerance > 0 ? flags.tolerance : api::verify_tolerance(engine.manifest.dtype);
  return api::verify(*session, flags.golden, tolerance);
}

Result<int> run_verify(const VerifyFlags& flags) {
  if (flags.golden.empty() && !flags.weights)
    return base::invalid("verify: neither --golden nor --weights says what to compare");
  bool passed = true;
  Json json = Json::object();
  std::string text;
  if (flags.weights) {
    TKM_ASSIGN(api::WeightsReport report, verify_weights(flags));
    passed = report.problems.empty();
    json["weights"] = report_json(report);
    text += report_text(report);
  }
  if (!flags.golden.empty()) {
    TKM_ASSIGN(api::VerifyReport report, verify_golden(flags));
    passed = passed && report.passed();
    json.update(report_json(report));
    text += report_text(report);
  }
  json["passed"] = passed;
  print(flags.json ? json.dump(1) + "\n" : text);
  return passed ? 0 : 1;
}

}  // namespace

void add_verify(CLI::App& app) {
  auto flags = std::make_shared<VerifyFlags>();
  CLI::App* verb = add_verb(
      app,
      "verify",
      "Compare an engine's logits and greedy tokens with a reference file, or its weights with "
      "what it was built from",
      [flags] { return run_verify(*flags); });
  flags->model.add_to(*verb);
  verb->add_option("--golden",
                   flags->golden,
                   "safetensors file with promptN.input_ids i32[n], promptN.logits f32[n, vocab] "
                   "and, optionally, promptN.generated i32[m], N = 0, 1, …");
  verb->add_flag("--weights",
                 flags->weights,
                 "Read all weights of an engine folder and compare them with the hashes that it "
                 "keeps of them; names each tensor that differs");
  verb->add_option("--tolerance",
                   flags->tolerance,
                   "Largest relative error of the logits; 0: 1e-4 for float32, 2e-2 for bfloat16")
      ->capture_default_str();
  verb->add_flag("--json", flags->json, "Print the report as JSON");
  verb->footer(
      "Exit status 0 if every prompt is within the tolerance and all weights are as they were, 1 "
      "if one is not.");
  add_examples(*verb,
               {"tokamak verify models/storyteller --golden golden.safetensors",
                "tokamak verify ENGINE --weights"});
}

}  // namespace tokamak::cli
