// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/step_check.h"

#include <gtest/gtest.h>

namespace tokamak::runtime {
namespace {

constexpr SessionInfo kInfo{.vocab_size = 100,
                            .max_seq_len = 64,
                            .max_step_tokens = 8,
                            .max_step_rows = 4,
                            .max_sequences = 4,
                            .num_pages = 4,
                            .max_under_way = 2};

/// A row of each of some sequences; those with params ask for a token.
struct Decode {
  std::vector<int32_t> ids, positions, rows, pages = {0};
  std::vector<op::SequenceSpan> sequences;
  std::vector<SampleRow> samples;
  bool wants_logits = false;

  Decode(std::vector<int32_t> token_ids, std::vector<const SamplingParams*> params)
      : ids(std::move(token_ids)) {
    for (size_t i = 0; i < ids.size(); ++i) {
      const auto row = static_cast<int32_t>(i);
      positions.push_back(5);
      rows.push_back(row);
      sequences.push_back({row, 1, 5, pages});
      if (params[i]) samples.push_back({row, {.params = params[i]}});
    }
  }
  Step step() const { return {ids, positions, sequences, rows, samples, wants_logits}; }
};

class StepOrderTest : public testing::Test {
 protected:
  std::string launch(const Decode& decode) {
    auto checked = order_.check(decode.step(), kInfo);
    if (!checked.ok()) return checked.error().message;
    order_.launched(decode.step());
    return "ok";
  }
  SamplingParams greedy_{.temperature = 0}, drawn_, scored_{.logprobs = 0};
  SamplingParams penalised_{.presence_penalty = 1};
  StepOrder order_;
};

constexpr const char* kNotUnderWay =
    "token id -2 names row 1 of the step before, which is not under way or chooses no token there "
    "by itself";

TEST_F(StepOrderTest, a_token_is_named_by_its_row_of_the_step_under_way) {
  const Decode first({7, 8, 9}, {&greedy_, nullptr, &drawn_});
  const Decode next({unknown_token(2), unknown_token(0)}, {&greedy_, &greedy_});
  EXPECT_EQ(launch(first), "ok");
  EXPECT_EQ(launch(next), "ok");
  order_.finish();
  // Rows are those of the step launched last.
  EXPECT_EQ(launch(Decode({unknown_token(1)}, {&greedy_})), "ok");
  order_.finish();
  order_.finish();
  EXPECT_EQ(order_.under_way(), 0);
}

TEST_F(StepOrderTest, a_token_that_will_not_be_there_is_refused) {
  const Decode names({unknown_token(1)}, {&greedy_});
  EXPECT_EQ(launch(names), kNotUnderWay) << "no step is";
  EXPECT_EQ(launch(Decode({7, 8}, {&greedy_, nullptr})), "ok");
  EXPECT_EQ(launch(names), kNotUnderWay) << "nothing is chosen there";
  EXPECT_EQ(launch(Decode({unknown_token(0)}, {&greedy_})), "ok") << "what is refused is no step";
  order_.finish();
  order_.finish();
  EXPECT_EQ(launch(Decode({unknown_token(0)}, {&greedy_})).find("token id -1 names row 0"), 0u)
      << "it is known now";
}

TEST_F(StepOrderTest, a_step_that_gives_its_logits_to_the_host_is_finished_before_the_next) {
  Decode logits({7}, {nullptr});
  logits.wants_logits = true;
  EXPECT_EQ(launch(logits), "ok");
  EXPECT_EQ(launch(Decode({7}, {&greedy_})),
            "the step under way gives its logits to the host and must be finished before the next "
            "one");
  order_.finish();
  EXPECT_EQ(launch(Decode({7}, {&greedy_})), "ok");
}

TEST_F(StepOrderTest, every_token_that_is_chosen_may_be_named) {
  const std::vector<int32_t> said(6, 1);
  Decode first({7, 8, 9}, {&scored_, &penalised_, &scored_});
  first.samples[1].context.prompt = said;
  first.samples[1].context.position = 6;
  first.samples[2].context.given = 3;
  EXPECT_EQ(launch(first), "ok");
  EXPECT_EQ(launch(Decode({unknown_token(0), unknown_token(1)}, {&greedy_, &greedy_})), "ok");
  order_.finish();
  order_.finish();
  EXPECT_EQ(launch(first), "ok");
  EXPECT_NE(launch(Decode({unknown_token(2)}, {&greedy_})), "ok") << "that one was given";
}

TEST_F(StepOrderTest, what_reads_the_tokens_before_it_says_where_it_is) {
  const std::vector<int32_t> said(7, 1);
  Decode decode({7}, {&penalised_});
  SampleContext& context = decode.samples[0].context;
  EXPECT_EQ(launch(decode), "position of a sample is 0, must be between 6 and 6");
  context.position = 6;
  context.prompt = std::span(said).first(4);
  context.output = std::span(said).first(3);
  EXPECT_EQ(launch(decode), "known tokens of a sample is 7, must be between 0 and 6");
  context.output = std::span(said).first(1);
  EXPECT_EQ(launch(decode), "ok") << "the newest is not known yet";
  EXPECT_FALSE(knows_history(context)) << "so that the host must not choose";
  context.output = std::span(said).first(2);
  EXPECT_TRUE(knows_history(context));
  context.output = {};
  for (SamplingParams params : {SamplingParams{.logit_bias = {{1, 2}}},
                                SamplingParams{.bad_words = {{3}, {4}}},
                                SamplingParams{.allowed_token_ids = {1}}}) {
    context.params = &params;
    EXPECT_TRUE(knows_history(context)) << "which reads no token";
    params.bad_words.push_back({1, 2});
    EXPECT_FALSE(knows_history(context));
  }
}

TEST_F(StepOrderTest, no_more_steps_are_under_way_than_may_be) {
  const Decode decode({7}, {&greedy_});
  EXPECT_EQ(launch(decode), "ok");
  EXPECT_EQ(launch(decode), "ok");
  EXPECT_EQ(launch(decode), "2 steps are under way, at most 2 may be");
}

TEST_F(StepOrderTest, a_row_gives_one_token) {
  Decode decode({7, 8}, {&greedy_, &greedy_});
  decode.samples[1].row = 0;
  EXPECT_EQ(launch(decode), "sample row is 0, must be between 1 and 1");
}

TEST(StepCheck, a_sequence_is_long_where_it_must_be_and_nowhere_else) {
  SessionInfo info = kInfo;
  auto check = [&](bool is_long) {
    Decode decode({7}, {nullptr});  // Its sixth token.
    decode.sequences[0].is_long = is_long;
    auto checked = check_step(decode.step(), info);
    return checked.ok() ? "ok" : checked.error().message;
  };
  EXPECT_EQ(check(false), "ok");
  EXPECT_EQ(check(true),
            "a sequence of 6 tokens is given as one that is long; long are those of more than 0, "
            "if not 0");
  info.long_sequence_after = 6;
  EXPECT_EQ(check(false), "ok");
  EXPECT_EQ(check(true), "ok") << "these may be the first tokens of more";
  info.long_sequence_after = 5;
  EXPECT_EQ(check(false),
            "a sequence of 6 tokens is given as one that is not long; long are those of more than "
            "5, if not 0");
  EXPECT_EQ(check(true), "ok");
}

}  // namespace
}  // namespace tokamak::runtime
