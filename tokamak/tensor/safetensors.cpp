// SPDX-License-Identifier: Apache-2.0
#include "tokamak/tensor/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "tokamak/base/hash.h"
#include "tokamak/base/json.h"

namespace tokamak::tensor {
namespace {

using base::corrupt;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // The format's own limit.

Result<DType> dtype_of_format(std::string_view name, std::string_view where) {
  static const std::map<std::string_view, DType> kNames = {{"F32", DType::kF32},
                                                           {"F16", DType::kF16},
                                                           {"BF16", DType::kBF16},
                                                           {"I32", DType::kI32},
                                                           {"I64", DType::kI64},
                                                           {"I8", DType::kI8},
                                                           {"U8", DType::kU8}};
  auto it = kNames.find(name);
  if (it == kNames.end()) {
    return base::unsupported(
        fmt::format("{}: dtype '{}' (read are BF16, F16, F32, I8, I32, I64, U8)", where, name));
  }
  return it->second;
}

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

/// A list of unsigned integers, or an error.
Result<std::vector<uint64_t>> unsigned_list(const Json& json, std::string_view where) {
  if (!json.is_array()) return corrupt(fmt::format("{} is not a list", where));
  std::vector<uint64_t> out;
  for (const Json& element : json) {
    if (!element.is_number_unsigned())
      return corrupt(fmt::format("{} holds something that is not an unsigned integer", where));
    out.push_back(element.get<uint64_t>());
  }
  return out;
}

Result<SafetensorsEntry> parse_entry(const std::string& name,
                                     const Json& json,
                                     uint64_t data_bytes,
                                     std::string_view what) {
  std::string where = fmt::format("{}: tensor '{}'", what, name);
  if (!json.is_object()) return corrupt(where + " is not described by an object");
  const Json *dtype = base::find(json, "dtype"), *shape = base::find(json, "shape"),
             *offsets = base::find(json, "data_offsets");
  if (!dtype || !dtype->is_string() || !shape || !offsets)
    return corrupt(where + " lacks dtype, shape or data_offsets");
  SafetensorsEntry entry;
  TKM_ASSIGN(entry.dtype, dtype_of_format(dtype->get_ref<const std::string&>(), where));
  TKM_ASSIGN(auto dims, unsigned_list(*shape, where + " shape"));
  TKM_ASSIGN(auto range, unsigned_list(*offsets, where + " data_offsets"));
  if (dims.size() > 8)
    return corrupt(fmt::format("{} has {} dimensions, the limit is 8", where, dims.size()));
  if (range.size() != 2 || range[0] > range[1])
    return corrupt(where + " has data_offsets that are not a range");
  if (range[1] > data_bytes) {
    return corrupt(
        fmt::format("{} ends at byte {} of the data, but the file holds only {} (is it truncated?)",
                    where,
                    range[1],
                    data_bytes));
  }
  uint64_t bytes = static_cast<uint64_t>(dtype_bytes(entry.dtype));
  for (uint64_t dim : dims) {
    if (dim > (uint64_t{1} << 40) || __builtin_mul_overflow(bytes, dim, &bytes)) {
      return corrupt(where + " has a shape whose size overflows");
    }
    entry.shape.push_back(static_cast<int64_t>(dim));
  }
  if (bytes != range[1] - range[0]) {
    return corrupt(fmt::format("{} of {}{} needs {} bytes, but its data_offsets span {}",
                               where,
                               dtype_name(entry.dtype),
                               shape_text(entry.shape),
                               bytes,
                               range[1] - range[0]));
  }
  entry.begin = range[0];
  entry.end = range[1];
  return entry;
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
  TKM_ASSIGN(Json json, base::parse_json(header.text, std::string(what) + " header"));
  if (!json.is_object()) return corrupt(fmt::format("{}: the header is not a JSON object", what));
  uint64_t data_bytes = file.size() - header.data_offset;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") {
      if (!value.is_object())
        return corrupt(fmt::format("{}: __metadata__ is not an object", what));
      for (const auto& [key, text] : value.items()) {
        if (!text.is_string())
          return corrupt(fmt::format("{}: __metadata__ '{}' is not a string", what, key));
        header.metadata[key] = text.get<std::string>();
      }
      continue;
    }
    TKM_ASSIGN(SafetensorsEntry entry, parse_entry(name, value, data_bytes, what));
    if (!header.tensors.emplace(name, std::move(entry)).second) {
      return corrupt(fmt::format("{}: tensor '{}' appears twice", what, name));
    }
  }
  TKM_RETURN_IF_ERROR(check_coverage(header, data_bytes, what));
  return header;
}

namespace {

/// Shard file names in the order of the index, and the tensors that it says each must hold.
Result<std::map<std::string, std::vector<std::string>>> read_index(
    const std::filesystem::path& path) {
  TKM_ASSIGN(std::string text, base::read_file(path, kMaxHeaderBytes));
  TKM_ASSIGN(Json json, base::parse_json(text, path.string()));
  const Json* map = base::find(json, "weight_map");
  if (!map || !map->is_object())
    return corrupt(fmt::format("{}: 'weight_map' is missing", path.string()));
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string())
      return corrupt(
          fmt::format("{}: the file of tensor '{}' is not a string", path.string(), tensor));
    const auto& name = file.get_ref<const std::string&>();
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
  std::map<std::string, std::vector<std::string>> shards;
  std::filesystem::path folder = path;
  if (!std::filesystem::exists(path))
    return base::not_found(fmt::format("{} does not exist", path.string()));
  if (!std::filesystem::is_directory(path)) {
    folder = path.parent_path();
    shards[path.filename().string()] = {};
  } else if (std::filesystem::exists(path / "model.safetensors.index.json")) {
    TKM_ASSIGN(shards, read_index(path / "model.safetensors.index.json"));
  } else if (std::filesystem::exists(path / "model.safetensors")) {
    shards["model.safetensors"] = {};
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
      auto* data = const_cast<std::byte*>(file.bytes().data()) + header.data_offset + entry.begin;
      Location location{
          {entry.dtype, entry.shape, data}, out.files_.size(), header.data_offset + entry.begin};
      if (!out.tensors_.emplace(name, location).second) {
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
  if (it != tensors_.end()) return it->second.view;
  std::string hint;
  if (auto next = tensors_.lower_bound(name); next != tensors_.end())
    hint = "the next name that exists is '" + next->first + "'";
  std::string where =
      files_.empty() ? "the checkpoint" : files_.front().path().parent_path().string();
  return base::not_found(fmt::format("tensor '{}' is not in {}", name, where), hint);
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
  for (const auto& [name, location] : tensors_) total += location.view.bytes();
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
  if (it != tensors_.end())
    files_[it->second.file].drop(it->second.offset, static_cast<size_t>(it->second.view.bytes()));
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
