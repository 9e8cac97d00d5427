// SPDX-License-Identifier: Apache-2.0
// Any bytes as config.json: an error, or a spec; small specs must also give a graph that verifies,
// or an error.
#include <cstdlib>

#include "tokamak/models/families.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tokamak;
  auto json = base::parse_json({reinterpret_cast<const char*>(data), size}, "config.json");
  if (!json.ok()) return 0;
  auto model = models::read_model(*json);
  if (!model.ok() || model->spec.layers.size() > 4) return 0;
  auto graph = models::decoder_graph(model->spec, DType::kBF16);
  if (graph.ok() && !(*graph)->verify().ok()) std::abort();
  return 0;
}
