// SPDX-License-Identifier: Apache-2.0
// What the kernels that choose a step's tokens take from the host: who asks for what, and the lists
// that go with it, as one block that goes to the device with one copy. Pure host code.
#pragma once

#include "tokamak/engine/memory_plan.h"
#include "tokamak/kernels/cuda/sample/adjust.h"
#include "tokamak/kernels/cuda/sample/draw.h"
#include "tokamak/kernels/cuda/sample/score.h"
#include "tokamak/runtime/session.h"

namespace tokamak::runtime {

/// The device's memory for choosing tokens, offsets in bytes. Everything has its largest size under
/// the limits of a step and of SamplingParams.
struct SamplingLayout {
  int64_t counters = 0;  ///< Of Greedy.
  int64_t scores = 0;    ///< A Score a row.
  int64_t adjusted = 0;  ///< f32 [most_adjusted(), vocab]
  int64_t block = 0;     ///< A SamplingBlock.
  int64_t bytes = 0;     ///< The block ends here.
  int64_t block_bytes() const { return bytes - block; }
};
SamplingLayout sampling_layout(const engine::StepLimits& limits, int64_t vocab_size);

/// Rows of a step whose logits may be changed before a token is chosen.
int64_t most_adjusted(int64_t max_rows, int64_t max_sequences);

/// Banned tokens of a row that go as a list; more go as bits of its mask.
inline constexpr int64_t kMostBanned = 512;

struct SamplingBlock {
  std::span<kernels::cuda::DrawRow> draws;
  std::span<kernels::cuda::AdjustRow> adjusts;  ///< The i-th has the i-th adjusted row.
  std::span<kernels::cuda::ScoreRow> scores;    ///< Of the samples that asks_logprobs(), in order.
  std::span<int32_t> words;  ///< All of it as words, by which AdjustRow's lists are named.

  int64_t bytes() const { return std::ssize(words) * 4; }
  /// Of an element of the block.
  int64_t offset(const void* element) const {
    return static_cast<const std::byte*>(element) -
           reinterpret_cast<const std::byte*>(words.data());
  }
};

/// Writes the block of a step that was checked to `memory`, aligned to 8 bytes.
SamplingBlock pack_sampling(const Step& step, int64_t vocab_size, std::span<std::byte> memory);

}  // namespace tokamak::runtime
