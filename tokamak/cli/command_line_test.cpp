// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/command_line.h"

#include <cstdio>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/cli/completion.h"
#include "tokamak/cli/verb_tree.h"
#include "tokamak/cli/version.h"

namespace tokamak::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

Result<Command> parse(std::vector<std::string> arguments) {
  std::unique_ptr<CLI::App> app = make_app();
  auto parsed = parse_command_line(*app, std::move(arguments));
  chosen_command() = {};
  return parsed;
}

/// "message / hint", and that it is bad input.
std::string refusal(std::vector<std::string> arguments) {
  auto parsed = parse(std::move(arguments));
  if (parsed.ok()) return "accepted";
  EXPECT_EQ(base::exit_status(parsed.error().code), 2);
  return parsed.error().message + " / " + parsed.error().hint;
}

TEST(CommandLine, a_mistyped_verb_or_flag_gets_the_nearest_one) {
  EXPECT_EQ(
      refusal({"rum"}),
      "there is no verb 'rum' / did you mean `tokamak run`? `tokamak help` lists what there is");
  EXPECT_EQ(refusal({"bench", "sevre"}),
            "bench: there is no verb 'sevre' / did you mean `tokamak bench serve`? `tokamak help "
            "bench` lists what there is");
  EXPECT_THAT(refusal({"latency", "m"}), HasSubstr("did you mean `tokamak bench latency`?"));
  EXPECT_EQ(
      refusal({"run", "m", "--promt", "x"}),
      "run: there is no option --promt / did you mean --prompt? `tokamak help run` lists what "
      "there is");
  EXPECT_THAT(refusal({"run", "m", "--max_tokens=3"}), HasSubstr("did you mean --max-tokens?"));
  EXPECT_THAT(refusal({"run", "--promt", "x"}), HasSubstr("no option --promt"))
      << "what is unknown comes before what is missing";
  EXPECT_THAT(refusal({"--verison"}), HasSubstr("did you mean --version?"));
  EXPECT_EQ(
      refusal({"run", "m", "--port", "1"}),
      "run: there is no option --port / `tokamak serve` has it; `tokamak help run` lists what "
      "there is");
  EXPECT_THAT(refusal({"run", "m", "--version"}), HasSubstr("`tokamak` has it"));
  EXPECT_THAT(refusal({"version"}), HasSubstr("did you mean `tokamak --version`?"));
  EXPECT_EQ(refusal({"quantize"}),
            "there is no verb 'quantize' / `tokamak help` lists what there is");
}

TEST(CommandLine, an_option_that_may_be_repeated_takes_one_value_each_time) {
  EXPECT_EQ(refusal({"run", "--stop", "a", "m", "--stop", "b"}), "accepted");
  EXPECT_EQ(refusal({"run", "--disable-pass", "fuse_residual", "m"}), "accepted");
  EXPECT_EQ(refusal({"serve", "--served-model-name", "x", "m"}), "accepted");
  EXPECT_EQ(refusal({"serve", "--api-key", "x", "m"}), "accepted");
  EXPECT_THAT(refusal({"run", "m", "--stop", "a", "b"}), HasSubstr("'b' is one argument too many"));
}

TEST(CommandLine, what_is_missing_or_too_much_is_said) {
  EXPECT_THAT(refusal({}), StartsWith("a verb is missing: run, serve, build"));
  EXPECT_THAT(refusal({"bench"}), StartsWith("bench: a verb is missing: latency, kernels"));
  EXPECT_THAT(refusal({"run"}), StartsWith("run: model is required"));
  EXPECT_THAT(refusal({"run", "m", "-p", "Once", "upon"}),
              StartsWith("run: 'upon' is one argument too many / put a text with spaces"));
  EXPECT_THAT(refusal({"run", "m", "--prompt"}), StartsWith("run: --prompt"));
}

TEST(CommandLine, values_that_are_none_are_refused) {
  EXPECT_THAT(refusal({"run", "m", "--temperature", "banana"}), HasSubstr("banana"));
  EXPECT_EQ(refusal({"run", "m", "--temperature", "nan"}),
            "run: --temperature is nan, must be a finite number / ");
  EXPECT_THAT(refusal({"bench", "serve", "--rate=inf"}), HasSubstr("must be a finite number"));
  EXPECT_THAT(refusal({"run", "m", "--seed", "99999999999999999999"}), HasSubstr("too large"));
  EXPECT_THAT(refusal({"run", "m", "--target", "gpu"}), HasSubstr("reference,cpu,cuda"));
  EXPECT_EQ(refusal({"run", "m", "--seed", "-1"}), "accepted");
}

TEST(CommandLine, an_empty_value_is_not_a_missing_option) {
  EXPECT_EQ(refusal({"serve", "m", "--host", ""}), "serve: --host is empty / ");
  EXPECT_EQ(refusal({"serve", "m", "--host="}), "serve: --host is empty / ");
  EXPECT_EQ(refusal({"run", ""}), "run: model is empty / ");
  EXPECT_EQ(refusal({"run", "m", "--prompt", ""}), "accepted") << "an empty prompt is a prompt";
  EXPECT_EQ(refusal({"run", "m", "--prompt=", "--system", ""}), "accepted");
}

TEST(CommandLine, help_of_a_verb_is_its_manual_in_either_order) {
  std::unique_ptr<CLI::App> app = make_app();
  const std::string manual = help_text(*app, {"bench", "serve"}).value();
  EXPECT_THAT(manual, HasSubstr("Usage: tokamak bench serve [OPTIONS]"));
  EXPECT_THAT(help_text(*app, {}).value(), HasSubstr("Subcommands:"));
  EXPECT_THAT(help_text(*app, {"sevre"}).error().text(),
              HasSubstr("did you mean `tokamak serve`?"));
  testing::internal::CaptureStdout();
  EXPECT_EQ(parse({"help", "bench", "serve"}).ok(), true);
  EXPECT_EQ(parse({"bench", "serve", "--help"}).value()().value(), 0);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), manual);
}

TEST(CommandLine, every_manual_has_examples_that_parse) {
  std::unique_ptr<CLI::App> app = make_app();
  for (const CLI::App* verb : all_verbs(*app)) {
    const std::string path = path_of(*verb), footer = verb->get_footer();
    ASSERT_THAT(footer, StartsWith("Examples:\n  ")) << "of tokamak " << path;
    EXPECT_EQ(footer.find("Examples:", 1), std::string::npos) << "of tokamak " << path;
    size_t count = 0;
    for (size_t at = 0; (at = footer.find("\n  ", at)) != std::string::npos; ++count) {
      const std::string line = footer.substr(at + 3, footer.find('\n', at + 3) - at - 3);
      at += 3;
      size_t begin = line.find("tokamak ");
      ASSERT_NE(begin, std::string::npos) << line;
      EXPECT_TRUE(path.empty() || line.find("tokamak " + path) != std::string::npos) << line;
      std::string arguments = line.substr(begin + 8);
      arguments = arguments.substr(0, arguments.find_first_of(">)|"));
      auto parsed = parse(CLI::detail::split_up(arguments));
      EXPECT_TRUE(parsed.ok()) << line << ": " << (parsed.ok() ? "" : parsed.error().text());
    }
    EXPECT_GT(count, 0u);
  }
}

TEST(CommandLine, what_a_newcomer_needs_stands_first) {
  std::unique_ptr<CLI::App> app = make_app();
  const std::string manual = help_text(*app, {"run"}).value();
  size_t last = 0;
  for (const char* part : {"--prompt",
                           "--max-tokens",
                           "Sampling:",
                           "--temperature",
                           "Model and engine:",
                           "--no-tune",
                           "Memory and batching:",
                           "--kv-tokens"}) {
    const size_t at = manual.find(std::string("\n  ") + part) != std::string::npos
                          ? manual.find(std::string("\n  ") + part)
                          : manual.find(part);
    ASSERT_NE(at, std::string::npos) << part;
    EXPECT_GT(at, last) << part;
    last = at;
  }
}

TEST(CommandLine, the_version_names_the_commit) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(parse({"--version"}).value()().value(), 0);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), version_text() + "\n");
  EXPECT_THAT(version_text(), HasSubstr(fmt::format("(commit {})", commit())));
  EXPECT_THAT(std::string(commit()), testing::MatchesRegex("unknown|[0-9a-zA-Z.+-]+"));
}

/// What bash offers behind these words.
std::vector<std::string> offered(const std::string& script, const std::string& words) {
  const std::string path = testing::TempDir() + "tokamak_completion.bash";
  FILE* file = std::fopen(path.c_str(), "w");
  std::fwrite(script.data(), 1, script.size(), file);
  std::fclose(file);
  const std::string command = fmt::format(
      "bash -c 'source {}; COMP_WORDS=({}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _tokamak; "
      "printf \"%s\\n\" \"${{COMPREPLY[@]}}\"'",
      path,
      words);
  FILE* pipe = ::popen(command.c_str(), "r");
  std::vector<std::string> out;
  char line[256];
  while (std::fgets(line, sizeof line, pipe)) {
    std::string text(line);
    text.pop_back();
    if (!text.empty()) out.push_back(text);
  }
  EXPECT_EQ(::pclose(pipe), 0);
  return out;
}

TEST(Completion, bash_completes_verbs_options_and_values) {
  std::unique_ptr<CLI::App> app = make_app();
  const std::string script = completion_script(*app, "bash").value();
  EXPECT_THAT(offered(script, "tokamak se"), ElementsAre("serve"));
  EXPECT_THAT(offered(script, "tokamak bench se"), ElementsAre("serve"));
  EXPECT_THAT(offered(script, "tokamak run m --pro"), ElementsAre("--prompt", "--prompt-file"));
  EXPECT_THAT(offered(script, "tokamak bench serve --goodput-tt"),
              ElementsAre("--goodput-ttft-ms"));
  EXPECT_THAT(offered(script, "tokamak run m --target \"\""),
              ElementsAre("auto", "reference", "cpu", "cuda"));
  EXPECT_THAT(offered(script, "tokamak completion z"), ElementsAre("zsh"));
  EXPECT_THAT(offered(script, "tokamak run mod"), ElementsAre()) << "then bash completes files";
}

TEST(Completion, every_script_has_every_verb_and_option) {
  std::unique_ptr<CLI::App> app = make_app();
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = completion_script(*app, shell).value();
    for (const CLI::App* verb : all_verbs(*app)) {
      EXPECT_THAT(script, HasSubstr(path_of(*verb))) << shell;
      for (const CLI::Option* option : verb->get_options()) {
        EXPECT_TRUE(!option->nonpositional() ||
                    script.find(long_name(*option).substr(2)) != std::string::npos)
            << shell << " " << long_name(*option);
      }
    }
  }
  EXPECT_EQ(completion_script(*app, "ksh").error().message,
            "there is no completion for 'ksh' (for bash, zsh, fish)");
}

}  // namespace
}  // namespace tokamak::cli
