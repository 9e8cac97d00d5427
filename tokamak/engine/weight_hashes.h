// SPDX-License-Identifier: Apache-2.0
// Content hashes of a checkpoint's tensors, taken when an engine is built: the one thing that
// notices a bit that has changed in weights, where names, sizes and headers are as before.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "tokamak/base/progress.h"
#include "tokamak/base/thread_pool.h"
#include "tokamak/tensor/safetensors.h"

namespace tokamak::engine {

/// By tensor.
using WeightHashes = std::map<std::string, std::string, std::less<>>;

/// Of all tensors of `files`, which reads them once. Blocks are hashed on all threads: about as
/// fast as memory, or as the disk where they are not in memory.
WeightHashes hash_weights(const tensor::TensorFiles& files,
                          base::ThreadPool& pool,
                          const base::Progress& progress = {});

/// Compares one tensor. Errors: not_found (`files` lacks it), corrupt (other content, or none was
/// hashed), naming tensor and file.
Result<void> check_weight(const tensor::TensorFiles& files,
                          const std::string& tensor,
                          const WeightHashes& hashes,
                          base::ThreadPool& pool);

/// As a file of an engine.
std::string weight_hashes_text(const WeightHashes& hashes);
/// Errors: corrupt, naming `shown`.
Result<WeightHashes> read_weight_hashes(std::string_view text, const std::string& shown);

}  // namespace tokamak::engine
