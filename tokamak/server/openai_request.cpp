// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/openai_request.h"

#include <algorithm>
#include <limits>

#include "tokamak/server/context_length.h"
#include "tokamak/server/request_id.h"

namespace tokamak::server {
namespace {

constexpr int64_t kDefaultMaxTokens = 16;  // OpenAI's, of completions.
constexpr size_t kMaxCacheSalt = 1024;

/// That of the request, unless its body names another. It comes back in a header.
Result<std::string> read_request_id(FieldReader& reader, const HttpRequest& http) {
  std::string id = http.id;
  reader.text("request_id", id);
  if (id.empty()) id = random_request_id();
  if (is_request_id(id)) return id;
  return base::invalid(fmt::format(
      "request_id must be 1 to {} visible ASCII characters without quotes", kMaxRequestId));
}

void read_logprobs(FieldReader& reader, OpenAiRequest& request) {
  auto& named = request.sampling.logprob_token_ids;
  reader.ids("logprob_token_ids", named, {.elements = runtime::kMostLogprobTokenIds});
  if (!named.empty()) request.logprobs = 0;  // The token's own come with theirs.
  if (request.endpoint == Endpoint::kCompletions) {
    reader.integer("logprobs", request.logprobs, 0, 20);
    return;
  }
  bool wanted = false;
  int64_t top = 0;
  reader.boolean("logprobs", wanted);
  reader.integer("top_logprobs", top, 0, 20);
  if (wanted) request.logprobs = top;
  if (!wanted && top > 0) {
    reader.fail(base::invalid("top_logprobs needs logprobs to be true"));
  }
}

void read_stream(FieldReader& reader, OpenAiRequest& request) {
  reader.boolean("stream", request.stream);
  const Json* options = reader.find("stream_options");
  if (!options) return;
  if (!options->is_object())
    return reader.fail(wrong_type("stream_options", "an object", *options));
  if (!request.stream) return reader.fail(base::invalid("stream_options needs stream to be true"));
  FieldReader inner(*options);
  inner.boolean("include_usage", request.include_usage);
  inner.boolean("continuous_usage_stats", request.continuous_usage);
  request.continuous_usage = request.continuous_usage && request.include_usage;
  bool obfuscation = false;
  inner.boolean("include_obfuscation", obfuscation);
  if (!inner.ok()) {
    Error error = inner.status().error();
    error.message = "stream_options: " + error.message;
    return reader.fail(std::move(error));
  }
  if (obfuscation) {
    reader.fail(base::unsupported("stream_options.include_obfuscation is not supported",
                                  "serve with TLS, and leave it out"));
  }
}

void read_counts(FieldReader& reader, OpenAiRequest& request) {
  reader.integer("n", request.n, 1, executor::kMaxAnswers);
  request.best_of = request.n;
  reader.integer("best_of", request.best_of, 0, executor::kMaxAnswers);
  if (request.best_of == 0) request.best_of = request.n;  // OpenAI's least value.
  if (request.best_of < request.n) {
    reader.fail(base::invalid(
        fmt::format("best_of is {}, must be at least n, which is {}", request.best_of, request.n)));
  }
  if (request.best_of > request.n && request.stream) {
    reader.fail(base::invalid("best_of above n cannot be streamed"));
  }
}

/// With 0 the prompt is read and nothing is answered: to score it, or to have it in the cache.
void read_max_tokens(FieldReader& reader, OpenAiRequest& request) {
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {
    if (!reader.find(name)) continue;
    int64_t value = 0;
    reader.integer(name, value, 0, std::numeric_limits<int64_t>::max());
    request.max_tokens = value;
    request.length_names.max_tokens = name;
  }
}

/// -1 is vLLM's for as many as the model takes.
void read_truncation(FieldReader& reader, OpenAiRequest& request) {
  constexpr const char* kName = "truncate_prompt_tokens";
  reader.integer(kName, request.truncate_prompt_tokens, -1, std::numeric_limits<int64_t>::max());
  if (reader.ok() && reader.find(kName) && request.truncate_prompt_tokens == 0) {
    reader.fail(base::invalid(fmt::format("{} is 0, must be -1 or at least 1", kName)));
  }
}

/// How many tokens of the prompt are left at most. What fits leaves room for the answer that is
/// asked for, and for a token at least.
int64_t kept_tokens(const OpenAiRequest& request, const Model& model) {
  if (request.truncate_prompt_tokens == 0) return std::numeric_limits<int64_t>::max();
  if (request.truncate_prompt_tokens > 0) return request.truncate_prompt_tokens;
  const int64_t context = context_tokens(model.info());
  const int64_t unasked = request.endpoint == Endpoint::kChat ? 1 : kDefaultMaxTokens;
  const int64_t answer = std::max<int64_t>(1, request.max_tokens.value_or(unasked));
  return std::max<int64_t>(1, context - std::min(answer, context));
}

void read_operations(FieldReader& reader, const HttpRequest& http, OpenAiRequest& request) {
  int64_t priority = 0;
  reader.integer("priority", priority, -executor::kMaxPriority, executor::kMaxPriority);
  request.priority = static_cast<int>(-priority);
  std::string salt;
  if (reader.find("cache_salt")) {
    reader.text("cache_salt", salt);
    if (reader.ok() && (salt.empty() || salt.size() > kMaxCacheSalt)) {
      reader.fail(base::invalid(fmt::format(
          "cache_salt has {} bytes, must have between 1 and {}", salt.size(), kMaxCacheSalt)));
    }
  }
  request.cache_salt = cache_salt(http, salt);
}

}  // namespace

Result<OpenAiRequest> read_openai_request(const Json& body,
                                          Endpoint endpoint,
                                          const HttpRequest& http,
                                          const Model& model) {
  OpenAiRequest request;
  request.endpoint = endpoint;
  if (endpoint == Endpoint::kChat) request.length_names.prompt = "messages";
  request.model = model.name();
  request.sampling = model.defaults;
  request.add_special_tokens = endpoint == Endpoint::kCompletions;
  FieldReader reader(body);
  reader.text("model", request.model);
  if (!http.model.empty()) request.model = http.model;
  TKM_RETURN_IF_ERROR(reader.status());
  TKM_ASSIGN(request.request_id, read_request_id(reader, http));
  request.id = (endpoint == Endpoint::kChat ? "chatcmpl-" : "cmpl-") + request.request_id;
  read_sampling(reader, model, request.sampling);
  read_logprobs(reader, request);
  read_stream(reader, request);
  read_counts(reader, request);
  reader.boolean("echo", request.echo);
  read_max_tokens(reader, request);
  reader.boolean("add_special_tokens", request.add_special_tokens);
  reader.boolean("skip_special_tokens", request.skip_special_tokens);
  read_truncation(reader, request);
  reader.boolean("return_tokens_as_token_ids", request.tokens_as_ids);
  reader.boolean("return_token_ids", request.return_token_ids);
  read_operations(reader, http, request);
  TKM_RETURN_IF_ERROR(reader.status());
  return request;
}

executor::Request executor_request(const OpenAiRequest& request,
                                   const Prompt& prompt,
                                   const Model& model) {
  executor::Request out;
  out.id = request.id;
  out.prompt = prompt.ids;
  if (const int64_t kept = kept_tokens(request, model); kept < std::ssize(out.prompt))
    out.prompt.erase(out.prompt.begin(), out.prompt.end() - kept);
  out.sampling = request.sampling;
  const int64_t room = room_left(out.prompt.size(), model);
  if (request.max_tokens) {
    out.sampling.max_tokens = std::max<int64_t>(1, *request.max_tokens);
  } else if (model.default_max_tokens) {
    out.sampling.max_tokens = std::min(*model.default_max_tokens, room);
  } else {
    out.sampling.max_tokens =
        request.endpoint == Endpoint::kChat ? room : std::min(kDefaultMaxTokens, room);
  }
  bound_defaults(model, out.sampling);
  out.sampling.logprobs = request.logprobs;
  if (request.best_of > request.n) out.sampling.logprobs = std::max<int64_t>(0, request.logprobs);
  if (request.echo && request.logprobs >= 0) {
    out.sampling.prompt_logprobs = std::max(out.sampling.prompt_logprobs, request.logprobs);
  }
  out.priority = request.priority;
  out.skip_special_tokens = request.skip_special_tokens;
  out.n = request.best_of;
  out.cache_salt = request.cache_salt;
  return out;
}

}  // namespace tokamak::server
