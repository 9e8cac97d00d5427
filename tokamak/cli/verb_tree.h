// SPDX-License-Identifier: Apache-2.0
// Looks at verbs and options as the app knows them, for errors, manuals and completion.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

namespace tokamak::cli {

/// "bench serve"; empty for the program itself.
std::string path_of(const CLI::App& verb);
/// This one and all below it.
std::vector<const CLI::App*> all_verbs(const CLI::App& app);
/// Names of the verbs right below.
std::vector<std::string> verbs_of(const CLI::App& verb);
/// Null if there is none of that name right below.
const CLI::App* find_verb(const CLI::App& verb, std::string_view name);
/// "--prompt", "-p", …: of all options, long names before short ones.
std::vector<std::string> flags_of(const CLI::App& verb);

/// "--prompt", else "-p"; a positional's name. Unlike CLI::Option::get_name() it is the same for
/// flags that set false.
std::string long_name(const CLI::Option& option);
/// The values that an option allows, if it allows only some.
std::vector<std::string> choices_of(const CLI::Option& option);
bool takes_value(const CLI::Option& option);

}  // namespace tokamak::cli
