// SPDX-License-Identifier: Apache-2.0
// The device's draws against the definition in double precision, and against the host's sampler.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <random>

#include "tokamak/device/gpu_test.h"
#include "tokamak/kernels/cuda/sample/draw.h"
#include "tokamak/runtime/philox.h"
#include "tokamak/runtime/sampling.h"

namespace tokamak::runtime {
namespace {

using kernels::cuda::Draw;
using kernels::cuda::DrawRow;

constexpr double kInf = std::numeric_limits<double>::infinity();
/// Of the whole mass: what rounding may move a border by.
constexpr double kSlack = 2e-5;

struct Ask {
  float temperature = 1, top_p = 1, min_p = 0;
  int32_t top_k = 0;
  double uniform = 0;
};

std::string text_of(const Ask& ask) {
  return fmt::format("temperature {} top_k {} top_p {} min_p {} uniform {}",
                     ask.temperature,
                     ask.top_k,
                     ask.top_p,
                     ask.min_p,
                     ask.uniform);
}

/// Why `token` is not what the settings draw, or an empty text.
std::string fault_of(std::span<const float> logits, const Ask& ask, int32_t token) {
  const size_t vocab = logits.size();
  if (token < 0 || token >= static_cast<int64_t>(vocab)) return fmt::format("token {}", token);
  std::vector<size_t> order(vocab);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(
      order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  const double max = logits[order[0]];
  double least_logit = -kInf;
  if (ask.top_k > 0 && ask.top_k < static_cast<int64_t>(vocab))
    least_logit = logits[order[static_cast<size_t>(ask.top_k) - 1]];
  std::vector<double> weights(vocab);
  double mass = 0;
  for (size_t i = 0; i < vocab; ++i) {
    if (logits[i] < least_logit) continue;
    weights[i] = std::exp((logits[i] - max) / double{ask.temperature});
    mass += weights[i];
  }
  // Weights at the border may be in or out by rounding.
  double cut = 0, sum = 0;
  if (ask.top_p < 1) {
    for (size_t i : order) {
      sum += weights[i];
      cut = weights[i];
      if (sum >= ask.top_p * mass) break;
    }
  }
  const double least = std::max(cut, double{ask.min_p});
  auto is_border = [&](double weight) {
    return least > 0 && std::abs(weight - least) <= 1e-4 * least;
  };
  double kept = 0, border = 0;
  for (double& weight : weights) {
    if (is_border(weight))
      border += weight;
    else if (weight < least)
      weight = 0;
    kept += weight;
  }
  const auto at = static_cast<size_t>(token);
  if (weights[at] <= 0)
    return fmt::format("token {} of logit {} is not kept (least {})", token, logits[at], least);
  const double before = std::accumulate(weights.begin(), weights.begin() + token, 0.0);
  // One token at the border in or out moves the draw by no more than the border's mass.
  const double slack = kSlack * kept + (ask.top_p < 1 || ask.min_p > 0 ? border : 0);
  const double wanted = ask.uniform * kept;
  if (wanted < before - slack || wanted > before + weights[at] + slack)
    return fmt::format("token {} covers {} to {}, wanted {} of {}",
                       token,
                       before,
                       before + weights[at],
                       wanted,
                       kept);
  return "";
}

class DrawOnGpu : public device::GpuTest {
 protected:
  /// Ask i draws from row i % rows.
  std::vector<int32_t> draw(std::span<const float> logits,
                            int64_t rows,
                            std::span<const Ask> asks) {
    const int64_t columns = std::ssize(logits) / rows;
    auto made = Draw::make(*device_, columns);
    EXPECT_TRUE(made.ok()) << made.error().text();
    device::Memory values = device_->allocate(std::ssize(logits) * 4).value();
    device_->copy_to_device(values.data(), logits.data(), std::ssize(logits) * 4);
    std::vector<DrawRow> asked;
    for (const Ask& ask : asks) {
      asked.push_back({.uniform = ask.uniform,
                       .scale = static_cast<float>(std::numbers::log2e / double{ask.temperature}),
                       .top_p = ask.top_p,
                       .min_p = ask.min_p,
                       .top_k = ask.top_k,
                       .row = static_cast<int32_t>(asked.size() % static_cast<size_t>(rows)),
                       .place = static_cast<int32_t>(asked.size())});
    }
    const int64_t count = std::ssize(asks);
    device::Memory rows_asked = upload(asked), drawn = device_->allocate(count * 4).value();
    std::vector<int32_t> out[2];
    for (auto& tokens : out) {
      device_->fill_bytes(drawn.data(), 0xee, count * 4);
      made->run(values.data(), nullptr, rows_asked.data(), count, drawn.data());
      tokens = download<int32_t>(drawn, count);
    }
    EXPECT_EQ(out[0], out[1]);
    return out[0];
  }
};

std::vector<float> normal_logits(size_t count, float sigma, std::mt19937& random) {
  std::normal_distribution<float> normal(-3, sigma);
  std::vector<float> out(count);
  for (float& value : out) value = normal(random);
  return out;
}

std::vector<Ask> random_asks(size_t count, std::mt19937& random) {
  auto pick = [&](auto... values) {
    const std::common_type_t<decltype(values)...> all[] = {values...};
    return all[random() % sizeof...(values)];
  };
  std::vector<Ask> out(count);
  for (Ask& ask : out) {
    ask = {.temperature = pick(0.3f, 0.7f, 1.0f, 2.5f),
           .top_p = pick(1.0f, 0.95f, 0.9f, 0.5f, 0.01f),
           .min_p = pick(0.0f, 0.0f, 0.05f),
           .top_k = pick(0, 0, 1, 5, 50, 300),
           .uniform = philox_uniform(7, random())};
  }
  out[0].uniform = 0;
  out[1].uniform = 1 - 0x1p-53;
  return out;
}

TEST_F(DrawOnGpu, FollowsTheDefinition) {
  std::mt19937 random(11);
  for (int64_t columns : {1, 100, 1001, 32'000, 50'257, 128'256, 256'000}) {
    for (float sigma : {1.0f, 4.0f}) {
      constexpr int64_t kRows = 8;
      auto logits = normal_logits(static_cast<size_t>(kRows * columns), sigma, random);
      // Masked tokens.
      for (size_t i = 0; i < logits.size(); i += 97)
        if (columns > 1) logits[i] = -std::numeric_limits<float>::infinity();
      const auto asks = random_asks(48, random);
      const auto tokens = draw(logits, kRows, asks);
      int64_t left = 0;
      for (size_t i = 0; i < asks.size(); ++i) {
        const auto row = std::span(logits).subspan(i % kRows * static_cast<size_t>(columns),
                                                   static_cast<size_t>(columns));
        left += tokens[i] == -1;
        if (tokens[i] == -1) continue;
        EXPECT_EQ(fault_of(row, asks[i], tokens[i]), "")
            << columns << " columns, sigma " << sigma << ", " << text_of(asks[i]);
      }
      // A flat row's 300 best can be more than there is room for.
      EXPECT_LE(left, 3) << columns << " columns, sigma " << sigma;
    }
  }
}

TEST_F(DrawOnGpu, IsTheHostsDraw) {
  std::mt19937 random(12);
  constexpr size_t kColumns = 128'256;
  const auto logits = normal_logits(kColumns, 3, random);
  std::vector<float> scratch;
  std::vector<Ask> asks = random_asks(300, random);
  for (size_t i = 0; i < asks.size(); ++i) asks[i].uniform = philox_uniform(99, i);
  const auto tokens = draw(logits, 1, asks);
  int64_t same = 0;
  for (size_t i = 0; i < asks.size(); ++i) {
    SamplingParams params{.temperature = asks[i].temperature,
                          .top_k = asks[i].top_k,
                          .top_p = asks[i].top_p,
                          .min_p = asks[i].min_p};
    auto host = sample(
        logits, {.params = &params, .seed = 99, .position = static_cast<int64_t>(i)}, scratch);
    same += tokens[i] == -1 || tokens[i] == host->token;
  }
  // A draw at the border of two tokens may fall either way.
  EXPECT_GE(same, 297);
}

TEST_F(DrawOnGpu, LeavesWhatItCannotDecide) {
  constexpr size_t kColumns = 40'000;
  std::vector<float> logits(5 * kColumns, 0.5f);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  logits[1 * kColumns + 5] = std::nanf("");
  logits[2 * kColumns + 39'999] = kInfinity;
  std::fill_n(logits.begin() + 3 * kColumns, kColumns, -kInfinity);
  std::fill_n(logits.begin() + 4 * kColumns, kColumns, -kInfinity);
  logits[4 * kColumns + 31'234] = -7;
  const std::vector<Ask> asks(5, {.top_p = 0.5f, .uniform = 0.3});
  // Row 0: all tie.
  EXPECT_EQ(draw(logits, 5, asks), (std::vector<int32_t>{-1, -1, -1, -1, 31'234}));
  const std::vector<Ask> all(1, {.uniform = 0.25});
  EXPECT_EQ(draw(std::span(logits).first(kColumns), 1, all), (std::vector<int32_t>{10'000}));
}

}  // namespace
}  // namespace tokamak::runtime
