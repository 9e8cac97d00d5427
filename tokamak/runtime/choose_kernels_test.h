// SPDX-License-Identifier: Apache-2.0
// What the kernels that choose tokens must do, for tests that run them on a GPU or on the host:
// random batches, packed as a session packs them, against the definition written plainly and
// against runtime::sample().
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "tokamak/runtime/sampling_block.h"

namespace tokamak::runtime {

inline constexpr float kNone = -std::numeric_limits<float>::infinity();

/// A decode step: a row of logits and a token to choose for each sequence.
struct ChooseCase {
  int64_t vocab = 0;
  std::vector<float> logits;               ///< [sequences, vocab]
  std::vector<std::vector<int32_t>> said;  ///< All tokens of each sequence.
  std::vector<size_t> prompt_sizes;        ///< Of these, the first.
  std::vector<SamplingParams> params;      ///< Of each.
  std::vector<std::vector<int32_t>> banned;
  std::vector<int32_t> given;  ///< -1: chosen.

  int64_t max_pages = 0;
  std::vector<int32_t> page_table;  ///< [sequences, max_pages]
  std::vector<int32_t> pages;       ///< [pages, 64]

  size_t size() const { return said.size(); }
  std::span<const float> row(size_t s) const {
    return std::span(logits).subspan(s * static_cast<size_t>(vocab), static_cast<size_t>(vocab));
  }
  std::span<float> row(size_t s) {
    return std::span(logits).subspan(s * static_cast<size_t>(vocab), static_cast<size_t>(vocab));
  }
  SampleContext context(size_t s) const {
    const std::span<const int32_t> all(said[s]);
    return {.params = &params[s],
            .prompt = all.first(prompt_sizes[s]),
            .output = all.subspan(prompt_sizes[s]),
            .banned = banned[s],
            .seed = 1000 + s,
            .position = std::ssize(all),
            .given = given[s]};
  }
  void add(std::vector<int32_t> tokens, size_t prompt_size, SamplingParams settings) {
    said.push_back(std::move(tokens));
    prompt_sizes.push_back(prompt_size);
    params.push_back(std::move(settings));
    banned.emplace_back();
    given.push_back(-1);
  }

  /// Sequences lie in pages in any order; what no token was written to has another one.
  void lay_out(std::mt19937& random) {
    max_pages = 0;
    int64_t num_pages = 3;
    for (const auto& tokens : said) {
      const int64_t own = (std::ssize(tokens) + 63) / 64;
      max_pages = std::max(max_pages, own + 1);
      num_pages += own;
    }
    std::vector<int32_t> order(static_cast<size_t>(num_pages));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    pages.resize(order.size() * 64);
    for (int32_t& token : pages) token = static_cast<int32_t>(random() % vocab);
    page_table.assign(size() * static_cast<size_t>(max_pages), 0);
    for (size_t s = 0; s < size(); ++s) {
      for (size_t i = 0; i < said[s].size(); ++i) {
        int32_t& page = page_table[s * static_cast<size_t>(max_pages) + i / 64];
        if (i % 64 == 0) {
          page = order.back();
          order.pop_back();
        }
        pages[static_cast<size_t>(page) * 64 + i % 64] = said[s][i];
      }
    }
  }
};

/// The step of a case, as the executor would launch it.
class ChooseStep {
 public:
  explicit ChooseStep(const ChooseCase& asked) {
    for (size_t s = 0; s < asked.size(); ++s) {
      const auto row = static_cast<int32_t>(s);
      const auto last = static_cast<int32_t>(asked.said[s].size()) - 1;
      ids_.push_back(asked.said[s].back());
      positions_.push_back(last);
      rows_.push_back(row);
      sequences_.push_back({row, 1, last, {}});
      samples_.push_back({row, asked.context(s)});
    }
  }
  Step step() const { return {ids_, positions_, sequences_, rows_, samples_}; }

 private:
  std::vector<int32_t> ids_, positions_, rows_;
  std::vector<op::SequenceSpan> sequences_;
  std::vector<SampleRow> samples_;
};

struct Choices {
  std::vector<int32_t> tokens;               ///< Of each sequence.
  std::vector<kernels::cuda::Score> scores;  ///< Of those that ask.
  std::vector<float> adjusted;               ///< Rows of those whose logits change.
};

/// The logits that a token is chosen by, as SamplingParams defines them.
inline std::vector<float> adjusted_logits(const ChooseCase& asked, size_t s) {
  const SampleContext context = asked.context(s);
  const SamplingParams& p = *context.params;
  const std::set<int32_t> seen(asked.said[s].begin(), asked.said[s].end());
  std::map<int32_t, int> count;
  for (int32_t token : context.output) ++count[token];
  std::vector<float> out(asked.row(s).begin(), asked.row(s).end());
  for (const LogitBias& bias : p.logit_bias) out[bias.token] += bias.bias;
  for (int32_t token : seen) {
    float& logit = out[token];
    if (logit > 0)
      logit = std::min(logit / p.repetition_penalty, std::numeric_limits<float>::max());
    else
      logit *= p.repetition_penalty;
  }
  for (auto [token, times] : count) {
    const float product = static_cast<float>(times) * p.frequency_penalty;
    const float whole = product + p.presence_penalty;
    out[token] -= whole;
  }
  for (int32_t token : context.banned) out[token] = kNone;
  for (const auto& word : p.bad_words) {
    const size_t said = word.size() - 1;
    if (said <= context.output.size() &&
        std::equal(word.begin(), word.end() - 1, context.output.end() - static_cast<long>(said)))
      out[word.back()] = kNone;
  }
  if (!p.allowed_token_ids.empty()) {
    const std::set<int32_t> allowed(p.allowed_token_ids.begin(), p.allowed_token_ids.end());
    for (int32_t token = 0; token < static_cast<int32_t>(out.size()); ++token) {
      if (!allowed.contains(token)) out[token] = kNone;
    }
  }
  for (size_t i = 0; i < out.size(); ++i) {
    if (!(asked.row(s)[i] < -kNone)) out[i] = std::nanf("");
  }
  return out;
}

/// Why `score` is not that of `token` and the best ones, or an empty text.
inline std::string fault_of_score(std::span<const float> logits,
                                  int32_t token,
                                  int64_t count,
                                  const kernels::cuda::Score& score) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(
      order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  const double max = logits[order[0]];
  double mass = 0;
  for (float logit : logits) mass += std::exp(logit - max);
  auto near = [&](float got, int32_t of) {
    const double wanted = std::max(logits[of] - max - std::log(mass), double{kLeastLogprob});
    return std::abs(got - wanted) <= 1e-5 * std::max(1.0, std::abs(wanted));
  };
  if (!near(score.logprob, token)) return fmt::format("token {}: {}", token, score.logprob);
  while (!order.empty() && logits[order.back()] == kNone) order.pop_back();
  const int64_t wanted = std::min(count, std::ssize(order));
  if (score.count != wanted) return fmt::format("{} tokens, wanted {}", score.count, wanted);
  for (int64_t i = 0; i < wanted; ++i) {
    const int32_t best = order[static_cast<size_t>(i)];
    if (score.tokens[i] != best)
      return fmt::format("best token {} is {}, wanted {}", i, score.tokens[i], best);
    if (!near(score.logprobs[i], best))
      return fmt::format("best token {}: {}", i, score.logprobs[i]);
  }
  return "";
}

struct ChooseCounts {
  int64_t rows = 0, left = 0, other_draws = 0;
};

/// Holds what was chosen against the definition. Draws may fall to a neighbour by rounding.
inline void expect_choices(const ChooseCase& asked, const Choices& got, ChooseCounts& counts) {
  size_t adjusted = 0, scored = 0;
  std::vector<float> scratch;
  for (size_t s = 0; s < asked.size(); ++s) {
    SCOPED_TRACE(fmt::format("vocab {} row {}", asked.vocab, s));
    const SampleContext context = asked.context(s);
    const auto expected = sample(asked.row(s), context, scratch);
    ++counts.rows;
    if (context.given < 0 && changes_logits(context)) {
      const std::vector<float> wanted = adjusted_logits(asked, s);
      const float* row = got.adjusted.data() + adjusted++ * static_cast<size_t>(asked.vocab);
      int64_t differ = 0;
      for (size_t i = 0; i < wanted.size(); ++i) {
        const bool same = wanted[i] == row[i] || (std::isnan(wanted[i]) && std::isnan(row[i]));
        if (!same && ++differ < 4)
          ADD_FAILURE() << "token " << i << " of logit " << asked.row(s)[i] << ": " << row[i]
                        << ", wanted " << wanted[i];
      }
      EXPECT_EQ(differ, 0);
    }
    int32_t token = context.given;
    if (token < 0) {
      token = got.tokens[s];
      if (!expected.ok()) {
        EXPECT_EQ(token, kUndecided) << expected.error().text();
      } else if (token == kUndecided) {
        ++counts.left;
      } else if (is_greedy(*context.params)) {
        EXPECT_EQ(token, expected->token);
      } else {
        counts.other_draws += token != expected->token;
      }
    }
    if (!asks_logprobs(context)) continue;
    const kernels::cuda::Score& score = got.scores[scored++];
    if (!expected.ok() || token < 0) {
      EXPECT_EQ(score.count, -1);
    } else if (score.count < 0) {
      ++counts.left;
    } else {
      const int64_t best =
          context.given >= 0 ? context.params->prompt_logprobs : context.params->logprobs;
      EXPECT_EQ(fault_of_score(asked.row(s), token, best, score), "");
    }
  }
}

/// Settings of every kind at random; tokens that matter are among the first 40.
inline SamplingParams random_settings(std::span<const int32_t> said,
                                      int64_t vocab,
                                      std::mt19937& random) {
  auto below = [&](int64_t limit) { return static_cast<int64_t>(random() % limit); };
  auto chance = [&](int64_t of) { return below(of) == 0; };
  auto token = [&] {
    return static_cast<int32_t>(below(chance(3) ? vocab : std::min<int64_t>(vocab, 40)));
  };
  SamplingParams p;
  p.temperature = chance(2) ? 0.0f : 0.8f;
  if (chance(3)) p.top_k = 1 + below(60);
  if (chance(3)) p.top_p = 0.9f;
  if (chance(4)) p.min_p = 0.05f;
  if (chance(3)) p.repetition_penalty = chance(2) ? 1.3f : 0.7f;
  if (chance(3)) p.frequency_penalty = chance(2) ? 0.37f : -0.4f;
  if (chance(3)) p.presence_penalty = chance(2) ? 1.1f : -0.3f;
  if (chance(2)) p.logprobs = below(21);
  if (chance(3)) {
    std::set<int32_t> named;
    for (int64_t i = 0, count = 1 + below(chance(4) ? 1024 : 8); i < count; ++i) {
      const int32_t biased = token();
      if (named.insert(biased).second)
        p.logit_bias.push_back({biased, static_cast<float>(below(2001) - 1000) / 100});
    }
  }
  for (int64_t i = 0, count = chance(3) ? below(20) : 0; i < count; ++i) {
    // They begin as the sequence ends, maybe in the prompt, but for one token in half of them.
    const auto size = static_cast<size_t>(below(std::min<int64_t>(64, std::ssize(said) + 1)));
    std::vector<int32_t> word(said.end() - static_cast<long>(size), said.end());
    if (size > 0 && chance(2)) word[static_cast<size_t>(below(std::ssize(word)))] = token();
    word.push_back(token());
    p.bad_words.push_back(std::move(word));
  }
  for (int64_t i = 0, count = chance(5) ? 1 + below(vocab) : 0; i < count; ++i)
    p.allowed_token_ids.push_back(token());
  return p;
}

/// `longest` tokens of history at most; the first 40 tokens are likely, and said often.
inline ChooseCase random_case(int64_t vocab, size_t rows, int64_t longest, std::mt19937& random) {
  ChooseCase out{.vocab = vocab};
  auto below = [&](int64_t limit) { return static_cast<int64_t>(random() % limit); };
  std::normal_distribution<float> normal(-2, 2);
  out.logits.resize(rows * static_cast<size_t>(vocab));
  for (size_t s = 0; s < rows; ++s) {
    std::span<float> row = out.row(s);
    const bool coarse = below(4) == 0;  // Values that tie.
    for (size_t i = 0; i < row.size(); ++i) {
      row[i] = normal(random) + (i < 40 ? 5.0f : 0.0f);
      if (coarse) row[i] = std::round(row[i] * 4) / 4;
      if (below(50) == 0 && vocab > 1) row[i] = kNone;
    }
    std::vector<int32_t> said(static_cast<size_t>(1 + below(longest)));
    for (int32_t& token : said)
      token = static_cast<int32_t>(below(below(3) ? std::min<int64_t>(vocab, 40) : vocab));
    const auto prompt = static_cast<size_t>(1 + below(std::ssize(said)));
    SamplingParams settings = random_settings(said, vocab, random);
    out.add(std::move(said), prompt, std::move(settings));
    for (int64_t i = 0, count = below(4) ? 0 : 1 + below(below(3) ? 5 : 700); i < count; ++i)
      out.banned.back().push_back(static_cast<int32_t>(below(vocab)));
    if (below(6) == 0) {
      out.given.back() = static_cast<int32_t>(below(vocab));
      out.params.back().prompt_logprobs = below(21);
    }
  }
  out.lay_out(random);
  return out;
}

/// Rows that no token can be taken from, or no score, among some that are fine.
inline ChooseCase broken_case(int64_t vocab, std::mt19937& random) {
  ChooseCase out = random_case(vocab, 12, 200, random);
  const auto last = static_cast<size_t>(vocab - 1);
  for (size_t s = 0; s < out.size(); ++s) {
    SamplingParams& p = out.params[s];
    p = {.temperature = s % 2 ? 0.0f : 1.0f, .presence_penalty = 0.5f, .logprobs = 3};
    out.banned[s] = {0};
    out.given[s] = -1;
    if (s % 3 == 0) p.presence_penalty = 0;
  }
  out.row(1)[5] = std::nanf("");
  out.row(2)[0] = std::nanf("");  // Which is banned.
  out.row(3)[last] = -kNone;
  std::fill(out.row(4).begin(), out.row(4).end(), kNone);
  std::fill(out.row(5).begin(), out.row(5).end(), 1.25f);  // All tie.
  std::fill(out.row(6).begin(), out.row(6).end(), kNone);
  out.row(6)[last] = -7;
  out.params[7].allowed_token_ids = {0};  // Which is banned.
  out.row(8)[last] = std::numeric_limits<float>::max();
  out.params[8].repetition_penalty = 0.01f;
  out.said[8].back() = static_cast<int32_t>(last);
  out.row(9)[3] = -0.0f;
  out.row(9)[4] = 0.0f;
  for (size_t i = 5; i <= last; ++i) out.row(9)[i] = -1 - static_cast<float>(i) / 100;
  out.params[9] = {.temperature = 0, .logprobs = 20, .logit_bias = {{0, -50}, {1, -50}, {2, -50}}};
  out.params[10] = {.temperature = 1, .top_k = 700, .presence_penalty = 1};
  out.lay_out(random);
  return out;
}

/// Of broken_case(): what the kernels decide of it and what they leave.
inline void expect_broken_choices(const ChooseCase& asked, const Choices& got) {
  ChooseCounts counts;
  expect_choices(asked, got, counts);
  EXPECT_EQ(got.tokens[10], kUndecided) << "top_k beyond what a block of threads bounds";
  EXPECT_EQ(got.scores[5].count, -1) << "too many tie";
  EXPECT_EQ(got.tokens[6], asked.vocab - 1);
  EXPECT_EQ(got.tokens[9], 3) << "0 and -0 tie";
}

}  // namespace tokamak::runtime
