// SPDX-License-Identifier: Apache-2.0
// Thread blocks of a cluster: they run at the same time and read each other's shared memory
// (sm_90). A kernel that is launched without clusters is one of one block. PTX ISA,
// "barrier.cluster".
#pragma once

#include "tile/async.cuh"

namespace tkm {

/// All threads of all blocks of the cluster meet; what they wrote to shared memory is visible.
TKM_DEVICE void sync_cluster() {
  asm volatile(
      "barrier.cluster.arrive.release.aligned;\n\t"
      "barrier.cluster.wait.acquire.aligned;" ::
          : "memory");
}
/// The address of `pointer` (this block's shared memory) in the block of `rank`.
TKM_DEVICE u32 address_in(const void* pointer, int rank) {
  u32 address;
  asm("mapa.shared::cluster.u32 %0, %1, %2;"
      : "=r"(address)
      : "r"(shared_address(pointer)), "r"(rank));
  return address;
}
TKM_DEVICE float load_remote(u32 address) {
  float value;
  asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(value) : "r"(address) : "memory");
  return value;
}
TKM_DEVICE float2 load_remote_pair(u32 address) {
  float2 value;
  asm volatile("ld.shared::cluster.v2.f32 {%0, %1}, [%2];"
               : "=f"(value.x), "=f"(value.y)
               : "r"(address)
               : "memory");
  return value;
}

}  // namespace tkm
