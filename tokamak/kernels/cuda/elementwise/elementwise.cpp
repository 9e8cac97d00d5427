// SPDX-License-Identifier: Apache-2.0
// Tactics of the elementwise ops: one kernel, a run of elements a thread.
#include "tokamak/op/elementwise.h"

#include "tokamak/kernels/cuda/device_code.h"
#include "tokamak/kernels/cuda/tactics.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr int64_t kThreads = 256;

class ElementwiseKernel : public Kernel {
 public:
  ElementwiseKernel(Function function, int64_t vector, bool two_inputs, float value)
      : function_(std::move(function)), vector_(vector), two_inputs_(two_inputs), value_(value) {}

  void run(const Launch& launch) override {
    long long count = launch.outputs[0].count(), columns = launch.outputs[0].columns();
    if (count == 0) return;
    const void* other = two_inputs_ ? launch.inputs[1].data : nullptr;
    function_.launch({.grid = {grid_size(ceil_div(count, kThreads * vector_))},
                      .block = {kThreads},
                      .dependent = true},
                     launch.inputs[0].data,
                     other,
                     launch.outputs[0].data,
                     value_,
                     count,
                     columns);
  }

 private:
  Function function_;
  int64_t vector_;
  bool two_inputs_;
  float value_;
};

/// What differs between the ops.
struct Kind {
  const char* name;
  op::ActivationKind activation = op::ActivationKind::kNone;
  float value = 0;
};

Made make(const KernelDesc& desc, const Kind& kind, device::Device& device) {
  bool two = desc.inputs.size() > 1, row = two && desc.inputs[1].shape != desc.inputs[0].shape;
  int64_t vector = vector_of(desc.outputs[0].columns());
  DType x = desc.inputs[0].dtype;
  std::string config = construct("ElementwiseConfig",
                                 fmt::format("tkm::Elementwise::{}", kind.name),
                                 kind.activation,
                                 row,
                                 vector);
  std::string kernel = instantiate(
      "elementwise", config, device_type(x), device_type(two ? desc.inputs[1].dtype : x));
  TKM_ASSIGN(Function function, load_function(device, "elementwise/elementwise.cuh", kernel));
  return std::unique_ptr<Kernel>(
      std::make_unique<ElementwiseKernel>(std::move(function), vector, two, kind.value));
}

}  // namespace

const Tactic& add_cuda_vector() {
  static const Tactic tactic = {
      .name = "add_cuda_vector",
      .target = Target::kCuda,
      .candidates = claim<op::Add>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        return make(desc, {.name = "add"}, device);
      }};
  return tactic;
}

const Tactic& mul_cuda_vector() {
  static const Tactic tactic = {
      .name = "mul_cuda_vector",
      .target = Target::kCuda,
      .candidates = claim<op::Mul>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        return make(desc, {.name = "mul"}, device);
      }};
  return tactic;
}

const Tactic& scale_cuda_vector() {
  static const Tactic tactic = {
      .name = "scale_cuda_vector",
      .target = Target::kCuda,
      .candidates = claim<op::Scale>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        return make(desc, {.name = "scale", .value = desc.op.as<op::Scale>()->factor}, device);
      }};
  return tactic;
}

const Tactic& softcap_cuda_vector() {
  static const Tactic tactic = {
      .name = "softcap_cuda_vector",
      .target = Target::kCuda,
      .candidates = claim<op::Softcap>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        return make(desc, {.name = "softcap", .value = desc.op.as<op::Softcap>()->cap}, device);
      }};
  return tactic;
}

const Tactic& activation_cuda_vector() {
  static const Tactic tactic = {
      .name = "activation_cuda_vector",
      .target = Target::kCuda,
      .candidates = claim<op::Activation>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        op::ActivationKind kind = desc.op.as<op::Activation>()->kind;
        return make(desc, {.name = "activation", .activation = kind}, device);
      }};
  return tactic;
}

const Tactic& gated_activation_cuda_vector() {
  static const Tactic tactic = {
      .name = "gated_activation_cuda_vector",
      .target = Target::kCuda,
      .candidates = claim<op::GatedActivation>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        op::ActivationKind kind = desc.op.as<op::GatedActivation>()->kind;
        return make(desc, {.name = "gated", .activation = kind}, device);
      }};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
