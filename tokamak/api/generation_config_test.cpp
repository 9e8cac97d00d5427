// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/generation_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tokamak::api {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr GenerationLimits kLimits{.vocab_size = 100, .max_positions = 512};

GenerationDefaults read(const char* text, const GenerationLimits& limits = kLimits) {
  auto read = read_generation_config(Json::parse(text), limits);
  EXPECT_TRUE(read.ok()) << text << ": " << read.error().message;
  return read.ok() ? *read : GenerationDefaults();
}
std::string error(const char* text) {
  auto read = read_generation_config(Json::parse(text), kLimits);
  return read.ok() ? "(none)" : read.error().message;
}

TEST(GenerationConfig, a_model_that_does_not_sample_is_greedy_by_default) {
  EXPECT_EQ(read("{}").sampling.temperature, 1);
  EXPECT_EQ(read(R"({"temperature": 0.6})").sampling.temperature, 0.6f);
  EXPECT_EQ(read(R"({"do_sample": true, "temperature": 0.6})").sampling.temperature, 0.6f);
  const auto greedy = read(R"({"do_sample": false, "temperature": 0.9, "top_p": 0.5})");
  EXPECT_EQ(greedy.sampling.temperature, 0);
  EXPECT_EQ(greedy.sampling.top_p, 0.5f) << "for requests that set a temperature";
  EXPECT_THAT(error(R"({"do_sample": "no"})"), HasSubstr("'do_sample' must be true or false"));
}

TEST(GenerationConfig, tokens_that_may_not_come_are_read_in_all_their_forms) {
  const auto made = read(R"({"eos_token_id": [3, 4], "suppress_tokens": [7, 100, -1],
    "begin_suppress_tokens": [8], "bad_words_ids": [[9], [3], [10, 11], [12, 100]]})");
  EXPECT_THAT(made.eos_ids, ElementsAre(3, 4));
  // Ids that the model lacks cannot come; an end token is no bad word.
  EXPECT_THAT(made.suppressed_ids, ElementsAre(7, 9));
  EXPECT_THAT(made.begin_suppressed_ids, ElementsAre(8));
  EXPECT_THAT(made.sampling.bad_words, ElementsAre(ElementsAre(10, 11)));
  EXPECT_THAT(made.not_honoured, IsEmpty());
  EXPECT_THAT(read(R"({"eos_token_id": 5})").eos_ids, ElementsAre(5));
  EXPECT_EQ(error(R"({"bad_words_ids": [5]})"),
            "bad_words_ids must be a list of lists of token ids");
  EXPECT_THAT(error(R"({"suppress_tokens": ["a"]})"), HasSubstr("suppress_tokens"));
}

TEST(GenerationConfig, lengths_and_stop_texts_are_defaults) {
  const auto made = read(R"({"min_new_tokens": 40, "max_new_tokens": 50, "max_length": 20,
                             "stop_strings": ["a", "b"]})");
  EXPECT_EQ(made.sampling.min_tokens, 40);
  EXPECT_EQ(made.max_new_tokens, 50);
  EXPECT_THAT(made.sampling.stop, ElementsAre("a", "b"));
  EXPECT_THAT(read(R"({"stop_strings": "a"})").sampling.stop, ElementsAre("a"));
  EXPECT_THAT(error(R"({"min_new_tokens": -1})"), HasSubstr("min_tokens is -1"));
  EXPECT_EQ(error(R"({"max_new_tokens": 0})"), "max_new_tokens is 0, must be at least 1");
  const auto without =
      read(R"({"stop_strings": "a"})", {.vocab_size = 100, .max_positions = 9, .has_text = false});
  EXPECT_THAT(without.sampling.stop, IsEmpty());
  EXPECT_THAT(without.not_honoured, ElementsAre("stop_strings = \"a\""));
}

TEST(GenerationConfig, what_is_not_honoured_is_listed_with_its_value) {
  EXPECT_THAT(read(R"({"typical_p": 0.9, "no_repeat_ngram_size": 3, "num_beams": 4,
                       "forced_eos_token_id": 2, "max_length": 100, "of_its_own": "x"})")
                  .not_honoured,
              testing::UnorderedElementsAre("typical_p = 0.9",
                                            "no_repeat_ngram_size = 3",
                                            "num_beams = 4",
                                            "forced_eos_token_id = 2",
                                            "max_length = 100",
                                            "of_its_own = \"x\""));
}

TEST(GenerationConfig, values_that_change_nothing_are_not_listed) {
  EXPECT_THAT(read(R"({"typical_p": 1.0, "num_beams": 1, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0,
    "encoder_repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "min_length": 0,
    "guidance_scale": null, "num_return_sequences": 1, "forced_bos_token_id": null,
    "diversity_penalty": 0.0, "num_beam_groups": 1, "length_penalty": 1.0, "early_stopping": false,
    "bos_token_id": 1, "pad_token_id": 0, "transformers_version": "5.24.0", "use_cache": true,
    "_from_model_config": true, "max_length": 20, "output_attentions": false,
    "cache_implementation": "hybrid", "suppress_tokens": null})")
                  .not_honoured,
              IsEmpty());
  // The context is no longer, so it limits nothing.
  EXPECT_THAT(read(R"({"max_length": 512})").not_honoured, IsEmpty());
}

TEST(GenerationConfig, too_many_words_are_not_honoured_rather_than_some_of_them) {
  Json config;
  for (int i = 0; i < 200; ++i) config["bad_words_ids"].push_back({i % 100, 1});
  const auto made = read(config.dump().c_str());
  EXPECT_THAT(made.sampling.bad_words, IsEmpty());
  ASSERT_EQ(made.not_honoured.size(), 1u);
  EXPECT_THAT(made.not_honoured[0], testing::StartsWith("bad_words_ids = [[0,1],[1,1]"));
}

}  // namespace
}  // namespace tokamak::api
