// SPDX-License-Identifier: Apache-2.0
// Every published vector: text to ids and back.
#include <gtest/gtest.h>

#include "tokamak/text/test_data.h"

namespace tokamak::text {
namespace {

using test::data_file;
using test::load_published;
using test::tokenizers_folder;

constexpr EncodeOptions kPlain{.add_special_tokens = false, .parse_special_tokens = false};
constexpr EncodeOptions kParsed{.add_special_tokens = false, .parse_special_tokens = true};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::stringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

std::vector<TokenId> parse_ids(std::string line) {
  replace_all(line, ",", " ");
  std::vector<TokenId> ids;
  std::stringstream stream(line);
  for (TokenId id; stream >> id;) ids.push_back(id);
  return ids;
}

/// The cases of a file of texts: one a line with escapes, or ("utf8") the whole file.
std::vector<std::string> cases_of(const std::filesystem::path& file, const std::string& kind) {
  std::string text = test::read(file);
  if (kind == "utf8") return {text};
  std::vector<std::string> cases = lines_of(text);
  for (std::string& line : cases) {
    replace_all(line, "\\n", "\n");
    replace_all(line, "\\s", " ");
    replace_all(line, "\\x", "");
  }
  return cases;
}

struct Vectors {
  const char* family;
  const char* model;
  const char* tokenizer;
};
constexpr Vectors kVectors[] = {
    {"tokenizers", "llama32", "llama3.2/tokenizer.json"},
    {"tokenizers", "llama32", "llama3.1/tokenizer.json"},
    {"tokenizers", "llama32", "llama3/tokenizer.json"},
    {"tokenizers", "llama32", "llama3/tokenizer.model"},
    {"tokenizers", "llama2", "llama2/tokenizer.json"},
    {"tokenizers", "llama2", "tinyllama/tokenizer.json"},
    {"tokenizers", "mistral03", "mistral-7b-v0.3-hf/tokenizer.json"},
    {"tokenizers", "r1", "deepseek-r1/tokenizer.json"},
    {"tokenizers", "llama4", "llama4/tokenizer.model"},
    {"tokenizers", "gpt2", "gpt2"},
    {"tiktoken", "cl100k_base", "tiktoken/cl100k_base.tiktoken"},
    {"tiktoken", "o200k_base", "tiktoken/o200k_base.tiktoken"},
    {"tiktoken", "llama4", "llama4/tokenizer.model"},
    {"tiktoken", "kimi_k2", "kimi-k2/tiktoken.model"},
    {"tekken", "mistral2410", "mistral-tekken/tekken.json"},
    {"sentencepiece", "llama2", "llama2/tokenizer.model"},
    {"sentencepiece", "mistral01", "mistral/tokenizer.model.v1"},
    {"sentencepiece", "mistral03", "mistral/mistral_instruct_tokenizer_240216.model.v2"},
    {"sentencepiece", "mistral03", "mistral/mistral_instruct_tokenizer_240323.model.v3"},
};

class PublishedVectors : public testing::TestWithParam<Vectors> {};

TEST_P(PublishedVectors, EncodeToTheirIdsAndDecodeToTheirText) {
  TKM_SKIP_WITHOUT_DATA();
  auto [family, model, path] = GetParam();
  auto tokenizer = load_published(path);
  ASSERT_TRUE(tokenizer);
  std::string name = family;
  bool parses = name == "tokenizers" || name == "tiktoken";
  std::filesystem::path folder = tokenizers_folder() / "vectors";
  int checked = 0;
  for (std::string kind : {"small", "mixed", "utf8"}) {
    auto texts = cases_of(folder / (kind + "_input.txt"), kind);
    auto expected = lines_of(test::read(folder / family / (kind + "_tokens_" + model + ".txt")));
    auto output = folder / family / (kind + "_output_" + model + ".txt");
    auto decoded = std::filesystem::exists(output) ? cases_of(output, kind) : texts;
    ASSERT_LE(expected.size(), texts.size()) << kind;
    ASSERT_GE(expected.size() + 1, texts.size()) << kind;
    for (size_t i = 0; i < expected.size(); ++i) {
      auto ids = parse_ids(expected[i]);
      EXPECT_EQ(test::ids_of(*tokenizer, texts[i], parses ? kParsed : kPlain), ids)
          << kind << " case " << i << ": " << texts[i];
      auto text = tokenizer->decode(ids, false);
      ASSERT_TRUE(text.ok()) << text.error().text();
      EXPECT_EQ(*text, decoded[i]) << kind << " case " << i;
      ++checked;
    }
  }
  EXPECT_GT(checked, 130);
}

INSTANTIATE_TEST_SUITE_P(All, PublishedVectors, testing::ValuesIn(kVectors), [](const auto& info) {
  std::string name = std::to_string(info.index) + "_" + info.param.family + "_" + info.param.model;
  return name;
});

struct GgmlVectors {
  const char* name;
  const char* tokenizer;
};
constexpr GgmlVectors kGgmlVectors[] = {
    {"llama-bpe", "llama3/tokenizer.json"},
    {"llama-bpe", "llama3/tokenizer.model"},
    {"qwen2", "qwen2/tokenizer.json"},
    {"deepseek-r1-qwen", "qwen2.5/tokenizer.json"},
    {"gpt-2", "gpt2"},
    {"llama-spm", "llama2/tokenizer.model"},
    {"llama-spm", "llama2/tokenizer.json"},
    {"phi-3", "phi3/tokenizer.json"},
    {"falcon", "falcon/tokenizer.json"},
};

class GgmlCases : public testing::TestWithParam<GgmlVectors> {};

TEST_P(GgmlCases, EncodeToTheirIdsAndDecodeToTheirText) {
  TKM_SKIP_WITHOUT_DATA();
  auto [name, path] = GetParam();
  auto tokenizer = load_published(path);
  ASSERT_TRUE(tokenizer);
  std::filesystem::path stem =
      tokenizers_folder() / "gguf-vocab" / ("ggml-vocab-" + std::string(name) + ".gguf");
  std::string input = test::read(stem.string() + ".inp");
  auto expected = lines_of(test::read(stem.string() + ".out"));
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  size_t at = 0, i = 0;
  for (; at <= input.size() && i < expected.size(); ++i) {
    size_t end = std::min(input.find(kSeparator, at), input.size());
    std::string text = input.substr(at, end - at);
    at = end + kSeparator.size();
    auto ids = parse_ids(expected[i]);
    EXPECT_EQ(test::ids_of(*tokenizer, text, kParsed), ids) << "case " << i << ": " << text;
    auto decoded = tokenizer->decode(ids, false);
    ASSERT_TRUE(decoded.ok()) << decoded.error().text();
    EXPECT_EQ(*decoded, text) << "case " << i;
  }
  EXPECT_EQ(i, 46u);
}

INSTANTIATE_TEST_SUITE_P(All, GgmlCases, testing::ValuesIn(kGgmlVectors), [](const auto& info) {
  std::string name = std::to_string(info.index) + "_" + info.param.name;
  for (char& c : name) {
    if (c == '-') c = '_';
  }
  return name;
});

TEST(CheckpointFolder, TakesBosAndAddedTokensFromItsConfiguration) {
  TKM_SKIP_WITHOUT_DATA();
  auto llama2 = load_published("llama2");
  ASSERT_TRUE(llama2);
  EXPECT_EQ(llama2->bos_id(), 1);
  EXPECT_EQ(llama2->eos_id(), 2);
  EXPECT_EQ(test::ids_of(*llama2, "Hello"), (std::vector<TokenId>{1, 15043}));

  // Kimi's special tokens are in tokenizer_config.json only.
  std::filesystem::path folder = test::scratch_folder() / "kimi";
  std::filesystem::create_directories(folder);
  std::filesystem::path source = tokenizers_folder() / "kimi-k2";
  std::filesystem::copy_file(data_file(source / "tiktoken.model"), folder / "tiktoken.model");
  std::filesystem::copy_file(source / "tokenizer_config.json", folder / "tokenizer_config.json");
  auto kimi = test::load(folder);
  ASSERT_TRUE(kimi);
  EXPECT_EQ(kimi->token_id("<|im_end|>"), 163586);
  EXPECT_EQ(kimi->eos_id(), 163585);
  EXPECT_EQ(test::ids_of(*kimi, "<|im_end|>"), (std::vector<TokenId>{163586}));
  EXPECT_TRUE(kimi->is_special(163586));
  EXPECT_EQ(kimi->vocab_size(), 163840);
}

TEST(CheckpointFolder, HasSpecialTokensOfTiktokenFamilies) {
  TKM_SKIP_WITHOUT_DATA();
  auto llama3 = load_published("llama3/tokenizer.model");
  auto llama4 = load_published("llama4/tokenizer.model");
  auto qwen = load_published("qwen1/qwen.tiktoken");
  ASSERT_TRUE(llama3 && llama4 && qwen);
  EXPECT_EQ(llama3->token_id("<|eot_id|>"), 128009);
  EXPECT_EQ(llama3->token_id("<|reserved_special_token_245|>"), 128255);
  EXPECT_EQ(llama3->vocab_size(), 128256);
  EXPECT_EQ(llama3->bos_id(), 128000);
  EXPECT_EQ(llama4->token_id("<|eot|>"), 200008);
  EXPECT_EQ(llama4->token_id("<|finetune_right_pad|>"), 200018);
  EXPECT_EQ(llama4->token_id("<|image|>"), 200090);
  EXPECT_EQ(llama4->token_id("<|patch|>"), 200092);
  EXPECT_EQ(llama4->token_id("<|reasoning_thinking_end|>"), 201143);
  EXPECT_EQ(llama4->vocab_size(), 202048);
  EXPECT_EQ(qwen->token_id("<|im_start|>"), 151644);
  EXPECT_EQ(qwen->token_id("<|extra_204|>"), 151850);
}

TEST(Qwen2Files, AreTheSameTokenizerAsJsonAndAsVocabAndMerges) {
  TKM_SKIP_WITHOUT_DATA();
  std::filesystem::path folder = test::scratch_folder() / "qwen2_files";
  std::filesystem::create_directories(folder);
  for (const char* name : {"vocab.json", "merges.txt", "tokenizer_config.json"}) {
    std::filesystem::copy_file(data_file(tokenizers_folder() / "qwen2" / name), folder / name);
  }
  auto files = test::load(folder);
  auto json = load_published("qwen2/tokenizer.json");
  ASSERT_TRUE(files && json);
  std::mt19937 random(7);
  for (int i = 0; i < 300; ++i) {
    std::string text = test::random_text(random, 20) + "<|im_start|>";
    EXPECT_EQ(test::ids_of(*files, text), test::ids_of(*json, text)) << text;
  }
}

}  // namespace
}  // namespace tokamak::text
