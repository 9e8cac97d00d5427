// SPDX-License-Identifier: Apache-2.0
// Tactics of the ops that treat a tensor as a run of elements.
#include "tokamak/op/elementwise.h"

#include "tokamak/kernels/cpu/elementwise/elementwise_simd.h"
#include "tokamak/kernels/cpu/rows.h"
#include "tokamak/kernels/cpu/tactics.h"

namespace tokamak::kernels::cpu {
namespace {

constexpr int64_t kRun = 8 << 10;  ///< Elements a thread takes at a time.

/// y = f(x), element by element: f(dtype, x, y, count).
template <class F>
class UnaryKernel : public Kernel {
 public:
  UnaryKernel(device::Device& device, F f) : device_(device), f_(std::move(f)) {}

  void run(const Launch& launch) override {
    const TensorView &x = launch.inputs[0], &y = launch.outputs[0];
    int64_t bytes = tensor::dtype_bytes(x.dtype), total = x.count();
    device_.pool().parallel_for(ceil_div(total, kRun), [&](int64_t i, int) {
      int64_t first = i * kRun;
      f_(x.dtype,
         offset(static_cast<const void*>(x.data), first * bytes),
         offset(y.data, first * bytes),
         std::min(kRun, total - first));
    });
  }

 private:
  device::Device& device_;
  F f_;
};

template <class F>
std::unique_ptr<Kernel> unary_kernel(device::Device& device, F f) {
  return std::make_unique<UnaryKernel<F>>(device, std::move(f));
}

/// b has a's shape, or is one row of it.
class BinaryKernel : public Kernel {
 public:
  BinaryKernel(device::Device& device, BinaryKind kind) : device_(device), kind_(kind) {}

  void run(const Launch& launch) override {
    const TensorView &a = launch.inputs[0], &b = launch.inputs[1], &y = launch.outputs[0];
    int64_t bytes = tensor::dtype_bytes(a.dtype), columns = a.columns();
    bool broadcast = b.shape.size() < a.shape.size();
    parallel_rows(device_.pool(), a.rows(), columns, [&](int64_t first, int64_t count, int) {
      int64_t runs = broadcast ? count : 1, length = broadcast ? columns : count * columns;
      for (int64_t i = 0; i < runs; ++i) {
        int64_t at = (first * columns + i * length) * bytes;
        binary_run(kind_,
                   a.dtype,
                   offset(static_cast<const void*>(a.data), at),
                   offset(static_cast<const void*>(b.data), broadcast ? 0 : at),
                   offset(y.data, at),
                   length);
      }
    });
  }

 private:
  device::Device& device_;
  BinaryKind kind_;
};

class GatedActivationKernel : public Kernel {
 public:
  GatedActivationKernel(device::Device& device, op::ActivationKind kind)
      : device_(device), kind_(kind) {}

  void run(const Launch& launch) override {
    const TensorView &x = launch.inputs[0], &y = launch.outputs[0];
    int64_t bytes = tensor::dtype_bytes(x.dtype), width = y.columns();
    parallel_rows(device_.pool(), y.rows(), width, [&](int64_t first, int64_t count, int) {
      for (int64_t row = first; row < first + count; ++row) {
        const std::byte* gate = offset(static_cast<const void*>(x.data), row * 2 * width * bytes);
        gated_run(
            kind_, x.dtype, gate, gate + width * bytes, offset(y.data, row * width * bytes), width);
      }
    });
  }

 private:
  device::Device& device_;
  op::ActivationKind kind_;
};

}  // namespace

const Tactic& add_cpu_simd() {
  static const Tactic tactic = {
      .name = "add_cpu_simd",
      .target = Target::kCpu,
      .candidates = claim<op::Add>,
      .make = [](const KernelDesc&, const Json&, device::Device& device) -> Made {
        return std::unique_ptr<Kernel>(std::make_unique<BinaryKernel>(device, BinaryKind::kAdd));
      }};
  return tactic;
}

const Tactic& mul_cpu_simd() {
  static const Tactic tactic = {
      .name = "mul_cpu_simd",
      .target = Target::kCpu,
      .candidates = claim<op::Mul>,
      .make = [](const KernelDesc&, const Json&, device::Device& device) -> Made {
        return std::unique_ptr<Kernel>(std::make_unique<BinaryKernel>(device, BinaryKind::kMul));
      }};
  return tactic;
}

const Tactic& scale_cpu_simd() {
  static const Tactic tactic = {
      .name = "scale_cpu_simd",
      .target = Target::kCpu,
      .candidates = claim<op::Scale>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        float factor = desc.op.as<op::Scale>()->factor;
        return unary_kernel(device, [factor](DType dtype, const void* x, void* y, int64_t count) {
          scale_run(factor, dtype, x, y, count);
        });
      }};
  return tactic;
}

const Tactic& softcap_cpu_simd() {
  static const Tactic tactic = {
      .name = "softcap_cpu_simd",
      .target = Target::kCpu,
      .candidates = claim<op::Softcap>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        float cap = desc.op.as<op::Softcap>()->cap;
        return unary_kernel(device, [cap](DType dtype, const void* x, void* y, int64_t count) {
          softcap_run(cap, dtype, x, y, count);
        });
      }};
  return tactic;
}

const Tactic& activation_cpu_simd() {
  static const Tactic tactic = {
      .name = "activation_cpu_simd",
      .target = Target::kCpu,
      .candidates = claim<op::Activation>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        op::ActivationKind kind = desc.op.as<op::Activation>()->kind;
        return unary_kernel(device, [kind](DType dtype, const void* x, void* y, int64_t count) {
          activation_run(kind, dtype, x, y, count);
        });
      }};
  return tactic;
}

const Tactic& gated_activation_cpu_simd() {
  static const Tactic tactic = {
      .name = "gated_activation_cpu_simd",
      .target = Target::kCpu,
      .candidates = claim<op::GatedActivation>,
      .make = [](const KernelDesc& desc, const Json&, device::Device& device) -> Made {
        return std::unique_ptr<Kernel>(std::make_unique<GatedActivationKernel>(
            device, desc.op.as<op::GatedActivation>()->kind));
      }};
  return tactic;
}

}  // namespace tokamak::kernels::cpu
