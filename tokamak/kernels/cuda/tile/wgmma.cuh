// SPDX-License-Identifier: Apache-2.0
// Tensor cores by warpgroup (sm_90a): d[64 x N] += a[64 x 16] b[N x 16]^T, bf16 in shared memory,
// f32 sums in the registers of 4 warps. Both operands are rows of 64 columns (128 bytes) in the
// layout that tensor maps with 128-byte swizzle write, in groups of 8 rows (1 KiB, so aligned).
// Or d += a b with a in registers and b[16 x N] as it lies: blocks of 64 columns in that layout.
// Sums: register 4 j + r of lane 4 g + i of warp w: row 16 w + g + 8 (r / 2), column 8 j + 2 i + r
// % 2. PTX ISA, "Asynchronous warpgroup level matrix multiply-accumulate".
#pragma once

#include "tile/async.cuh"

namespace tkm {

/// The bits that name an operand at a shared address: 1 KiB between groups of 8 rows, 128-byte
/// swizzle; in wgmma_rows so many bytes between blocks of 64 columns.
TKM_DEVICE constexpr u64 descriptor_bits(u32 address, u32 block_bytes) {
  return u64{(address & 0x3ffff) >> 4} | u64{block_bytes >> 4} << 16 | u64{1024 >> 4} << 32 |
         u64{1} << 62;
}
TKM_DEVICE u64 operand_descriptor(const void* tile) {
  return descriptor_bits(shared_address(tile), 16);
}
/// Added to a descriptor: 16 columns on.
constexpr u64 kNextColumns = 32 >> 4;
/// Operand b of wgmma_rows.
TKM_DEVICE u64 row_operand_descriptor(const void* tile, u32 block_bytes) {
  return descriptor_bits(shared_address(tile), block_bytes);
}
/// Added to such a descriptor: 16 rows on.
constexpr u64 kNextRows = 16 * 128 >> 4;
/// Where 16-byte piece `piece` (of 8) of a row lies in that layout, in bytes.
TKM_DEVICE constexpr int swizzled(int row, int piece) {
  return row * 128 + (piece ^ row % 8) * 16;
}

TKM_DEVICE void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
TKM_DEVICE void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Until at most PENDING committed groups are under way.
template <int PENDING>
TKM_DEVICE void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}
/// What computes the registers stays before this, what uses them after it: for either side of a
/// wait.
template <int N>
TKM_DEVICE void hold(float (&d)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) asm volatile("" : "+f"(d[i])::"memory");
}
/// Before a wait: the arithmetic behind `value`, which is not negative, is done by here. hold()
/// binds the compiler but not the assembler, which moves a wait up past all that does not touch
/// memory.
TKM_DEVICE void complete(float value, void* shared) {
  asm volatile(
      "{\n\t.reg .pred p;\n\t"
      "setp.lt.f32 p, %0, 0f00000000;\n\t"
      "@p st.shared.f32 [%1], %0;\n\t}" ::"f"(value),
      "r"(shared_address(shared))
      : "memory");
}
template <int REGISTERS>
TKM_DEVICE void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}
template <int REGISTERS>
TKM_DEVICE void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

// Operand lists are text: registers of d as operands and their numbers, four at a time up to 64.
#define TKM_SUMS_4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define TKM_SUMS_8(i) TKM_SUMS_4(i), TKM_SUMS_4(i + 4)
#define TKM_SUMS_12(i) TKM_SUMS_8(i), TKM_SUMS_4(i + 8)
#define TKM_SUMS_16(i) TKM_SUMS_12(i), TKM_SUMS_4(i + 12)
#define TKM_SUMS_20(i) TKM_SUMS_16(i), TKM_SUMS_4(i + 16)
#define TKM_SUMS_24(i) TKM_SUMS_20(i), TKM_SUMS_4(i + 20)
#define TKM_SUMS_28(i) TKM_SUMS_24(i), TKM_SUMS_4(i + 24)
#define TKM_SUMS_32(i) TKM_SUMS_28(i), TKM_SUMS_4(i + 28)
#define TKM_SUMS_36(i) TKM_SUMS_32(i), TKM_SUMS_4(i + 32)
#define TKM_SUMS_40(i) TKM_SUMS_36(i), TKM_SUMS_4(i + 36)
#define TKM_SUMS_44(i) TKM_SUMS_40(i), TKM_SUMS_4(i + 40)
#define TKM_SUMS_48(i) TKM_SUMS_44(i), TKM_SUMS_4(i + 44)
#define TKM_SUMS_52(i) TKM_SUMS_48(i), TKM_SUMS_4(i + 48)
#define TKM_SUMS_56(i) TKM_SUMS_52(i), TKM_SUMS_4(i + 52)
#define TKM_SUMS_60(i) TKM_SUMS_56(i), TKM_SUMS_4(i + 56)
#define TKM_SUMS_64(i) TKM_SUMS_60(i), TKM_SUMS_4(i + 60)
#define TKM_SUMS_128(i) TKM_SUMS_64(i), TKM_SUMS_64(i + 64)
#define TKM_NAMES_4 "%0, %1, %2, %3"
#define TKM_NAMES_8 TKM_NAMES_4 ", %4, %5, %6, %7"
#define TKM_NAMES_12 TKM_NAMES_8 ", %8, %9, %10, %11"
#define TKM_NAMES_16 TKM_NAMES_12 ", %12, %13, %14, %15"
#define TKM_NAMES_20 TKM_NAMES_16 ", %16, %17, %18, %19"
#define TKM_NAMES_24 TKM_NAMES_20 ", %20, %21, %22, %23"
#define TKM_NAMES_28 TKM_NAMES_24 ", %24, %25, %26, %27"
#define TKM_NAMES_32 TKM_NAMES_28 ", %28, %29, %30, %31"
#define TKM_NAMES_36 TKM_NAMES_32 ", %32, %33, %34, %35"
#define TKM_NAMES_40 TKM_NAMES_36 ", %36, %37, %38, %39"
#define TKM_NAMES_44 TKM_NAMES_40 ", %40, %41, %42, %43"
#define TKM_NAMES_48 TKM_NAMES_44 ", %44, %45, %46, %47"
#define TKM_NAMES_52 TKM_NAMES_48 ", %48, %49, %50, %51"
#define TKM_NAMES_56 TKM_NAMES_52 ", %52, %53, %54, %55"
#define TKM_NAMES_60 TKM_NAMES_56 ", %56, %57, %58, %59"
#define TKM_NAMES_64 TKM_NAMES_60 ", %60, %61, %62, %63"
#define TKM_NAMES_64_96                                                                   \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, " \
  "%81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define TKM_NAMES_96_128                                                                 \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, "     \
  "%110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, " \
  "%124, %125, %126, %127"
#define TKM_NAMES_128 TKM_NAMES_64 ", " TKM_NAMES_64_96 ", " TKM_NAMES_96_128
// Of N columns with R = N / 2 sums a thread; the operands after them are numbered S0, S1 ...
#define TKM_WGMMA(N, R, S0, S1, S2)                                                       \
  asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 {" TKM_NAMES_##R \
               "}, %" #S0 ", %" #S1 ", %" #S2 ", 1, 1, 0, 0;"                             \
               : TKM_SUMS_##R(0)                                                          \
               : "l"(a), "l"(b), "n"(ADD ? 1 : 0))
#define TKM_WGMMA_ROWS(N, R, S0, S1, S2, S3, S4)                                          \
  asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 {" TKM_NAMES_##R \
               "}, {%" #S0 ", %" #S1 ", %" #S2 ", %" #S3 "}, %" #S4 ", 1, 1, 1, 1;"       \
               : TKM_SUMS_##R(0)                                                          \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))

/// d += a b^T, or d = a b^T.
template <int N, bool ADD = true>
TKM_DEVICE void wgmma(float (&d)[N / 2], u64 a, u64 b) {
  static_assert(N % 8 == 0 && (N <= 128 || N == 256));
  if constexpr (N == 8) TKM_WGMMA(8, 4, 4, 5, 6);
  if constexpr (N == 16) TKM_WGMMA(16, 8, 8, 9, 10);
  if constexpr (N == 24) TKM_WGMMA(24, 12, 12, 13, 14);
  if constexpr (N == 32) TKM_WGMMA(32, 16, 16, 17, 18);
  if constexpr (N == 40) TKM_WGMMA(40, 20, 20, 21, 22);
  if constexpr (N == 48) TKM_WGMMA(48, 24, 24, 25, 26);
  if constexpr (N == 56) TKM_WGMMA(56, 28, 28, 29, 30);
  if constexpr (N == 64) TKM_WGMMA(64, 32, 32, 33, 34);
  if constexpr (N == 72) TKM_WGMMA(72, 36, 36, 37, 38);
  if constexpr (N == 80) TKM_WGMMA(80, 40, 40, 41, 42);
  if constexpr (N == 88) TKM_WGMMA(88, 44, 44, 45, 46);
  if constexpr (N == 96) TKM_WGMMA(96, 48, 48, 49, 50);
  if constexpr (N == 104) TKM_WGMMA(104, 52, 52, 53, 54);
  if constexpr (N == 112) TKM_WGMMA(112, 56, 56, 57, 58);
  if constexpr (N == 120) TKM_WGMMA(120, 60, 60, 61, 62);
  if constexpr (N == 128) TKM_WGMMA(128, 64, 64, 65, 66);
  if constexpr (N == 256) TKM_WGMMA(256, 128, 128, 129, 130);
}

/// d += a b, a as operand A of a warp's 16 rows (tile/mma.cuh) and b by row_operand_descriptor.
template <int N>
TKM_DEVICE void wgmma_rows(float (&d)[N / 2], const u32 (&a)[4], u64 b) {
  static_assert(N == 64 || N == 128 || N == 256);
  if constexpr (N == 64) TKM_WGMMA_ROWS(64, 32, 32, 33, 34, 35, 36);
  if constexpr (N == 128) TKM_WGMMA_ROWS(128, 64, 64, 65, 66, 67, 68);
  if constexpr (N == 256) TKM_WGMMA_ROWS(256, 128, 128, 129, 130, 131, 132);
}

}  // namespace tkm
