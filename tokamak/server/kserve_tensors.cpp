// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/kserve_tensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "tokamak/server/field_reader.h"
#include "tokamak/server/json_body.h"

namespace tokamak::server {
namespace {

static_assert(std::endian::native == std::endian::little, "binary tensors are little-endian");

constexpr int64_t kMaxElements = 1'000'000;
constexpr size_t kMaxInputs = 64;

enum class Kind { kBool, kSigned, kUnsigned, kFloat, kText };

struct Datatype {
  std::string_view name;
  Kind kind;
  size_t bytes;  ///< Of one value.
};

constexpr Datatype kDatatypes[] = {{"BOOL", Kind::kBool, 1},
                                   {"INT8", Kind::kSigned, 1},
                                   {"INT16", Kind::kSigned, 2},
                                   {"INT32", Kind::kSigned, 4},
                                   {"INT64", Kind::kSigned, 8},
                                   {"UINT8", Kind::kUnsigned, 1},
                                   {"UINT16", Kind::kUnsigned, 2},
                                   {"UINT32", Kind::kUnsigned, 4},
                                   {"UINT64", Kind::kUnsigned, 8},
                                   {"FP32", Kind::kFloat, 4},
                                   {"FP64", Kind::kFloat, 8},
                                   {"BYTES", Kind::kText, 0}};

const Datatype* datatype_of(std::string_view name) {
  for (const Datatype& datatype : kDatatypes) {
    if (datatype.name == name) return &datatype;
  }
  return nullptr;
}

Error bad_input(const KServeTensor& tensor, std::string_view what) {
  return base::invalid(fmt::format("{} {}", tensor.name, what));
}

Result<int64_t> num_elements(const KServeTensor& tensor) {
  int64_t count = 1;
  for (int64_t size : tensor.shape) {
    if (size < 0) return bad_input(tensor, fmt::format("has the dimension {}", size));
    if (size > 0 && count > kMaxElements / size) {
      return bad_input(tensor, fmt::format("has more than {} elements", kMaxElements));
    }
    count *= size;
  }
  return count;
}

template <typename T>
T load(std::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

Json binary_value(const Datatype& datatype, std::string_view bytes) {
  switch (datatype.kind) {
    case Kind::kBool:
      return bytes[0] != 0;
    case Kind::kSigned: {
      // Sign and zero extension through the top of 64 bits.
      uint64_t bits = 0;
      std::memcpy(&bits, bytes.data(), datatype.bytes);
      const auto shift = static_cast<int>(64 - 8 * datatype.bytes);
      return static_cast<int64_t>(bits << shift) >> shift;
    }
    case Kind::kUnsigned: {
      uint64_t bits = 0;
      std::memcpy(&bits, bytes.data(), datatype.bytes);
      return bits;
    }
    case Kind::kFloat: {
      const double value = datatype.bytes == 4 ? load<float>(bytes) : load<double>(bytes);
      return std::isfinite(value) ? Json(value) : Json(nullptr);
    }
    case Kind::kText:
      break;
  }
  return nullptr;
}

Result<void> read_binary_texts(KServeTensor& tensor, int64_t count, std::string_view bytes) {
  for (int64_t i = 0; i < count; ++i) {
    if (bytes.size() < 4) return bad_input(tensor, "ends inside the length of a text");
    const auto size = load<uint32_t>(bytes);
    bytes.remove_prefix(4);
    if (size > bytes.size()) {
      return bad_input(
          tensor, fmt::format("has a text of {} bytes with {} bytes left", size, bytes.size()));
    }
    tensor.values.push_back(std::string(bytes.substr(0, size)));
    bytes.remove_prefix(size);
  }
  if (!bytes.empty()) return bad_input(tensor, "has more bytes than its shape says");
  return {};
}

Result<void> read_binary(KServeTensor& tensor, const Datatype& datatype, std::string_view bytes) {
  TKM_ASSIGN(const int64_t count, num_elements(tensor));
  if (datatype.kind == Kind::kText) return read_binary_texts(tensor, count, bytes);
  if (bytes.size() != static_cast<size_t>(count) * datatype.bytes) {
    return bad_input(tensor,
                     fmt::format("has {} bytes, its shape says {}",
                                 bytes.size(),
                                 static_cast<size_t>(count) * datatype.bytes));
  }
  for (; !bytes.empty(); bytes.remove_prefix(datatype.bytes)) {
    Json value = binary_value(datatype, bytes.substr(0, datatype.bytes));
    if (value.is_null()) return bad_input(tensor, "holds a value that is no finite number");
    tensor.values.push_back(std::move(value));
  }
  return {};
}

bool is_of(Kind kind, const Json& value) {
  switch (kind) {
    case Kind::kBool:
      return value.is_boolean();
    case Kind::kSigned:
      return value.is_number_integer();
    case Kind::kUnsigned:
      return value.is_number_unsigned();
    case Kind::kFloat:
      return value.is_number();
    case Kind::kText:
      return value.is_string();
  }
  return false;
}

/// `data` is flat or nested as the shape is; the parser has bounded its depth.
Result<void> read_data(KServeTensor& tensor, const Datatype& datatype, const Json& data) {
  for (const Json& element : data) {
    if (element.is_array()) {
      TKM_RETURN_IF_ERROR(read_data(tensor, datatype, element));
    } else if (is_of(datatype.kind, element)) {
      tensor.values.push_back(element);
    } else {
      return bad_input(
          tensor, fmt::format("holds a {} where {} is due", element.type_name(), tensor.datatype));
    }
  }
  return {};
}

/// The size of an input's binary data, if it has that. Other parameters would change what the input
/// is.
Result<std::optional<int64_t>> binary_size(const KServeTensor& tensor, const Json& input) {
  std::optional<int64_t> size;
  const Json* parameters = base::find(input, "parameters");
  if (!parameters) return size;
  if (!parameters->is_object()) return bad_input(tensor, "has parameters that are no object");
  for (const auto& [name, value] : parameters->items()) {
    if (name.starts_with("shared_memory_")) {
      return base::unsupported(
          fmt::format("{} is in shared memory, which is not read here", tensor.name),
          "send its data with the request");
    }
    if (name != "binary_data_size") {
      return base::unsupported(fmt::format(
          "{} has the parameter '{}', which is not supported", tensor.name, name.substr(0, 80)));
    }
    TKM_ASSIGN(size, base::get_int(*parameters, name));
  }
  return size;
}

Result<KServeTensor> read_input(const Json& input, std::string_view& binary) {
  KServeTensor tensor;
  TKM_ASSIGN(tensor.name, base::get_string(input, "name"));
  if (tensor.name.size() > 100) return base::invalid("inputs has a name of more than 100 bytes");
  TKM_ASSIGN(tensor.datatype, base::get_string(input, "datatype"));
  TKM_ASSIGN(tensor.shape, base::get_ints(input, "shape"));
  const Datatype* datatype = datatype_of(tensor.datatype);
  if (!datatype) {
    return base::unsupported(fmt::format(
        "{} has the datatype '{}', which is not read", tensor.name, tensor.datatype.substr(0, 40)));
  }
  TKM_ASSIGN(const std::optional<int64_t> size, binary_size(tensor, input));
  if (size) {
    const int64_t bytes = *size;
    if (bytes < 0 || static_cast<size_t>(bytes) > binary.size()) {
      return bad_input(
          tensor,
          fmt::format("has a binary_data_size of {} with {} bytes left", bytes, binary.size()));
    }
    TKM_RETURN_IF_ERROR(
        read_binary(tensor, *datatype, binary.substr(0, static_cast<size_t>(bytes))));
    binary.remove_prefix(static_cast<size_t>(bytes));
    return tensor;
  }
  const Json* data = base::find(input, "data");
  if (!data || !data->is_array()) return bad_input(tensor, "has no data");
  TKM_RETURN_IF_ERROR(read_data(tensor, *datatype, *data));
  TKM_ASSIGN(const int64_t count, num_elements(tensor));
  if (static_cast<int64_t>(tensor.values.size()) != count) {
    return bad_input(tensor,
                     fmt::format("has {} values, its shape says {}", tensor.values.size(), count));
  }
  return tensor;
}

}  // namespace

Result<KServeInfer> parse_infer(std::string_view body, std::optional<size_t> json_bytes) {
  if (json_bytes && *json_bytes > body.size()) {
    return base::invalid(fmt::format(
        "Inference-Header-Content-Length is {}, the body has {} bytes", *json_bytes, body.size()));
  }
  KServeInfer infer;
  TKM_ASSIGN(infer.request, parse_object(body.substr(0, json_bytes.value_or(body.size()))));
  std::string_view binary = body.substr(json_bytes.value_or(body.size()));
  const Json* inputs = base::find(infer.request, "inputs");
  if (!inputs || !inputs->is_array()) return base::invalid("'inputs' is missing");
  if (inputs->size() > kMaxInputs) {
    return base::invalid(
        fmt::format("inputs has {} tensors, the limit is {}", inputs->size(), kMaxInputs));
  }
  for (const Json& input : *inputs) {
    if (!input.is_object()) return wrong_type("inputs", "a list of objects", input);
    TKM_ASSIGN(KServeTensor tensor, read_input(input, binary));
    infer.inputs.push_back(std::move(tensor));
  }
  if (!binary.empty()) {
    return base::invalid(
        fmt::format("body has {} bytes behind the last binary input", binary.size()));
  }
  infer.request.erase("inputs");
  return infer;
}

std::string binary_texts(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) {
    const auto size = static_cast<uint32_t>(text.size());
    char prefix[4];
    std::memcpy(prefix, &size, 4);
    out.append(prefix, 4);
    out += text;
  }
  return out;
}

}  // namespace tokamak::server
