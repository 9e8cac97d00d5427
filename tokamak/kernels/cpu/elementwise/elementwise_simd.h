// SPDX-License-Identifier: Apache-2.0
// Runs of elements, vectorised for the processor at hand. All arrays of one call have `dtype`.
#pragma once

#include "tokamak/op/activation.h"
#include "tokamak/tensor/dtype.h"

namespace tokamak::kernels::cpu {

enum class BinaryKind { kAdd, kMul };
void binary_run(BinaryKind, DType, const void* a, const void* b, void* y, int64_t count);

void scale_run(float factor, DType, const void* x, void* y, int64_t count);
void softcap_run(float cap, DType, const void* x, void* y, int64_t count);
void activation_run(op::ActivationKind, DType, const void* x, void* y, int64_t count);
/// y = f(gate) * up.
void gated_run(op::ActivationKind, DType, const void* gate, const void* up, void* y, int64_t count);
void convert_run(DType from, const void* x, DType to, void* y, int64_t count);

}  // namespace tokamak::kernels::cpu
