// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/sequence_runner.h"

#include <algorithm>

namespace tokamak::api {
namespace {

runtime::SampleRow greedy_row(size_t row) {
  static const runtime::SamplingParams kGreedy{.temperature = 0};
  return {static_cast<int32_t>(row), {.params = &kGreedy}};
}

}  // namespace

Result<SequenceRunner> SequenceRunner::make(runtime::Session& session,
                                            int64_t batch,
                                            int64_t max_tokens) {
  const runtime::SessionInfo& info = session.info();
  int64_t pages = (max_tokens + op::kPageTokens - 1) / op::kPageTokens;
  if (max_tokens > info.max_seq_len)
    return base::invalid(
        fmt::format("{} tokens are more than the model's {}", max_tokens, info.max_seq_len));
  if (batch < 1 || batch > info.max_sequences || batch * pages > info.num_pages) {
    return base::invalid(fmt::format(
        "{} sequences of {} tokens need {} pages; the session takes {} sequences and {} pages",
        batch,
        max_tokens,
        batch * pages,
        info.max_sequences,
        info.num_pages));
  }
  SequenceRunner runner(session, batch);
  runner.max_tokens_ = max_tokens;
  int32_t page = 0;
  for (int64_t s = 0; s < batch; ++s) {
    runner.pages_.emplace_back();
    for (int64_t i = 0; i < pages; ++i) runner.pages_.back().push_back(page++);
    runner.known_.emplace_back();
  }
  return runner;
}

Result<void> SequenceRunner::append(std::span<const int32_t> tokens,
                                    bool all_rows,
                                    const RowSink& row) {
  return append_chunks(tokens, {.all_rows = all_rows, .row = row});
}

Result<void> SequenceRunner::append_greedy(std::span<const int32_t> tokens,
                                           std::span<int32_t> next) {
  return append_chunks(tokens, {.next = next});
}

Result<void> SequenceRunner::append_chunks(std::span<const int32_t> tokens, const Sinks& sinks) {
  int64_t per_sequence = static_cast<int64_t>(tokens.size()) / batch_;
  if (length_ + per_sequence > max_tokens_)
    return base::invalid(
        fmt::format("{} tokens after {} pass the limit of {}", per_sequence, length_, max_tokens_));
  const runtime::SessionInfo& info = session_->info();
  TKM_RETURN_IF_ERROR(follow_length(length_ + per_sequence));
  int64_t largest = std::max<int64_t>(1, info.max_step_tokens / batch_);
  if (sinks.all_rows)
    largest = std::max<int64_t>(1, std::min(largest, info.max_step_rows / batch_));
  for (int64_t begin = 0; begin < per_sequence; begin += largest) {
    TKM_RETURN_IF_ERROR(
        chunk(tokens, per_sequence, begin, std::min(largest, per_sequence - begin), sinks));
  }
  return {};
}

Result<void> SequenceRunner::follow_length(int64_t length) {
  const int64_t after = session_->info().long_sequence_after;
  if (after == 0 || is_long_ || length <= after) return {};
  is_long_ = true;
  if (length_ == 0) return {};
  std::vector<int32_t> tokens;
  for (auto& sequence : known_) {
    tokens.insert(tokens.end(), sequence.begin(), sequence.end());
    sequence.clear();
  }
  length_ = 0;
  return append_chunks(tokens, {});
}

Result<void> SequenceRunner::chunk(std::span<const int32_t> tokens,
                                   int64_t per_sequence,
                                   int64_t begin,
                                   int64_t count,
                                   const Sinks& sinks) {
  std::vector<int32_t> ids, positions, rows;
  std::vector<op::SequenceSpan> sequences;
  bool last_chunk = begin + count == per_sequence;
  for (int64_t s = 0; s < batch_; ++s) {
    sequences.push_back({static_cast<int32_t>(ids.size()),
                         static_cast<int32_t>(count),
                         static_cast<int32_t>(length_),
                         pages_[static_cast<size_t>(s)],
                         is_long_});
    for (int64_t i = 0; i < count; ++i) {
      if (sinks.all_rows || (last_chunk && i == count - 1))
        rows.push_back(static_cast<int32_t>(ids.size()));
      ids.push_back(tokens[static_cast<size_t>(s * per_sequence + begin + i)]);
      positions.push_back(static_cast<int32_t>(length_ + i));
      if (may_become_long()) known_[static_cast<size_t>(s)].push_back(ids.back());
    }
  }
  std::vector<runtime::SampleRow> samples;
  for (size_t r = 0; r < rows.size() && !sinks.next.empty(); ++r) samples.push_back(greedy_row(r));
  TKM_ASSIGN(runtime::StepOutput out,
             session_->step({.token_ids = ids,
                             .positions = positions,
                             .sequences = sequences,
                             .logit_rows = rows,
                             .samples = samples,
                             .wants_logits = sinks.row != nullptr}));
  size_t vocab = static_cast<size_t>(session_->info().vocab_size);
  auto logits = static_cast<const float*>(out.logits.data);
  for (size_t r = 0; r < out.samples.size(); ++r) {
    if (!out.samples[r].ok()) return out.samples[r].error();
    sinks.next[r] = out.samples[r]->token;
  }
  for (size_t r = 0; r < rows.size() && sinks.row; ++r)
    sinks.row(rows[r] / count, length_ + rows[r] % count, {logits + r * vocab, vocab});
  length_ += count;
  return {};
}

Result<void> SequenceRunner::decode_greedy(int64_t count, std::span<int32_t> next) {
  if (length_ + count > max_tokens_)
    return base::invalid(
        fmt::format("{} tokens after {} pass the limit of {}", count, length_, max_tokens_));
  std::vector<int32_t> tokens(next.begin(), next.end());
  int64_t under_way = 0;
  // Of what may become long, all tokens are known before the next step.
  const int64_t most = may_become_long() ? 1 : session_->info().max_under_way;
  for (int64_t i = 0; i < count; ++i) {
    TKM_RETURN_IF_ERROR(follow_length(length_ + 1));
    TKM_RETURN_IF_ERROR(launch_decode(tokens));
    if (++under_way == most) {
      TKM_RETURN_IF_ERROR(finish_decode(next));
      --under_way;
    }
    for (int64_t s = 0; s < batch_; ++s) {
      auto at = static_cast<size_t>(s);
      tokens[at] = under_way > 0 ? runtime::unknown_token(static_cast<int32_t>(s)) : next[at];
    }
  }
  for (; under_way > 0; --under_way) TKM_RETURN_IF_ERROR(finish_decode(next));
  return {};
}

Result<void> SequenceRunner::launch_decode(std::span<const int32_t> tokens) {
  std::vector<int32_t> positions(tokens.size(), static_cast<int32_t>(length_)), rows;
  std::vector<op::SequenceSpan> sequences;
  std::vector<runtime::SampleRow> samples;
  for (int32_t s = 0; s < static_cast<int32_t>(batch_); ++s) {
    const auto at = static_cast<size_t>(s);
    sequences.push_back({s, 1, static_cast<int32_t>(length_), pages_[at], is_long_});
    if (may_become_long()) known_[at].push_back(tokens[at]);
    samples.push_back(greedy_row(rows.size()));
    rows.push_back(s);
  }
  ++length_;
  return session_->launch({.token_ids = tokens,
                           .positions = positions,
                           .sequences = sequences,
                           .logit_rows = rows,
                           .samples = samples});
}

Result<void> SequenceRunner::finish_decode(std::span<int32_t> next) {
  TKM_ASSIGN(runtime::StepOutput out, session_->finish());
  for (size_t s = 0; s < out.samples.size(); ++s) {
    if (!out.samples[s].ok()) return out.samples[s].error();
    next[s] = out.samples[s]->token;
    if (next[s] == runtime::kUndecided)
      return base::internal_error(
          fmt::format("no token can be chosen for sequence {} of {} tokens", s, length_ - 1));
  }
  return {};
}

int32_t argmax(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace tokamak::api
