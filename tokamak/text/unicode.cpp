// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/unicode.h"

#include <cstring>
#include <memory>

#include <unicode/brkiter.h>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>
#include <unicode/utext.h>

#include "tokamak/base/check.h"

namespace tokamak::text {
namespace {

constexpr size_t kCodePoints = 0x110000;

uint16_t classes_of_category(UCharCategory category) {
  uint32_t mask = 1u << category;
  uint16_t bits = 0;
  if (mask & U_GC_L_MASK) bits |= kLetter;
  if (mask & U_GC_N_MASK) bits |= kNumber;
  if (mask & U_GC_M_MASK) bits |= kMark;
  if (mask & U_GC_MN_MASK) bits |= kNonSpacingMark;
  if (mask & U_GC_P_MASK) bits |= kPunctuation;
  if (mask & U_GC_S_MASK) bits |= kSymbol;
  if (mask & U_GC_C_MASK) bits |= kOther;
  if (mask & (U_GC_ND_MASK | U_GC_PC_MASK | U_GC_M_MASK)) bits |= kWord;
  if (mask & (U_GC_LU_MASK | U_GC_LT_MASK | U_GC_LM_MASK | U_GC_LO_MASK | U_GC_M_MASK)) {
    bits |= kUpperLike;
  }
  if (mask & (U_GC_LL_MASK | U_GC_LM_MASK | U_GC_LO_MASK | U_GC_M_MASK)) bits |= kLowerLike;
  return bits;
}

UBool fill_category(const void* context, UChar32 start, UChar32 limit, UCharCategory category) {
  auto* table = static_cast<uint16_t*>(const_cast<void*>(context));
  uint16_t bits = classes_of_category(category);
  for (UChar32 c = start; c < limit; ++c) table[c] = bits;
  return true;
}

const uint16_t* make_classes() {
  auto* table = new uint16_t[kCodePoints];  // Lives as long as the process.
  u_enumCharTypes(fill_category, table);
  for (UChar32 c = 0; c < static_cast<UChar32>(kCodePoints); ++c) {
    // Only letters, marks, numbers and symbols can be alphabetic or Han: skips the unassigned.
    if (table[c] & (kLetter | kNumber | kSymbol)) {
      if (u_hasBinaryProperty(c, UCHAR_ALPHABETIC)) table[c] |= kWord;
      UErrorCode status = U_ZERO_ERROR;
      if (c >= 0x2e80 && uscript_getScript(c, &status) == USCRIPT_HAN) table[c] |= kHan;
    }
    if (c < 0x80 && std::ispunct(c)) table[c] |= kAsciiPunctuation;
  }
  for (UChar32 c : {0x09,
                    0x0a,
                    0x0b,
                    0x0c,
                    0x0d,
                    0x20,
                    0x85,
                    0xa0,
                    0x1680,
                    0x2028,
                    0x2029,
                    0x202f,
                    0x205f,
                    0x3000}) {
    table[c] |= kSpace;
  }
  table[0x200c] |= kWord;  // Join controls.
  table[0x200d] |= kWord;
  for (UChar32 c = 0x2000; c <= 0x200a; ++c) table[c] |= kSpace;
  return table;
}

}  // namespace

bool is_ascii(std::string_view text) {
  const char* p = text.data();
  size_t n = text.size();
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    if (word & 0x8080808080808080u) return false;
  }
  for (; n > 0; ++p, --n) {
    if (static_cast<unsigned char>(*p) >= 0x80) return false;
  }
  return true;
}

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  size_t n = text.size(), i = 0;
  auto continues = [&](size_t at, unsigned low = 0x80, unsigned high = 0xbf) {
    return at < n && p[at] >= low && p[at] <= high;
  };
  while (i < n) {
    if (i + 8 <= n) {
      uint64_t word;
      std::memcpy(&word, p + i, 8);
      if (!(word & 0x8080808080808080u)) {
        i += 8;
        continue;
      }
    }
    unsigned first = p[i];
    if (first < 0x80) {
      ++i;
    } else if (first >= 0xc2 && first <= 0xdf && continues(i + 1)) {
      i += 2;
    } else if (first >= 0xe0 && first <= 0xef &&
               continues(i + 1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf) &&
               continues(i + 2)) {
      i += 3;
    } else if (first >= 0xf0 && first <= 0xf4 &&
               continues(i + 1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf) &&
               continues(i + 2) && continues(i + 3)) {
      i += 4;
    } else {
      return i;
    }
  }
  return {};
}

void append_utf8(std::string& out, char32_t c) {
  auto put = [&out](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | c >> 6);
    put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3f));
    put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3f));
    put(0x80 | (c >> 6 & 0x3f));
    put(0x80 | (c & 0x3f));
  }
}

const uint16_t* character_classes() {
  static const uint16_t* const table = make_classes();
  return table;
}

void append_lowercase(std::string& out, char32_t value) {
  if (value == 0x130) {  // The one character whose lower case, without context, is two characters.
    out += "i\u0307";
    return;
  }
  append_utf8(out, static_cast<char32_t>(u_tolower(static_cast<UChar32>(value))));
}

void normalize_unicode(NormalForm form, std::string& text) {
  if (is_ascii(text)) return;
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = nullptr;
  switch (form) {
    case NormalForm::kNfc:
      normalizer = icu::Normalizer2::getNFCInstance(status);
      break;
    case NormalForm::kNfd:
      normalizer = icu::Normalizer2::getNFDInstance(status);
      break;
    case NormalForm::kNfkc:
      normalizer = icu::Normalizer2::getNFKCInstance(status);
      break;
    case NormalForm::kNfkd:
      normalizer = icu::Normalizer2::getNFKDInstance(status);
      break;
  }
  TKM_CHECK(U_SUCCESS(status), "ICU has no normalizer: {}", u_errorName(status));
  icu::StringPiece piece(text.data(), static_cast<int32_t>(text.size()));
  if (normalizer->isNormalizedUTF8(piece, status) && U_SUCCESS(status)) return;
  std::string normalized;
  icu::StringByteSink<std::string> sink(&normalized, static_cast<int32_t>(text.size()));
  status = U_ZERO_ERROR;
  normalizer->normalizeUTF8(0, piece, sink, nullptr, status);
  TKM_CHECK(U_SUCCESS(status), "ICU could not normalize: {}", u_errorName(status));
  text = std::move(normalized);
}

std::vector<size_t> grapheme_ends(std::string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  UText source = UTEXT_INITIALIZER;
  utext_openUTF8(&source, text.data(), static_cast<int64_t>(text.size()), &status);
  std::unique_ptr<icu::BreakIterator> breaks(
      icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status));
  TKM_CHECK(U_SUCCESS(status), "ICU has no break iterator: {}", u_errorName(status));
  breaks->setText(&source, status);
  std::vector<size_t> ends;
  breaks->first();
  for (int32_t end = breaks->next(); end != icu::BreakIterator::DONE; end = breaks->next()) {
    ends.push_back(static_cast<size_t>(end));
  }
  breaks.reset();
  utext_close(&source);
  return ends;
}

}  // namespace tokamak::text
