// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/sentencepiece_proto.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "tokamak/text/token_table.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

// Every way to cut a piece is looked up; published pieces have up to 64 bytes or so.
constexpr size_t kMaxPieceBytes = 1024;
// Characters of pieces need ids too.
constexpr size_t kMaxPieces = static_cast<size_t>(kMaxTokens) / 2;

/// Walks the fields of one protobuf message (protobuf.dev/programming-guides/encoding).
class Message {
 public:
  struct Field {
    uint64_t number = 0;
    uint64_t integer = 0;    // Varint and fixed fields.
    std::string_view bytes;  // Length-delimited fields.
    int wire = 0;
  };

  explicit Message(std::string_view bytes) : bytes_(bytes) {}

  /// The next field; false at the end or where the bytes are no message (then failed()).
  bool next(Field& field) {
    if (pos_ >= bytes_.size()) return false;
    uint64_t key = 0;
    if (!varint(key) || key >> 3 == 0) return fail();
    field = {key >> 3, 0, {}, static_cast<int>(key & 7)};
    switch (field.wire) {
      case 0:
        return varint(field.integer) || fail();
      case 1:
        return fixed(8, field.integer) || fail();
      case 2: {
        uint64_t size = 0;
        if (!varint(size) || size > bytes_.size() - pos_) return fail();
        field.bytes = bytes_.substr(pos_, size);
        pos_ += size;
        return true;
      }
      case 5:
        return fixed(4, field.integer) || fail();
      default:
        return fail();
    }
  }
  bool failed() const { return failed_; }
  size_t position() const { return pos_; }

 private:
  bool fail() {
    failed_ = true;
    return false;
  }
  bool varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && pos_ < bytes_.size(); shift += 7) {
      auto byte = static_cast<unsigned char>(bytes_[pos_++]);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool fixed(size_t size, uint64_t& value) {
    if (size > bytes_.size() - pos_) return false;
    value = 0;
    std::memcpy(&value, bytes_.data() + pos_, size);
    pos_ += size;
    return true;
  }

  std::string_view bytes_;
  size_t pos_ = 0;
  bool failed_ = false;
};

using Field = Message::Field;

bool read_piece(std::string_view bytes, SentencePieceProto::Piece& piece) {
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.number == 1 && field.wire == 2) piece.text = field.bytes;
    if (field.number == 2 && field.wire == 5) {
      piece.score = std::bit_cast<float>(static_cast<uint32_t>(field.integer));
    }
    if (field.number == 3 && field.wire == 0) {
      // A value that the enum does not have counts as absent.
      if (field.integer >= 1 && field.integer <= 6) {
        piece.type = static_cast<SentencePieceProto::Type>(field.integer);
      }
    }
  }
  return !message.failed();
}

bool read_trainer_spec(std::string_view bytes, SentencePieceProto& proto) {
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.wire == 0) {
      if (field.number == 3 && field.integer >= 1 && field.integer <= 4) {
        proto.model_type = static_cast<SentencePieceProto::ModelType>(field.integer);
      }
      if (field.number == 24) proto.treat_whitespace_as_suffix = field.integer != 0;
      if (field.number == 35) proto.byte_fallback = field.integer != 0;
    } else if (field.wire == 2) {
      if (field.number == 44) proto.unk_surface = field.bytes;
      if (field.number == 46 && !field.bytes.empty()) proto.bos_piece = field.bytes;
      if (field.number == 47 && !field.bytes.empty()) proto.eos_piece = field.bytes;
    }
  }
  return !message.failed();
}

bool read_normalizer_spec(std::string_view bytes, SentencePieceProto& proto) {
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.number == 2 && field.wire == 2) proto.precompiled_charsmap = field.bytes;
    if (field.wire != 0) continue;
    if (field.number == 3) proto.add_dummy_prefix = field.integer != 0;
    if (field.number == 4) proto.remove_extra_whitespaces = field.integer != 0;
    if (field.number == 5) proto.escape_whitespaces = field.integer != 0;
  }
  return !message.failed();
}

bool read_denormalizer_spec(std::string_view bytes, SentencePieceProto& proto) {
  SentencePieceProto denormalizer;
  bool good = read_normalizer_spec(bytes, denormalizer);
  proto.has_denormalizer = !denormalizer.precompiled_charsmap.empty();
  return good;
}

/// What SentencePiece itself refuses, and what would be no text.
Result<void> check(const SentencePieceProto& proto, const std::string& file) {
  int unknown = 0;
  for (size_t i = 0; i < proto.pieces.size(); ++i) {
    const auto& piece = proto.pieces[i];
    auto corrupt = [&](std::string_view what) {
      return base::corrupt(fmt::format("{}: pieces[{}] {}", file, i, what));
    };
    if (piece.text.empty()) return corrupt("is empty");
    if (piece.text.size() > kMaxPieceBytes) {
      return corrupt(
          fmt::format("has {} bytes, the limit is {}", piece.text.size(), kMaxPieceBytes));
    }
    if (find_invalid_utf8(piece.text)) return corrupt("is not valid UTF-8");
    if (!std::isfinite(piece.score)) return corrupt("has a score that is no number");
    unknown += piece.type == SentencePieceProto::Type::kUnknown;
  }
  if (unknown != 1) {
    return base::corrupt(fmt::format("{}: {} unknown pieces, expected one", file, unknown));
  }
  for (std::string_view text : {proto.unk_surface, proto.bos_piece, proto.eos_piece}) {
    if (find_invalid_utf8(text)) {
      return base::corrupt(fmt::format("{}: trainer_spec: text is not valid UTF-8", file));
    }
  }
  return {};
}

}  // namespace

Result<SentencePieceProto> read_sentencepiece_proto(std::string_view bytes,
                                                    const std::string& file) {
  SentencePieceProto proto;
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.wire != 2) continue;
    bool good = true;
    if (field.number == 1) {
      if (proto.pieces.size() >= kMaxPieces) {
        return base::corrupt(fmt::format("{}: more than {} pieces", file, kMaxPieces));
      }
      proto.pieces.emplace_back();
      good = read_piece(field.bytes, proto.pieces.back());
    } else if (field.number == 2) {
      good = read_trainer_spec(field.bytes, proto);
    } else if (field.number == 3) {
      good = read_normalizer_spec(field.bytes, proto);
    } else if (field.number == 5) {
      good = read_denormalizer_spec(field.bytes, proto);
    }
    if (!good) {
      return base::corrupt(fmt::format("{}: field {} that ends at byte {} is no message",
                                       file,
                                       field.number,
                                       message.position()));
    }
  }
  if (message.failed()) {
    return base::corrupt(
        fmt::format("{}: not a SentencePiece model at byte {}", file, message.position()));
  }
  TKM_RETURN_IF_ERROR(check(proto, file));
  return proto;
}

bool looks_like_sentencepiece(std::string_view bytes) {
  // Field 1, length-delimited, that holds field 1, length-delimited: the first piece and its text.
  Message message(bytes);
  Field field;
  if (!message.next(field) || field.number != 1 || field.wire != 2) return false;
  Message piece(field.bytes);
  return piece.next(field) && field.number == 1 && field.wire == 2;
}

}  // namespace tokamak::text
