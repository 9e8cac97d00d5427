// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding and its published ways of stretching the context.
#pragma once

#include "tokamak/op/op.h"

namespace tokamak::op {

enum class RopeScaling {
  kNone,
  kLinear,    ///< frequencies / factor
  kLlama3,    ///< long wavelengths / factor, short ones kept, smooth between (Llama 3.1)
  kYarn,      ///< Peng et al., arXiv:2309.00071
  kLongRope,  ///< frequencies / factors[i], by the sequence's length. Ding et al., arXiv:2402.13753
};
constexpr auto enum_names(RopeScaling) {
  return std::array<std::string_view, 5>{"none", "linear", "llama3", "yarn", "longrope"};
}

/// How positions turn into rotations of the first `rotary_dim` elements of a head. Su et al.,
/// arXiv:2104.09864.
struct RotarySettings {
  int64_t rotary_dim = 0;    ///< Even; 0 rotates nothing.
  bool interleaved = false;  ///< Pairs (2i, 2i+1) rotate together, else (i, i + rotary_dim/2).
  float theta = 10000.0f;
  RopeScaling scaling = RopeScaling::kNone;
  float factor = 1.0f;
  float low_freq_factor = 1.0f, high_freq_factor = 4.0f;  ///< llama3
  float beta_fast = 32.0f, beta_slow = 1.0f;              ///< yarn
  bool truncate = true;                ///< yarn: ramp borders rounded to whole dimensions
  int64_t original_max_positions = 0;  ///< llama3, yarn, longrope
  float attention_factor = 1.0f;       ///< cos and sin are multiplied by it (yarn, longrope)
  std::vector<float> factors;          ///< longrope: rotary_dim / 2 divisors
  std::vector<float> long_factors;     ///< Those of all positions of a sequence that is longer than
                                       ///< original_max_positions; empty: `factors` serve it, too.
  static constexpr auto kFields =
      std::tuple{Field{"rotary_dim", &RotarySettings::rotary_dim},
                 Field{"interleaved", &RotarySettings::interleaved},
                 Field{"theta", &RotarySettings::theta},
                 Field{"scaling", &RotarySettings::scaling},
                 Field{"factor", &RotarySettings::factor},
                 Field{"low_freq_factor", &RotarySettings::low_freq_factor},
                 Field{"high_freq_factor", &RotarySettings::high_freq_factor},
                 Field{"beta_fast", &RotarySettings::beta_fast},
                 Field{"beta_slow", &RotarySettings::beta_slow},
                 Field{"truncate", &RotarySettings::truncate},
                 Field{"original_max_positions", &RotarySettings::original_max_positions},
                 Field{"attention_factor", &RotarySettings::attention_factor},
                 Field{"factors", &RotarySettings::factors},
                 Field{"long_factors", &RotarySettings::long_factors}};
};

/// What ops that rotate are given for a position of a sequence that is longer than
/// original_max_positions. Where there are no long_factors, it means the position alone.
constexpr int32_t in_long_sequence(int32_t position) {
  return -1 - position;
}
constexpr bool is_in_long_sequence(int32_t given) {
  return given < 0;
}
constexpr int32_t plain_position(int32_t given) {
  return given < 0 ? -1 - given : given;
}

/// Angle per position of each rotated pair: rotary_dim / 2 values.
std::vector<float> rotary_frequencies(const RotarySettings& settings, bool long_sequence = false);
/// Both kinds, to look up by positions as ops are given them.
class RotaryFrequencies {
 public:
  explicit RotaryFrequencies(const RotarySettings& settings)
      : usual_(rotary_frequencies(settings)), long_(rotary_frequencies(settings, true)) {}
  std::span<const float> at(int32_t given) const {
    return is_in_long_sequence(given) ? long_ : usual_;
  }

 private:
  std::vector<float> usual_, long_;
};
/// Rotates one head in place for `position`.
void rotate(const RotarySettings& settings,
            std::span<const float> frequencies,
            int64_t position,
            float* head);
/// Positions are i32 and as many as x has rows.
Result<void> expect_positions(std::string_view op,
                              const TensorType& x,
                              const TensorType& positions);
Result<void> check_rotary(std::string_view op, const RotarySettings& settings, int64_t head_dim);

/// Rotates each head of x [T, heads * head_dim] by its token's position, i32[T] (those of long
/// sequences as in_long_sequence() gives them).
struct Rope : RotarySettings {
  static constexpr std::string_view kName = "rope";
  static constexpr bool kHasState = false;
  int64_t head_dim = 0;
  static constexpr auto kFields =
      std::tuple_cat(std::tuple{Field{"head_dim", &Rope::head_dim}}, RotarySettings::kFields);
  static Result<Types> infer(const Rope&, TypeSpan inputs);
  static void reference(const Rope&, const BatchView&, TensorSpan inputs, TensorSpan outputs);
};

}  // namespace tokamak::op
