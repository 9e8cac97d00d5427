// SPDX-License-Identifier: Apache-2.0
// The text form of graphs: what Graph::text() prints, parse_graph() reads back to an equal graph.
//
//   input %ids : i32[T]
//   weight %w = "model.embed_tokens.weight" : bf16[512, 64]
//   weight %qkv = "q.weight"[64] + "k.weight"[32] + transpose("v.weight"[32]) : bf16[128, 64]
//   %x = embedding(%ids, %w) : bf16[T, 64]
//   %y, %s = add_rms_norm(%x, %r, %g) {eps=1e-05} : bf16[T, 64], bf16[T, 64]
//   return %y, %s
//
// '#' begins a comment. Types of results are optional when reading and checked if given. A name
// that is not made of letters, digits and _.-+ is quoted, as those of tensors are: %"a b".
#pragma once

#include "tokamak/ir/graph.h"

namespace tokamak::ir {

/// Errors: invalid, beginning with the number of the line ("line 2: 'relu' is not an op").
Result<std::unique_ptr<Graph>> parse_graph(std::string_view text);

/// "{eps=1e-05, kind=silu}", or "" for no attributes. Reads back with parse_attributes.
std::string attributes_text(const Json& attributes);
Result<Json> parse_attributes(std::string_view text);

}  // namespace tokamak::ir
