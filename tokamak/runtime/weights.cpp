// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/weights.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "tokamak/base/hash.h"
#include "tokamak/runtime/step_kernels.h"

namespace tokamak::runtime {
namespace {

class CheckpointWeights : public WeightSource {
 public:
  explicit CheckpointWeights(tensor::TensorFiles files) : files_(std::move(files)) {}

  Result<TensorView> find(const std::string& tensor, const Shape& expected) override {
    TKM_ASSIGN(TensorView view, files_.find(stored_name(tensor)));
    if (view.count() != tensor::num_elements(expected)) {
      return base::corrupt(fmt::format("{}: tensor '{}' is {}, but config.json makes it {}",
                                       files_.file_of(stored_name(tensor)),
                                       tensor,
                                       tensor::shape_text(view.shape),
                                       tensor::shape_text(expected)));
    }
    if (!tensor::is_float(view.dtype)) {
      return base::unsupported(
          fmt::format("{}: tensor '{}' is {}; weights are read from f32, f16 and bf16",
                      files_.file_of(stored_name(tensor)),
                      tensor,
                      tensor::dtype_name(view.dtype)));
    }
    return view;
  }
  void done(const std::string& tensor) override { files_.drop(stored_name(tensor)); }

 private:
  /// Base models are also published without the prefix that the head's class puts before their
  /// names ("transformer.", "model.").
  std::string stored_name(const std::string& tensor) const {
    size_t dot = tensor.find('.');
    if (files_.contains(tensor) || dot == std::string::npos) return tensor;
    std::string bare = tensor.substr(dot + 1);
    return files_.contains(bare) ? bare : tensor;
  }
  tensor::TensorFiles files_;
};

class DummyWeights : public WeightSource {
 public:
  Result<TensorView> find(const std::string& tensor, const Shape& expected) override {
    current_ = Tensor(DType::kBF16, expected);
    auto values = static_cast<uint16_t*>(current_.view().data);
    // Gains are one, matrices have the scale that keeps activations of the order of one.
    bool gain = expected.size() == 1 && tensor.find("norm") != std::string::npos &&
                !tensor.ends_with("bias");
    float scale = gain                   ? 0.0f
                  : expected.size() == 1 ? 0.02f
                                         : 1.0f / std::sqrt(static_cast<float>(expected.back()));
    uint64_t state = base::hash_text(tensor).low | 1;
    for (int64_t i = 0; i < current_.count(); ++i) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      float uniform = static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
      values[i] = tensor::float_to_bf16((gain ? 1.0f : 0.0f) + uniform * 1.7320508f * scale);
    }
    return current_.view();
  }

 private:
  Tensor current_;
};

/// Where the packed rows of one weight go.
struct PackTarget {
  kernels::KernelDesc desc;  ///< Of the step that defines the packing; its input 1 is the weight.
  const kernels::WeightLayout* layout;
  void* packed;
  void pack_rows(const void* rows, int64_t first, int64_t count) const {
    layout->pack_rows(desc, rows, first, count, packed);
  }
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

  void pack(const TensorView& view,
            const engine::PlanWeightPart& part,
            int64_t first_row,
            int64_t rows,
            base::ThreadPool& pool) {
    // A block of about half a MiB keeps the copies of a thread in its cache.
    int64_t block =
        std::clamp<int64_t>((512 << 10) / std::max<int64_t>(columns_ * 4, 1) / 64 * 64, 64, 4096);
    pool.parallel_for((rows + block - 1) / block, [&](int64_t i, int) {
      int64_t begin = i * block, count = std::min(block, rows - begin);
      bool plain = !part.transposed && !part.normalize_rows;
      const auto* stored = static_cast<const std::byte*>(view.data);
      if (plain && view.dtype == dtype_) {
        target_.pack_rows(
            stored + begin * columns_ * tensor::dtype_bytes(dtype_), first_row + begin, count);
        return;
      }
      std::vector<float> values(static_cast<size_t>(count * columns_));
      read_rows(view, part, begin, count, rows, values);
      std::vector<std::byte> converted(values.size() *
                                       static_cast<size_t>(tensor::dtype_bytes(dtype_)));
      tensor::convert(DType::kF32, values.data(), dtype_, converted.data(), count * columns_);
      target_.pack_rows(converted.data(), first_row + begin, count);
    });
  }

 private:
  void read_rows(const TensorView& view,
                 const engine::PlanWeightPart& part,
                 int64_t begin,
                 int64_t count,
                 int64_t rows,
                 std::vector<float>& out) const {
    const auto* stored = static_cast<const std::byte*>(view.data);
    int64_t element = tensor::dtype_bytes(view.dtype);
    if (!part.transposed) {
      tensor::convert(view.dtype,
                      stored + begin * columns_ * element,
                      DType::kF32,
                      out.data(),
                      count * columns_);
    } else {
      std::vector<float> line(static_cast<size_t>(count));
      for (int64_t k = 0; k < columns_; ++k) {
        tensor::convert(
            view.dtype, stored + (k * rows + begin) * element, DType::kF32, line.data(), count);
        for (int64_t r = 0; r < count; ++r)
          out[static_cast<size_t>(r * columns_ + k)] = line[static_cast<size_t>(r)];
      }
    }
    if (!part.normalize_rows) return;
    for (int64_t r = 0; r < count; ++r) {
      float* row = out.data() + r * columns_;
      double squares = 0;
      for (int64_t k = 0; k < columns_; ++k) squares += static_cast<double>(row[k]) * row[k];
      float scale = static_cast<float>(1.0 / std::max(std::sqrt(squares), 1e-12));
      for (int64_t k = 0; k < columns_; ++k) row[k] *= scale;
    }
  }
  const PackTarget& target_;
  DType dtype_;
  int64_t columns_;
};

}  // namespace

std::unique_ptr<WeightSource> checkpoint_weights(tensor::TensorFiles files) {
  return std::make_unique<CheckpointWeights>(std::move(files));
}
std::unique_ptr<WeightSource> dummy_weights() {
  return std::make_unique<DummyWeights>();
}

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
  for (size_t w = 0; w < plan.weights.size(); ++w) {
    const engine::PlanWeight& weight = plan.weights[w];
    const engine::PlanValue& value = plan.values[static_cast<size_t>(weight.value)];
    Shape shape = value.type.resolve(0, 0);
    int64_t columns = shape.size() == 2 ? shape[1] : 1, total_rows = shape[0];
    TKM_ASSIGN(
        PackTarget target,
        pack_target(plan, weight, static_cast<std::byte*>(arena) + memory.weight_offsets[w]));
    Packer packer(target, value.type.dtype, columns);
    int64_t first_row = 0;
    for (const engine::PlanWeightPart& part : weight.parts) {
      int64_t rows = part.rows;
      if (rows > total_rows - first_row) break;
      Shape expected = shape.size() == 1 ? Shape{rows}
                       : part.transposed ? Shape{columns, rows}
                                         : Shape{rows, columns};
      TKM_ASSIGN(TensorView view, source.find(part.tensor, expected));
      packer.pack(view, part, first_row, rows, device.pool());
      first_row += rows;
      if (--uses[part.tensor] == 0) source.done(part.tensor);
    }
    if (first_row != total_rows)
      return base::corrupt(fmt::format(
          "weight '{}' needs {} rows, its parts have {}", value.name, total_rows, first_row));
    base::report(progress, "loading weights", done_bytes += weight.bytes, memory.weight_bytes);
  }
  return {};
}

}  // namespace tokamak::runtime
