// SPDX-License-Identifier: Apache-2.0
// tiktoken and tekken files of any bytes: loading gives a tokenizer or an error. Small tekken files
// load, so that what was loaded can encode and decode.
#include <cstdint>
#include <string_view>

#include "tokamak/text/ranked_tokens.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tokamak::text;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)read_tiktoken(bytes, "tokenizer.model");
  auto parts = read_tekken(bytes, "tekken.json");
  if (!parts.ok()) return 0;
  PipelineTokenizer tokenizer(std::move(*parts));
  auto ids = tokenizer.encode(
      " Hello  wörld\n\t12345 漢字▁<s>\u200d👩‍👧e\u0301\u00bd... ", {});
  if (ids.ok()) (void)tokenizer.decode(*ids, false);
  return 0;
}
