// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/random_serve_test.h"

namespace tokamak::api {
namespace {

void serve_on_gpu(RandomServe serve) {
  if (auto device = device::open_device(Target::kCuda); !device.ok())
    GTEST_SKIP() << "SKIPPED: " << device.error().text();
  serve.target = Target::kCuda;
  serve.num_requests = 2000;
  serve_at_random("models/storyteller", serve);
}

TEST(RandomServeOnGpu, GivesEachRequestTheTokensItGetsAlone) {
  serve_on_gpu({.dtype = "float32", .draws = true, .largest_gap = 1e-3, .most_draw_changes = 4});
}

TEST(RandomServeOnGpu, GivesRequestsOfEveryKindTheTokensTheyGetAlone) {
  serve_on_gpu({.dtype = "float32",
                .draws = true,
                .demands = true,
                .largest_gap = 1e-3,
                .most_draw_changes = 6});
}

TEST(RandomServeOnGpu, InBf16OnlyRoundingChangesThem) {
  serve_on_gpu({.dtype = "bfloat16", .largest_gap = 0.1});
}

}  // namespace
}  // namespace tokamak::api
