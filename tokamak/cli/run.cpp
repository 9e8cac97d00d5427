// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include <unistd.h>

#include "tokamak/api/llm.h"
#include "tokamak/base/file.h"
#include "tokamak/cli/answer_length.h"
#include "tokamak/cli/chat.h"
#include "tokamak/cli/command.h"
#include "tokamak/cli/interrupt.h"
#include "tokamak/cli/line_reader.h"

namespace tokamak::cli {
namespace {

struct RunFlags {
  ModelOptions model;
  SessionFlags session;
  runtime::SamplingParams sampling;
  /// Where the model's own defaults hold if the user says nothing.
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k, max_tokens;
  std::optional<std::string> prompt, prompt_file, system;  ///< Empty ones count.
  bool chat = false;
  bool json = false;
  bool stats = false;
};

double milliseconds(executor::TimePoint from, executor::TimePoint to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

Json finish_json(const executor::Finish& finish) {
  const executor::Timing& t = finish.timing;
  Json json = {{"finish_reason", base::enum_name(finish.reason)},
               {"prompt_tokens", finish.usage.prompt_tokens},
               {"completion_tokens", finish.usage.completion_tokens}};
  if (t.first_token) {
    json["ttft_ms"] = milliseconds(t.arrival, *t.first_token);
    if (finish.usage.completion_tokens > 1)
      json["tpot_ms"] = milliseconds(*t.first_token, *t.last_token) /
                        static_cast<double>(finish.usage.completion_tokens - 1);
  }
  return json;
}

std::string stats_line(const executor::Finish& finish) {
  Json json = finish_json(finish);
  std::string line = fmt::format("[{} prompt tokens, {} generated, {}",
                                 finish.usage.prompt_tokens,
                                 finish.usage.completion_tokens,
                                 base::enum_name(finish.reason));
  if (json.contains("ttft_ms"))
    line += fmt::format(", first after {:.1f} ms", json["ttft_ms"].get<double>());
  if (json.contains("tpot_ms"))
    line += fmt::format(", then {:.1f} tokens/s", 1000.0 / json["tpot_ms"].get<double>());
  return line + "]\n";
}

struct Answered {
  std::string text;
  bool stopped = false;  ///< By Ctrl-C.
};

/// Streams the answer to stdout as it comes, after `opening`.
Result<Answered> answer(api::Llm& llm,
                        std::vector<int32_t> prompt,
                        const RunFlags& flags,
                        std::string_view opening = {}) {
  executor::Request request{.prompt = std::move(prompt), .sampling = flags.sampling};
  request.sampling.max_tokens = flags.max_tokens ? *flags.max_tokens
                                                 : answer_length(llm.default_max_tokens(),
                                                                 flags.sampling.min_tokens,
                                                                 std::ssize(request.prompt),
                                                                 llm.session_info());
  TKM_ASSIGN(auto stream, llm.submit(std::move(request)));
  if (!flags.json) print(opening);
  Answered out;
  std::optional<executor::Finish> finish;
  while (!finish) {
    auto response = stream->next(std::chrono::milliseconds(50));
    if (take_interrupt()) {
      if (out.stopped) std::_Exit(kInterruptedStatus);  // It does not stop.
      out.stopped = true;
      stream->cancel();
    }
    if (!response) break;
    out.text += response->text;
    if (!flags.json && !response->text.empty()) print(response->text);
    finish = response->finish;
  }
  if (finish && finish->error) return *finish->error;
  if (!flags.json) print("\n");
  if (!finish) return out;
  if (flags.json) {
    Json json = finish_json(*finish);
    json["text"] = out.text;
    print(json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  } else if (flags.stats) {
    std::cerr << stats_line(*finish);
  }
  return out;
}

/// One answer. Nothing comes behind it that Ctrl-C could leave alone, so that ends the program.
Result<int> run_prompt(api::Llm& llm, const std::string& prompt, const RunFlags& flags) {
  std::vector<int32_t> ids;
  if (flags.chat) {
    Json messages = Json::array();
    if (flags.system) messages.push_back({{"role", "system"}, {"content", *flags.system}});
    messages.push_back({{"role", "user"}, {"content", prompt}});
    TKM_ASSIGN(ids, llm.encode_chat(messages));
  } else {
    TKM_ASSIGN(ids, llm.encode(prompt));
  }
  // A plain continuation reads as one text with its prompt.
  TKM_ASSIGN(Answered answered, answer(llm, std::move(ids), flags, flags.chat ? "" : prompt));
  return answered.stopped ? kInterruptedStatus : 0;
}

Result<int> run_chat(api::Llm& llm, const RunFlags& flags) {
  if (!llm.has_chat_template())
    return base::unsupported(fmt::format("{} has no chat template", llm.manifest().model_name),
                             "give --prompt for a plain continuation");
  Chat chat(
      flags.system,
      [&](const Json& messages) -> Result<std::string> {
        TKM_ASSIGN(std::vector<int32_t> ids, llm.encode_chat(messages));
        TKM_ASSIGN(Answered answered, answer(llm, std::move(ids), flags));
        return answered.text;
      },
      [](std::string_view note) { std::cerr << note << std::flush; });
  const bool terminal = ::isatty(STDIN_FILENO);
  if (terminal) std::cerr << "Type a message; /help lists commands, Ctrl-D ends.\n";
  LineReader lines(STDIN_FILENO, take_interrupt);
  while (true) {
    if (terminal) std::cerr << "> " << std::flush;
    std::string line;
    const LineReader::Read read = lines.next(line);
    if (read == LineReader::Read::kInterrupted && (!terminal || !chat.interrupted()))
      return kInterruptedStatus;
    if (read == LineReader::Read::kInterrupted) continue;
    if (read == LineReader::Read::kEnd && terminal) std::cerr << "\n";
    if (read == LineReader::Read::kEnd || !chat.take(line)) return 0;
  }
}

void take_defaults(RunFlags& flags, const runtime::SamplingParams& defaults) {
  flags.sampling.temperature = flags.temperature.value_or(defaults.temperature);
  flags.sampling.top_k = flags.top_k.value_or(defaults.top_k);
  flags.sampling.top_p = flags.top_p.value_or(defaults.top_p);
  flags.sampling.min_p = flags.min_p.value_or(defaults.min_p);
  flags.sampling.repetition_penalty =
      flags.repetition_penalty.value_or(defaults.repetition_penalty);
  flags.sampling.bad_words = defaults.bad_words;
  if (flags.sampling.stop.empty()) flags.sampling.stop = defaults.stop;
  if (flags.sampling.min_tokens == 0)
    flags.sampling.min_tokens =
        std::min(defaults.min_tokens, flags.max_tokens.value_or(defaults.min_tokens));
}

Result<int> run_run(RunFlags flags) {
  api::OpenOptions options;
  TKM_ASSIGN(options.build, flags.model.build_options());
  options.session = flags.session.options;
  if (options.session.kv_tokens == 0 && options.session.max_sequences == 64)
    options.session.max_sequences = 1;  // One conversation.
  TKM_ASSIGN(std::unique_ptr<api::Llm> llm, api::Llm::open(flags.model.model, options));
  take_defaults(flags, llm->sampling_defaults());
  if (flags.stats) {
    const api::OpenTimes& t = llm->open_times();
    std::cerr << fmt::format(
        "[engine {:.2f} s, tokenizer {:.2f} s, weights {:.2f} s]\n", t.engine, t.text, t.weights);
  }
  catch_interrupts();
  if (flags.prompt) return run_prompt(*llm, *flags.prompt, flags);
  if (flags.prompt_file) {
    TKM_ASSIGN(std::string prompt, base::read_file(*flags.prompt_file, 64 << 20));
    return run_prompt(*llm, prompt, flags);
  }
  return run_chat(*llm, flags);
}

}  // namespace

namespace {

/// An empty value is one. By itself the parser would take it for none.
CLI::Option* add_text(CLI::App& verb,
                      const std::string& name,
                      std::optional<std::string>& to,
                      const std::string& what) {
  return verb.add_option_function<std::string>(
      name, [&to](const std::string& text) { to = text; }, what);
}

void add_sampling(CLI::App& verb, RunFlags& flags) {
  runtime::SamplingParams& s = flags.sampling;
  const std::string unless = "; default: the model's generation_config.json, else ";
  verb.add_option("--temperature",
                  flags.temperature,
                  "0 takes the most probable token each time" + unless + "1");
  verb.add_option("--top-k", flags.top_k, "Keep the k most probable tokens, 0 all" + unless + "0");
  verb.add_option("--top-p",
                  flags.top_p,
                  "Keep the smallest set of tokens of at least this probability" + unless + "1");
  verb.add_option("--min-p",
                  flags.min_p,
                  "Drop tokens below this share of the highest probability" + unless + "0");
  verb.add_option("--repetition-penalty",
                  flags.repetition_penalty,
                  "Above 1: tokens seen before become less likely" + unless + "1");
  verb.add_option("--presence-penalty",
                  s.presence_penalty,
                  "Subtracted once for tokens of the answer so far")
      ->capture_default_str();
  verb.add_option("--frequency-penalty",
                  s.frequency_penalty,
                  "Subtracted each time for tokens of the answer so far")
      ->capture_default_str();
  verb.add_option("--seed", s.seed, "Same seed, same answer; -1 draws one")->capture_default_str();
  verb.add_option("--min-tokens", s.min_tokens, "No end before so many tokens")
      ->capture_default_str();
  verb.add_flag("--ignore-eos", s.ignore_eos, "Go on after the end token");
  verb.add_option("--stop", s.stop, "End before this text (may be repeated)");
  verb.add_option("--stop-token-id", s.stop_token_ids, "End with this token (may be repeated)");
}

}  // namespace

void add_run(CLI::App& app) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* verb = add_verb(
      app, "run", "Generate text: from --prompt, from a file, or as an interactive chat", [flags] {
        return run_run(*flags);
      });
  auto* prompt = add_text(*verb,
                          "-p,--prompt",
                          flags->prompt,
                          "Text to continue (an empty one, too); without it and without "
                          "--prompt-file an interactive chat begins");
  verb->add_option("--prompt-file", flags->prompt_file, "File whose text is the prompt")
      ->excludes(prompt);
  verb->add_flag("--chat",
                 flags->chat,
                 "Put the prompt through the model's chat template as a user's message");
  add_text(*verb, "--system", flags->system, "System message of the chat");
  verb->add_option("-n,--max-tokens",
                   flags->max_tokens,
                   fmt::format("Longest answer; default: the model's generation_config.json, else "
                               "{}, and no more than the context has left",
                               kDefaultAnswerTokens));
  verb->add_flag(
      "--json", flags->json, "Print one JSON object with text, finish reason and timings");
  verb->add_flag("--stats", flags->stats, "Print timings to stderr");
  under_heading(*verb, "Sampling", [&] { add_sampling(*verb, *flags); });
  flags->model.add_to(*verb);
  flags->session.add_to(*verb);
  add_examples(*verb,
               {"tokamak run models/storyteller --prompt 'Once upon a time' --max-tokens 100",
                "tokamak run models/storyteller --system 'Stories for children.'"});
}

}  // namespace tokamak::cli
