// SPDX-License-Identifier: Apache-2.0
// The parameters of KServe's two protocols and of Triton's generate extension. They are the same
// wherever they stand (inputs of one element, members of a body, `parameters`), and each is
// honoured, refused by its name, or listed as one that changes nothing.
#pragma once

#include <span>
#include <string_view>

#include "tokamak/server/kserve_request.h"
#include "tokamak/server/openai_fields.h"

namespace tokamak::server {

struct ParameterRule {
  std::string_view name;
  std::string_view datatype;  ///< As an input; empty: only as JSON.
  bool is_list = false;       ///< A list as an input, too.
  Use use = Use::kRead;
  std::string_view means = {};  ///< Of another name for the same: the name that is read.
  bool (*asks_for_nothing)(const Json& value) = nullptr;  ///< Of refused ones.
  std::string_view reason = {};  ///< Why it changes nothing, or what to do instead.
};

std::span<const ParameterRule> parameter_rules();

/// Errors: invalid (an unknown name, a value of another type, one thing said twice and
/// differently), unsupported (a refused parameter asks for something); each names the parameter as
/// the client did. Values may be nested as tensors are. Empty words ask for nothing.
Result<void> read_parameters(const Json& parameters, const Model& model, KServeRequest& request);

/// Moves the members of body["parameters"] up to those beside it. Errors: invalid (no object; a
/// name stands in both).
Result<void> lift_parameters(Json& body);

}  // namespace tokamak::server
