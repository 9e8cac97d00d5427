// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/verify_weights.h"

#include "tokamak/base/fields.h"
#include "tokamak/op/matmul.h"

namespace tokamak::runtime {
namespace {

using engine::Plan;
using engine::PlanStep;
using engine::PlanValue;
using engine::PlanValueKind;
using engine::PlanWeight;
using op::Op;

class WeightVerifier {
 public:
  WeightVerifier(const Plan& plan, const std::vector<kernels::KernelDesc>& descs)
      : plan_(plan), descs_(descs) {}

  Result<void> run() const {
    std::vector<const PlanWeight*> weight_of(plan_.values.size());
    int64_t total = 0;
    for (const PlanWeight& weight : plan_.weights) {
      const PlanValue& v = value(weight.value);
      if (std::exchange(weight_of[static_cast<size_t>(weight.value)], &weight))
        return plan_error(fmt::format("plan weight '{}' stands there twice", v.name));
      if (weight.bytes > kMaxWeightBytes || (total += weight.bytes) > kMaxWeightBytes)
        return plan_error(fmt::format(
            "plan: the weights up to '{}' take more than {} bytes", v.name, kMaxWeightBytes));
      TKM_RETURN_IF_ERROR(check_parts(weight));
    }
    for (size_t i = 0; i < plan_.values.size(); ++i) {
      if (plan_.values[i].kind == PlanValueKind::kWeight && !weight_of[i])
        return plan_error(fmt::format("plan: nothing says what the weight '{}' is made of",
                                      plan_.values[i].name));
    }
    for (const PlanWeight& weight : plan_.weights) TKM_RETURN_IF_ERROR(check_packing(weight));
    for (size_t s = 0; s < plan_.steps.size(); ++s) {
      for (size_t i = 0; i < plan_.steps[s].inputs.size(); ++i) {
        const PlanWeight* weight = weight_of[static_cast<size_t>(plan_.steps[s].inputs[i])];
        if (!weight) continue;
        auto fine = check_reader(s, i, *weight);
        if (!fine.ok()) return error_of_step(s, fine.error());
      }
    }
    return {};
  }

 private:
  const PlanValue& value(int32_t index) const { return plan_.values[static_cast<size_t>(index)]; }
  static std::string text(const PlanValue& v) { return v.type.text(); }

  Result<void> check_parts(const PlanWeight& weight) const {
    const PlanValue& v = value(weight.value);
    bool constant = v.kind == PlanValueKind::kWeight && v.type.rank() >= 1 && v.type.rank() <= 2;
    for (const tensor::Dim& dim : v.type.shape) constant = constant && dim.is_constant();
    if (!constant)
      return plan_error(
          fmt::format("plan weight '{}' is the {} {}, must be a weight of one or two "
                      "constant dimensions",
                      v.name,
                      base::enum_name(v.kind),
                      text(v)));
    int64_t rows = 0;
    for (const WeightPart& part : weight.parts) {
      if (part.transposed && v.type.rank() != 2)
        return plan_error(fmt::format("plan weight '{}' is {}, but its part '{}' is transposed",
                                      v.name,
                                      text(v),
                                      part.tensor));
      if (__builtin_add_overflow(rows, part.rows, &rows)) rows = INT64_MAX;
    }
    if (!tensor::is_float(v.type.dtype))
      return plan_error(
          fmt::format("plan weight '{}' is {}, must be a float type", v.name, text(v)));
    if (rows == v.type.shape[0].size) return {};
    return plan_error(
        fmt::format("plan weight '{}' is {}, but its parts have {} rows", v.name, text(v), rows));
  }

  /// The step that packs a weight reads it so; what no step packs lies as it is stored.
  Result<void> check_packing(const PlanWeight& weight) const {
    const PlanValue& v = value(weight.value);
    const std::string_view row_major = kernels::row_major_layout().name;
    if (weight.step < 0) {
      int64_t bytes = *row_bytes(v.type, kMaxWeightBytes);
      if (weight.layout == row_major && weight.bytes == bytes) return {};
      return plan_error(
          fmt::format("plan weight '{}' is {} bytes {}, but no step packs it: must be "
                      "{} {}",
                      v.name,
                      weight.bytes,
                      weight.layout,
                      bytes,
                      row_major));
    }
    const PlanStep& step = plan_.steps[static_cast<size_t>(weight.step)];
    if (step.inputs.size() > 1 && step.inputs[1] == weight.value && weight.layout != row_major)
      return {};
    return plan_error(
        fmt::format("plan weight '{}' is {} and packed for step {} ({}), which does not "
                    "read it packed",
                    v.name,
                    weight.layout,
                    weight.step,
                    step.op));
  }

  /// The halves of a gated product lie side by side. A table is read as a plain product's.
  static std::string_view product_kind(const Op& op) {
    const auto* matmul = op.as<op::MatMul>();
    const auto* normed = op.as<op::NormMatMul>();
    return (matmul && matmul->gated) || (normed && normed->gated) ? "gated" : "plain";
  }

  /// All choices of a step read the layout that its weight has.
  Result<void> check_reader(size_t s, size_t input, const PlanWeight& weight) const {
    const PlanStep& step = plan_.steps[s];
    for (const engine::PlanChoice& choice : step.choices) {
      const kernels::Tactic* tactic = kernels::find_tactic(choice.tactic);
      const kernels::WeightLayout& layout =
          input == 1 && tactic->layout ? *tactic->layout : kernels::row_major_layout();
      if (layout.name != weight.layout)
        return plan_error(fmt::format("{}: {} reads '{}' as {}, but it is packed as {}",
                                      step.op,
                                      tactic->name,
                                      value(weight.value).name,
                                      layout.name,
                                      weight.layout));
      if (weight.step < 0) continue;
      const kernels::KernelDesc& packer = descs_[static_cast<size_t>(weight.step)];
      const int64_t bytes = layout.bytes(descs_[s]);
      if (bytes != weight.bytes || product_kind(packer.op) != product_kind(descs_[s].op))
        return plan_error(
            fmt::format("{}: it reads '{}' as {} bytes of a {} product, but step {} packs it as {} "
                        "bytes of a {} product",
                        step.op,
                        value(weight.value).name,
                        bytes,
                        product_kind(descs_[s].op),
                        weight.step,
                        weight.bytes,
                        product_kind(packer.op)));
    }
    return {};
  }

  const Plan& plan_;
  const std::vector<kernels::KernelDesc>& descs_;
};

}  // namespace

Error plan_error(std::string message) {
  return base::corrupt(std::move(message), "build the engine again");
}

Error error_of_step(size_t step, Error error) {
  error.message = fmt::format("plan step {}: {}", step, error.message);
  if (error.hint.empty()) error.hint = "build the engine again";
  // An op's own errors: here it was the file that asked.
  if (error.code == ErrorCode::kInvalid) error.code = ErrorCode::kCorrupt;
  return error;
}

std::optional<int64_t> row_bytes(const TensorType& type, int64_t most) {
  int64_t bytes = tensor::dtype_bytes(type.dtype);
  for (const tensor::Dim& dim : type.shape) {
    if (!dim.is_constant()) continue;
    if (dim.size < 1 || __builtin_mul_overflow(bytes, dim.size, &bytes) || bytes > most) return {};
  }
  return bytes;
}

Result<void> verify_weights(const Plan& plan, const std::vector<kernels::KernelDesc>& descs) {
  return WeightVerifier(plan, descs).run();
}

}  // namespace tokamak::runtime
