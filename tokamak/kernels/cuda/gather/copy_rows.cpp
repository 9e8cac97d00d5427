// SPDX-License-Identifier: Apache-2.0
// Tactics of ops that copy rows: embeddings, selected rows, slices.
#include "tokamak/kernels/cuda/device_code.h"
#include "tokamak/kernels/cuda/tactics.h"
#include "tokamak/op/elementwise.h"
#include "tokamak/op/gather.h"

namespace tokamak::kernels::cuda {
namespace {

/// In bytes.
struct RowCopy {
  bool picked = false;
  int64_t bytes = 0, stride = 0, begin = 0;

  int64_t vector() const {
    for (int64_t width : {16, 4}) {
      if (bytes % width == 0 && stride % width == 0 && begin % width == 0) return width;
    }
    return 2;
  }
  int64_t threads() const {
    return std::clamp<int64_t>(round_up(ceil_div(bytes, vector()), 32), 32, 256);
  }
};

class RowCopyKernel : public Kernel {
 public:
  /// Indices of the inputs that hold the rows and, if picked, their numbers.
  struct Roles {
    size_t table = 0, index = 0;
  };
  RowCopyKernel(Function function, const RowCopy& copy, Roles roles, long long offset)
      : function_(std::move(function)), copy_(copy), roles_(roles), offset_(offset) {}

  void run(const Launch& launch) override {
    int64_t rows = launch.outputs[0].rows();
    if (rows == 0) return;
    const void* index = copy_.picked ? launch.inputs[roles_.index].data : nullptr;
    function_.launch(
        {.grid = {grid_size(rows)}, .block = {grid_size(copy_.threads())}, .dependent = true},
        launch.inputs[roles_.table].data,
        index,
        launch.outputs[0].data,
        offset_);
  }

 private:
  Function function_;
  RowCopy copy_;
  Roles roles_;
  long long offset_;
};

Made make(const RowCopy& copy, RowCopyKernel::Roles roles, int64_t offset, device::Device& device) {
  std::string config = construct("CopyRowsConfig",
                                 copy.picked,
                                 copy.vector(),
                                 copy.threads(),
                                 copy.bytes,
                                 copy.stride,
                                 copy.begin);
  TKM_ASSIGN(Function function,
             load_function(device, "gather/copy_rows.cuh", instantiate("copy_rows", config)));
  return std::unique_ptr<Kernel>(
      std::make_unique<RowCopyKernel>(std::move(function), copy, roles, offset));
}

int64_t row_bytes(const TensorType& type) {
  return type.columns() * tensor::dtype_bytes(type.dtype);
}

}  // namespace

const Tactic& embedding_cuda_rows() {
  static const Tactic tactic = {
      .name = "embedding_cuda_rows",
      .target = Target::kCuda,
      .candidates = claim<op::Embedding>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        int64_t bytes = row_bytes(desc.inputs[1]);
        return make({.picked = true, .bytes = bytes, .stride = bytes},
                    {.table = 1, .index = 0},
                    desc.op.as<op::Embedding>()->offset,
                    device);
      }};
  return tactic;
}

const Tactic& select_rows_cuda_rows() {
  static const Tactic tactic = {
      .name = "select_rows_cuda_rows",
      .target = Target::kCuda,
      .candidates = claim<op::SelectRows>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        int64_t bytes = row_bytes(desc.inputs[0]);
        return make(
            {.picked = true, .bytes = bytes, .stride = bytes}, {.table = 0, .index = 1}, 0, device);
      }};
  return tactic;
}

const Tactic& slice_cuda_rows() {
  static const Tactic tactic = {
      .name = "slice_cuda_rows",
      .target = Target::kCuda,
      .candidates = claim<op::Slice>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        const auto& slice = *desc.op.as<op::Slice>();
        int64_t element = tensor::dtype_bytes(desc.inputs[0].dtype);
        return make({.bytes = slice.size * element,
                     .stride = row_bytes(desc.inputs[0]),
                     .begin = slice.begin * element},
                    {},
                    0,
                    device);
      }};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
