// SPDX-License-Identifier: Apache-2.0
// Reads the `model` of a tokenizer.json: BPE, Unigram, WordPiece, WordLevel.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokamak/text/bpe.h"
#include "tokamak/text/json_scanner.h"
#include "tokamak/text/model.h"
#include "tokamak/text/token_table.h"

namespace tokamak::text {

/// What the file holds, before it becomes a Model.
struct ModelSource {
  std::string type;
  TokenTable tokens;
  std::vector<double> scores;                                         ///< Unigram: by id.
  std::vector<std::pair<std::string_view, std::string_view>> merges;  ///< Views of `text`, `pool`.
  std::vector<std::unique_ptr<std::string>> pool;                     ///< Merges that had escapes.
  std::optional<std::string> unk_token, continuing_subword_prefix;
  BpeOptions bpe;                          ///< But for these two.
  std::optional<int64_t> unk_id;           ///< Unigram.
  int64_t max_input_chars_per_word = 100;  ///< WordPiece.
};

/// Reads the value of `model`. `text` is what the scanner reads, valid UTF-8, which must outlive
/// the result. Errors: corrupt, unsupported.
Result<ModelSource> read_model(JsonScanner& scanner,
                               std::string_view text,
                               const std::string& where);

/// Reads an object of tokens and ids.
Result<void> read_vocab(JsonScanner& scanner, TokenTable& tokens);

/// `byte_level`: words come as raw bytes if the vocabulary allows it (see works_on_bytes).
Result<std::unique_ptr<Model>> make_model(const ModelSource& source,
                                          bool byte_level,
                                          const std::string& where);

/// Whether words may be given to the model as raw bytes instead of characters of the byte
/// alphabet: a BPE that knows all 256 and decorates none.
bool works_on_bytes(const ModelSource& source);

}  // namespace tokamak::text
