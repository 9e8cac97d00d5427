// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/pipeline.h"

#include "tokamak/text/unicode.h"

namespace tokamak::text {

Result<std::vector<TokenId>> PipelineTokenizer::encode(std::string_view text,
                                                       const EncodeOptions& options) const {
  // Positions within one text are counted in 32 bits.
  constexpr size_t kMaxBytes = size_t{1} << 30;
  if (text.size() > kMaxBytes) {
    return base::invalid(
        fmt::format("encode: text of {} bytes, the limit is {}", text.size(), kMaxBytes));
  }
  if (auto offset = find_invalid_utf8(text)) {
    return base::invalid(fmt::format("encode: text is not valid UTF-8 at byte {}", *offset));
  }
  EncodeState state;
  state.ids.reserve(text.size() / 3 + parts_.prefix.size() + parts_.suffix.size());
  if (options.add_special_tokens) state.ids = parts_.prefix;
  if (!parts_.added.any(false)) {
    encode_text(text, true, options, state);
  } else {
    parts_.added.split(text, false, as_text(options), [&](AddedTokens::Part part) {
      if (part.id >= 0) return state.ids.push_back(part.id);
      encode_text(part.text, part.text.data() == text.data(), options, state);
    });
  }
  if (options.add_special_tokens) {
    state.ids.insert(state.ids.end(), parts_.suffix.begin(), parts_.suffix.end());
  }
  if (state.error) return std::move(*state.error);
  return std::move(state.ids);
}

void PipelineTokenizer::encode_text(std::string_view text,
                                    bool at_start,
                                    const EncodeOptions& options,
                                    EncodeState& state) const {
  std::string normalized;
  if (parts_.normalizer) {
    normalized = text;
    if (auto done = parts_.normalizer->apply(normalized); !done.ok()) {
      return state.fail(done.error());
    }
    text = normalized;
  }
  if (!parts_.added.any(true)) return encode_piece({text, at_start}, state);
  parts_.added.split(text, true, as_text(options), [&](AddedTokens::Part part) {
    if (part.id >= 0) return state.ids.push_back(part.id);
    encode_piece({part.text, at_start && part.text.data() == text.data()}, state);
  });
}

void PipelineTokenizer::encode_piece(Piece piece, EncodeState& state) const {
  if (piece.text.empty()) return;
  if (!parts_.pre_tokenizer) return parts_.model->encode(piece.text, state);
  parts_.pre_tokenizer->split(
      piece, [&](Piece word) { parts_.model->encode(word.text, state); }, state);
}

bool PipelineTokenizer::is_special(TokenId id) const {
  return (id >= 0 && static_cast<size_t>(id) < parts_.control.size() && parts_.control[id]) ||
         parts_.added.is_special(id);
}

TokenPiece PipelineTokenizer::piece(TokenId id, bool first, bool last) const {
  const std::string* form = parts_.added.decoded_form(id);
  return parts_.decoder.piece(form ? *form : parts_.names.token(id), first, last);
}

}  // namespace tokamak::text
