// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tokamak/cli/command.h"
#include "tokamak/cli/verb_tree.h"

namespace tokamak::cli {
namespace {

constexpr const char* kShells[] = {"bash", "zsh", "fish"};

/// For all three shells, between quotes that nothing ends or expands.
std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  }
  return out + "'";
}

/// "name:what" as zsh's _describe reads it.
std::string described(std::string_view name, std::string_view what) {
  std::string out;
  for (char c : name) out += c == ':' ? "\\:" : std::string(1, c);
  return shell_quoted(fmt::format("{}:{}", out, what));
}

/// The cases of a shell's switch over the paths of verbs: `verb_case(path, verb)` for each.
std::string each_verb(const CLI::App& app,
                      const std::function<std::string(const std::string&, const CLI::App&)>& text) {
  std::string out;
  for (const CLI::App* verb : all_verbs(app)) out += text(path_of(*verb), *verb);
  return out;
}

/// The paths of all verbs but the program's, each quoted.
std::vector<std::string> quoted_paths(const CLI::App& app) {
  std::vector<std::string> out;
  for (const CLI::App* verb : all_verbs(app)) {
    if (verb->get_parent()) out.push_back(shell_quoted(path_of(*verb)));
  }
  return out;
}

/// Options that allow only some values: "flag|-f) action(values) ;;" by verb.
std::string value_cases(const CLI::App& verb, std::string_view indent, std::string_view action) {
  std::string out;
  for (const CLI::Option* option : verb.get_options()) {
    const std::vector<std::string> values = choices_of(*option);
    if (values.empty() || !option->nonpositional()) continue;
    out += fmt::format("{}{}) {}\n",
                       indent,
                       long_name(*option),
                       fmt::format(fmt::runtime(action), fmt::join(values, " ")));
  }
  return out;
}

/// What may stand where a verb may, or the value of a positional that allows only some.
std::vector<std::string> words_of(const CLI::App& verb) {
  std::vector<std::string> words = verbs_of(verb);
  for (const CLI::Option* option : verb.get_options()) {
    if (option->nonpositional()) continue;
    for (std::string& value : choices_of(*option)) words.push_back(std::move(value));
  }
  return words;
}

std::string bash_script(const CLI::App& app) {
  std::string out =
      fmt::format(R"(# Completion of tokamak for bash: source <(tokamak completion bash)
_tokamak() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} path= flags= words= i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case "${{path:+$path }}${{COMP_WORDS[i]}}" in
      {}) path=${{path:+$path }}${{COMP_WORDS[i]}} ;;
    esac
  done
  case "$path" in
)",
                  fmt::join(quoted_paths(app), "|"));
  out += each_verb(app, [](const std::string& path, const CLI::App& verb) {
    std::string text = fmt::format("    {})\n      flags={}\n      words={}\n",
                                   shell_quoted(path),
                                   shell_quoted(fmt::format("{}", fmt::join(flags_of(verb), " "))),
                                   shell_quoted(fmt::format("{}", fmt::join(words_of(verb), " "))));
    std::string values = value_cases(verb, "        ", "words='{}' ;;");
    if (!values.empty()) text += "      case \"$before\" in\n" + values + "      esac\n";
    return text + "      ;;\n";
  });
  return out + R"(  esac
  [[ $current == -* ]] && words=$flags
  # Nothing found: the shell completes files.
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _tokamak tokamak
)";
}

std::string zsh_script(const CLI::App& app) {
  std::string out = fmt::format(R"(#compdef tokamak
# Completion of tokamak for zsh: tokamak completion zsh > a folder of $fpath, as _tokamak; or source <(tokamak completion zsh)
_tokamak() {{
  local path_= i
  local -a flags verbs values
  for ((i = 2; i < CURRENT; ++i)); do
    case "${{path_:+$path_ }}${{words[i]}}" in
      ({}) path_="${{path_:+$path_ }}${{words[i]}}" ;;
    esac
  done
  case "$path_" in
)",
                                fmt::join(quoted_paths(app), "|"));
  out += each_verb(app, [](const std::string& path, const CLI::App& verb) {
    std::string text = fmt::format("    ({})\n      flags=(\n", shell_quoted(path));
    for (const CLI::Option* option : verb.get_options()) {
      if (option->nonpositional())
        text +=
            fmt::format("        {}\n", described(long_name(*option), option->get_description()));
    }
    text += "      )\n      verbs=(\n";
    for (const std::string& name : words_of(verb)) {
      const CLI::App* below = find_verb(verb, name);
      text += fmt::format("        {}\n", described(name, below ? below->get_description() : ""));
    }
    text += "      )\n";
    std::string values = value_cases(verb, "        (", "values=({}) ;;");
    if (!values.empty())
      text += "      case \"${words[CURRENT-1]}\" in\n" + values + "      esac\n";
    return text + "      ;;\n";
  });
  return out + R"(  esac
  if (( $#values )); then
    compadd -a values
  elif [[ ${words[CURRENT]} == -* ]]; then
    _describe -o option flags
  elif (( $#verbs )); then
    _describe verb verbs
  else
    _files
  fi
}
if [[ $funcstack[1] == _tokamak ]]; then _tokamak "$@"; else compdef _tokamak tokamak; fi
)";
}

std::string fish_script(const CLI::App& app) {
  std::string out =
      fmt::format(R"(# Completion of tokamak for fish: tokamak completion fish | source
function __tokamak_path
  set -l path ''
  for word in (commandline -opc)[2..]
    set -l longer (string trim "$path $word")
    contains -- $longer {}; and set path $longer
  end
  test "$path" = "$argv"
end
)",
                  fmt::join(quoted_paths(app), " "));
  return out + each_verb(app, [](const std::string& path, const CLI::App& verb) {
           const std::string begin =
               fmt::format("complete -c tokamak -n \"__tokamak_path {}\"", path);
           std::string text;
           for (const std::string& name : words_of(verb)) {
             const CLI::App* below = find_verb(verb, name);
             text += fmt::format("{} -f -a {} -d {}\n",
                                 begin,
                                 name,
                                 shell_quoted(below ? below->get_description() : ""));
           }
           for (const CLI::Option* option : verb.get_options()) {
             if (!option->nonpositional()) continue;
             text += begin;
             for (const std::string& name : option->get_lnames()) text += " -l " + name;
             for (const std::string& name : option->get_snames()) text += " -s " + name;
             if (const std::vector<std::string> values = choices_of(*option); !values.empty())
               text += fmt::format(" -x -a {}",
                                   shell_quoted(fmt::format("{}", fmt::join(values, " "))));
             else if (takes_value(*option))
               text += " -r";
             text += fmt::format(" -d {}\n", shell_quoted(option->get_description()));
           }
           return text;
         });
}

}  // namespace

Result<std::string> completion_script(const CLI::App& app, const std::string& shell) {
  if (shell == "bash") return bash_script(app);
  if (shell == "zsh") return zsh_script(app);
  if (shell == "fish") return fish_script(app);
  return base::invalid(
      fmt::format("there is no completion for '{}' (for {})", shell, fmt::join(kShells, ", ")));
}

void add_completion(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  CLI::App* verb = add_verb(app,
                            "completion",
                            "Print a script that lets a shell complete verbs, options and values",
                            [shell, &app]() -> Result<int> {
                              TKM_ASSIGN(std::string script, completion_script(app, *shell));
                              print(script);
                              return 0;
                            });
  verb->add_option("shell", *shell, "Whose language")
      ->required()
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(kShells), std::end(kShells))));
  add_examples(*verb,
               {"source <(tokamak completion bash)",
                "tokamak completion fish > ~/.config/fish/completions/tokamak.fish"});
}

}  // namespace tokamak::cli
