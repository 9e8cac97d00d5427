// SPDX-License-Identifier: Apache-2.0
// Rotary embedding, alone and with the write of keys and values to the cache. Angles are computed
// anew for each token (head_dim / 2 sines, shared by all heads): a table for a million positions
// would cost more memory than it saves time.
#include "tokamak/op/rope.h"

#include <cmath>

#include "tokamak/kernels/cpu/attention/append.h"
#include "tokamak/kernels/cpu/elementwise/elementwise_simd.h"
#include "tokamak/kernels/cpu/rope/rotate_simd.h"
#include "tokamak/kernels/cpu/rows.h"
#include "tokamak/kernels/cpu/tactics.h"
#include "tokamak/op/attention.h"

namespace tokamak::kernels::cpu {
namespace {

/// Turns positions into cosines and sines; a thread's scratch holds them and one head.
class Rotation {
 public:
  Rotation(const op::RotarySettings& settings, int64_t head_dim)
      : settings_(settings), frequencies_(settings), head_dim_(head_dim) {}

  int64_t num_pairs() const { return settings_.rotary_dim / 2; }
  int64_t scratch_floats() const { return round_up(head_dim_ + 2 * num_pairs(), 16); }

  /// The fields that all heads of a token at `position` share.
  TokenHeads prepare(int32_t position, float* scratch) const {
    float *cosines = scratch + head_dim_, *sines = cosines + num_pairs();
    const std::span<const float> frequencies = frequencies_.at(position);
    for (size_t i = 0; i < frequencies.size(); ++i) {
      float angle = static_cast<float>(op::plain_position(position)) * frequencies[i];
      cosines[i] = std::cos(angle) * settings_.attention_factor;
      sines[i] = std::sin(angle) * settings_.attention_factor;
    }
    return {.head_dim = head_dim_,
            .num_pairs = num_pairs(),
            .interleaved = settings_.interleaved,
            .cosines = cosines,
            .sines = sines,
            .scratch = scratch};
  }

 private:
  op::RotarySettings settings_;
  op::RotaryFrequencies frequencies_;
  int64_t head_dim_;
};

class RopeKernel : public Kernel {
 public:
  RopeKernel(device::Device& device, const op::Rope& rope)
      : device_(device), rotation_(rope, rope.head_dim), head_dim_(rope.head_dim) {}

  int64_t workspace_bytes(int64_t, int64_t, int64_t) const override {
    return device_.pool().num_threads() * rotation_.scratch_floats() * 4;
  }

  void run(const Launch& launch) override {
    const TensorView &x = launch.inputs[0], &y = launch.outputs[0];
    auto positions = launch.inputs[1].as<const int32_t>();
    int64_t element = tensor::dtype_bytes(x.dtype), row_bytes = x.columns() * element;
    parallel_rows(device_.pool(), x.rows(), x.columns(), [&](int64_t first, int64_t count, int t) {
      float* scratch = static_cast<float*>(launch.workspace) + t * rotation_.scratch_floats();
      for (int64_t row = first; row < first + count; ++row) {
        TokenHeads heads = rotation_.prepare(positions[static_cast<size_t>(row)], scratch);
        heads.from_dtype = heads.to_dtype = x.dtype;
        heads.from = offset(x.data, row * row_bytes);
        heads.to = offset(y.data, row * row_bytes);
        heads.num_heads = x.columns() / head_dim_;
        heads.to_stride_bytes = head_dim_ * element;
        store_heads(heads);
      }
    });
  }

 private:
  device::Device& device_;
  Rotation rotation_;
  int64_t head_dim_;
};

class RopeAppendKernel : public Kernel {
 public:
  RopeAppendKernel(device::Device& device, const op::RopeAppend& rope)
      : device_(device),
        rope_(rope),
        rotation_(rope, rope.head_dim),
        norm_weights_(rope.qk_norm ? 2 * static_cast<size_t>(rope.head_dim) : 0) {}

  int64_t workspace_bytes(int64_t, int64_t, int64_t) const override {
    return device_.pool().num_threads() * rotation_.scratch_floats() * 4;
  }

  void run(const Launch& launch) override {
    const TensorView& qkv = launch.inputs[0];
    if (rope_.qk_norm) read_norm_weights(launch);
    TKM_CHECK(rope_.layer < static_cast<int64_t>(launch.batch->layers.size()),
              "rope_append: layer {} of {} caches",
              rope_.layer,
              launch.batch->layers.size());
    parallel_rows(
        device_.pool(), qkv.rows(), qkv.columns(), [&](int64_t first, int64_t count, int thread) {
          float* scratch =
              static_cast<float*>(launch.workspace) + thread * rotation_.scratch_floats();
          for (int64_t row = first; row < first + count; ++row) run_row(launch, row, scratch);
        });
  }

 private:
  void read_norm_weights(const Launch& launch) {
    for (size_t i = 0; i < 2; ++i) {
      const TensorView& weight = launch.inputs[2 + i];
      float* to = norm_weights_.data() + static_cast<int64_t>(i) * rope_.head_dim;
      convert_run(weight.dtype, weight.data, DType::kF32, to, rope_.head_dim);
      if (rope_.unit_offset) {
        for (int64_t j = 0; j < rope_.head_dim; ++j) to[j] += 1.0f;
      }
    }
  }

  void run_row(const Launch& launch, int64_t row, float* scratch) const {
    const TensorView &qkv = launch.inputs[0], &q = launch.outputs[0];
    const op::KvCache& cache = launch.batch->layers[static_cast<size_t>(rope_.layer)];
    const op::SequenceSpan& sequence = sequence_of(*launch.batch, row);
    int64_t head_bytes = rope_.head_dim * tensor::dtype_bytes(qkv.dtype);
    TokenHeads heads =
        rotation_.prepare(static_cast<const int32_t*>(launch.inputs[1].data)[row], scratch);
    heads.from_dtype = qkv.dtype;
    heads.from = offset(qkv.data, row * qkv.columns() * tensor::dtype_bytes(qkv.dtype));
    heads.eps = rope_.eps;
    // Queries, then keys, then values: the source runs on, the destination changes.
    heads.to_dtype = q.dtype;
    heads.to = offset(q.data, row * q.columns() * tensor::dtype_bytes(q.dtype));
    heads.to_stride_bytes = rope_.head_dim * tensor::dtype_bytes(q.dtype);
    heads.num_heads = rope_.num_heads;
    if (rope_.qk_norm) heads.norm_weight = norm_weights_.data();
    store_heads(heads);
    heads.from = offset(heads.from, rope_.num_heads * head_bytes);
    heads.to_dtype = cache.dtype;
    heads.to = cache_slot(cache, sequence, row, 0);
    heads.to_stride_bytes = cache_head_stride_bytes(cache);
    heads.num_heads = rope_.num_kv_heads;
    if (rope_.qk_norm) heads.norm_weight = norm_weights_.data() + rope_.head_dim;
    store_heads(heads);
    heads.from = offset(heads.from, rope_.num_kv_heads * head_bytes);
    heads.to = cache_slot(cache, sequence, row, 1);
    heads.norm_weight = nullptr;
    heads.num_pairs = 0;
    store_heads(heads);
  }

  device::Device& device_;
  op::RopeAppend rope_;
  Rotation rotation_;
  std::vector<float> norm_weights_;  ///< Of queries, then of keys.
};

}  // namespace

const Tactic& rope_cpu_rows() {
  static const Tactic tactic = {
      .name = "rope_cpu_rows",
      .target = Target::kCpu,
      .candidates = claim<op::Rope>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        return std::unique_ptr<Kernel>(
            std::make_unique<RopeKernel>(device, *desc.op.as<op::Rope>()));
      }};
  return tactic;
}

const Tactic& rope_append_cpu_rows() {
  static const Tactic tactic = {
      .name = "rope_append_cpu_rows",
      .target = Target::kCpu,
      .candidates = claim<op::RopeAppend>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        return std::unique_ptr<Kernel>(
            std::make_unique<RopeAppendKernel>(device, *desc.op.as<op::RopeAppend>()));
      }};
  return tactic;
}

}  // namespace tokamak::kernels::cpu
