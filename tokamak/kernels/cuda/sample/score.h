// SPDX-License-Identifier: Apache-2.0
// Log-probabilities on the device: of one token of a row of logits and of the best ones.
#pragma once

#include "tokamak/device/cuda/cuda_device.h"

namespace tokamak::kernels::cuda {

constexpr int64_t kMostScores = 20;

/// What asks for scores; tkm::ScoreRow.
struct ScoreRow {
  int32_t row = 0;     ///< Of the logits; the chosen token is at that place of the tokens.
  int32_t given = -1;  ///< The token to be scored; -1: the chosen one.
  int32_t count = 0;   ///< Best tokens that are asked for, at most kMostScores.
};

/// tkm::Score
struct Score {
  int32_t count = -1;  ///< Best tokens, the best first; -1: the host must score.
  float logprob = 0;   ///< Of the token.
  int32_t tokens[kMostScores] = {};
  float logprobs[kMostScores] = {};
};

class Scorer {
 public:
  /// Errors: those of compiling.
  static Result<Scorer> make(device::Device& device, int64_t columns);
  /// scores[i] = what runtime::sample() says of log-probabilities for asked[i], but for rounding,
  /// by f32 logits [rows, columns]. All on the device.
  void run(
      const void* logits, const void* asked, int64_t count, const void* tokens, void* scores) const;

 private:
  device::cuda::Function function_;
  int64_t columns_ = 0;
};

}  // namespace tokamak::kernels::cuda
