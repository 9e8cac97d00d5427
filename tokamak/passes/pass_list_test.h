// SPDX-License-Identifier: Apache-2.0
// All passes, in the order of compiler/pipeline.cpp, for the tests here and there.
#pragma once

#include "tokamak/passes/passes.h"

namespace tokamak::passes {

struct NamedPass {
  std::string_view name;
  Result<int> (*run)(ir::Graph&);
};
inline constexpr NamedPass kPasses[] = {
    {"fold_transpose", fold_transpose},
    {"fold_bias_activation", fold_bias_activation},
    {"merge_projections", merge_projections},
    {"fuse_rope_append", fuse_rope_append},
    {"fuse_gated_mlp", fuse_gated_mlp},
    {"fuse_residual", fuse_residual},
    {"fuse_add_norm", fuse_add_norm},
    {"fuse_rope_attend", fuse_rope_attend},
    {"fuse_norm_matmul", fuse_norm_matmul},
    {"eliminate_dead_code", eliminate_dead_code},
};

}  // namespace tokamak::passes
