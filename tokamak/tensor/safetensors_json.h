// SPDX-License-Identifier: Apache-2.0
// The JSON of safetensors files, read as a stream of events: in linear time, and without losing
// that a name stands twice.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokamak/tensor/safetensors.h"

namespace tokamak::tensor {

/// Fills tensors and metadata of `header`; ranges are as written, not checked. Members of a tensor
/// that the format does not have are passed over. Errors: corrupt, naming the tensor.
Result<void> read_header_text(std::string_view text,
                              std::string_view what,
                              SafetensorsHeader& header);

/// `weight_map` of model.safetensors.index.json: tensors and the files that hold them, as written.
/// Errors: corrupt.
Result<std::vector<std::pair<std::string, std::string>>> read_weight_map(std::string_view text,
                                                                         std::string_view what);

}  // namespace tokamak::tensor
