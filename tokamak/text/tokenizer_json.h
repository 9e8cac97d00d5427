// SPDX-License-Identifier: Apache-2.0
// Reads tokenizer.json, the format of Hugging Face `tokenizers`.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tokamak/text/pipeline.h"

namespace tokamak::text {

/// `file` names the source in errors. `add_prefix_space`: of a ByteLevel pre-tokenizer, whatever
/// the file says. Errors: corrupt (file, field and what is wrong), unsupported (a component type,
/// by name).
Result<Pipeline> read_tokenizer_json(std::string_view text,
                                     const std::string& file,
                                     std::optional<bool> add_prefix_space = {});

/// BPE from vocab.json and merges.txt, the files of GPT-2. Errors: corrupt.
Result<Pipeline> read_vocab_and_merges(std::string_view vocab,
                                       std::string_view merges,
                                       const std::string& vocab_file,
                                       const std::string& merges_file);

/// Qwen2's files of this kind come with another pattern, and normalize to NFC.
void use_qwen2_rules(Pipeline& parts, bool add_prefix_space);

/// The members of an added token: content, single_word, lstrip, … Errors: corrupt.
Result<AddedToken> read_added_token(const Json& json, const std::string& where);

}  // namespace tokamak::text
