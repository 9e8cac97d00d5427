// SPDX-License-Identifier: Apache-2.0
// adjust: the logits by which a token is chosen, from the model's: logit_bias, penalties, then what
// is not allowed (banned tokens, bad words, all but a mask), as runtime::sample() on the host and
// to the same bits. The model's logits stay as they are.
//
// What a sequence has said is read from its pages (note_tokens.cuh), so that tokens count which the
// host does not know yet. Notes of a tile of the vocabulary are gathered in shared memory: how
// often a token is in the output, whether it is in the prompt, whether it is banned; all by integer
// atomics, so that the order does not matter.
//
// A NaN or +infinity stays a NaN even where it is banned: the row is left to the host, which says
// what is wrong with it.
//
// adjusted [those that ask, columns]; `words` is the block in which AdjustRow's lists are, by
// index. Grid: x = tiles of kAdjustTile tokens, y = those that ask; 512 threads. WIDTH 4 needs
// columns % 4 == 0.
#pragma once

#include "sample/adjusted_logit.cuh"
#include "tile/async.cuh"
#include "tile/batch.cuh"

namespace tkm {

/// As the host writes it: kernels/cuda/sample/adjust.h.
struct AdjustRow {
  i32 row;       // Of the logits.
  i32 sequence;  // Of the batch.
  i32 length;    // Tokens before the one to be chosen, all of them in the pages.
  i32 prompt;    // Of these, the first.
  float repetition, frequency, presence;
  i32 bias, num_bias;            // Pairs of token and float.
  i32 banned, num_banned;        // Tokens.
  i32 bad_words, num_bad_words;  // num + 1 indices: where each begins, and the last ends.
  i32 mask;                      // A bit a token, set: allowed; -1: all are.
};

constexpr int kAdjustThreads = 512;
constexpr int kAdjustTile = 8192;
constexpr u32 kInPrompt = 0x80000000u, kIsBanned = 0x40000000u, kOutputCount = 0x3fffffffu;

struct AdjustShared {
  u32 notes[kAdjustTile];
};

/// The sequence's token at `position`.
struct History {
  const i32* table;  // Its pages.
  const i32* pages;
  TKM_DEVICE const i32* at(int position) const {
    return pages + i64{table[position / kPageTokens]} * kPageTokens + position % kPageTokens;
  }
};

TKM_DEVICE void note_history(const AdjustRow& ask, const History& history, int first, u32* notes) {
  constexpr int kRun = 4;  // Within a page.
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x) * kRun; i < ask.length; i += kAdjustThreads * kRun) {
    Run<i32, kRun> run = *reinterpret_cast<const Run<i32, kRun>*>(history.at(i));
#pragma unroll
    for (int j = 0; j < kRun; ++j) {
      u32 at = static_cast<u32>(run.at[j] - first);
      if (i + j >= ask.length || at >= kAdjustTile) continue;
      if (i + j < ask.prompt)
        atomicOr(&notes[at], kInPrompt);
      else
        atomicAdd(&notes[at], 1u);
    }
  }
}

/// A warp a word: its last token is banned if the output ends with all of it before.
TKM_DEVICE void note_bad_words(
    const AdjustRow& ask, const i32* words, const History& history, int first, u32* notes) {
  int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(lane_id());
#pragma unroll 1
  for (int w = warp; w < ask.num_bad_words; w += kAdjustThreads / 32) {
    int begin = words[ask.bad_words + w];
    int said = words[ask.bad_words + w + 1] - begin - 1;
    u32 at = static_cast<u32>(words[begin + said] - first);
    if (at >= kAdjustTile || said > ask.length - ask.prompt) continue;
    bool differs = false;
#pragma unroll 1
    for (int i = lane; i < said; i += 32)
      differs |= words[begin + i] != *history.at(ask.length - said + i);
    if (__any_sync(0xffffffffu, differs)) continue;
    if (lane == 0) atomicOr(&notes[at], kIsBanned);
  }
}

/// Of `token`, whose logit has its bias already; `raw` is the model's.
TKM_DEVICE float adjusted(
    const AdjustRow& ask, const i32* words, u32 note, int token, float raw, float logit) {
  if (!(raw < kInfinity)) return __uint_as_float(0x7fffffffu);
  u32 count = note & kOutputCount;
  if (ask.repetition != 1 && (count || note & kInPrompt))
    logit = repeated_logit(logit, ask.repetition);
  if (count) logit = occurred_logit(logit, static_cast<float>(count), ask.frequency, ask.presence);
  bool banned = note & kIsBanned;
  if (ask.mask >= 0) banned |= !(words[ask.mask + token / 32] >> (token % 32) & 1);
  return banned ? -kInfinity : logit;
}

template <int WIDTH>
__global__ void __launch_bounds__(kAdjustThreads) adjust(const float* logits,
                                                         float* out,
                                                         const AdjustRow* asked,
                                                         const i32* words,
                                                         const i32* page_table,
                                                         const i32* pages,
                                                         int max_pages,
                                                         int columns) {
  __shared__ AdjustShared shared;
  wait_for_predecessors();
  start_successors();
  const AdjustRow& ask = asked[blockIdx.y];
  const History history{page_table + i64{ask.sequence} * max_pages, pages};
  const float* values = logits + i64{ask.row} * columns;
  out += i64{blockIdx.y} * columns;
  int thread = static_cast<int>(threadIdx.x);
  int first = static_cast<int>(blockIdx.x) * kAdjustTile;
  int size = imin(columns - first, kAdjustTile);
#pragma unroll 1
  for (int i = thread; i < kAdjustTile; i += kAdjustThreads) shared.notes[i] = 0;
  __syncthreads();

  if (ask.repetition != 1 || ask.frequency != 0 || ask.presence != 0)
    note_history(ask, history, first, shared.notes);
#pragma unroll 1
  for (int i = thread; i < ask.num_banned; i += kAdjustThreads) {
    u32 at = static_cast<u32>(words[ask.banned + i] - first);
    if (at < kAdjustTile) atomicOr(&shared.notes[at], kIsBanned);
  }
  note_bad_words(ask, words, history, first, shared.notes);
  __syncthreads();

#pragma unroll 1
  for (int i = thread * WIDTH; i < size; i += kAdjustThreads * WIDTH) {
    float run[WIDTH];
    load_floats<WIDTH>(values + first + i, run);
#pragma unroll
    for (int j = 0; j < WIDTH; ++j)
      run[j] = adjusted(ask, words, shared.notes[i + j], first + i + j, run[j], run[j]);
    store_floats<WIDTH>(run, out + first + i);
  }
  // Again, for the few tokens that have a bias; no token has two.
  __syncthreads();
#pragma unroll 1
  for (int i = thread; i < ask.num_bias; i += kAdjustThreads) {
    int token = words[ask.bias + 2 * i];
    u32 at = static_cast<u32>(token - first);
    if (at >= static_cast<u32>(size)) continue;
    float raw = values[token];
    float bias = __int_as_float(words[ask.bias + 2 * i + 1]);
    out[token] = adjusted(ask, words, shared.notes[at], token, raw, raw + bias);
  }
}

}  // namespace tkm
