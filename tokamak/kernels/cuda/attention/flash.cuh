// SPDX-License-Identifier: Apache-2.0
// What the attention kernels on tensor cores share. Query rows are packed: row r of a sequence and
// a key/value head is head r % group of token r / group, so that a group reads its keys once.
// Pages lie in shared memory as 64 rows of keys and 64 of values, each row 16 bytes longer than
// head_dim so that 8 rows of a load lie in different banks. Slots past the last position are zeros:
// the cache may hold anything there. Online softmax: Milakov & Gimelshein, arXiv:1805.02867; tiles:
// Dao, arXiv:2307.08691.
#pragma once

#include "tile/batch.cuh"
#include "tile/mma.cuh"
#include "tile/reduce.cuh"

namespace tkm {

struct AttendConfig {
  int heads;
  int kv_heads;
  int head_dim;
  bool window;
  bool softcap;
  int stages;  ///< Pages in shared memory.
  int warps;
  TKM_DEVICE constexpr int group() const { return heads / kv_heads; }
  TKM_DEVICE constexpr int pitch() const { return head_dim * 2 + 16; }
  TKM_DEVICE constexpr int page_bytes() const { return 2 * kPageTokens * pitch(); }
};

struct AttendParams {
  float scale;
  float softcap;
  int window;
};

constexpr float kLog2e = 1.4426950408889634f;

/// 2 to the power x; results below 2^-126 are zero.
TKM_DEVICE float exponential(float x) {
  float out;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
}

/// Exponent to base 2 of a score's weight.
template <AttendConfig C>
TKM_DEVICE float score_exponent(float product, const AttendParams& params) {
  if constexpr (C.softcap) {
    float x = product * (params.scale / params.softcap);
    float tanh_x = 1.0f - __fdividef(2.0f, exp2f(x * (2 * kLog2e)) + 1.0f);
    return params.softcap * kLog2e * tanh_x;
  }
  return product * (params.scale * kLog2e);
}

/// First position that the token at `position` sees.
template <AttendConfig C>
TKM_DEVICE int first_visible(int position, const AttendParams& params) {
  return C.window ? imax(0, position - params.window + 1) : 0;
}

/// Which sequence and which of its tiles is number `index`; false if there are fewer. By each warp.
template <int ROWS, int GROUP>
TKM_DEVICE bool find_tile(const Batch& batch, int index, int& sequence, int& tile) {
  int before = 0;
  for (int first = 0; first < batch.num_sequences; first += 32) {
    int s = first + lane_id(), count = 0;
    if (s < batch.num_sequences) {
      int rows = batch.first_rows[s + 1] - batch.first_rows[s];
      count = rows > 1 ? (rows * GROUP + ROWS - 1) / ROWS : 0;
    }
    int end = count;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      int other = __shfl_up_sync(0xffffffffu, end, step);
      if (lane_id() >= step) end += other;
    }
    u32 past = __ballot_sync(0xffffffffu, before + end > index);
    if (past) {
      int lane = __ffs(static_cast<int>(past)) - 1;
      sequence = first + lane;
      tile = index - before - __shfl_sync(0xffffffffu, end - count, lane);
      return true;
    }
    before += __shfl_sync(0xffffffffu, end, 31);
  }
  return false;
}

/// Starts copying a page's keys and values of one head; slots from `end` (a position) on are zeros.
template <AttendConfig C>
TKM_DEVICE void load_page(
    u8* to, const Cache& cache, i64 page, int page_index, int kv_head, int end) {
  constexpr int kChunks = C.head_dim / 8, kHead = kPageTokens * C.head_dim * 2;
  const u8* keys = cache.data + page * cache.page_bytes + static_cast<i64>(kv_head) * kHead;
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < kPageTokens * kChunks; i += C.warps * 32) {
    int token = i / kChunks, chunk = i % kChunks;
    u32 valid = page_index * kPageTokens + token < end ? 16 : 0;
    u8* at = to + token * C.pitch() + chunk * 16;
    copy_16(at, keys + i * 16, valid);
    copy_16(at + kPageTokens * C.pitch(), keys + i64{C.kv_heads} * kHead + i * 16, valid);
  }
}

/// Sums of a warp's 16 rows: rows g and g + 8 of lane 4 g + i.
template <AttendConfig C>
struct FlashState {
  float largest[2] = {-kInfinity, -kInfinity};  ///< Exponents, so far.
  float total[2] = {};                          ///< This lane's part of the weights' sum.
  float out[C.head_dim / 8][4] = {};
};

/// Multiplies by 16 columns of queries in registers, or from shared memory.
template <AttendConfig C, int TOKENS>
struct Scores {
  float at[TOKENS / 8][4];
};

/// scores = q (16 rows) x keys of TOKENS tokens at `keys`. `queries(k, a)` gives operand A of
/// columns 16 k.
template <AttendConfig C, int TOKENS, typename Queries>
TKM_DEVICE void multiply_keys(Scores<C, TOKENS>& scores, const u8* keys, const Queries& queries) {
  int lane = lane_id();
  u32 row = shared_address(keys + (lane % 8 + lane / 16 * 8) * C.pitch() + lane / 8 % 2 * 16);
#pragma unroll
  for (int n = 0; n < TOKENS / 8; ++n) {
#pragma unroll
    for (int c = 0; c < 4; ++c) scores.at[n][c] = 0;
  }
  constexpr int kUnroll = C.head_dim > 128 ? 4 : C.head_dim / 16;
#pragma unroll kUnroll
  for (int k = 0; k < C.head_dim / 16; ++k) {
    u32 a[4];
    queries(k, a);
#pragma unroll
    for (int n = 0; n < TOKENS / 16; ++n) {
      u32 b[4];
      load_blocks(b, row + static_cast<u32>(n * 16 * C.pitch() + k * 32));
      multiply_16x8x16(scores.at[2 * n], a, b[0], b[1]);
      multiply_16x8x16(scores.at[2 * n + 1], a, b[2], b[3]);
    }
  }
}

/// Turns scores into weights and adds the values that they weigh. `visible(row, token)` says
/// whether row g (0) or g + 8 (1) sees a token of the tile; asked only if `masked`.
template <AttendConfig C, int TOKENS, typename Visible>
TKM_DEVICE void add_values(FlashState<C>& state,
                           Scores<C, TOKENS>& scores,
                           const u8* values,
                           const AttendParams& params,
                           bool masked,
                           const Visible& visible) {
  int lane = lane_id();
#pragma unroll
  for (int n = 0; n < TOKENS / 8; ++n) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      float exponent = score_exponent<C>(scores.at[n][c], params);
      bool seen = !masked || visible(c / 2, n * 8 + lane % 4 * 2 + c % 2);
      scores.at[n][c] = seen ? exponent : -kInfinity;
    }
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float largest = state.largest[r];
#pragma unroll
    for (int n = 0; n < TOKENS / 8; ++n)
      largest = fmaxf(largest, fmaxf(scores.at[n][2 * r], scores.at[n][2 * r + 1]));
    largest = warp_max<4>(largest);
    float base = largest == -kInfinity ? 0.0f : largest;
    float factor = exp2f(state.largest[r] - base);
    state.largest[r] = largest;
    state.total[r] *= factor;
#pragma unroll
    for (int d = 0; d < C.head_dim / 8; ++d) {
      state.out[d][2 * r] *= factor;
      state.out[d][2 * r + 1] *= factor;
    }
#pragma unroll
    for (int n = 0; n < TOKENS / 8; ++n) {
#pragma unroll
      for (int c = 2 * r; c < 2 * r + 2; ++c) {
        scores.at[n][c] = exp2f(scores.at[n][c] - base);
        state.total[r] += scores.at[n][c];
      }
    }
  }
  u32 row = shared_address(values + (lane % 8 + lane / 8 % 2 * 8) * C.pitch() + lane / 16 * 16);
#pragma unroll
  for (int n = 0; n < TOKENS / 16; ++n) {
    u32 a[4] = {pack_bf16(scores.at[2 * n][0], scores.at[2 * n][1]),
                pack_bf16(scores.at[2 * n][2], scores.at[2 * n][3]),
                pack_bf16(scores.at[2 * n + 1][0], scores.at[2 * n + 1][1]),
                pack_bf16(scores.at[2 * n + 1][2], scores.at[2 * n + 1][3])};
#pragma unroll
    for (int d = 0; d < C.head_dim / 16; ++d) {
      u32 b[4];
      load_blocks_transposed(b, row + static_cast<u32>(n * 16 * C.pitch() + d * 32));
      multiply_16x8x16(state.out[2 * d], a, b[0], b[1]);
      multiply_16x8x16(state.out[2 * d + 1], a, b[2], b[3]);
    }
  }
}

/// Operand A of a warp's 16 rows, straight from global memory; `row(r)` is the address of row g (0)
/// or g + 8 (1), null for none.
template <AttendConfig C, typename Row>
TKM_DEVICE void load_queries(u32 (&q)[C.head_dim / 16][4], const Row& row) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const u32* from = reinterpret_cast<const u32*>(row(r));
#pragma unroll
    for (int k = 0; k < C.head_dim / 16; ++k) {
      q[k][r] = from ? from[k * 8 + lane_id() % 4] : 0;
      q[k][r + 2] = from ? from[k * 8 + 4 + lane_id() % 4] : 0;
    }
  }
}

}  // namespace tkm
