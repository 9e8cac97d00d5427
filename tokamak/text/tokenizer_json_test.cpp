// SPDX-License-Identifier: Apache-2.0
// Components of tokenizer.json on small vocabularies. What is expected is what Hugging Face
// `tokenizers` gives.
#include "tokamak/text/tokenizer_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/base/json.h"

namespace tokamak::text {
namespace {

using testing::HasSubstr;

Json vocab_of(const std::vector<std::string>& tokens) {
  Json vocab = Json::object();
  for (size_t id = 0; id < tokens.size(); ++id) vocab[tokens[id]] = id;
  return vocab;
}

const std::vector<std::string>& small_tokens() {
  static const std::vector<std::string> tokens = {"<unk>",
                                                  "a",
                                                  "b",
                                                  "c",
                                                  "d",
                                                  "e",
                                                  " ",
                                                  "▁",
                                                  "1",
                                                  "2",
                                                  "!",
                                                  "ab",
                                                  "abc",
                                                  "▁a",
                                                  "▁ab",
                                                  "É",
                                                  "é",
                                                  "x",
                                                  "y"};
  return tokens;
}

/// A tokenizer.json of a small BPE; members can be replaced.
Json small_file() {
  Json file = Json::parse(R"({"version": "1.0", "added_tokens": [],
    "model": {"type": "BPE", "unk_token": "<unk>",
              "merges": ["a b", "ab c", "▁ a", "▁ ab", "▁a b"]}})");
  file["model"]["vocab"] = vocab_of(small_tokens());
  return file;
}
Json with(const char* key, const char* json) {
  Json file = small_file();
  file[key] = Json::parse(json);
  return file;
}
Json with_model(const char* json) {
  return with("model", json);
}

Json added(const std::string& content, const std::string& flags = "") {
  auto has = [&](char flag) { return flags.find(flag) != flags.npos; };
  return {{"id", 0},
          {"content", content},
          {"single_word", has('w')},
          {"lstrip", has('l')},
          {"rstrip", has('r')},
          {"normalized", has('n')},
          {"special", has('s')}};
}
Json with_added(const std::vector<Json>& tokens, Json file = small_file()) {
  file["added_tokens"] = tokens;
  return file;
}

std::shared_ptr<const Tokenizer> make(const Json& file) {
  auto parts = read_tokenizer_json(file.dump(), "tokenizer.json");
  if (!parts.ok()) {
    ADD_FAILURE() << parts.error().text();
    return nullptr;
  }
  return std::make_shared<PipelineTokenizer>(std::move(*parts));
}

/// The tokens of a text, as the vocabulary writes them, with | between.
std::string tokens_of(const Json& file, std::string_view text, const EncodeOptions& options = {}) {
  auto tokenizer = make(file);
  if (!tokenizer) return "";
  auto ids = tokenizer->encode(text, options);
  if (!ids.ok()) return ids.error().text();
  std::string joined;
  for (TokenId id : *ids) joined += (joined.empty() ? "" : "|") + std::string(tokenizer->token(id));
  return joined;
}

std::string round_trip(const Json& file, std::string_view text) {
  auto tokenizer = make(file);
  if (!tokenizer) return "";
  auto ids = tokenizer->encode(text);
  if (!ids.ok()) return ids.error().text();
  auto decoded = tokenizer->decode(*ids);
  return decoded.ok() ? *decoded : decoded.error().text();
}

std::string error_of(const Json& file, ErrorCode code) {
  auto parts = read_tokenizer_json(file.dump(), "tokenizer.json");
  if (parts.ok()) return "(no error)";
  EXPECT_EQ(parts.error().code, code) << parts.error().text();
  return parts.error().message;
}

TEST(Bpe, MergesByRankAndLeavesUnknownCharactersAsUnk) {
  EXPECT_EQ(tokens_of(small_file(), "abcab"), "abc|ab");
  EXPECT_EQ(tokens_of(small_file(), "aébz"), "a|é|b|<unk>");
}

TEST(Bpe, ReadsMergesAsPairs) {
  Json file = small_file();
  file["model"]["merges"] = Json::parse(R"([["a", "b"], ["ab", "c"]])");
  EXPECT_EQ(tokens_of(file, "abcab"), "abc|ab");
}

TEST(Bpe, FallsBackToBytes) {
  Json file = small_file();
  auto tokens = small_tokens();
  for (int b = 0; b < 256; ++b) tokens.push_back(fmt::format("<0x{:02X}>", b));
  file["model"]["vocab"] = vocab_of(tokens);
  file["model"]["byte_fallback"] = true;
  file["decoder"] = Json::parse(
      R"({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]})");
  EXPECT_EQ(tokens_of(file, "aßz"), "a|<0xC3>|<0x9F>|<0x7A>");
  EXPECT_EQ(round_trip(file, "aßz"), "aßz");
}

TEST(Bpe, WithIgnoreMergesTakesWholeWordsOnly) {
  Json file = small_file();
  file["model"]["merges"] = Json::array();
  file["model"]["ignore_merges"] = true;
  EXPECT_EQ(tokens_of(file, "▁ab"), "▁ab");
  EXPECT_EQ(tokens_of(file, "▁ab▁abc"), "▁|a|b|▁|a|b|c");
}

TEST(Bpe, MarksTheEndOfWords) {
  Json file = with_model(R"({"type": "BPE", "unk_token": "<unk>", "end_of_word_suffix": "</w>",
    "vocab": {"<unk>": 0, "a": 1, "b": 2, "b</w>": 3, "ab</w>": 4}, "merges": ["a b</w>"]})");
  file["decoder"] = Json::parse(R"({"type": "BPEDecoder", "suffix": "</w>"})");
  EXPECT_EQ(tokens_of(file, "ab"), "ab</w>");
  auto tokenizer = make(file);
  EXPECT_EQ(*tokenizer->decode(std::vector<TokenId>{4, 1, 3}), "ab ab");
}

TEST(Bpe, MarksThePartsThatContinueAWord) {
  Json file = with_model(
      R"({"type": "BPE", "unk_token": "<unk>", "continuing_subword_prefix": "##",
    "vocab": {"<unk>": 0, "a": 1, "##b": 2, "ab": 3}, "merges": ["a ##b"]})");
  EXPECT_EQ(tokens_of(file, "ab"), "ab");
  EXPECT_EQ(tokens_of(file, "aab"), "a|<unk>|##b");
}

TEST(Unigram, TakesTheBestSumAndFusesUnknownCharacters) {
  Json file = with_model(R"({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0],
    ["b", -1.0], ["ab", -1.5], ["abc", -9.0], ["c", -2.0], ["▁", -3.0]]})");
  EXPECT_EQ(tokens_of(file, "abcxya▁"), "ab|c|<unk>|a|▁");
  EXPECT_EQ(tokens_of(file, "abab"), "ab|ab");
}

TEST(WordPiece, CutsGreedilyOrGivesUpOnTheWord) {
  Json file = with_model(R"({"type": "WordPiece", "unk_token": "[UNK]",
    "continuing_subword_prefix": "##", "max_input_chars_per_word": 5,
    "vocab": {"[UNK]": 0, "a": 1, "##b": 2, "##bc": 3, "ab": 4, ".": 5, "abcabc": 6}})");
  file["pre_tokenizer"] = Json::parse(R"({"type": "BertPreTokenizer"})");
  file["decoder"] = Json::parse(R"({"type": "WordPiece", "prefix": "##", "cleanup": true})");
  EXPECT_EQ(tokens_of(file, "ab abb abcabc abz ."), "ab|ab|##b|[UNK]|[UNK]|.");
  EXPECT_EQ(round_trip(file, "ab abb ."), "ab abb.");
}

TEST(WordLevel, TakesWordsAsTokens) {
  Json file = with_model(R"({"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1}})");
  file["pre_tokenizer"] = Json::parse(R"({"type": "WhitespaceSplit"})");
  EXPECT_EQ(tokens_of(file, "a z"), "a|?");
}

TEST(AddedTokens, KeepWordsWholeAndSwallowSpace) {
  EXPECT_EQ(tokens_of(with_added({added("<d>", "w")}), "<d> a<d>b <d>"),
            "<d>| |a|<unk>|d|<unk>|b| |<d>");
  EXPECT_EQ(tokens_of(with_added({added("<d>", "l")}), "a  <d>  b"), "a|<d>| | |b");
  EXPECT_EQ(tokens_of(with_added({added("<d>", "r")}), "a  <d>  b"), "a| | |<d>|b");
  EXPECT_EQ(tokens_of(with_added({added("<d>"), added("<dd>")}), "<d><dd>"), "<d>|<dd>");
}

TEST(AddedTokens, VanishWhereAnotherHasSwallowedTheirText) {
  EXPECT_EQ(tokens_of(with_added({added("<d>", "r"), added("  ", "lr")}), "a  <d>     b"),
            "a|  |<d>|b");
  EXPECT_EQ(tokens_of(with_added({added("<d>", "r"), added("  ", "l")}), "<d>    b"), "<d>|b");
}

TEST(AddedTokens, AreTextIfSpecialTokensAreNotParsed) {
  Json file = with_added({added("<d>", "s"), added("<e>")});
  EXPECT_EQ(tokens_of(file, "<d>a<e>", {.parse_special_tokens = false}), "<unk>|d|<unk>|a|<e>");
  EXPECT_EQ(tokens_of(file, "<d>a<e>"), "<d>|a|<e>");
  EXPECT_EQ(round_trip(file, "<d>a<e>"), "a <e>");
}

TEST(AddedTokens, MatchNormalizedTextIfTheyAreNormalized) {
  Json lower = with("normalizer", R"({"type": "Lowercase"})");
  EXPECT_EQ(tokens_of(with_added({added("<D>", "n")}, lower), "a<D>b<d>"), "a|<D>|b|<D>");
  EXPECT_EQ(tokens_of(with_added({added("<D>")}, lower), "a<D>b<d>"), "a|<D>|b|<unk>|d|<unk>");
}

TEST(Normalizers, RunInSequence) {
  Json file = with("normalizer", R"({"type": "Sequence", "normalizers": [
    {"type": "Prepend", "prepend": "▁"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]})");
  EXPECT_EQ(tokens_of(file, "ab ab"), "▁ab|▁ab");
  EXPECT_EQ(tokens_of(file, ""), "");
}

TEST(Normalizers, KnowTheFormsOfUnicodeNine) {
  // U+1DFA is of Unicode 14: the library does not order it.
  EXPECT_EQ(tokens_of(with("normalizer", R"({"type": "NFC"})"), "e\u0301"), "é");
  Json file = with("normalizer", R"({"type": "NFD"})");
  file["model"]["vocab"] = vocab_of({"<unk>", "a", "\u0345", "\u1dfa", "\u0301"});
  file["model"]["merges"] = Json::array();
  EXPECT_EQ(tokens_of(file, "a\u0345\u1dfa"), "a|\u0345|\u1dfa");
  EXPECT_EQ(tokens_of(file, "a\u0345\u0301"), "a|\u0301|\u0345");
}

TEST(Normalizers, ReplaceNothingInAnEmptyText) {
  Json file = with("normalizer", R"({"type": "Sequence", "normalizers": [
    {"type": "Strip", "strip_left": true, "strip_right": true},
    {"type": "Replace", "pattern": {"Regex": "x*"}, "content": "a"}]})");
  EXPECT_EQ(tokens_of(file, " "), "");
  EXPECT_EQ(tokens_of(file, "bxb"), "ab|ab|a");
}

TEST(Normalizers, CleanTextAsBertDoes) {
  Json file = with_model(R"({"type": "WordLevel", "unk_token": "?",
    "vocab": {"?": 0, "he": 1, "漢": 2, "llo": 3, "!": 4}})");
  file["normalizer"] = Json::parse(R"({"type": "BertNormalizer", "clean_text": true,
    "handle_chinese_chars": true, "strip_accents": null, "lowercase": true})");
  file["pre_tokenizer"] = Json::parse(R"({"type": "BertPreTokenizer"})");
  EXPECT_EQ(tokens_of(file, std::string_view("Hé漢llo\0\t!", 12)), "he|漢|llo|!");
}

TEST(Metaspace, PrependsAlwaysFirstOrNever) {
  auto file = [](const std::string& scheme) {
    std::string metaspace = fmt::format(
        R"({{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "{}", "split": true}})",
        scheme);
    Json made = with_added({added("<d>")});
    made["pre_tokenizer"] = made["decoder"] = Json::parse(metaspace);
    return made;
  };
  EXPECT_EQ(tokens_of(file("always"), "ab<d>ab ab"), "▁ab|<d>|▁ab|▁ab");
  EXPECT_EQ(tokens_of(file("first"), "ab<d>ab ab"), "▁ab|<d>|ab|▁ab");
  EXPECT_EQ(tokens_of(file("never"), "ab<d>ab ab"), "ab|<d>|ab|▁ab");
  EXPECT_EQ(round_trip(file("always"), "ab<d>ab ab"), "ab<d> ab ab");
  EXPECT_EQ(round_trip(file("first"), "ab<d>ab ab"), "ab<d>ab ab");
}

/// The pieces that Split makes, found again as words of a word-level vocabulary.
std::string split(std::string_view behavior, bool invert) {
  Json file = with_model(R"({"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "1": 1,
    "ab": 2, "c": 3, "1ab": 4, "1c": 5, "ab1": 6, "c1": 7, "11": 8}})");
  file["pre_tokenizer"] = {
      {"type", "Split"}, {"pattern", {{"Regex", "1"}}}, {"behavior", behavior}, {"invert", invert}};
  return tokens_of(file, "1ab11c1");
}

TEST(Split, HasFiveBehaviors) {
  EXPECT_EQ(split("Removed", false), "ab|c");
  EXPECT_EQ(split("Removed", true), "1|1|1|1");
  EXPECT_EQ(split("Isolated", false), "1|ab|1|1|c|1");
  EXPECT_EQ(split("Isolated", true), "1|ab|1|1|c|1");
  EXPECT_EQ(split("MergedWithPrevious", false), "1|ab1|1|c1");
  EXPECT_EQ(split("MergedWithPrevious", true), "1ab|1|1c|1");
  EXPECT_EQ(split("MergedWithNext", false), "1ab|1|1c|1");
  EXPECT_EQ(split("MergedWithNext", true), "1|ab1|1|c1");
  EXPECT_EQ(split("Contiguous", false), "1|ab|11|c|1");
}

TEST(PostProcessor, PutsTokensAroundTheText) {
  Json file = with("post_processor", R"({"type": "TemplateProcessing", "single": [
      {"SpecialToken": {"id": "[C]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
      {"SpecialToken": {"id": "[S]", "type_id": 0}}],
    "special_tokens": {"[C]": {"id": "[C]", "ids": [3, 4]}, "[S]": {"id": "[S]", "ids": [5]}}})");
  EXPECT_EQ(tokens_of(file, "ab"), "c|d|ab|e");
  EXPECT_EQ(tokens_of(file, "ab", {.add_special_tokens = false}), "ab");
}

TEST(Encode, RefusesInvalidUtf8WithItsOffset) {
  EXPECT_EQ(tokens_of(small_file(), "ab\xff"), "encode: text is not valid UTF-8 at byte 2");
  EXPECT_EQ(tokens_of(small_file(), "ab\xe2\x96"), "encode: text is not valid UTF-8 at byte 2");
  EXPECT_EQ(tokens_of(small_file(), "\xed\xa0\x80"), "encode: text is not valid UTF-8 at byte 0");
}

TEST(TokenizerJson, NamesWhatItDoesNotSupport) {
  EXPECT_EQ(error_of(with("normalizer", R"({"type": "Shout"})"), ErrorCode::kUnsupported),
            "tokenizer.json: normalizer: normalizer 'Shout' is not supported");
  EXPECT_EQ(
      error_of(
          with("pre_tokenizer", R"({"type": "Sequence", "pretokenizers": [{"type": "Guess"}]})"),
          ErrorCode::kUnsupported),
      "tokenizer.json: pre_tokenizer.pretokenizers[0]: pre-tokenizer 'Guess' is not supported");
  EXPECT_EQ(error_of(with("decoder", R"({"type": "CTC", "pad_token": "<pad>"})"),
                     ErrorCode::kUnsupported),
            "tokenizer.json: decoder: decoder 'CTC' is not supported");
  EXPECT_EQ(error_of(with("post_processor", R"({"type": "Frame"})"), ErrorCode::kUnsupported),
            "tokenizer.json: post_processor: post processor 'Frame' is not supported");
  EXPECT_EQ(
      error_of(with_model(R"({"type": "Markov", "vocab": {"a": 0}})"), ErrorCode::kUnsupported),
      "tokenizer.json: model: model 'Markov' is not supported");
}

TEST(TokenizerJson, NamesFileAndFieldOfWhatIsWrong) {
  auto wrong = [](const Json& file) { return error_of(file, ErrorCode::kCorrupt); };
  EXPECT_EQ(wrong(Json::object()), "tokenizer.json: 'model' is missing");
  EXPECT_EQ(wrong(with("normalizer", "3")),
            "tokenizer.json: normalizer must be an object, but is number");
  EXPECT_EQ(wrong(with("normalizer", R"({"type": "Prepend"})")),
            "tokenizer.json: normalizer: 'prepend' is missing");
  EXPECT_EQ(wrong(with("added_tokens", R"([{"id": 1}])")),
            "tokenizer.json: added_tokens[0]: 'content' is missing");
  EXPECT_THAT(wrong(with_model(R"({"type": "BPE", "vocab": {"a": -1}, "merges": []})")),
              HasSubstr("tokenizer.json: id -1 of 'a' is not in [0, 4194304)"));
  EXPECT_EQ(wrong(with_model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a z"]})")),
            "tokenizer.json: model.merges[0]: 'z' is not in the vocabulary");
  EXPECT_THAT(wrong(with_model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a"]})")),
              HasSubstr("merges[0] = 'a' is not two tokens"));
  EXPECT_THAT(wrong(with_model(R"({"type": "Unigram", "unk_id": 9, "vocab": [["a", 1.0]]})")),
              HasSubstr("model.unk_id 9 is not in [0, 1)"));
  EXPECT_EQ(wrong(with("pre_tokenizer",
                       R"({"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Eaten",
                           "invert": false})")),
            "tokenizer.json: pre_tokenizer.behavior 'Eaten' is unknown");
}

/// `count` times the component, in Sequences of `depth` one inside the other.
std::string sequence(const std::string& list, const std::string& component, int count, int depth) {
  std::string out = "{\"type\": \"Sequence\", \"" + list + "\": [";
  for (int i = 0; i < count; ++i) out += (i ? ", " : "") + component;
  out += "]}";
  return depth > 1 ? sequence(list, out, 1, depth - 1) : out;
}

TEST(TokenizerJson, BoundsTheComponentsThatATextGoesThrough) {
  struct Section {
    const char *key, *list, *component;
  };
  for (const Section& s :
       {Section{"pre_tokenizer", "pretokenizers", R"({"type": "Whitespace"})"},
        Section{"normalizer", "normalizers", R"({"type": "NFC"})"},
        Section{"decoder", "decoders", R"({"type": "ByteFallback"})"},
        Section{
            "post_processor", "processors", R"({"type": "ByteLevel", "trim_offsets": true})"}}) {
    auto error = [&](int count, int depth) {
      const Json file = with(s.key, sequence(s.list, s.component, count, depth).c_str());
      auto parts = read_tokenizer_json(file.dump(), "tokenizer.json");
      return parts.ok() ? "(none)" : parts.error().message;
    };
    EXPECT_EQ(error(63, 1), "(none)") << s.key;
    EXPECT_EQ(error(40, 20), "(none)") << s.key;
    EXPECT_EQ(error(64, 1),
              fmt::format("tokenizer.json: {} has 65 components, the limit is 64", s.key));
    EXPECT_EQ(error(60, 10),
              fmt::format("tokenizer.json: {} has 70 components, the limit is 64", s.key));
    EXPECT_EQ(error(100'000, 1),
              fmt::format("tokenizer.json: {} has 100001 components, the limit is 64", s.key));
    EXPECT_THAT(error(1, 1000), HasSubstr("tokenizer.json")) << s.key;
  }
}

TEST(TokenizerJson, BoundsWhatComponentsMakeOfAText) {
  // Each doubles the text.
  const std::string doubles = R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"})";
  auto growing = read_tokenizer_json(
      with("normalizer", sequence("normalizers", doubles, 40, 1).c_str()).dump(), "tokenizer.json");
  ASSERT_TRUE(growing.ok()) << growing.error().text();
  PipelineTokenizer tokenizer(std::move(*growing));
  EXPECT_EQ(tokenizer.encode("b", {}).value().size(), 1u);
  auto ids = tokenizer.encode("aaaa", {});
  ASSERT_FALSE(ids.ok());
  EXPECT_EQ(ids.error().message, "the tokenizer's normalizer makes over 4352 bytes of a text");
  EXPECT_EQ(error_of(with("decoder", sequence("decoders", doubles, 40, 1).c_str()),
                     ErrorCode::kUnsupported),
            "tokenizer.json: decoder.decoders[10]: decoders make 2048 times its size of a token, "
            "the limit is 1024");
  std::string many = R"({"type": "TemplateProcessing", "special_tokens": {"s": {"ids": [1]}},
                         "single": [{"Sequence": {"id": "A"}})";
  for (int i = 0; i < 1100; ++i) many += R"(, {"SpecialToken": {"id": "s"}})";
  EXPECT_EQ(error_of(with("post_processor", (many + "]}").c_str()), ErrorCode::kCorrupt),
            "tokenizer.json: post_processor.single has 1101 pieces, the limit is 1024");
  Json wide = Json::parse(R"({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}},
                              {"SpecialToken": {"id": "s"}}]})");
  wide["special_tokens"]["s"]["ids"] = std::vector<int>(1100, 1);
  EXPECT_EQ(error_of(with("post_processor", wide.dump().c_str()), ErrorCode::kCorrupt),
            "tokenizer.json: post_processor puts over 1024 ids around a text");
}

TEST(TokenizerJson, HasOneModel) {
  EXPECT_THAT(read_tokenizer_json(R"({"model": {"type": "BPE"}, "model": {"type": "BPE"}})",
                                  "tokenizer.json")
                  .error()
                  .message,
              HasSubstr("tokenizer.json: 'model' appears twice"));
}

TEST(TokenizerJson, RefusesBrokenJson) {
  for (std::string text : {"",
                           "{",
                           "{\"model\":",
                           "[]",
                           "{\"model\": {\"vocab\": {\"a\": 1}",
                           "{\"a\": \"\\ud800\"}",
                           "{} x",
                           "{\"a\": 01x}"}) {
    auto parts = read_tokenizer_json(text, "tokenizer.json");
    ASSERT_FALSE(parts.ok()) << text;
    EXPECT_EQ(parts.error().code, ErrorCode::kCorrupt) << text;
    EXPECT_THAT(parts.error().message, HasSubstr("tokenizer.json")) << text;
  }
  std::string deep = "{\"x\": " + std::string(100000, '[');
  EXPECT_FALSE(read_tokenizer_json(deep, "tokenizer.json").ok());
}

TEST(VocabAndMerges, NeedAllBytes) {
  auto parts = read_vocab_and_merges("{\"a\": 0}", "#version: 0.2\n", "vocab.json", "merges.txt");
  ASSERT_FALSE(parts.ok());
  EXPECT_EQ(parts.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(
      read_vocab_and_merges("{\"a\": 0}", "a b c\n", "vocab.json", "merges.txt").error().message,
      "merges.txt: line 1: expected two tokens");
}

}  // namespace
}  // namespace tokamak::text
