// SPDX-License-Identifier: Apache-2.0
// Any bytes as a safetensors file: an error, or a header whose tensors all lie within the file.
#include <cstdlib>

#include "tokamak/tensor/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto header =
      tokamak::tensor::parse_safetensors_header(std::as_bytes(std::span(data, size)), "fuzz");
  if (!header.ok()) return 0;
  for (const auto& [name, entry] : header->tensors) {
    if (header->data_offset + entry.end > size || entry.begin > entry.end) std::abort();
  }
  return 0;
}
