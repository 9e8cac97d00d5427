// SPDX-License-Identifier: Apache-2.0
// Tensors of KServe v2 requests and answers: as JSON, or behind it in the binary extension (values
// little-endian and packed; strings each behind their length in 4 bytes).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/base/json.h"

namespace tokamak::server {

struct KServeTensor {
  std::string name, datatype;
  std::vector<int64_t> shape;
  Json values = Json::array();  ///< Flat: numbers, booleans or texts, as many as the shape says.
};

struct KServeInfer {
  Json request;  ///< Everything but the inputs.
  std::vector<KServeTensor> inputs;
};

/// Splits a body whose first `json_bytes` bytes are JSON and the rest binary; without a number, all
/// of it is JSON. Errors: invalid (naming the input; sizes that do not fit shape or body, values of
/// another type, a text that is not UTF-8), unsupported (a datatype).
Result<KServeInfer> parse_infer(std::string_view body, std::optional<size_t> json_bytes);

/// Strings as they stand behind the JSON.
std::string binary_texts(const std::vector<std::string>& texts);

}  // namespace tokamak::server
