// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>

#include "tokamak/cli/command.h"

namespace {

int fail(const tokamak::Error& error) {
  tokamak::cli::clear_progress_bar();
  std::string text = fmt::format("error: {}\n", error.text());
  std::fwrite(text.data(), 1, text.size(), stderr);
  return tokamak::base::exit_status(error.code);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace tokamak;
  CLI::App app("Tokamak: builds engines from Hugging Face checkpoints and runs them.", "tokamak");
  app.require_subcommand(1);
  app.set_version_flag("--version", TOKAMAK_VERSION);
  app.footer(
      "Each verb has its own --help. Log lines: TOKAMAK_LOG_LEVEL=debug|info|warn|error. Cache: "
      "TOKAMAK_CACHE_DIR.");
  cli::add_run(app);
  cli::add_serve(app);
  cli::add_build(app);
  cli::add_verify(app);
  cli::add_eval(app);
  cli::add_bench(app);
  cli::add_inspect(app);
  cli::add_doctor(app);
  try {
    CLI11_PARSE(app, argc, argv);
    auto status = cli::chosen_command()();
    return status.ok() ? *status : fail(status.error());
  } catch (const std::exception& e) {
    return fail(base::internal_error(e.what()));
  }
}
