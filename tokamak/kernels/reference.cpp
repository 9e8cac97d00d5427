// SPDX-License-Identifier: Apache-2.0
// The reference target: any op by its fp32 reference, with values rounded to their dtypes between
// ops.
#include "tokamak/kernels/reference.h"

#include <vector>

namespace tokamak::kernels {
namespace {

class ReferenceKernel : public Kernel {
 public:
  explicit ReferenceKernel(op::Op op) : op_(std::move(op)) {}

  void run(const Launch& launch) override {
    std::vector<Tensor> kept;
    std::vector<TensorView> inputs, outputs;
    for (const TensorView& view : launch.inputs)
      inputs.push_back(as_float(view, kept, /*copy=*/true));
    for (const TensorView& view : launch.outputs)
      outputs.push_back(as_float(view, kept, /*copy=*/false));
    op_.reference(*launch.batch, inputs, outputs);
    for (size_t i = 0; i < outputs.size(); ++i) {
      const TensorView& to = launch.outputs[i];
      if (to.data != outputs[i].data)
        tensor::convert(DType::kF32, outputs[i].data, to.dtype, to.data, to.count());
    }
  }

 private:
  static TensorView as_float(const TensorView& view, std::vector<Tensor>& kept, bool copy) {
    if (!tensor::is_float(view.dtype) || view.dtype == DType::kF32) return view;
    kept.emplace_back(DType::kF32, view.shape);
    if (copy)
      tensor::convert(view.dtype, view.data, DType::kF32, kept.back().view().data, view.count());
    return kept.back().view();
  }
  op::Op op_;
};

}  // namespace

const Tactic& reference_tactic() {
  static const Tactic tactic = {
      .name = "reference",
      .target = Target::kReference,
      .candidates = [](const KernelDesc&,
                       int64_t,
                       const device::Device&) { return std::vector<Json>{Json::object()}; },
      .make = [](const KernelDesc& desc,
                 const Json&,
                 device::Device&) -> Result<std::unique_ptr<Kernel>> {
        return std::unique_ptr<Kernel>(std::make_unique<ReferenceKernel>(desc.op));
      }};
  return tactic;
}

}  // namespace tokamak::kernels
