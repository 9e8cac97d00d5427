// SPDX-License-Identifier: Apache-2.0
// Messages through a chat template, whatever form of them it takes.
#pragma once

#include <span>

#include "tokamak/text/chat_template.h"

namespace tokamak::server {

/// Renders `messages` (of read_messages()) with the other variables of `context`.
///
/// Goals: a conversation that a template can show is shown, be it in one form or another, and no
/// message without words shows the word "None". Non-goal: repairing templates.
///
/// - A message that only calls tools has content null, by which some templates know it; others
///   print whatever content is. Both are tried: where null is printed, it is "" instead.
/// - Arguments of calls are tried in the order of Arguments; the error is that of the first form.
Result<std::string> render_chat(const text::ChatTemplate& chat_template,
                                Json context,
                                const Json& messages);

/// The same, up to the end of the last message's content, so that an answer goes on with it. Where
/// the template trims messages, that end is trimmed. Errors: also invalid (the last message has no
/// text, or the template shows something else).
Result<std::string> render_open_chat(const text::ChatTemplate& chat_template,
                                     const Json& context,
                                     const Json& messages);

/// Whether the template shows each of the messages at `indices`; some leave out what they do not
/// expect. Errors: of rendering.
Result<bool> shows(const text::ChatTemplate& chat_template,
                   const Json& context,
                   Json messages,
                   std::span<const size_t> indices);

}  // namespace tokamak::server
