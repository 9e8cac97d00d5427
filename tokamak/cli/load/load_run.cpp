// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/load/load_run.h"

#include <algorithm>
#include <deque>
#include <numeric>

#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "tokamak/base/json.h"
#include "tokamak/cli/load/client.h"

namespace tokamak::cli {
namespace {

namespace asio = boost::asio;

constexpr const char* kNoServer =
    "start one with `tokamak serve MODEL`, or say with --url where it is";

struct Url {
  std::string host, port, path;
};

Result<Url> parse_url(const std::string& url) {
  constexpr std::string_view kScheme = "http://";
  auto bad = [&](std::string_view why) {
    return base::invalid(fmt::format("url '{}' {}", url, why), "for example http://127.0.0.1:8000");
  };
  if (url.starts_with("https://")) return bad("is https: the load generator speaks plain http");
  if (!url.starts_with(kScheme)) return bad("does not begin with http://");
  std::string rest = url.substr(kScheme.size());
  Url out;
  if (size_t slash = rest.find('/'); slash != std::string::npos) {
    out.path = rest.substr(slash);
    rest.resize(slash);
    if (out.path.back() == '/') out.path.pop_back();
    if (out.path.ends_with("/v1")) out.path.resize(out.path.size() - 3);
  }
  size_t colon = rest.rfind(':');
  if (colon != std::string::npos && rest.find(']', colon) == std::string::npos) {
    out.port = rest.substr(colon + 1);
    rest.resize(colon);
  } else {
    out.port = "80";
  }
  out.host = rest;
  if (out.host.empty() || out.port.empty()) return bad("has no host or no port");
  return out;
}

/// Requests that every server must refuse.
std::string malformed_body(uint64_t seed, const std::string& model) {
  Json body = {{"model", model}, {"prompt", "once"}, {"stream", true}};
  switch (seed % 6) {
    case 0:
      return R"({"prompt": "once", "max_tok)";
    case 1:
      body["temperature"] = "hot";
      break;
    case 2:
      body["max_tokens"] = -1;
      break;
    case 3:
      body["prompt"] = Json::object();
      break;
    case 4:
      body["logit_bias"] = "none";
      break;
    case 5:
      body["model"] = "no-such-model";
      break;
  }
  return body.dump();
}

class Run {
 public:
  Run(const LoadOptions& options,
      Json extra_body,
      Url url,
      Workload workload,
      const base::Progress& progress)
      : options_(options),
        extra_body_(std::move(extra_body)),
        url_(std::move(url)),
        workload_(std::move(workload)),
        progress_(progress),
        arrival_(context_) {}

  Result<LoadReport> run() {
    asio::ip::tcp::resolver resolver(context_);
    boost::system::error_code error;
    server_ = resolver.resolve(url_.host, url_.port, error);
    if (error)
      return base::io_error(fmt::format("{}: {}: {}", options_.url, url_.host, error.message()),
                            kNoServer);
    TKM_RETURN_IF_ERROR(find_model());
    find_tokens();
    for (int64_t i = 0; i < options_.concurrency; ++i) idle_.push_back(client());
    begin_ = LoadClock::now();
    pull();
    context_.restart();
    context_.run();
    report_.seconds = seconds_since_begin();
    report_.ttft = spread(std::move(ttft_));
    report_.tpot = spread(std::move(tpot_));
    report_.itl = spread(std::move(itl_));
    report_.e2e = spread(std::move(e2e_));
    return report_;
  }

 private:
  std::shared_ptr<LoadClient> client() {
    return std::make_shared<LoadClient>(context_, server_, url_.host + ":" + url_.port);
  }
  double seconds_since_begin() const {
    return std::chrono::duration<double>(LoadClock::now() - begin_).count();
  }

  /// One exchange, before the load begins.
  ClientResult ask(std::string method, const std::string& path, std::string body = {}) {
    ClientResult result;
    client()->send({.method = std::move(method),
                    .target = url_.path + path,
                    .api_key = options_.api_key,
                    .body = std::move(body),
                    .timeout = 10},
                   [&](ClientResult r) { result = std::move(r); });
    context_.restart();
    context_.run();
    return result;
  }

  Result<void> find_model() {
    const std::string what = options_.url + "/v1/models";
    const ClientResult result = ask("GET", "/v1/models");
    if (!result.error.empty())
      return base::io_error(fmt::format("{}: {}", what, result.error),
                            result.connected ? "is it an OpenAI server?" : kNoServer);
    if (result.status != 200)
      return base::io_error(
          fmt::format("{}: HTTP {}: {}", what, result.status, result.body.substr(0, 200)),
          result.status == 401 ? "give the server's key with --api-key"
                               : "is it an OpenAI server?");
    report_.model = options_.model;
    if (!options_.model.empty()) return {};
    auto json = base::parse_json(result.body, what);
    const Json* data = json.ok() ? base::find(*json, "data") : nullptr;
    if (!data || !data->is_array() || data->empty())
      return base::io_error(fmt::format("{}: no models in the answer", what),
                            "name one with --model");
    TKM_ASSIGN(report_.model, base::get_string(data->front(), "id"));
    return {};
  }

  /// Asks the server what it makes of our words, so that prompts have as many tokens as they
  /// should.
  void find_tokens() {
    if (options_.vocab) return;
    report_.prompts_of = "words";
    if (options_.words) return;
    const Json body = {
        {"model", report_.model}, {"prompt", all_words()}, {"add_special_tokens", false}};
    const ClientResult result = ask("POST", "/tokenize", body.dump());
    if (!result.error.empty() || result.status != 200) return;
    auto json = base::parse_json(result.body, "/tokenize");
    if (!json.ok()) return;
    auto tokens = base::get_ints(*json, "tokens");
    if (!tokens.ok() || tokens->empty()) return;
    word_tokens_ = std::move(*tokens);
    report_.prompts_of = "tokens";
  }

  Json prompt(const PlannedRequest& planned) const {
    const int64_t prefix = options_.workload.shared_prefix;
    if (options_.vocab) return prompt_ids(planned, prefix, options_.vocab);
    if (word_tokens_.empty()) return prompt_words(planned, prefix);
    std::vector<int64_t> ids = prompt_ids(planned, prefix, std::ssize(word_tokens_));
    for (int64_t& id : ids) id = word_tokens_[static_cast<size_t>(id)];
    return ids;
  }

  /// Takes the next request from the workload and starts it when its time has come.
  void pull() {
    if (next_ || ended_) return;
    next_ = workload_.next();
    if (!next_ || (options_.duration > 0 &&
                   std::max(next_->at, seconds_since_begin()) >= options_.duration)) {
      next_.reset();
      ended_ = true;
      return;
    }
    if (!workload_.open_loop()) return start_waiting();
    arrival_.expires_at(begin_ + std::chrono::microseconds(static_cast<int64_t>(next_->at * 1e6)));
    arrival_.async_wait([this](const boost::system::error_code&) { start_waiting(); });
  }

  void start_waiting() {
    if (!next_ || idle_.empty()) return;
    std::shared_ptr<LoadClient> client = std::move(idle_.back());
    idle_.pop_back();
    PlannedRequest planned = std::move(*next_);
    next_.reset();
    client->send(request(planned), [this, planned, client](ClientResult result) {
      idle_.push_back(client);
      record(planned, result);
      if (next_ && (!workload_.open_loop() || seconds_since_begin() >= next_->at)) start_waiting();
      asio::post(context_, [this] { pull(); });
    });
    asio::post(context_, [this] { pull(); });
  }

  ClientRequest request(const PlannedRequest& planned) const {
    ClientRequest out{.method = "POST",
                      .target = url_.path + "/v1/completions",
                      .api_key = options_.api_key,
                      .timeout = options_.timeout};
    if (planned.fate == Fate::kMalformed) {
      out.body = malformed_body(planned.seed, report_.model);
      return out;
    }
    if (planned.fate == Fate::kDisconnected)
      out.leave_after =
          static_cast<int64_t>(planned.seed % static_cast<uint64_t>(planned.output_len));
    Json body = {{"model", report_.model},
                 {"max_tokens", planned.output_len},
                 {"temperature", options_.temperature},
                 {"stream", true},
                 {"stream_options", {{"include_usage", true}}}};
    if (options_.ignore_eos) body["ignore_eos"] = true;
    body["prompt"] = prompt(planned);
    if (options_.vocab) body["return_token_ids"] = true;  // Events come without a tokenizer, too.
    body.update(extra_body_);
    out.body = body.dump();
    return out;
  }

  void record(const PlannedRequest& planned, ClientResult& result) {
    base::report(progress_, "requests", ++ended_requests_, options_.workload.requests);
    if (planned.fate == Fate::kMalformed) {
      bool refused = result.error.empty() && result.status >= 400 && result.status < 500 &&
                     result.status != 429;
      if (refused)
        ++report_.refused;
      else
        ++report_.errors[fmt::format(
            "malformed request: {}",
            result.error.empty() ? fmt::format("HTTP {}", result.status) : result.error)];
      return;
    }
    if (!result.error.empty()) {
      ++report_.errors[result.error];
    } else if (result.status != 200) {
      ++report_.errors[fmt::format("HTTP {}", result.status)];
    } else if (!result.error_event.empty()) {
      ++report_.errors["error within the stream"];
    } else if (result.left) {
      ++report_.disconnected;
    } else if (!result.done) {
      ++report_.errors["no [DONE]"];
    } else {
      completed(result);
    }
  }

  void completed(ClientResult& result) {
    ++report_.completed;
    report_.prompt_tokens += result.prompt_tokens;
    report_.cached_tokens += result.cached_tokens;
    report_.output_tokens += result.completion_tokens;
    auto milliseconds = [](LoadClock::duration time) {
      return std::chrono::duration<float, std::milli>(time).count();
    };
    e2e_.push_back(milliseconds(result.end - result.begin));
    if (result.events == 0) return;  // All of the answer was special tokens.
    float ttft = milliseconds(result.first - result.begin), tpot = 0;
    ttft_.push_back(ttft);
    if (result.completion_tokens > 1) {
      float sum = std::accumulate(result.gaps_ms.begin(), result.gaps_ms.end(), 0.0f);
      tpot = sum / static_cast<float>(result.completion_tokens - 1);
      tpot_.push_back(tpot);
    }
    itl_.insert(itl_.end(), result.gaps_ms.begin(), result.gaps_ms.end());
    bool fast = (options_.goodput_ttft_ms == 0 || ttft <= options_.goodput_ttft_ms) &&
                (options_.goodput_tpot_ms == 0 || tpot <= options_.goodput_tpot_ms);
    report_.good += fast;
  }

  const LoadOptions& options_;
  const Json extra_body_;
  const Url url_;
  Workload workload_;
  const base::Progress& progress_;
  asio::io_context context_{1};
  asio::steady_timer arrival_;
  asio::ip::tcp::resolver::results_type server_;
  std::vector<int64_t> word_tokens_;  ///< Of prompts; empty: they are sent as words.
  std::vector<std::shared_ptr<LoadClient>> idle_;
  std::optional<PlannedRequest> next_;
  bool ended_ = false;
  LoadClock::time_point begin_;
  LoadReport report_;
  int64_t ended_requests_ = 0;
  std::vector<float> ttft_, tpot_, itl_, e2e_;
};

}  // namespace

Spread spread(std::vector<float> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  auto at = [&](double share) {
    return static_cast<double>(values[std::min(
        values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())))]);
  };
  double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {.mean = sum / static_cast<double>(values.size()),
          .p50 = at(0.5),
          .p90 = at(0.9),
          .p95 = at(0.95),
          .p99 = at(0.99),
          .max = at(1)};
}

Result<LoadReport> run_load(const LoadOptions& options, const base::Progress& progress) {
  if (options.vocab < 0 || (options.vocab && options.words))
    return base::invalid(fmt::format(
        "vocab is {}: it must not be negative, and prompts of words have none", options.vocab));
  if (options.concurrency < 1 || options.concurrency > 60000)
    return base::invalid(
        fmt::format("concurrency is {}, must be between 1 and 60000", options.concurrency));
  if (!(options.timeout > 0) || !(options.duration >= 0))
    return base::invalid(fmt::format(
        "timeout {} and duration {} must be positive", options.timeout, options.duration));
  if (options.workload.requests == 0 && options.duration == 0 && options.workload.trace.empty())
    return base::invalid("neither a number of requests nor a duration is given");
  Json extra_body = Json::object();
  if (!options.extra_body.empty()) {
    TKM_ASSIGN(extra_body, base::parse_json(options.extra_body, "extra_body"));
    if (!extra_body.is_object())
      return base::invalid("extra_body is " + options.extra_body + ", must be a JSON object");
  }
  TKM_ASSIGN(Url url, parse_url(options.url));
  TKM_ASSIGN(Workload workload, Workload::make(options.workload));
  return Run(options, std::move(extra_body), std::move(url), std::move(workload), progress).run();
}

}  // namespace tokamak::cli
