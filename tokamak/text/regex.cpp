// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace tokamak::text {
namespace {

// A pattern that needs more steps than this for one match is one that backtracks without end.
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr uint32_t kHeapLimitKib = 1 << 16;
constexpr size_t kMaxPatternBytes = 1 << 16;

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeCompile {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};
struct FreeData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

std::string error_text(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

struct Regex::Code {
  std::unique_ptr<pcre2_code, FreeCode> code;
  std::unique_ptr<pcre2_match_context, FreeContext> context;
};

Result<Regex> Regex::compile(std::string_view pattern) {
  TKM_ASSIGN(std::string translated, translate_oniguruma(pattern));
  return compile_pcre2(translated);
}

Result<Regex> Regex::compile_pcre2(std::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return base::unsupported(
        fmt::format("regex of {} bytes, the limit is {}", pattern.size(), kMaxPatternBytes));
  }
  std::unique_ptr<pcre2_compile_context, FreeCompile> settings(
      pcre2_compile_context_create(nullptr));
  pcre2_set_newline(settings.get(), PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(settings.get(), 100);
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto code = std::make_shared<Code>();
  code->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()),
                                 pattern.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                 &error,
                                 &offset,
                                 settings.get()));
  if (!code->code) {
    return base::unsupported(
        fmt::format("regex '{}': {} at byte {}", pattern, error_text(error), offset));
  }
  // Without the just-in-time compiler (an unusual build or a locked-down kernel) matching still
  // works, slower.
  pcre2_jit_compile(code->code.get(), PCRE2_JIT_COMPLETE);
  code->context.reset(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(code->context.get(), kMatchLimit);
  pcre2_set_heap_limit(code->context.get(), kHeapLimitKib);
  Regex regex;
  regex.code_ = std::move(code);
  return regex;
}

Result<Regex> Regex::literal(std::string_view text) {
  std::string pattern;
  for (char c : text) {
    bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                 static_cast<unsigned char>(c) >= 0x80;
    if (!plain) pattern += '\\';
    pattern += c;
  }
  return compile_pcre2(pattern);
}

Result<std::optional<Match>> Regex::find(std::string_view text, size_t from) const {
  thread_local std::unique_ptr<pcre2_match_data, FreeData> data(
      pcre2_match_data_create(1, nullptr));
  auto match = [&](uint32_t flags) {
    return pcre2_match(code_->code.get(),
                       reinterpret_cast<PCRE2_SPTR>(text.data()),
                       text.size(),
                       from,
                       PCRE2_NO_UTF_CHECK | flags,
                       data.get(),
                       code_->context.get());
  };
  int result = match(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
  if (result == PCRE2_ERROR_NOMATCH) return std::optional<Match>();
  if (result < 0) {
    return base::unsupported(
        fmt::format("regex gave up at byte {} of {}: {}", from, text.size(), error_text(result)));
  }
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data.get());
  // \K in a lookahead can put the begin behind the end; there is no such match for a splitter.
  return std::optional<Match>(Match{std::min(offsets[0], offsets[1]), offsets[1]});
}

}  // namespace tokamak::text
