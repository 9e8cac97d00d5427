// SPDX-License-Identifier: Apache-2.0
// For tests: a session without a model, a tokenizer without a vocabulary file, a clock that is set.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tokamak/executor/kv_cache.h"
#include "tokamak/executor/request.h"
#include "tokamak/runtime/step_check.h"
#include "tokamak/text/tokenizer.h"

namespace tokamak::executor {

/// Its model: the next token is a function of all tokens before it, read back from the pages that
/// they were written to. A page that was lost, shared by mistake or written twice changes the
/// answer. With two steps under way, a step is computed as late as can be, when it is finished,
/// from a copy of what was launched.
class FakeSession : public runtime::Session {
 public:
  explicit FakeSession(const runtime::SessionInfo& info) : info_(info) {
    cache_.assign(info.num_pages * op::kPageTokens, -1);
    is_long_.assign(cache_.size(), false);
  }

  const runtime::SessionInfo& info() const override { return info_; }

  Result<void> launch(const runtime::Step& step) override {
    if (on_step) TKM_RETURN_IF_ERROR(on_step(step));
    const auto order = order_.check(step, info_);
    TKM_CHECK(order.ok(), "{}", order.error().text());
    ++num_steps;
    num_tokens += static_cast<int64_t>(step.token_ids.size());
    check(step);
    under_way_.emplace_back(step);
    order_.launched(step);
    num_followed += order_.under_way() > 1;
    return {};
  }

  Result<runtime::StepOutput> finish() override {
    order_.finish();
    Launched launched = std::move(under_way_.front());
    under_way_.pop_front();
    // What a step that fails leaves is anything.
    std::vector<int32_t> before = std::exchange(
        sampled_, std::vector<int32_t>(launched.logit_rows.size(), runtime::kUndecided));
    if (on_finish) TKM_RETURN_IF_ERROR(on_finish());
    for (int32_t& id : launched.token_ids) {
      if (id >= 0) continue;
      id = before.at(static_cast<size_t>(runtime::unknown_row(id)));
      TKM_CHECK(id != kPoison, "a token of a row that chose none");
      id = std::max(id, 0);
    }
    const runtime::Step step = launched.step();
    for (const auto& sequence : step.sequences) write(step, sequence);
    runtime::StepOutput output;
    sampled_.assign(step.logit_rows.size(), kPoison);
    for (const auto& sample : step.samples) {
      auto chosen = choose(step, sample);
      // The device says that it cannot choose, the host why, if it still can.
      if (!chosen.ok() || (undecided && undecided(sample))) {
        sampled_[sample.row] = runtime::kUndecided;
        ++num_undecided;
        if (order_.under_way() > 0 || !runtime::knows_history(sample.context)) {
          chosen = runtime::Sampled{.token = runtime::kUndecided};
          ++num_left_undecided;
        } else if (sample.context.given < 0 && runtime::reads_history(*sample.context.params)) {
          check_history(step, sample);
        }
      } else if (sample.context.given < 0) {
        sampled_[sample.row] = chosen->token;
      }
      output.samples.push_back(std::move(chosen));
    }
    return output;
  }

  /// What the model says after `tokens`.
  static int32_t next_token(std::span<const int32_t> tokens,
                            int64_t vocab_size,
                            uint64_t seed = 0) {
    return static_cast<int32_t>((hash(tokens, seed) >> 20) % static_cast<uint64_t>(vocab_size));
  }
  /// The logprob of `token` after `tokens`.
  static float logprob(std::span<const int32_t> tokens, int32_t token) {
    return -static_cast<float>((hash(tokens, 0) + static_cast<uint64_t>(token) * 7919) % 10007) /
           1000;
  }
  /// The first `count` tokens of the answer to `prompt`.
  static std::vector<int32_t> answer(std::vector<int32_t> prompt,
                                     int64_t count,
                                     int64_t vocab_size,
                                     uint64_t seed = 0) {
    const size_t first = prompt.size();
    for (int64_t i = 0; i < count; ++i) prompt.push_back(next_token(prompt, vocab_size, seed));
    return {prompt.begin() + static_cast<ptrdiff_t>(first), prompt.end()};
  }

  /// Called when a step is launched; an error is the step's, an exception leaves it.
  std::function<Result<void>(const runtime::Step&)> on_step;
  /// Called when a step is finished; an error is the step's, an exception leaves it.
  std::function<Result<void>()> on_finish;
  /// Called for each row: whether the device leaves it to the host.
  std::function<bool(const runtime::SampleRow&)> undecided;
  /// Called for each row; what it returns, if anything, is taken instead of the model's token.
  std::function<std::optional<Result<runtime::Sampled>>(const runtime::SampleRow&)> on_sample;
  bool uses_seeds = false;  ///< Seeds are part of what the token is a function of.
  int64_t num_steps = 0;
  int64_t num_tokens = 0;    ///< Computed in all steps.
  int64_t num_followed = 0;  ///< Steps that were launched with another one under way.
  int64_t num_undecided = 0, num_left_undecided = 0;  ///< Rows; of these, kUndecided ones.
  int64_t num_histories_read = 0;  ///< Rows that the host chose with penalties or bad words.

 private:
  static constexpr int32_t kPoison = INT32_MIN;

  /// A step with all that it points to.
  struct Launched {
    explicit Launched(const runtime::Step& step)
        : token_ids(step.token_ids.begin(), step.token_ids.end()),
          positions(step.positions.begin(), step.positions.end()),
          logit_rows(step.logit_rows.begin(), step.logit_rows.end()),
          sequences(step.sequences.begin(), step.sequences.end()),
          samples(step.samples.begin(), step.samples.end()) {
      for (const auto& sequence : sequences)
        pages.emplace_back(sequence.pages.begin(), sequence.pages.end());
      for (const auto& sample : samples) {
        prompts.emplace_back(sample.context.prompt.begin(), sample.context.prompt.end());
        outputs.emplace_back(sample.context.output.begin(), sample.context.output.end());
      }
    }
    runtime::Step step() {
      for (size_t i = 0; i < sequences.size(); ++i) sequences[i].pages = pages[i];
      for (size_t i = 0; i < samples.size(); ++i) {
        samples[i].context.prompt = prompts[i];
        samples[i].context.output = outputs[i];
      }
      return {token_ids, positions, sequences, logit_rows, samples};
    }

    std::vector<int32_t> token_ids, positions, logit_rows;
    std::vector<op::SequenceSpan> sequences;
    std::vector<runtime::SampleRow> samples;
    std::vector<std::vector<int32_t>> pages, prompts, outputs;
  };

  static uint64_t hash(std::span<const int32_t> tokens, uint64_t seed) {
    uint64_t hash = 1469598103934665603u ^ seed;
    for (int32_t token : tokens) hash = (hash ^ static_cast<uint64_t>(token)) * 1099511628211u;
    return hash;
  }

  void check(const runtime::Step& step) const {
    TKM_CHECK(static_cast<int64_t>(step.token_ids.size()) <= info_.max_step_tokens, "step tokens");
    TKM_CHECK(static_cast<int64_t>(step.sequences.size()) <= info_.max_sequences, "sequences");
    TKM_CHECK(static_cast<int64_t>(step.logit_rows.size()) <= info_.max_step_rows, "rows");
    TKM_CHECK(step.positions.size() == step.token_ids.size(), "positions");
    size_t row = 0;
    for (const auto& sequence : step.sequences) {
      TKM_CHECK(sequence.first_token == static_cast<int32_t>(row), "rows of sequences have gaps");
      row += sequence.num_tokens;
      TKM_CHECK(static_cast<int64_t>(sequence.pages.size()) ==
                    pages_for(sequence.context + sequence.num_tokens),
                "{} pages for {} tokens",
                sequence.pages.size(),
                sequence.context + sequence.num_tokens);
      TKM_CHECK(sequence.context + sequence.num_tokens <= info_.max_seq_len, "sequence too long");
    }
    TKM_CHECK(row == step.token_ids.size(), "rows without a sequence");
  }

  size_t slot(const op::SequenceSpan& sequence, int64_t position) const {
    return sequence.pages[position / op::kPageTokens] * op::kPageTokens +
           position % op::kPageTokens;
  }

  void write(const runtime::Step& step, const op::SequenceSpan& sequence) {
    for (int32_t i = 0; i < sequence.num_tokens; ++i) {
      TKM_CHECK(step.positions[sequence.first_token + i] == sequence.context + i, "positions");
      const int32_t token = step.token_ids[sequence.first_token + i];
      TKM_CHECK(token >= 0 && token < info_.vocab_size, "token {}", token);
      const size_t at = slot(sequence, sequence.context + i);
      cache_[at] = token;
      is_long_[at] = sequence.is_long;
    }
  }

  /// The tokens before the one that `sample` asks for, as they are in the pages.
  std::vector<int32_t> history(const runtime::Step& step, const runtime::SampleRow& sample) {
    const int32_t row = step.logit_rows[sample.row];
    std::vector<int32_t> tokens;
    for (const auto& sequence : step.sequences) {
      if (row < sequence.first_token || row >= sequence.first_token + sequence.num_tokens) continue;
      for (int64_t i = 0; i <= sequence.context + row - sequence.first_token; ++i) {
        const size_t at = slot(sequence, i);
        TKM_CHECK(is_long_[at] == sequence.is_long, "position {} is of another length", i);
        tokens.push_back(cache_[at]);
      }
    }
    TKM_CHECK(static_cast<int64_t>(tokens.size()) == sample.context.position, "position");
    return tokens;
  }

  /// The host samples by all that is in the pages.
  void check_history(const runtime::Step& step, const runtime::SampleRow& sample) {
    std::vector<int32_t> known(sample.context.prompt.begin(), sample.context.prompt.end());
    known.insert(known.end(), sample.context.output.begin(), sample.context.output.end());
    TKM_CHECK(known == history(step, sample), "the host samples by another history");
    ++num_histories_read;
  }

  Result<runtime::Sampled> choose(const runtime::Step& step, const runtime::SampleRow& sample) {
    if (on_sample) {
      if (auto chosen = on_sample(sample)) return std::move(*chosen);
    }
    const std::vector<int32_t> tokens = history(step, sample);
    const runtime::SampleContext& context = sample.context;
    runtime::Sampled sampled;
    sampled.token = context.given >= 0
                        ? context.given
                        : next_token(tokens, info_.vocab_size, uses_seeds ? context.seed : 0);
    sampled.logprob = logprob(tokens, sampled.token);
    if (runtime::names_logprobs(context)) add_named(tokens, *context.params, sampled);
    return sampled;
  }

  static void add_named(std::span<const int32_t> tokens,
                        const runtime::SamplingParams& params,
                        runtime::Sampled& sampled) {
    const std::set<int32_t> ids(params.logprob_token_ids.begin(), params.logprob_token_ids.end());
    for (int32_t id : ids) sampled.top_logprobs.push_back({id, logprob(tokens, id)});
    std::stable_sort(sampled.top_logprobs.begin(),
                     sampled.top_logprobs.end(),
                     [](const auto& a, const auto& b) { return a.logprob > b.logprob; });
  }

  runtime::SessionInfo info_;
  runtime::StepOrder order_;
  std::deque<Launched> under_way_;
  std::vector<int32_t> cache_;    // The token at each position of each page,
  std::vector<bool> is_long_;     // and whether it was computed as one of a long sequence.
  std::vector<int32_t> sampled_;  // By the last step, of each row of logits.
};

/// Token i is pieces[i]; the one named by `eos`, if any, is special.
class FakeTokenizer : public text::Tokenizer {
 public:
  explicit FakeTokenizer(std::vector<std::string> pieces, std::optional<int32_t> eos = {})
      : pieces_(std::move(pieces)), eos_(eos) {}
  Result<std::vector<text::TokenId>> encode(std::string_view text,
                                            const text::EncodeOptions&) const override {
    std::vector<text::TokenId> ids;
    while (!text.empty()) {
      const bool special = eos_ && text.starts_with(pieces_[*eos_]);
      ids.push_back(special ? *eos_ : token_id(text.substr(0, 1)).value_or(0));
      text.remove_prefix(special ? pieces_[*eos_].size() : 1);
    }
    return ids;
  }
  int64_t vocab_size() const override { return static_cast<int64_t>(pieces_.size()); }
  std::string_view token(text::TokenId id) const override { return pieces_[id]; }
  std::optional<text::TokenId> token_id(std::string_view token) const override {
    for (size_t i = 0; i < pieces_.size(); ++i) {
      if (pieces_[i] == token) return static_cast<text::TokenId>(i);
    }
    return {};
  }
  bool is_special(text::TokenId id) const override { return eos_ == id; }
  std::optional<text::TokenId> bos_id() const override { return {}; }
  std::optional<text::TokenId> eos_id() const override { return eos_; }
  text::TokenPiece piece(text::TokenId id, bool, bool) const override {
    return {pieces_[id], false};
  }
  const text::JoinRules& join_rules() const override { return rules_; }

 private:
  std::vector<std::string> pieces_;
  std::optional<int32_t> eos_;
  text::JoinRules rules_;
};

/// A tokenizer of `size` tokens: "a" to "z" in turn.
inline std::shared_ptr<const text::Tokenizer> letter_tokenizer(int64_t size,
                                                               std::optional<int32_t> eos = {}) {
  std::vector<std::string> pieces;
  for (int64_t i = 0; i < size; ++i)
    pieces.push_back(std::string(1, static_cast<char>('a' + i % 26)));
  return std::make_shared<FakeTokenizer>(std::move(pieces), eos);
}

/// Everything that a stream still has to give of each answer, as one response an answer.
template <typename Stream>
std::vector<Response> collect_answers(Stream& stream, int64_t num_answers) {
  std::vector<Response> all(num_answers);
  while (auto part = stream.next()) {
    Response& answer = all.at(part->index);
    answer.index = part->index;
    answer.tokens.insert(answer.tokens.end(), part->tokens.begin(), part->tokens.end());
    answer.text += part->text;
    for (auto& logprobs : part->logprobs) answer.logprobs.push_back(std::move(logprobs));
    for (auto& logprobs : part->prompt_logprobs)
      answer.prompt_logprobs.push_back(std::move(logprobs));
    TKM_CHECK(!answer.finish, "answer {} goes on after its last response", part->index);
    answer.finish = std::move(part->finish);
  }
  return all;
}

/// The same of a stream of one answer.
template <typename Stream>
Response collect(Stream& stream) {
  return std::move(collect_answers(stream, 1)[0]);
}

}  // namespace tokamak::executor
