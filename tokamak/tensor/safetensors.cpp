// SPDX-License-Identifier: Apache-2.0
#include "tokamak/tensor/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "tokamak/base/hash.h"
#include "tokamak/base/json.h"
#include "tokamak/base/log.h"
#include "tokamak/tensor/safetensors_json.h"

namespace tokamak::tensor {
namespace {

using base::corrupt;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // The format's own limit.

std::string_view format_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kF16:
      return "F16";
    case DType::kBF16:
      return "BF16";
    case DType::kI32:
      return "I32";
    case DType::kI64:
      return "I64";
    case DType::kI8:
      return "I8";
    case DType::kU8:
      return "U8";
  }
  return "";
}

/// The dtypes that we read.
std::optional<DType> dtype_of_format(std::string_view name) {
  for (DType dtype :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kI32, DType::kI64, DType::kI8, DType::kU8}) {
    if (format_name(dtype) == name) return dtype;
  }
  return {};
}

/// Bits of an element; 0: not a dtype of the format as we know it.
uint64_t bits_of_format(std::string_view name) {
  static const std::map<std::string_view, uint64_t> kBits = {
      {"BOOL", 8},    {"U8", 8},   {"I8", 8},   {"F8_E4M3", 8}, {"F8_E5M2", 8},
      {"F8_E8M0", 8}, {"I16", 16}, {"U16", 16}, {"F16", 16},    {"BF16", 16},
      {"I32", 32},    {"U32", 32}, {"F32", 32}, {"I64", 64},    {"U64", 64},
      {"F64", 64},    {"C64", 64}, {"F4", 4},   {"F6_E2M3", 6}, {"F6_E3M2", 6},
  };
  auto it = kBits.find(name);
  return it == kBits.end() ? 0 : it->second;
}

/// The range lies in the data and is as long as the shape needs.
Result<void> check_entry(const SafetensorsEntry& entry,
                         uint64_t data_bytes,
                         const std::string& where) {
  if (entry.begin > entry.end) return corrupt(where + " has data_offsets that are not a range");
  if (entry.end > data_bytes) {
    return corrupt(
        fmt::format("{} ends at byte {} of the data, but the file holds only {} (is it truncated?)",
                    where,
                    entry.end,
                    data_bytes));
  }
  const uint64_t element = bits_of_format(entry.dtype);
  uint64_t bits = std::max<uint64_t>(element, 1);
  for (int64_t dim : entry.shape) {
    if (dim > (int64_t{1} << 40) || __builtin_mul_overflow(bits, static_cast<uint64_t>(dim), &bits))
      return corrupt(where + " has a shape whose size overflows");
  }
  if (element == 0 || (bits % 8 == 0 && bits / 8 == entry.end - entry.begin)) return {};
  return corrupt(fmt::format("{} of {}{} needs {} bytes, but its data_offsets span {}",
                             where,
                             entry.dtype,
                             shape_text(entry.shape),
                             (bits + 7) / 8,
                             entry.end - entry.begin));
}

/// Every byte of the data section belongs to exactly one tensor.
Result<void> check_coverage(const SafetensorsHeader& header,
                            uint64_t data_bytes,
                            std::string_view what) {
  std::vector<std::pair<const SafetensorsEntry*, const std::string*>> order;
  for (const auto& [name, entry] : header.tensors) order.emplace_back(&entry, &name);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first->begin, a.first->end) < std::pair(b.first->begin, b.first->end);
  });
  uint64_t end = 0;
  std::string_view previous;
  for (auto [entry, name] : order) {
    if (entry->begin < end)
      return corrupt(fmt::format("{}: tensors '{}' and '{}' overlap", what, previous, *name));
    if (entry->begin > end)
      return corrupt(fmt::format(
          "{}: {} bytes before tensor '{}' belong to no tensor", what, entry->begin - end, *name));
    end = entry->end;
    previous = *name;
  }
  if (end != data_bytes)
    return corrupt(fmt::format(
        "{}: {} bytes after the last tensor belong to no tensor", what, data_bytes - end));
  return {};
}

}  // namespace

Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> file,
                                                   std::string_view what) {
  static_assert(std::endian::native == std::endian::little, "the format is little-endian");
  if (file.size() < 8)
    return corrupt(
        fmt::format("{}: {} bytes are too few for a safetensors file", what, file.size()));
  uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  if (length > kMaxHeaderBytes)
    return corrupt(
        fmt::format("{}: header of {} bytes, the limit is {}", what, length, kMaxHeaderBytes));
  if (length > file.size() - 8) {
    return corrupt(fmt::format(
        "{}: header of {} bytes in a file of {} (is it truncated?)", what, length, file.size()));
  }
  SafetensorsHeader header;
  header.data_offset = 8 + length;
  header.text.assign(reinterpret_cast<const char*>(file.data()) + 8, length);
  TKM_RETURN_IF_ERROR(read_header_text(header.text, what, header));
  const uint64_t data_bytes = file.size() - header.data_offset;
  for (const auto& [name, entry] : header.tensors)
    TKM_RETURN_IF_ERROR(check_entry(entry, data_bytes, fmt::format("{}: tensor '{}'", what, name)));
  TKM_RETURN_IF_ERROR(check_coverage(header, data_bytes, what));
  return header;
}

namespace {

/// Shard file names in the order of the index, and the tensors that it says each must hold.
using Shards = std::map<std::string, std::vector<std::string>>;

Result<Shards> read_index(const std::filesystem::path& path) {
  TKM_ASSIGN(std::string text, base::read_file(path, kMaxHeaderBytes));
  TKM_ASSIGN(auto weight_map, read_weight_map(text, path.string()));
  Shards shards;
  for (auto& [tensor, name] : weight_map) {
    if (name.empty() || name.find('/') != std::string::npos || name == "..") {
      return corrupt(fmt::format("{}: the file '{}' of tensor '{}' is not a plain file name",
                                 path.string(),
                                 name,
                                 tensor));
    }
    shards[name].push_back(tensor);
  }
  return shards;
}

}  // namespace

Result<TensorFiles> TensorFiles::open(const std::filesystem::path& path) {
  TensorFiles out;
  Shards shards;
  std::filesystem::path folder = path;
  if (!std::filesystem::exists(path))
    return base::not_found(fmt::format("{} does not exist", path.string()));
  if (!std::filesystem::is_directory(path)) {
    folder = path.parent_path();
    shards[path.filename().string()] = {};
  } else if (std::filesystem::exists(path / "model.safetensors")) {
    // As transformers chooses, where both are there.
    shards["model.safetensors"] = {};
    if (std::filesystem::exists(path / "model.safetensors.index.json"))
      base::log_warn("{}: model.safetensors is read, and not what its index names", path.string());
  } else if (std::filesystem::exists(path / "model.safetensors.index.json")) {
    TKM_ASSIGN(shards, read_index(path / "model.safetensors.index.json"));
  } else {
    return base::not_found(
        fmt::format("{} holds neither model.safetensors nor model.safetensors.index.json",
                    path.string()),
        "a checkpoint in another format must be converted to safetensors first");
  }
  for (const auto& [file_name, expected] : shards) {
    std::string shown = (folder / file_name).string();
    TKM_ASSIGN(auto file, base::MappedFile::open(folder / file_name));
    TKM_ASSIGN(auto header, parse_safetensors_header(file.bytes(), shown));
    for (const auto& [name, entry] : header.tensors) {
      Location location{entry, out.files_.size(), header.data_offset};
      if (!out.tensors_.emplace(name, std::move(location)).second) {
        return corrupt(
            fmt::format("{}: tensor '{}' is also in {}", shown, name, out.file_of(name)));
      }
    }
    for (const std::string& name : expected) {
      if (!header.tensors.contains(name))
        return corrupt(
            fmt::format("{}: the index says that tensor '{}' is here, but it is not", shown, name));
    }
    out.files_.push_back(std::move(file));
    out.header_texts_.push_back(std::move(header.text));
  }
  return out;
}

Result<TensorView> TensorFiles::find(std::string_view name) const {
  auto it = tensors_.find(name);
  if (it != tensors_.end()) {
    const Location& at = it->second;
    const auto dtype = dtype_of_format(at.entry.dtype);
    if (!dtype)
      return base::unsupported(fmt::format(
          "{}: tensor '{}' has the dtype '{}' (read are BF16, F16, F32, I8, I32, I64, U8)",
          file_of(name),
          name,
          at.entry.dtype));
    auto* data = const_cast<std::byte*>(files_[at.file].bytes().data()) + at.begin();
    return TensorView{*dtype, at.entry.shape, data};
  }
  std::string hint;
  if (auto next = tensors_.lower_bound(name); next != tensors_.end())
    hint = "the next name that exists is '" + next->first + "'";
  std::string where =
      files_.empty() ? "the checkpoint" : files_.front().path().parent_path().string();
  return base::not_found(fmt::format("tensor '{}' is not in {}", name, where), hint);
}

std::string TensorFiles::stored_name(const std::string& name) const {
  const size_t dot = name.find('.');
  if (contains(name) || dot == std::string::npos) return name;
  std::string bare = name.substr(dot + 1);
  return contains(bare) ? bare : name;
}

std::vector<std::string> TensorFiles::names() const {
  std::vector<std::string> out;
  for (const auto& [name, location] : tensors_) out.push_back(name);
  return out;
}

std::string TensorFiles::file_of(std::string_view name) const {
  auto it = tensors_.find(name);
  return it == tensors_.end() ? "" : files_[it->second.file].path().string();
}

int64_t TensorFiles::total_bytes() const {
  int64_t total = 0;
  for (const auto& [name, location] : tensors_) total += static_cast<int64_t>(location.bytes());
  return total;
}

std::string TensorFiles::fingerprint() const {
  std::string identity;
  for (size_t i = 0; i < files_.size(); ++i) {
    identity +=
        fmt::format("{} {}\n", files_[i].path().filename().string(), files_[i].bytes().size()) +
        header_texts_[i];
  }
  return base::hash_text(identity).hex();
}

void TensorFiles::drop(std::string_view name) const {
  auto it = tensors_.find(name);
  if (it != tensors_.end()) files_[it->second.file].drop(it->second.begin(), it->second.bytes());
}

Result<void> write_safetensors(const std::filesystem::path& path,
                               std::span<const NamedTensor> tensors,
                               const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const NamedTensor& tensor : tensors) {
    uint64_t end = offset + static_cast<uint64_t>(tensor.view.bytes());
    header[tensor.name] = {{"dtype", format_name(tensor.view.dtype)},
                           {"shape", tensor.view.shape},
                           {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  uint64_t length = text.size();
  std::vector<std::string_view> parts = {{reinterpret_cast<const char*>(&length), 8}, text};
  for (const NamedTensor& tensor : tensors) {
    parts.emplace_back(static_cast<const char*>(tensor.view.data),
                       static_cast<size_t>(tensor.view.bytes()));
  }
  return base::write_file_atomic(path, parts);
}

}  // namespace tokamak::tensor
