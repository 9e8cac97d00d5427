// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/step_inputs.h"

#include <algorithm>

#include "tokamak/op/rope.h"

namespace tokamak::runtime {

StepShape shape_of(const Step& step) {
  StepShape shape{.tokens = std::ssize(step.token_ids),
                  .rows = std::ssize(step.logit_rows),
                  .sequences = std::ssize(step.sequences)};
  for (const op::SequenceSpan& sequence : step.sequences)
    shape.max_sequence_rows = std::max<int64_t>(shape.max_sequence_rows, sequence.num_tokens);
  return shape;
}

int64_t decode_bucket(const Step& step, std::span<const int64_t> buckets) {
  StepShape shape = shape_of(step);
  if (shape.max_sequence_rows != 1 || shape.rows != shape.tokens) return 0;
  auto bucket = std::lower_bound(buckets.begin(), buckets.end(), shape.tokens);
  return bucket == buckets.end() ? 0 : *bucket;
}

Result<StepInputs> StepInputs::make(device::Device& device,
                                    const engine::StepLimits& limits,
                                    int64_t bytes) {
  StepInputs out;
  out.device_ = &device;
  out.limits_ = limits;
  TKM_ASSIGN(out.block_, device.allocate(bytes));
  if (device.host_accessible()) {
    out.staging_[0] = out.staging_[1] = out.block_;
  } else {
    for (device::Memory& staging : out.staging_) {
      TKM_ASSIGN(staging, device.allocate_host(bytes));
    }
  }
  return out;
}

void StepInputs::set(const Step* step, const StepShape& shape) {
  layout_ = engine::step_input_layout(shape.tokens, shape.rows, shape.sequences, limits_);
  std::swap(staging_[0], staging_[1]);
  auto stage = [&](int64_t offset, std::span<const int32_t> values, int64_t count) {
    int32_t* to = std::copy(values.begin(), values.end(), staged(offset));
    std::fill_n(to, count - std::ssize(values), 0);
  };
  Step nothing;
  const Step& from = step ? *step : nothing;
  stage(layout_.token_ids, from.token_ids, shape.tokens);
  stage(layout_.positions, from.positions, shape.tokens);
  for (const op::SequenceSpan& sequence : from.sequences) {
    if (!sequence.is_long) continue;
    int32_t* positions = staged(layout_.positions) + sequence.first_token;
    std::transform(positions, positions + sequence.num_tokens, positions, op::in_long_sequence);
  }
  stage(layout_.rows, from.logit_rows, shape.rows);
  stage_sequences(step, shape);
  if (staging_[0].data() != block_.data())
    device_->copy_to_device(
        token_ids(), staged(layout_.token_ids), layout_.bytes - layout_.token_ids);
  batch_ = {.first_rows = static_cast<const int32_t*>(at(layout_.first_rows)),
            .contexts = static_cast<const int32_t*>(at(layout_.contexts)),
            .page_table = static_cast<const int32_t*>(at(layout_.page_table)),
            .num_sequences = static_cast<int32_t>(shape.sequences),
            .max_pages = static_cast<int32_t>(limits_.max_seq_pages),
            .max_sequence_rows = static_cast<int32_t>(shape.max_sequence_rows)};
}

void StepInputs::stage_sequences(const Step* step, const StepShape& shape) {
  int32_t *first_rows = staged(layout_.first_rows), *contexts = staged(layout_.contexts),
          *page_table = staged(layout_.page_table);
  int32_t next = 0;
  for (int64_t s = 0; s < shape.sequences; ++s) {
    *first_rows++ = next;
    const op::SequenceSpan* sequence = step && s < std::ssize(step->sequences)
                                           ? &step->sequences[static_cast<size_t>(s)]
                                           : nullptr;
    *contexts++ = sequence ? sequence->context : 0;
    next += sequence ? sequence->num_tokens : 0;
    // Pages behind those that the step touches are never read.
    if (sequence) {
      int64_t touched =
          (sequence->context + sequence->num_tokens + op::kPageTokens - 1) / op::kPageTokens;
      std::copy_n(sequence->pages.begin(), std::min(touched, limits_.max_seq_pages), page_table);
    }
    page_table += limits_.max_seq_pages;
  }
  *first_rows = next;
}

}  // namespace tokamak::runtime
