// SPDX-License-Identifier: Apache-2.0
// A step held against the limits of its session.
#pragma once

#include "tokamak/runtime/session.h"

namespace tokamak::runtime {

/// Errors: invalid, naming what is out of its limits.
Result<void> check_step(const Step& step, const SessionInfo& info);

}  // namespace tokamak::runtime
