// SPDX-License-Identifier: Apache-2.0
// Any bytes as the file of an engine's rank: an error, or parts that written again are read alike.
#include <cstdlib>

#include "tokamak/engine/rank_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tokamak;
  auto file = engine::read_rank_file({reinterpret_cast<const char*>(data), size}, "file");
  if (!file.ok()) return 0;
  auto again = engine::read_rank_file(engine::write_rank_file(*file), "file");
  if (!again.ok() || again->plan != file->plan || again->code.size() != file->code.size())
    std::abort();
  return 0;
}
