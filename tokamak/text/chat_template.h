// SPDX-License-Identifier: Apache-2.0
// Chat templates: a bounded, sandboxed subset of Jinja that renders messages to a prompt exactly as
// Hugging Face transformers does (Jinja2 with trim_blocks, lstrip_blocks, loop controls, `tojson`,
// `raise_exception`, `strftime_now`, the `generation` tag). Goals: the same bytes for every
// published template; no access to anything but the given values; bounded steps, depth and output.
// Non-goals: includes, imports, inheritance, user extensions.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tokamak/base/json_fwd.h"
#include "tokamak/base/result.h"

namespace tokamak::text {

struct TemplateLimits {
  int64_t max_steps = 10'000'000;       ///< Evaluated nodes and loop turns.
  int64_t max_output_bytes = 64 << 20;  ///< Also bounds every intermediate string and list.
  int max_depth = 128;                  ///< Nesting of expressions, blocks and macro calls.
  int64_t max_source_bytes = 1 << 20;
};

/// A parsed template. Immutable: any number of threads may render it.
class ChatTemplate {
 public:
  /// Errors: invalid (syntax, with the line), unsupported (a tag, filter or test that is not in the
  /// subset, by name).
  static Result<ChatTemplate> parse(std::string_view source, const TemplateLimits& limits = {});
  /// Stands for a template that could not be read: render() gives `fault` to whoever wants a chat,
  /// and to nobody else.
  static ChatTemplate unusable(Error fault);
  /// Of a template that is unusable().
  const std::optional<Error>& fault() const;

  /// Renders with the members of `context` (an object) as variables: messages, tools, documents,
  /// add_generation_prompt, bos_token, eos_token, … `now_unix_s` fixes what strftime_now sees
  /// (UTC); negative takes the clock. Errors: invalid (the template called raise_exception or a
  /// value has the wrong type, with the line; a limit was passed).
  Result<std::string> render(const Json& context, int64_t now_unix_s = -1) const;

  const std::string& source() const;

 private:
  struct Program;
  std::shared_ptr<const Program> program_;
};

}  // namespace tokamak::text
