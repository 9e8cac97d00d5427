// SPDX-License-Identifier: Apache-2.0
// Every field that clients of OpenAI's API and of its relatives send, and what becomes of it. A
// field is honoured or refused; those without any effect on an answer are listed as such.
#pragma once

#include <span>
#include <string_view>

#include "tokamak/base/json.h"

namespace tokamak::server {

enum class Endpoint { kCompletions, kChat };

enum class Use {
  kRead,
  kNoEffect,  ///< About bookkeeping on the client's side (user, metadata).
  kRefused,   ///< 400, unless its value asks for nothing.
};

struct FieldRule {
  std::string_view name;
  bool completions = false, chat = false;  ///< The endpoints that know it.
  Use use = Use::kRead;
  bool (*asks_for_nothing)(const Json& value) = nullptr;  ///< Of refused ones; null is nothing too.
  std::string_view hint;                                  ///< Of refused ones: what to do instead.
};

std::span<const FieldRule> field_rules();

/// The number of fields that no rule of `endpoint` names. Errors: unsupported (a refused field asks
/// for something), invalid (an unknown field, if `strict`).
Result<int64_t> check_fields(const Json& body, Endpoint endpoint, bool strict);

}  // namespace tokamak::server
