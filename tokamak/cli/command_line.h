// SPDX-License-Identifier: Apache-2.0
// The command line as a whole: all verbs, what the user chose of them, and what is wrong with it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tokamak/cli/command.h"

namespace tokamak::cli {

/// All verbs.
std::unique_ptr<CLI::App> make_app();

/// What these arguments ask for; --help and --version are commands that print. Errors: invalid,
/// naming the argument and the verb or flag that may have been meant.
Result<Command> parse_command_line(CLI::App& app, std::vector<std::string> arguments);

/// The help of the verb that these words name ("bench", "serve"), of the program without any.
/// Errors: invalid, no such verb.
Result<std::string> help_text(const CLI::App& app, const std::vector<std::string>& words);

}  // namespace tokamak::cli
