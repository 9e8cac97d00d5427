// SPDX-License-Identifier: Apache-2.0
// What the host twins of kernels share: device code as text, loading, the arguments that every
// kernel understands.
#pragma once

#include <algorithm>

#include "tokamak/base/fields.h"
#include "tokamak/device/cuda/cuda_device.h"
#include "tokamak/kernels/cuda/sources.h"
#include "tokamak/kernels/kernel.h"
#include "tokamak/op/activation.h"

namespace tokamak::kernels::cuda {

using device::cuda::CudaDevice;
using device::cuda::Function;
using Made = Result<std::unique_ptr<Kernel>>;

// ---- text ----

/// "tkm::bf16" or "float".
inline std::string device_type(DType dtype) {
  return dtype == DType::kBF16 ? "tkm::bf16" : "float";
}
inline std::string device_text(bool value) {
  return value ? "true" : "false";
}
inline std::string device_text(int value) {
  return fmt::to_string(value);
}
inline std::string device_text(int64_t value) {
  return fmt::to_string(value);
}
inline std::string device_text(const std::string& text) {
  return text;
}
inline std::string device_text(const char* text) {
  return text;
}
inline std::string device_text(op::ActivationKind kind) {
  return fmt::format("tkm::Activation::{}", base::enum_name(kind));
}
template <typename... Values>
std::string device_list(const Values&... values) {
  std::string text;
  ((text += (text.empty() ? "" : ", ") + device_text(values)), ...);
  return text;
}
/// "tkm::NormConfig{false, 4096}": a device struct by its members in order.
template <typename... Values>
std::string construct(std::string_view type, const Values&... values) {
  return fmt::format("tkm::{}{{{}}}", type, device_list(values...));
}
/// "tkm::norm<config, tkm::bf16>".
template <typename... Arguments>
std::string instantiate(std::string_view kernel, const Arguments&... arguments) {
  return fmt::format("tkm::{}<{}>", kernel, device_list(arguments...));
}

/// The kernel `expression` from `header` ("norm/norm.cuh"), compiled and loaded.
inline Result<Function> load_function(device::Device& device,
                                      std::string_view header,
                                      std::string expression) {
  device::cuda::KernelSource source;
  size_t begin = header.rfind('/') + 1;
  source.name = header.substr(begin, header.rfind('.') - begin);
  source.text = fmt::format("#include \"{}\"\n", header);
  source.kernels = {std::move(expression)};
  source.headers = sources();
  TKM_ASSIGN(auto module, device::cuda::cuda_device(device).load(source));
  return module.at(0);
}

/// Zeroed 32-bit counters that a kernel leaves at zero; nothing where the device only compiles.
inline Result<device::Memory> allocate_counters(device::Device& device, int64_t count) {
  if (!device::cuda::cuda_device(device).can_run()) return device::Memory();
  return device.allocate(count * 4);
}

// ---- arguments ----

/// tkm::Batch
struct BatchArgument {
  const int32_t *first_rows, *contexts, *page_table;
  int32_t num_sequences, max_pages;
};
/// tkm::Cache
struct CacheArgument {
  void* data;
  int64_t page_bytes;
};
inline BatchArgument batch_argument(const DeviceBatch& b) {
  return {b.first_rows, b.contexts, b.page_table, b.num_sequences, b.max_pages};
}
inline BatchArgument batch_argument(const Launch& launch) {
  TKM_CHECK(launch.device_batch, "cuda kernels of attention need a batch on the device");
  return batch_argument(*launch.device_batch);
}
inline const op::KvCache& cache_of_layer(const Launch& launch, int64_t layer) {
  TKM_CHECK(
      launch.batch && layer < std::ssize(launch.batch->layers), "no cache for layer {}", layer);
  return launch.batch->layers[static_cast<size_t>(layer)];
}
inline CacheArgument cache_argument(const op::KvCache& cache) {
  return {cache.data, cache.page_bytes};
}

// ---- problems ----

/// Dtypes that kernels read and write; arithmetic is f32.
inline bool is_supported(DType dtype) {
  return dtype == DType::kBF16 || dtype == DType::kF32;
}
inline bool all_supported(const KernelDesc& desc) {
  auto fine = [](const TensorType& type) {
    return !tensor::is_float(type.dtype) || is_supported(type.dtype);
  };
  return std::all_of(desc.inputs.begin(), desc.inputs.end(), fine) &&
         std::all_of(desc.outputs.begin(), desc.outputs.end(), fine);
}
/// Tactic::candidates of a tactic that takes the op T and has nothing to choose.
template <class T>
std::vector<Json> claim(const KernelDesc& desc, int64_t, const device::Device&) {
  if (!desc.op.as<T>() || !all_supported(desc)) return {};
  return {Json::object()};
}

constexpr int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
constexpr int64_t round_up(int64_t a, int64_t b) {
  return ceil_div(a, b) * b;
}
inline unsigned grid_size(int64_t blocks) {
  return static_cast<unsigned>(blocks);
}
/// The widest run of neighbouring elements that divides `columns`.
inline int64_t vector_of(int64_t columns) {
  return columns % 8 == 0 ? 8 : columns % 4 == 0 ? 4 : 1;
}

}  // namespace tokamak::kernels::cuda
