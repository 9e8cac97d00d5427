// SPDX-License-Identifier: Apache-2.0
#include "tokamak/op/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tokamak::op {
namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;

double llama3_frequency(const RotarySettings& s, double frequency) {
  double wavelength = kTwoPi / frequency, context = static_cast<double>(s.original_max_positions);
  if (wavelength > context / s.low_freq_factor) return frequency / s.factor;
  if (wavelength < context / s.high_freq_factor) return frequency;
  double smooth =
      (context / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
  return (1 - smooth) * frequency / s.factor + smooth * frequency;
}

/// Dimension whose wavelength makes `rotations` turns within the original context.
double yarn_dimension(const RotarySettings& s, double rotations) {
  double context = static_cast<double>(s.original_max_positions),
         dim = static_cast<double>(s.rotary_dim);
  return dim * std::log(context / (rotations * kTwoPi)) /
         (2 * std::log(static_cast<double>(s.theta)));
}

double yarn_frequency(const RotarySettings& s, double frequency, size_t index) {
  double low = yarn_dimension(s, s.beta_fast), high = yarn_dimension(s, s.beta_slow);
  if (s.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(s.rotary_dim - 1));
  if (low == high) high += 0.001;
  double interpolated = std::clamp((static_cast<double>(index) - low) / (high - low), 0.0, 1.0);
  return frequency / s.factor * interpolated + frequency * (1 - interpolated);
}

}  // namespace

std::vector<float> rotary_frequencies(const RotarySettings& s, bool long_sequence) {
  const std::vector<float>& factors =
      long_sequence && !s.long_factors.empty() ? s.long_factors : s.factors;
  std::vector<float> out(static_cast<size_t>(s.rotary_dim / 2));
  for (size_t i = 0; i < out.size(); ++i) {
    double frequency = std::pow(static_cast<double>(s.theta),
                                -2.0 * static_cast<double>(i) / static_cast<double>(s.rotary_dim));
    switch (s.scaling) {
      case RopeScaling::kNone:
        break;
      case RopeScaling::kLinear:
        frequency /= s.factor;
        break;
      case RopeScaling::kLlama3:
        frequency = llama3_frequency(s, frequency);
        break;
      case RopeScaling::kYarn:
        frequency = yarn_frequency(s, frequency, i);
        break;
      case RopeScaling::kLongRope:
        frequency /= factors[i];
        break;
    }
    out[i] = static_cast<float>(frequency);
  }
  return out;
}

void rotate(const RotarySettings& s,
            std::span<const float> frequencies,
            int64_t position,
            float* head) {
  size_t half = frequencies.size();
  for (size_t i = 0; i < half; ++i) {
    float angle = static_cast<float>(position) * frequencies[i];
    float cosine = std::cos(angle) * s.attention_factor,
          sine = std::sin(angle) * s.attention_factor;
    float& a = head[s.interleaved ? 2 * i : i];
    float& b = head[s.interleaved ? 2 * i + 1 : i + half];
    float rotated = a * cosine - b * sine;
    b = b * cosine + a * sine;
    a = rotated;
  }
}

Result<void> expect_positions(std::string_view op,
                              const TensorType& x,
                              const TensorType& positions) {
  TKM_RETURN_IF_ERROR(expect_ids(op, "positions", positions));
  if (positions.shape[0] == x.shape[0]) return {};
  return type_error(
      op,
      fmt::format("positions are {}, but the rows are those of {}", positions.text(), x.text()));
}

namespace {

bool is_positive(float value) {
  return value > 0 && std::isfinite(value);
}

/// What only the scaling in use needs.
Result<void> check_scaling(std::string_view op, const RotarySettings& s) {
  bool needs_context = s.scaling == RopeScaling::kLlama3 || s.scaling == RopeScaling::kYarn;
  if (needs_context && s.original_max_positions <= 0) {
    return type_error(
        op, fmt::format("{} scaling needs original_max_positions", base::enum_name(s.scaling)));
  }
  if (s.scaling == RopeScaling::kLlama3 &&
      !(is_positive(s.low_freq_factor) && s.high_freq_factor > s.low_freq_factor)) {
    return type_error(
        op,
        fmt::format("llama3 scaling needs 0 < low_freq_factor < high_freq_factor, has {} and {}",
                    s.low_freq_factor,
                    s.high_freq_factor));
  }
  if (s.scaling == RopeScaling::kYarn &&
      !(is_positive(s.beta_fast) && is_positive(s.beta_slow) && s.theta > 1)) {
    return type_error(
        op,
        fmt::format("yarn scaling needs positive beta_fast and beta_slow, and theta above 1, has "
                    "{}, {} and {}",
                    s.beta_fast,
                    s.beta_slow,
                    s.theta));
  }
  if (s.scaling != RopeScaling::kLongRope) return {};
  if (!s.long_factors.empty() && s.original_max_positions <= 0)
    return type_error(op, "longrope by length needs original_max_positions");
  for (const std::vector<float>* factors : {&s.factors, &s.long_factors}) {
    if (factors == &s.long_factors && factors->empty()) continue;
    if (static_cast<int64_t>(factors->size()) != s.rotary_dim / 2) {
      return type_error(
          op,
          fmt::format("longrope has {} factors for {} pairs", factors->size(), s.rotary_dim / 2));
    }
    if (!std::all_of(factors->begin(), factors->end(), is_positive))
      return type_error(op, "longrope has a factor that is not positive");
  }
  return {};
}

}  // namespace

Result<void> check_rotary(std::string_view op, const RotarySettings& s, int64_t head_dim) {
  if (s.rotary_dim < 0 || s.rotary_dim % 2 || s.rotary_dim > head_dim) {
    return type_error(
        op,
        fmt::format("rotary_dim {} is not even and within head_dim {}", s.rotary_dim, head_dim));
  }
  if (!is_positive(s.theta) || !is_positive(s.factor) || !is_positive(s.attention_factor)) {
    return type_error(op,
                      fmt::format("theta {}, factor {} and attention_factor {} must be positive",
                                  s.theta,
                                  s.factor,
                                  s.attention_factor));
  }
  return check_scaling(op, s);
}

Result<Types> Rope::infer(const Rope& r, TypeSpan inputs) {
  TKM_RETURN_IF_ERROR(expect_inputs(kName, inputs, 2));
  TKM_RETURN_IF_ERROR(expect_float(kName, "x", inputs[0]));
  TKM_RETURN_IF_ERROR(expect_rank(kName, "x", inputs[0], 2));
  TKM_RETURN_IF_ERROR(expect_positions(kName, inputs[0], inputs[1]));
  TKM_RETURN_IF_ERROR(check_rotary(kName, r, r.head_dim));
  if (r.head_dim <= 0 || inputs[0].columns() % r.head_dim) {
    return type_error(
        kName,
        fmt::format(
            "head_dim {} does not divide the {} columns of x", r.head_dim, inputs[0].columns()));
  }
  return Types{inputs[0]};
}

void Rope::reference(const Rope& r, const BatchView&, TensorSpan inputs, TensorSpan outputs) {
  auto x = inputs[0].as<float>(), y = outputs[0].as<float>();
  auto positions = inputs[1].as<int32_t>();
  std::copy(x.begin(), x.end(), y.begin());
  const RotaryFrequencies frequencies(r);
  int64_t heads = inputs[0].columns() / r.head_dim;
  for (size_t t = 0; t < positions.size(); ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      rotate(r,
             frequencies.at(positions[t]),
             plain_position(positions[t]),
             &y[(t * static_cast<size_t>(heads) + static_cast<size_t>(h)) *
                static_cast<size_t>(r.head_dim)]);
    }
  }
}

}  // namespace tokamak::op
