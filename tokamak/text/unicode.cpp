// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/unicode.h"

#include <cstring>
#include <memory>

#include <unicode/brkiter.h>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>
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
  if (mask & U_GC_P_MASK) bits |= kPunctuation;
  if (mask & U_GC_S_MASK) bits |= kSymbol;
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
  if (U_MASK(category) & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK)) bits |= kControl8;
  for (UChar32 c = start; c < limit; ++c) table[c] = bits;
  return true;
}

/// The classes of older versions of Unicode, where they are not those of today.
uint16_t old_classes(UChar32 c) {
  UVersionInfo age;
  u_charAge(c, age);
  uint32_t category = U_MASK(u_charType(c));
  uint16_t bits = 0;
  if (age[0] <= 8) {
    if (category & U_GC_P_MASK) bits |= kPunctuation8;
    if (category & U_GC_MN_MASK) bits |= kNonSpacingMark8;
    if (category & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK)) bits |= kControl8;
  }
  if (age[0] <= 9 && (category & U_GC_M_MASK)) bits |= kMark9;
  return bits;
}

const uint16_t* make_classes() {
  auto* table = new uint16_t[kCodePoints];  // Lives as long as the process.
  u_enumCharTypes(fill_category, table);
  for (UChar32 c = 0; c < static_cast<UChar32>(kCodePoints); ++c) {
    // Skips the unassigned, which are the most.
    if (table[c] & (kLetter | kNumber | kMark | kSymbol)) {
      if (u_hasBinaryProperty(c, UCHAR_ALPHABETIC)) table[c] |= kWord;
      UErrorCode status = U_ZERO_ERROR;
      if (c >= 0x2e80 && uscript_getScript(c, &status) == USCRIPT_HAN) table[c] |= kHan;
    }
    if (table[c] & (kPunctuation | kMark | kControl8)) {
      table[c] = static_cast<uint16_t>((table[c] & ~kControl8) | old_classes(c));
    }
    bool is_ascii_punctuation = (c >= 0x21 && c <= 0x2f) || (c >= 0x3a && c <= 0x40) ||
                                (c >= 0x5b && c <= 0x60) || (c >= 0x7b && c <= 0x7e);
    if (is_ascii_punctuation) table[c] |= kAsciiPunctuation | kPunctuation8;
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
  // Characters whose category has changed since.
  auto set = [&](UChar32 c, uint16_t bit, bool on) {
    table[c] = static_cast<uint16_t>(on ? table[c] | bit : table[c] & ~bit);
  };
  for (UChar32 c : {0x166d, 0x111c9}) set(c, kPunctuation8, true);
  set(0x1734, kNonSpacingMark8, true);
  for (UChar32 c : {0x1885, 0x1886, 0xa9bd}) set(c, kNonSpacingMark8, false);
  for (UChar32 c : {0x1cf2, 0x1cf3}) set(c, kMark9, true);
  set(0x111c9, kMark9, false);
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

namespace {

const icu::Normalizer2* make_normalizer2(NormalForm form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* newest = nullptr;
  switch (form) {
    case NormalForm::kNfc:
      newest = icu::Normalizer2::getNFCInstance(status);
      break;
    case NormalForm::kNfd:
      newest = icu::Normalizer2::getNFDInstance(status);
      break;
    case NormalForm::kNfkc:
      newest = icu::Normalizer2::getNFKCInstance(status);
      break;
    case NormalForm::kNfkd:
      newest = icu::Normalizer2::getNFKDInstance(status);
      break;
  }
  auto* known = new icu::UnicodeSet(u"[:age=9.0:]", status);  // Lives as long as the process.
  TKM_CHECK(U_SUCCESS(status), "ICU has no normalizer: {}", u_errorName(status));
  known->freeze();
  return new icu::FilteredNormalizer2(*newest, *known);
}

const icu::Normalizer2& normalizer_of(NormalForm form) {
  static const icu::Normalizer2* const normalizers[] = {make_normalizer2(NormalForm::kNfc),
                                                        make_normalizer2(NormalForm::kNfd),
                                                        make_normalizer2(NormalForm::kNfkc),
                                                        make_normalizer2(NormalForm::kNfkd)};
  return *normalizers[static_cast<size_t>(form)];
}

}  // namespace

void normalize_unicode(NormalForm form, std::string& text) {
  if (is_ascii(text)) return;
  const icu::Normalizer2& normalizer = normalizer_of(form);
  UErrorCode status = U_ZERO_ERROR;
  icu::StringPiece piece(text.data(), static_cast<int32_t>(text.size()));
  if (normalizer.isNormalizedUTF8(piece, status) && U_SUCCESS(status)) return;
  std::string normalized;
  icu::StringByteSink<std::string> sink(&normalized, static_cast<int32_t>(text.size()));
  status = U_ZERO_ERROR;
  normalizer.normalizeUTF8(0, piece, sink, nullptr, status);
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
