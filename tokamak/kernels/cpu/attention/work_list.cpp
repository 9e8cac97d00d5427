// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cpu/attention/work_list.h"

#include <algorithm>

namespace tokamak::kernels::cpu {
namespace {

constexpr int64_t kTasksAThread = 4;
constexpr int64_t kFewestPages = 2;  ///< A task shorter than this costs more than it balances.

}  // namespace

void WorkList::build(const op::AttentionSettings& settings,
                     const op::BatchView& batch,
                     int64_t max_block_rows,
                     int64_t threads) {
  tasks_.clear();
  blocks_.clear();
  split_blocks_.clear();
  num_slots_ = 0;
  int64_t group = settings.num_heads / settings.num_kv_heads, total_pages = 0;
  for (size_t s = batch.sequences.size(); s-- > 0;) {
    const op::SequenceSpan& sequence = batch.sequences[s];
    int64_t rows = sequence.num_tokens * group;
    int64_t num_blocks = (rows + max_block_rows - 1) / max_block_rows;
    for (int64_t b = num_blocks; b-- > 0;) {
      int64_t first = b * rows / num_blocks, end = (b + 1) * rows / num_blocks;
      int64_t first_position = sequence.context + first / group;
      int64_t last_position = sequence.context + (end - 1) / group;
      int64_t visible =
          settings.window ? std::max<int64_t>(0, first_position - settings.window + 1) : 0;
      AttendTask task{.sequence = static_cast<int32_t>(s),
                      .first_row = first,
                      .num_rows = end - first,
                      .first_page = visible / op::kPageTokens,
                      .end_page = last_position / op::kPageTokens + 1,
                      .block = -1,
                      .slot = -1};
      for (int64_t head = 0; head < settings.num_kv_heads; ++head) {
        task.kv_head = static_cast<int32_t>(head);
        blocks_.push_back(task);
        total_pages += task.end_page - task.first_page;
      }
    }
  }
  int64_t pages_a_task = std::max(kFewestPages, total_pages / (kTasksAThread * threads) + 1);
  for (const AttendTask& block : blocks_) add_block(block, pages_a_task);
}

void WorkList::add_block(AttendTask whole, int64_t pages_a_task) {
  int64_t pages = whole.end_page - whole.first_page;
  if (2 * pages <= 3 * pages_a_task) {
    tasks_.push_back(whole);
    return;
  }
  int64_t splits = (pages + pages_a_task - 1) / pages_a_task;
  int32_t index = static_cast<int32_t>(split_blocks_.size());
  split_blocks_.push_back({static_cast<int32_t>(tasks_.size()), static_cast<int32_t>(splits)});
  for (int64_t i = 0; i < splits; ++i) {
    AttendTask part = whole;
    part.first_page = whole.first_page + i * pages / splits;
    part.end_page = whole.first_page + (i + 1) * pages / splits;
    part.block = index;
    part.slot = num_slots_++;
    tasks_.push_back(part);
  }
}

}  // namespace tokamak::kernels::cpu
