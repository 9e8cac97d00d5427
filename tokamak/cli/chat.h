// SPDX-License-Identifier: Apache-2.0
// A conversation line by line: messages for the model, and commands about the conversation.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "tokamak/base/json.h"

namespace tokamak::cli {

class Chat {
 public:
  /// Answers a conversation ([{"role": …, "content": …}, …]) and shows the answer as it comes.
  using Answer = std::function<Result<std::string>(const Json& messages)>;
  /// Shows what is not of the model.
  using Note = std::function<void(std::string_view)>;

  Chat(std::optional<std::string> system, Answer answer, Note note);
  /// A message, or a command: a word behind a slash. False: it was the last line. An error leaves
  /// the conversation as it was.
  bool take(const std::string& line);
  /// Ctrl-C where a message is awaited. False: it was the second in a row, and the last.
  bool interrupted();

  const Json& messages() const { return messages_; }

 private:
  bool command(std::string_view name, const std::string& text);
  void reset();
  void say(const std::string& message);

  std::optional<std::string> system_;
  Answer answer_;
  Note note_;
  Json messages_;
  bool was_interrupted_ = false;
};

}  // namespace tokamak::cli
