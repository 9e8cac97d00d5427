// SPDX-License-Identifier: Apache-2.0
// Device code run on the host, for tests without a GPU: a thread block is a group of fibers that
// meet at barriers and in warp operations, one block after the other. Included before the .cuh
// files under test, whose PTX is not to be reached (dependent launches are left out by themselves).
// What this cannot show: races within a warp's step, memory order, spills, speed.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <ucontext.h>

#include "tokamak/base/check.h"

namespace tokamak::kernels::cuda::on_host {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

/// The threads of the block that runs.
class Block {
 public:
  static constexpr int kWarp = 32;

  /// `threads`, a multiple of 32, run `body`; all of them end.
  static void run(unsigned threads, const std::function<void()>& body) {
    Block block(threads, body);
    current = &block;
    for (bool alive = true; alive;) {
      alive = false;
      block.progress_ = false;
      for (size_t i = 0; i < block.fibers_.size(); ++i) {
        if (block.fibers_[i].done) continue;
        alive = true;
        block.resume(i);
      }
      TKM_CHECK(!alive || block.progress_, "threads wait for some that do not come");
    }
    current = nullptr;
  }
  static inline Block* current = nullptr;

  unsigned thread() const { return static_cast<unsigned>(running_); }
  unsigned num_threads() const { return static_cast<unsigned>(fibers_.size()); }
  /// Where a lane of the running thread's warp leaves a value for the others.
  uint64_t& lane_value(unsigned lane) { return values_[running_ / kWarp * kWarp + lane]; }
  uint64_t& own_value() { return values_[running_]; }

  void sync_block() { wait(all_); }
  void sync_warp() { wait(warps_[running_ / kWarp]); }
  int any = 0;  ///< Of __syncthreads_or.

 private:
  struct Barrier {
    size_t expected = 0, arrived = 0, generation = 0;
  };
  struct Fiber {
    ucontext_t context;
    std::unique_ptr<std::byte[]> stack;
    bool done = false;
  };
  static constexpr size_t kStackBytes = 64 << 10;

  Block(unsigned threads, const std::function<void()>& body)
      : body_(body), fibers_(threads), values_(threads), warps_(threads / kWarp) {
    all_.expected = threads;
    for (Barrier& warp : warps_) warp.expected = kWarp;
    for (Fiber& fiber : fibers_) {
      fiber.stack = std::make_unique_for_overwrite<std::byte[]>(kStackBytes);
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = fiber.stack.get();
      fiber.context.uc_stack.ss_size = kStackBytes;
      fiber.context.uc_link = nullptr;
      makecontext(&fiber.context, &Block::begin, 0);
    }
  }
  static void begin() {
    Block& block = *current;
    block.body_();
    block.progress_ = true;
    Fiber& fiber = block.fibers_[block.running_];
    fiber.done = true;
    swapcontext(&fiber.context, &block.host_);
  }
  void resume(size_t i) {
    running_ = i;
    swapcontext(&host_, &fibers_[i].context);
  }
  void wait(Barrier& barrier) {
    const size_t generation = barrier.generation;
    progress_ = true;
    if (++barrier.arrived == barrier.expected) {
      barrier.arrived = 0;
      ++barrier.generation;
      return;
    }
    const size_t own = running_;
    while (barrier.generation == generation) {
      swapcontext(&fibers_[own].context, &host_);
    }
  }

  const std::function<void()>& body_;
  std::vector<Fiber> fibers_;
  std::vector<uint64_t> values_;
  Barrier all_;
  std::vector<Barrier> warps_;
  ucontext_t host_{};
  size_t running_ = 0;
  bool progress_ = false;
};

inline Index block_index, block_size;

/// kernel<<<grid, threads>>>().
inline void launch(Index grid, unsigned threads, const std::function<void()>& kernel) {
  block_size = {threads, 1, 1};
  for (unsigned y = 0; y < grid.y; ++y) {
    for (unsigned x = 0; x < grid.x; ++x) {
      block_index = {x, y, 0};
      Block::run(threads, kernel);
    }
  }
}

/// What each lane says, to all lanes of the warp: of(values) in every lane.
template <typename T, typename Of>
auto exchange(T value, const Of& of) {
  static_assert(sizeof(T) <= 8);
  Block& block = *Block::current;
  uint64_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  block.own_value() = bits;
  block.sync_warp();
  auto out = of([&](unsigned lane) {
    T other;
    __builtin_memcpy(&other, &block.lane_value(lane), sizeof(T));
    return other;
  });
  block.sync_warp();
  return out;
}

}  // namespace tokamak::kernels::cuda::on_host

// ---- the language of device code, as far as these tests need it ----

#define __device__
#define __global__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)

#define threadIdx                            \
  (::tokamak::kernels::cuda::on_host::Index{ \
      ::tokamak::kernels::cuda::on_host::Block::current->thread(), 0, 0})
#define blockIdx (::tokamak::kernels::cuda::on_host::block_index)
#define blockDim (::tokamak::kernels::cuda::on_host::block_size)

namespace tkm {

inline unsigned own_lane() {
  return ::tokamak::kernels::cuda::on_host::Block::current->thread() % 32;
}
inline unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
inline float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}
inline float __int_as_float(int x) {
  return std::bit_cast<float>(x);
}
inline unsigned long long __float2ull_rz(float x) {
  return static_cast<unsigned long long>(x);
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline unsigned __cvta_generic_to_shared(const void*) {
  return 0;
}
inline void __syncthreads() {
  ::tokamak::kernels::cuda::on_host::Block::current->sync_block();
}
inline int __syncthreads_or(int value) {
  auto& block = *::tokamak::kernels::cuda::on_host::Block::current;
  block.any |= value != 0;
  block.sync_block();
  const int any = block.any;
  block.sync_block();
  if (block.thread() == 0) block.any = 0;
  block.sync_block();
  return any;
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return ::tokamak::kernels::cuda::on_host::exchange(
      value, [&](auto of) { return of(own_lane() ^ static_cast<unsigned>(mask)); });
}
template <typename T>
T __shfl_up_sync(unsigned, T value, int step) {
  return ::tokamak::kernels::cuda::on_host::exchange(value, [&](auto of) {
    const unsigned lane = own_lane();
    return of(lane >= static_cast<unsigned>(step) ? lane - static_cast<unsigned>(step) : lane);
  });
}
template <typename T>
T __shfl_sync(unsigned, T value, int lane) {
  return ::tokamak::kernels::cuda::on_host::exchange(
      value, [&](auto of) { return of(static_cast<unsigned>(lane)); });
}
inline unsigned __ballot_sync(unsigned, bool value) {
  return ::tokamak::kernels::cuda::on_host::exchange(value, [](auto of) {
    unsigned out = 0;
    for (unsigned lane = 0; lane < 32; ++lane) out |= static_cast<unsigned>(of(lane)) << lane;
    return out;
  });
}
inline bool __any_sync(unsigned mask, bool value) {
  return __ballot_sync(mask, value) != 0;
}
// Fibers change only where they wait, so that these are atomic.
template <typename T>
T atomicAdd(T* to, T value) {
  return std::exchange(*to, *to + value);
}
template <typename T>
T atomicOr(T* to, T value) {
  return std::exchange(*to, *to | value);
}
template <typename T>
T atomicMin(T* to, T value) {
  return std::exchange(*to, std::min(*to, value));
}

}  // namespace tkm
