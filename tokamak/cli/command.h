// SPDX-License-Identifier: Apache-2.0
// What the verbs of the command line share. Each verb is one file with one function that adds it to
// the app.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "tokamak/api/build.h"
#include "tokamak/cli/progress_bar.h"
#include "tokamak/runtime/engine_session.h"

namespace tokamak::cli {

/// A verb's work; what it returns ends up as the exit status and, if an error, on stderr.
using Command = std::function<Result<int>()>;

/// Adds a subcommand. The returned app takes its options; `run` is called if the user chose it.
CLI::App* add_verb(CLI::App& app, const std::string& name, const std::string& what, Command run);
/// The command of the verb that was chosen while parsing; empty if none was.
Command& chosen_command();

void add_build(CLI::App& app);
void add_run(CLI::App& app);
void add_serve(CLI::App& app);
void add_bench(CLI::App& app);
void add_bench_serve(CLI::App& bench);
void add_eval(CLI::App& app);
void add_inspect(CLI::App& app);
void add_verify(CLI::App& app);
void add_doctor(CLI::App& app);
void add_completion(CLI::App& app);

/// Shows command lines under "Examples" in the verb's --help, before what its footer says.
void add_examples(CLI::App& verb, std::initializer_list<std::string_view> examples);
/// Options that `add` adds stand under a heading of their own in --help, behind those without one.
void under_heading(CLI::App& verb, const std::string& heading, const std::function<void()>& add);

/// Options about the model and how its engine is built, the same for every verb that opens one.
struct ModelOptions {
  std::string model;
  std::string target = "auto";
  std::string dtype = "auto";
  int threads = 0;
  bool dummy_weights = false;
  bool no_tune = false;
  bool quiet = false;
  bool without_gpu = false;
  std::vector<std::string> disabled_passes;

  void add_to(CLI::App& app);
  /// --without-gpu, for verbs that run nothing.
  void add_without_gpu(CLI::App& app);
  /// With the target chosen; of `auto` a line says which and why.
  Result<api::BuildOptions> build_options() const;
  /// With `without_gpu` a device that only compiles. Errors: invalid, for another target than cuda.
  Result<std::shared_ptr<device::Device>> open_device(const api::BuildOptions& build) const;

 private:
  Result<Target> chosen_target() const;
};

/// Options about the running session.
struct SessionFlags {
  runtime::SessionOptions options;
  void add_to(CLI::App& app);
};

/// --no-overlap, which sets ExecutorOptions::overlap to false.
void add_overlap_flag(CLI::App& app, bool& overlap);

/// "20GiB", "20GB" or "21474836480" to bytes in options.memory_bytes, "0.9" to
/// options.memory_share. Errors: invalid.
Result<void> parse_memory(const std::string& text, runtime::SessionOptions& options);

/// Writes to stdout and flushes.
void print(std::string_view text);
/// Whether all that was printed was written. Errors: io, for example a full disk.
Result<void> check_output();

}  // namespace tokamak::cli
