// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "tokamak/api/llm.h"
#include "tokamak/base/hash.h"
#include "tokamak/base/log.h"
#include "tokamak/cli/command.h"
#include "tokamak/server/auth.h"
#include "tokamak/server/model_defaults.h"
#include "tokamak/server/server.h"

namespace tokamak::cli {
namespace {

struct ServeFlags {
  ModelOptions model;
  SessionFlags session;
  server::ServerOptions server;
  executor::ExecutorOptions executor;
  std::vector<std::string> names;
  std::string key_file;
  std::string metrics_compat = "all";
  std::string default_settings;
  double drain_timeout_seconds = 30;
};

std::atomic<int> signals{0}, reloads{0};
std::atomic<bool> loading{true};

/// Nothing is lost by stopping while the model loads. Later the first signal drains, the second
/// ends what still runs, and the third does not wait for that either.
void on_signal(int signal) {
  if (loading || signals >= 2) std::_Exit(128 + signal);
  ++signals;
}

void on_reload(int) {
  ++reloads;
}

/// Of the signals whose default is to end the process, those that nobody means so are ignored.
void set_signals() {
  for (int signal : {SIGINT, SIGTERM}) std::signal(signal, on_signal);
  std::signal(SIGHUP, on_reload);
  for (int signal : {SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM}) std::signal(signal, SIG_IGN);
}

Result<std::vector<std::string>> read_keys(const ServeFlags& flags) {
  std::vector<std::string> keys = flags.server.api_keys;
  if (const char* key = std::getenv("TOKAMAK_API_KEY"); key && *key && keys.empty()) {
    keys.emplace_back(key);
  }
  if (flags.key_file.empty()) return keys;
  TKM_ASSIGN(std::vector<std::string> read, server::read_key_file(flags.key_file));
  keys.insert(keys.end(), read.begin(), read.end());
  return keys;
}

Result<void> validate(const ServeFlags& flags) {
  for (const std::string& name : flags.names) {
    if (name.empty()) return base::invalid("served_model_name is empty, must name the model");
  }
  if (!(flags.drain_timeout_seconds >= 0 && flags.drain_timeout_seconds <= 86'400)) {
    return base::invalid(fmt::format("drain_timeout_seconds is {}, must be between 0 and 86400",
                                     flags.drain_timeout_seconds));
  }
  return {};
}

/// Equal for the same weights, built alike for the same kind of device by the same version.
std::string fingerprint_of(const engine::Manifest& manifest) {
  const std::string what = fmt::format("{} {} {} {} {} {}",
                                       TOKAMAK_VERSION,
                                       manifest.family,
                                       static_cast<int>(manifest.dtype),
                                       manifest.target,
                                       manifest.fingerprint,
                                       manifest.checkpoint_fingerprint);
  return "fp_" + base::hash_text(what).hex().substr(0, 12);
}

server::Model served_model(const std::shared_ptr<api::Llm>& llm, std::vector<std::string> names) {
  server::Model model;
  model.names = std::move(names);
  if (model.names.empty()) model.names.push_back(llm->manifest().model_name);
  model.executor = std::shared_ptr<executor::Executor>(llm, &llm->executor());
  model.tokenizer = llm->shared_tokenizer();
  model.chat_template = llm->chat_templates().chat;
  model.tool_template = llm->chat_templates().tool_use;
  model.template_variables = llm->template_variables();
  model.defaults = llm->sampling_defaults();
  model.default_max_tokens = llm->default_max_tokens();
  model.target = llm->manifest().target;
  model.fingerprint = fingerprint_of(llm->manifest());
  return model;
}

void reload(server::Server& server, const ServeFlags& flags) {
  auto keys = read_keys(flags);
  const Result<void> status = keys.ok() ? server.reload(*keys) : Result<void>(keys.error());
  if (!status.ok()) return base::log_warn("keys and certificates stay: {}", status.error().text());
  print(fmt::format("read keys and certificates anew: {} keys\n", keys->size()));
}

/// Until the first signal, or until nothing can be served any more.
void wait_for_end(const executor::Executor& executor,
                  server::Server& server,
                  const ServeFlags& flags) {
  int reloaded = 0;
  while (signals == 0 && !executor.failure()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (const int asked = reloads; asked != reloaded) {
      reloaded = asked;
      reload(server, flags);
    }
  }
}

Result<int> run_serve(ServeFlags flags) {
  TKM_RETURN_IF_ERROR(validate(flags));
  server::ServerOptions server_options = flags.server;
  TKM_ASSIGN(server_options.api_keys, read_keys(flags));
  server_options.metrics_aliases = flags.metrics_compat == "all";
  api::OpenOptions options;
  TKM_ASSIGN(options.build, flags.model.build_options());
  options.session = flags.session.options;
  options.executor = flags.executor;
  set_signals();

  TKM_ASSIGN(std::unique_ptr<server::Server> server, server::Server::start(server_options));
  print(fmt::format("listening on {}, loading {}\n", server->url(), flags.model.model));
  TKM_ASSIGN(std::shared_ptr<api::Llm> llm, api::Llm::open(flags.model.model, options));
  server::Model model = served_model(llm, flags.names);
  if (!flags.default_settings.empty()) {
    auto read = server::override_defaults(flags.default_settings, model);
    if (!read.ok()) {
      const Error& error = read.error();
      return Error{error.code, "--override-generation-config: " + error.message, error.hint};
    }
  }
  const std::string name = model.name();
  server->serve(std::move(model));
  loading = false;
  print(
      fmt::format("ready: {} at {}/v1, page at {}/, up to {} tokens a sequence, {} sequences at "
                  "once\n",
                  name,
                  server->url(),
                  server->url(),
                  llm->session_info().max_seq_len,
                  llm->session_info().max_sequences));

  wait_for_end(llm->executor(), *server, flags);
  if (signals > 0) {
    print(fmt::format("draining for up to {} s; another signal stops at once\n",
                      flags.drain_timeout_seconds));
  }
  const auto timeout = std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(flags.drain_timeout_seconds));
  const bool drained = server->drain(timeout, [] { return signals > 1; });
  server->stop();
  if (auto failure = llm->executor().failure()) {
    // A step that hangs holds the device's driver, and whoever tidies up would wait for it.
    std::fputs(fmt::format("error: {}\n", failure->text()).c_str(), stderr);
    std::fflush(nullptr);
    std::_Exit(base::exit_status(failure->code));
  }
  print(drained ? "stopped\n" : "stopped with answers cut off\n");
  return drained ? 0 : 1;
}

void add_server_options(CLI::App& verb, server::ServerOptions& o) {
  verb.add_option("--host", o.host, "Address to listen on; 0.0.0.0 lets other machines in")
      ->capture_default_str();
  verb.add_option("--port", o.port, "Port; 0 takes a free one and prints it")
      ->capture_default_str();
  verb.add_option("--tls-certificate", o.tls_certificate, "PEM file: serve https (with --tls-key)");
  verb.add_option("--tls-key", o.tls_key, "PEM file with the certificate's private key");
  verb.add_option("--cors-origin",
                  o.cors_origins,
                  "Origin whose pages may use the server, as https://chat.example.com, or * for "
                  "all (may be repeated); those of this machine always may");
  verb.add_option("--allowed-host",
                  o.allowed_hosts,
                  "Name by which a proxy asks a server on a loopback address without keys, or * "
                  "(may be repeated)");
  verb.add_option("--root-path", o.root_path, "Prefix that a proxy leaves in paths, as /llm");
  verb.add_flag("--log-requests", o.log_requests, "A line of JSON on stderr for each request");
  verb.option_defaults()->group("Limits and timeouts");
  verb.add_option("--max-connections", o.max_connections, "Open connections; more are closed")
      ->capture_default_str();
  verb.add_option("--max-body-bytes", o.max_body_bytes, "Longest request body")
      ->capture_default_str();
  verb.add_option("--max-body-bytes-total",
                  o.max_body_bytes_total,
                  "Bodies that come or wait, together; more get 503; 0: 32 x --max-body-bytes")
      ->capture_default_str();
  verb.add_option("--max-request-queue",
                  o.max_request_queue,
                  "Requests that may wait for a request thread; more get 429")
      ->capture_default_str();
  verb.add_option("--max-header-bytes", o.max_header_bytes, "Longest request head")
      ->capture_default_str();
  verb.add_option("--max-choices", o.max_choices, "Answers to one request: prompts x n")
      ->capture_default_str();
  verb.add_option(
          "--max-answer-bytes",
          o.max_answer_bytes,
          "Answers to one request: what they repeat of its prompts, and what is kept of them "
          "until they are whole")
      ->capture_default_str();
  verb.add_flag("--allow-priority",
                o.allow_priority,
                "Requests may have a priority and go before others that came earlier");
  verb.add_option("--header-timeout", o.header_timeout_seconds, "Seconds for a request's head")
      ->capture_default_str();
  verb.add_option("--body-timeout", o.body_timeout_seconds, "Seconds for a request's body")
      ->capture_default_str();
  verb.add_option("--handler-timeout",
                  o.handler_timeout_seconds,
                  "Seconds until the model has a request that has come")
      ->capture_default_str();
  verb.add_option("--idle-timeout", o.idle_timeout_seconds, "Seconds between two requests")
      ->capture_default_str();
  verb.add_option("--write-timeout",
                  o.write_timeout_seconds,
                  "Seconds that a client may read nothing of its answer")
      ->capture_default_str();
  verb.add_option("--http-threads", o.http_threads, "Threads that read and write sockets")
      ->capture_default_str();
  verb.add_option("--request-threads",
                  o.request_threads,
                  "Threads that parse requests, render templates and tokenize")
      ->capture_default_str();
  verb.add_flag("--strict-fields",
                o.strict_fields,
                "Refuse unknown request fields (otherwise they are counted in /metrics)");
  verb.option_defaults()->group("Options");
}

void add_executor_options(CLI::App& verb, executor::ExecutorOptions& o) {
  verb.add_option("--max-queue", o.max_queue, "Requests that may wait; more get 429")
      ->capture_default_str();
  verb.add_option("--max-running",
                  o.max_running,
                  "Requests that run together, --max-sequences at most; 0: so many")
      ->capture_default_str();
  verb.add_option("--budget-tokens",
                  o.budget_tokens,
                  "Rows of one step, --max-step-tokens at most; less means shorter stalls when a "
                  "long prompt comes, 0: all")
      ->capture_default_str();
  verb.add_option("--priority-seconds",
                  o.priority_seconds,
                  "How much earlier one step of priority makes a request")
      ->capture_default_str();
  verb.add_option(
          "--step-timeout",
          o.step_timeout_seconds,
          "Seconds after which a step that has not ended is taken to hang: all requests end "
          "with an error, and so does the server; 0: never")
      ->capture_default_str();
  add_overlap_flag(verb, o.overlap);
}

}  // namespace

void add_serve(CLI::App& app) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* verb =
      add_verb(app, "serve", "Serve a model over HTTP: OpenAI's API, KServe's, metrics", [flags] {
        return run_serve(*flags);
      });
  flags->model.add_to(*verb);
  verb->add_option("--served-model-name",
                   flags->names,
                   "What clients call the model (may be repeated); default: the folder's name");
  verb->add_option(
      "--override-generation-config",
      flags->default_settings,
      "JSON object of sampling settings (temperature, top_p, max_new_tokens, ...) that "
      "count where a request says nothing, over those of the model's own file");
  add_server_options(*verb, flags->server);
  verb->add_option("--api-key",
                   flags->server.api_keys,
                   "Key that requests must carry (may be repeated); default: $TOKAMAK_API_KEY, "
                   "without any every request is let in");
  verb->add_option("--api-key-file",
                   flags->key_file,
                   "File of keys, one a line; SIGHUP reads it anew, and the TLS files");
  verb->add_option("--metrics-compat",
                   flags->metrics_compat,
                   "Also name metrics as vLLM and Triton do: all or none")
      ->check(CLI::IsMember({"all", "none"}))
      ->capture_default_str();
  verb->add_option("--drain-timeout",
                   flags->drain_timeout_seconds,
                   "Seconds that running answers get after SIGTERM; a second signal ends them")
      ->capture_default_str();
  under_heading(*verb, "Scheduling", [&] { add_executor_options(*verb, flags->executor); });
  flags->session.add_to(*verb);
  add_examples(
      *verb,
      {"tokamak serve models/storyteller",
       "TOKAMAK_API_KEY=secret tokamak serve models/storyteller --host 0.0.0.0 --port 8080"});
}

}  // namespace tokamak::cli
