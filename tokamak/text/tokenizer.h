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

/// What one token adds to the text.
struct TokenPiece {
  std::string bytes;
  bool is_byte = false;  ///< One byte of a character that has no token (<0xE2>).
};

/// How the pieces of tokens become text.
struct JoinRules {
  /// Bytes of byte tokens that make no character become one U+FFFD each, as SentencePiece has it;
  /// else pieces are parts of one stream of bytes, and each maximal part of a character becomes one
  /// U+FFFD.
  bool repair_each_byte = false;
  /// This character is removed up to so many times from the ends of the whole text.
  std::string strip;
  int strip_left = 0, strip_right = 0;
  bool first_until_text = false;  ///< Tokens count as the first until one has added text.
  bool looks_ahead = false;       ///< The last piece differs, so pieces are one token late.
};

/// Special tokens as chat templates know them.
struct SpecialNames {
  /// Name and text: "bos_token", "</s>"; "image_token", ….
  std::vector<std::pair<std::string, std::string>> tokens;
  /// Those that have no name of their own (additional_special_tokens).
  std::vector<std::string> additional;

  const std::string* find(std::string_view name) const;
  void set(std::string_view name, std::string_view token);
  void erase(std::string_view name);
};

/// Immutable after loading: any number of threads may call it.
class Tokenizer {
 public:
  /// Loads from a checkpoint folder: tokenizer.json if there is one, else tokenizer.model
  /// (SentencePiece or tiktoken, told apart by content), else tekken.json, else vocab.json +
  /// merges.txt. tokenizer_config.json, special_tokens_map.json and added_tokens.json add tokens,
  /// BOS and EOS, and the names of special tokens.
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
  Result<std::string> decode(std::span<const TokenId> ids, bool skip_special_tokens = true) const;

  /// Number of ids: the largest id + 1.
  virtual int64_t vocab_size() const = 0;
  /// The token as it stands in the vocabulary file; empty for an unused id.
  virtual std::string_view token(TokenId id) const = 0;
  virtual std::optional<TokenId> token_id(std::string_view token) const = 0;
  virtual bool is_special(TokenId id) const = 0;
  /// Whether it stands beside the vocabulary that texts are made of, special or not.
  virtual bool is_added(TokenId id) const { return is_special(id); }

  virtual std::optional<TokenId> bos_id() const = 0;
  virtual std::optional<TokenId> eos_id() const = 0;
  virtual const SpecialNames& special_names() const;

  /// What `id` adds to the text. `first` and `last`: among the tokens of the text that are not
  /// left out. `id` must be in range.
  virtual TokenPiece piece(TokenId id, bool first, bool last) const = 0;
  virtual const JoinRules& join_rules() const = 0;
};

/// Turns a growing sequence of ids into valid UTF-8 text, piece by piece: bytes are held back until
/// their character is complete. The pieces joined, with finish(), equal Tokenizer::decode of all
/// ids. One per request; not thread-safe.
class Detokenizer {
 public:
  explicit Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special_tokens = true);
  /// For a tokenizer that outlives it.
  explicit Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens = true);
  /// Text that became certain with this id; may be empty. `id` must be in range.
  std::string push(TokenId id);
  /// What is still held back; incomplete UTF-8 as U+FFFD.
  std::string finish();

 private:
  void add(TokenId id, bool last, std::string& out);
  void add_bytes(std::string_view bytes, std::string& out);
  void repair(bool complete, std::string& out);
  void emit(std::string_view text, std::string& out);

  std::shared_ptr<const Tokenizer> owner_;
  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  bool first_ = true;
  int left_to_strip_;
  TokenId pending_ = -1;     // With JoinRules::looks_ahead: the token before the next.
  std::string held_;         // Bytes whose character is not complete.
  std::string held_strips_;  // Characters that are stripped if the text ends here.
};

}  // namespace tokamak::text
