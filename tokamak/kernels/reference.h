// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tokamak/kernels/kernel.h"

namespace tokamak::kernels {

const Tactic& reference_tactic();

}  // namespace tokamak::kernels
