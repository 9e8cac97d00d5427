// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/command.h"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "tokamak/base/fields.h"
#include "tokamak/device/cuda/cuda_device.h"

namespace tokamak::cli {
namespace {

constexpr std::string_view kAuto = "auto";

int output_error = 0;  // The first errno of writing to stdout.

}  // namespace

Command& chosen_command() {
  static Command command;
  return command;
}

CLI::App* add_verb(CLI::App& app, const std::string& name, const std::string& what, Command run) {
  CLI::App* verb = app.add_subcommand(name, what);
  verb->footer("");  // Not that of the verbs above.
  verb->callback([run = std::move(run)] { chosen_command() = run; });
  return verb;
}

void add_examples(CLI::App& verb, std::initializer_list<std::string_view> examples) {
  std::string text = "Examples:";
  for (std::string_view example : examples) text += fmt::format("\n  {}", example);
  const std::string footer = verb.get_footer();
  verb.footer(footer.empty() ? text : text + "\n\n" + footer);
}

void under_heading(CLI::App& verb, const std::string& heading, const std::function<void()>& add) {
  const std::string before = verb.option_defaults()->get_group();
  verb.option_defaults()->group(heading);
  add();
  verb.option_defaults()->group(before);
}

void ModelOptions::add_to(CLI::App& app) {
  app.add_option("model",
                 model,
                 "Checkpoint folder (config.json, *.safetensors, tokenizer), engine folder, or "
                 "ORG/NAME of a model that the Hugging Face hub's cache holds")
      ->required();
  under_heading(app, "Model and engine", [&] {
    constexpr auto targets = enum_names(Target{});
    std::vector<std::string> names(targets.begin(), targets.end());
    names.insert(names.begin(), std::string(kAuto));
    app.add_option("--target",
                   target,
                   "Where to run: auto takes a GPU that we can use, else the CPU (an engine's own "
                   "target for an engine); reference is a slow fp32 oracle")
        ->check(CLI::IsMember(std::move(names)))
        ->capture_default_str();
    app.add_option(
           "--dtype", dtype, "Weights and activations: auto (as stored), bfloat16 or float32")
        ->capture_default_str();
    app.add_option(
           "--threads", threads, "Compute threads; 0 takes every processor this process may use")
        ->capture_default_str();
    app.add_flag("--dummy-weights",
                 dummy_weights,
                 "Random weights: only config.json is needed (for benchmarks of any size)");
    app.add_flag("--no-tune", no_tune, "Take each tactic's first guess instead of timing them");
    app.add_option("--disable-pass", disabled_passes, "Leave out a graph pass (may be repeated)");
    app.add_flag("--quiet", quiet, "No progress bars");
  });
}

void ModelOptions::add_without_gpu(CLI::App& app) {
  under_heading(app, "Model and engine", [&] {
    app.add_flag("--without-gpu",
                 without_gpu,
                 "With --target cuda on a machine that has none: as for an H200, tactics by first "
                 "guess");
  });
}

Result<Target> ModelOptions::chosen_target() const {
  if (target != kAuto) return base::enum_from_name<Target>(target, "target");
  if (without_gpu) return Target::kCuda;
  TKM_ASSIGN(const device::TargetChoice choice, api::choose_target(model));
  if (!quiet) fmt::print(stderr, "target: {} ({})\n", base::enum_name(choice.target), choice.why);
  return choice.target;
}

Result<api::BuildOptions> ModelOptions::build_options() const {
  api::BuildOptions options;
  TKM_ASSIGN(options.target, chosen_target());
  options.dtype = dtype;
  options.num_threads = threads;
  options.dummy_weights = dummy_weights;
  options.tune = !no_tune;
  options.disabled_passes = disabled_passes;
  options.progress = progress_bar(quiet);
  return options;
}

Result<std::shared_ptr<device::Device>> ModelOptions::open_device(
    const api::BuildOptions& build) const {
  if (!without_gpu) return device::open_device(build.target, threads);
  if (build.target != Target::kCuda)
    return base::invalid(fmt::format("--without-gpu is for --target cuda, not {}", target));
  return std::shared_ptr<device::Device>(device::cuda::CudaDevice::compile_only({}, threads));
}

void SessionFlags::add_to(CLI::App& app) {
  under_heading(app, "Memory and batching", [&] {
    app.add_option("--max-seq-len",
                   options.max_seq_len,
                   "Tokens of one sequence, prompt and answer; 0: the model's")
        ->capture_default_str();
    app.add_option("--max-sequences",
                   options.max_sequences,
                   "Sequences that run together; memory is laid out for so many")
        ->capture_default_str();
    app.add_option("--max-step-tokens",
                   options.max_step_tokens,
                   "Rows of one packed step (prompts are cut into chunks of it), which memory is "
                   "laid out for; 0: 512 on a CPU, 2048 on a GPU")
        ->capture_default_str();
    app.add_option("--kv-tokens",
                   options.kv_tokens,
                   "Tokens that the key/value cache holds, of all sequences together; 0: all at "
                   "full length, within the memory share")
        ->capture_default_str();
    app.add_option("--memory-share",
                   options.memory_share,
                   "Share of the free memory that may be used with --kv-tokens 0")
        ->capture_default_str();
    app.add_option_function<std::string>(
        "--gpu-memory",
        [this](const std::string& text) {
          if (auto parsed = parse_memory(text, options); !parsed.ok())
            throw CLI::ValidationError("--gpu-memory", parsed.error().message);
        },
        "Memory of the device that the engine may take in all: a size (20GiB), or a share of what "
        "is free (0.9), which is --memory-share 0.9");
    app.add_flag("!--no-check-weights",
                 options.check_weights,
                 "Load an engine's weights without comparing their content with the hashes that it "
                 "has of them");
  });
}

void add_overlap_flag(CLI::App& app, bool& overlap) {
  app.add_flag("!--no-overlap",
               overlap,
               "Launch a step only when the tokens of the one before it are known; answers are the "
               "same, for finding faults");
}

Result<void> parse_memory(const std::string& text, runtime::SessionOptions& options) {
  const char *begin = text.data(), *end = begin + text.size();
  double number = 0;
  auto [unit_begin, status] = std::from_chars(begin, end, number);
  std::string_view unit(unit_begin, static_cast<size_t>(end - unit_begin));
  auto wrong = [&] {
    return base::invalid(fmt::format(
        "'{}' is not a size like 20GiB, 20GB or 500MiB, nor a share between 0 and 1", text));
  };
  if (status != std::errc() || !(number > 0)) return wrong();
  if (unit.empty() && number <= 1) {
    options.memory_share = number;
    return {};
  }
  double scale = unit.empty()                   ? 1
                 : unit == "MiB"                ? 1 << 20
                 : unit == "MB"                 ? 1e6
                 : unit == "GiB" || unit == "G" ? 1 << 30
                 : unit == "GB"                 ? 1e9
                                                : 0;
  if (scale == 0 || number * scale > 1e15) return wrong();
  options.memory_bytes = static_cast<int64_t>(number * scale);
  return {};
}

void print(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if ((!written || std::fflush(stdout) != 0) && output_error == 0) output_error = errno;
}

Result<void> check_output() {
  print("");
  // A reader that has left, as of `| head`, has all that it wants.
  if (output_error == 0 || output_error == EPIPE) return {};
  return base::io_error(
      fmt::format("the output cannot be written: {}", std::strerror(output_error)));
}

}  // namespace tokamak::cli
