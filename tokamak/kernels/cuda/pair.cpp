// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cuda/pair.h"

namespace tokamak::kernels::cuda {
namespace {

class PairKernel : public Kernel {
 public:
  PairKernel(const Halves& halves, std::unique_ptr<Kernel> first, std::unique_ptr<Kernel> second)
      : halves_(halves), first_(std::move(first)), second_(std::move(second)) {}

  int64_t workspace_bytes(int64_t max_tokens,
                          int64_t max_rows,
                          int64_t max_sequences) const override {
    return between_bytes(halves_.first.outputs[0].resolve(max_tokens, max_rows)) +
           std::max(first_->workspace_bytes(max_tokens, max_rows, max_sequences),
                    second_->workspace_bytes(max_tokens, max_rows, max_sequences));
  }

  void run(const Launch& launch) override {
    int64_t rows = launch.inputs[0].rows();
    if (rows == 0) return;
    const TensorType& type = halves_.first.outputs[0];
    TensorView between{type.dtype, type.resolve(rows, rows), launch.workspace};
    Launch half = launch;
    half.workspace = static_cast<std::byte*>(launch.workspace) + between_bytes(between.shape);
    std::vector<TensorView> inputs;
    for (size_t i : halves_.first_inputs) inputs.push_back(launch.inputs[i]);
    half.inputs = inputs;
    half.outputs = std::span(&between, 1);
    first_->run(half);
    inputs.assign(1, between);
    for (size_t i : halves_.second_inputs) inputs.push_back(launch.inputs[i]);
    half.inputs = inputs;
    half.outputs = launch.outputs;
    second_->run(half);
  }

 private:
  int64_t between_bytes(const Shape& shape) const {
    return round_up(
        tensor::num_elements(shape) * tensor::dtype_bytes(halves_.first.outputs[0].dtype), 128);
  }

  Halves halves_;
  std::unique_ptr<Kernel> first_, second_;
};

Result<std::unique_ptr<Kernel>> make_half(const KernelDesc& half,
                                          const Json& config,
                                          device::Device& device) {
  const Json* name = config.is_object() && config.contains("tactic") ? &config["tactic"] : nullptr;
  const Tactic* tactic =
      name && name->is_string() ? find_tactic(name->get<std::string>()) : nullptr;
  if (!tactic || tactic->target != Target::kCuda || !config.contains("config"))
    return base::invalid(fmt::format("{}: no such config: {}", half.op.name(), config.dump()));
  return tactic->make(half, config["config"], device);
}

}  // namespace

Halves split_op(const KernelDesc& desc,
                op::Op first,
                std::vector<size_t> first_inputs,
                op::Op second,
                std::vector<size_t> second_inputs) {
  Halves out{.first_inputs = std::move(first_inputs), .second_inputs = std::move(second_inputs)};
  auto take = [&](KernelDesc& half, size_t i) {
    half.inputs.push_back(desc.inputs[i]);
    half.weights.push_back(i < desc.weights.size() && desc.weights[i]);
  };
  out.first.op = std::move(first);
  for (size_t i : out.first_inputs) take(out.first, i);
  out.first.outputs = out.first.op.infer(out.first.inputs).value();
  out.second.op = std::move(second);
  out.second.inputs = {out.first.outputs[0]};
  out.second.weights = {false};
  for (size_t i : out.second_inputs) take(out.second, i);
  out.second.outputs = out.second.op.infer(out.second.inputs).value();
  return out;
}

std::vector<Json> half_candidates(const KernelDesc& half,
                                  int64_t tokens,
                                  const device::Device& device) {
  std::vector<Json> out;
  for (const Tactic* tactic : all_tactics()) {
    if (tactic->target != Target::kCuda) continue;
    for (Json& config : tactic->candidates(half, tokens, device))
      out.push_back({{"tactic", tactic->name}, {"config", std::move(config)}});
  }
  return out;
}

Made make_pair(const Halves& halves, const Json& config, device::Device& device) {
  std::vector<Json> first_configs = half_candidates(halves.first, 1, device);
  if (first_configs.empty())
    return base::unsupported(fmt::format("{} has no cuda tactic", halves.first.op.name()));
  TKM_ASSIGN(std::unique_ptr<Kernel> first, make_half(halves.first, first_configs[0], device));
  TKM_ASSIGN(std::unique_ptr<Kernel> second, make_half(halves.second, config, device));
  return std::unique_ptr<Kernel>(
      std::make_unique<PairKernel>(halves, std::move(first), std::move(second)));
}

}  // namespace tokamak::kernels::cuda
