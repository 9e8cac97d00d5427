// SPDX-License-Identifier: Apache-2.0
// What runs beside the threads: barriers in shared memory, copies by the copy engines, dependent
// launches. PTX ISA, chapters "Asynchronous copy" and "Parallel synchronization".
#pragma once

#include "tile/types.cuh"

#if __CUDA_ARCH__ >= 900
/// When a kernel of this module last went to work: CudaDevice::last_kernel() reads it of a device
/// that does not come back.
extern "C" {
__device__ unsigned long long tkm_began_at = 0;
}
#endif

namespace tkm {

/// Address within shared memory, as PTX wants it.
TKM_DEVICE u32 shared_address(const void* pointer) {
  return static_cast<u32>(__cvta_generic_to_shared(pointer));
}

TKM_DEVICE int lane_id() {
  return static_cast<int>(threadIdx.x & 31);
}
/// The same in all lanes, and known to be so: branches on it are uniform.
TKM_DEVICE int warp_id() {
  return __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x / 32), 0);
}

// ---- programmatic dependent launch ----

/// Waits until the kernels before this one have ended and their writes are visible. Every thread
/// block calls it, so that a kernel's end implies the end of all before it.
TKM_DEVICE void wait_for_predecessors() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  if (blockIdx.x + blockIdx.y + blockIdx.z == 0 && threadIdx.x % 32 == 0)
    asm volatile(
        "{\n\t.reg .u64 now;\n\t"
        "mov.u64 now, %globaltimer;\n\t"
        "st.global.u64 [%0], now;\n\t}" ::"l"(&tkm_began_at));
#endif
}
/// Lets the next kernel start, which prefetches its weights and then waits for this one's end.
TKM_DEVICE void start_successors() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// ---- barriers ----

/// For tests (TKM_PLANT_DELAYS: nanoseconds, a compiler option): a warp of each block, another one
/// in the next block, is late at every barrier, so that an order that is merely likely breaks at
/// once.
TKM_DEVICE void plant_delay() {
#ifdef TKM_PLANT_DELAYS
  u32 block = blockIdx.x + blockIdx.y + blockIdx.z;
  if (threadIdx.x / 32 == block % (blockDim.x / 32)) __nanosleep(TKM_PLANT_DELAYS);
#endif
}

/// `threads` threads meet at one of 15 barriers (1..15; 0 is __syncthreads).
TKM_DEVICE void sync_threads(int barrier, int threads) {
  plant_delay();
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

/// Counts this thread among those that meet there, without waiting for them.
TKM_DEVICE void arrive_threads(int barrier, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

/// A barrier in shared memory that counts arrivals and bytes. A waiter names the parity of the
/// phase whose end it awaits: 0, 1, 0, ... A parity cannot tell a phase from the one after the
/// next: nobody may be a phase behind when another one ends. In a ring this holds if every warp
/// that waits for `full` also arrives at `empty`, after it has waited: then no slot is filled again
/// before all have seen it full. One warp that arrives for others would have to meet them first.
struct Barrier {
  u64 state;

  TKM_DEVICE void init(u32 arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(this)),
                 "r"(arrivals));
  }
  TKM_DEVICE void arrive() {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(this)) : "memory");
  }
  /// Arrives when `value` is there. A barrier says nothing of loads that are still under way: what
  /// they read is given back only when something that depends on all of them has been computed.
  TKM_DEVICE void arrive_after(float value) {
    asm volatile(
        "{\n\t.reg .pred p;\n\t"
        "setp.eq.f32 p, %1, %1;\n\t"
        "@p mbarrier.arrive.shared::cta.b64 _, [%0];\n\t"
        "@!p mbarrier.arrive.shared::cta.b64 _, [%0];\n\t}" ::"r"(shared_address(this)),
        "f"(value)
        : "memory");
  }
  /// Arrives and makes the phase wait for so many bytes of bulk copies as well.
  TKM_DEVICE void arrive_and_expect(u32 bytes) {
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(this)),
        "r"(bytes)
        : "memory");
  }
  TKM_DEVICE bool try_wait(u32 parity) {
    u32 done;
    asm volatile(
        "{\n\t.reg .pred p;\n\t"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n\t"
        "selp.b32 %0, 1, 0, p;\n\t}"
        : "=r"(done)
        : "r"(shared_address(this)), "r"(parity)
        : "memory");
    return done;
  }
  TKM_DEVICE void wait(u32 parity) {
    plant_delay();
    while (!try_wait(parity)) {
    }
  }
};

/// After init of barriers, before anybody else uses them (and then __syncthreads).
TKM_DEVICE void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
/// Orders ordinary accesses to shared memory before those of the copy engines and wgmma.
TKM_DEVICE void fence_async() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/// Position in a ring of STAGES slots with a full and an empty barrier each. The producer's first
/// round finds every slot empty: it starts with parity 1.
template <int STAGES>
struct RingCursor {
  int slot = 0;
  u32 parity;
  TKM_DEVICE explicit RingCursor(u32 first_parity) : parity(first_parity) {}
  TKM_DEVICE void advance() {
    if (++slot == STAGES) {
      slot = 0;
      parity ^= 1;
    }
  }
};

// ---- copies ----

/// How long the L2 cache should keep what is read once (weights) or again and again.
TKM_DEVICE u64 evict_first_policy() {
  u64 policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}
TKM_DEVICE u64 evict_last_policy() {
  u64 policy;
  asm("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}

/// `bytes` (a multiple of 16, both addresses too) into shared memory; counts on `barrier`.
TKM_DEVICE void bulk_load(void* to, const void* from, u32 bytes, Barrier* barrier, u64 policy) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
      "[%0], [%1], %2, [%3], %4;" ::"r"(shared_address(to)),
      "l"(from),
      "r"(bytes),
      "r"(shared_address(barrier)),
      "l"(policy)
      : "memory");
}

/// A tensor map, made by the driver on the host.
struct alignas(64) TensorMap {
  u64 words[16];
};
TKM_DEVICE void prefetch_tensor_map(const TensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}
/// The box of a 2-D tensor at column x, row y.
TKM_DEVICE void tensor_load(
    void* to, const TensorMap* map, int x, int y, Barrier* barrier, u64 policy) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".L2::cache_hint [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(to)),
      "l"(map),
      "r"(x),
      "r"(y),
      "r"(shared_address(barrier)),
      "l"(policy)
      : "memory");
}
/// The box of a 3-D tensor, innermost coordinate first.
TKM_DEVICE void tensor_load(
    void* to, const TensorMap* map, int x, int y, int z, Barrier* barrier, u64 policy) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".L2::cache_hint [%0], [%1, {%2, %3, %4}], [%5], %6;" ::"r"(shared_address(to)),
      "l"(map),
      "r"(x),
      "r"(y),
      "r"(z),
      "r"(shared_address(barrier)),
      "l"(policy)
      : "memory");
}
/// The box of a 4-D tensor, innermost coordinate first.
TKM_DEVICE void tensor_load(
    void* to, const TensorMap* map, int x, int y, int z, int w, Barrier* barrier, u64 policy) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".L2::cache_hint [%0], [%1, {%2, %3, %4, %5}], [%6], %7;" ::"r"(shared_address(to)),
      "l"(map),
      "r"(x),
      "r"(y),
      "r"(z),
      "r"(w),
      "r"(shared_address(barrier)),
      "l"(policy)
      : "memory");
}

/// 16 bytes by the thread's own queue; only `valid` (0 or 16) of them are read, the rest are zeros.
TKM_DEVICE void copy_16(void* to, const void* from, u32 valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
               "l"(from),
               "r"(valid)
               : "memory");
}
TKM_DEVICE void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Until at most PENDING of this thread's committed groups are under way.
template <int PENDING>
TKM_DEVICE void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// ---- between thread blocks ----

/// Adds one to a counter that returns to 0 after `last`; the value before. All writes of this
/// thread are visible to whoever sees the new value.
TKM_DEVICE u32 count_up(u32* counter, u32 last) {
  u32 before;
  asm volatile("atom.acq_rel.gpu.global.inc.u32 %0, [%1], %2;"
               : "=r"(before)
               : "l"(counter), "r"(last)
               : "memory");
  return before;
}

}  // namespace tkm
