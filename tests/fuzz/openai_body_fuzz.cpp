// SPDX-License-Identifier: Apache-2.0
// Any bytes as the body of a request: JSON, the fields of completions and chat, KServe's parameters
// and tensors.
// Nothing may crash, and what is read keeps the limits that it was read with.
#include <cstdlib>

#include "tokamak/executor/fake_session.h"
#include "tokamak/server/chat_prompt.h"
#include "tokamak/server/json_body.h"
#include "tokamak/server/kserve_parameters.h"
#include "tokamak/server/kserve_tensors.h"
#include "tokamak/server/openai_request.h"

namespace {

using namespace tokamak;

server::Model fake_model() {
  runtime::SessionInfo info{.vocab_size = 64,
                            .max_seq_len = 256,
                            .max_step_tokens = 64,
                            .max_step_rows = 8,
                            .max_sequences = 8,
                            .num_pages = 16};
  server::Model model;
  model.names = {"fake"};
  model.tokenizer = executor::letter_tokenizer(64);
  model.executor =
      executor::Executor::start(std::make_unique<executor::FakeSession>(info), model.tokenizer)
          .value();
  text::TemplateLimits limits;
  limits.max_steps = 20'000;
  model.chat_template =
      text::ChatTemplate::parse("{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}",
                                limits)
          .value();
  return model;
}

void read_openai(const Json& body, server::Endpoint endpoint, const server::Model& model) {
  if (!server::check_fields(body, endpoint, /*strict=*/false).ok()) return;
  auto request = server::read_openai_request(body, endpoint, {}, model);
  if (!request.ok()) return;
  if (request->n < 1 || request->best_of < request->n || request->best_of > 128) std::abort();
  server::Prompt prompt{{1}, ""};
  if (endpoint == server::Endpoint::kChat) {
    auto rendered = server::chat_prompt(body, *request, model);
    if (!rendered.ok()) return;
    prompt = *rendered;
  }
  auto out = server::executor_request(*request, prompt, model);
  (void)executor::validate(out, model.info()).ok();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const server::Model model = fake_model();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto body = server::parse_object(text);
  if (body.ok()) {
    read_openai(*body, server::Endpoint::kCompletions, model);
    read_openai(*body, server::Endpoint::kChat, model);
    server::KServeRequest request;
    if (server::lift_parameters(*body).ok()) {
      (void)server::read_parameters(*body, model, request).ok();
    }
  }
  // A zero byte ends the JSON and begins the binary part.
  const size_t zero = text.find('\0');
  if (zero == std::string_view::npos) {
    (void)server::parse_infer(text, std::nullopt).ok();
  } else {
    std::string joined(text.substr(0, zero));
    joined += text.substr(zero + 1);
    (void)server::parse_infer(joined, zero).ok();
  }
  return 0;
}
