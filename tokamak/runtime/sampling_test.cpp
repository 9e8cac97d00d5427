// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/sampling.h"

#include <limits>

#include <gtest/gtest.h>

#include "tokamak/base/fields_json.h"

namespace tokamak::runtime {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(SamplingParams, OutOfRangeNamesTheFieldTheValueAndTheLimit) {
  auto message = [](auto change) {
    SamplingParams params;
    change(params);
    auto status = params.validate(100);
    return status.ok() ? std::string("ok") : status.error().message;
  };
  using P = SamplingParams;
  EXPECT_EQ(message([](P&) {}), "ok");
  EXPECT_EQ(message([](P& p) { p.temperature = 101; }),
            "temperature is 101, must be between 0 and 100");
  EXPECT_EQ(message([](P& p) { p.temperature = kNan; }),
            "temperature is nan, must be between 0 and 100");
  EXPECT_EQ(message([](P& p) { p.temperature = kInfinity; }),
            "temperature is inf, must be between 0 and 100");
  EXPECT_EQ(message([](P& p) { p.top_k = -2; }), "top_k is -2, must be at least -1");
  EXPECT_EQ(message([](P& p) { p.top_k = -1; }), "ok");
  EXPECT_EQ(message([](P& p) { p.top_p = 1.01f; }), "top_p is 1.01, must be between 0 and 1");
  EXPECT_EQ(message([](P& p) { p.top_p = kNan; }), "top_p is nan, must be between 0 and 1");
  EXPECT_EQ(message([](P& p) { p.min_p = -0.5f; }), "min_p is -0.5, must be between 0 and 1");
  EXPECT_EQ(message([](P& p) { p.repetition_penalty = 0; }),
            "repetition_penalty is 0, must be above 0");
  EXPECT_EQ(message([](P& p) { p.repetition_penalty = kNan; }),
            "repetition_penalty is nan, must be between 0 and 100");
  EXPECT_EQ(message([](P& p) { p.presence_penalty = 2.5f; }),
            "presence_penalty is 2.5, must be between -2 and 2");
  EXPECT_EQ(message([](P& p) { p.frequency_penalty = -kInfinity; }),
            "frequency_penalty is -inf, must be between -2 and 2");
  EXPECT_EQ(message([](P& p) { p.max_tokens = 0; }), "max_tokens is 0, must be at least 1");
  EXPECT_EQ(message([](P& p) { p.min_tokens = 17; }), "min_tokens is 17, must be between 0 and 16");
  EXPECT_EQ(message([](P& p) { p.logprobs = 21; }), "logprobs is 21, must be between -1 and 20");
  EXPECT_EQ(message([](P& p) { p.prompt_logprobs = -2; }),
            "prompt_logprobs is -2, must be between -1 and 20");
  EXPECT_EQ(message([](P& p) { p.logprob_token_ids = {3, 99, 3}; }), "ok");
  EXPECT_EQ(message([](P& p) {
              p.logprob_token_ids = {3, 100};
            }),
            "logprob_token_ids[1] is 100, must be in [0, 100)");
  EXPECT_EQ(message([](P& p) { p.logprob_token_ids = {-1}; }),
            "logprob_token_ids[0] is -1, must be in [0, 100)");
  EXPECT_EQ(message([](P& p) { p.logprob_token_ids.assign(129, 1); }),
            "logprob_token_ids has 129 ids, at most 128 are allowed");
  EXPECT_EQ(message([](P& p) { p.stop.assign(17, "x"); }),
            "stop has 17 texts, at most 16 are allowed");
  EXPECT_EQ(message([](P& p) { p.stop = {"x", ""}; }), "stop[1] is empty");
  EXPECT_EQ(message([](P& p) { p.stop = {std::string(1025, 'x')}; }),
            "stop[0] has 1025 bytes, at most 1024 are allowed");
  EXPECT_EQ(message([](P& p) {
              p.stop_token_ids = {3, 100};
            }),
            "stop_token_ids[1] is 100, must be in [0, 100)");
  EXPECT_EQ(message([](P& p) { p.stop_token_ids.assign(129, 1); }),
            "stop_token_ids has 129 ids, at most 128 are allowed");
  EXPECT_EQ(message([](P& p) {
              p.logit_bias = {{3, 1}, {100, 1}};
            }),
            "logit_bias[1].token is 100, must be in [0, 100)");
  EXPECT_EQ(message([](P& p) {
              p.logit_bias = {{3, 100.5f}};
            }),
            "logit_bias of token 3 is 100.5, must be between -100 and 100");
  EXPECT_EQ(message([](P& p) {
              p.logit_bias = {{3, kNan}};
            }),
            "logit_bias of token 3 is nan, must be between -100 and 100");
  EXPECT_EQ(message([](P& p) {
              p.logit_bias = {{3, 1}, {2, 1}, {3, 2}};
            }),
            "logit_bias names token 3 twice");
  EXPECT_EQ(message([](P& p) { p.logit_bias.resize(1025); }),
            "logit_bias has 1025 tokens, at most 1024 are allowed");
  EXPECT_EQ(message([](P& p) { p.bad_words = {{1}, {}}; }), "bad_words[1] is empty");
  EXPECT_EQ(message([](P& p) {
              p.bad_words = {{1}, {2, -1}};
            }),
            "bad_words[1][1] is -1, must be in [0, 100)");
  EXPECT_EQ(message([](P& p) { p.bad_words.assign(1, std::vector<int32_t>(65, 1)); }),
            "bad_words[0] has 65 tokens, at most 64 are allowed");
  EXPECT_EQ(message([](P& p) { p.bad_words.assign(129, {1}); }),
            "bad_words has 129 sequences, at most 128 are allowed");
  EXPECT_EQ(message([](P& p) {
              p.allowed_token_ids = {0, 100};
            }),
            "allowed_token_ids[1] is 100, must be in [0, 100)");
  EXPECT_EQ(message([](P& p) { p.allowed_token_ids.assign(101, 1); }),
            "allowed_token_ids has 101 ids, at most 100 are allowed");
}

TEST(SamplingParams, NoTokenNeedBeAskedForIfThePromptIsScored) {
  SamplingParams params;
  params.max_tokens = 0;
  EXPECT_FALSE(params.validate(100).ok());
  params.prompt_logprobs = 0;
  EXPECT_TRUE(params.validate(100).ok());
  params.max_tokens = -1;
  EXPECT_EQ(params.validate(100).error().message, "max_tokens is -1, must be at least 0");
}

TEST(SamplingParams, TheirFieldsComeBackFromJson) {
  SamplingParams params;
  params.bad_words = {{1, 2}, {3}};
  params.allowed_token_ids = {4, 5};
  params.logprob_token_ids = {6, 7, 6};
  params.prompt_logprobs = 2;
  params.include_stop_str_in_output = true;
  const auto read = base::fields_from_json<SamplingParams>(base::fields_to_json(params));
  ASSERT_TRUE(read.ok()) << read.error().text();
  EXPECT_TRUE(base::fields_equal(*read, params));
  EXPECT_EQ(read->bad_words, params.bad_words);
  EXPECT_EQ(read->logprob_token_ids, params.logprob_token_ids);
}

}  // namespace
}  // namespace tokamak::runtime
