// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/trial.h"

#include <algorithm>
#include <random>

#include "tokamak/kernels/cuda/fill/fill_random.h"
#include "tokamak/op/attention.h"

namespace tokamak::compiler {
namespace {

constexpr int64_t kColdBytes = 96 << 20;  // More than the last-level cache of the machines we know.
constexpr int kMaxCopies = 8;
constexpr int kMaxDeviceCopies = 128;
constexpr int64_t kMaxCacheBytes = int64_t{4} << 30, kMaxHostCacheBytes = int64_t{256} << 20;
constexpr int64_t kMaxDecodes = 256, kMaxHostDecodes = 16;
// Kernels take it for the longest sequence that there can be, and split by it.
constexpr int64_t kMaxPages = 128;

int64_t pages_for(int64_t tokens) {
  return (tokens + op::kPageTokens - 1) / op::kPageTokens;
}

/// How many copies of so many bytes are more than any cache holds.
int64_t cold_copies(const device::Device& device, int64_t bytes) {
  return std::clamp<int64_t>(kColdBytes / std::max<int64_t>(bytes, 1) + 1,
                             1,
                             device.host_accessible() ? kMaxCopies : kMaxDeviceCopies);
}

Result<void> fill_random(device::Device& device, DType dtype, void* data, int64_t count) {
  if (!device.host_accessible())
    return kernels::cuda::fill_random(device, data, dtype, count, 0.0f, 1.0f, 7);
  std::minstd_rand random(7);
  std::vector<float> block(4096);
  for (float& value : block) value = std::uniform_real_distribution<float>(-1, 1)(random);
  for (int64_t i = 0; i < count; i += static_cast<int64_t>(block.size())) {
    int64_t length = std::min<int64_t>(static_cast<int64_t>(block.size()), count - i);
    tensor::convert(DType::kF32,
                    block.data(),
                    dtype,
                    static_cast<std::byte*>(data) + i * tensor::dtype_bytes(dtype),
                    length);
  }
  return {};
}

Result<device::Memory> random_memory(device::Device& device, DType dtype, int64_t bytes) {
  TKM_ASSIGN(device::Memory memory, device.allocate(bytes));
  TKM_RETURN_IF_ERROR(
      fill_random(device, dtype, memory.data(), bytes / tensor::dtype_bytes(dtype)));
  return memory;
}

}  // namespace

bool TrialBatch::decodes(int64_t tokens, const device::Device& device) {
  return tokens <= (device.host_accessible() ? kMaxHostDecodes : kMaxDecodes);
}

Result<TrialBatch> TrialBatch::make(device::Device& device,
                                    const kernels::KernelDesc& desc,
                                    int64_t tokens) {
  TrialBatch out;
  const auto settings = op::attention_settings(desc.op);
  if (!settings) return out;
  bool decodes = TrialBatch::decodes(tokens, device);
  int64_t num_sequences = decodes ? tokens : 1, rows = decodes ? 1 : tokens;
  int64_t context = decodes ? kContext - 1 : 0, pages = pages_for(context + rows);
  for (int64_t s = 0; s < num_sequences; ++s)
    out.sequences_.push_back({.first_token = static_cast<int32_t>(s),
                              .num_tokens = static_cast<int32_t>(rows),
                              .context = static_cast<int32_t>(context)});

  op::KvCache cache{.dtype = desc.outputs[0].dtype,
                    .num_kv_heads = static_cast<int32_t>(settings->num_kv_heads),
                    .head_dim = static_cast<int32_t>(settings->head_dim)};
  cache.page_bytes =
      op::KvCache::bytes_of_page(cache.dtype, settings->num_kv_heads, settings->head_dim);
  int64_t budget = std::min(device.free_bytes() / 4,
                            device.host_accessible() ? kMaxHostCacheBytes : kMaxCacheBytes);
  int64_t num_pages = std::clamp<int64_t>(budget / cache.page_bytes, pages, num_sequences * pages);
  int64_t bytes = num_pages * cache.page_bytes;
  // What a prompt reads, it has just written.
  int64_t copies =
      decodes
          ? std::clamp<int64_t>(cold_copies(device, bytes), 1, std::max<int64_t>(1, budget / bytes))
          : 1;
  out.layers_.resize(static_cast<size_t>(settings->layer) + 1, cache);
  out.deal_pages(num_pages, pages);
  TKM_RETURN_IF_ERROR(out.add_caches(device, cache, num_pages, copies));
  TKM_RETURN_IF_ERROR(out.place_on_device(device, rows));
  return out;
}

void TrialBatch::deal_pages(int64_t num_pages, int64_t pages_of_sequence) {
  int32_t next = 0;
  pages_.assign(sequences_.size(), {});
  // In turn, as they are given to sequences that grow beside each other.
  for (int64_t i = 0; i < pages_of_sequence; ++i) {
    for (auto& pages : pages_) pages.push_back(next++ % static_cast<int32_t>(num_pages));
  }
  for (size_t s = 0; s < sequences_.size(); ++s) sequences_[s].pages = pages_[s];
}

Result<void> TrialBatch::add_caches(device::Device& device,
                                    op::KvCache cache,
                                    int64_t pages,
                                    int64_t copies) {
  for (int64_t i = 0; i < copies; ++i) {
    TKM_ASSIGN(device::Memory memory, random_memory(device, cache.dtype, pages * cache.page_bytes));
    caches_.push_back(std::move(memory));
  }
  return {};
}

Result<void> TrialBatch::place_on_device(device::Device& device, int64_t max_sequence_rows) {
  size_t count = sequences_.size();
  auto max_pages = std::max(static_cast<size_t>(kMaxPages), pages_[0].size());
  std::vector<int32_t> arrays((count + 1) + count + count * max_pages);
  int32_t *first_rows = arrays.data(), *contexts = first_rows + count + 1,
          *page_table = contexts + count;
  for (size_t s = 0; s < count; ++s) {
    first_rows[s + 1] = first_rows[s] + sequences_[s].num_tokens;
    contexts[s] = sequences_[s].context;
    std::copy(pages_[s].begin(), pages_[s].end(), page_table + s * max_pages);
  }
  int64_t bytes = std::ssize(arrays) * 4;
  TKM_ASSIGN(arrays_, device.allocate(bytes));
  device.copy_to_device(arrays_.data(), arrays.data(), bytes);
  TKM_RETURN_IF_ERROR(device.synchronize());
  auto* at = static_cast<const int32_t*>(arrays_.data());
  on_device_ = {.first_rows = at,
                .contexts = at + count + 1,
                .page_table = at + 2 * count + 1,
                .num_sequences = static_cast<int32_t>(count),
                .max_pages = static_cast<int32_t>(max_pages),
                .max_sequence_rows = static_cast<int32_t>(max_sequence_rows)};
  return {};
}

const op::BatchView& TrialBatch::view(size_t run) {
  if (!caches_.empty()) layers_.back().data = caches_[run % caches_.size()].data();
  view_ = {sequences_, layers_};
  return view_;
}

Result<Trial> Trial::make(device::Device& device,
                          const kernels::KernelDesc& desc,
                          const kernels::Candidate& candidate,
                          const kernels::Kernel& kernel,
                          int64_t tokens,
                          TrialBatch& batch) {
  Trial out;
  out.batch_ = &batch;
  out.tokens_ = tokens;
  const bool packs = desc.weights.size() > 1 && desc.weights[1];
  for (size_t i = 0; i < desc.inputs.size(); ++i) {
    TKM_ASSIGN(TensorView view, out.value(device, desc.inputs[i], packs && i == 1));
    out.inputs_.push_back(view);
  }
  for (const TensorType& type : desc.outputs) {
    TKM_ASSIGN(TensorView view, out.value(device, type, false));
    out.outputs_.push_back(view);
  }
  if (packs) {
    const auto& layout =
        candidate.tactic->layout ? *candidate.tactic->layout : kernels::row_major_layout();
    TKM_RETURN_IF_ERROR(out.add_weights(device, desc.inputs[1].dtype, layout.bytes(desc)));
  }
  TKM_RETURN_IF_ERROR(out.make_room(device, kernel));
  return out;
}

Result<void> Trial::make_room(device::Device& device, const kernels::Kernel& kernel) {
  int64_t sequences = std::max<int64_t>(batch_->num_sequences(), tokens_),
          bytes = kernel.workspace_bytes(tokens_, tokens_, sequences);
  if (workspace_.data() && workspace_.bytes() >= bytes) return {};
  TKM_ASSIGN(workspace_, device.allocate(bytes));
  return {};
}

void Trial::read(size_t input, const Trial& from, size_t output) {
  inputs_[input].data = from.outputs_[output].data;
  memory_[input] = {};
}

kernels::Launch Trial::launch(size_t run) {
  if (!weights_.empty()) inputs_[1].data = weights_[run % weights_.size()].data();
  return {.inputs = inputs_,
          .outputs = outputs_,
          .batch = &batch_->view(run),
          .device_batch = &batch_->on_device(),
          .workspace = workspace_.data()};
}

/// Without bytes if `in_turns`: launch() gives them.
Result<TensorView> Trial::value(device::Device& device, const TensorType& type, bool in_turns) {
  TensorView view{type.dtype, type.resolve(tokens_, tokens_), nullptr};
  device::Memory memory;
  if (!in_turns && tensor::is_float(type.dtype)) {
    TKM_ASSIGN(memory, random_memory(device, type.dtype, view.bytes()));
  } else if (!in_turns) {
    TKM_ASSIGN(memory, device.allocate(view.bytes()));
  }
  view.data = memory.data();
  memory_.push_back(std::move(memory));
  return view;
}

Result<void> Trial::add_weights(device::Device& device, DType dtype, int64_t bytes) {
  for (int64_t i = cold_copies(device, bytes); i > 0; --i) {
    TKM_ASSIGN(device::Memory memory, random_memory(device, dtype, bytes));
    weights_.push_back(std::move(memory));
  }
  return {};
}

}  // namespace tokamak::compiler
