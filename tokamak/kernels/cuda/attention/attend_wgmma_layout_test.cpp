// SPDX-License-Identifier: Apache-2.0
// The arithmetic behind attend_wgmma that a compiler can check without a GPU: where the copy engine
// puts an element of a block, where wgmma looks for it, how much memory it all takes. Only NVRTC
// reads device code, so the checks are static_asserts that it compiles.
#include <gtest/gtest.h>

#include "tokamak/device/cuda/libraries.h"
#include "tokamak/kernels/cuda/attention/attend_kernels.h"

namespace tokamak::kernels::cuda {
namespace {

/// PTX ISA, "Matrix descriptor format" and "Strides" of wgmma; "Swizzling modes" of tensor copies.
constexpr const char* kModel = R"(
#include "attention/attend_wgmma.cuh"
namespace tkm {

/// Of an element at a linear address: its 16-byte piece by the row of 128 bytes that it lies in.
constexpr u32 swizzle_address(u32 address) { return address ^ (address >> 7 & 7) << 4; }
/// Where a tensor copy puts an element of a box of rows of 64.
constexpr u32 copied(u32 box, int row, int column) {
  return swizzle_address(box + row * 128 + column * 2);
}
struct Descriptor {
  u64 bits;
  constexpr u32 start() const { return (bits & 0x3fff) << 4; }
  constexpr u32 leading() const { return (bits >> 16 & 0x3fff) << 4; }
  constexpr u32 stride() const { return (bits >> 32 & 0x3fff) << 4; }
  /// Row n, column k of 16 of an operand whose columns are neighbours.
  constexpr u32 by_columns(int n, int k) const {
    return swizzle_address(start() + n / 8 * stride() + n % 8 * 128 + k * 2);
  }
  /// The same of one whose rows n are neighbours.
  constexpr u32 by_rows(int n, int k) const {
    return swizzle_address(start() + n / 64 * leading() + k / 8 * stride() + k % 8 * 128 + n % 64 * 2);
  }
};

constexpr bool keys_match(int tokens, u32 base) {
  for (int k = 0; k < 8; ++k) {
    u64 bits = descriptor_bits(base + k / 4 * tokens * 128, 16) + k % 4 * kNextColumns;
    for (int n = 0; n < tokens; ++n) {
      for (int c = 0; c < 16; c += 5) {
        u32 box = base + k / 4 * tokens * 128 + n / kPageTokens * kPageTokens * 128;
        if (Descriptor{bits}.by_columns(n, c) != copied(box, n % kPageTokens, k % 4 * 16 + c))
          return false;
      }
    }
  }
  return true;
}
constexpr bool values_match(int tokens, int head_dim, u32 base) {
  for (int k = 0; k < tokens / 16; ++k) {
    u64 bits = descriptor_bits(base, tokens * 128) + k * kNextRows;
    for (int n = 0; n < head_dim; n += 3) {
      for (int t = 0; t < 16; ++t) {
        int token = k * 16 + t;
        u32 box = base + n / 64 * tokens * 128 + token / kPageTokens * kPageTokens * 128;
        if (Descriptor{bits}.by_rows(n, t) != copied(box, token % kPageTokens, n % 64)) return false;
      }
    }
  }
  return true;
}
constexpr bool pieces_match() {
  for (int row = 0; row < 64; ++row) {
    for (int piece = 0; piece < 8; ++piece) {
      if (u32(swizzled(row, piece)) != copied(0, row, piece * 8)) return false;
    }
  }
  return true;
}
static_assert(keys_match(64, 0x8000) && keys_match(128, 0x34000));
static_assert(values_match(64, 128, 0x8000) && values_match(128, 64, 0x1c000));
static_assert(values_match(128, 128, 0x28000) && values_match(64, 256, 0x30400));
static_assert(pieces_match());
static_assert(descriptor_bits(0x38000, 16) >> 62 == 1 && (descriptor_bits(0x38000, 16) >> 49 & 7) == 0);
)";

TEST(AttendWgmma, LayoutsAndSizesAreThoseOfTheDevice) {
  if (auto nvrtc = device::cuda::nvrtc(); !nvrtc.ok())
    GTEST_SKIP() << "SKIPPED: " << nvrtc.error().text();
  std::string text = kModel;
  for (int64_t head_dim : {64, 128, 256}) {
    for (int64_t tokens : {64, 128}) {
      for (int64_t groups : {2, 3}) {
        AttendProblem problem{
            .settings = {.num_heads = 8, .num_kv_heads = 2, .head_dim = head_dim, .scale = 1.0f}};
        WgmmaAttend::Config config{.tokens = tokens, .stages = 3, .groups = groups};
        text += fmt::format(
            "static_assert(sizeof(WgmmaAttendShared<WgmmaAttendConfig{{{}, {}, false}}>) <= {});\n",
            problem.config(config.stages, 4 * (groups + 1)),
            tokens,
            config.shared_bytes(head_dim));
      }
    }
  }
  text += "__global__ void nothing() {}\n}  // namespace tkm\n";
  auto cubin = device::cuda::compile({.name = "attend_wgmma_layout",
                                      .text = text,
                                      .kernels = {"tkm::nothing"},
                                      .headers = sources()},
                                     "sm_90a",
                                     {});
  EXPECT_TRUE(cubin.ok()) << cubin.error().text();
}

TEST(AttendWgmma, TakesWhatItCanHold) {
  device::cuda::DeviceInfo hopper, ampere;
  ampere.compute_capability = 80;
  auto valid = [&](int64_t head_dim, WgmmaAttend::Config config, float softcap = 0) {
    AttendProblem problem{.settings = {.num_heads = 8,
                                       .num_kv_heads = 2,
                                       .head_dim = head_dim,
                                       .scale = 0.1f,
                                       .softcap = softcap}};
    EXPECT_FALSE(config.valid(problem, ampere));
    return config.valid(problem, hopper);
  };
  EXPECT_TRUE(valid(128, {.tokens = 128, .stages = 2, .groups = 2}));
  EXPECT_TRUE(valid(128, {.tokens = 128, .stages = 3, .groups = 2, .turns = true}));
  EXPECT_FALSE(valid(128, {.tokens = 128, .stages = 4, .groups = 2}));  // Shared memory.
  EXPECT_FALSE(valid(256, {.tokens = 128, .stages = 2, .groups = 2}));
  EXPECT_TRUE(valid(256, {.tokens = 64, .stages = 2, .groups = 2}));
  EXPECT_FALSE(valid(96, {.tokens = 64, .stages = 2, .groups = 2}));
  EXPECT_FALSE(valid(128, {.tokens = 96, .stages = 2, .groups = 2}));
  EXPECT_TRUE(valid(64, {.tokens = 128, .stages = 2, .groups = 3}));
  EXPECT_FALSE(valid(64, {.tokens = 128, .stages = 2, .groups = 3, .turns = true}));
  EXPECT_FALSE(valid(64, {.tokens = 128, .stages = 2, .groups = 3}, 30.0f));  // Registers.
  EXPECT_FALSE(valid(128, {.tokens = 128, .stages = 2, .groups = 1}));
}

}  // namespace
}  // namespace tokamak::kernels::cuda
