// SPDX-License-Identifier: Apache-2.0
// The processor's intrinsics, for the few kernels that Highway has no instruction for. Included
// before any header that includes them itself.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the deliberately undefined operands inside its own header for mistakes.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif
