// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/verb_tree.h"

namespace tokamak::cli {
namespace {

const std::function<bool(const CLI::App*)> kEvery = [](const CLI::App*) { return true; };

}  // namespace

std::string path_of(const CLI::App& verb) {
  if (!verb.get_parent()) return {};
  std::string parent = path_of(*verb.get_parent());
  return (parent.empty() ? "" : parent + " ") + verb.get_name();
}

std::vector<const CLI::App*> all_verbs(const CLI::App& app) {
  std::vector<const CLI::App*> out = {&app};
  for (const CLI::App* verb : app.get_subcommands(kEvery)) {
    for (const CLI::App* below : all_verbs(*verb)) out.push_back(below);
  }
  return out;
}

std::vector<std::string> verbs_of(const CLI::App& verb) {
  std::vector<std::string> out;
  for (const CLI::App* below : verb.get_subcommands(kEvery)) out.push_back(below->get_name());
  return out;
}

const CLI::App* find_verb(const CLI::App& verb, std::string_view name) {
  for (const CLI::App* below : verb.get_subcommands(kEvery)) {
    if (below->get_name() == name) return below;
  }
  return nullptr;
}

std::vector<std::string> flags_of(const CLI::App& verb) {
  std::vector<std::string> out, shorts;
  for (const CLI::Option* option : verb.get_options()) {
    for (const std::string& name : option->get_lnames()) out.push_back("--" + name);
    for (const std::string& name : option->get_snames()) shorts.push_back("-" + name);
  }
  out.insert(out.end(), shorts.begin(), shorts.end());
  return out;
}

std::string long_name(const CLI::Option& option) {
  if (!option.get_lnames().empty()) return "--" + option.get_lnames().front();
  if (!option.get_snames().empty()) return "-" + option.get_snames().front();
  return option.get_name(/*positional=*/true);
}

std::vector<std::string> choices_of(const CLI::Option& option) {
  // A membership check describes itself as "{a,b,c}" behind the type.
  const std::string type = option.get_type_name();
  const size_t open = type.find('{'), close = type.find('}', open);
  if (open == std::string::npos || close == std::string::npos) return {};
  return CLI::detail::split(type.substr(open + 1, close - open - 1), ',');
}

bool takes_value(const CLI::Option& option) {
  return option.get_items_expected_max() > 0;
}

}  // namespace tokamak::cli
