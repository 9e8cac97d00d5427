// SPDX-License-Identifier: Apache-2.0
// Thread blocks of a cluster: they run at the same time and read each other's shared memory
// (sm_90). A kernel that is launched without clusters is one of one block. PTX ISA,
// "barrier.cluster", "mbarrier".
#pragma once

#include "tile/async.cuh"

namespace tkm {

/// A meeting of all threads of all blocks of the cluster in two halves.
TKM_DEVICE void arrive_at_cluster() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
TKM_DEVICE void wait_for_cluster() {
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
/// Both: what any of them wrote to shared memory is visible.
TKM_DEVICE void sync_cluster() {
  arrive_at_cluster();
  wait_for_cluster();
}
/// The address of `pointer` (this block's shared memory) in the block of `rank`.
TKM_DEVICE u32 address_in(const void* pointer, int rank) {
  u32 address;
  asm("mapa.shared::cluster.u32 %0, %1, %2;"
      : "=r"(address)
      : "r"(shared_address(pointer)), "r"(rank));
  return address;
}
/// The block of the address has started, and ends after a meeting behind this.
TKM_DEVICE float4 load_remote(u32 address) {
  float4 value;
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w)
               : "r"(address)
               : "memory");
  return value;
}
TKM_DEVICE void store_remote(u32 address, float value) {
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(address), "f"(value) : "memory");
}
TKM_DEVICE void store_remote(u32 address, float2 value) {
  asm volatile(
      "st.shared::cluster.v2.f32 [%0], {%1, %2};" ::"r"(address), "f"(value.x), "f"(value.y)
      : "memory");
}

/// A Barrier at which warps of all blocks of the cluster arrive.
struct ClusterBarrier : Barrier {
  /// At this barrier of block `rank`; what this thread wrote or read before is done for whoever
  /// waits there.
  TKM_DEVICE void arrive_in(int rank) {
    asm volatile(
        "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(address_in(this, rank))
        : "memory");
  }
  TKM_DEVICE void wait_for_cluster(u32 parity) {
    plant_delay();
    u32 done;
    do {
      asm volatile(
          "{\n\t.reg .pred p;\n\t"
          "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n\t"
          "selp.b32 %0, 1, 0, p;\n\t}"
          : "=r"(done)
          : "r"(shared_address(this)), "r"(parity)
          : "memory");
    } while (!done);
  }
};

}  // namespace tkm
