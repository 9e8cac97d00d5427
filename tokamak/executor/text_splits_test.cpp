// SPDX-License-Identifier: Apache-2.0
// However a model cuts its text into tokens, the client gets the same answer, in whole characters.
#include <gtest/gtest.h>

#include "tokamak/executor/fake_session.h"
#include "tokamak/executor/outputs.h"
#include "tokamak/text/unicode.h"

namespace tokamak::executor {
namespace {

struct Said {
  std::string text;
  std::optional<Answer::End> end;
};

/// The answer to `pieces`, each of them one token; checks that what comes out is whole characters.
Said say(const runtime::SamplingParams& sampling, std::vector<std::string> pieces) {
  Request request;
  request.prompt = {0};
  request.sampling = sampling;
  request.sampling.max_tokens = 1000;
  const auto count = static_cast<int32_t>(pieces.size());
  pieces.insert(pieces.begin(), "?");
  const std::vector<int64_t> no_eos;
  Answer answer(request, std::make_shared<FakeTokenizer>(std::move(pieces)), no_eos);
  Said said;
  for (int32_t token = 1; token <= count && !said.end; ++token) {
    std::string piece;
    said.end = answer.push(token, piece);
    EXPECT_FALSE(text::find_invalid_utf8(piece));
    said.text += piece;
  }
  answer.finish(said.text);
  return said;
}

/// Every way to cut `text` into tokens must answer `expected` and name `stop`.
void expect_all_splits(const std::string& text,
                       const runtime::SamplingParams& sampling,
                       const std::string& expected,
                       const std::optional<std::string>& stop) {
  SCOPED_TRACE(text);
  for (uint32_t split = 0; split < 1u << (text.size() - 1); ++split) {
    std::vector<std::string> pieces(1);
    for (size_t i = 0; i < text.size(); ++i) {
      pieces.back() += text[i];
      if (i + 1 < text.size() && (split >> i & 1)) pieces.emplace_back();
    }
    const Said said = say(sampling, pieces);
    ASSERT_EQ(said.text, expected) << "split " << split;
    ASSERT_EQ(said.end.has_value(), stop.has_value()) << "split " << split;
    if (!stop) continue;
    ASSERT_EQ(said.end->stop_reason, StopReason{*stop}) << "split " << split;
  }
}

TEST(TextSplits, CharactersOfSeveralBytesAreNeverBroken) {
  expect_all_splits("aé漢😊b", {}, "aé漢😊b", {});
  expect_all_splits("é\xe6\xbc", {}, "é\ufffd", {});
  expect_all_splits("\xf0\x9f\xffz", {}, "\ufffd\ufffdz", {});
}

TEST(TextSplits, AStopIsFoundAcrossTokensAndNotShown) {
  expect_all_splits("ok\nUser: hi", {.stop = {"\nUser:"}}, "ok", "\nUser:");
  expect_all_splits("aabaabaac!", {.stop = {"aabaac"}}, "aab", "aabaac");
  expect_all_splits("1漢。x😊y", {.stop = {"😊", "。y"}}, "1漢。x", "😊");
  expect_all_splits("abcabd", {.stop = {"abce", "bd"}}, "abca", "bd");
}

TEST(TextSplits, AStopThatIsIncludedEndsTheText) {
  expect_all_splits("ok\nUser: hi",
                    {.stop = {"\nUser:"}, .include_stop_str_in_output = true},
                    "ok\nUser:",
                    "\nUser:");
  expect_all_splits("1漢。x", {.stop = {"漢"}, .include_stop_str_in_output = true}, "1漢", "漢");
}

/// The piece of its last token is one token late.
class LateTokenizer : public FakeTokenizer {
 public:
  LateTokenizer() : FakeTokenizer({"?", "a", "b"}) { rules_.looks_ahead = true; }
  const text::JoinRules& join_rules() const override { return rules_; }

 private:
  text::JoinRules rules_;
};

TEST(TextSplits, AStopIsNotShownWhereTheAnswerIsEndedFromOutside) {
  Request request;
  request.prompt = {0};
  request.sampling = {.max_tokens = 100, .stop = {"ab"}};
  Answer answer(request, std::make_shared<LateTokenizer>(), {});
  std::string text;
  for (int32_t token : {2, 1, 2}) EXPECT_FALSE(answer.push(token, text));
  answer.finish(text);
  EXPECT_EQ(text, "b");
}

TEST(TextSplits, WhatOnlyBeginsAStopComesOutInTheEnd) {
  expect_all_splits("a\nUser x\nU", {.stop = {"\nUser:"}}, "a\nUser x\nU", {});
  expect_all_splits("ab\xe6\xbc", {.stop = {"b漢"}}, "ab\ufffd", {});
}

}  // namespace
}  // namespace tokamak::executor
