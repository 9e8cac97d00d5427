// SPDX-License-Identifier: Apache-2.0
// attend_cpu_pages and attention_cpu_pages: attention over the paged cache, one pass with a running
// softmax (Milakov & Gimelshein, arXiv:1805.02867; Dao et al., arXiv:2205.14135). Tasks are blocks
// of query rows of one kv head; long contexts with few heads are split over threads and merged in a
// fixed order. Workspace is bounded by the threads, not by the context.
#include "tokamak/base/fields_json.h"
#include "tokamak/kernels/cpu/attention/append.h"
#include "tokamak/kernels/cpu/attention/block.h"
#include "tokamak/kernels/cpu/attention/work_list.h"
#include "tokamak/kernels/cpu/elementwise/elementwise_simd.h"
#include "tokamak/kernels/cpu/rows.h"
#include "tokamak/kernels/cpu/tactics.h"
#include "tokamak/op/attention.h"

namespace tokamak::kernels::cpu {
namespace {

struct AttendConfig {
  int64_t block_rows = 64;  ///< Query rows that share a pass over keys and values.
  static constexpr auto kFields = std::tuple{Field{"block_rows", &AttendConfig::block_rows}};
};

class AttendKernel : public Kernel {
 public:
  AttendKernel(const op::AttentionSettings& settings,
               const AttendConfig& config,
               bool append,
               device::Device& device)
      : settings_(settings), config_(config), append_(append), device_(device) {}

  int64_t workspace_bytes(int64_t, int64_t, int64_t) const override {
    int64_t threads = device_.pool().num_threads();
    return threads * thread_bytes() + WorkList::max_slots(threads) * state_bytes();
  }

  void run(const Launch& launch) override {
    TKM_CHECK(settings_.layer < static_cast<int64_t>(launch.batch->layers.size()),
              "attend: layer {} of {} caches",
              settings_.layer,
              launch.batch->layers.size());
    if (append_) append(launch);
    base::ThreadPool& pool = device_.pool();
    work_.build(settings_, *launch.batch, config_.block_rows, pool.num_threads());
    TKM_CHECK(num_slots() <= WorkList::max_slots(pool.num_threads()),
              "{} partial states for {} threads",
              num_slots(),
              pool.num_threads());
    pool.parallel_for(static_cast<int64_t>(work_.tasks().size()), [&](int64_t i, int thread) {
      run_task(launch, work_.tasks()[static_cast<size_t>(i)], thread);
    });
    pool.parallel_for(static_cast<int64_t>(work_.split_blocks().size()),
                      [&](int64_t i, int thread) {
                        merge(launch, work_.split_blocks()[static_cast<size_t>(i)], thread);
                      });
  }

 private:
  // Of a thread: visible ranges, packed queries, scratch of the kernels, a state.
  int64_t state_bytes() const {
    return largest(
        [this](const BlockKernels& k) { return 4 * k.state_floats(settings_.head_dim); });
  }
  int64_t scratch_bytes() const {
    return largest([this](const BlockKernels& k) { return k.scratch_bytes(settings_.head_dim); });
  }
  int64_t queries_bytes() const { return round_up(settings_.head_dim * kMaxBlockRows * 4, 64); }
  /// Over the kernels that a block may run.
  template <class F>
  static int64_t largest(F bytes) {
    int64_t most = 0;
    for (const BlockKernels* k :
         {&few_rows_simd(), &many_rows_simd(), few_rows_avx512_bf16(), many_rows_avx512_bf16()})
      most = std::max(most, k ? bytes(*k) : 0);
    return round_up(most, 64);
  }
  int64_t thread_bytes() const {
    return 2 * kMaxBlockRows * 4 + queries_bytes() + scratch_bytes() + state_bytes();
  }
  int64_t num_slots() const {
    int64_t slots = 0;
    for (const SplitBlock& block : work_.split_blocks()) slots += block.num_tasks;
    return slots;
  }

  float* slot_state(const Launch& launch, int64_t slot) const {
    int64_t at = device_.pool().num_threads() * thread_bytes() + slot * state_bytes();
    return reinterpret_cast<float*>(offset(launch.workspace, at));
  }
  const BlockKernels& kernels_of(const Launch& launch, const AttendTask& task) const {
    const op::KvCache& cache = launch.batch->layers[static_cast<size_t>(settings_.layer)];
    return block_kernels(launch.inputs[0].dtype, cache.dtype, settings_.head_dim, task.num_rows);
  }

  /// The address of head_dim elements of q or y for each row of a task.
  template <class Pointer>
  void row_addresses(const Launch& launch,
                     const AttendTask& task,
                     void* base,
                     Pointer* addresses) const {
    const op::SequenceSpan& sequence = launch.batch->sequences[static_cast<size_t>(task.sequence)];
    int64_t group = settings_.num_heads / settings_.num_kv_heads;
    int64_t head_bytes = settings_.head_dim * tensor::dtype_bytes(launch.inputs[0].dtype);
    for (int64_t r = 0; r < task.num_rows; ++r) {
      int64_t row = task.first_row + r, token = sequence.first_token + row / group;
      int64_t head = task.kv_head * group + row % group;
      addresses[r] = offset(base, (token * settings_.num_heads + head) * head_bytes);
    }
  }

  Block make_block(const Launch& launch, const AttendTask& task, int thread) const {
    const op::KvCache& cache = launch.batch->layers[static_cast<size_t>(settings_.layer)];
    const op::SequenceSpan& sequence = launch.batch->sequences[static_cast<size_t>(task.sequence)];
    const BlockKernels& kernels = kernels_of(launch, task);
    std::byte* memory = offset(launch.workspace, thread * thread_bytes());
    auto* first_visible = reinterpret_cast<int32_t*>(memory);
    int32_t* last_visible = first_visible + kMaxBlockRows;
    memory += 2 * kMaxBlockRows * 4;
    int64_t group = settings_.num_heads / settings_.num_kv_heads;
    Block block{.q_dtype = launch.inputs[0].dtype,
                .kv_dtype = cache.dtype,
                .head_dim = settings_.head_dim,
                .rows = round_up(task.num_rows, kernels.row_multiple),
                .used_rows = task.num_rows,
                .scale = settings_.scale,
                .softcap = settings_.softcap,
                .first_visible = first_visible,
                .last_visible = last_visible,
                .queries = memory,
                .scratch = memory + queries_bytes()};
    block.state = task.block < 0
                      ? reinterpret_cast<float*>(memory + queries_bytes() + scratch_bytes())
                      : slot_state(launch, task.slot);
    for (int64_t r = 0; r < block.rows; ++r) {
      int64_t position = sequence.context + (task.first_row + r) / group;
      int64_t first = settings_.window ? std::max<int64_t>(0, position - settings_.window + 1) : 0;
      first_visible[r] = static_cast<int32_t>(first);
      last_visible[r] = r < task.num_rows ? static_cast<int32_t>(position) : -1;
    }
    return block;
  }

  void run_task(const Launch& launch, const AttendTask& task, int thread) const {
    const op::KvCache& cache = launch.batch->layers[static_cast<size_t>(settings_.layer)];
    const op::SequenceSpan& sequence = launch.batch->sequences[static_cast<size_t>(task.sequence)];
    const BlockKernels& kernels = kernels_of(launch, task);
    Block block = make_block(launch, task, thread);
    void* addresses[kMaxBlockRows];
    row_addresses(launch, task, launch.inputs[0].data, addresses);
    kernels.pack_queries(block, addresses);
    kernels.clear(block);
    // Rows are in the order of their positions.
    int64_t last_row = task.num_rows - 1, end = block.last_visible[last_row] + 1;
    auto page_data = [&](int64_t page, int value) -> const void* {
      if (page >= task.end_page) return nullptr;
      return cache.at(sequence.pages[static_cast<size_t>(page)], value, task.kv_head, 0);
    };
    for (int64_t p = task.first_page; p < task.end_page; ++p) {
      int64_t first = p * op::kPageTokens, count = std::min(op::kPageTokens, end - first);
      bool masked = block.rows > block.used_rows || first + count - 1 > block.last_visible[0] ||
                    first < block.first_visible[last_row];
      kernels.add_page(block,
                       {.keys = page_data(p, 0),
                        .values = page_data(p, 1),
                        .count = count,
                        .first_position = first,
                        .masked = masked,
                        .next_keys = page_data(p + 1, 0),
                        .next_values = page_data(p + 1, 1)});
    }
    if (task.block >= 0) return;
    row_addresses(launch, task, launch.outputs[0].data, addresses);
    kernels.store(block, addresses);
  }

  void merge(const Launch& launch, const SplitBlock& split, int thread) const {
    const AttendTask& first = work_.tasks()[static_cast<size_t>(split.first_task)];
    const BlockKernels& kernels = kernels_of(launch, first);
    Block block = make_block(launch, first, thread);
    for (int32_t i = 1; i < split.num_tasks; ++i)
      kernels.merge(block, slot_state(launch, first.slot + i));
    void* addresses[kMaxBlockRows];
    row_addresses(launch, first, launch.outputs[0].data, addresses);
    kernels.store(block, addresses);
  }

  /// k and v of the step's tokens to their slots, rounded to the cache's type.
  void append(const Launch& launch) const {
    const op::KvCache& cache = launch.batch->layers[static_cast<size_t>(settings_.layer)];
    const TensorView& k = launch.inputs[1];
    parallel_rows(device_.pool(), k.rows(), 2 * k.columns(), [&](int64_t begin, int64_t n, int) {
      for (int64_t token = begin; token < begin + n; ++token) {
        const op::SequenceSpan& sequence = sequence_of(*launch.batch, token);
        for (int value = 0; value < 2; ++value) {
          const TensorView& from = launch.inputs[static_cast<size_t>(1 + value)];
          std::byte* to = static_cast<std::byte*>(cache_slot(cache, sequence, token, value));
          for (int64_t head = 0; head < settings_.num_kv_heads; ++head) {
            int64_t at = (token * settings_.num_kv_heads + head) * settings_.head_dim;
            convert_run(from.dtype,
                        offset(from.data, at * tensor::dtype_bytes(from.dtype)),
                        cache.dtype,
                        to + head * cache_head_stride_bytes(cache),
                        settings_.head_dim);
          }
        }
      }
    });
  }

  op::AttentionSettings settings_;
  AttendConfig config_;
  bool append_;
  device::Device& device_;
  WorkList work_;
};

template <class T>
std::vector<Json> attend_candidates(const KernelDesc& desc, int64_t, const device::Device&) {
  std::vector<Json> configs;
  if (!desc.op.as<T>() || !all_supported(desc)) return configs;
  for (int64_t rows : {64, 32})
    configs.push_back(base::fields_to_json(AttendConfig{rows}, /*all=*/true));
  return configs;
}

template <class T>
Made make_attend(const KernelDesc& desc, const Json& json, device::Device& device) {
  TKM_ASSIGN(auto config, base::fields_from_json<AttendConfig>(json));
  if (config.block_rows < 1 || config.block_rows > kMaxBlockRows)
    return base::invalid("attend_cpu_pages: no such config: " + json.dump());
  return std::unique_ptr<Kernel>(std::make_unique<AttendKernel>(
      *desc.op.as<T>(), config, std::is_same_v<T, op::Attention>, device));
}

}  // namespace

const Tactic& attend_cpu_pages() {
  static const Tactic tactic = {.name = "attend_cpu_pages",
                                .target = Target::kCpu,
                                .candidates = attend_candidates<op::Attend>,
                                .make = make_attend<op::Attend>};
  return tactic;
}

const Tactic& attention_cpu_pages() {
  static const Tactic tactic = {.name = "attention_cpu_pages",
                                .target = Target::kCpu,
                                .candidates = attend_candidates<op::Attention>,
                                .make = make_attend<op::Attention>};
  return tactic;
}

}  // namespace tokamak::kernels::cpu
