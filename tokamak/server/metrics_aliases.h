// SPDX-License-Identifier: Apache-2.0
// The server's figures under the names of other servers.
#pragma once

#include <vector>

#include <prometheus/metric_family.h>

namespace tokamak::server {

/// Appends a copy of each family of ours that vLLM (`vllm:…`) or Triton (`nv_inference_…`) has,
/// under their name, labels and unit.
void add_aliases(std::vector<prometheus::MetricFamily>& families);

}  // namespace tokamak::server
