// SPDX-License-Identifier: Apache-2.0
// Decoding many steps at once against decoding step by step, on any target.
#pragma once

#include <gtest/gtest.h>

#include "tokamak/api/build.h"
#include "tokamak/api/sequence_runner.h"
#include "tokamak/runtime/engine_session.h"

namespace tokamak::api {

inline void expect_decode_is_append(std::shared_ptr<device::Device> device,
                                    const std::string& dtype) {
  constexpr int64_t kBatch = 3;
  auto engine = build_engine(
      "models/storyteller", *device, {.target = device->target(), .dtype = dtype, .tune = false});
  ASSERT_TRUE(engine.ok()) << engine.error().text();
  auto session = runtime::open_session(
      *engine, device, {.max_step_tokens = 64, .max_sequences = kBatch, .kv_tokens = kBatch * 128});
  ASSERT_TRUE(session.ok()) << session.error().text();
  auto runner = SequenceRunner::make(**session, kBatch, 100);
  ASSERT_TRUE(runner.ok()) << runner.error().text();
  const std::vector<int32_t> prompts = {5, 9, 14, 20, 33, 47, 61, 80, 2};
  std::vector<int32_t> next(kBatch), same(kBatch);
  ASSERT_TRUE(runner->append_greedy(prompts, next).ok());
  std::vector<std::vector<int32_t>> expected = {next};
  for (int i = 0; i < 60; ++i) {
    ASSERT_TRUE(runner->append_greedy(next, next).ok());
    expected.push_back(next);
  }
  for (size_t count : {0, 1, 2, 7, 60}) {
    runner->reset();
    ASSERT_TRUE(runner->append_greedy(prompts, same).ok());
    auto decoded = runner->decode_greedy(static_cast<int64_t>(count), same);
    ASSERT_TRUE(decoded.ok()) << decoded.error().text();
    EXPECT_EQ(same, expected[count]) << count;
    EXPECT_EQ(runner->length(), 3 + static_cast<int64_t>(count));
  }
  EXPECT_EQ(runner->decode_greedy(38, same).error().message,
            "38 tokens after 63 pass the limit of 100");
}

}  // namespace tokamak::api
