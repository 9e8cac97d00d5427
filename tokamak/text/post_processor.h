// SPDX-License-Identifier: Apache-2.0
// What a tokenizer puts around the ids of a text: TemplateProcessing, BertProcessing,
// RobertaProcessing and sequences of them. (ByteLevel only moves offsets, which we do not report.)
#pragma once

#include <vector>

#include "tokamak/text/component.h"
#include "tokamak/text/tokenizer.h"

namespace tokamak::text {

struct PostProcessor {
  std::vector<TokenId> prefix, suffix;
};
/// From the `post_processor` of a tokenizer.json. Errors: corrupt, unsupported (a type, by name).
Result<PostProcessor> make_post_processor(const Component& component);

}  // namespace tokamak::text
