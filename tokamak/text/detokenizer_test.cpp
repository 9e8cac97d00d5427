// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tokamak/text/test_data.h"

namespace tokamak::text {
namespace {

/// Pieces are valid UTF-8 each, and joined they are decode().
void expect_streams_as_decoded(std::shared_ptr<const Tokenizer> tokenizer,
                               const std::vector<TokenId>& ids) {
  for (bool skip : {true, false}) {
    Detokenizer detokenizer(tokenizer, skip);
    std::string joined;
    for (TokenId id : ids) {
      std::string piece = detokenizer.push(id);
      EXPECT_FALSE(find_invalid_utf8(piece)) << "id " << id;
      joined += piece;
    }
    joined += detokenizer.finish();
    auto decoded = tokenizer->decode(ids, skip);
    ASSERT_TRUE(decoded.ok()) << decoded.error().text();
    EXPECT_EQ(joined, *decoded);
    EXPECT_FALSE(find_invalid_utf8(joined));
  }
}

class PublishedTokenizer : public testing::TestWithParam<std::string> {};

TEST_P(PublishedTokenizer, StreamsRandomIdsAsItDecodesThem) {
  TKM_SKIP_WITHOUT_DATA();
  auto tokenizer = test::load_published(GetParam());
  ASSERT_TRUE(tokenizer);
  std::mt19937 random(1);
  std::uniform_int_distribution<TokenId> any(0, static_cast<TokenId>(tokenizer->vocab_size() - 1));
  std::uniform_int_distribution<TokenId> low(0, 400);  // Where byte tokens are.
  for (int i = 0; i < 300; ++i) {
    std::vector<TokenId> ids;
    for (int n = 0; n < 12; ++n) ids.push_back(i % 2 ? any(random) : low(random));
    expect_streams_as_decoded(tokenizer, ids);
  }
}

TEST_P(PublishedTokenizer, StreamsEncodedTextAsItDecodesIt) {
  TKM_SKIP_WITHOUT_DATA();
  auto tokenizer = test::load_published(GetParam());
  ASSERT_TRUE(tokenizer);
  std::mt19937 random(2);
  for (int i = 0; i < 200; ++i) {
    expect_streams_as_decoded(tokenizer, test::ids_of(*tokenizer, test::random_text(random, 15)));
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         PublishedTokenizer,
                         testing::ValuesIn(test::published_tokenizers()),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) {
                             if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
                           }
                           return name;
                         });

/// A tokenizer whose tokens are given, each with its piece.
class Pieces : public Tokenizer {
 public:
  Pieces(std::vector<TokenPiece> pieces, JoinRules rules)
      : pieces_(std::move(pieces)), rules_(std::move(rules)) {}
  Result<std::vector<TokenId>> encode(std::string_view, const EncodeOptions&) const override {
    return std::vector<TokenId>{};
  }
  int64_t vocab_size() const override { return static_cast<int64_t>(pieces_.size()); }
  std::string_view token(TokenId) const override { return "token"; }
  std::optional<TokenId> token_id(std::string_view) const override { return {}; }
  bool is_special(TokenId) const override { return false; }
  std::optional<TokenId> bos_id() const override { return {}; }
  std::optional<TokenId> eos_id() const override { return {}; }
  TokenPiece piece(TokenId id, bool, bool) const override { return pieces_[id]; }
  const JoinRules& join_rules() const override { return rules_; }

 private:
  std::vector<TokenPiece> pieces_;
  JoinRules rules_;
};

std::vector<std::string> stream(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  Detokenizer detokenizer(tokenizer);
  std::vector<std::string> out;
  for (TokenId id : ids) out.push_back(detokenizer.push(id));
  out.push_back(detokenizer.finish());
  return out;
}
using Strings = std::vector<std::string>;

TEST(Detokenizer, HoldsBytesBackUntilTheirCharacterIsComplete) {
  Pieces bytes({{"\xf0\x9f"}, {"\x98\x8a"}, {"a"}}, {});
  EXPECT_EQ(stream(bytes, {2, 0, 1, 2}), (Strings{"a", "", "😊", "a", ""}));
}

TEST(Detokenizer, ReplacesEachMaximalPartOfACharacterInAByteStream) {
  Pieces bytes({{"\xf0\x9f"}, {"a"}, {"\xff"}}, {});
  EXPECT_EQ(stream(bytes, {0, 1}), (Strings{"", "\ufffda", ""}));
  EXPECT_EQ(stream(bytes, {2, 2}), (Strings{"\ufffd", "\ufffd", ""}));
  EXPECT_EQ(stream(bytes, {0}), (Strings{"", "\ufffd"}));
}

TEST(Detokenizer, ReplacesEachByteOfByteTokens) {
  JoinRules rules;
  rules.repair_each_byte = true;
  Pieces bytes({{"\xf0", true}, {"\x9f", true}, {"a"}, {"\x98", true}, {"\x8a", true}}, rules);
  EXPECT_EQ(stream(bytes, {0, 1, 2}), (Strings{"", "", "\ufffd\ufffda", ""}));
  EXPECT_EQ(stream(bytes, {0, 1, 3, 4}), (Strings{"", "", "", "😊", ""}));
  EXPECT_EQ(stream(bytes, {0, 1}), (Strings{"", "", "\ufffd\ufffd"}));
}

TEST(Detokenizer, StripsTheEndsOfTheWholeText) {
  JoinRules rules;
  rules.strip = " ";
  rules.strip_left = 2;
  rules.strip_right = 1;
  Pieces words({{" "}, {"a"}, {"  b "}}, rules);
  EXPECT_EQ(stream(words, {0, 0, 0, 1}), (Strings{"", "", "", " a", ""}));
  EXPECT_EQ(stream(words, {2, 0, 1}), (Strings{"b", " ", " a", ""}));
  EXPECT_EQ(stream(words, {2}), (Strings{"b", ""}));
}

TEST(Decode, RefusesIdsOutOfRange) {
  Pieces words({{"a"}}, {});
  auto decoded = words.decode(std::vector<TokenId>{0, 1});
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().code, ErrorCode::kInvalid);
  EXPECT_EQ(decoded.error().message, "decode: id 1 at position 1 is not in [0, 1)");
}

}  // namespace
}  // namespace tokamak::text
