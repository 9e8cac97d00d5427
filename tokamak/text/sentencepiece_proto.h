// SPDX-License-Identifier: Apache-2.0
// The part of SentencePiece's ModelProto (sentencepiece_model.proto) that encoding needs. The file
// comes from outside and is small to read, so it is read here and not handed to a library.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/base/result.h"

namespace tokamak::text {

struct SentencePieceProto {
  enum class Type { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };
  enum class ModelType { kUnigram = 1, kBpe, kWord, kChar };
  struct Piece {
    std::string_view text;
    float score = 0;
    Type type = Type::kNormal;
  };

  std::vector<Piece> pieces;
  ModelType model_type = ModelType::kUnigram;
  bool byte_fallback = false;
  bool treat_whitespace_as_suffix = false;
  std::string_view unk_surface = " \u2047 ";
  std::string_view bos_piece = "<s>", eos_piece = "</s>";
  std::string_view precompiled_charsmap;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  bool has_denormalizer = false;
};

/// Views of `bytes`, which must outlive the result. Errors: corrupt (not such a message, with the
/// byte; pieces that SentencePiece refuses).
Result<SentencePieceProto> read_sentencepiece_proto(std::string_view bytes,
                                                    const std::string& file);

/// Whether `bytes` start like a ModelProto.
bool looks_like_sentencepiece(std::string_view bytes);

}  // namespace tokamak::text
