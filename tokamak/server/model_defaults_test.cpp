// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/model_defaults.h"

#include <gtest/gtest.h>

#include "tokamak/executor/fake_session.h"

namespace tokamak::server {
namespace {

Model fake_model() {
  Model model;
  model.names = {"fake"};
  model.tokenizer = executor::letter_tokenizer(64);
  const runtime::SessionInfo info{.vocab_size = 64,
                                  .max_seq_len = 256,
                                  .max_step_tokens = 64,
                                  .max_step_rows = 8,
                                  .max_sequences = 8,
                                  .num_pages = 16};
  model.executor =
      executor::Executor::start(std::make_unique<executor::FakeSession>(info), model.tokenizer)
          .value();
  return model;
}

TEST(ModelDefaults, StandInForTheModelsOwn) {
  Model model = fake_model();
  model.defaults.temperature = 0.7f;
  model.defaults.top_k = 40;
  auto read = override_defaults(
      R"({"temperature": 0.2, "max_new_tokens": 33, "stop": ["x"], "min_tokens": 20})", model);
  ASSERT_TRUE(read.ok()) << read.error().text();
  EXPECT_EQ(model.defaults.temperature, 0.2f);
  EXPECT_EQ(model.defaults.top_k, 40) << "what is not named stays";
  EXPECT_EQ(model.defaults.stop, std::vector<std::string>{"x"});
  EXPECT_EQ(model.default_max_tokens, 33);
}

TEST(ModelDefaults, AreCheckedAsARequestIs) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"temperature": 200})", "temperature is 200, must be between 0 and 100"},
      {R"({"top_p": "x"})", "'top_p' must be a number, but is string"},
      {R"({"max_new_tokens": 0})",
       "max_new_tokens is 0, must be between 1 and 9223372036854775807"},
      {R"({"max_new_tokens": 3, "min_tokens": 4})", "min_tokens is 4, must be between 0 and 3"},
      {R"({"stop_token_ids": [64]})", "stop_token_ids[0] is 64, must be in [0, 64)"},
      {R"({"prompt": "x"})", "'prompt' is no setting that has a default"},
      {"[1]", "body must be a JSON object, but is array"}};
  for (const auto& [settings, error] : cases) {
    Model model = fake_model();
    auto read = override_defaults(settings, model);
    ASSERT_FALSE(read.ok()) << settings;
    EXPECT_EQ(read.error().message, error);
  }
}

}  // namespace
}  // namespace tokamak::server
