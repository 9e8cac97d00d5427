// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/command_line.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "tokamak/cli/nearest.h"
#include "tokamak/cli/verb_tree.h"
#include "tokamak/cli/version.h"

namespace tokamak::cli {
namespace {

/// Texts that are something even if they are empty.
constexpr std::string_view kMayBeEmpty[] = {"--prompt", "--system"};

/// The verb that was chosen, as deep as the arguments name it.
const CLI::App& deepest(const CLI::App& app) {
  const CLI::App* verb = &app;
  while (!verb->get_subcommands().empty()) verb = verb->get_subcommands().front();
  return *verb;
}

/// "`tokamak bench serve`"
std::string call_of(std::string_view path) {
  return fmt::format("`tokamak{}{}`", path.empty() ? "" : " ", path);
}

/// What may have been meant, if something is near, and where the rest stands.
std::string hint_of(const std::string& meant, const CLI::App& verb) {
  const std::string path = path_of(verb);
  return fmt::format("{}{} lists what there is",
                     meant.empty() ? "" : fmt::format("did you mean {}? ", meant),
                     call_of(path.empty() ? "help" : "help " + path));
}

/// Messages of errors begin with the verb they are about.
std::string of_verb(const CLI::App& verb, std::string_view text) {
  const std::string path = path_of(verb);
  return fmt::format("{}{}{}", path, path.empty() ? "" : ": ", text);
}

bool contains(const std::vector<std::string>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

Error unknown_flag(const CLI::App& app, const CLI::App& verb, const std::string& argument) {
  const std::string flag = argument.substr(0, argument.find('='));
  const std::string meant = nearest(flag, flags_of(verb));
  std::string hint = hint_of(meant, verb);
  for (const CLI::App* other : all_verbs(app)) {
    if (!meant.empty() || !contains(flags_of(*other), flag)) continue;
    hint = fmt::format("{} has it; {}", call_of(path_of(*other)), hint_of("", verb));
    break;
  }
  return base::invalid(of_verb(verb, fmt::format("there is no option {}", flag)), std::move(hint));
}

Error unknown_verb(const CLI::App& app, const CLI::App& verb, const std::string& word) {
  const std::string begin = path_of(verb);
  std::string meant = nearest(word, verbs_of(verb));
  if (!meant.empty() && !begin.empty()) meant = begin + " " + meant;
  if (meant.empty() && contains(flags_of(verb), "--" + word))
    meant = begin + (begin.empty() ? "--" : " --") + word;
  for (const CLI::App* other : all_verbs(app)) {
    if (meant.empty() && other->get_name() == word) meant = path_of(*other);
  }
  return base::invalid(of_verb(verb, fmt::format("there is no verb '{}'", word)),
                       hint_of(meant.empty() ? "" : call_of(meant), verb));
}

/// Why these arguments cannot be parsed: what is unknown comes before what is missing, as the one
/// often follows from the other.
Error explain(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& verb = deepest(app);
  const std::vector<std::string> extras = app.remaining(true);
  for (const std::string& extra : extras) {
    if (extra.size() > 1 && extra[0] == '-' && extra != "--") return unknown_flag(app, verb, extra);
  }
  const bool has_verbs = !verbs_of(verb).empty();
  if (has_verbs && !extras.empty()) return unknown_verb(app, verb, extras.front());
  if (has_verbs && dynamic_cast<const CLI::RequiredError*>(&error))
    return base::invalid(
        of_verb(verb, fmt::format("a verb is missing: {}", fmt::join(verbs_of(verb), ", "))),
        hint_of("", verb));
  if (!extras.empty())
    return base::invalid(
        of_verb(verb, fmt::format("'{}' is one argument too many", extras.front())),
        "put a text with spaces between quotes; " + hint_of("", verb));
  return base::invalid(of_verb(verb, error.what()), hint_of("", verb));
}

/// What the parser lets through and no option means: a variable that was empty in the shell, a
/// number that is none or that does not fit.
Result<void> check_value(const CLI::App& verb,
                         const CLI::Option& option,
                         const std::string& value) {
  const std::string name = option.get_name();
  if (value.empty() &&
      std::find(std::begin(kMayBeEmpty), std::end(kMayBeEmpty), long_name(option)) ==
          std::end(kMayBeEmpty))
    return base::invalid(of_verb(verb, fmt::format("{} is empty", name)));
  const std::string type = option.get_type_name();
  if (type.starts_with("FLOAT") && !std::isfinite(std::strtod(value.c_str(), nullptr)))
    return base::invalid(
        of_verb(verb, fmt::format("{} is {}, must be a finite number", name, value)));
  if (type.starts_with("INT")) {
    int64_t number = 0;
    auto [end, status] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (status == std::errc::result_out_of_range)
      return base::invalid(of_verb(verb, fmt::format("{} is {}, which is too large", name, value)));
  }
  return {};
}

Result<void> check_values(const CLI::App& verb) {
  for (const CLI::Option* option : verb.get_options()) {
    if (option->get_items_expected_max() == 0) continue;  // A flag.
    for (const std::string& value : option->results())
      TKM_RETURN_IF_ERROR(check_value(verb, *option, value));
  }
  for (const CLI::App* chosen : verb.get_subcommands()) TKM_RETURN_IF_ERROR(check_values(*chosen));
  return {};
}

/// "--name=" means an empty value; the parser would take the next argument.
std::vector<std::string> with_empty_values(const CLI::App& app,
                                           std::vector<std::string> arguments) {
  std::vector<std::string> known, out;
  for (const CLI::App* verb : all_verbs(app)) {
    for (std::string& flag : flags_of(*verb)) known.push_back(std::move(flag) + "=");
  }
  for (std::string& argument : arguments) {
    const bool empty = std::find(known.begin(), known.end(), argument) != known.end();
    if (empty) argument.pop_back();
    out.push_back(std::move(argument));
    if (empty) out.emplace_back();
  }
  return out;
}

Command print_command(std::string text) {
  return [text = std::move(text)]() -> Result<int> {
    print(text);
    return 0;
  };
}

void add_help(CLI::App& app) {
  auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* verb =
      add_verb(app, "help", "Print the manual of a verb", [words, &app]() -> Result<int> {
        TKM_ASSIGN(std::string text, help_text(app, *words));
        print(text);
        return 0;
      });
  verb->add_option("verb", *words, "Whose manual; all verbs without one");
  add_examples(*verb, {"tokamak help run", "tokamak help bench serve"});
}

}  // namespace

/// An option that may be repeated takes one value each time: the words behind it are not its.
void take_one_value_each(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (!option->get_positional() && option->get_expected_max() > 1)
      option->allow_extra_args(false);
  }
  for (CLI::App* verb : app.get_subcommands({})) take_one_value_each(*verb);
}

std::unique_ptr<CLI::App> make_app() {
  auto app = std::make_unique<CLI::App>(
      "Tokamak: builds engines from Hugging Face checkpoints and runs them.", "tokamak");
  app->require_subcommand(1);
  app->set_version_flag("--version", version_text());
  add_run(*app);
  add_serve(*app);
  add_build(*app);
  add_verify(*app);
  add_eval(*app);
  add_bench(*app);
  add_inspect(*app);
  add_doctor(*app);
  add_completion(*app);
  add_help(*app);
  // Behind the verbs, which would inherit it.
  app->footer(
      "`tokamak help VERB` is the manual of a verb. Log lines: TOKAMAK_LOG_LEVEL=debug|info|warn|"
      "error|off. Cache: TOKAMAK_CACHE_DIR.");
  add_examples(*app,
               {"tokamak run models/storyteller --prompt 'Once upon a time'",
                "tokamak serve models/storyteller"});
  take_one_value_each(*app);
  return app;
}

Result<Command> parse_command_line(CLI::App& app, std::vector<std::string> arguments) {
  chosen_command() = {};
  arguments = with_empty_values(app, std::move(arguments));
  std::reverse(arguments.begin(), arguments.end());  // As the parser wants them.
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    return print_command(app.help());
  } catch (const CLI::CallForVersion& version) {
    return print_command(version.what() + std::string("\n"));
  } catch (const CLI::ParseError& error) {
    return explain(app, error);
  }
  TKM_RETURN_IF_ERROR(check_values(app));
  return chosen_command();
}

Result<std::string> help_text(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* verb = &app;
  std::string path = "tokamak";
  for (const std::string& word : words) {
    const CLI::App* next = find_verb(*verb, word);
    if (!next) return unknown_verb(app, *verb, word);
    path += " " + word;
    verb = next;
  }
  // App::help() would describe the verb that was chosen, which is help.
  return verb->get_formatter()->make_help(verb, path, CLI::AppFormatMode::Normal);
}

}  // namespace tokamak::cli
