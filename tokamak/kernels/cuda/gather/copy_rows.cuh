// SPDX-License-Identifier: Apache-2.0
// copy_rows: row r of y is `bytes` bytes at `begin` of row index[r] + offset of the table (kPicked)
// or of row r. Embeddings, selected rows, slices.
// Grid: a block of `threads` a row. Limits: `vector` (16, 4 or 2 bytes) divides bytes, begin and
// stride.
#pragma once

#include "tile/async.cuh"

namespace tkm {

struct CopyRowsConfig {
  bool picked;
  int vector;
  int threads;
  i64 bytes;   ///< Of a row of y.
  i64 stride;  ///< Of a row of the table, in bytes.
  i64 begin;
};

template <int BYTES>
struct Bytes;
template <>
struct Bytes<16> {
  using type = uint4;
};
template <>
struct Bytes<4> {
  using type = u32;
};
template <>
struct Bytes<2> {
  using type = u16;
};

template <CopyRowsConfig C>
__global__ void __launch_bounds__(C.threads)
    copy_rows(const u8* table, const i32* index, u8* y, i64 offset) {
  start_successors();
  wait_for_predecessors();
  using Word = typename Bytes<C.vector>::type;
  i64 row = blockIdx.x, source = C.picked ? index[row] + offset : row;
  const auto* from = reinterpret_cast<const Word*>(table + source * C.stride + C.begin);
  auto* to = reinterpret_cast<Word*>(y + row * C.bytes);
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < static_cast<int>(C.bytes / C.vector);
       i += C.threads)
    to[i] = from[i];
}

}  // namespace tkm
