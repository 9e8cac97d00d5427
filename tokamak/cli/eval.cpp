// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "tokamak/api/evaluate.h"
#include "tokamak/base/file.h"
#include "tokamak/cli/command.h"
#include "tokamak/text/tokenizer.h"

namespace tokamak::cli {
namespace {

struct PerplexityFlags {
  ModelOptions model;
  std::string text_file;
  api::PerplexityOptions options;
  bool special_tokens = false;
  bool json = false;
};

Result<int> run_perplexity(const PerplexityFlags& flags) {
  TKM_ASSIGN(std::string text, base::read_file(flags.text_file));
  TKM_ASSIGN(api::BuildOptions build, flags.model.build_options());
  TKM_ASSIGN(auto device, flags.model.open_device(build));
  TKM_ASSIGN(engine::Engine engine, api::open_engine(flags.model.model, *device, build));
  TKM_ASSIGN(auto tokenizer, text::Tokenizer::load(api::tokenizer_folder(engine)));
  TKM_ASSIGN(std::vector<int32_t> tokens,
             tokenizer->encode(text, {.add_special_tokens = flags.special_tokens}));
  int64_t rows = std::clamp<int64_t>(
      (int64_t{256} << 20) / (engine.plan.vocab_size * 4), 16, 256);  // 256 MiB of logits at most
  runtime::SessionOptions options{
      .max_step_tokens = rows, .max_step_rows = rows, .max_sequences = 1};
  TKM_ASSIGN(auto session, runtime::open_session(engine, device, options, build.progress));
  TKM_ASSIGN(api::PerplexityReport report,
             api::perplexity(*session, tokens, flags.options, build.progress));
  double per_byte = report.nll / static_cast<double>(text.size()),
         rate = static_cast<double>(report.tokens) / report.seconds;
  if (flags.json) {
    Json json = {{"tokens", report.tokens},
                 {"bytes", text.size()},
                 {"nll", report.nll},
                 {"nll_per_token", report.nll_per_token()},
                 {"nll_per_byte", per_byte},
                 {"perplexity", std::exp(report.nll_per_token())},
                 {"perplexity_per_byte", std::exp(per_byte)},
                 {"tokens_per_second", rate},
                 {"context", flags.options.context},
                 {"stride", flags.options.stride}};
    print(json.dump(1) + "\n");
  } else {
    print(
        fmt::format("{} tokens, {} bytes: {:.4f} nats in all, {:.6f} a token (perplexity {:.4f}), "
                    "{:.6f} a byte (perplexity {:.4f}); {:.0f} tokens/s\n",
                    report.tokens,
                    text.size(),
                    report.nll,
                    report.nll_per_token(),
                    std::exp(report.nll_per_token()),
                    per_byte,
                    std::exp(per_byte),
                    rate));
  }
  return 0;
}

}  // namespace

void add_eval(CLI::App& app) {
  CLI::App* eval = app.add_subcommand("eval", "Measure a model's quality");
  eval->require_subcommand(1);
  add_examples(*eval, {"tokamak eval perplexity models/storyteller --text text.txt"});
  auto flags = std::make_shared<PerplexityFlags>();
  CLI::App* verb = add_verb(
      *eval, "perplexity", "Negative log-likelihood of a text, in strided windows", [flags] {
        return run_perplexity(*flags);
      });
  flags->model.add_to(*verb);
  verb->add_option("--text", flags->text_file, "UTF-8 text file")->required();
  verb->add_option("--context", flags->options.context, "Tokens of a window")
      ->capture_default_str();
  verb->add_option("--stride",
                   flags->options.stride,
                   "Tokens from one window to the next; the last ones of each are scored")
      ->capture_default_str();
  verb->add_flag(
      "--special-tokens", flags->special_tokens, "Add what the tokenizer puts around a text (BOS)");
  verb->add_flag("--json", flags->json, "Print the report as JSON");
  add_examples(*verb, {"tokamak eval perplexity models/storyteller --text text.txt --context 512"});
}

}  // namespace tokamak::cli
