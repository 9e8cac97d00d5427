// SPDX-License-Identifier: Apache-2.0
#include "tokamak/engine/plan.h"

#include "tokamak/base/fields_json.h"

namespace tokamak::engine {
namespace {

using base::corrupt;

Json to_json(const PlanValue& value) {
  return {{"name", value.name},
          {"kind", base::enum_name(value.kind)},
          {"type", value.type.text()},
          {"first_step", value.first_step},
          {"last_step", value.last_step}};
}

Json to_json(const PlanWeight& weight) {
  Json parts = Json::array();
  for (const WeightPart& part : weight.parts) parts.push_back(base::fields_to_json(part));
  return {{"value", weight.value},
          {"layout", weight.layout},
          {"step", weight.step},
          {"bytes", weight.bytes},
          {"parts", std::move(parts)}};
}

Json to_json(const PlanStep& step) {
  Json choices = Json::array();
  for (const PlanChoice& choice : step.choices) {
    choices.push_back({{"max_tokens", choice.max_tokens},
                       {"tactic", choice.tactic},
                       {"version", choice.version},
                       {"config", choice.config},
                       {"us", choice.us},
                       {"runner_up", choice.runner_up},
                       {"runner_up_us", choice.runner_up_us},
                       {"layer_us", choice.layer_us},
                       {"runner_up_layer_us", choice.runner_up_layer_us},
                       {"floor_us", choice.floor_us}});
  }
  return {{"op", step.op},
          {"attributes", step.attributes},
          {"inputs", step.inputs},
          {"outputs", step.outputs},
          {"choices", std::move(choices)}};
}

/// Reads members of one object and keeps the first error.
class Reader {
 public:
  Reader(const Json& json, std::string what) : json_(json), what_(std::move(what)) {}
  int64_t integer(std::string_view key, int64_t low, int64_t high) {
    auto value = base::get_int(json_, key);
    if (value.ok() && (*value < low || *value > high))
      value = base::invalid(fmt::format("'{}' = {} is not in [{}, {}]", key, *value, low, high));
    return take(value, int64_t{0});
  }
  double number(std::string_view key) { return take(base::get_number(json_, key), 0.0); }
  bool boolean(std::string_view key) { return take(base::get_bool(json_, key), false); }
  std::string string(std::string_view key) {
    return take(base::get_string(json_, key), std::string());
  }
  const Json& array(std::string_view key) {
    static const Json empty = Json::array();
    const Json* value = base::find(json_, key);
    if (value && value->is_array()) return *value;
    if (status_.ok()) status_ = corrupt(fmt::format("{}: '{}' is not a list", what_, key));
    return empty;
  }
  std::vector<int32_t> indices(std::string_view key, size_t limit) {
    std::vector<int32_t> out;
    for (const Json& element : array(key)) {
      int64_t index = element.is_number_integer() ? element.get<int64_t>() : -1;
      if (index < 0 || index >= static_cast<int64_t>(limit)) {
        if (status_.ok())
          status_ = corrupt(fmt::format("{}: '{}' holds {}, which is not an index below {}",
                                        what_,
                                        key,
                                        element.dump(),
                                        limit));
        index = 0;
      }
      out.push_back(static_cast<int32_t>(index));
    }
    return out;
  }
  template <typename T>
  T take(Result<T> value, T fallback) {
    if (value.ok()) return *value;
    if (status_.ok()) status_ = corrupt(what_ + ": " + value.error().message);
    return fallback;
  }
  const Result<void>& status() const { return status_; }

 private:
  const Json& json_;
  std::string what_;
  Result<void> status_;
};

Result<PlanValue> read_value(const Json& json, int64_t num_steps) {
  Reader reader(json, "plan value");
  PlanValue value;
  value.name = reader.string("name");
  value.kind = reader.take(base::enum_from_name<PlanValueKind>(reader.string("kind"), "kind"),
                           PlanValueKind::kBuffer);
  value.type = reader.take(TensorType::parse(reader.string("type")), TensorType{});
  value.first_step = static_cast<int32_t>(reader.integer("first_step", -1, num_steps - 1));
  value.last_step = static_cast<int32_t>(reader.integer("last_step", -1, num_steps - 1));
  TKM_RETURN_IF_ERROR(reader.status());
  return value;
}

Result<PlanWeight> read_weight(const Json& json, int64_t num_values, int64_t num_steps) {
  Reader reader(json, "plan weight");
  PlanWeight weight;
  weight.value = static_cast<int32_t>(reader.integer("value", 0, num_values - 1));
  weight.layout = reader.string("layout");
  weight.step = static_cast<int32_t>(reader.integer("step", -1, num_steps - 1));
  weight.bytes = reader.integer("bytes", 0, int64_t{1} << 46);
  for (const Json& element : reader.array("parts")) {
    Reader part(element, "plan weight part");
    part.integer("rows", 1, int64_t{1} << 40);
    weight.parts.push_back(part.take(base::fields_from_json<WeightPart>(element), WeightPart{}));
    TKM_RETURN_IF_ERROR(part.status());
  }
  TKM_RETURN_IF_ERROR(reader.status());
  return weight;
}

Result<PlanStep> read_step(const Json& json, size_t num_values) {
  Reader reader(json, "plan step");
  PlanStep step;
  step.op = reader.string("op");
  const Json* attributes = base::find(json, "attributes");
  if (attributes) step.attributes = *attributes;
  step.inputs = reader.indices("inputs", num_values);
  step.outputs = reader.indices("outputs", num_values);
  for (const Json& element : reader.array("choices")) {
    Reader item(element, "plan choice");
    PlanChoice choice;
    choice.max_tokens = item.integer("max_tokens", 1, int64_t{1} << 40);
    choice.tactic = item.string("tactic");
    choice.version = static_cast<int32_t>(item.integer("version", 0, 1 << 30));
    if (const Json* config = base::find(element, "config")) choice.config = *config;
    choice.us = item.number("us");
    choice.runner_up = item.string("runner_up");
    choice.runner_up_us = item.number("runner_up_us");
    choice.layer_us = item.number("layer_us");
    choice.runner_up_layer_us = item.number("runner_up_layer_us");
    choice.floor_us = item.number("floor_us");
    TKM_RETURN_IF_ERROR(item.status());
    step.choices.push_back(std::move(choice));
  }
  TKM_RETURN_IF_ERROR(reader.status());
  if (step.choices.empty()) return corrupt(fmt::format("plan step {}: no tactic", step.op));
  return step;
}

}  // namespace

int64_t KvLayout::page_bytes() const {
  constexpr int64_t kPageTokens = 64;  // op::kPageTokens, which this layer does not see
  return 2 * num_kv_heads * kPageTokens * head_dim * tensor::dtype_bytes(dtype);
}

StepTypes Plan::types(const PlanStep& step) const {
  StepTypes out;
  for (int32_t input : step.inputs) {
    const PlanValue& value = values[static_cast<size_t>(input)];
    out.inputs.push_back(value.type);
    out.weights.push_back(value.kind == PlanValueKind::kWeight);
  }
  for (int32_t output : step.outputs) {
    out.outputs.push_back(values[static_cast<size_t>(output)].type);
  }
  return out;
}

Json Plan::to_json() const {
  Json out = {{"vocab_size", vocab_size},
              {"max_positions", max_positions},
              {"token_ids", token_ids},
              {"positions", positions},
              {"rows", rows},
              {"logits", logits},
              {"kv",
               {{"num_layers", kv.num_layers},
                {"num_kv_heads", kv.num_kv_heads},
                {"head_dim", kv.head_dim},
                {"dtype", tensor::dtype_name(kv.dtype)}}}};
  for (const char* list : {"steps", "values", "weights"}) out[list] = Json::array();
  for (const PlanStep& step : steps) out["steps"].push_back(engine::to_json(step));
  for (const PlanValue& value : values) out["values"].push_back(engine::to_json(value));
  for (const PlanWeight& weight : weights) out["weights"].push_back(engine::to_json(weight));
  return out;
}

Result<Plan> Plan::from_json(const Json& json) {
  Reader reader(json, "plan");
  Plan plan;
  const Json &values = reader.array("values"), &steps = reader.array("steps"),
             &weights = reader.array("weights");
  TKM_RETURN_IF_ERROR(reader.status());
  int64_t num_values = static_cast<int64_t>(values.size()),
          num_steps = static_cast<int64_t>(steps.size());
  for (const Json& element : values) {
    TKM_ASSIGN(PlanValue value, read_value(element, num_steps));
    plan.values.push_back(std::move(value));
  }
  for (const Json& element : steps) {
    TKM_ASSIGN(PlanStep step, read_step(element, values.size()));
    plan.steps.push_back(std::move(step));
  }
  for (const Json& element : weights) {
    TKM_ASSIGN(PlanWeight weight, read_weight(element, num_values, num_steps));
    plan.weights.push_back(std::move(weight));
  }
  plan.vocab_size = reader.integer("vocab_size", 1, int64_t{1} << 31);
  plan.max_positions = reader.integer("max_positions", 1, int64_t{1} << 31);
  plan.token_ids = static_cast<int32_t>(reader.integer("token_ids", 0, num_values - 1));
  plan.positions = static_cast<int32_t>(reader.integer("positions", 0, num_values - 1));
  plan.rows = static_cast<int32_t>(reader.integer("rows", 0, num_values - 1));
  plan.logits = static_cast<int32_t>(reader.integer("logits", 0, num_values - 1));
  const Json* kv = base::find(json, "kv");
  Reader layout(kv ? *kv : json, "plan kv");
  plan.kv.num_layers = layout.integer("num_layers", 0, 1 << 16);
  plan.kv.num_kv_heads = layout.integer("num_kv_heads", 0, 1 << 16);
  plan.kv.head_dim = layout.integer("head_dim", 0, 1 << 16);
  plan.kv.dtype = layout.take(tensor::dtype_from_name(layout.string("dtype")), DType::kBF16);
  TKM_RETURN_IF_ERROR(layout.status());
  TKM_RETURN_IF_ERROR(reader.status());
  return plan;
}

}  // namespace tokamak::engine
