// SPDX-License-Identifier: Apache-2.0
// The messages of a chat request: checked, and brought into the forms that chat templates take.
#pragma once

#include <string>
#include <vector>

#include "tokamak/base/json.h"

namespace tokamak::server {

/// Messages with roles, content as one text and tool calls as the client sent them. A member that
/// is null is left out, for templates ask whether a member is there; so is an empty list of calls.
/// Only the content of a message that calls tools may be null: see render_chat().
struct ChatMessages {
  Json list = Json::array();
  /// Those of role "developer" that became "system", since the template does not name the role.
  std::vector<size_t> renamed;
};

/// Reads `messages`. `knows_developer`: the template names the role "developer". Errors: invalid,
/// unsupported (content that is not text); each begins with the message's index.
Result<ChatMessages> read_messages(const Json& body, bool knows_developer);

/// The members that no message is known to have, as "messages[0].contents". They are shown to the
/// template all the same.
std::vector<std::string> unknown_members(const Json& messages);

/// Templates differ in how they take the arguments of tool calls.
enum class Arguments {
  kValues,   ///< As values; what is no JSON stays the text it is.
  kTexts,    ///< As the text that the client sent.
  kObjects,  ///< As values; what is no object becomes {}.
};
/// No arguments at all ("", null, none) are {} in each form.
Json with_arguments(const Json& messages, Arguments form);
bool have_calls(const Json& messages);

/// All calls as those of one function without arguments.
Json with_bare_calls(const Json& messages);

/// Messages that call tools and say nothing have content null; with_words gives them "".
bool have_silent_calls(const Json& messages);
Json with_words(const Json& messages);

}  // namespace tokamak::server
