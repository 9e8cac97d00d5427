// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/sequence_runner.h"

#include <algorithm>

namespace tokamak::api {

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
  }
  return runner;
}

Result<void> SequenceRunner::append(std::span<const int32_t> tokens,
                                    bool all_rows,
                                    const RowSink& row) {
  int64_t per_sequence = static_cast<int64_t>(tokens.size()) / batch_;
  if (length_ + per_sequence > max_tokens_)
    return base::invalid(
        fmt::format("{} tokens after {} pass the limit of {}", per_sequence, length_, max_tokens_));
  const runtime::SessionInfo& info = session_->info();
  int64_t largest = std::max<int64_t>(1, info.max_step_tokens / batch_);
  if (all_rows) largest = std::max<int64_t>(1, std::min(largest, info.max_step_rows / batch_));
  for (int64_t begin = 0; begin < per_sequence; begin += largest) {
    TKM_RETURN_IF_ERROR(
        chunk(tokens, per_sequence, begin, std::min(largest, per_sequence - begin), all_rows, row));
  }
  return {};
}

Result<void> SequenceRunner::chunk(std::span<const int32_t> tokens,
                                   int64_t per_sequence,
                                   int64_t begin,
                                   int64_t count,
                                   bool all_rows,
                                   const RowSink& row) {
  std::vector<int32_t> ids, positions, rows;
  std::vector<op::SequenceSpan> sequences;
  bool last_chunk = begin + count == per_sequence;
  for (int64_t s = 0; s < batch_; ++s) {
    sequences.push_back({static_cast<int32_t>(ids.size()),
                         static_cast<int32_t>(count),
                         static_cast<int32_t>(length_),
                         pages_[static_cast<size_t>(s)]});
    for (int64_t i = 0; i < count; ++i) {
      if (all_rows || (last_chunk && i == count - 1))
        rows.push_back(static_cast<int32_t>(ids.size()));
      ids.push_back(tokens[static_cast<size_t>(s * per_sequence + begin + i)]);
      positions.push_back(static_cast<int32_t>(length_ + i));
    }
  }
  TKM_ASSIGN(
      runtime::StepOutput out,
      session_->step(
          {.token_ids = ids, .positions = positions, .sequences = sequences, .logit_rows = rows}));
  size_t vocab = static_cast<size_t>(session_->info().vocab_size);
  auto logits = static_cast<const float*>(out.logits.data);
  for (size_t r = 0; r < rows.size() && row; ++r)
    row(rows[r] / count, length_ + rows[r] % count, {logits + r * vocab, vocab});
  length_ += count;
  return {};
}

int32_t argmax(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace tokamak::api
