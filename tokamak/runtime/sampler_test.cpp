// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/base/fields_json.h"
#include "tokamak/runtime/philox.h"
#include "tokamak/runtime/sampler_scan.h"
#include "tokamak/runtime/sampling.h"

namespace tokamak::runtime {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAreArray;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// A token that may be drawn, and the part of [0, 1) that draws it.
struct Share {
  int32_t token;
  double from, to;
};

/// The definition, written plainly: penalised logits are sorted, cut, and laid out by id.
std::vector<Share> oracle(std::vector<float> logits, const SamplingParams& params) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const float max = *std::max_element(logits.begin(), logits.end());
  std::vector<double> weights;
  for (float logit : logits)
    weights.push_back(std::exp((logit - max) / double{params.temperature}));
  std::stable_sort(ids.begin(), ids.end(), [&](int a, int b) { return logits[a] > logits[b]; });
  if (params.top_k > 0 && params.top_k < static_cast<int64_t>(ids.size())) {
    const float kth = logits[ids[params.top_k - 1]];
    std::erase_if(ids, [&](int32_t id) { return logits[id] < kth; });
  }
  auto total = [&] {
    double sum = 0;
    for (int32_t id : ids) sum += weights[id];
    return sum;
  };
  if (params.top_p < 1) {
    const double mass = total() * params.top_p;
    double before = 0;
    size_t kept = 0;
    while (kept < ids.size() && (kept == 0 || before < mass)) before += weights[ids[kept++]];
    ids.resize(kept);
  }
  std::erase_if(ids, [&](int32_t id) { return weights[id] < params.min_p || weights[id] == 0; });
  std::sort(ids.begin(), ids.end());
  const double sum = total();
  std::vector<Share> shares;
  double from = 0;
  for (int32_t id : ids) {
    shares.push_back({id, from / sum, (from + weights[id]) / sum});
    from += weights[id];
  }
  return shares;
}

std::vector<float> normal_logits(int64_t vocab, float spread, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(vocab);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

struct Sampler {
  SamplingParams params;
  std::vector<int32_t> prompt, output, banned;
  std::vector<float> scratch;

  Result<Sampled> operator()(std::span<const float> logits,
                             uint64_t seed = 1,
                             int64_t position = 0) {
    SampleContext context;
    context.params = &params;
    context.prompt = prompt;
    context.output = output;
    context.banned = banned;
    context.seed = seed;
    context.position = position;
    return sample(logits, context, scratch);
  }
  int32_t token(std::span<const float> logits, uint64_t seed = 1, int64_t position = 0) {
    return (*this)(logits, seed, position)->token;
  }
};

TEST(Sampler, ChoosesWhatTheDefinitionChoosesOnRandomRows) {
  std::mt19937_64 random(11);
  auto any = [&](auto... values) {
    const std::vector<double> list{static_cast<double>(values)...};
    return list[random() % list.size()];
  };
  int compared = 0;
  for (int round = 0; round < 400; ++round) {
    const int64_t vocab = static_cast<int64_t>(any(7, 64, 1000, 5000, 33333));
    auto logits = normal_logits(vocab, static_cast<float>(any(0.1, 1, 4)), round);
    Sampler sampler;
    sampler.params.temperature = static_cast<float>(any(0.3, 1, 1.7));
    sampler.params.top_k = static_cast<int64_t>(any(0, 0, 1, 5, 40, 700, 100000));
    sampler.params.top_p = static_cast<float>(any(1, 0.999, 0.9, 0.5, 0.05, 0));
    sampler.params.min_p = static_cast<float>(any(0, 0, 0.02, 0.5, 1));
    const auto shares = oracle(logits, sampler.params);
    for (int position = 0; position < 20; ++position) {
      const int32_t token = sampler.token(logits, round, position);
      const double u = philox_uniform(round, position);
      const auto share = std::find_if(
          shares.begin(), shares.end(), [&](const Share& s) { return s.token == token; });
      ASSERT_NE(share, shares.end()) << base::fields_to_json(sampler.params).dump() << " " << token;
      EXPECT_GE(u, share->from - 1e-5);
      EXPECT_LE(u, share->to + 1e-5);
      ++compared;
    }
  }
  EXPECT_EQ(compared, 8000);
}

TEST(Sampler, KeepsExactlyTheTokensThatTheDefinitionKeepsWithTiesToo) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 60; ++round) {
    std::vector<float> logits(30);
    // Steps of a half: plenty of ties.
    for (float& logit : logits) logit = 0.5f * static_cast<float>(random() % 7);
    Sampler sampler;
    sampler.params.top_k = static_cast<int64_t>(random() % 12);
    sampler.params.top_p =
        round % 2 ? 1.0f : 0.05f + 0.9f * static_cast<float>(random() % 100) / 100;
    sampler.params.min_p = round % 3 ? 0.0f : 0.2f;
    std::set<int32_t> drawn, kept;
    for (int position = 0; position < 4000; ++position) {
      drawn.insert(sampler.token(logits, round, position));
    }
    for (const Share& share : oracle(logits, sampler.params)) kept.insert(share.token);
    EXPECT_EQ(drawn, kept) << base::fields_to_json(sampler.params).dump();
  }
}

TEST(Sampler, DrawsFollowTheDistribution) {
  const auto logits = normal_logits(20, 1, 3);
  for (float temperature : {0.7f, 1.0f, 2.0f}) {
    Sampler sampler;
    sampler.params.temperature = temperature;
    std::vector<int> counts(20);
    constexpr int kDraws = 100000;
    for (int i = 0; i < kDraws; ++i) ++counts[sampler.token(logits, 99, i)];
    double chi_square = 0;
    for (const Share& share : oracle(logits, sampler.params)) {
      const double expected = (share.to - share.from) * kDraws;
      chi_square += (counts[share.token] - expected) * (counts[share.token] - expected) / expected;
    }
    EXPECT_LT(chi_square, 43.8) << "19 degrees of freedom, p = 0.001";
  }
}

TEST(Sampler, TheSameSeedAndPositionGiveTheSameTokenAndOthersDiffer) {
  const auto logits = normal_logits(5000, 1, 4);
  Sampler sampler, other;
  other.scratch.assign(100, kNan);
  std::set<int32_t> tokens;
  for (int position = 0; position < 50; ++position) {
    const int32_t token = sampler.token(logits, 42, position);
    sampler.token(normal_logits(9000, 2, position), 1, 1);
    EXPECT_EQ(other.token(logits, 42, position), token);
    tokens.insert(token);
  }
  EXPECT_GT(tokens.size(), 40u);
  EXPECT_NE(sampler.token(logits, 42, 0), sampler.token(logits, 43, 0));
}

TEST(Sampler, GreedyTakesTheLowestIdOfTheBest) {
  Sampler sampler;
  sampler.params.temperature = 0;
  std::vector<float> logits(100, -1.0f);
  logits[97] = logits[33] = logits[64] = 5;
  EXPECT_EQ(sampler.token(logits), 33);
  EXPECT_EQ(sampler.token(std::vector<float>(77, 0.25f)), 0);
  for (int64_t vocab : {1, 3, 16, 17, 1001}) {
    const auto random = normal_logits(vocab, 1, vocab);
    EXPECT_EQ(sampler.token(random),
              std::max_element(random.begin(), random.end()) - random.begin());
  }
}

TEST(Sampler, TopPOfZeroIsGreedy) {
  Sampler sampler;
  sampler.params.top_p = 0;
  std::vector<float> logits = {1, 3, 3, 2};
  for (int i = 0; i < 20; ++i) EXPECT_EQ(sampler.token(logits, i), 1);
}

TEST(Sampler, PenaltiesChangeLogitsAsComputedByHand) {
  Sampler sampler;
  sampler.params.temperature = 0;
  // Repetition: 4 / 2 = 2 for a positive, -1 * 2 = -2 for a negative logit, once for many times
  // seen.
  sampler.params.repetition_penalty = 2;
  sampler.prompt = {0, 0, 0};
  EXPECT_EQ(sampler.token(std::vector<float>{4, 1.9f, 0}), 0);
  EXPECT_EQ(sampler.token(std::vector<float>{4, 2.1f, 0}), 1);
  EXPECT_EQ(sampler.token(std::vector<float>{-1, -1.9f, -5}), 1);
  EXPECT_EQ(sampler.token(std::vector<float>{-1, -2.1f, -5}), 0);
  sampler.output = {0};
  EXPECT_EQ(sampler.token(std::vector<float>{4, 1.9f, 0}), 0);
  // Presence and frequency count the output alone: 3 - 1 - 2 * 0.5 = 1.
  sampler = {};
  sampler.params.temperature = 0;
  sampler.params.presence_penalty = 1;
  sampler.params.frequency_penalty = 0.5f;
  sampler.prompt = {0, 0, 0, 0};
  sampler.output = {0, 2, 0};
  EXPECT_EQ(sampler.token(std::vector<float>{3, 0.9f, -9}), 0);
  EXPECT_EQ(sampler.token(std::vector<float>{3, 1.1f, -9}), 1);
  // All three: 4 / 2 - 2 * 0.5 - 1 = 0.
  sampler.params.repetition_penalty = 2;
  EXPECT_EQ(sampler.token(std::vector<float>{4, -0.1f, -9}), 0);
  EXPECT_EQ(sampler.token(std::vector<float>{4, 0.1f, -9}), 1);
  // Negative penalties draw towards what was said.
  sampler = {};
  sampler.params.temperature = 0;
  sampler.params.presence_penalty = -2;
  sampler.output = {1};
  EXPECT_EQ(sampler.token(std::vector<float>{1, -0.9f}), 1);
}

TEST(Sampler, BannedTokensAreNeverChosen) {
  Sampler sampler;
  sampler.banned = {1, 2};
  std::vector<float> logits = {0, 9, 9, 0.5f};
  for (int i = 0; i < 100; ++i) EXPECT_THAT(sampler.token(logits, 3, i), testing::AnyOf(0, 3));
  sampler.params.temperature = 0;
  EXPECT_EQ(sampler.token(logits), 3);
}

TEST(Sampler, LogitBiasIsAddedBeforeThePenalties) {
  Sampler sampler;
  sampler.params.temperature = 0;
  sampler.params.logit_bias = {{1, 2.5f}, {2, -100}};
  EXPECT_EQ(sampler.token(std::vector<float>{3, 0.6f, 99, 0}), 1);
  EXPECT_EQ(sampler.token(std::vector<float>{3, 0.4f, 99, 0}), 0);
  // (0.6 + 2.5) / 2 = 1.55, once for a token that was seen twice.
  sampler.params.repetition_penalty = 2;
  sampler.prompt = {1, 1};
  EXPECT_EQ(sampler.token(std::vector<float>{1.5f, 0.6f, 99, 0}), 1);
  EXPECT_EQ(sampler.token(std::vector<float>{1.6f, 0.6f, 99, 0}), 0);
}

TEST(Sampler, APenaltyThatOverflowsStillFindsTheBest) {
  Sampler sampler;
  sampler.params.repetition_penalty = 1e-38f;
  sampler.prompt = {1};
  for (float temperature : {0.0f, 1.0f}) {
    sampler.params.temperature = temperature;
    EXPECT_EQ(sampler.token(std::vector<float>{20, 10, 5}), 1);
  }
}

TEST(Sampler, ABadWordIsNeverCompleted) {
  Sampler sampler;
  sampler.params.temperature = 0;
  sampler.params.bad_words = {{3}, {1, 2}, {1, 1, 0}};
  const std::vector<float> logits = {7, 6, 8, 9};
  EXPECT_EQ(sampler.token(logits), 2) << "a word of one token is banned at once";
  sampler.prompt = {0, 1};
  EXPECT_EQ(sampler.token(logits), 2) << "the prompt is not part of the answer";
  sampler.output = {1};
  EXPECT_EQ(sampler.token(logits), 0) << "after 1 comes no 2";
  sampler.output = {1, 1};
  EXPECT_EQ(sampler.token(logits), 1) << "and after 1 1 no 0 either";
  sampler.output = {1, 0};
  EXPECT_EQ(sampler.token(logits), 2);
  // Many draws: the sequence 1 2 is never there.
  sampler.params = {};
  sampler.params.bad_words = {{1, 2}};
  sampler.output = {};
  int ones = 0;
  for (int position = 0; position < 2000; ++position) {
    const int32_t token = sampler.token(std::vector<float>{1, 1, 1}, 5, position);
    if (!sampler.output.empty() && sampler.output.back() == 1) {
      ASSERT_NE(token, 2);
      ++ones;
    }
    sampler.output.push_back(token);
  }
  EXPECT_GT(ones, 300);
}

TEST(Sampler, OnlyAllowedTokensAreChosen) {
  Sampler sampler;
  sampler.params.allowed_token_ids = {4, 1, 4};
  const auto logits = normal_logits(100, 3, 1);
  std::set<int32_t> seen;
  for (int position = 0; position < 200; ++position)
    seen.insert(sampler.token(logits, 3, position));
  EXPECT_THAT(seen, UnorderedElementsAreArray({1, 4}));
  sampler.params.bad_words = {{4}};
  EXPECT_EQ(sampler.token(logits), 1);
}

TEST(Sampler, SettingsThatAllowNoTokenAreTheCallersError) {
  Sampler sampler;
  sampler.params.allowed_token_ids = {1, 2};
  sampler.banned = {1, 2};
  auto sampled = sampler(normal_logits(10, 1, 1), 1, 7);
  ASSERT_FALSE(sampled.ok());
  EXPECT_EQ(sampled.error().text(),
            "no token may be chosen for position 7\nhint: allowed_token_ids, bad_words, min_tokens "
            "and the model's own limits leave none");
  EXPECT_EQ(sampled.error().code, ErrorCode::kInvalid);
}

TEST(Sampler, AGivenTokenIsOnlyScored) {
  Sampler sampler;
  sampler.params.prompt_logprobs = 1;
  sampler.params.allowed_token_ids = {0};
  sampler.params.logit_bias = {{0, 50}};
  const std::vector<float> logits = {1, 3, 2, -kInfinity};
  const double norm = std::log(std::exp(1.0) + std::exp(3.0) + std::exp(2.0));
  SampleContext context{.params = &sampler.params, .given = 2};
  Sampled sampled = *sample(logits, context, sampler.scratch);
  EXPECT_EQ(sampled.token, 2);
  EXPECT_NEAR(sampled.logprob, 2 - norm, 1e-6);
  ASSERT_EQ(sampled.top_logprobs.size(), 1u);
  EXPECT_EQ(sampled.top_logprobs[0].token, 1);
  context.given = 3;
  EXPECT_EQ(sample(logits, context, sampler.scratch)->logprob, kLeastLogprob)
      << "a token that the model cannot say has a number, too";
}

TEST(Sampler, LogprobsAreThoseOfTheModelBeforeAnySetting) {
  Sampler sampler;
  sampler.params.temperature = 0;
  sampler.params.logprobs = 3;
  sampler.params.repetition_penalty = 50;
  sampler.prompt = {1};
  const std::vector<float> logits = {1, 3, 2, 2, -kInfinity};
  const Sampled sampled = *sampler(logits);
  const double norm = std::log(std::exp(1.0) + std::exp(3.0) + 2 * std::exp(2.0));
  EXPECT_EQ(sampled.token, 2);
  EXPECT_NEAR(sampled.logprob, 2 - norm, 1e-6);
  ASSERT_EQ(sampled.top_logprobs.size(), 3u);
  EXPECT_EQ(sampled.top_logprobs[0].token, 1);
  EXPECT_NEAR(sampled.top_logprobs[0].logprob, 3 - norm, 1e-6);
  EXPECT_EQ(sampled.top_logprobs[1].token, 2);
  EXPECT_EQ(sampled.top_logprobs[2].token, 3);
  sampler.params.logprobs = 0;
  EXPECT_NEAR(sampler(logits)->logprob, 2 - norm, 1e-6);
  EXPECT_TRUE(sampler(logits)->top_logprobs.empty());
  sampler.params.logprobs = 20;
  EXPECT_EQ(sampler(logits)->top_logprobs.size(), 4u) << "only tokens that the model can say";
}

/// What a row of logits says of each token, in double precision.
std::vector<double> log_softmax(std::span<const float> logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - max);
  std::vector<double> out;
  for (float logit : logits)
    out.push_back(std::max(logit - max - std::log(sum), double{kLeastLogprob}));
  return out;
}

TEST(Sampler, NamedTokensComeBehindTheBestEachOnce) {
  std::mt19937 random(7);
  int64_t compared = 0;
  for (int round = 0; round < 200; ++round) {
    const int64_t vocab = std::array{3, 64, 1000, 33333}[static_cast<size_t>(round % 4)];
    auto logits = normal_logits(vocab, 3, static_cast<uint64_t>(round));
    if (round % 5 == 0) logits[0] = -kInfinity;
    for (size_t i = 0; i + 1 < logits.size(); i += 7) logits[i + 1] = logits[i];  // Ties.
    Sampler sampler;
    sampler.params.temperature = round % 2 ? 0.0f : 1.0f;
    sampler.params.logprobs = std::array{-1, 0, 1, 5, 20}[static_cast<size_t>(round % 5)];
    sampler.params.repetition_penalty = round % 3 ? 1.0f : 30.0f;
    const Sampled best = *sampler(logits, 1, round);
    std::vector<int32_t>& named = sampler.params.logprob_token_ids;
    named = {0, best.token, static_cast<int32_t>(vocab - 1), 0};
    for (const TokenLogprob& entry : best.top_logprobs) {
      if (random() % 2) named.push_back(entry.token);
    }
    while (named.size() < static_cast<size_t>(4 + round % 125))
      named.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocab)));
    named.resize(std::min<size_t>(named.size(), kMostLogprobTokenIds));
    std::shuffle(named.begin(), named.end(), random);

    const Sampled sampled = *sampler(logits, 1, round);
    EXPECT_EQ(sampled.token, best.token) << "what is told changes no token";
    const std::vector<double> expected = log_softmax(logits);
    EXPECT_NEAR(sampled.logprob, expected[sampled.token], 1e-4);
    std::set<int32_t> asked(named.begin(), named.end()), told;
    for (const TokenLogprob& entry : best.top_logprobs) asked.insert(entry.token);
    const auto& top = sampled.top_logprobs;
    for (size_t i = 0; i < top.size(); ++i) {
      EXPECT_TRUE(told.insert(top[i].token).second) << top[i].token << " is there twice";
      EXPECT_NEAR(top[i].logprob, expected[top[i].token], 1e-4) << top[i].token;
      if (i > 0) {
        const float before = logits[top[i - 1].token], logit = logits[top[i].token];
        EXPECT_TRUE(before > logit || (before == logit && top[i - 1].token < top[i].token)) << i;
      }
      ++compared;
    }
    EXPECT_EQ(told, asked);
    for (size_t i = 0; i < best.top_logprobs.size(); ++i)
      EXPECT_EQ(top[i].token, best.top_logprobs[i].token) << "the best come first";

    // As for a token that a device chose and scored.
    Sampled added = best;
    add_named_logprobs(logits, sampler.params, sampler.scratch, added);
    ASSERT_EQ(added.top_logprobs.size(), top.size());
    for (size_t i = 0; i < top.size(); ++i) {
      EXPECT_EQ(added.top_logprobs[i].token, top[i].token);
      EXPECT_EQ(added.top_logprobs[i].logprob, top[i].logprob);
    }
  }
  EXPECT_GT(compared, 5000);
}

TEST(Sampler, NamedTokensAloneAskForTheTokensOwnLogprobToo) {
  Sampler sampler;
  sampler.params.temperature = 0;
  sampler.params.logprob_token_ids = {2};
  const std::vector<float> logits = {1, 3, 2, -kInfinity};
  EXPECT_TRUE(sampler.params.asks_logprobs());
  Sampled sampled = *sampler(logits);
  EXPECT_EQ(sampled.token, 1);
  EXPECT_NEAR(sampled.logprob, log_softmax(logits)[1], 1e-6);
  ASSERT_EQ(sampled.top_logprobs.size(), 1u);
  EXPECT_EQ(sampled.top_logprobs[0].token, 2);
  sampler.params.logprob_token_ids = {3};
  EXPECT_EQ(sampler(logits)->top_logprobs.at(0).logprob, kLeastLogprob)
      << "a token that the model cannot say has a number, too";
  // They are the answer's: a token of the prompt is scored without them.
  sampler.params.prompt_logprobs = 1;
  const SampleContext given{.params = &sampler.params, .given = 0};
  sampled = *sample(logits, given, sampler.scratch);
  ASSERT_EQ(sampled.top_logprobs.size(), 1u);
  EXPECT_EQ(sampled.top_logprobs[0].token, 1);
}

TEST(Sampler, ARowWithOneFiniteLogitHasOneAnswer) {
  std::vector<float> logits(3000, -kInfinity);
  logits[1234] = -7;
  for (float temperature : {0.0f, 0.01f, 1.0f, 100.0f}) {
    for (int64_t top_k : {0, 1, 50, 2999}) {
      for (float top_p : {1.0f, 0.5f}) {
        for (float min_p : {0.0f, 0.1f}) {
          Sampler sampler;
          sampler.params.temperature = temperature;
          sampler.params.top_k = top_k;
          sampler.params.top_p = top_p;
          sampler.params.min_p = min_p;
          for (int i = 0; i < 5; ++i) EXPECT_EQ(sampler.token(logits, i), 1234);
        }
      }
    }
  }
}

TEST(Sampler, EqualLogitsAreDrawnEvenly) {
  const std::vector<float> logits(10, 3.5f);
  Sampler sampler;
  std::vector<int> counts(10);
  for (int i = 0; i < 20000; ++i) ++counts[sampler.token(logits, 8, i)];
  for (int count : counts) EXPECT_NEAR(count, 2000, 200);
  // Half of the mass: the five of lowest id.
  sampler.params.top_p = 0.5f;
  for (int i = 0; i < 1000; ++i) EXPECT_LT(sampler.token(logits, 8, i), 5);
}

TEST(Sampler, ARowThatIsNotFiniteIsAnErrorThatNamesThePosition) {
  std::vector<float> logits(1000, 1.0f);
  Sampler sampler;
  for (size_t place : {size_t{0}, size_t{500}, size_t{999}}) {
    for (float poison : {kNan, kInfinity}) {
      auto poisoned = logits;
      poisoned[place] = poison;
      for (float temperature : {0.0f, 1.0f}) {
        sampler.params.temperature = temperature;
        auto sampled = sampler(poisoned, 1, 17);
        ASSERT_FALSE(sampled.ok());
        EXPECT_EQ(sampled.error().code, ErrorCode::kInternal);
        EXPECT_EQ(sampled.error().message, "the logits for position 17 have NaN or infinity");
      }
    }
  }
  auto sampled = sampler(std::vector<float>(10, -kInfinity), 1, 5);
  ASSERT_FALSE(sampled.ok());
  EXPECT_EQ(sampled.error().message, "no logit for position 5 is finite, no token can be chosen");
}

TEST(SamplerScan, ExpIsOneAtTheMaximumAndCloseElsewhere) {
  auto values = normal_logits(1003, 20, 1);
  values[5] = -kInfinity;
  const float max = scan_max(values);
  std::vector<float> weights(values.size());
  const double sum = scan_exp(values, max, 0.8f, weights.data());
  double expected = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double weight = std::exp((values[i] - max) / 0.8);
    EXPECT_NEAR(weights[i], weight, 1e-5 * weight + 1e-37) << values[i] - max;
    expected += weight;
  }
  EXPECT_NEAR(sum, expected, 1e-6 * expected);
  EXPECT_EQ(weights[scan_first(values, max)], 1.0f);
  EXPECT_EQ(weights[5], 0.0f);
  EXPECT_NEAR(scan_sum(weights), sum, 1e-12 * sum);
}

}  // namespace
}  // namespace tokamak::runtime
