// SPDX-License-Identifier: Apache-2.0
// Responses of the executor as OpenAI's completions and chat completions, streamed and whole.
#pragma once

#include "tokamak/server/generation.h"
#include "tokamak/server/openai_logprobs.h"
#include "tokamak/server/openai_request.h"

namespace tokamak::server {

class OpenAiAnswer : public AnswerWriter {
 public:
  /// One prompt for each request of the plan, in the same order. With echo, `prompts[i].text` leads
  /// each of its answers; for the offsets of logprobs it is the text of `prompts[i].ids`.
  OpenAiAnswer(OpenAiRequest request,
               std::vector<Prompt> prompts,
               std::shared_ptr<const Model> model);

  bool streams() const override { return request_.stream; }
  Result<void> check_size(int64_t max_bytes) const override;
  void take(size_t prompt, executor::Response response, std::string& out) override;
  void end(std::string& out) override;
  bool fail(const Fault& fault, std::string& out) override;
  HttpResponse head() const override;
  HttpResponse whole() override;
  int64_t whole_bytes() const override;

 private:
  /// One answer. Streaming: what has not been sent yet.
  struct Choice {
    std::string text;
    std::vector<int32_t> token_ids;
    std::vector<ScoredToken> scored;
    std::optional<executor::Finish> finish;
    int64_t text_offset = 0;
    bool told_prompt = false;  // The fields about its prompt have been sent.
    bool opened = false;       // Its role has been sent, if it is of a chat.
    bool led = false;          // What of the prompt comes before it has been sent.
  };

  bool is_chat() const { return request_.endpoint == Endpoint::kChat; }
  bool scores_prompt() const { return request_.echo && request_.logprobs >= 0 && !is_chat(); }
  std::string prefix(std::string_view object) const;
  void append_prompt_fields(std::string& out, size_t prompt) const;
  bool is_special(int32_t id) const;
  bool leads_with_prompt(size_t prompt, const Choice& choice) const;
  void take_prompt(size_t prompt, executor::Response& response);
  void add(Choice& choice, executor::Response& response);
  int64_t index_of(size_t prompt, size_t answer) const;
  void open(size_t prompt, size_t answer, std::string& out);
  void send(size_t prompt, size_t answer, std::string& out);
  void append_choice(std::string& out,
                     int64_t index,
                     size_t prompt,
                     Choice& choice,
                     std::string_view message) const;
  void append_usage(std::string& out) const;
  void append_event_usage(std::string& out) const;
  std::vector<size_t> best_answers(size_t prompt) const;

  const OpenAiRequest request_;
  const std::vector<Prompt> prompts_;
  const std::shared_ptr<const Model> model_;
  const TokenTexts texts_;
  const bool no_answer_;  // Only the prompt is scored.
  const std::string chunk_prefix_;
  std::vector<std::vector<Choice>> choices_;             // [prompt][answer]
  std::vector<std::vector<ScoredToken>> prompt_scores_;  // [prompt], once they are known
  executor::Usage usage_;                                // Of all, so far.
};

}  // namespace tokamak::server
