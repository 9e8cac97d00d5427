// SPDX-License-Identifier: Apache-2.0
// A model as config.json describes it, held against the tensors of its checkpoint, before anything
// that takes time.
#pragma once

#include "tokamak/device/device.h"
#include "tokamak/ir/graph.h"
#include "tokamak/models/families.h"
#include "tokamak/tensor/safetensors.h"

namespace tokamak::api {

/// Takes from the tensors what config.json leaves to them: the dtype, if it names none, and a head
/// of its own where the embeddings are said to be tied and the head is not the same matrix (as
/// tuning leaves it; it is used, with a log line). Errors: those of reading the two.
Result<void> fit_to_tensors(const tensor::TensorFiles& files, models::ModelInfo& info);

/// Each tensor that a weight of `graph` is made of is there, with the shape that config.json gives
/// it, dimension by dimension, and a dtype that weights are read from. Errors: not_found, corrupt,
/// unsupported, naming the tensor.
Result<void> check_tensors(const ir::Graph& graph, const tensor::TensorFiles& files);

/// Without a checkpoint nothing else bounds the sizes: each weight fits the device. Errors:
/// out_of_memory.
Result<void> check_dummy_sizes(const ir::Graph& graph, const device::Device& device);

}  // namespace tokamak::api
