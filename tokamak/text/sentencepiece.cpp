// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/sentencepiece.h"

#include "tokamak/text/byte_trie.h"
#include "tokamak/text/charsmap.h"
#include "tokamak/text/sentencepiece_bpe.h"
#include "tokamak/text/sentencepiece_proto.h"
#include "tokamak/text/unicode.h"
#include "tokamak/text/unigram.h"

namespace tokamak::text {
namespace {

using Type = SentencePieceProto::Type;
constexpr std::string_view kMetaspace = "\u2581";

/// SentencePiece's normalizer: replaces by the longest key of its map, leaves user-defined pieces
/// alone, may collapse spaces, writes them as '▁' and puts one in front. A pre-tokenizer and no
/// normalizer, because what it puts in front can depend on where the text stands.
class Normalization : public PreTokenizer {
 public:
  Normalization(const SentencePieceProto& proto,
                std::optional<Charsmap> map,
                bool prefix_everywhere)
      : map_(std::move(map)),
        add_prefix_(proto.add_dummy_prefix),
        prefix_everywhere_(prefix_everywhere),
        as_suffix_(proto.treat_whitespace_as_suffix),
        collapse_(proto.remove_extra_whitespaces),
        space_(proto.escape_whitespaces ? kMetaspace : " ") {
    std::vector<ByteTrie::Entry> entries;
    for (const auto& piece : proto.pieces) {
      if (piece.type == Type::kUserDefined) entries.push_back({piece.text, 0});
    }
    user_defined_ = ByteTrie(std::move(entries));
  }

  void split(Piece piece, Emit emit, EncodeState& state) const override {
    std::string_view rest = piece.text;
    while (collapse_ && !rest.empty()) {
      Step step = next(rest);
      if (step.text != " ") break;
      rest.remove_prefix(step.size);
    }
    if (rest.empty()) return;
    bool prefixed = add_prefix_ && (prefix_everywhere_ || piece.at_start);
    std::string out;
    out.reserve(rest.size() + rest.size() / 2 + space_.size());
    if (prefixed && !as_suffix_) out += space_;
    bool after_space = collapse_;
    while (!rest.empty()) {
      Step step = next(rest);
      rest.remove_prefix(step.size);
      while (after_space && step.text.starts_with(' ')) step.text.remove_prefix(1);
      if (step.text.empty()) continue;
      for (char c : step.text) c == ' ' ? out += space_ : out += c;
      if (out.size() > kMostGrowth * (piece.text.size() + 64)) {
        return state.fail(base::unsupported(fmt::format(
            "the tokenizer's character map makes over {} bytes of a text", out.size())));
      }
      after_space = collapse_ && step.text.ends_with(' ');
    }
    while (collapse_ && out.ends_with(space_)) out.resize(out.size() - space_.size());
    if (prefixed && as_suffix_) out += space_;
    if (!out.empty()) emit({out, piece.at_start});
  }

 private:
  static constexpr size_t kMostGrowth = 64;  // Published maps make 18 of 3 at most.
  struct Step {
    std::string_view text;  // What the start of the input becomes,
    size_t size;            // and how many bytes of it that is.
  };
  Step next(std::string_view input) const {
    if (size_t size = user_defined_.longest_prefix(input).size)
      return {input.substr(0, size), size};
    if (map_) {
      if (auto hit = map_->longest(input)) return {hit->replacement, hit->size};
    }
    size_t size = utf8_size(input[0]);
    return {input.substr(0, size), size};
  }

  std::optional<Charsmap> map_;
  ByteTrie user_defined_;
  bool add_prefix_, prefix_everywhere_, as_suffix_, collapse_;
  std::string_view space_;
};

std::unique_ptr<Model> make_unigram(const SentencePieceProto& proto, TokenId unknown) {
  TokenTable tokens;
  std::vector<double> scores;
  UnigramOptions options;
  options.unk = unknown;
  options.byte_fallback = proto.byte_fallback;
  options.sentencepiece = true;
  for (const auto& piece : proto.pieces) {
    scores.push_back(piece.score);
    options.user_defined.push_back(piece.type == Type::kUserDefined);
    options.excluded.push_back(piece.type != Type::kNormal && piece.type != Type::kUserDefined);
  }
  // Where a piece that text can become has the text of one that it cannot, the first one counts.
  for (bool excluded : {true, false}) {
    for (size_t id = 0; id < proto.pieces.size(); ++id) {
      if (options.excluded[id] != excluded) continue;
      tokens.set(proto.pieces[id].text, static_cast<TokenId>(id));
    }
  }
  return std::make_unique<Unigram>(std::move(tokens), std::move(scores), std::move(options));
}

/// The rules by which SentencePiece itself refuses a model.
Result<void> check_pieces(const SentencePieceProto& proto, const std::string& file) {
  TokenTable seen[2];
  for (size_t id = 0; id < proto.pieces.size(); ++id) {
    const auto& piece = proto.pieces[id];
    bool reserved =
        piece.type == Type::kControl || piece.type == Type::kUnknown || piece.type == Type::kByte;
    if (seen[reserved].find(piece.text)) {
      return base::corrupt(fmt::format("{}: piece '{}' appears twice", file, piece.text));
    }
    seen[reserved].set(piece.text, static_cast<TokenId>(id));
  }
  for (int b = 0; b < 256; ++b) {
    auto id = seen[1].find(fmt::format("<0x{:02X}>", b));
    if (proto.byte_fallback && (!id || proto.pieces[*id].type != Type::kByte)) {
      return base::corrupt(fmt::format("{}: byte_fallback without piece <0x{:02X}>", file, b));
    }
  }
  return {};
}

}  // namespace

Result<Pipeline> read_sentencepiece(std::string_view bytes,
                                    const std::string& file,
                                    bool prefix_everywhere,
                                    std::optional<bool> add_prefix_space) {
  TKM_ASSIGN(SentencePieceProto proto, read_sentencepiece_proto(bytes, file));
  proto.add_dummy_prefix = add_prefix_space.value_or(proto.add_dummy_prefix);
  TKM_RETURN_IF_ERROR(check_pieces(proto, file));
  if (proto.has_denormalizer) {
    return base::unsupported(fmt::format("{}: denormalizer_spec is not supported", file));
  }
  std::optional<Charsmap> map;
  if (!proto.precompiled_charsmap.empty()) {
    TKM_ASSIGN(map, Charsmap::parse(proto.precompiled_charsmap, file + ": precompiled_charsmap"));
  }
  Pipeline parts;
  TokenId unknown = 0;
  std::string unknown_piece;
  parts.control.resize(proto.pieces.size());
  parts.names.reserve(proto.pieces.size(), bytes.size());
  // Reserved pieces win where a normal one has the same text.
  for (bool reserved : {false, true}) {
    for (size_t id = 0; id < proto.pieces.size(); ++id) {
      const auto& piece = proto.pieces[id];
      bool is_reserved = piece.type == Type::kControl || piece.type == Type::kUnknown;
      if (is_reserved != reserved) continue;
      parts.names.set(piece.text, static_cast<TokenId>(id));
      parts.control[id] = piece.type == Type::kControl;
      if (piece.type != Type::kUnknown) continue;
      unknown = static_cast<TokenId>(id);
      unknown_piece = piece.text;
    }
  }
  switch (proto.model_type) {
    case SentencePieceProto::ModelType::kBpe:
      parts.model = std::make_unique<SentencePieceBpe>(proto, unknown);
      break;
    case SentencePieceProto::ModelType::kUnigram:
      parts.model = make_unigram(proto, unknown);
      break;
    default:
      return base::unsupported(
          fmt::format("{}: model type {} is not supported (BPE and unigram are)",
                      file,
                      static_cast<int>(proto.model_type)));
  }
  parts.pre_tokenizer = std::make_unique<Normalization>(proto, std::move(map), prefix_everywhere);
  parts.decoder = Decoder::sentencepiece(proto.add_dummy_prefix || proto.remove_extra_whitespaces,
                                         proto.remove_extra_whitespaces,
                                         unknown_piece,
                                         std::string(proto.unk_surface));
  auto control = [&](std::string_view piece) {
    auto id = parts.names.find(piece);
    return id && parts.control[*id] ? id : std::nullopt;
  };
  parts.bos = control(proto.bos_piece);
  parts.eos = control(proto.eos_piece);
  if (parts.bos) parts.prefix = {*parts.bos};
  parts.added = AddedTokens(parts.names.size());
  return parts;
}

}  // namespace tokamak::text
