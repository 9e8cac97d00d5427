// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/random_serve_test.h"

namespace tokamak::api {
namespace {

TEST(RandomServe, GivesEachRequestTheTokensItGetsAlone) {
  serve_at_random("models/storyteller",
                  {.dtype = "float32",
                   .num_requests = 40,
                   .draws = true,
                   .demands = true,
                   .largest_gap = 1e-3,
                   .most_draw_changes = 1});
}

}  // namespace
}  // namespace tokamak::api
