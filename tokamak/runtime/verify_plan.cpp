// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/verify_plan.h"

#include <algorithm>
#include <map>

#include "tokamak/base/fields.h"
#include "tokamak/op/attention.h"
#include "tokamak/op/gather.h"
#include "tokamak/runtime/step_kernels.h"
#include "tokamak/runtime/verify_weights.h"

namespace tokamak::runtime {
namespace {

using engine::Plan;
using engine::PlanStep;
using engine::PlanValue;
using engine::PlanValueKind;
using op::Op;

// Far beyond any model, and far from where sums of so many for 2^20 tokens and 2^34 pages overflow.
constexpr int64_t kMaxSteps = 1 << 14, kMaxValues = 1 << 16;
constexpr int64_t kMaxRowBytes = int64_t{1} << 32, kMaxAllRowBytes = int64_t{1} << 40;
constexpr int64_t kMaxPageBytes = int64_t{1} << 36;

class Verifier {
 public:
  Verifier(const Plan& plan, const device::Device& device) : plan_(plan), device_(device) {}

  Result<void> run() {
    TKM_RETURN_IF_ERROR(check_values());
    TKM_RETURN_IF_ERROR(check_roles());
    for (size_t s = 0; s < plan_.steps.size(); ++s) {
      auto fine = check_step(s);
      if (!fine.ok()) return error_of_step(s, fine.error());
    }
    TKM_RETURN_IF_ERROR(check_lifetimes());
    TKM_RETURN_IF_ERROR(check_cache());
    TKM_RETURN_IF_ERROR(check_logits());
    return verify_weights(plan_, descs_);
  }

 private:
  const PlanValue& value(int32_t index) const { return plan_.values[static_cast<size_t>(index)]; }

  Result<void> check_values() const {
    if (std::ssize(plan_.steps) > kMaxSteps || std::ssize(plan_.values) > kMaxValues)
      return plan_error(fmt::format("plan: {} steps and {} values, at most {} and {} may be",
                                    plan_.steps.size(),
                                    plan_.values.size(),
                                    kMaxSteps,
                                    kMaxValues));
    int64_t all_rows = 0;
    for (const PlanValue& v : plan_.values) {
      const bool weight = v.kind == PlanValueKind::kWeight;
      for (size_t d = 1; d < v.type.rank(); ++d) {
        if (!v.type.shape[d].is_constant())
          return plan_error(fmt::format(
              "plan value '{}' is {}: only its first dimension may be a symbol", v.name, text(v)));
      }
      auto bytes = row_bytes(v.type, weight ? kMaxWeightBytes : kMaxRowBytes);
      if (!bytes)
        return plan_error(
            fmt::format("plan value '{}' is {}: dimensions must be positive and a row of at most "
                        "{} bytes",
                        v.name,
                        text(v),
                        weight ? kMaxWeightBytes : kMaxRowBytes));
      if (v.kind == PlanValueKind::kBuffer) all_rows += *bytes;
    }
    if (all_rows > kMaxAllRowBytes)
      return plan_error(
          fmt::format("plan: the buffers of one token take {} bytes, at most {} may be",
                      all_rows,
                      kMaxAllRowBytes));
    return {};
  }

  static std::string text(const PlanValue& v) { return v.type.text(); }

  Result<void> check_roles() const {
    auto check = [&](std::string_view role, int32_t index, tensor::Symbol symbol) -> Result<void> {
      TensorType expected{DType::kI32, {tensor::Dim(symbol)}};
      const PlanValue& v = value(index);
      if (v.kind == PlanValueKind::kInput && v.type == expected) return {};
      return plan_error(fmt::format("plan: {} are the {} '{}' of {}, must be an input of {}",
                                    role,
                                    base::enum_name(v.kind),
                                    v.name,
                                    text(v),
                                    expected.text()));
    };
    TKM_RETURN_IF_ERROR(check("token_ids", plan_.token_ids, tensor::Symbol::kTokens));
    TKM_RETURN_IF_ERROR(check("positions", plan_.positions, tensor::Symbol::kTokens));
    TKM_RETURN_IF_ERROR(check("rows", plan_.rows, tensor::Symbol::kRows));
    if (plan_.token_ids == plan_.positions)
      return plan_error("plan: token_ids and positions are the same input");
    for (size_t i = 0; i < plan_.values.size(); ++i) {
      const auto index = static_cast<int32_t>(i);
      if (value(index).kind != PlanValueKind::kInput || index == plan_.token_ids ||
          index == plan_.positions || index == plan_.rows)
        continue;
      return plan_error(fmt::format("plan: the input '{}' is neither token_ids, positions nor rows",
                                    value(index).name));
    }
    return {};
  }

  Result<void> check_step(size_t s) {
    const PlanStep& step = plan_.steps[s];
    TKM_ASSIGN(kernels::KernelDesc desc, step_desc(plan_, step));
    const std::string name(desc.op.name());
    written_.resize(plan_.values.size(), -1);
    for (int32_t i : step.inputs) {
      if (value(i).kind == PlanValueKind::kBuffer && written_[static_cast<size_t>(i)] < 0)
        return plan_error(
            fmt::format("{}: it reads '{}', which no step before it writes", name, value(i).name));
    }
    for (int32_t i : step.outputs) {
      if (value(i).kind != PlanValueKind::kBuffer)
        return plan_error(fmt::format("{}: it writes the {} '{}', must be a buffer",
                                      name,
                                      base::enum_name(value(i).kind),
                                      value(i).name));
      int32_t& writer = written_[static_cast<size_t>(i)];
      if (writer >= 0)
        return plan_error(
            fmt::format("{}: it writes '{}', which step {} writes", name, value(i).name, writer));
      writer = static_cast<int32_t>(s);
    }
    TKM_RETURN_IF_ERROR(check_indices(step, desc));
    TKM_RETURN_IF_ERROR(check_choices(step, desc));
    descs_.push_back(std::move(desc));
    return {};
  }

  /// What an op takes rows by must be what the rows are counted by.
  Result<void> check_indices(const PlanStep& step, const kernels::KernelDesc& desc) const {
    const Op& op = desc.op;
    if (const auto* embedding = op.as<op::Embedding>()) return check_table(step, *embedding);
    if (op.as<op::SelectRows>()) {
      TKM_RETURN_IF_ERROR(expect_role(step, 1, plan_.rows, "rows"));
      return expect_tokens(step, 0);
    }
    const bool appends = op.as<op::RopeAppend>() || op.as<op::RopeAttend>();
    if (op.as<op::Rope>() || appends)
      TKM_RETURN_IF_ERROR(expect_role(step, 1, plan_.positions, "positions"));
    if (appends || op::attention_settings(op)) return expect_tokens(step, 0);
    return {};
  }

  Result<void> check_table(const PlanStep& step, const op::Embedding& embedding) const {
    const bool ids = step.inputs[0] == plan_.token_ids;
    if (!ids) TKM_RETURN_IF_ERROR(expect_role(step, 0, plan_.positions, "token_ids or positions"));
    const int64_t rows = value(step.inputs[1]).type.shape[0].size;
    const int64_t wanted = ids ? plan_.vocab_size : plan_.max_positions;
    const bool constant = value(step.inputs[1]).type.shape[0].is_constant();
    if (constant && embedding.offset >= 0 && embedding.offset <= rows - wanted) return {};
    return plan_error(fmt::format("{}: '{}' is {} and is read from row {} on, but there are {} {}",
                                  step.op,
                                  value(step.inputs[1]).name,
                                  text(value(step.inputs[1])),
                                  embedding.offset,
                                  wanted,
                                  ids ? "token ids" : "positions"));
  }

  Result<void> expect_role(const PlanStep& step,
                           size_t input,
                           int32_t index,
                           std::string_view role) const {
    if (step.inputs[input] == index) return {};
    return plan_error(fmt::format("{}: its input {} is '{}', must be the {} of the step",
                                  step.op,
                                  input,
                                  value(step.inputs[input]).name,
                                  role));
  }

  Result<void> expect_tokens(const PlanStep& step, size_t input) const {
    const PlanValue& v = value(step.inputs[input]);
    if (v.type.shape[0] == tensor::kTokens) return {};
    return plan_error(fmt::format(
        "{}: its input '{}' is {}, must have a row for each token", step.op, v.name, text(v)));
  }

  Result<void> check_choices(const PlanStep& step, const kernels::KernelDesc& desc) {
    int64_t before = 0;
    for (const engine::PlanChoice& choice : step.choices) {
      if (choice.max_tokens <= before)
        return plan_error(fmt::format("{}: choices for {} tokens and then for {}, must ascend",
                                      step.op,
                                      before,
                                      choice.max_tokens));
      before = choice.max_tokens;
      TKM_ASSIGN(const kernels::Tactic* tactic, chosen_tactic(choice));
      if (tactic->target != device_.target())
        return base::unsupported(fmt::format("{}: {} runs on {}, this is {}",
                                             step.op,
                                             tactic->name,
                                             base::enum_name(tactic->target),
                                             base::enum_name(device_.target())));
      // Layers are alike: each kind of kernel is asked for once.
      auto [runs, is_new] =
          runs_.try_emplace(kernel_key(plan_, step, choice) + std::to_string(choice.max_tokens));
      if (is_new) runs->second = !tactic->candidates(desc, choice.max_tokens, device_).empty();
      if (!runs->second)
        return plan_error(fmt::format("{}: {} does not run it for {} tokens here",
                                      problem(desc),
                                      tactic->name,
                                      choice.max_tokens));
    }
    return {};
  }

  static std::string problem(const kernels::KernelDesc& desc) {
    std::string types;
    for (const TensorType& type : desc.inputs) types += (types.empty() ? "" : ", ") + type.text();
    return fmt::format("{}({})", desc.op.name(), types);
  }

  Result<void> check_lifetimes() const {
    std::vector<int32_t> last_read = written_;
    last_read.resize(plan_.values.size(), -1);
    for (size_t s = 0; s < plan_.steps.size(); ++s) {
      for (int32_t i : plan_.steps[s].inputs)
        last_read[static_cast<size_t>(i)] = static_cast<int32_t>(s);
    }
    for (size_t i = 0; i < plan_.values.size(); ++i) {
      const PlanValue& v = plan_.values[i];
      if (v.kind != PlanValueKind::kBuffer) continue;
      if (i >= written_.size() || written_[i] < 0)
        return plan_error(fmt::format("plan: no step writes the buffer '{}'", v.name));
      if (v.first_step != written_[i] || v.last_step < last_read[i])
        return plan_error(fmt::format(
            "plan: the buffer '{}' is kept for steps {} to {}, but written by {} and read until {}",
            v.name,
            v.first_step,
            v.last_step,
            written_[i],
            last_read[i]));
    }
    return {};
  }

  /// Heads that a step has of the cache.
  struct CacheUse {
    int64_t layer, num_kv_heads, head_dim;
    bool writes, reads;
  };
  static std::optional<CacheUse> cache_use(const Op& op) {
    if (const auto* append = op.as<op::RopeAppend>())
      return CacheUse{append->layer, append->num_kv_heads, append->head_dim, true, false};
    auto settings = op::attention_settings(op);
    if (!settings) return {};
    return CacheUse{
        settings->layer, settings->num_kv_heads, settings->head_dim, !op.as<op::Attend>(), true};
  }

  Result<void> check_cache() const {
    const engine::KvLayout& kv = plan_.kv;
    int64_t bytes = tensor::dtype_bytes(kv.dtype) * 2 * op::kPageTokens;  // Factors below 2^16.
    bytes *= kv.num_kv_heads * kv.head_dim;
    if (bytes > kMaxPageBytes / std::max<int64_t>(kv.num_layers, 1))
      return plan_error(
          fmt::format("plan kv: a page of {} layers of {} heads of {} takes more than "
                      "{} bytes",
                      kv.num_layers,
                      kv.num_kv_heads,
                      kv.head_dim,
                      kMaxPageBytes));
    std::vector<bool> written(static_cast<size_t>(kv.num_layers));
    for (size_t s = 0; s < descs_.size(); ++s) {
      auto use = cache_use(descs_[s].op);
      if (!use) continue;
      auto fine = check_cache_use(*use, descs_[s], written);
      if (!fine.ok()) return error_of_step(s, fine.error());
    }
    auto unused = std::find(written.begin(), written.end(), false);
    if (unused == written.end()) return {};
    return plan_error(fmt::format("plan kv: {} layers, but no step writes layer {}",
                                  kv.num_layers,
                                  unused - written.begin()));
  }

  Result<void> check_cache_use(const CacheUse& use,
                               const kernels::KernelDesc& desc,
                               std::vector<bool>& written) const {
    const engine::KvLayout& kv = plan_.kv;
    const std::string_view name = desc.op.name();
    if (use.layer >= kv.num_layers)
      return plan_error(
          fmt::format("{}: layer {}, but the cache has {}", name, use.layer, kv.num_layers));
    if (use.num_kv_heads != kv.num_kv_heads || use.head_dim != kv.head_dim)
      return plan_error(fmt::format("{}: {} key/value heads of {}, but the cache has {} of {}",
                                    name,
                                    use.num_kv_heads,
                                    use.head_dim,
                                    kv.num_kv_heads,
                                    kv.head_dim));
    if (desc.outputs[0].dtype != kv.dtype)
      return plan_error(fmt::format("{}: its values are {}, but the cache is {}",
                                    name,
                                    tensor::dtype_name(desc.outputs[0].dtype),
                                    tensor::dtype_name(kv.dtype)));
    auto layer = written.begin() + use.layer;
    if (use.writes && *layer)
      return plan_error(
          fmt::format("{}: layer {} of the cache was written before", name, use.layer));
    if (!use.writes && !*layer)
      return plan_error(
          fmt::format("{}: layer {} of the cache was not written before", name, use.layer));
    *layer = true;
    return {};
  }

  Result<void> check_logits() const {
    const PlanValue& v = value(plan_.logits);
    TensorType expected{DType::kF32, {tensor::kRows, tensor::Dim(plan_.vocab_size)}};
    if (v.kind == PlanValueKind::kBuffer && v.type == expected) return {};
    return plan_error(
        fmt::format("plan: logits are the {} '{}' of {}, must be a buffer of {} for a vocabulary "
                    "of {}",
                    base::enum_name(v.kind),
                    v.name,
                    text(v),
                    expected.text(),
                    plan_.vocab_size));
  }

  const Plan& plan_;
  const device::Device& device_;
  std::vector<kernels::KernelDesc> descs_;  ///< Of the steps.
  std::vector<int32_t> written_;            ///< By value: the step that writes it, or -1.
  std::map<std::string, bool> runs_;        ///< By kernel_key() and tokens.
};

}  // namespace

Result<void> verify_plan(const engine::Plan& plan, const device::Device& device) {
  return Verifier(plan, device).run();
}

}  // namespace tokamak::runtime
