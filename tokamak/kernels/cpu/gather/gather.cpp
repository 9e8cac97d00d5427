// SPDX-License-Identifier: Apache-2.0
// Tactics that copy rows or parts of rows: embedding, select_rows, slice.
#include "tokamak/op/gather.h"

#include "tokamak/kernels/cpu/gemm/panel_layout.h"
#include "tokamak/kernels/cpu/rows.h"
#include "tokamak/kernels/cpu/tactics.h"
#include "tokamak/op/elementwise.h"

namespace tokamak::kernels::cpu {
namespace {

int64_t checked_row(const TensorView& table, int64_t row) {
  TKM_CHECK(row >= 0 && row < table.rows(), "row {} of {}", row, table.rows());
  return row;
}

/// y[i] = table[ids[i] + shift], for row-major tables.
class GatherKernel : public Kernel {
 public:
  GatherKernel(device::Device& device, int ids_input, int64_t shift)
      : device_(device), ids_input_(ids_input), shift_(shift) {}

  void run(const Launch& launch) override {
    const TensorView &table = launch.inputs[static_cast<size_t>(1 - ids_input_)],
                     &y = launch.outputs[0];
    auto ids = launch.inputs[static_cast<size_t>(ids_input_)].as<const int32_t>();
    int64_t row_bytes = y.columns() * tensor::dtype_bytes(y.dtype);
    parallel_rows(device_.pool(), y.rows(), y.columns(), [&](int64_t first, int64_t count, int) {
      for (int64_t i = first; i < first + count; ++i) {
        int64_t row = checked_row(table, ids[static_cast<size_t>(i)] + shift_);
        std::memcpy(offset(y.data, i * row_bytes),
                    offset(table.data, row * row_bytes),
                    static_cast<size_t>(row_bytes));
      }
    });
  }

 private:
  device::Device& device_;
  int ids_input_;
  int64_t shift_;
};

/// The same for a table that is packed for a matmul which shares it.
class PanelGatherKernel : public Kernel {
 public:
  PanelGatherKernel(device::Device& device, const KernelDesc& desc, int64_t shift)
      : device_(device), shape_(panel_shape(desc)), shift_(shift) {}

  void run(const Launch& launch) override {
    const TensorView &table = launch.inputs[1], &y = launch.outputs[0];
    auto ids = launch.inputs[0].as<const int32_t>();
    int64_t row_bytes = y.columns() * tensor::dtype_bytes(y.dtype);
    parallel_rows(device_.pool(), y.rows(), y.columns(), [&](int64_t first, int64_t count, int) {
      for (int64_t i = first; i < first + count; ++i) {
        int64_t row = checked_row(table, ids[static_cast<size_t>(i)] + shift_);
        unpack_row(shape_, table.data, row, offset(y.data, i * row_bytes));
      }
    });
  }

 private:
  device::Device& device_;
  PanelShape shape_;
  int64_t shift_;
};

class SliceKernel : public Kernel {
 public:
  SliceKernel(device::Device& device, int64_t begin) : device_(device), begin_(begin) {}

  void run(const Launch& launch) override {
    const TensorView &x = launch.inputs[0], &y = launch.outputs[0];
    int64_t element = tensor::dtype_bytes(x.dtype), bytes = y.columns() * element;
    parallel_rows(device_.pool(), y.rows(), y.columns(), [&](int64_t first, int64_t count, int) {
      for (int64_t i = first; i < first + count; ++i) {
        std::memcpy(offset(y.data, i * bytes),
                    offset(x.data, (i * x.columns() + begin_) * element),
                    static_cast<size_t>(bytes));
      }
    });
  }

 private:
  device::Device& device_;
  int64_t begin_;
};

/// Copies take any dtype.
template <class T>
std::vector<Json> claim_any_dtype(const KernelDesc& desc, int64_t, const device::Device&) {
  return desc.op.as<T>() ? std::vector<Json>{Json::object()} : std::vector<Json>{};
}

}  // namespace

const Tactic& embedding_cpu_panels() {
  static const Tactic tactic = {
      .name = "embedding_cpu_panels",
      .target = Target::kCpu,
      .layout = &panel_layout(),
      .candidates =
          [](const KernelDesc& desc, int64_t tokens, const device::Device& device) {
            bool packed = desc.weights.size() > 1 && desc.weights[1];
            return packed ? claim<op::Embedding>(desc, tokens, device) : std::vector<Json>{};
          },
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        return std::unique_ptr<Kernel>(
            std::make_unique<PanelGatherKernel>(device, desc, desc.op.as<op::Embedding>()->offset));
      }};
  return tactic;
}

const Tactic& embedding_cpu_rows() {
  static const Tactic tactic = {
      .name = "embedding_cpu_rows",
      .target = Target::kCpu,
      .candidates = claim_any_dtype<op::Embedding>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        return std::unique_ptr<Kernel>(std::make_unique<GatherKernel>(
            device, /*ids_input=*/0, desc.op.as<op::Embedding>()->offset));
      }};
  return tactic;
}

const Tactic& select_rows_cpu_rows() {
  static const Tactic tactic = {
      .name = "select_rows_cpu_rows",
      .target = Target::kCpu,
      .candidates = claim_any_dtype<op::SelectRows>,
      .make = [](const KernelDesc&, const Json&, device::Device& device) -> Made {
        return std::unique_ptr<Kernel>(
            std::make_unique<GatherKernel>(device, /*ids_input=*/1, /*shift=*/0));
      }};
  return tactic;
}

const Tactic& slice_cpu_rows() {
  static const Tactic tactic = {
      .name = "slice_cpu_rows",
      .target = Target::kCpu,
      .candidates = claim_any_dtype<op::Slice>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        return std::unique_ptr<Kernel>(
            std::make_unique<SliceKernel>(device, desc.op.as<op::Slice>()->begin));
      }};
  return tactic;
}

}  // namespace tokamak::kernels::cpu
