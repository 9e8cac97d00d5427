// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/chat_template.h"

#include <new>
#include <optional>

#include "tokamak/text/jinja_interpreter.h"
#include "tokamak/text/jinja_lexer.h"
#include "tokamak/text/jinja_parser.h"
#include "tokamak/text/jinja_scope.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

Error error_at(int line, const jinja::Failure& failure) {
  return {failure.code(), fmt::format("chat template, line {}: {}", line, failure.message()), {}};
}

}  // namespace

struct ChatTemplate::Program {
  std::optional<Error> fault;
  std::string source;
  jinja::TemplateTree tree;
  TemplateLimits limits;
};

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, const TemplateLimits& limits) {
  if (static_cast<int64_t>(source.size()) > limits.max_source_bytes) {
    return base::invalid(fmt::format("chat template: {} bytes exceed max_source_bytes = {}",
                                     source.size(),
                                     limits.max_source_bytes));
  }
  if (auto at = find_invalid_utf8(source)) {
    return base::invalid(fmt::format("chat template: not valid UTF-8 at byte {}", *at));
  }
  int line = 1;
  try {
    auto program = std::make_shared<Program>();
    program->source = source;
    program->limits = limits;
    program->tree = jinja::Parser(jinja::tokenize(source, line), limits, line).parse();
    jinja::resolve_names(program->tree);
    ChatTemplate parsed;
    parsed.program_ = std::move(program);
    return parsed;
  } catch (const jinja::Failure& failure) {
    return error_at(line, failure);
  } catch (const std::bad_alloc&) {
    return base::out_of_memory("chat template: out of memory while parsing");
  }
}

ChatTemplate ChatTemplate::unusable(Error fault) {
  auto program = std::make_shared<Program>();
  program->fault = std::move(fault);
  ChatTemplate made;
  made.program_ = std::move(program);
  return made;
}

const std::optional<Error>& ChatTemplate::fault() const {
  TKM_CHECK(program_, "fault() of a template that was not parsed");
  return program_->fault;
}

const std::string& ChatTemplate::source() const {
  TKM_CHECK(program_, "source() of a template that was not parsed");
  return program_->source;
}

Result<std::string> ChatTemplate::render(const Json& context, int64_t now_unix_s) const {
  TKM_CHECK(program_, "render() of a template that was not parsed");
  if (program_->fault) return *program_->fault;
  try {
    jinja::Interpreter interpreter(program_->tree, program_->limits, now_unix_s);
    try {
      interpreter.set_context(context);
      return interpreter.run();
    } catch (const jinja::Failure& failure) {
      return error_at(interpreter.line(), failure);
    }
  } catch (const std::bad_alloc&) {
    return base::out_of_memory("chat template: out of memory while rendering");
  }
}

}  // namespace tokamak::text
