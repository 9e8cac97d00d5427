// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/sequence_runner_test.h"

namespace tokamak::api {
namespace {

TEST(SequenceRunner, DecodesAsIfStepByStep) {
  expect_decode_is_append(device::open_device(Target::kCpu).value(), "float32");
}

}  // namespace
}  // namespace tokamak::api
