// SPDX-License-Identifier: Apache-2.0
// A SentencePiece model of any bytes: loading gives a tokenizer or an error, and what was loaded
// encodes and decodes.
#include <cstdint>
#include <string_view>

#include "tokamak/text/sentencepiece.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tokamak::text;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  auto parts = read_sentencepiece(bytes, "tokenizer.model");
  if (!parts.ok()) return 0;
  PipelineTokenizer tokenizer(std::move(*parts));
  for (std::string_view text :
       {std::string_view(" Hello  wörld\n\t12345 漢字▁<s>\u200d👩‍👧e\u0301\u00bd... "),
        std::string_view("aab b"),
        std::string_view()}) {
    auto ids = tokenizer.encode(text, {});
    if (ids.ok()) (void)tokenizer.decode(*ids, false);
  }
  return 0;
}
