// SPDX-License-Identifier: Apache-2.0
// Any bytes as a chat template and, after a zero byte, as the JSON it is rendered with: an error,
// or a prompt within the limits; and the same again from a second rendering.
#include <cstdlib>

#include "tokamak/base/json.h"
#include "tokamak/text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tokamak;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  size_t end = std::min(input.find('\0'), input.size());
  text::TemplateLimits limits;
  limits.max_steps = 50'000;
  limits.max_output_bytes = 1 << 20;
  auto parsed = text::ChatTemplate::parse(input.substr(0, end), limits);
  if (!parsed.ok()) return 0;

  Json context = {{"messages",
                   {{{"role", "user"}, {"content", "caf\u00e9 <b>"}},
                    {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {1, 2.5, true}}}}},
                  {"tools", nullptr},
                  {"bos_token", "<s>"},
                  {"n", 3}};
  if (end < input.size()) {
    auto json = base::parse_json(input.substr(end + 1), "context");
    if (json.ok() && json->is_object()) context = std::move(*json);
  }
  constexpr int64_t kNow = 1'721'995'200;
  auto first = parsed->render(context, kNow);
  auto second = parsed->render(context, kNow);
  if (first.ok() != second.ok()) std::abort();
  if (first.ok() && *first != *second) std::abort();
  if (first.ok() && static_cast<int64_t>(first->size()) > limits.max_output_bytes) std::abort();
  return 0;
}
