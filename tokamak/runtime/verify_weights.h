// SPDX-License-Identifier: Apache-2.0
// The part of verifying a plan that is about its weights, and what both parts share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tokamak/engine/plan.h"
#include "tokamak/kernels/kernel.h"

namespace tokamak::runtime {

inline constexpr int64_t kMaxWeightBytes = int64_t{1} << 46;

/// A corrupt plan; what is to be done about it is always the same.
Error plan_error(std::string message);
/// The error of a step with the step at its front.
Error error_of_step(size_t step, Error error);

/// Bytes of one row of a value, of all of it where its shape is constant; nothing if they are more
/// than `most` or a dimension is zero.
std::optional<int64_t> row_bytes(const TensorType& type, int64_t most);

/// Parts add up to their weight, and all that read a weight read the layout in which it is packed.
/// `descs`: of the steps, whose choices were verified. Errors: corrupt.
Result<void> verify_weights(const engine::Plan& plan,
                            const std::vector<kernels::KernelDesc>& descs);

}  // namespace tokamak::runtime
