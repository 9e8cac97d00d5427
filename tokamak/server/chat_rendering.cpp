// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/chat_rendering.h"

#include <random>

#include "tokamak/server/chat_messages.h"

namespace tokamak::server {
namespace {

using text::ChatTemplate;

constexpr std::string_view kSpace = " \t\n\r\f\v";
constexpr std::string_view kNone = "None";  // How templates print null.

int64_t count(std::string_view text, std::string_view word) {
  int64_t found = 0;
  for (size_t at = 0; (at = text.find(word, at)) != std::string_view::npos; at += word.size()) {
    ++found;
  }
  return found;
}

/// The first form of the arguments that the template takes.
Result<std::string> render_forms(const ChatTemplate& chat_template,
                                 Json& context,
                                 const Json& messages) {
  context["messages"] = with_arguments(messages, Arguments::kValues);
  Result<std::string> first = chat_template.render(context);
  if (first.ok() || !have_calls(messages)) return first;
  for (Arguments form : {Arguments::kTexts, Arguments::kObjects}) {
    context["messages"] = with_arguments(messages, form);
    auto other = chat_template.render(context);
    if (other.ok()) return other;
  }
  return first;
}

/// Whether the template writes null where a message has no words, rather than ask for it. Names and
/// arguments of the calls, which may hold the word, are left out.
bool prints_null(const ChatTemplate& chat_template, Json context, const Json& messages) {
  const Json bare = with_bare_calls(messages);
  auto words = render_forms(chat_template, context, with_words(bare));
  auto nulls = render_forms(chat_template, context, bare);
  return words.ok() && nulls.ok() && count(*nulls, kNone) > count(*words, kNone);
}

/// Nobody can guess it, so it stands in the rendered chat where it was put and nowhere else.
std::string new_mark() {
  static thread_local std::mt19937_64 random(std::random_device{}());
  return fmt::format("{:016x}{:016x}", random(), random());
}

Error not_shown() {
  return base::invalid(
      "continue_final_message: the chat template does not show the last message as it is",
      "leave continue_final_message out, or shorten that message to what the template keeps");
}

}  // namespace

Result<std::string> render_chat(const ChatTemplate& chat_template,
                                Json context,
                                const Json& messages) {
  if (!have_silent_calls(messages)) return render_forms(chat_template, context, messages);
  Result<std::string> words = render_forms(chat_template, context, with_words(messages));
  Result<std::string> nulls = render_forms(chat_template, context, messages);
  if (!nulls.ok()) return words;
  if (!words.ok() || count(*nulls, kNone) <= count(*words, kNone)) return nulls;
  return prints_null(chat_template, context, messages) ? words : nulls;
}

Result<std::string> render_open_chat(const ChatTemplate& chat_template,
                                     const Json& context,
                                     const Json& messages) {
  const Json& content = messages.back()["content"];
  if (!content.is_string()) {
    return base::invalid("continue_final_message: the last message has no text");
  }
  const std::string text = content.get<std::string>();
  const size_t core_end = text.find_last_not_of(kSpace) + 1;
  const std::string core = text.substr(0, core_end);
  // Space behind the mark tells whether the template keeps the space at a message's end.
  constexpr std::string_view kTail = "\t \t";
  const std::string mark = new_mark();
  auto render_up_to_mark = [&](const std::string& last, bool& trims) -> Result<std::string> {
    Json marked = messages;
    marked.back()["content"] = last + mark + std::string(kTail);
    TKM_ASSIGN(std::string rendered, render_chat(chat_template, context, marked));
    const size_t at = rendered.rfind(mark);
    if (at == std::string::npos) return not_shown();
    trims = rendered.compare(at + mark.size(), kTail.size(), kTail) != 0;
    return rendered.substr(0, at);
  };
  bool trims = false;
  TKM_ASSIGN(std::string open, render_up_to_mark(text, trims));
  if (core.empty()) return trims ? render_up_to_mark("", trims) : open;
  const size_t first = core.find_first_not_of(kSpace);
  if (!open.ends_with(std::string_view(text).substr(first))) return not_shown();
  if (trims) open.resize(open.size() - (text.size() - core_end));
  return open;
}

Result<bool> shows(const ChatTemplate& chat_template,
                   const Json& context,
                   Json messages,
                   std::span<const size_t> indices) {
  const std::string mark = new_mark();
  for (size_t index : indices) messages[index]["content"] = mark;
  TKM_ASSIGN(std::string rendered, render_chat(chat_template, context, messages));
  return count(rendered, mark) >= std::ssize(indices);
}

}  // namespace tokamak::server
