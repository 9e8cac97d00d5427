// SPDX-License-Identifier: Apache-2.0
// safetensors files (https://github.com/huggingface/safetensors, format section): read by mapping,
// written whole or not at all.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/base/file.h"
#include "tokamak/tensor/tensor.h"

namespace tokamak::tensor {

struct SafetensorsEntry {
  std::string dtype;  ///< As the format spells it; it may be one that no code of ours reads.
  Shape shape;
  uint64_t begin = 0, end = 0;  ///< Byte range in the data section.
};

struct SafetensorsHeader {
  std::map<std::string, SafetensorsEntry, std::less<>> tensors;
  std::map<std::string, std::string> metadata;
  uint64_t data_offset = 0;  ///< Of the data section in the file.
  std::string text;          ///< The JSON of the header, as it stands in the file.
};

/// Reads and verifies a header in time linear in its length: lengths against the file's, each range
/// against its shape (if the dtype is one of the format), no name twice, no overlap, no hole.
/// `file` is the whole content; `what` names it in errors. Errors: corrupt, naming the tensor.
Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> file,
                                                   std::string_view what);

/// The tensors of a checkpoint folder: model.safetensors, or the shards that
/// model.safetensors.index.json names. Data stays in the mapped files. Immutable after opening.
class TensorFiles {
 public:
  /// `path`: a folder or one .safetensors file. Errors: not_found, corrupt, io; a missing shard or
  /// tensor is named with its file.
  static Result<TensorFiles> open(const std::filesystem::path& path);

  bool contains(std::string_view name) const { return tensors_.contains(name); }
  /// Errors: not_found, with the closest names that exist; unsupported: its dtype. A tensor that
  /// nobody asks for may have any.
  Result<TensorView> find(std::string_view name) const;
  /// The name that a tensor has in these files. Base models are also published without the prefix
  /// that the head's class puts before their names ("transformer.", "model.").
  std::string stored_name(const std::string& name) const;
  std::vector<std::string> names() const;
  /// Path of the file that holds a tensor.
  std::string file_of(std::string_view name) const;
  const std::vector<base::MappedFile>& files() const { return files_; }
  /// Sum of the tensors' bytes.
  int64_t total_bytes() const;
  /// Identity of the files: names, sizes and headers, without reading the data.
  std::string fingerprint() const;
  /// Lets the kernel take back the pages of a tensor that has been read.
  void drop(std::string_view name) const;

 private:
  struct Location {
    SafetensorsEntry entry;
    size_t file;
    size_t data_offset;
    size_t begin() const { return data_offset + entry.begin; }
    size_t bytes() const { return entry.end - entry.begin; }
  };
  std::vector<base::MappedFile> files_;
  std::vector<std::string> header_texts_;
  std::map<std::string, Location, std::less<>> tensors_;
};

struct NamedTensor {
  std::string name;
  TensorView view;
};
Result<void> write_safetensors(const std::filesystem::path& path,
                               std::span<const NamedTensor> tensors,
                               const std::map<std::string, std::string>& metadata = {});

}  // namespace tokamak::tensor
