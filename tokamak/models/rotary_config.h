// SPDX-License-Identifier: Apache-2.0
// The rotary settings of a config.json, in any mixture of their spellings.
#pragma once

#include <string_view>

#include "tokamak/models/config_reader.h"
#include "tokamak/op/rope.h"

namespace tokamak::models {

/// What a family knows of its rotary settings before it reads them.
struct RotaryFamily {
  int64_t head_dim = 0;
  int64_t max_positions = 0;  ///< max_position_embeddings
  // Where config.json has none:
  double theta = 10000.0;
  double partial = 1.0;            ///< Of each head, what rotates.
  int64_t original_positions = 0;  ///< Of scalings; 0: max_positions.
  std::string_view theta_key = "rope_theta";
  /// Layers that the settings are for; empty: the family has one kind of layers.
  std::string_view layer_type = {};
  /// `rope_scaling` and settings beside config.json's other keys are of other layers (Gemma 3).
  bool nested_only = false;
  bool yarn_is_longrope = false;  ///< Phi-3 called it so first.
  bool stretched = false;         ///< max_positions counts the scaling already (Gemma 3).
};

struct Rotary {
  op::RotarySettings settings;
  int64_t max_positions =
      0;  ///< That the model can serve: with a scaling, often more than without.
};

/// A setting may stand in `rope_scaling`, in `rope_parameters` (there also below the name of a
/// layer type) or, for theta, the rotating part and the original length, beside the other keys; the
/// type as `rope_type` or `type`. All places are read. The same setting twice with two values is an
/// error that names both; only the type "default" yields to any other. A setting that nobody reads
/// is an error, unless it changes nothing. Errors go to `config`.
Rotary read_rotary(ConfigReader& config, const RotaryFamily& family);

}  // namespace tokamak::models
