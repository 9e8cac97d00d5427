// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/llm.h"

#include <chrono>

#include "tokamak/base/log.h"
#include "tokamak/text/files.h"

namespace tokamak::api {
namespace {

namespace fs = std::filesystem;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

Result<void> Llm::load_text(const fs::path& folder) {
  if (!text::has_tokenizer(folder)) return {};
  TKM_ASSIGN(tokenizer_, text::Tokenizer::load(folder));
  const text::SpecialNames& names = tokenizer_->special_names();
  for (const auto& [name, token] : names.tokens) template_variables_[name] = token;
  if (!names.additional.empty())
    template_variables_["additional_special_tokens"] = names.additional;
  chat_templates_ = text::load_chat_templates(folder);
  for (const Error& fault : chat_templates_.faults())
    base::log_warn("{}: {}; chats are refused", folder.string(), fault.message);
  return {};
}

Result<void> Llm::load_generation_config(const fs::path& path, int64_t vocab_size) {
  if (!fs::exists(path)) return {};
  TKM_ASSIGN(std::string content, base::read_file(path, 16 << 20));
  TKM_ASSIGN(Json config, base::parse_json(content, path.string()));
  runtime::SamplingParams& params = sampling_defaults_;
  auto take = [&](std::string_view key, float& to) -> Result<void> {
    TKM_ASSIGN(double value, base::get_number(config, key, to));
    to = static_cast<float>(value);
    return {};
  };
  TKM_RETURN_IF_ERROR(take("temperature", params.temperature));
  TKM_RETURN_IF_ERROR(take("top_p", params.top_p));
  TKM_RETURN_IF_ERROR(take("min_p", params.min_p));
  TKM_RETURN_IF_ERROR(take("repetition_penalty", params.repetition_penalty));
  TKM_ASSIGN(params.top_k, base::get_int(config, "top_k", params.top_k));
  if (auto fine = params.validate(vocab_size); !fine.ok())
    return base::invalid(fmt::format("{}: {}", path.string(), fine.error().message));
  if (!base::find(config, "max_new_tokens")) return {};
  TKM_ASSIGN(default_max_tokens_, base::get_int(config, "max_new_tokens"));
  if (*default_max_tokens_ >= 1) return {};
  return base::invalid(fmt::format(
      "{}: max_new_tokens is {}, must be at least 1", path.string(), *default_max_tokens_));
}

Result<std::unique_ptr<Llm>> Llm::open(const fs::path& model, const OpenOptions& options) {
  std::unique_ptr<Llm> llm(new Llm);
  auto begin = std::chrono::steady_clock::now();
  TKM_ASSIGN(std::shared_ptr<device::Device> device,
             device::open_device(options.build.target, options.build.num_threads));
  TKM_ASSIGN(engine::Engine engine, open_engine(model, *device, options.build));
  llm->times_.engine = seconds_since(begin);
  llm->manifest_ = engine.manifest;

  begin = std::chrono::steady_clock::now();
  TKM_RETURN_IF_ERROR(llm->load_text(tokenizer_folder(engine)));
  TKM_RETURN_IF_ERROR(llm->load_generation_config(
      tokenizer_folder(engine) / "generation_config.json", engine.plan.vocab_size));
  llm->times_.text = seconds_since(begin);

  begin = std::chrono::steady_clock::now();
  TKM_ASSIGN(auto session,
             runtime::open_session(engine, device, options.session, options.build.progress));
  executor::ExecutorOptions executor_options = options.executor;
  if (executor_options.eos_ids.empty()) executor_options.eos_ids = engine.manifest.eos_ids;
  TKM_ASSIGN(llm->executor_,
             executor::Executor::start(std::move(session), llm->tokenizer_, executor_options));
  llm->times_.weights = seconds_since(begin);
  return llm;
}

Result<std::vector<int32_t>> Llm::encode(std::string_view text, bool add_special_tokens) const {
  if (!tokenizer_)
    return base::unsupported(fmt::format("{} has no tokenizer files", manifest_.model_name),
                             "give token ids");
  return tokenizer_->encode(text, {.add_special_tokens = add_special_tokens});
}

Result<std::vector<int32_t>> Llm::encode_chat(const Json& messages) const {
  if (!chat_templates_.chat)
    return base::unsupported(fmt::format("{} has no chat template", manifest_.model_name),
                             "use a plain prompt");
  Json context = template_variables_;
  context["messages"] = messages;
  context["tools"] = nullptr;
  context["documents"] = nullptr;
  context["add_generation_prompt"] = true;
  TKM_ASSIGN(std::string prompt, chat_templates_.chat->render(context));
  return encode(prompt, /*add_special_tokens=*/false);  // The template writes BOS itself.
}

}  // namespace tokamak::api
