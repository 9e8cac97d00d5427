// SPDX-License-Identifier: Apache-2.0
// Files: mapped for reading; written whole or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "tokamak/base/result.h"

namespace tokamak::base {

/// Reads a whole file of at most `max_bytes`. Errors: not_found, io, invalid (too large; a folder,
/// pipe, socket or device, which could make us wait for ever).
Result<std::string> read_file(const std::filesystem::path& path,
                              uint64_t max_bytes = uint64_t{1} << 30);

/// Writes to a temporary file beside `path`, fsyncs, renames and fsyncs the folder: readers see the
/// old or the new content, never half of it. The temporary's name is random; those that an earlier
/// write of `path` left behind when it was killed, an hour ago or more, are removed. Errors: io,
/// with the path and the system's reason (disk full, no permission).
Result<void> write_file_atomic(const std::filesystem::path& path,
                               std::span<const std::string_view> parts);
Result<void> write_file_atomic(const std::filesystem::path& path, std::string_view content);

/// Creates the folder and its parents. Errors: io.
Result<void> make_folders(const std::filesystem::path& path);

/// Where this user's engines, timings and compiled kernels are kept: $TOKAMAK_CACHE_DIR, else
/// $XDG_CACHE_HOME/tokamak, else ~/.cache/tokamak. It need not exist.
std::filesystem::path cache_folder();

/// A read-only mapping of a whole file. Movable; unmapped on destruction.
class MappedFile {
 public:
  /// Errors: as of read_file().
  static Result<MappedFile> open(const std::filesystem::path& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }
  /// Tells the kernel that the range will not be read again soon, so that its pages do not count as
  /// ours.
  void drop(size_t offset, size_t length) const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace tokamak::base
