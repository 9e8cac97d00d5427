// SPDX-License-Identifier: Apache-2.0
// The passes of the sampler over whole rows of a vocabulary, vectorised for the processor at hand.
#pragma once

#include <cstdint>
#include <span>

namespace tokamak::runtime {

/// scan_at_least may write so many elements behind the ids that it returns.
inline constexpr int64_t kScanPadding = 64;

/// The largest value; NaN if there is one. -inf for none.
float scan_max(std::span<const float> values);
/// Index of the first element that equals `value`, or -1.
int64_t scan_first(std::span<const float> values, float value);
/// maxima[i] of elements [i * block, (i + 1) * block). No NaN allowed.
void scan_block_max(std::span<const float> values, int64_t block, float* maxima);
/// weights[i] = exp((values[i] - max) / temperature), within 1e-6 of it; exactly 1 at the maximum.
/// Returns their sum in double precision. `weights` may be `values`.
double scan_exp(std::span<const float> values, float max, float temperature, float* weights);
/// The sum in double precision.
double scan_sum(std::span<const float> values);
/// Writes the indices of the elements >= threshold, ascending, and returns how many they are.
int64_t scan_at_least(std::span<const float> values, float threshold, int32_t* indices);

}  // namespace tokamak::runtime
