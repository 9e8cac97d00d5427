// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/llm.h"

#include <algorithm>
#include <chrono>

#include "tokamak/base/log.h"
#include "tokamak/text/files.h"

namespace tokamak::api {
namespace {

namespace fs = std::filesystem;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

bool has(const std::vector<int64_t>& ids, int64_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

/// "a, b and so on", the first of many.
std::string listed(const std::vector<std::string>& names) {
  constexpr size_t kMost = 16;
  std::string out;
  for (size_t i = 0; i < std::min(names.size(), kMost); ++i) out += (i ? ", " : "") + names[i];
  if (names.size() > kMost) out += fmt::format(" and {} more", names.size() - kMost);
  return out;
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

Result<void> Llm::load_generation_config(const fs::path& path, const engine::Plan& plan) {
  if (!fs::exists(path)) return {};
  TKM_ASSIGN(std::string content, base::read_file(path, 16 << 20));
  TKM_ASSIGN(Json config, base::parse_json(content, path.string()));
  auto read = read_generation_config(config,
                                     {.vocab_size = plan.vocab_size,
                                      .max_positions = plan.max_positions,
                                      .has_text = tokenizer_ != nullptr});
  if (!read.ok()) return base::invalid(fmt::format("{}: {}", path.string(), read.error().message));
  defaults_ = std::move(*read);
  if (!defaults_.not_honoured.empty())
    base::log_warn("{}: not honoured: {}", path.string(), listed(defaults_.not_honoured));
  return {};
}

void Llm::choose_eos_ids(int64_t vocab_size) {
  eos_ids_ = defaults_.eos_ids;
  std::vector<std::string> differing;
  auto name = [&](int64_t id) {
    return tokenizer_ ? fmt::format("{} '{}'", id, tokenizer_->token(static_cast<int32_t>(id)))
                      : std::to_string(id);
  };
  for (int64_t id : manifest_.eos_ids) {
    if (has(eos_ids_, id)) continue;
    // Configurations that were copied from another model name an id of its vocabulary.
    const bool counts =
        defaults_.eos_ids.empty() || !tokenizer_ || tokenizer_->is_added(static_cast<int32_t>(id));
    if (counts) eos_ids_.push_back(id);
    if (!defaults_.eos_ids.empty())
      differing.push_back(fmt::format(
          "config.json has {}{}", name(id), counts ? "" : ", which is text and does not count"));
  }
  const auto of_tokenizer = tokenizer_ ? tokenizer_->eos_id() : std::nullopt;
  if (of_tokenizer && *of_tokenizer < vocab_size && !has(eos_ids_, *of_tokenizer)) {
    if (!eos_ids_.empty())
      differing.push_back(fmt::format("the tokenizer has {}", name(*of_tokenizer)));
    eos_ids_.push_back(*of_tokenizer);
  }
  if (differing.empty()) return;
  std::vector<std::string> all;
  for (int64_t id : eos_ids_) all.push_back(name(id));
  base::log_warn("{}: end tokens differ: {}; an answer ends with any of {}",
                 manifest_.model_name,
                 listed(differing),
                 listed(all));
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
  TKM_RETURN_IF_ERROR(
      llm->load_generation_config(tokenizer_folder(engine) / text::kGenerationConfig, engine.plan));
  llm->choose_eos_ids(engine.plan.vocab_size);
  llm->times_.text = seconds_since(begin);

  begin = std::chrono::steady_clock::now();
  TKM_ASSIGN(auto session,
             runtime::open_session(engine, device, options.session, options.build.progress));
  executor::ExecutorOptions executor_options = options.executor;
  if (executor_options.eos_ids.empty()) executor_options.eos_ids = llm->eos_ids_;
  executor_options.suppressed_ids = llm->defaults_.suppressed_ids;
  executor_options.begin_suppressed_ids = llm->defaults_.begin_suppressed_ids;
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
