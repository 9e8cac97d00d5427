// SPDX-License-Identifier: Apache-2.0
// Bias, penalties and what is not allowed, put on rows of logits on the device.
#pragma once

#include "tokamak/device/cuda/cuda_device.h"
#include "tokamak/kernels/kernel.h"

namespace tokamak::kernels::cuda {

/// What asks for an adjusted row; tkm::AdjustRow. Lists are in the block of words that goes along,
/// by index.
struct AdjustRow {
  int32_t row = 0;       ///< Of the logits.
  int32_t sequence = 0;  ///< Of the batch, whose pages have its tokens.
  int32_t length = 0;    ///< Tokens before the one to be chosen.
  int32_t prompt = 0;    ///< Of these, the first; the others are output.
  float repetition = 1, frequency = 0, presence = 0;
  int32_t bias = 0, num_bias = 0;            ///< Pairs of token and float, each token once.
  int32_t banned = 0, num_banned = 0;        ///< Tokens.
  int32_t bad_words = 0, num_bad_words = 0;  ///< num + 1 indices: where each begins, the last ends.
  int32_t mask = -1;                         ///< A bit a token, set: allowed; -1: all are.
};

class Adjust {
 public:
  /// Errors: those of compiling.
  static Result<Adjust> make(device::Device& device, int64_t columns);
  /// adjusted[i] = the logits that runtime::sample() chooses by for asked[i], from f32 logits
  /// [rows, columns]; NaN where the model's logit is NaN or +infinity. `pages`: see NoteTokens. All
  /// on the device.
  void run(const void* logits,
           void* adjusted,
           const void* asked,
           int64_t count,
           const void* words,
           const DeviceBatch& batch,
           const void* pages) const;

 private:
  device::cuda::Function function_;
  int64_t columns_ = 0;
};

}  // namespace tokamak::kernels::cuda
