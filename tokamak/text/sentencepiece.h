// SPDX-License-Identifier: Apache-2.0
// Reads SentencePiece's tokenizer.model (Kudo and Richardson, arXiv:1808.06226), of which BPE and
// unigram models exist in checkpoints, and encodes as that library does.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tokamak/text/pipeline.h"

namespace tokamak::text {

/// Control pieces are no added tokens: their text in the input is plain text. BOS is put before
/// every text. `prefix_everywhere`: the space in front of a text is also put after added tokens
/// (what Hugging Face calls legacy). `add_prefix_space`: whether there is one, whatever the file
/// says. Errors: corrupt, unsupported (word and character models, a denormalizer).
Result<Pipeline> read_sentencepiece(std::string_view bytes,
                                    const std::string& file,
                                    bool prefix_everywhere = true,
                                    std::optional<bool> add_prefix_space = {});

}  // namespace tokamak::text
