// SPDX-License-Identifier: Apache-2.0
// How one layer's attention is cut into tasks.
#pragma once

#include <cstdint>
#include <vector>

#include "tokamak/op/attention.h"

namespace tokamak::kernels::cpu {

/// Pages [first_page, end_page) of one sequence for one block of rows: rows [first_row, first_row +
/// num_rows) of the sequence's tokens x query heads of a kv head.
struct AttendTask {
  int32_t sequence, kv_head;
  int64_t first_row, num_rows;
  int64_t first_page, end_page;
  int32_t block;  ///< Index of the split block it belongs to, -1 for a whole one.
  int32_t slot;   ///< Partial state that it fills, if the block is split.
};

/// A block whose pages are spread over several tasks, to be merged in order.
struct SplitBlock {
  int32_t first_task, num_tasks;
};

/// Tasks of a step, longest sequences' first rows last (threads claim in order, and what is claimed
/// last should be short). Blocks are split where there would be too few tasks for the threads; so
/// the number of partial states is bounded by the threads alone.
class WorkList {
 public:
  /// Partial states that build() uses at most.
  static int64_t max_slots(int64_t threads) { return 10 * threads; }
  void build(const op::AttentionSettings& settings,
             const op::BatchView& batch,
             int64_t max_block_rows,
             int64_t threads);
  const std::vector<AttendTask>& tasks() const { return tasks_; }
  const std::vector<SplitBlock>& split_blocks() const { return split_blocks_; }

 private:
  void add_block(AttendTask whole, int64_t pages_a_task);
  std::vector<AttendTask> tasks_;
  std::vector<AttendTask> blocks_;
  std::vector<SplitBlock> split_blocks_;
  int32_t num_slots_ = 0;
};

}  // namespace tokamak::kernels::cpu
