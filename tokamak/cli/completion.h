// SPDX-License-Identifier: Apache-2.0
// Scripts that let a shell complete our verbs, options and their values, made from the app itself.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "tokamak/base/result.h"

namespace tokamak::cli {

/// "bash", "zsh" or "fish". Errors: invalid, another shell.
Result<std::string> completion_script(const CLI::App& app, const std::string& shell);

}  // namespace tokamak::cli
