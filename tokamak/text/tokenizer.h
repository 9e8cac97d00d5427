// SPDX-License-Identifier: Apache-2.0
// Text to token ids and back, from the files that Hugging Face checkpoints carry.
// Reads tokenizer.json (BPE byte-level or with byte fallback, Unigram, WordPiece), SentencePiece
// tokenizer.model, tiktoken tokenizer.model, and tekken.json. Ids equal those of the library each
// format comes from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/base/result.h"

namespace tokamak::text {

using TokenId = int32_t;

struct EncodeOptions {
  /// Add what the tokenizer's post processor adds (BOS, EOS, …).
  bool add_special_tokens = true;
  /// Recognise the text of special tokens ("<|eot_id|>") as these tokens; otherwise it is plain
  /// text.
  bool parse_special_tokens = true;
};

/// Immutable after loading: any number of threads may call it.
class Tokenizer {
 public:
  /// Loads from a checkpoint folder: tokenizer.json if there is one, else tokenizer.model
  /// (SentencePiece or tiktoken, told apart by content), else tekken.json, else vocab.json +
  /// merges.txt. tokenizer_config.json adds added tokens, BOS/EOS and the chat template's tokens.
  /// Errors: not_found (none of them), corrupt (file and what is wrong in it), unsupported (a
  /// component type, by name).
  static Result<std::shared_ptr<const Tokenizer>> load(const std::filesystem::path& folder);
  /// Loads one file; its format is told by content.
  static Result<std::shared_ptr<const Tokenizer>> load_file(const std::filesystem::path& file);

  virtual ~Tokenizer() = default;

  /// Errors: invalid (text is not valid UTF-8, with the byte offset).
  virtual Result<std::vector<TokenId>> encode(std::string_view text,
                                              const EncodeOptions& options = {}) const = 0;

  /// Text of ids as the original library decodes them (a leading space of SentencePiece is dropped,
  /// …). Incomplete UTF-8 becomes U+FFFD. Errors: invalid (id out of range).
  virtual Result<std::string> decode(std::span<const TokenId> ids,
                                     bool skip_special_tokens = true) const = 0;

  /// Number of ids: the largest id + 1.
  virtual int64_t vocab_size() const = 0;
  /// The token as it stands in the vocabulary file; empty for an unused id.
  virtual std::string_view token(TokenId id) const = 0;
  virtual std::optional<TokenId> token_id(std::string_view token) const = 0;
  virtual bool is_special(TokenId id) const = 0;

  virtual std::optional<TokenId> bos_id() const = 0;
  virtual std::optional<TokenId> eos_id() const = 0;

  /// The bytes that `id` adds to the text after `previous` (-1: none before): the unit of the
  /// incremental detokenizer. Joined over a sequence they equal decode() of the sequence before
  /// UTF-8 repair. Special tokens give their text.
  virtual std::string piece(TokenId id, TokenId previous) const = 0;
};

/// Turns a growing sequence of ids into valid UTF-8 text, piece by piece: bytes are held back until
/// their character is complete. The pieces joined, with finish(), equal Tokenizer::decode of all
/// ids. One per request; not thread-safe.
class Detokenizer {
 public:
  explicit Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special_tokens = true);
  /// Text that became certain with this id; may be empty. `id` must be in range.
  std::string push(TokenId id);
  /// What is still held back; incomplete UTF-8 as U+FFFD.
  std::string finish();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool skip_special_tokens_;
  TokenId previous_ = -1;
  std::string held_;
};

}  // namespace tokamak::text
