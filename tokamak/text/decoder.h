// SPDX-License-Identifier: Apache-2.0
// Decoders turn tokens back into text. A chain of Hugging Face decoders is reduced to what each
// token adds, given whether it is the first or the last, and to rules for the joined text, so that
// streamed text and text decoded at once are the same by construction.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokamak/text/component.h"
#include "tokamak/text/tokenizer.h"

namespace tokamak::text {

class Decoder {
 public:
  /// Without a decoder tokens are joined by spaces.
  Decoder() = default;
  /// From the `decoder` of a tokenizer.json. Errors: corrupt, unsupported (a type, or an order of
  /// types that is not a function of single tokens, by name).
  static Result<Decoder> make(const Component& component);
  /// Tokens are written in the byte alphabet.
  static Decoder byte_level();
  /// Of SentencePiece: '▁' is a space, <0xE2> a byte; the space that the normalizer put in front is
  /// taken away. `unk_surface`: what the unknown token becomes.
  static Decoder sentencepiece(bool drop_first_space,
                               bool drop_leading_spaces,
                               const std::string& unk_piece,
                               const std::string& unk_surface);

  TokenPiece piece(std::string_view token, bool first, bool last) const;
  const JoinRules& rules() const { return rules_; }

 private:
  enum class Kind {
    kByteLevel,
    kMetaspace,
    kByteFallback,
    kReplace,
    kStrip,
    kWordPiece,
    kSuffix,
    kSpaceBetween,
    kSentencePiece,
  };
  struct Step {
    Kind kind;
    std::string from, to;  // Metaspace: of the first token. Suffix, word piece: only from.
    int strip_left = 0, strip_right = 0;
    bool cleanup = false;           // Word piece.
    bool drop_first_space = false;  // SentencePiece.
  };
  Result<void> add(const Component& component);
  static constexpr size_t kMostGrowth = 1024;
  static void apply(const Step& step, TokenPiece& piece, bool first, bool last);

  std::vector<Step> steps_{{.kind = Kind::kSpaceBetween}};
  JoinRules rules_;
  bool fused_ = false;  // While it is made: what follows works on the joined text,
  size_t growth_ = 1;   // and how many times its size a token may become.
};

}  // namespace tokamak::text
