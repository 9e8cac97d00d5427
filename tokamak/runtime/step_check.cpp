// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/step_check.h"

#include <algorithm>

#include "tokamak/runtime/session_plan.h"

namespace tokamak::runtime {
namespace {

Result<void> check_token(int32_t id, int64_t vocab_size, std::span<const int32_t> unknown_rows) {
  if (id >= 0) return in_range("token id", id, 0, vocab_size - 1);
  int32_t row = unknown_row(id);
  if (std::binary_search(unknown_rows.begin(), unknown_rows.end(), row)) return {};
  return base::invalid(
      fmt::format("token id {} names row {} of the step before, which is not under way or chooses "
                  "no token there by itself",
                  id,
                  row));
}

/// Tokens that a sample reads are those of the positions before it, and the host knows the first.
Result<void> check_history(const SampleContext& context, int64_t length) {
  if (context.given >= 0 || !reads_history(*context.params)) return {};
  TKM_RETURN_IF_ERROR(in_range("position of a sample", context.position, length, length));
  const int64_t prompt = std::ssize(context.prompt), output = std::ssize(context.output);
  TKM_RETURN_IF_ERROR(in_range("prompt of a sample", prompt, 0, length));
  return in_range("known tokens of a sample", prompt + output, 0, length);
}

Result<void> check_samples(const Step& step, const SessionInfo& info) {
  int64_t next_row = 0, adjusted = 0;
  for (const SampleRow& sample : step.samples) {
    TKM_RETURN_IF_ERROR(
        in_range("sample row", sample.row, next_row, std::ssize(step.logit_rows) - 1));
    next_row = int64_t{sample.row} + 1;
    const auto row = static_cast<size_t>(step.logit_rows[static_cast<size_t>(sample.row)]);
    TKM_RETURN_IF_ERROR(check_history(sample.context, int64_t{step.positions[row]} + 1));
    adjusted += sample.context.given < 0 && changes_logits(sample.context);
  }
  return in_range("samples of a step that change logits",
                  adjusted,
                  0,
                  std::min(info.max_step_rows, info.max_sequences));
}

}  // namespace

Result<void> check_step(const Step& step,
                        const SessionInfo& info,
                        std::span<const int32_t> unknown_rows) {
  int64_t tokens = static_cast<int64_t>(step.token_ids.size());
  TKM_RETURN_IF_ERROR(in_range("tokens of a step", tokens, 1, info.max_step_tokens));
  TKM_RETURN_IF_ERROR(in_range("rows of logits of a step",
                               static_cast<int64_t>(step.logit_rows.size()),
                               0,
                               info.max_step_rows));
  TKM_RETURN_IF_ERROR(in_range(
      "sequences of a step", static_cast<int64_t>(step.sequences.size()), 1, info.max_sequences));
  TKM_RETURN_IF_ERROR(
      in_range("positions of a step", static_cast<int64_t>(step.positions.size()), tokens, tokens));
  for (int32_t id : step.token_ids)
    TKM_RETURN_IF_ERROR(check_token(id, info.vocab_size, unknown_rows));
  for (int32_t position : step.positions)
    TKM_RETURN_IF_ERROR(in_range("position", position, 0, info.max_seq_len - 1));
  for (int32_t row : step.logit_rows)
    TKM_RETURN_IF_ERROR(in_range("logit row", row, 0, tokens - 1));
  TKM_RETURN_IF_ERROR(check_samples(step, info));
  int64_t next = 0;
  for (const op::SequenceSpan& sequence : step.sequences) {
    int64_t end = int64_t{sequence.context} + sequence.num_tokens;
    int64_t pages = (end + op::kPageTokens - 1) / op::kPageTokens;
    TKM_RETURN_IF_ERROR(in_range("first token of a sequence", sequence.first_token, next, next));
    TKM_RETURN_IF_ERROR(in_range("tokens of a sequence", sequence.num_tokens, 1, tokens - next));
    TKM_RETURN_IF_ERROR(in_range(
        "context of a sequence", sequence.context, 0, info.max_seq_len - sequence.num_tokens));
    const int64_t longest = info.long_sequence_after;  // Of those that are not long.
    if (sequence.is_long ? longest == 0 : longest > 0 && end > longest)
      return base::invalid(
          fmt::format("a sequence of {} tokens is given as one that is {}long; long are those of "
                      "more than {}, if not 0",
                      end,
                      sequence.is_long ? "" : "not ",
                      longest));
    TKM_RETURN_IF_ERROR(in_range(
        "pages of a sequence", static_cast<int64_t>(sequence.pages.size()), pages, INT64_MAX));
    for (int64_t i = 0; i < pages; ++i)
      TKM_RETURN_IF_ERROR(
          in_range("page", sequence.pages[static_cast<size_t>(i)], 0, info.num_pages - 1));
    next += sequence.num_tokens;
  }
  return in_range("tokens of all sequences", next, tokens, tokens);
}

Result<void> StepOrder::check(const Step& step, const SessionInfo& info) const {
  if (under_way_ >= info.max_under_way)
    return base::invalid(
        fmt::format("{} steps are under way, at most {} may be", under_way_, info.max_under_way));
  if (under_way_ > 0 && !may_be_followed_)
    return base::invalid(
        "the step under way gives its logits to the host and must be finished before the next one");
  return check_step(step, info, unknown_rows_);
}

void StepOrder::launched(const Step& step) {
  ++under_way_;
  may_be_followed_ = !step.wants_logits;
  unknown_rows_.clear();
  for (const SampleRow& row : step.samples) {
    if (row.context.given < 0) unknown_rows_.push_back(row.row);
  }
}

void StepOrder::finish() {
  TKM_CHECK(under_way_ > 0, "no step is under way");
  if (--under_way_ == 0) unknown_rows_.clear();
}

}  // namespace tokamak::runtime
