// SPDX-License-Identifier: Apache-2.0
// Loads the weights of a plan: from mapped files through packing into device memory, in blocks, so
// that host memory stays bounded.
#pragma once

#include <memory>

#include "tokamak/base/progress.h"
#include "tokamak/device/device.h"
#include "tokamak/engine/engine.h"

namespace tokamak::runtime {

/// Where rows of checkpoint tensors come from.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// The whole tensor in its stored dtype. `expected` has the shape that the plan wants and the
  /// dtype of the engine. Errors: not_found; corrupt (another shape), naming tensor and file.
  virtual Result<TensorView> find(const std::string& tensor, const Shape& expected) = 0;
  /// The tensor will not be asked for again.
  virtual void done(const std::string& /*tensor*/) {}
};

/// The tensor as it is stored, by its name with or without the prefix of its class. Errors: as of
/// WeightSource::find(); unsupported (no float type).
Result<TensorView> find_weight(const tensor::TensorFiles& files,
                               const std::string& tensor,
                               const Shape& expected);
/// Says in a line how many tensors of the checkpoint no weight is made of, and what the first are
/// called; empty if there are none. A head that is the same as the embedding is one of its names.
std::string unused_tensors(const engine::Plan& plan, const tensor::TensorFiles& files);

/// Reads from a checkpoint's files. Each tensor is compared with its hash when it is first asked
/// for, on the threads of `pool`; with no hashes nothing is.
std::unique_ptr<WeightSource> checkpoint_weights(tensor::TensorFiles files,
                                                 engine::WeightHashes hashes,
                                                 base::ThreadPool& pool);
/// Random weights of a sensible scale, the same in every run: any model's shapes without its
/// checkpoint.
std::unique_ptr<WeightSource> dummy_weights();

/// Values of a dummy tensor are offset + scale * u, u uniform in [-1, 1): gains are one, matrices
/// have the scale that keeps activations of the order of one.
struct DummyRange {
  float offset = 0, scale = 0;
};
DummyRange dummy_range(const std::string& tensor, const Shape& shape);

/// Fills `arena` (memory_plan.weight_bytes long, on the device) with every weight in its layout.
/// Errors: those of the source; unsupported (a stored dtype that is not a float type).
Result<void> load_weights(const engine::Plan& plan,
                          const engine::MemoryPlan& memory,
                          WeightSource& source,
                          device::Device& device,
                          void* arena,
                          const base::Progress& progress = {});

/// load_weights() from wherever the engine's manifest says; dummy weights of a GPU are made there.
/// With `check` the content of tensors is compared with the engine's hashes, if it has any.
Result<void> load_engine_weights(const engine::Engine& engine,
                                 const engine::MemoryPlan& memory,
                                 device::Device& device,
                                 const device::Memory& arena,
                                 bool check,
                                 const base::Progress& progress = {});

}  // namespace tokamak::runtime
