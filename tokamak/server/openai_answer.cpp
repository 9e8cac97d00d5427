// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/openai_answer.h"

#include <algorithm>
#include <ctime>
#include <numeric>
#include <utility>

#include "tokamak/server/sse.h"

namespace tokamak::server {
namespace {

using executor::FinishReason;

std::string_view finish_text(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "\"stop\"";
    case FinishReason::kLength:
      return "\"length\"";
    case FinishReason::kDeadline:
    case FinishReason::kCancelled:
    case FinishReason::kError:
      break;
  }
  return "\"abort\"";
}

std::string stop_reason_text(const executor::StopReason& reason) {
  if (const auto* text = std::get_if<std::string>(&reason)) {
    std::string out;
    append_json_string(out, *text);
    return out;
  }
  if (const auto* token = std::get_if<int32_t>(&reason)) return std::to_string(*token);
  return "null";
}

/// The answer's last token ended it and is not part of its text.
bool ended_by_token(const executor::Finish& finish) {
  return finish.reason == FinishReason::kStop &&
         !std::holds_alternative<std::string>(finish.stop_reason);
}

void append_ids(std::string& out, const std::vector<int32_t>& ids) {
  out += fmt::format("[{}]", fmt::join(ids, ","));
}

}  // namespace

OpenAiAnswer::OpenAiAnswer(OpenAiRequest request,
                           std::vector<Prompt> prompts,
                           std::shared_ptr<const Model> model)
    : request_(std::move(request)),
      prompts_(std::move(prompts)),
      model_(std::move(model)),
      texts_{model_->tokenizer.get(), request_.tokens_as_ids},
      no_answer_(request_.max_tokens == 0),
      chunk_prefix_(prefix(is_chat() ? "chat.completion.chunk" : "text_completion")),
      choices_(prompts_.size(), std::vector<Choice>(static_cast<size_t>(request_.best_of))),
      prompt_scores_(prompts_.size()) {
  for (const Prompt& prompt : prompts_) usage_.prompt_tokens += std::ssize(prompt.ids);
}

Result<void> OpenAiAnswer::check_size(int64_t max_bytes) const {
  // About what is written of a token, its logprob and each alternative.
  constexpr int64_t kIdBytes = 6, kScoreBytes = 40;
  int64_t echo = 0, scores = 0, ids = 0;
  const int64_t top = request_.sampling.prompt_logprobs;
  for (const Prompt& prompt : prompts_) {
    const int64_t tokens = std::ssize(prompt.ids);
    if (request_.echo) echo += std::ssize(prompt.text);
    if (scores_prompt()) echo += tokens * kScoreBytes * (1 + request_.logprobs);
    if (top >= 0) scores += tokens * kScoreBytes * (1 + top);
    if (request_.return_token_ids) ids += tokens * kIdBytes;
  }
  const std::pair<std::string_view, int64_t> parts[] = {
      {"echo", echo}, {"prompt_logprobs", scores}, {"return_token_ids", ids}};
  for (const auto& [field, bytes] : parts) {
    // By division, as the product may be beyond an integer.
    if (bytes <= max_bytes / request_.best_of) continue;
    return base::invalid(
        fmt::format(
            "{} asks for {} bytes of prompts with each of {} answers, the limit is {} bytes",
            field,
            bytes,
            request_.best_of,
            max_bytes),
        "ask for fewer answers or send fewer prompts at once; the server's --max-answer-bytes sets "
        "the limit");
  }
  return {};
}

std::string OpenAiAnswer::prefix(std::string_view object) const {
  std::string out = R"({"id":)";
  append_json_string(out, request_.id);
  out += fmt::format(R"(,"object":"{}","created":{},"model":)", object, std::time(nullptr));
  append_json_string(out, request_.model);
  out += R"(,"system_fingerprint":)";
  append_json_string(out, model_->fingerprint);
  return out + R"(,"choices":[)";
}

// ---- Responses in.

bool OpenAiAnswer::is_special(int32_t id) const {
  const text::Tokenizer* tokenizer = texts_.tokenizer;
  return tokenizer && id < tokenizer->vocab_size() && tokenizer->is_special(id);
}

void OpenAiAnswer::take_prompt(size_t prompt, executor::Response& response) {
  auto& scores = prompt_scores_[prompt];
  const std::vector<int32_t>& ids = prompts_[prompt].ids;
  std::string_view rest = prompts_[prompt].text;
  bool begun = false;
  for (size_t i = 0; i < ids.size() && i <= response.prompt_logprobs.size(); ++i) {
    ScoredToken& token = scores.emplace_back();
    token.id = ids[i];
    if (i > 0) token.logprobs = std::move(response.prompt_logprobs[i - 1]);
    std::string bytes = texts_.bytes(token.id);
    // A special token that the tokenizer put there is not in the text; one that was sent is.
    token.in_text = rest.starts_with(bytes) || !is_special(token.id);
    if (!token.in_text) continue;
    token.opens_text = !std::exchange(begun, true) && !rest.starts_with(bytes);
    if (token.opens_text) bytes = texts_.bytes(token.id, true);
    rest.remove_prefix(std::min(bytes.size(), rest.size()));
  }
}

void OpenAiAnswer::add(Choice& choice, executor::Response& response) {
  if (!no_answer_) {
    choice.text += response.text;
    usage_.completion_tokens += static_cast<int64_t>(response.tokens.size());
    if (request_.return_token_ids) {
      choice.token_ids.insert(
          choice.token_ids.end(), response.tokens.begin(), response.tokens.end());
    }
    for (size_t i = 0; request_.logprobs >= 0 && i < response.logprobs.size(); ++i) {
      const int32_t id = response.tokens[i];
      const bool in_text = !request_.skip_special_tokens || !is_special(id);
      choice.scored.push_back({id, std::move(response.logprobs[i]), in_text});
    }
    // The texts of a chat's tokens are those of its answer; for a score, every token counts.
    const bool end_token = response.finish && ended_by_token(*response.finish);
    if (is_chat() && end_token && !choice.scored.empty()) choice.scored.pop_back();
  }
  // The same of all answers to a prompt.
  if (response.finish && response.index == 0)
    usage_.cached_tokens += response.finish->usage.cached_tokens;
  choice.finish = std::move(response.finish);
  if (no_answer_ && choice.finish && choice.finish->reason == FinishReason::kStop) {
    choice.finish->reason = FinishReason::kLength;  // Of the one token that nobody asked for.
    choice.finish->stop_reason = {};
  }
}

void OpenAiAnswer::take(size_t prompt, executor::Response response, std::string& out) {
  const auto answer = static_cast<size_t>(response.index);
  Choice& choice = choices_[prompt].at(answer);
  auto& scores = prompt_scores_[prompt];
  const bool first = scores.empty() && response.index == 0;
  if (first) take_prompt(prompt, response);
  if (streams() && is_chat()) open(prompt, answer, out);
  add(choice, response);
  if (!streams()) return;
  // What answers to a prompt begin with comes with the first response of the first of them.
  if (!scores_prompt()) return send(prompt, answer, out);
  if (scores.empty()) return;
  for (size_t i = 0; first && i < choices_[prompt].size(); ++i) send(prompt, i, out);
  if (!first) send(prompt, answer, out);
}

// ---- Text out.

/// In an event with choices: null where the usage comes with the last event alone.
void OpenAiAnswer::append_event_usage(std::string& out) const {
  if (!request_.include_usage) return;
  out += ',';
  if (request_.continuous_usage) return append_usage(out);
  out += R"("usage":null)";
}

void OpenAiAnswer::append_usage(std::string& out) const {
  out += fmt::format(R"("usage":{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},)"
                     R"("prompt_tokens_details":{{"cached_tokens":{}}}}})",
                     usage_.prompt_tokens,
                     usage_.completion_tokens,
                     usage_.prompt_tokens + usage_.completion_tokens,
                     usage_.cached_tokens);
}

bool OpenAiAnswer::leads_with_prompt(size_t prompt, const Choice& choice) const {
  return request_.echo && !choice.led && (scores_prompt() || !prompts_[prompt].text.empty());
}

/// As vLLM has them: beside the choices of a chat, in each choice of a completion; in a stream
/// once, with the first event of the choice, and in a whole answer null if nobody asked.
void OpenAiAnswer::append_prompt_fields(std::string& out, size_t prompt) const {
  if (request_.return_token_ids) {
    out += R"(,"prompt_token_ids":)";
    append_ids(out, prompts_[prompt].ids);
  } else if (!streams()) {
    out += R"(,"prompt_token_ids":null)";
  }
  if (request_.sampling.prompt_logprobs >= 0 && !prompt_scores_[prompt].empty()) {
    out += R"(,"prompt_logprobs":)";
    append_prompt_logprobs(out, prompt_scores_[prompt], texts_);
  } else if (!streams()) {
    out += R"(,"prompt_logprobs":null)";
  }
}

void OpenAiAnswer::append_choice(std::string& out,
                                 int64_t index,
                                 size_t prompt,
                                 Choice& choice,
                                 std::string_view message) const {
  const bool leads = leads_with_prompt(prompt, choice);
  choice.led = true;
  out += fmt::format(R"({{"index":{},)", index);
  out += is_chat() ? message : R"("text":)";
  append_json_string(out, leads ? prompts_[prompt].text + choice.text : choice.text);
  if (is_chat()) out += '}';
  out += R"(,"logprobs":)";
  if (request_.logprobs < 0) {
    out += "null";
  } else if (is_chat()) {
    append_chat_logprobs(out, choice.scored, texts_);
  } else {
    std::span<const ScoredToken> lead;
    if (leads && scores_prompt()) lead = prompt_scores_[prompt];
    append_completion_logprobs(out, lead, choice.scored, texts_, choice.text_offset);
  }
  out += R"(,"finish_reason":)";
  out += choice.finish ? finish_text(choice.finish->reason) : "null";
  out += R"(,"stop_reason":)";
  out += choice.finish ? stop_reason_text(choice.finish->stop_reason) : "null";
  if (request_.return_token_ids) {
    out += R"(,"token_ids":)";
    append_ids(out, choice.token_ids);
  } else if (!streams()) {
    out += R"(,"token_ids":null)";
  }
  if (!is_chat() && !std::exchange(choice.told_prompt, true)) append_prompt_fields(out, prompt);
  out += '}';
}

int64_t OpenAiAnswer::index_of(size_t prompt, size_t answer) const {
  return static_cast<int64_t>(prompt) * request_.n + static_cast<int64_t>(answer);
}

/// The first event of a chat's answer, before its tokens are counted.
void OpenAiAnswer::open(size_t prompt, size_t answer, std::string& out) {
  if (std::exchange(choices_[prompt][answer].opened, true)) return;
  out += "data: " + chunk_prefix_;
  out += fmt::format(R"({{"index":{},"delta":{{"role":"assistant","content":""}},"logprobs":null,)"
                     R"("finish_reason":null}}])",
                     index_of(prompt, answer));
  if (answer == 0) append_prompt_fields(out, prompt);
  append_event_usage(out);
  out += "}\n\n";
}

void OpenAiAnswer::send(size_t prompt, size_t answer, std::string& out) {
  Choice& choice = choices_[prompt][answer];
  if (!leads_with_prompt(prompt, choice) && choice.text.empty() && choice.scored.empty() &&
      choice.token_ids.empty() && !choice.finish) {
    return;
  }
  if (choice.finish && choice.finish->reason == FinishReason::kError) return;
  out += "data: ";
  out += chunk_prefix_;
  append_choice(out, index_of(prompt, answer), prompt, choice, R"("delta":{"content":)");
  out += ']';
  append_event_usage(out);
  out += "}\n\n";
  choice.text.clear();
  choice.scored.clear();
  choice.token_ids.clear();
}

void OpenAiAnswer::end(std::string& out) {
  if (request_.include_usage) {
    out += "data: " + chunk_prefix_ + "],";
    append_usage(out);
    out += "}\n\n";
  }
  out += kDone;
}

bool OpenAiAnswer::fail(const Fault& fault, std::string& out) {
  append_event(out, json_text(error_json(Wire::kOpenAi, fault)));
  out += kDone;
  return true;
}

HttpResponse OpenAiAnswer::head() const {
  HttpResponse response;
  response.content_type = kEventStream;
  response.headers = {{"Cache-Control", "no-cache"},
                      {"X-Accel-Buffering", "no"},
                      {"X-Request-Id", request_.request_id}};
  return response;
}

/// The n answers of the highest mean logprob, best first; all of them, in order, without best_of.
std::vector<size_t> OpenAiAnswer::best_answers(size_t prompt) const {
  const auto& choices = choices_[prompt];
  std::vector<size_t> order(choices.size());
  std::iota(order.begin(), order.end(), 0);
  if (request_.best_of == request_.n) return order;
  auto mean = [&](size_t i) {
    const executor::Finish& finish = *choices[i].finish;
    return finish.cumulative_logprob /
           static_cast<double>(std::max<int64_t>(1, finish.usage.completion_tokens));
  };
  std::stable_sort(
      order.begin(), order.end(), [&](size_t a, size_t b) { return mean(a) > mean(b); });
  order.resize(static_cast<size_t>(request_.n));
  return order;
}

int64_t OpenAiAnswer::whole_bytes() const {
  constexpr int64_t kIdBytes = 6,
                    kScoreBytes = 64;  // Of one token as a number, and with its score.
  const int64_t scores = kScoreBytes * (request_.logprobs + 2);
  const int64_t named = kScoreBytes * std::ssize(request_.sampling.logprob_token_ids);
  int64_t bytes = 0;
  for (size_t prompt = 0; prompt < prompts_.size(); ++prompt) {
    const int64_t num_ids = std::ssize(prompts_[prompt].ids);
    for (const Choice& choice : choices_[prompt]) {
      bytes += std::ssize(choice.text) + std::ssize(choice.scored) * (scores + named);
      if (request_.echo) bytes += std::ssize(prompts_[prompt].text);
      if (scores_prompt()) bytes += num_ids * scores;
      if (request_.return_token_ids) bytes += kIdBytes * (num_ids + std::ssize(choice.token_ids));
    }
  }
  return bytes;
}

HttpResponse OpenAiAnswer::whole() {
  HttpResponse response;
  response.headers = {{"X-Request-Id", request_.request_id}};
  std::string& out = response.body;
  out = prefix(is_chat() ? "chat.completion" : "text_completion");
  int64_t index = 0;
  for (size_t prompt = 0; prompt < prompts_.size(); ++prompt) {
    for (size_t answer : best_answers(prompt)) {
      Choice& choice = choices_[prompt][answer];
      if (index > 0) out += ',';
      append_choice(out, index++, prompt, choice, R"("message":{"role":"assistant","content":)");
    }
  }
  out += "],";
  append_usage(out);
  if (is_chat()) append_prompt_fields(out, 0);
  out += '}';
  return response;
}

}  // namespace tokamak::server
