// SPDX-License-Identifier: Apache-2.0
// Pre-tokenizers cut text into the pieces that the model encodes one by one, as Hugging Face
// `tokenizers` defines them.
#pragma once

#include <memory>
#include <string_view>

#include "tokamak/text/component.h"
#include "tokamak/text/function_ref.h"
#include "tokamak/text/model.h"
#include "tokamak/text/scanner.h"

namespace tokamak::text {

struct Piece {
  std::string_view text;
  bool at_start = false;  ///< It begins where the whole input begins.
};

class PreTokenizer {
 public:
  using Emit = FunctionRef<void(Piece)>;

  virtual ~PreTokenizer() = default;
  /// Emits the parts of `piece` in order; their text lives until emit returns. Empty parts are
  /// not emitted. Any number of threads may call it.
  virtual void split(Piece piece, Emit emit, EncodeState& state) const = 0;
};

/// From the `pre_tokenizer` of a tokenizer.json. With `raw_bytes` a ByteLevel at the end does not
/// write bytes as characters of the byte alphabet, for a model that works on bytes. Errors:
/// corrupt, unsupported (a type, by name).
Result<std::unique_ptr<PreTokenizer>> make_pre_tokenizer(const Component& component,
                                                         bool raw_bytes);
/// Cuts text into the matches of a scanner and what is between them.
std::unique_ptr<PreTokenizer> make_scanner_split(Scanner scanner);
/// GPT-2's words. With `add_prefix_space` a text that begins without a space gets one.
std::unique_ptr<PreTokenizer> make_gpt2_split(bool add_prefix_space);
/// Qwen2's words. With `add_prefix_space` each word does, as its class has it.
std::unique_ptr<PreTokenizer> make_qwen2_split(bool add_prefix_space);
/// Whether the last step is ByteLevel.
bool ends_in_byte_level(const Component& component);

}  // namespace tokamak::text
