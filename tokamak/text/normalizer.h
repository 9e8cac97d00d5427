// SPDX-License-Identifier: Apache-2.0
// Normalizers rewrite text before it is cut into pieces, as Hugging Face `tokenizers` defines them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "tokamak/text/component.h"

namespace tokamak::text {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// `text` is valid UTF-8 and stays so. Any number of threads may call it. Errors: unsupported (a
  /// regex gave up, or the text grew beyond all that published files do).
  Result<void> apply(std::string& text) const {
    return rewrite(text, kMostGrowth * (text.size() + 64));
  }
  /// The same as one step of several, whose text may not become longer than `most_bytes`.
  virtual Result<void> rewrite(std::string& text, size_t most_bytes) const = 0;

 private:
  static constexpr size_t kMostGrowth = 64;
};

/// From the `normalizer` of a tokenizer.json. Errors: corrupt, unsupported (a type, by name).
Result<std::unique_ptr<Normalizer>> make_normalizer(const Component& component);

/// Unicode normalization form C.
std::unique_ptr<Normalizer> make_nfc();

}  // namespace tokamak::text
