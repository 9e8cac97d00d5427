// SPDX-License-Identifier: Apache-2.0
// A tokenizer.json of any bytes: loading gives a tokenizer or an error, and what was loaded encodes
// and decodes.
#include <cstdint>
#include <string_view>

#include "tokamak/text/tokenizer_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tokamak::text;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  auto parts = read_tokenizer_json(bytes, "tokenizer.json");
  if (!parts.ok()) return 0;
  PipelineTokenizer tokenizer(std::move(*parts));
  constexpr std::string_view kText =
      " Hello  wörld\n\t12345 don't 漢字▁<s>\u200d👩‍👧e\u0301\u00bd...";
  for (bool parse : {false, true}) {
    auto ids = tokenizer.encode(kText, {.parse_special_tokens = parse});
    if (!ids.ok()) continue;
    for (TokenId& id : *ids) {
      // Post processors may name ids that the vocabulary does not have.
      if (id >= tokenizer.vocab_size()) id = 0;
    }
    (void)tokenizer.decode(*ids, parse);
  }
  return 0;
}
