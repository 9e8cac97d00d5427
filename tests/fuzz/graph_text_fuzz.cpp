// SPDX-License-Identifier: Apache-2.0
// Any bytes as the text of a graph: an error, or a graph whose text reads back to the same text.
#include <cstdlib>

#include "tokamak/ir/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto graph = tokamak::ir::parse_graph({reinterpret_cast<const char*>(data), size});
  if (!graph.ok()) return 0;
  std::string text = (*graph)->text();
  auto again = tokamak::ir::parse_graph(text);
  if (!again.ok() || (*again)->text() != text) std::abort();
  return 0;
}
