// SPDX-License-Identifier: Apache-2.0
// The least time that each step of an engine could take here, where the device does not say its
// rates by itself: they are measured.
#pragma once

#include "tokamak/device/device.h"
#include "tokamak/engine/engine.h"

namespace tokamak::api {

struct DeviceRates {
  double read_bandwidth = 0;  ///< Bytes a second.
  double peak_flops = 0;      ///< Operations a second of products.
};

/// What the device says, else the measured bandwidth and what the processor's units could do at the
/// measured clock, all threads together: a bound, not a promise. Takes a second.
DeviceRates measure_rates(device::Device& device, DType dtype);

/// Gives choices that were timed and have no floor the one by these rates, or by better ones that a
/// kernel of the plan has shown: the rates may have been measured while others used the machine.
/// Errors: corrupt (a plan whose steps are none).
Result<void> add_floors(engine::Plan& plan, DeviceRates rates, const device::Device& device);

}  // namespace tokamak::api
