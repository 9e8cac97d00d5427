// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>

#include "tokamak/base/log.h"
#include "tokamak/cli/command.h"
#include "tokamak/cli/command_line.h"

namespace {

using namespace tokamak;

int fail(const Error& error) {
  cli::clear_progress_bar();
  std::string text = fmt::format("error: {}\n", error.text());
  std::fwrite(text.data(), 1, text.size(), stderr);
  return base::exit_status(error.code);
}

Result<int> run(std::vector<std::string> arguments) {
  TKM_RETURN_IF_ERROR(base::check_log_level());
  std::unique_ptr<CLI::App> app = cli::make_app();
  TKM_ASSIGN(cli::Command command, cli::parse_command_line(*app, std::move(arguments)));
  TKM_ASSIGN(const int status, command());
  TKM_RETURN_IF_ERROR(cli::check_output());
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    auto status = run({argv + std::min(argc, 1), argv + argc});
    return status.ok() ? *status : fail(status.error());
  } catch (const std::exception& e) {
    return fail(base::internal_error(e.what()));
  }
}
