// SPDX-License-Identifier: Apache-2.0
// A model that is loaded and serves requests: engine, tokenizer, template and executor together.
#pragma once

#include <filesystem>
#include <memory>

#include "tokamak/api/build.h"
#include "tokamak/api/generation_config.h"
#include "tokamak/executor/executor.h"
#include "tokamak/runtime/engine_session.h"
#include "tokamak/text/chat_templates.h"
#include "tokamak/text/tokenizer.h"

namespace tokamak::api {

struct OpenOptions {
  BuildOptions build;
  runtime::SessionOptions session;
  executor::ExecutorOptions executor;
};

/// How long the parts of opening took, in seconds.
struct OpenTimes {
  double engine = 0;   ///< Reading it, or building it.
  double text = 0;     ///< Tokenizer and template.
  double weights = 0;  ///< Allocating and loading.
};

/// All methods may be called from any thread.
class Llm {
 public:
  /// `model`: a checkpoint folder (its engine is built and cached), an engine folder, or the id of
  /// a model in the Hugging Face hub's cache. Nothing is allocated on the device after this
  /// returns. A model without tokenizer files serves token ids only.
  static Result<std::unique_ptr<Llm>> open(const std::filesystem::path& model,
                                           const OpenOptions& options = {});

  /// Queues one request. Destroying the stream cancels the request and frees its pages.
  Result<std::shared_ptr<executor::TokenStream>> submit(executor::Request request) {
    return executor_->submit(std::move(request));
  }
  /// Refuses new requests, finishes the running ones, then returns.
  void drain() { executor_->drain(); }

  /// Ids of a prompt. Errors: unsupported (no tokenizer), invalid (not UTF-8).
  Result<std::vector<int32_t>> encode(std::string_view text, bool add_special_tokens = true) const;
  /// Ids of a conversation by the model's chat template: [{"role": …, "content": …}, …].
  /// Errors: unsupported (the model has no template, or one that cannot be used), invalid (what the
  /// template refuses).
  Result<std::vector<int32_t>> encode_chat(const Json& messages) const;
  bool has_chat_template() const { return chat_templates_.chat.has_value(); }
  /// What the model's generation_config.json sets, over our defaults. Its suppressed tokens and the
  /// end tokens are the executor's.
  const runtime::SamplingParams& sampling_defaults() const { return defaults_.sampling; }
  /// Its max_new_tokens, if it sets that: the longest answer to a request that names no length.
  std::optional<int64_t> default_max_tokens() const { return defaults_.max_new_tokens; }
  /// Tokens that end an answer: those of generation_config.json, of config.json and of the
  /// tokenizer. An id that only config.json has counts if it is no ordinary text.
  const std::vector<int64_t>& eos_ids() const { return eos_ids_; }

  /// For servers: what a request needs on its way in and out.
  executor::Executor& executor() { return *executor_; }
  const std::shared_ptr<const text::Tokenizer>& shared_tokenizer() const { return tokenizer_; }
  const text::ChatTemplates& chat_templates() const { return chat_templates_; }
  const Json& template_variables() const { return template_variables_; }

  const engine::Manifest& manifest() const { return manifest_; }
  const text::Tokenizer* tokenizer() const { return tokenizer_.get(); }
  const runtime::SessionInfo& session_info() const { return executor_->session_info(); }
  executor::ExecutorStats stats() const { return executor_->stats(); }
  const OpenTimes& open_times() const { return times_; }

 private:
  Llm() = default;
  Result<void> load_text(const std::filesystem::path& folder);
  /// Nothing if there is no such file. Errors: corrupt (not JSON), invalid (a setting of another
  /// type or out of range).
  Result<void> load_generation_config(const std::filesystem::path& path, const engine::Plan& plan);
  void choose_eos_ids(int64_t vocab_size);

  engine::Manifest manifest_;
  OpenTimes times_;
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  text::ChatTemplates chat_templates_;
  GenerationDefaults defaults_;
  std::vector<int64_t> eos_ids_;
  Json template_variables_ = Json::object();  ///< bos_token, eos_token, …
  std::unique_ptr<executor::Executor> executor_;
};

}  // namespace tokamak::api
