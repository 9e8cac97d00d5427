// SPDX-License-Identifier: Apache-2.0
// A tokenizer as a chain of its parts, whatever file they came from:
// added tokens -> normalizer -> pre-tokenizer -> model -> post processor, and back by a decoder.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tokamak/text/added_tokens.h"
#include "tokamak/text/decoder.h"
#include "tokamak/text/model.h"
#include "tokamak/text/normalizer.h"
#include "tokamak/text/pre_tokenizer.h"
#include "tokamak/text/token_table.h"
#include "tokamak/text/tokenizer.h"

namespace tokamak::text {

struct Pipeline {
  TokenTable names;  ///< Tokens as the file writes them, added ones included.
  AddedTokens added;
  std::unique_ptr<Normalizer> normalizer;       ///< May be null.
  std::unique_ptr<PreTokenizer> pre_tokenizer;  ///< May be null.
  std::unique_ptr<Model> model;
  Decoder decoder;
  std::vector<TokenId> prefix, suffix;  ///< What the post processor puts around the ids.
  std::optional<TokenId> bos, eos;
  /// Ids that decoding leaves out beside special added tokens (SentencePiece's control pieces), by
  /// id; may be shorter than the vocabulary.
  std::vector<bool> control;
  SpecialNames special_names;
  bool special_as_text = false;  ///< Texts of special tokens are never these tokens.
  bool byte_level = false;       ///< A tokenizer.json that works on bytes, whatever its class.
};

class PipelineTokenizer : public Tokenizer {
 public:
  explicit PipelineTokenizer(Pipeline parts) : parts_(std::move(parts)) {}

  Result<std::vector<TokenId>> encode(std::string_view text,
                                      const EncodeOptions& options) const override;
  int64_t vocab_size() const override { return parts_.names.size(); }
  std::string_view token(TokenId id) const override { return parts_.names.token(id); }
  std::optional<TokenId> token_id(std::string_view token) const override {
    return parts_.names.find(token);
  }
  bool is_special(TokenId id) const override;
  bool is_added(TokenId id) const override {
    return is_special(id) || parts_.added.decoded_form(id);
  }
  std::optional<TokenId> bos_id() const override { return parts_.bos; }
  std::optional<TokenId> eos_id() const override { return parts_.eos; }
  const SpecialNames& special_names() const override { return parts_.special_names; }
  TokenPiece piece(TokenId id, bool first, bool last) const override;
  const JoinRules& join_rules() const override { return parts_.decoder.rules(); }

 private:
  void encode_text(std::string_view text,
                   bool at_start,
                   const EncodeOptions& options,
                   EncodeState& state) const;
  void encode_piece(Piece piece, EncodeState& state) const;
  bool as_text(const EncodeOptions& options) const {
    return parts_.special_as_text || !options.parse_special_tokens;
  }

  Pipeline parts_;
};

}  // namespace tokamak::text
