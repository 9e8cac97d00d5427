// SPDX-License-Identifier: Apache-2.0
// The part of a tokenizer that turns one pre-token into ids.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "tokamak/base/result.h"
#include "tokamak/text/merges.h"
#include "tokamak/text/tokenizer.h"

namespace tokamak::text {

/// What one call of encode() carries from step to step.
struct EncodeState {
  std::vector<TokenId> ids;
  std::optional<Error> error;   ///< The first failure; later steps may still run, to no effect.
  std::vector<Symbol> symbols;  ///< Scratch of BPE.

  void fail(Error failure) {
    if (!error) error = std::move(failure);
  }
};

class Model {
 public:
  virtual ~Model() = default;
  /// Appends the ids of `word` (not empty) to state.ids. Any number of threads may call it.
  virtual void encode(std::string_view word, EncodeState& state) const = 0;
};

}  // namespace tokamak::text
