// SPDX-License-Identifier: Apache-2.0
// Every field that clients of OpenAI's API and of its relatives send, and what becomes of it. A
// field is honoured or refused; those without any effect on an answer are listed as such.
#pragma once

#include <limits>
#include <span>
#include <string_view>

#include "tokamak/base/json_fwd.h"
#include "tokamak/base/result.h"

namespace tokamak::server {

enum class Endpoint { kCompletions, kChat };

enum class Use {
  kRead,
  kNoEffect,  ///< Changes no answer, whatever its value; the rule says why.
  kRefused,   ///< 400, unless its value asks for nothing.
};

/// What a value may be, beside null; for descriptions of the API.
struct ValueKind {
  enum Type { kAny, kBoolean, kInteger, kNumber, kText, kTexts, kIds, kObject, kList };
  Type type = kAny;
  double low = std::numeric_limits<double>::lowest();
  double high = std::numeric_limits<double>::max();
};

struct FieldRule {
  std::string_view name;
  bool completions = false, chat = false;  ///< The endpoints that know it.
  ValueKind kind;
  Use use = Use::kRead;
  /// Of refused ones; null asks for nothing too.
  bool (*asks_for_nothing)(const Json& value) = nullptr;
  /// Why it has no effect, or what to do instead of what is refused.
  std::string_view reason = {};
};

std::span<const FieldRule> field_rules();

/// The number of fields that no rule of `endpoint` names, and of members that no chat message has.
/// Errors: unsupported (a refused field asks for something), invalid (an unknown field, if
/// `strict`).
Result<int64_t> check_fields(const Json& body, Endpoint endpoint, bool strict);

}  // namespace tokamak::server
