// SPDX-License-Identifier: Apache-2.0
#include "tokamak/engine/weight_hashes.h"

#include <algorithm>

#include "tokamak/base/hash.h"
#include "tokamak/base/json.h"

namespace tokamak::engine {
namespace {

/// Part of what a hash means: that of a tensor is the hash of the hashes of its blocks.
constexpr int64_t kBlockBytes = 1 << 20;

std::string content_hash(const TensorView& view, base::ThreadPool& pool) {
  const int64_t bytes = view.bytes(), blocks = (bytes + kBlockBytes - 1) / kBlockBytes;
  std::vector<base::Hash128> hashes(static_cast<size_t>(blocks));
  const auto* data = static_cast<const std::byte*>(view.data);
  auto hash_block = [&](int64_t i, int) {
    int64_t begin = i * kBlockBytes, count = std::min(kBlockBytes, bytes - begin);
    hashes[static_cast<size_t>(i)] =
        base::hash_bytes({data + begin, static_cast<size_t>(count)}, static_cast<uint64_t>(bytes));
  };
  if (blocks == 1)
    hash_block(0, 0);
  else
    pool.parallel_for(blocks, hash_block);
  return base::hash_bytes(std::as_bytes(std::span(hashes))).hex();
}

}  // namespace

WeightHashes hash_weights(const tensor::TensorFiles& files,
                          base::ThreadPool& pool,
                          const base::Progress& progress) {
  WeightHashes out;
  int64_t done = 0;
  for (const std::string& name : files.names()) {
    TensorView view = files.find(name).value();
    out[name] = content_hash(view, pool);
    files.drop(name);
    base::report(progress, "hashing weights", done += view.bytes(), files.total_bytes());
  }
  return out;
}

Result<void> check_weight(const tensor::TensorFiles& files,
                          const std::string& tensor,
                          const WeightHashes& hashes,
                          base::ThreadPool& pool) {
  TKM_ASSIGN(TensorView view, files.find(tensor));
  auto hash = hashes.find(tensor);
  if (hash != hashes.end() && content_hash(view, pool) == hash->second) return {};
  return base::corrupt(
      fmt::format("{}: tensor '{}' does not have the content that the engine was built from",
                  files.file_of(tensor),
                  tensor),
      "restore the file, or build the engine again if the change is meant");
}

std::string weight_hashes_text(const WeightHashes& hashes) {
  Json json = {{"hash", "xxh3_128 of the xxh3_128 of blocks"}, {"block_bytes", kBlockBytes}};
  json["tensors"] = hashes;
  return json.dump(1) + "\n";
}

Result<WeightHashes> read_weight_hashes(std::string_view text, const std::string& shown) {
  TKM_ASSIGN(Json json, base::parse_json(text, shown));
  TKM_ASSIGN(int64_t block, base::get_int(json, "block_bytes", 0));
  const Json* tensors = base::find(json, "tensors");
  if (block != kBlockBytes || !tensors || !tensors->is_object())
    return base::corrupt(fmt::format("{}: no hashes by blocks of {} bytes", shown, kBlockBytes));
  WeightHashes out;
  for (const auto& [name, hash] : tensors->items()) {
    if (!hash.is_string())
      return base::corrupt(fmt::format("{}: the hash of tensor '{}' is no text", shown, name));
    out.emplace(name, hash.get<std::string>());
  }
  return out;
}

}  // namespace tokamak::engine
