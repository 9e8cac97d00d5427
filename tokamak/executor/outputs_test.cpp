// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/outputs.h"

#include <random>

#include <gtest/gtest.h>

#include "tokamak/executor/fake_session.h"

namespace tokamak::executor {
namespace {

struct Cut {
  std::string text;
  std::optional<size_t> stop;
  friend bool operator==(const Cut&, const Cut&) = default;
};

/// The definition: the stop that is complete first ends the text; the longest of those that end
/// there.
Cut oracle(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::optional<size_t> found;
    for (size_t i = 0; i < stops.size(); ++i) {
      if (!text.substr(0, end).ends_with(stops[i])) continue;
      if (!found || stops[i].size() > stops[*found].size()) found = i;
    }
    if (found) return {text.substr(0, end - stops[*found].size()), found};
  }
  return {text, {}};
}

/// The longest end of `text` that begins some stop: what has to be held back.
size_t beginning(const std::string& text, const std::vector<std::string>& stops) {
  size_t most = 0;
  for (const std::string& stop : stops) {
    for (size_t length = 1; length < stop.size() && length <= text.size(); ++length) {
      if (text.ends_with(stop.substr(0, length))) most = std::max(most, length);
    }
  }
  return most;
}

std::shared_ptr<const StopPatterns> patterns(const std::vector<std::string>& stops,
                                             bool included = false,
                                             const text::Tokenizer* hidden_by = nullptr) {
  return std::make_shared<const StopPatterns>(stops, included, hidden_by);
}

Cut run(const std::vector<std::string>& pieces, const std::vector<std::string>& stops) {
  StopTexts matcher(patterns(stops));
  std::string out, seen;
  for (const std::string& piece : pieces) {
    const auto stop = matcher.push(piece, true, out);
    if (stop) return {out, stop};
    seen += piece;
    EXPECT_EQ(out, seen.substr(0, seen.size() - beginning(seen, stops)))
        << "as much as possible is given out, and nothing that may be a stop";
  }
  matcher.finish(out);
  return {out, {}};
}

TEST(StopTexts, EndTheTextBeforeTheStopOverTheBordersOfPieces) {
  EXPECT_EQ(run({"Hello wor", "ld. Us", "er", ": hi"}, {"User:"}), (Cut{"Hello world. ", 0}));
  EXPECT_EQ(run({"Hello Us", "ed"}, {"User:"}), (Cut{"Hello Used", {}}));
  EXPECT_EQ(run({"abc"}, {"abc"}), (Cut{"", 0}));
  EXPECT_EQ(run({"ab"}, {"abc"}), (Cut{"ab", {}}));
}

TEST(StopTexts, TheOneThatIsCompleteFirstWinsAndThenTheLongest) {
  EXPECT_EQ(run({"xabcd"}, {"abcd", "bc"}), (Cut{"xa", 1}));
  EXPECT_EQ(run({"xabc"}, {"bc", "abc", "c"}), (Cut{"x", 1}));
  EXPECT_EQ(run({"aab"}, {"ab", "ab"}), (Cut{"a", 0}));
}

TEST(StopTexts, EverySplitOfRandomTextsGivesWhatTheDefinitionGives) {
  std::mt19937_64 random(2);
  auto word = [&](size_t longest) {
    std::string text(1 + random() % longest, 'a');
    for (char& c : text) c = static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> stops(1 + random() % 4);
    for (auto& stop : stops) stop = word(6);
    const std::string text = word(10);
    const Cut expected = oracle(text, stops);
    for (uint32_t split = 0; split < 1u << (text.size() - 1); ++split) {
      std::vector<std::string> pieces(1);
      for (size_t i = 0; i < text.size(); ++i) {
        pieces.back() += text[i];
        if (split >> i & 1) pieces.emplace_back();
      }
      ASSERT_EQ(run(pieces, stops), expected) << text << " split " << split;
    }
  }
}

TEST(StopTexts, StopsThatAreNotYetAllowedAreText) {
  StopTexts matcher(patterns({"abab"}));
  std::string out;
  EXPECT_FALSE(matcher.push("xabab", false, out));
  EXPECT_EQ(out, "xab") << "its end may begin another";
  EXPECT_EQ(matcher.push("ab", true, out), 0u);
  EXPECT_EQ(out, "xab");
}

Request request_with(runtime::SamplingParams sampling) {
  Request request;
  request.prompt = {0};
  request.sampling = std::move(sampling);
  return request;
}

/// Tokens 0…25 are letters, 26 is "é" in two halves with 27, 28 is <eos>.
std::shared_ptr<const text::Tokenizer> tokenizer() {
  std::vector<std::string> pieces;
  for (char c = 'a'; c <= 'z'; ++c) pieces.emplace_back(1, c);
  pieces.insert(pieces.end(), {"\xc3", "\xa9", "<eos>"});
  return std::make_shared<FakeTokenizer>(std::move(pieces), 28);
}

struct Said {
  std::string text;
  std::optional<Answer::End> end;
  int64_t num_tokens = 0;
};

Said say(const runtime::SamplingParams& sampling, const std::vector<int32_t>& tokens) {
  const std::vector<int64_t> eos = {28, 25};
  Answer answer(request_with(sampling), tokenizer(), eos);
  Said said;
  for (int32_t token : tokens) {
    said.end = answer.push(token, said.text);
    if (said.end) break;
  }
  answer.finish(said.text);
  said.num_tokens = answer.num_tokens();
  return said;
}

TEST(Answer, BansWhatIsSuppressedBesideWhatEndsItTooEarly) {
  const std::vector<int64_t> eos = {28};
  auto banned = [&](const runtime::SamplingParams& sampling,
                    std::vector<int32_t> always,
                    std::vector<int32_t> at_begin) {
    Answer answer(request_with(sampling), tokenizer(), eos);
    answer.suppress(always, at_begin);
    std::vector<std::vector<int32_t>> of_tokens;
    for (int64_t index = 0; index < 3; ++index) {
      const auto list = answer.banned(index);
      of_tokens.emplace_back(list.begin(), list.end());
    }
    return of_tokens;
  };
  using Lists = std::vector<std::vector<int32_t>>;
  EXPECT_EQ(banned({}, {}, {}), (Lists{{}, {}, {}}));
  EXPECT_EQ(banned({.min_tokens = 2}, {}, {}), (Lists{{28}, {28}, {}}));
  EXPECT_EQ(banned({}, {3, 4}, {}), (Lists{{3, 4}, {3, 4}, {3, 4}}));
  EXPECT_EQ(banned({}, {3}, {5}), (Lists{{3, 5}, {3}, {3}}));
  EXPECT_EQ(banned({.min_tokens = 1}, {3}, {5}), (Lists{{28, 3, 5}, {3}, {3}}));
  EXPECT_EQ(banned({.min_tokens = 2}, {3}, {}), (Lists{{28, 3}, {28, 3}, {3}}));
}

TEST(Answer, EndsWithAnyOfTheEndsOfSequence) {
  for (int32_t eos : {28, 25}) {
    const Said said = say({}, {0, 1, eos, 2});
    EXPECT_EQ(said.text, "ab");
    EXPECT_EQ(said.end->reason, FinishReason::kStop);
    EXPECT_EQ(said.end->stop_reason, StopReason{});
    EXPECT_EQ(said.num_tokens, 3);
  }
}

TEST(Answer, IgnoresTheEndOfSequenceIfAsked) {
  const Said said = say({.max_tokens = 4, .ignore_eos = true}, {0, 28, 25, 1, 2});
  EXPECT_EQ(said.text, "azb");
  EXPECT_EQ(said.end->reason, FinishReason::kLength);
}

TEST(Answer, EndsWithAStopTokenAndNamesIt) {
  const Said said = say({.stop_token_ids = {7, 2}}, {0, 2, 3});
  EXPECT_EQ(said.text, "a");
  EXPECT_EQ(said.end->reason, FinishReason::kStop);
  EXPECT_EQ(said.end->stop_reason, StopReason{2});
}

TEST(Answer, EndsBeforeAStopTextAndNamesIt) {
  const Said said = say({.stop = {"zz", "cd"}}, {0, 1, 2, 3, 4});
  EXPECT_EQ(said.text, "ab");
  EXPECT_EQ(said.end->stop_reason, StopReason{std::string("cd")});
  EXPECT_EQ(said.num_tokens, 4);
}

TEST(Answer, EndsAfterWhatStopsItIfAsked) {
  Said said = say({.stop = {"cd", "d"}, .include_stop_str_in_output = true}, {0, 1, 2, 3, 4});
  EXPECT_EQ(said.text, "abcd");
  EXPECT_EQ(said.end->stop_reason, StopReason{std::string("cd")});
  said = say({.stop_token_ids = {2}, .include_stop_str_in_output = true}, {0, 2, 3});
  EXPECT_EQ(said.text, "ac");
  EXPECT_EQ(said.end->stop_reason, StopReason{2});
  said = say({.include_stop_str_in_output = true}, {0, 28});
  EXPECT_EQ(said.text, "a") << "a special token has no text";
}

TEST(StopTexts, ThatAreIncludedHoldNothingBack) {
  StopTexts matcher(patterns({"abc"}, true));
  std::string out;
  EXPECT_FALSE(matcher.push("xab", true, out));
  EXPECT_EQ(out, "xab");
  EXPECT_EQ(matcher.push("cdef", true, out), 0u);
  EXPECT_EQ(out, "xabc");
}

/// A special token in the text of a stop: a stop text is compared with all that was said.
TEST(Answer, EndsBeforeAStopTextThatIsASpecialToken) {
  Said said = say({.ignore_eos = true, .stop = {"x", "<eos>", "y"}}, {0, 1, 28, 2});
  EXPECT_EQ(said.text, "ab");
  EXPECT_EQ(said.end->reason, FinishReason::kStop);
  EXPECT_EQ(said.end->stop_reason, StopReason{std::string("<eos>")});
  EXPECT_EQ(said.num_tokens, 3);
  said = say({.ignore_eos = true, .stop = {"b<eos>c"}}, {0, 1, 28, 2, 3});
  EXPECT_EQ(said.text, "a") << "with text around it";
  EXPECT_EQ(said.end->stop_reason, StopReason{std::string("b<eos>c")});
  said = say({.max_tokens = 5, .ignore_eos = true, .stop = {"b<eos>c"}}, {0, 1, 28, 3, 4});
  EXPECT_EQ(said.text, "abde") << "what was held back comes out, the token does not";
  said = say({.max_tokens = 3, .ignore_eos = true, .stop = {"<eos>"}}, {0, 1, 28});
  EXPECT_EQ(said.end->reason, FinishReason::kStop) << "at max_tokens";
  said = say({.min_tokens = 3, .ignore_eos = true, .stop = {"<eos>"}}, {0, 28, 1, 28, 2});
  EXPECT_EQ(said.text, "ab") << "before min_tokens it is passed over as other stops are";
  EXPECT_EQ(said.num_tokens, 4);
}

TEST(Answer, EndsAfterAStopTextThatIsASpecialTokenIfAsked) {
  runtime::SamplingParams sampling{.stop = {"<eos>"}, .include_stop_str_in_output = true};
  sampling.ignore_eos = true;
  EXPECT_EQ(say(sampling, {0, 28, 1}).text, "a<eos>");
  sampling.stop = {"b<eos>c"};
  EXPECT_EQ(say(sampling, {0, 1, 28, 2, 3}).text, "ab<eos>c");
  sampling.max_tokens = 4;
  EXPECT_EQ(say(sampling, {0, 1, 28, 3}).text, "abd");
}

TEST(Answer, AStopTextWithoutSpecialTokensIsComparedWithWhatIsShown) {
  const Said said = say({.ignore_eos = true, .stop = {"<eos>", "bc"}}, {0, 1, 25, 2, 28});
  EXPECT_EQ(said.text, "abzc");
  // The hidden token stands between the two letters of a stop.
  StopTexts matcher(patterns({"bc", "<eos>x"}, false, tokenizer().get()));
  std::string out;
  EXPECT_FALSE(matcher.push("ab", true, out));
  EXPECT_FALSE(matcher.push_hidden("<eos>", true, out));
  EXPECT_EQ(out, "a");
  EXPECT_EQ(matcher.push("c", true, out), 0u);
  EXPECT_EQ(out, "a");
}

TEST(Answer, ThatShowsSpecialTokensEndsBeforeThem) {
  Request request = request_with({.ignore_eos = true, .stop = {"<eos>"}});
  request.skip_special_tokens = false;
  Answer answer(request, tokenizer(), {});
  std::string text;
  EXPECT_FALSE(answer.push(0, text));
  EXPECT_TRUE(answer.push(28, text));
  EXPECT_EQ(text, "a");
}

TEST(Answer, AtMaxTokensWhatWasHeldBackComesOut) {
  const Said said = say({.max_tokens = 2, .stop = {"bcd"}}, {0, 1});
  EXPECT_EQ(said.text, "ab");
  EXPECT_EQ(said.end->reason, FinishReason::kLength);
}

TEST(Answer, ACharacterIsWholeOrReplacedAtTheEnd) {
  EXPECT_EQ(say({}, {0, 26, 27}).text, "aé");
  EXPECT_EQ(say({.max_tokens = 2}, {0, 26}).text, "a\ufffd");
  EXPECT_EQ(say({}, {0, 26}).text, "a\ufffd") << "cancelled in the middle of a character";
  EXPECT_EQ(say({.stop = {"é"}}, {0, 26, 27}).text, "a");
}

TEST(Answer, NothingFollowsAStopThatIsFoundInTheMiddleOfAPiece) {
  // The stop is complete while half a character is held back.
  const std::vector<int64_t> none;
  auto pieces = std::make_shared<FakeTokenizer>(std::vector<std::string>{"b!\xc3"});
  Answer answer(request_with({.stop = {"!"}}), pieces, none);
  std::string text;
  EXPECT_TRUE(answer.push(0, text));
  answer.finish(text);
  EXPECT_EQ(text, "b");
}

TEST(Answer, BeforeMinTokensEndsAreBannedAndStopsAreText) {
  const std::vector<int64_t> eos = {28};
  Answer answer(
      request_with({.min_tokens = 2, .stop = {"b"}, .stop_token_ids = {5}}), tokenizer(), eos);
  std::string text;
  EXPECT_EQ(answer.banned(answer.num_tokens()).size(), 2u);
  EXPECT_FALSE(answer.push(1, text));
  EXPECT_EQ(answer.banned(answer.num_tokens()).size(), 2u);
  EXPECT_FALSE(answer.push(0, text));
  EXPECT_EQ(answer.banned(answer.num_tokens()).size(), 0u);
  EXPECT_TRUE(answer.push(1, text));
  EXPECT_EQ(text, "ba");
}

/// As SentencePiece has it: a space before each word, and none at the start of a text.
class WordTokenizer : public FakeTokenizer {
 public:
  WordTokenizer() : FakeTokenizer({" one", " two", "\xc3"}) {
    rules_.strip = " ";
    rules_.strip_left = 1;
  }
  const text::JoinRules& join_rules() const override { return rules_; }

 private:
  text::JoinRules rules_;
};

TEST(Answer, ItsTextGoesOnWhereThePromptEnded) {
  Request request;
  const std::vector<int64_t> none;
  for (int32_t last : {0, 2}) {
    request.prompt = {1, last};
    Answer answer(request, std::make_shared<WordTokenizer>(), none);
    std::string text;
    answer.push(0, text);
    answer.push(1, text);
    EXPECT_EQ(text, " one two") << "half a character of the prompt stays there";
  }
}

TEST(Answer, WithoutATokenizerThereAreTokensAndNoText) {
  const std::vector<int64_t> eos = {28};
  Answer answer(request_with({}), nullptr, eos);
  std::string text;
  EXPECT_FALSE(answer.push(3, text));
  EXPECT_TRUE(answer.push(28, text));
  answer.finish(text);
  EXPECT_EQ(text, "");
}

TEST(Answer, ATokenThatTheTokenizerDoesNotKnowHasNoText) {
  EXPECT_EQ(say({}, {0, 999, 1}).text, "ab");
}

}  // namespace
}  // namespace tokamak::executor
