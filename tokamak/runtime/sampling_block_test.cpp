// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/sampling_block.h"

#include <bit>

#include <gmock/gmock.h>

namespace tokamak::runtime {
namespace {

using testing::ElementsAre;

constexpr int64_t kVocab = 70;

/// Decodes of sequences of some tokens, a sample each.
struct Decode {
  std::vector<int32_t> ids, positions, rows, pages = {0, 1};
  std::vector<op::SequenceSpan> sequences;
  std::vector<SampleRow> samples;

  void add(int32_t length, const SampleContext& context) {
    const auto row = static_cast<int32_t>(ids.size());
    ids.push_back(1);
    positions.push_back(length - 1);
    rows.push_back(row);
    sequences.push_back({row, 1, length - 1, pages});
    samples.push_back({row, context});
  }
  Step step() const { return {ids, positions, sequences, rows, samples}; }
};

class SamplingBlockTest : public testing::Test {
 protected:
  SamplingBlock pack(const Step& step, size_t bytes = 1 << 20) {
    memory_.assign(bytes / 8, ~uint64_t{0});
    return pack_sampling(step, kVocab, std::as_writable_bytes(std::span(memory_)));
  }
  std::vector<int32_t> list(const SamplingBlock& block, int32_t first, int32_t count) {
    const auto words = block.words.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    return {words.begin(), words.end()};
  }
  std::vector<uint64_t> memory_;
};

TEST_F(SamplingBlockTest, a_row_asks_for_no_more_than_it_needs) {
  const SamplingParams greedy{.temperature = 0}, drawn{.temperature = 0.5f, .top_k = 7};
  const SamplingParams scored{.temperature = 0, .logprobs = 4};
  const SamplingParams biased{.temperature = 0, .logit_bias = {{3, 1.5f}, {9, -2}}};
  const SamplingParams given{.presence_penalty = 1, .prompt_logprobs = 0};
  Decode decode;
  for (const SamplingParams* params : {&greedy, &drawn, &scored, &biased})
    decode.add(10, {.params = params, .seed = 3, .position = 10});
  decode.add(10, {.params = &given, .position = 10, .given = 5});
  const SamplingBlock block = pack(decode.step());

  ASSERT_EQ(block.draws.size(), 2u);
  EXPECT_EQ(block.draws[0].row, 1);
  EXPECT_EQ(block.draws[0].place, 1);
  EXPECT_EQ(block.draws[0].top_k, 7);
  EXPECT_FLOAT_EQ(block.draws[0].scale, 2.885390f);
  EXPECT_EQ(block.draws[1].row, -1) << "the first adjusted one";
  EXPECT_EQ(block.draws[1].place, 3);
  EXPECT_EQ(block.draws[1].scale, 0);

  ASSERT_EQ(block.adjusts.size(), 1u) << "what is given is not chosen";
  const kernels::cuda::AdjustRow& adjust = block.adjusts[0];
  EXPECT_EQ(adjust.row, 3);
  EXPECT_EQ(adjust.sequence, 3);
  EXPECT_EQ(adjust.length, 10);
  EXPECT_EQ(adjust.num_bias, 2);
  EXPECT_THAT(list(block, adjust.bias, 4),
              ElementsAre(3, std::bit_cast<int32_t>(1.5f), 9, std::bit_cast<int32_t>(-2.0f)));
  EXPECT_EQ(adjust.num_banned + adjust.num_bad_words, 0);
  EXPECT_EQ(adjust.mask, -1);

  ASSERT_EQ(block.scores.size(), 2u);
  EXPECT_EQ(block.scores[0].row, 2);
  EXPECT_EQ(block.scores[0].given, -1);
  EXPECT_EQ(block.scores[0].count, 4);
  EXPECT_EQ(block.scores[1].row, 4);
  EXPECT_EQ(block.scores[1].given, 5);
  EXPECT_EQ(block.scores[1].count, 0);
  EXPECT_EQ(block.offset(block.draws.data()), 0);
  EXPECT_GT(block.bytes(), block.offset(block.scores.data()));

  Decode plain;
  plain.add(10, {.params = &greedy});
  EXPECT_EQ(pack(plain.step()).bytes(), 0);
}

TEST_F(SamplingBlockTest, named_tokens_alone_ask_for_the_score_of_the_token) {
  const SamplingParams named{.temperature = 0, .logprob_token_ids = {1, 2}};
  const SamplingParams both{.temperature = 0, .logprobs = 3, .logprob_token_ids = {1, 2}};
  Decode decode;
  for (const SamplingParams* params : {&named, &both}) decode.add(10, {.params = params});
  const SamplingBlock block = pack(decode.step());
  ASSERT_EQ(block.scores.size(), 2u);
  EXPECT_EQ(block.scores[0].count, 0);
  EXPECT_EQ(block.scores[1].count, 3);
  EXPECT_TRUE(block.draws.empty());
}

TEST_F(SamplingBlockTest, bad_words_and_bans_are_lists) {
  const SamplingParams params{.temperature = 0, .bad_words = {{4, 5, 6}, {7}}};
  const std::vector<int32_t> banned = {60, 61};
  Decode decode;
  decode.add(10, {.params = &params, .banned = banned, .position = 10});
  const SamplingBlock block = pack(decode.step());
  const kernels::cuda::AdjustRow& adjust = block.adjusts[0];
  ASSERT_EQ(adjust.num_bad_words, 2);
  const auto places = list(block, adjust.bad_words, 3);
  EXPECT_THAT(list(block, places[0], places[1] - places[0]), ElementsAre(4, 5, 6));
  EXPECT_THAT(list(block, places[1], places[2] - places[1]), ElementsAre(7));
  EXPECT_THAT(list(block, adjust.banned, adjust.num_banned), ElementsAre(60, 61));
}

TEST_F(SamplingBlockTest, allowed_tokens_and_very_many_banned_ones_are_bits) {
  const SamplingParams some{.temperature = 0, .allowed_token_ids = {0, 33, 69}}, all{};
  std::vector<int32_t> banned(kMostBanned + 1, 2);
  banned.push_back(33);
  Decode decode;
  decode.add(1, {.params = &some, .banned = std::span(banned).last(1), .position = 1});
  decode.add(1, {.params = &some, .banned = banned, .position = 1});
  decode.add(1, {.params = &all, .banned = banned, .position = 1});
  const SamplingBlock block = pack(decode.step());
  EXPECT_THAT(list(block, block.adjusts[0].mask, 3), ElementsAre(1, 2, 32));
  EXPECT_EQ(block.adjusts[0].num_banned, 1);
  EXPECT_THAT(list(block, block.adjusts[1].mask, 3), ElementsAre(1, 0, 32));
  EXPECT_EQ(block.adjusts[1].num_banned, 0);
  EXPECT_THAT(list(block, block.adjusts[2].mask, 3), ElementsAre(~4, ~2, ~0));
}

TEST_F(SamplingBlockTest, the_largest_lists_of_all_rows_fit_what_is_planned) {
  SamplingParams params{.temperature = 0, .logprobs = kMostLogprobs};
  params.logit_bias.resize(kMostBiases);
  params.bad_words.assign(kMostBadWords, std::vector<int32_t>(kMostBadWordTokens, 1));
  params.allowed_token_ids = {1};
  const std::vector<int32_t> banned(kMostBanned, 1);
  const engine::StepLimits limits{.max_tokens = 8, .max_rows = 5, .max_sequences = 5};
  Decode decode;
  for (int i = 0; i < 5; ++i) decode.add(100, {.params = &params, .banned = banned});
  const SamplingLayout layout = sampling_layout(limits, kVocab);
  const SamplingBlock block = pack(decode.step(), static_cast<size_t>(layout.block_bytes()));
  EXPECT_LE(block.bytes(), layout.block_bytes());
  EXPECT_GT(block.bytes(), layout.block_bytes() - 64) << "and not much is left";
  EXPECT_THROW(pack(decode.step(), static_cast<size_t>(layout.block_bytes()) - 64),
               base::CheckFailure);
}

TEST_F(SamplingBlockTest, each_sample_names_its_sequence_among_chunks_of_prompts) {
  const SamplingParams params{.temperature = 0, .presence_penalty = 1};
  const std::vector<int32_t> ids(9, 1), positions = {0, 1, 2, 3, 4, 70, 7, 8, 9};
  const std::vector<int32_t> rows = {4, 5, 8}, pages = {0, 1}, prompt = {1, 1, 1, 1};
  const std::vector<op::SequenceSpan> sequences = {
      {0, 5, 0, pages}, {5, 1, 70, pages}, {6, 3, 7, pages}};
  std::vector<SampleRow> samples;
  for (int32_t row : {0, 1, 2}) samples.push_back({row, {.params = &params, .prompt = prompt}});
  const SamplingBlock block = pack({ids, positions, sequences, rows, samples});
  ASSERT_EQ(block.adjusts.size(), 3u);
  for (int32_t i : {0, 1, 2}) {
    const auto& adjust = block.adjusts[static_cast<size_t>(i)];
    EXPECT_EQ(adjust.sequence, i);
    EXPECT_EQ(adjust.row, i);
    EXPECT_EQ(adjust.prompt, 4);
    EXPECT_EQ(adjust.length, positions[static_cast<size_t>(rows[static_cast<size_t>(i)])] + 1);
    EXPECT_EQ(block.draws[static_cast<size_t>(i)].row, -1 - i);
  }
}

TEST(SamplingLayoutTest, follows_from_the_limits) {
  const engine::StepLimits limits{.max_tokens = 512, .max_rows = 64, .max_sequences = 16};
  const SamplingLayout layout = sampling_layout(limits, 1000);
  EXPECT_EQ(layout.counters, 0);
  EXPECT_EQ(layout.scores, 64 * 12);
  EXPECT_EQ(layout.adjusted, layout.scores + 64 * 168);
  EXPECT_EQ(layout.block, layout.adjusted + 16 * 4000);
  EXPECT_EQ(layout.bytes % 64, 0);
}

}  // namespace
}  // namespace tokamak::runtime
