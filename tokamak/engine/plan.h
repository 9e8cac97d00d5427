// SPDX-License-Identifier: Apache-2.0
// The plan of one rank: steps in order, the values between them, the weights as the kernels want
// them. Written by the compiler, played by the runtime; the two meet only here.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/base/json.h"
#include "tokamak/tensor/type.h"
#include "tokamak/tensor/weight_part.h"

namespace tokamak::engine {

enum class PlanValueKind { kInput, kWeight, kBuffer };
constexpr auto enum_names(PlanValueKind) {
  return std::array<std::string_view, 3>{"input", "weight", "buffer"};
}

struct PlanValue {
  std::string name;
  PlanValueKind kind = PlanValueKind::kBuffer;
  TensorType type;
  int32_t first_step = -1, last_step = -1;  ///< Of a buffer: the steps that write and last read it.
};

/// A weight in the form that its consumers read.
struct PlanWeight {
  int32_t value = 0;
  std::string layout;  ///< Name of a kernels::WeightLayout.
  int32_t step = -1;   ///< The step whose desc defines the packing; -1 for row_major.
  int64_t bytes = 0;   ///< Packed.
  std::vector<WeightPart> parts;
};

/// A tactic for steps of up to max_tokens rows.
struct PlanChoice {
  int64_t max_tokens = 0;
  std::string tactic;
  int32_t version = 0;
  Json config = Json::object();
  double us = 0;  ///< As timed by the tuner; 0 if there was nothing to choose.
  std::string runner_up;
  double runner_up_us = 0;
  /// Of a whole layer with this choice and with the runner-up, where the tuner timed both; else 0.
  /// What is slower alone can be faster there: then the layer decided.
  double layer_us = 0, runner_up_layer_us = 0;
  bool layer_decided() const { return layer_us > 0 && us > runner_up_us; }
  /// The least that a step of max_tokens rows can take on the device that it was built for, by its
  /// rates of reading and computing; 0 if they are not known. Attention: as the tuner times it.
  double floor_us = 0;
  /// floor_us / us; 0 if one of them is not known.
  double share_of_floor() const { return us > 0 ? floor_us / us : 0; }
};

struct PlanStep {
  std::string op;
  Json attributes = Json::object();
  std::vector<int32_t> inputs, outputs;  ///< Indices of values.
  std::vector<PlanChoice>
      choices;  ///< Ascending in max_tokens; the last serves all larger steps too.
};

/// What one token of context costs, the same in each layer.
struct KvLayout {
  int64_t num_layers = 0, num_kv_heads = 0, head_dim = 0;
  DType dtype = DType::kBF16;
  /// Bytes of one page of one layer.
  int64_t page_bytes() const;
};

/// The types of a step's values, and which of its inputs are weights.
struct StepTypes {
  std::vector<TensorType> inputs, outputs;
  std::vector<bool> weights;
};

struct Plan {
  std::vector<PlanValue> values;
  std::vector<PlanWeight> weights;
  std::vector<PlanStep> steps;
  KvLayout kv;
  int32_t token_ids = -1, positions = -1, rows = -1, logits = -1;  ///< Values by role.
  int64_t vocab_size = 0;
  int64_t max_positions = 0;

  StepTypes types(const PlanStep& step) const;
  Json to_json() const;
  /// Errors: corrupt; every index is checked. What steps and values say of each other is
  /// runtime::verify_plan()'s.
  static Result<Plan> from_json(const Json& json);
};

}  // namespace tokamak::engine
