// SPDX-License-Identifier: Apache-2.0
#include "tokamak/engine/memory_plan.h"

#include <algorithm>
#include <numeric>

namespace tokamak::engine {
namespace {

constexpr int64_t kAlignment = 64;

/// i32 [64]; sequences on a device name pages in its own memory.
int64_t page_token_bytes(const StepLimits& limits) {
  return limits.max_seq_pages > 0 ? 64 * 4 : 0;
}

int64_t align(int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

/// No memory holds as much as where this stops: the sum of some such terms does not overflow.
int64_t bounded_product(int64_t a, int64_t b) {
  constexpr int64_t kMost = int64_t{1} << 60;
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? kMost : std::min(product, kMost);
}

struct Interval {
  int32_t value;
  int64_t bytes;
  int32_t first, last;
};

/// The lowest offset at which `wanted` meets no placed interval of overlapping life.
int64_t lowest_gap(const Interval& wanted,
                   const std::vector<Interval>& placed,
                   const std::vector<int64_t>& offsets) {
  std::vector<std::pair<int64_t, int64_t>> taken;
  for (const Interval& other : placed) {
    if (other.first <= wanted.last && wanted.first <= other.last) {
      int64_t offset = offsets[static_cast<size_t>(other.value)];
      taken.emplace_back(offset, offset + other.bytes);
    }
  }
  std::sort(taken.begin(), taken.end());
  int64_t offset = 0;
  for (auto [begin, end] : taken) {
    if (offset + wanted.bytes <= begin) break;
    offset = std::max(offset, end);
  }
  return offset;
}

}  // namespace

int64_t MemoryPlan::total_bytes() const {
  return std::accumulate(
      table.begin(), table.end(), int64_t{0}, [](int64_t sum, const ByteRow& row) {
        return sum + row.bytes;
      });
}

StepInputLayout step_input_layout(int64_t tokens,
                                  int64_t rows,
                                  int64_t sequences,
                                  const StepLimits& limits) {
  StepInputLayout out;
  auto place = [&](int64_t count) {
    int64_t offset = out.bytes;
    out.bytes += align(count * 4);
    return offset;
  };
  out.sampled = place(limits.max_rows);
  out.token_ids = place(tokens);
  out.positions = place(tokens);
  out.rows = place(rows);
  out.first_rows = place(sequences + 1);
  out.contexts = place(sequences);
  out.page_table = place(sequences * limits.max_seq_pages);
  return out;
}

int64_t step_rows(const Plan& plan, const PlanStep& step, int64_t tokens, int64_t rows) {
  for (int32_t output : step.outputs) {
    for (const Dim& dim : plan.values[static_cast<size_t>(output)].type.shape) {
      if (dim.symbol == tensor::Symbol::kRows) return rows;
    }
  }
  return tokens;
}

int64_t page_bytes(const Plan& plan, const StepLimits& limits) {
  return plan.kv.page_bytes() * plan.kv.num_layers + page_token_bytes(limits);
}

MemoryPlan plan_memory(const Plan& plan,
                       const StepLimits& limits,
                       int64_t workspace_bytes,
                       int64_t sampling_bytes) {
  MemoryPlan out;
  out.offsets.assign(plan.values.size(), -1);
  std::vector<Interval> intervals, placed;
  int32_t last_step = static_cast<int32_t>(plan.steps.size());
  for (size_t i = 0; i < plan.values.size(); ++i) {
    const PlanValue& value = plan.values[i];
    if (value.kind != PlanValueKind::kBuffer) continue;
    int64_t bytes =
        align(tensor::num_elements(value.type.resolve(limits.max_tokens, limits.max_rows)) *
              tensor::dtype_bytes(value.type.dtype));
    bool whole_step = static_cast<int32_t>(i) == plan.logits;
    intervals.push_back({static_cast<int32_t>(i),
                         bytes,
                         whole_step ? -1 : value.first_step,
                         whole_step ? last_step : value.last_step});
  }
  std::stable_sort(intervals.begin(), intervals.end(), [](const Interval& a, const Interval& b) {
    return a.bytes > b.bytes;
  });
  for (const Interval& interval : intervals) {
    int64_t offset = lowest_gap(interval, placed, out.offsets);
    out.offsets[static_cast<size_t>(interval.value)] = offset;
    out.arena_bytes = std::max(out.arena_bytes, offset + interval.bytes);
    placed.push_back(interval);
  }
  for (const PlanWeight& weight : plan.weights) {
    out.weight_offsets.push_back(out.weight_bytes);
    out.weight_bytes += align(weight.bytes);
  }
  out.workspace_bytes = align(workspace_bytes);
  out.input_bytes =
      step_input_layout(limits.max_tokens, limits.max_rows, limits.max_sequences, limits).bytes;
  out.kv_bytes = bounded_product(limits.num_pages, plan.kv.page_bytes() * plan.kv.num_layers);
  out.table = {{"weights", out.weight_bytes},
               {"kv cache", out.kv_bytes},
               {"activations", out.arena_bytes},
               {"workspace", out.workspace_bytes},
               {"step inputs", out.input_bytes}};
  if (limits.max_seq_pages == 0) return out;
  out.token_bytes = limits.num_pages * page_token_bytes(limits);
  out.sampling_bytes = sampling_bytes;
  out.table.push_back({"token ids of pages", out.token_bytes});
  out.table.push_back({"sampling", out.sampling_bytes});
  return out;
}

}  // namespace tokamak::engine
