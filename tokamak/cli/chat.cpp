// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/chat.h"

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "tokamak/cli/nearest.h"

namespace tokamak::cli {
namespace {

struct ChatCommand {
  std::string_view name, parameter, what;
};
constexpr std::array kCommands = {
    ChatCommand{"/help", "", "this list"},
    ChatCommand{"/reset", "", "forget the conversation; the system message stays"},
    ChatCommand{"/system",
                " TEXT",
                "set the system message, without TEXT leave it out; for all that follows"},
    ChatCommand{"/exit", "", "end (also Ctrl-D, or Ctrl-C twice)"}};

std::string help() {
  std::string out;
  for (const ChatCommand& command : kCommands)
    out += fmt::format(
        "  {:<13} {}\n", fmt::format("{}{}", command.name, command.parameter), command.what);
  return out + "  Ctrl-C        stops an answer\n";
}

std::vector<std::string> command_names() {
  std::vector<std::string> out;
  for (const ChatCommand& command : kCommands) out.emplace_back(command.name);
  return out;
}

/// A word behind a slash; paths and fractions are messages.
bool is_command(std::string_view word) {
  return word.size() > 1 && word[0] == '/' &&
         std::all_of(word.begin() + 1, word.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(kSpace) - begin + 1));
}

}  // namespace

Chat::Chat(std::optional<std::string> system, Answer answer, Note note)
    : system_(std::move(system)), answer_(std::move(answer)), note_(std::move(note)) {
  reset();
}

void Chat::reset() {
  messages_ = Json::array();
  if (system_) messages_.push_back({{"role", "system"}, {"content", *system_}});
}

bool Chat::interrupted() {
  if (std::exchange(was_interrupted_, true)) return false;
  note_("\n(Ctrl-C again or Ctrl-D ends, /help lists what else there is)\n");
  return true;
}

bool Chat::take(const std::string& line) {
  was_interrupted_ = false;
  const std::string text = trimmed(line);
  if (text.empty()) return true;
  const std::string word = text.substr(0, text.find_first_of(" \t"));
  if (is_command(word)) return command(word, trimmed(std::string_view(text).substr(word.size())));
  say(line);
  return true;
}

bool Chat::command(std::string_view name, const std::string& text) {
  if (name == "/exit") return false;
  if (name == "/help") {
    note_(help());
  } else if (name == "/reset") {
    reset();
    note_("(a new conversation)\n");
  } else if (name == "/system") {
    if (system_) messages_.erase(0);
    system_ = text.empty() ? std::nullopt : std::optional(text);
    if (system_) messages_.insert(messages_.begin(), Json{{"role", "system"}, {"content", text}});
    note_(system_ ? "(the system message is set)\n" : "(there is no system message)\n");
  } else {
    const std::string meant = nearest(name, command_names());
    note_(fmt::format("there is no command {}{}; /help lists them\n",
                      name,
                      meant.empty() ? "" : fmt::format(", did you mean {}?", meant)));
  }
  return true;
}

void Chat::say(const std::string& message) {
  messages_.push_back({{"role", "user"}, {"content", message}});
  auto answer = answer_(messages_);
  if (answer.ok()) {
    messages_.push_back({{"role", "assistant"}, {"content", *answer}});
    return;
  }
  messages_.erase(messages_.size() - 1);
  note_(fmt::format("error: {}\n", answer.error().text()));
  const bool has_past = messages_.size() > (system_ ? 1u : 0u);
  // Most likely the conversation has become too long.
  if (has_past && answer.error().code == ErrorCode::kInvalid)
    note_("/reset begins a new conversation\n");
}

}  // namespace tokamak::cli
