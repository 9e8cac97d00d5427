// SPDX-License-Identifier: Apache-2.0
// Thread blocks of a cluster: they run at the same time and read each other's shared memory
// (sm_90). A kernel that is launched without clusters is one of one block. PTX ISA,
// "barrier.cluster".
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
TKM_DEVICE void store_remote(u32 address, float value) {
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(address), "f"(value) : "memory");
}
TKM_DEVICE void store_remote(u32 address, float2 value) {
  asm volatile(
      "st.shared::cluster.v2.f32 [%0], {%1, %2};" ::"r"(address), "f"(value.x), "f"(value.y)
      : "memory");
}

}  // namespace tkm
