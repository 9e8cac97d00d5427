// SPDX-License-Identifier: Apache-2.0
// The public interface as its users call it: open, submit, stream.
#include "tokamak/api/llm.h"

#include <cmath>
#include <cstdlib>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace tokamak::api {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class LlmTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* data = std::getenv("TOKAMAK_TEST_DATA");
    model_ = fs::path(data && *data ? data : "../shared") / "assets/weights/stories260K/hf";
    if (!fs::exists(model_)) GTEST_SKIP() << "SKIPPED: no " << model_ << "; set TOKAMAK_TEST_DATA";
    cache_ = fs::temp_directory_path() / fmt::format("tokamak_llm_test_{}", ::getpid());
    ::setenv("TOKAMAK_CACHE_DIR", cache_.c_str(), 1);
  }
  void TearDown() override {
    fs::remove_all(cache_);
    ::unsetenv("TOKAMAK_CACHE_DIR");
  }

  static OpenOptions options() {
    OpenOptions out;
    out.build.tune = false;
    out.session = {.max_step_tokens = 64, .max_sequences = 8};
    return out;
  }
  static executor::Request request(const Llm& llm, std::string_view prompt, int64_t max_tokens) {
    executor::Request out{.prompt = llm.encode(prompt).value()};
    out.sampling.max_tokens = max_tokens;
    out.sampling.temperature = 0;
    return out;
  }
  static std::string read(executor::TokenStream& stream) {
    std::string text;
    while (auto response = stream.next()) text += response->text;
    return text;
  }

  fs::path model_, cache_;
};

TEST_F(LlmTest, a_checkpoint_answers_and_the_second_opening_takes_the_cached_engine) {
  auto llm = Llm::open(model_, options());
  ASSERT_TRUE(llm.ok()) << llm.error().text();
  auto stream = (*llm)->submit(request(**llm, "Once upon a time", 22)).value();
  EXPECT_EQ(read(*stream), ", there was a little girl named Lily. She loved to play outside in");
  ASSERT_TRUE(fs::exists(cache_ / "engines"));
  auto again = Llm::open(model_, options());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(std::distance(fs::directory_iterator(cache_ / "engines"), fs::directory_iterator{}), 1);
}

TEST_F(LlmTest, a_continuation_that_begins_with_a_word_keeps_the_space_before_it) {
  auto llm = Llm::open(model_, options()).value();
  auto stream = llm->submit(request(*llm, "Once", 3)).value();
  EXPECT_EQ(read(*stream), " upon a time");
}

TEST_F(LlmTest, requests_in_one_batch_get_the_answers_that_they_get_alone) {
  auto llm = Llm::open(model_, options()).value();
  std::mt19937 random(3);
  std::vector<executor::Request> requests;
  for (int i = 0; i < 24; ++i) {
    executor::Request next = request(*llm, "Once upon a time, there was a dog", 5 + i);
    next.prompt.resize(1 + random() % next.prompt.size());
    next.sampling.temperature = i % 2 ? 0.8f : 0.0f;
    next.sampling.seed = i;
    requests.push_back(next);
  }
  std::vector<std::string> alone, together;
  for (const auto& one : requests) alone.push_back(read(*llm->submit(one).value()));
  std::vector<std::shared_ptr<executor::TokenStream>> streams;
  for (const auto& one : requests) streams.push_back(llm->submit(one).value());
  for (auto& stream : streams) together.push_back(read(*stream));
  EXPECT_EQ(together, alone);
}

TEST_F(LlmTest, a_bundled_engine_runs_after_its_folder_has_moved) {
  auto device = device::open_device(Target::kCpu).value();
  auto engine = build_engine(model_, *device, options().build).value();
  ASSERT_TRUE(save_engine(engine, cache_ / "first", true).ok());
  fs::rename(cache_ / "first", cache_ / "second");
  auto llm = Llm::open(cache_ / "second", options());
  ASSERT_TRUE(llm.ok()) << llm.error().text();
  auto stream = (*llm)->submit(request(**llm, "Once upon a time", 4)).value();
  EXPECT_EQ(read(*stream), ", there was a");
}

TEST_F(LlmTest, an_engine_notices_that_its_checkpoint_was_changed) {
  fs::create_directories(cache_);
  fs::copy(model_, cache_ / "model");
  auto device = device::open_device(Target::kCpu).value();
  auto engine = build_engine(cache_ / "model", *device, options().build).value();
  ASSERT_TRUE(save_engine(engine, cache_ / "engine", false).ok());
  fs::permissions(cache_ / "model", fs::perms::owner_all);
  fs::permissions(cache_ / "model/model.safetensors", fs::perms::owner_all);
  Tensor other = Tensor::from_ints(std::vector<int32_t>{1});
  std::vector<tensor::NamedTensor> tensors = {{"other", other.view()}};
  ASSERT_TRUE(tensor::write_safetensors(cache_ / "model/model.safetensors", tensors).ok());
  auto llm = Llm::open(cache_ / "engine", options());
  ASSERT_FALSE(llm.ok());
  EXPECT_THAT(llm.error().message, HasSubstr("are not those that the engine was built from"));
}

TEST_F(LlmTest, a_truncated_checkpoint_names_file_and_tensor) {
  fs::create_directories(cache_);
  fs::copy(model_, cache_ / "model");
  fs::permissions(cache_ / "model/model.safetensors", fs::perms::owner_all);
  fs::resize_file(cache_ / "model/model.safetensors", 500'000);
  auto llm = Llm::open(cache_ / "model", options());
  ASSERT_FALSE(llm.ok());
  EXPECT_THAT(llm.error().message, HasSubstr("model.safetensors: tensor '"));
  EXPECT_THAT(llm.error().message, HasSubstr("is it truncated?"));
}

TEST_F(LlmTest, the_models_generation_config_gives_the_defaults_of_sampling) {
  fs::create_directories(cache_);
  fs::copy(model_, cache_ / "model");
  auto write = [&](std::string_view text) {
    return base::write_file_atomic(cache_ / "model/generation_config.json", text).ok();
  };
  ASSERT_TRUE(write(R"({"temperature": 0.6, "top_k": 20, "top_p": 0.95})"));
  auto llm = Llm::open(cache_ / "model", options()).value();
  EXPECT_EQ(llm->sampling_defaults().temperature, 0.6f);
  EXPECT_EQ(llm->sampling_defaults().top_k, 20);
  EXPECT_EQ(llm->sampling_defaults().top_p, 0.95f);
  EXPECT_EQ(llm->sampling_defaults().min_p, 0);
  EXPECT_EQ(llm->default_max_tokens(), std::nullopt);
  ASSERT_TRUE(write(R"({"max_new_tokens": 2048, "max_length": 20})"));
  EXPECT_EQ(Llm::open(cache_ / "model", options()).value()->default_max_tokens(), 2048);
  ASSERT_TRUE(write(R"({"max_new_tokens": null})"));
  EXPECT_EQ(Llm::open(cache_ / "model", options()).value()->default_max_tokens(), std::nullopt);
  ASSERT_TRUE(write(R"({"max_new_tokens": 0})"));
  EXPECT_THAT(Llm::open(cache_ / "model", options()).error().message,
              HasSubstr("generation_config.json: max_new_tokens is 0, must be at least 1"));
  ASSERT_TRUE(write(R"({"top_p": 1.5})"));
  EXPECT_THAT(Llm::open(cache_ / "model", options()).error().message,
              HasSubstr("generation_config.json: top_p is 1.5, must be"));
}

TEST_F(LlmTest, an_answer_ends_with_the_end_tokens_of_both_configurations_and_of_the_tokenizer) {
  fs::create_directories(cache_);
  fs::copy(model_, cache_ / "model");
  auto write = [&](const char* name, std::string_view text) {
    return base::write_file_atomic(cache_ / "model" / name, text).ok();
  };
  auto eos_ids = [&] { return Llm::open(cache_ / "model", options()).value()->eos_ids(); };
  // The greedy answer to this prompt begins ", there was a little girl".
  auto greedy = [&](bool ignore_eos) {
    auto llm = Llm::open(cache_ / "model", options()).value();
    executor::Request once = request(*llm, "Once upon a time", 8);
    once.sampling.ignore_eos = ignore_eos;
    return read(*llm->submit(once).value());
  };
  const std::string whole = greedy(false);
  auto llm = Llm::open(cache_ / "model", options()).value();
  const int32_t comma = llm->encode(",", false)->back();
  ASSERT_TRUE(write("generation_config.json", R"({"eos_token_id": [2]})"));
  EXPECT_THAT(eos_ids(), testing::ElementsAre(2));
  EXPECT_EQ(greedy(false), whole);
  // The tokenizer's own, at any place, as vLLM has it.
  const std::string config =
      fmt::format(R"({{"eos_token": "{}"}})", llm->tokenizer()->token(comma));
  ASSERT_TRUE(write("tokenizer_config.json", config));
  ASSERT_TRUE(write("special_tokens_map.json", "{}"));
  EXPECT_THAT(eos_ids(), testing::ElementsAre(2, comma));
  EXPECT_EQ(greedy(false), "");
  // It goes on; the text of what is a special token now is left out.
  EXPECT_EQ(greedy(true), whole.substr(1));
}

TEST_F(LlmTest, a_template_that_cannot_be_used_refuses_chats_and_nothing_else) {
  fs::create_directories(cache_);
  fs::copy(model_, cache_ / "model");
  ASSERT_TRUE(
      base::write_file_atomic(cache_ / "model/chat_template.jinja", "{{ messages|pprint }}").ok());
  auto llm = Llm::open(cache_ / "model", options());
  ASSERT_TRUE(llm.ok()) << llm.error().text();
  auto stream = (*llm)->submit(request(**llm, "Once upon a time", 4)).value();
  EXPECT_EQ(read(*stream), ", there was a");
  EXPECT_EQ((*llm)->encode_chat(Json::array()).error().message,
            "chat template of chat_template.jinja cannot be used: chat template, line 1: unknown "
            "filter 'pprint'");
}

TEST_F(LlmTest, tokens_that_the_generation_config_suppresses_do_not_come) {
  fs::create_directories(cache_);
  fs::copy(model_, cache_ / "model");
  auto answer = [&](std::string_view config) {
    EXPECT_TRUE(base::write_file_atomic(cache_ / "model/generation_config.json", config).ok());
    auto llm = Llm::open(cache_ / "model", options()).value();
    executor::Request once = request(*llm, "Once upon a time", 4);
    once.sampling.bad_words = llm->sampling_defaults().bad_words;
    std::vector<int32_t> tokens;
    auto stream = llm->submit(once).value();
    while (auto response = stream->next())
      tokens.insert(tokens.end(), response->tokens.begin(), response->tokens.end());
    return tokens;
  };
  const std::vector<int32_t> free = answer("{}");
  ASSERT_GE(free.size(), 3u);
  for (const std::string& config : {fmt::format(R"({{"suppress_tokens": [{}]}})", free[0]),
                                    fmt::format(R"({{"begin_suppress_tokens": [{}]}})", free[0]),
                                    fmt::format(R"({{"bad_words_ids": [[{}]]}})", free[0])}) {
    EXPECT_NE(answer(config)[0], free[0]) << config;
  }
  const std::vector<int32_t> other =
      answer(fmt::format(R"({{"bad_words_ids": [[{}, {}]]}})", free[0], free[1]));
  EXPECT_EQ(other[0], free[0]);
  EXPECT_NE(other[1], free[1]);
}

TEST_F(LlmTest, bad_requests_are_refused_with_the_field_and_the_limit) {
  auto llm = Llm::open(model_, options()).value();
  auto error = [&](executor::Request bad) { return llm->submit(std::move(bad)).error().message; };
  executor::Request good = request(*llm, "Once", 4), bad = good;
  bad.sampling.temperature = std::nanf("");
  EXPECT_EQ(error(bad), "temperature is nan, must be between 0 and 100");
  bad = good;
  bad.sampling.max_tokens = 4096;
  EXPECT_THAT(error(bad), HasSubstr("> max_seq_len 512"));
  bad = good;
  bad.prompt[0] = 512;
  EXPECT_THAT(error(bad), HasSubstr("512"));
  EXPECT_EQ(llm->encode("abc\xff").error().code, ErrorCode::kInvalid);
}

}  // namespace
}  // namespace tokamak::api
