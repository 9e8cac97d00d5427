// SPDX-License-Identifier: Apache-2.0
// A fused op as its two halves: the first kernel's one output lies in the workspace and is the
// second's first input. For steps and types that no fused kernel takes.
#pragma once

#include "tokamak/kernels/cuda/device_code.h"

namespace tokamak::kernels::cuda {

/// The halves of a fused op, and which of its inputs they take; the second's come after the value
/// between.
struct Halves {
  KernelDesc first, second;
  std::vector<size_t> first_inputs, second_inputs;
};
/// `op`'s halves are `first` and `second`. Programming error: types that do not fit them.
Halves split_op(const KernelDesc& desc,
                op::Op first,
                std::vector<size_t> first_inputs,
                op::Op second,
                std::vector<size_t> second_inputs);

/// Every way to run a half, each as {"tactic": its name, "config": its config}.
std::vector<Json> half_candidates(const KernelDesc& half,
                                  int64_t tokens,
                                  const device::Device& device);

/// The first half by its first candidate, the second as `config` (of half_candidates) says.
/// Errors: invalid (no such config), those of making.
Made make_pair(const Halves& halves, const Json& config, device::Device& device);

}  // namespace tokamak::kernels::cuda
