// SPDX-License-Identifier: Apache-2.0
// The device's rotation run on the host, against the op's. Not with clang, which holds the operands
// of PTX against the host's registers, and not under ThreadSanitizer, which loses track of stacks
// that take turns.
#if !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#include <numbers>

#include <gtest/gtest.h>

#include "tokamak/kernels/cuda/on_host_test.h"

namespace tkm {
inline void sincospif(float x, float* sine, float* cosine) {
  *sine = static_cast<float>(std::sin(static_cast<double>(x) * std::numbers::pi));
  *cosine = static_cast<float>(std::cos(static_cast<double>(x) * std::numbers::pi));
}
inline float rsqrtf(float x) {
  return 1 / std::sqrt(x);
}
}  // namespace tkm

#include "tokamak/kernels/cuda/rope/rope_params.h"
#include "tokamak/kernels/cuda/rope/rotate.cuh"

namespace tokamak::kernels::cuda {
namespace {

constexpr int kHeadDim = 80, kRotaryDim = 72;

op::RotarySettings longrope() {
  op::RotarySettings settings{.rotary_dim = kRotaryDim,
                              .scaling = op::RopeScaling::kLongRope,
                              .original_max_positions = 4096,
                              .attention_factor = 1.19f};
  for (int i = 0; i < kRotaryDim / 2; ++i) {
    settings.factors.push_back(1 + 0.1f * static_cast<float>(i));
    settings.long_factors.push_back(2 + 3 * static_cast<float>(i));
  }
  return settings;
}

template <bool INTERLEAVED>
void expect_rotated(int32_t given) {
  constexpr tkm::RopeConfig kConfig{.append = false,
                                    .norm = false,
                                    .unit_offset = false,
                                    .interleaved = INTERLEAVED,
                                    .heads = 1,
                                    .kv_heads = 0,
                                    .head_dim = kHeadDim,
                                    .rotary_dim = kRotaryDim,
                                    .by_length = true};
  op::RotarySettings settings = longrope();
  settings.interleaved = INTERLEAVED;
  const RopeParams host = rope_params(settings, 0);
  static_assert(sizeof(RopeParams) == sizeof(tkm::RopeParams));
  const auto params = std::bit_cast<tkm::RopeParams>(host);
  std::vector<float> head(kHeadDim), out(kHeadDim);
  for (int i = 0; i < kHeadDim; ++i)
    head[static_cast<size_t>(i)] = 0.1f * static_cast<float>(i) - 3;
  on_host::launch({1, 1}, 32, [&] {
    tkm::Head<kConfig> values;
    values.load(head.data());
    values.rotate(tkm::turns_at<kConfig>(given, params));
    values.store(out.data());
  });
  op::rotate(
      settings, op::RotaryFrequencies(settings).at(given), op::plain_position(given), head.data());
  for (size_t i = 0; i < head.size(); ++i) EXPECT_NEAR(out[i], head[i], 2e-6) << given << " " << i;
}

TEST(RotateOnHost, positions_of_long_sequences_have_frequencies_of_their_own) {
  for (int32_t position : {0, 1, 63, 4095, 4096, 100'000}) {
    for (int32_t given : {position, op::in_long_sequence(position)}) {
      expect_rotated<false>(given);
      expect_rotated<true>(given);
    }
  }
}

}  // namespace
}  // namespace tokamak::kernels::cuda
#endif
