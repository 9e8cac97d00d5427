// SPDX-License-Identifier: Apache-2.0
// Where the time of a decode step goes.
#pragma once

#include "tokamak/runtime/player.h"

namespace tokamak::runtime {

/// See Session::time_kernels. `inputs` are overwritten.
Result<std::vector<KernelTime>> time_kernels(const engine::Plan& plan,
                                             device::Device& device,
                                             Player& player,
                                             StepInputs& inputs,
                                             const SessionInfo& info,
                                             int64_t batch,
                                             int64_t context);

}  // namespace tokamak::runtime
