// SPDX-License-Identifier: Apache-2.0
// What transformers' tokenizer classes add to the files of a checkpoint.
#pragma once

#include <span>
#include <string_view>

namespace tokamak::text {

/// A special token that a class has where no file names one: "bos_token", "<s>".
struct ClassToken {
  std::string_view name, token;
};

/// Of a tokenizer_class without "Fast"; none for a class that is not in the table.
std::span<const ClassToken> class_tokens(std::string_view tokenizer_class);

}  // namespace tokamak::text
