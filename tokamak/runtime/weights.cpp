// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/weights.h"

#include <algorithm>
#include <map>

#include "tokamak/base/hash.h"
#include "tokamak/base/log.h"
#include "tokamak/kernels/cuda/fill/fill_random.h"
#include "tokamak/runtime/step_kernels.h"

namespace tokamak::runtime {
namespace {

/// Where the packed rows of one weight go.
struct PackTarget {
  kernels::KernelDesc desc;  ///< Of the step that defines the packing; its input 1 is the weight.
  const kernels::WeightLayout* layout;
  void* packed;  ///< In host memory.
  void pack_rows(const void* rows, int64_t first, int64_t count) const {
    layout->pack_rows(desc, rows, first, count, packed);
  }
  bool row_major() const { return layout == &kernels::row_major_layout(); }
};

Result<PackTarget> pack_target(const engine::Plan& plan,
                               const engine::PlanWeight& weight,
                               void* packed) {
  PackTarget target{.layout = &kernels::row_major_layout(), .packed = packed};
  if (weight.step < 0) {
    // Only input 1 is read by a layout: a desc without an op will do for rows as they are.
    const TensorType& type = plan.values[static_cast<size_t>(weight.value)].type;
    target.desc.inputs = {type, type};
    return target;
  }
  const engine::PlanStep& step = plan.steps[static_cast<size_t>(weight.step)];
  TKM_ASSIGN(target.desc, step_desc(plan, step));
  TKM_ASSIGN(const kernels::Tactic* tactic, chosen_tactic(step.choices[0]));
  if (tactic->layout) target.layout = tactic->layout;
  if (target.layout->name != weight.layout || target.layout->bytes(target.desc) != weight.bytes) {
    return base::corrupt(fmt::format("plan: weight '{}' has the layout {}, but {} packs it as {}",
                                     plan.values[static_cast<size_t>(weight.value)].name,
                                     weight.layout,
                                     tactic->name,
                                     target.layout->name),
                         "build the engine again");
  }
  return target;
}

/// Rows [0, rows) of a matrix in blocks, in parallel; the block's rows are converted to the
/// engine's dtype first.
class Packer {
 public:
  Packer(const PackTarget& target, DType dtype, int64_t columns)
      : target_(target), dtype_(dtype), columns_(columns) {}

  /// Rows [from, from + rows) of the part become the rows from `first_row` on of the target.
  void pack(const TensorView& view,
            const WeightPart& part,
            int64_t from,
            int64_t rows,
            int64_t first_row,
            base::ThreadPool& pool) const {
    // A block of about half a MiB keeps the copies of a thread in its cache.
    int64_t block =
        std::clamp<int64_t>((512 << 10) / std::max<int64_t>(columns_ * 4, 1) / 64 * 64, 64, 4096);
    first_row -= from;
    pool.parallel_for((rows + block - 1) / block, [&](int64_t i, int) {
      int64_t begin = from + i * block, count = std::min(block, from + rows - begin);
      const auto* stored = static_cast<const std::byte*>(view.data);
      if (part.plain() && view.dtype == dtype_) {
        target_.pack_rows(
            stored + begin * columns_ * tensor::dtype_bytes(dtype_), first_row + begin, count);
        return;
      }
      std::vector<float> values(static_cast<size_t>(count * columns_));
      tensor::read_rows(part, view, begin, count, values);
      std::vector<std::byte> converted(values.size() *
                                       static_cast<size_t>(tensor::dtype_bytes(dtype_)));
      tensor::convert(DType::kF32, values.data(), dtype_, converted.data(), count * columns_);
      target_.pack_rows(converted.data(), first_row + begin, count);
    });
  }

 private:
  const PackTarget& target_;
  DType dtype_;
  int64_t columns_;
};

/// Pinned memory through which packed rows reach a device: one half is filled while the other is
/// copied.
class Staging {
 public:
  static constexpr int64_t kHalfBytes = 64 << 20;

  explicit Staging(device::Device& device) : device_(device) {}

  /// The half to fill next, at least `bytes` long; what was copied from it has arrived.
  Result<void*> next(int64_t bytes) {
    device::Memory& half = halves_[turn_];
    if (half.bytes() < bytes) {
      TKM_RETURN_IF_ERROR(device_.synchronize());
      TKM_ASSIGN(half, device_.allocate_host(std::max(bytes, kHalfBytes)));
    }
    return half.data();
  }
  /// Starts the copy of the half that next() gave.
  Result<void> send(void* to, int64_t bytes) {
    // The other half's copy must be over before it is filled, which comes next.
    TKM_RETURN_IF_ERROR(device_.synchronize());
    device_.copy_to_device(to, halves_[turn_].data(), bytes);
    turn_ = 1 - turn_;
    return {};
  }

 private:
  device::Device& device_;
  device::Memory halves_[2];
  size_t turn_ = 0;
};

/// The parts of one weight, on their way into the arena.
struct WeightLoad {
  const engine::PlanWeight& weight;
  const engine::PlanValue& value;
  int64_t columns, total_rows;
  void* to;  ///< In the arena.
};

/// Rows of a part, first_row of the weight on, to a device that has memory of its own.
Result<void> send_rows(const WeightLoad& load,
                       PackTarget& target,
                       const TensorView& view,
                       const WeightPart& part,
                       int64_t first_row,
                       device::Device& device,
                       Staging& staging) {
  int64_t row_bytes = load.columns * tensor::dtype_bytes(load.value.type.dtype);
  int64_t chunk = std::max<int64_t>(1, Staging::kHalfBytes / row_bytes);
  Packer packer(target, load.value.type.dtype, load.columns);
  for (int64_t from = 0; from < part.rows; from += chunk) {
    int64_t count = std::min(chunk, part.rows - from);
    TKM_ASSIGN(target.packed, staging.next(count * row_bytes));
    packer.pack(view, part, from, count, 0, device.pool());
    TKM_RETURN_IF_ERROR(staging.send(
        static_cast<std::byte*>(load.to) + (first_row + from) * row_bytes, count * row_bytes));
  }
  return {};
}

Result<WeightLoad> weight_load(const engine::Plan& plan,
                               const engine::MemoryPlan& memory,
                               size_t w,
                               void* arena) {
  const engine::PlanWeight& weight = plan.weights[w];
  const engine::PlanValue& value = plan.values[static_cast<size_t>(weight.value)];
  Shape shape = value.type.resolve(0, 0);
  int64_t rows = 0;
  for (const WeightPart& part : weight.parts) rows += part.rows;
  if (rows != shape[0])
    return base::corrupt(
        fmt::format("weight '{}' needs {} rows, its parts have {}", value.name, shape[0], rows));
  return WeightLoad{.weight = weight,
                    .value = value,
                    .columns = shape.size() == 2 ? shape[1] : 1,
                    .total_rows = shape[0],
                    .to = static_cast<std::byte*>(arena) + memory.weight_offsets[w]};
}

/// Random values of the scale of dummy_weights(), made by the device. A layout only moves values.
Result<void> fill_dummy_weights(const engine::Plan& plan,
                                const engine::MemoryPlan& memory,
                                device::Device& device,
                                void* arena) {
  for (size_t w = 0; w < plan.weights.size(); ++w) {
    TKM_ASSIGN(WeightLoad load, weight_load(plan, memory, w, arena));
    DType dtype = load.value.type.dtype;
    int64_t row_bytes = load.columns * tensor::dtype_bytes(dtype), first_row = 0;
    for (const WeightPart& part : load.weight.parts) {
      auto [offset, scale] = dummy_range(part.tensor, tensor::stored_shape(load.value.type, part));
      TKM_RETURN_IF_ERROR(
          kernels::cuda::fill_random(device,
                                     static_cast<std::byte*>(load.to) + first_row * row_bytes,
                                     dtype,
                                     part.rows * load.columns,
                                     offset,
                                     scale,
                                     base::hash_text(part.tensor).low));
      first_row += part.rows;
    }
  }
  return device.synchronize();
}

}  // namespace

Result<void> load_weights(const engine::Plan& plan,
                          const engine::MemoryPlan& memory,
                          WeightSource& source,
                          device::Device& device,
                          void* arena,
                          const base::Progress& progress) {
  std::map<std::string, int> uses;
  for (const auto& weight : plan.weights) {
    for (const auto& part : weight.parts) ++uses[part.tensor];
  }
  int64_t done_bytes = 0;
  Staging staging(device);
  for (size_t w = 0; w < plan.weights.size(); ++w) {
    TKM_ASSIGN(WeightLoad load, weight_load(plan, memory, w, arena));
    bool direct = device.host_accessible();
    TKM_ASSIGN(PackTarget target, pack_target(plan, load.weight, load.to));
    bool in_rows = target.row_major();
    if (!direct && !in_rows) {
      TKM_ASSIGN(target.packed, staging.next(load.weight.bytes));
    }
    Packer packer(target, load.value.type.dtype, load.columns);
    int64_t first_row = 0;
    for (const WeightPart& part : load.weight.parts) {
      TKM_ASSIGN(TensorView view,
                 source.find(part.tensor, tensor::stored_shape(load.value.type, part)));
      if (direct || !in_rows)
        packer.pack(view, part, 0, part.rows, first_row, device.pool());
      else
        TKM_RETURN_IF_ERROR(send_rows(load, target, view, part, first_row, device, staging));
      first_row += part.rows;
      if (--uses[part.tensor] == 0) source.done(part.tensor);
    }
    if (!direct && !in_rows) TKM_RETURN_IF_ERROR(staging.send(load.to, load.weight.bytes));
    base::report(progress, "loading weights", done_bytes += load.weight.bytes, memory.weight_bytes);
  }
  return device.synchronize();
}

Result<void> load_engine_weights(const engine::Engine& engine,
                                 const engine::MemoryPlan& memory,
                                 device::Device& device,
                                 const device::Memory& arena,
                                 bool check,
                                 const base::Progress& progress) {
  if (engine.manifest.dummy_weights && !device.host_accessible())
    return fill_dummy_weights(engine.plan, memory, device, arena.data());
  std::unique_ptr<WeightSource> source;
  if (engine.manifest.dummy_weights) {
    source = dummy_weights();
  } else {
    TKM_ASSIGN(tensor::TensorFiles files, engine::open_weights(engine));
    if (std::string unused = unused_tensors(engine.plan, files); !unused.empty())
      base::log_warn("{}: {}", engine.manifest.model_name, unused);
    source = checkpoint_weights(
        std::move(files), check ? engine.weight_hashes : engine::WeightHashes{}, device.pool());
  }
  return load_weights(engine.plan, memory, *source, device, arena.data(), progress);
}

}  // namespace tokamak::runtime
