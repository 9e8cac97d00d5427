// SPDX-License-Identifier: Apache-2.0
// For the families' tests: a checkpoint with reference logits, through the graph's fp32 reference.
#pragma once

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "tokamak/ir/reference.h"
#include "tokamak/models/families.h"
#include "tokamak/tensor/safetensors.h"

namespace tokamak::models {

/// Folder of the shared test data; tests skip, loudly, without it.
inline std::filesystem::path test_data() {
  const char* folder = std::getenv("TOKAMAK_TEST_DATA");
  return folder && *folder ? folder : "../shared";
}

inline ir::TensorMap load_floats(const tensor::TensorFiles& files) {
  ir::TensorMap out;
  for (const std::string& name : files.names()) {
    TensorView view = files.find(name).value();
    Tensor copy(DType::kF32, view.shape);
    tensor::convert(view.dtype, view.data, DType::kF32, copy.view().data, view.count());
    out.emplace(name, std::move(copy));
  }
  return out;
}

/// ||graph's logits - reference|| / ||reference|| of one prompt.
inline double golden_error(const ModelInfo& info,
                           const ir::TensorMap& weights,
                           const tensor::TensorFiles& golden,
                           const std::string& prompt) {
  auto graph = decoder_graph(info.spec, DType::kF32).value();
  TensorView ids = golden.find(prompt + ".input_ids").value(),
             logits = golden.find(prompt + ".logits").value();
  std::vector<int32_t> positions(static_cast<size_t>(ids.count()));
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int32_t>(i);
  ir::TensorMap inputs = {{"token_ids", Tensor::from_ints(ids.as<int32_t>())},
                          {"positions", Tensor::from_ints(positions)},
                          {"rows", Tensor::from_ints(positions)}};
  Tensor ours = ir::run_reference(*graph, inputs, weights, ids.count()).value()[0];
  double difference = 0, norm = 0;
  for (size_t i = 0; i < ours.floats().size(); ++i) {
    double reference = logits.as<float>()[i], d = ours.floats()[i] - reference;
    difference += d * d;
    norm += reference * reference;
  }
  return std::sqrt(difference / norm);
}

/// The golden of `family` is met by its graph. Returns the model's description for further checks.
inline ModelInfo expect_golden(const std::string& family) {
  std::filesystem::path folder = test_data() / "goldens" / family;
  if (!std::filesystem::exists(folder)) {
    ADD_FAILURE() << "TOKAMAK_TEST_DATA has no goldens/" << family;
    return {};
  }
  ModelInfo info = read_model(folder).value();
  ir::TensorMap weights =
      load_floats(tensor::TensorFiles::open(folder / "model.safetensors").value());
  auto golden = tensor::TensorFiles::open(folder / "golden.safetensors").value();
  for (const char* prompt : {"prompt0", "prompt1"})
    EXPECT_LT(golden_error(info, weights, golden, prompt), 1e-5) << family << " " << prompt;
  return info;
}

}  // namespace tokamak::models

/// First line of a test that needs the shared data.
#define TKM_NEED_TEST_DATA()                                                    \
  if (!std::filesystem::exists(::tokamak::models::test_data() / "goldens"))     \
  GTEST_SKIP() << "SKIPPED: no test data in " << ::tokamak::models::test_data() \
               << "; set TOKAMAK_TEST_DATA"
