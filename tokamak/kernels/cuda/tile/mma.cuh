// SPDX-License-Identifier: Apache-2.0
// Tensor cores by warp: 16 x 8 x 16 products of bf16 with f32 sums, and the loads that bring their
// operands from shared memory. In lane l = 4 g + i a product's operands are
//   A (16 x 16): a0 (row g, columns 2i, 2i+1), a1 (row g+8), a2 (row g, columns 2i+8, +9), a3
//   B (16 x 8):  b0 (rows 2i, 2i+1 of column g), b1 (rows 2i+8, 2i+9)
//   C (16 x 8):  c0, c1 (row g, columns 2i, 2i+1), c2, c3 (row g+8).
#pragma once

#include "tile/async.cuh"

namespace tkm {

/// c += a b.
TKM_DEVICE void multiply_16x8x16(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Four 8 x 8 blocks of 16-bit elements; lane l names the 16 bytes of row l % 8 of block l / 8.
TKM_DEVICE void load_blocks(u32 (&out)[4], u32 row_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(row_address)
               : "memory");
}
/// The same, each block transposed.
TKM_DEVICE void load_blocks_transposed(u32 (&out)[4], u32 row_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(row_address)
               : "memory");
}

}  // namespace tkm
