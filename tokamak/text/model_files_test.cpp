// SPDX-License-Identifier: Apache-2.0
// SentencePiece, tiktoken and tekken files that are small, odd or broken.
#include <chrono>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/text/ranked_tokens.h"
#include "tokamak/text/sentencepiece.h"
#include "tokamak/text/test_data.h"

namespace tokamak::text {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
std::string bytes_field(int number, const std::string& bytes) {
  return varint(static_cast<uint64_t>(number) << 3 | 2) + varint(bytes.size()) + bytes;
}
std::string integer_field(int number, uint64_t value) {
  return varint(static_cast<uint64_t>(number) << 3) + varint(value);
}

enum Type { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };
std::string piece(const std::string& text, float score, Type type = kNormal) {
  std::string number(4, '\0');
  std::memcpy(number.data(), &score, 4);
  return bytes_field(1,
                     bytes_field(1, text) + varint(2 << 3 | 5) + number + integer_field(3, type));
}
constexpr int kUnigramModel = 1, kBpeModel = 2;
std::string trainer(int model_type, bool byte_fallback = false) {
  return bytes_field(2, integer_field(3, model_type) + integer_field(35, byte_fallback));
}
std::string normalizer(bool add_dummy_prefix, bool remove_extra_whitespaces) {
  return bytes_field(
      3, integer_field(3, add_dummy_prefix) + integer_field(4, remove_extra_whitespaces));
}
std::string basics() {
  return piece("<unk>", 0, kUnknown) + piece("<s>", 0, kControl) + piece("</s>", 0, kControl);
}

std::shared_ptr<const Tokenizer> sentencepiece(const std::string& bytes) {
  auto parts = read_sentencepiece(bytes, "tokenizer.model");
  if (!parts.ok()) {
    ADD_FAILURE() << parts.error().text();
    return nullptr;
  }
  return std::make_shared<PipelineTokenizer>(std::move(*parts));
}
std::vector<TokenId> ids_of(const std::shared_ptr<const Tokenizer>& tokenizer,
                            std::string_view text) {
  return test::ids_of(*tokenizer, text, {.add_special_tokens = false});
}

TEST(SentencePieceBpe, MergesTheBestScoreFirst) {
  auto tokenizer =
      sentencepiece(basics() + piece("a", -3) + piece("b", -4) + piece("ab", -2) + piece("ba", -1) +
                    piece("▁", -5) + trainer(kBpeModel) + normalizer(false, false));
  EXPECT_THAT(ids_of(tokenizer, "aba"), ElementsAre(3, 6));
  EXPECT_EQ(tokenizer->bos_id(), 1);
  EXPECT_EQ(tokenizer->eos_id(), 2);
}

TEST(SentencePieceBpe, MergesCharactersThatAreNoPieces) {
  auto tokenizer = sentencepiece(basics() + piece("xyz", -1) + piece("xy", -2) +
                                 trainer(kBpeModel) + normalizer(false, false));
  EXPECT_THAT(ids_of(tokenizer, "xyzxy"), ElementsAre(3, 4));
  EXPECT_THAT(ids_of(tokenizer, "zqxy"), ElementsAre(0, 4));
}

TEST(SentencePieceBpe, TakesUnusedPiecesApartAgain) {
  auto tokenizer =
      sentencepiece(basics() + piece("a", -3) + piece("b", -4) + piece("ab", -2, kUnused) +
                    piece("abb", -1) + trainer(kBpeModel) + normalizer(false, false));
  EXPECT_THAT(ids_of(tokenizer, "ababb"), ElementsAre(3, 4, 6));
}

TEST(SentencePieceBpe, KeepsUserDefinedPiecesWhole) {
  auto tokenizer =
      sentencepiece(basics() + piece("a", -3) + piece("b", -4) + piece("ab", 0, kUserDefined) +
                    piece("aab", -1) + trainer(kBpeModel) + normalizer(false, false));
  EXPECT_THAT(ids_of(tokenizer, "aab"), ElementsAre(3, 5));
}

TEST(SentencePiece, PutsAndTakesTheSpaceInFront) {
  auto tokenizer = sentencepiece(basics() + piece("▁", -3) + piece("a", -4) + piece("▁a", -2) +
                                 trainer(kUnigramModel) + normalizer(true, false));
  EXPECT_THAT(ids_of(tokenizer, "a  a"), ElementsAre(5, 3, 5));
  EXPECT_EQ(*tokenizer->decode(std::vector<TokenId>{5, 3, 5}), "a  a");
  EXPECT_EQ(*tokenizer->decode(std::vector<TokenId>{1, 5, 0}), "a \u2047 ");
  auto collapsing = sentencepiece(basics() + piece("▁", -3) + piece("a", -4) + piece("▁a", -2) +
                                  trainer(kUnigramModel) + normalizer(true, true));
  EXPECT_THAT(ids_of(collapsing, "  a   a "), ElementsAre(5, 5));
  EXPECT_EQ(*collapsing->decode(std::vector<TokenId>{3, 3, 5}), "a");
}

TEST(SentencePiece, TakesAddedTokensAndThePrefixSpaceFromBesideIt) {
  test::Folder folder;
  folder.write("tokenizer.model",
               basics() + piece("▁", -3) + piece("a", -4) + piece("▁a", -2) + piece("b", -5) +
                   trainer(kBpeModel) + normalizer(true, false));
  folder.write("added_tokens.json", R"({"<|im_start|>": 7, "<|im_end|>": 8})");
  auto ids = [&](std::string_view config, std::string_view text, bool add_special_tokens) {
    folder.write("tokenizer_config.json", config);
    return test::ids_of(
        *test::load(folder.path()), text, {.add_special_tokens = add_special_tokens});
  };
  constexpr auto kText = "a<|im_start|>a";
  EXPECT_THAT(ids("{}", kText, true), ElementsAre(1, 5, 7, 5));
  // LlamaTokenizer puts no space after added tokens unless it is told to.
  constexpr auto kLlama = R"({"tokenizer_class": "LlamaTokenizer"})";
  EXPECT_THAT(ids(kLlama, kText, false), ElementsAre(5, 7, 4));
  EXPECT_THAT(ids(kLlama, "b</s>", false), ElementsAre(3, 6, 2));
  EXPECT_THAT(ids(R"({"tokenizer_class": "LlamaTokenizer", "legacy": true})", kText, false),
              ElementsAre(5, 7, 5));
  EXPECT_THAT(ids(R"({"add_prefix_space": false})", kText, false), ElementsAre(4, 7, 4));
  EXPECT_THAT(ids(R"({"bos_token": "<|im_end|>"})", "a", true), ElementsAre(8, 5));
  EXPECT_THAT(ids(R"({"bos_token": null})", "a", true), ElementsAre(5));
  EXPECT_THAT(test::load(folder.path())->special_names().tokens,
              ElementsAre(testing::Pair("eos_token", "</s>")));
}

TEST(SentencePiece, LeavesTheTextOfControlPiecesAsText) {
  auto tokenizer = sentencepiece(basics() + piece("<", -1) + piece("s", -1) + piece(">", -1) +
                                 trainer(kBpeModel) + normalizer(false, false));
  EXPECT_THAT(ids_of(tokenizer, "<s>"), ElementsAre(3, 4, 5));
  EXPECT_EQ(*tokenizer->decode(std::vector<TokenId>{1, 4}), "s");
}

TEST(SentencePiece, RefusesWhatItsLibraryRefuses) {
  auto error = [](const std::string& bytes) {
    auto parts = read_sentencepiece(bytes, "tokenizer.model");
    return parts.ok() ? "(none)" : parts.error().message;
  };
  EXPECT_THAT(error("\xff\xff"), HasSubstr("tokenizer.model: not a SentencePiece model"));
  EXPECT_EQ(error(""), "tokenizer.model: 0 unknown pieces, expected one");
  EXPECT_EQ(error(basics() + piece("", 0)), "tokenizer.model: pieces[3] is empty");
  EXPECT_EQ(error(basics() + piece("\xff", 0)), "tokenizer.model: pieces[3] is not valid UTF-8");
  EXPECT_EQ(error(basics() + piece("a", 0) + piece("a", 0)),
            "tokenizer.model: piece 'a' appears twice");
  EXPECT_EQ(error(basics() + piece("a", NAN)),
            "tokenizer.model: pieces[3] has a score that is no number");
  EXPECT_EQ(error(basics() + trainer(kBpeModel, true)),
            "tokenizer.model: byte_fallback without piece <0x00>");
  EXPECT_EQ(error(basics() + trainer(4)),
            "tokenizer.model: model type 4 is not supported (BPE and unigram are)");
  EXPECT_THAT(error(basics() + piece(std::string(2000, 'a'), 0)), HasSubstr("the limit is 1024"));
  EXPECT_THAT(error(basics() + bytes_field(3, bytes_field(2, std::string("\x20\0\0\0ab", 6)))),
              HasSubstr("precompiled_charsmap: trie of 32 bytes"));
}

TEST(SentencePiece, TakesACharacterMapWithoutATrie) {
  const std::string empty_trie(4, '\0');
  auto parts =
      read_sentencepiece(basics() + bytes_field(3, bytes_field(2, empty_trie)), "tokenizer.model");
  EXPECT_TRUE(parts.ok()) << parts.error().text();
}

TEST(Tiktoken, NamesTheLineThatIsWrong) {
  auto error = [](std::string_view text) {
    auto parts = read_tiktoken(text, "t.tiktoken");
    return parts.ok() ? "(none)" : parts.error().message;
  };
  EXPECT_EQ(error("IQ== 0\nIg==\n"), "t.tiktoken: line 2: expected a token in base64 and its rank");
  EXPECT_EQ(error("IQ== 0\nI*== 1\n"), "t.tiktoken: line 2: the token is not base64");
  EXPECT_EQ(error("IQ== zero\n"), "t.tiktoken: line 1: the rank is not an integer");
  EXPECT_EQ(error("IQ== 0\nIQ== 1\n"), "t.tiktoken: line 2: token or id 1 appears twice");
  EXPECT_EQ(error("IQ== -1\n"), "t.tiktoken: line 1: id -1 is not in [0, 4194304)");
  EXPECT_EQ(error("IQ== 0\n"), "t.tiktoken: no known tiktoken vocabulary has 1 tokens");
}

TEST(Tekken, NamesTheFieldThatIsWrong) {
  auto error = [](std::string_view text) {
    auto parts = read_tekken(text, "tekken.json");
    return parts.ok() ? "(none)" : parts.error().message;
  };
  EXPECT_EQ(error("{}"), "tekken.json: 'config' is missing");
  EXPECT_EQ(error(R"({"vocab": [{"rank": 0}]})"), "tekken.json: vocab[0] has no token_bytes");
  EXPECT_EQ(error(R"({"config": {"pattern": "x", "default_vocab_size": 2,
                     "default_num_special_tokens": 9}})"),
            "tekken.json: config: 9 special tokens of 2 tokens");
  EXPECT_EQ(error(R"({"config": {"pattern": "x", "default_vocab_size": 2,
                     "default_num_special_tokens": 1}})"),
            "tekken.json: pattern 'x' is unknown");
}

TEST(Load, SaysThatAFolderHasNoTokenizer) {
  std::filesystem::path folder = test::scratch_folder() / "empty";
  std::filesystem::create_directories(folder);
  auto loaded = Tokenizer::load(folder);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(loaded.error().message, HasSubstr("has no tokenizer"));
}

class LongWords : public testing::TestWithParam<const char*> {};

TEST_P(LongWords, AreEncodedInLessThanQuadraticTime) {
  TKM_SKIP_WITHOUT_DATA();
  auto tokenizer = test::load_published(GetParam());
  ASSERT_TRUE(tokenizer);
  std::mt19937 random(5);
  for (bool same : {false, true}) {
    std::string word;
    while (word.size() < 1'000'000) word += same ? 'a' : static_cast<char>('a' + random() % 26);
    auto begin = std::chrono::steady_clock::now();
    auto ids = ids_of(tokenizer, word);
    std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    EXPECT_GT(ids.size(), 1000u);
    // Far above what it takes (half a second), far below what n * n steps take.
    EXPECT_LT(elapsed.count(), 30.0);
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         LongWords,
                         testing::Values("llama3/tokenizer.json",
                                         "llama2/tokenizer.json",
                                         "llama2/tokenizer.model"));

TEST(Tokenizer, EncodesTheSameOnManyThreads) {
  TKM_SKIP_WITHOUT_DATA();
  auto tokenizer = test::load_published("llama3/tokenizer.json");
  ASSERT_TRUE(tokenizer);
  std::mt19937 random(9);
  std::vector<std::string> texts;
  std::vector<std::vector<TokenId>> expected;
  for (int i = 0; i < 50; ++i) texts.push_back(test::random_text(random, 40));
  for (const auto& text : texts) expected.push_back(ids_of(tokenizer, text));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        for (size_t i = 0; i < texts.size(); ++i) {
          EXPECT_EQ(ids_of(tokenizer, texts[i]), expected[i]);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace tokamak::text
