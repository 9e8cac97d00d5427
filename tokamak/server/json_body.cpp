// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/json_body.h"

namespace tokamak::server {

using base::JsonFault;

Result<Json> parse_object(std::string_view text, const base::JsonLimits& limits) {
  base::JsonBuilder builder(limits);
  if (Json::sax_parse(text, &builder)) {
    Json& body = builder.value();
    if (body.is_object()) return std::move(body);
    return base::invalid(fmt::format("body must be a JSON object, but is {}", body.type_name()));
  }
  const JsonFault& fault = builder.fault();
  switch (fault.kind) {
    case JsonFault::Kind::kSyntax:
      return base::invalid(fmt::format("body is not valid JSON, at byte {}", fault.byte));
    case JsonFault::Kind::kEncoding:
      return base::invalid(fmt::format("body is not valid UTF-8, at byte {}", fault.byte));
    case JsonFault::Kind::kRange:
      return base::invalid("body holds a number that is beyond the range of a double");
    case JsonFault::Kind::kDepth:
      return base::invalid(fmt::format("body is nested deeper than {} levels", limits.max_depth));
    case JsonFault::Kind::kValues:
      return base::invalid(fmt::format("body has more than {} values", limits.max_values));
    case JsonFault::Kind::kMembers:
      return base::invalid(
          fmt::format("body has an object of more than {} members", limits.max_members));
    case JsonFault::Kind::kTwice:
      return base::invalid(
          fmt::format("body names '{}' twice in one object", fault.detail.substr(0, 80)));
  }
  return base::invalid("body is not valid JSON");
}

}  // namespace tokamak::server
