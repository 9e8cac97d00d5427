// SPDX-License-Identifier: Apache-2.0
// The arithmetic of penalties, one logit at a time. Host and device share it, so that a row gets
// the same bits wherever it is adjusted; includes nothing.
#pragma once

#ifdef __CUDACC_RTC__
#define TKM_ANYWHERE __device__ __forceinline__
#else
#define TKM_ANYWHERE inline
#endif

namespace tkm {

/// After the repetition penalty, of a token that was seen. Stays finite.
TKM_ANYWHERE float repeated_logit(float logit, float penalty) {
  constexpr float kHighest = 3.402823466e38f;
  if (!(logit > 0)) return logit * penalty;
  const float divided = logit / penalty;
  return divided < kHighest ? divided : kHighest;
}

/// After frequency and presence penalty, of a token that was seen `count` > 0 times in the output.
TKM_ANYWHERE float occurred_logit(float logit, float count, float frequency, float presence) {
#ifdef __CUDA_ARCH__
  // Operation by operation: the compiler fuses none of these.
  return __fsub_rn(logit, __fadd_rn(__fmul_rn(count, frequency), presence));
#else
  return logit - (count * frequency + presence);
#endif
}

}  // namespace tkm
