// SPDX-License-Identifier: Apache-2.0
// What stands beside a tokenizer's own file: special tokens by name, added tokens, settings that
// change ids. Expected values are those of transformers 5.24.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/base/json.h"
#include "tokamak/text/byte_level.h"
#include "tokamak/text/test_data.h"

namespace tokamak::text {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;
using Ids = std::vector<TokenId>;

Json byte_vocab() {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte)
    vocab[bytes_to_alphabet(std::string(1, static_cast<char>(byte)))] = byte;
  return vocab;
}

Json special(int id, std::string_view content) {
  return {{"id", id}, {"content", content}, {"normalized", false}, {"special", true}};
}

/// Bytes, and four special tokens behind them.
Json tokenizer_json() {
  Json file;
  file["added_tokens"] = Json::array({special(256, "<s>"),
                                      special(257, "</s>"),
                                      special(258, "<|im_start|>"),
                                      special(259, "<|im_end|>")});
  file["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  file["decoder"] = {{"type", "ByteLevel"}};
  file["model"] = {{"type", "BPE"}, {"vocab", byte_vocab()}, {"merges", Json::array()}};
  return file;
}

/// A folder with a tokenizer.json, or with vocab.json and merges.txt, and what is put beside it.
class TokenizerConfig : public testing::Test {
 protected:
  void with_tokenizer_json() { folder_.write("tokenizer.json", tokenizer_json().dump()); }
  void with_vocab_json() {
    Json vocab = byte_vocab();
    vocab["<|endoftext|>"] = 256;
    vocab["he"] = 257;
    vocab["ll"] = 258;
    folder_.write("vocab.json", vocab.dump());
    folder_.write("merges.txt", "#version: 0.2\nh e\nl l\n");
  }
  void config(std::string_view text) { folder_.write("tokenizer_config.json", text); }
  void map(std::string_view text) { folder_.write("special_tokens_map.json", text); }
  void added(std::string_view text) { folder_.write("added_tokens.json", text); }

  std::shared_ptr<const Tokenizer> load() { return test::load(folder_.path()); }
  Ids ids(std::string_view text) {
    return test::ids_of(*load(), text, {.add_special_tokens = false});
  }
  auto names() { return load()->special_names().tokens; }
  std::string error() {
    auto loaded = Tokenizer::load(folder_.path());
    return loaded.ok() ? "(none)" : loaded.error().message;
  }

  test::Folder folder_;
};

TEST_F(TokenizerConfig, every_special_token_has_its_name) {
  with_tokenizer_json();
  config(
      R"({"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}, "unk_token": null,
    "sep_token": "<|im_start|>", "cls_token": "<|im_end|>", "mask_token": "<s>", "pad_token": "<pad>",
    "extra_special_tokens": {"image_token": "<|im_end|>"}, "audio_token": "<audio>",
    "add_bos_token": false})");
  EXPECT_THAT(names(),
              UnorderedElementsAre(Pair("bos_token", "<s>"),
                                   Pair("eos_token", "</s>"),
                                   Pair("sep_token", "<|im_start|>"),
                                   Pair("cls_token", "<|im_end|>"),
                                   Pair("mask_token", "<s>"),
                                   Pair("pad_token", "<pad>"),
                                   Pair("image_token", "<|im_end|>"),
                                   Pair("audio_token", "<audio>")));
  // Those that the tokenizer lacks are added, the common names first.
  EXPECT_THAT(ids("<audio><pad>"), ElementsAre(261, 260));
  EXPECT_EQ(load()->bos_id(), 256);
  EXPECT_EQ(load()->eos_id(), 257);
}

TEST_F(TokenizerConfig, special_tokens_map_comes_before_it_unless_it_lists_added_tokens) {
  with_tokenizer_json();
  config(R"({"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"})");
  map(R"({"bos_token": {"content": "<s>", "normalized": false}, "eos_token": null,
          "sep_token": "<sep>", "image_token": "<|im_end|>",
          "additional_special_tokens": ["<x>", {"content": "<y>"}]})");
  EXPECT_THAT(
      names(),
      UnorderedElementsAre(
          Pair("bos_token", "<s>"), Pair("sep_token", "<sep>"), Pair("image_token", "<|im_end|>")));
  EXPECT_THAT(load()->special_names().additional, ElementsAre("<x>", "<y>"));
  EXPECT_THAT(ids("<y><x><sep>"), ElementsAre(262, 261, 260));
  EXPECT_EQ(load()->eos_id(), std::nullopt);
  config(R"({"bos_token": "<|im_start|>", "added_tokens_decoder": {"256": {"content": "<s>"}}})");
  EXPECT_THAT(names(), ElementsAre(Pair("bos_token", "<|im_start|>")));
}

TEST_F(TokenizerConfig, a_class_names_the_tokens_that_no_file_names) {
  with_vocab_json();
  config(R"({"tokenizer_class": "GPT2TokenizerFast", "unk_token": null, "eos_token": "<end>"})");
  EXPECT_THAT(names(),
              UnorderedElementsAre(Pair("bos_token", "<|endoftext|>"), Pair("eos_token", "<end>")));
  EXPECT_EQ(load()->bos_id(), 256);
  config(R"({"tokenizer_class": "Qwen2Tokenizer"})");
  EXPECT_THAT(names(),
              UnorderedElementsAre(Pair("eos_token", "<|endoftext|>"),
                                   Pair("unk_token", "<|endoftext|>"),
                                   Pair("pad_token", "<|endoftext|>")));
  config(R"({"tokenizer_class": "PreTrainedTokenizerFast"})");
  EXPECT_THAT(names(), UnorderedElementsAre(Pair("eos_token", "<|endoftext|>")));
  // A name alone makes no token.
  config(R"({"tokenizer_class": "GemmaTokenizer"})");
  EXPECT_EQ(ids("<bos>").size(), 5u);
  EXPECT_EQ(load()->bos_id(), std::nullopt);
}

TEST_F(TokenizerConfig, the_class_of_llama_does_not_name_tokens_of_a_byte_level_file) {
  with_tokenizer_json();
  config(R"({"tokenizer_class": "LlamaTokenizer"})");
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(TokenizerConfig, the_padding_of_the_tokenizers_file_names_its_token) {
  Json file = tokenizer_json();
  file["padding"] = {{"pad_token", "</s>"}, {"pad_id", 257}};
  folder_.write("tokenizer.json", file.dump());
  EXPECT_THAT(names(), ElementsAre(Pair("pad_token", "</s>")));
  config(R"({"pad_token": null})");
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(TokenizerConfig, added_tokens_json_gives_tokens_their_ids) {
  with_vocab_json();
  config(R"({"tokenizer_class": "GPT2Tokenizer"})");
  map(R"({"bos_token": "<|endoftext|>", "additional_special_tokens": ["<sep>"]})");
  added(R"({"<sep>": 260, "<extra>": 259})");
  EXPECT_THAT(ids("hello<extra>x"), ElementsAre(257, 258, 111, 259, 120));
  EXPECT_THAT(ids("<sep>a"), ElementsAre(260, 97));
  EXPECT_TRUE(load()->is_special(260));
  EXPECT_FALSE(load()->is_special(259));
  EXPECT_TRUE(load()->is_added(259));
  // It is the old form: a list of added tokens replaces it.
  config(R"({"added_tokens_decoder": {"259": {"content": "<a>", "special": true}}})");
  EXPECT_THAT(ids("<a>"), ElementsAre(259));
  EXPECT_EQ(ids("<extra>").size(), 7u);
}

TEST_F(TokenizerConfig, added_tokens_json_adds_to_a_tokenizer_json_and_changes_none_of_it) {
  with_tokenizer_json();
  added(R"({"<extra>": 260, "</s>": 257})");
  EXPECT_THAT(ids("</s><extra>"), ElementsAre(257, 260));
  EXPECT_TRUE(load()->is_special(257));
}

TEST_F(TokenizerConfig, add_prefix_space_puts_a_space_before_each_text) {
  with_vocab_json();
  added(R"({"<extra>": 259})");
  config(R"({"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": true})");
  EXPECT_THAT(ids("he"), ElementsAre(32, 257));
  EXPECT_THAT(ids(" he"), ElementsAre(32, 257));
  EXPECT_THAT(ids("he<extra>x he"), ElementsAre(32, 257, 259, 32, 120, 32, 257));
  config(R"({"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": false})");
  EXPECT_THAT(ids("he<extra>x he"), ElementsAre(257, 259, 120, 32, 257));
  // Qwen2's class has its space before each word.
  config(R"({"tokenizer_class": "Qwen2Tokenizer", "add_prefix_space": true})");
  EXPECT_THAT(ids("he<x> a"), ElementsAre(32, 257, 32, 60, 120, 32, 62, 32, 97));
}

TEST_F(TokenizerConfig, add_prefix_space_changes_a_tokenizer_json_by_the_class_of_gpt2_only) {
  with_tokenizer_json();
  config(R"({"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": true})");
  EXPECT_THAT(ids("a<|im_start|>b"), ElementsAre(32, 97, 258, 32, 98));
  config(R"({"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": true})");
  EXPECT_THAT(ids("a<|im_start|>b"), ElementsAre(97, 258, 98));
}

TEST_F(TokenizerConfig, split_special_tokens_leaves_their_texts_text) {
  with_tokenizer_json();
  config(R"({"split_special_tokens": true})");
  EXPECT_THAT(ids("<s>a"), ElementsAre(60, 115, 62, 97));
}

TEST_F(TokenizerConfig, a_bos_of_its_own_goes_before_texts) {
  with_vocab_json();
  config(R"({"tokenizer_class": "GPT2Tokenizer", "add_bos_token": true, "bos_token": "<s>",
             "eos_token": "</s>"})");
  EXPECT_THAT(test::ids_of(*load(), "he"), ElementsAre(259, 257));
}

TEST_F(TokenizerConfig, what_is_wrong_is_named_with_file_and_field) {
  with_vocab_json();
  added(R"({"<extra>": -1})");
  EXPECT_THAT(error(), HasSubstr("added_tokens.json: '<extra>': -1 is no token id"));
  added(R"({"<extra>": "259"})");
  EXPECT_THAT(error(), HasSubstr("added_tokens.json: '<extra>': \"259\" is no token id"));
  added(R"({"<extra>": 4194304})");
  EXPECT_THAT(error(), HasSubstr("'<extra>': 4194304 is no token id"));
  added("[]");
  EXPECT_THAT(error(), HasSubstr("added_tokens.json: must be an object"));
  added("{}");
  map(R"({"sep_token": 5})");
  EXPECT_THAT(error(), HasSubstr("special_tokens_map.json: sep_token"));
  Json many = Json::object();
  for (int i = 0; i < 1100; ++i) many[fmt::format("n{}_token", i)] = "<s>";
  map(many.dump());
  EXPECT_THAT(error(), HasSubstr("over 1024 named special tokens"));
}

}  // namespace
}  // namespace tokamak::text
