// SPDX-License-Identifier: Apache-2.0
// The one table of operators.
#include "tokamak/op/activation.h"
#include "tokamak/op/attention.h"
#include "tokamak/op/elementwise.h"
#include "tokamak/op/gather.h"
#include "tokamak/op/matmul.h"
#include "tokamak/op/norm.h"
#include "tokamak/op/rope.h"

namespace tokamak::op {

std::span<const OpInfo* const> all_ops() {
  static const OpInfo* const kOps[] = {
      &info_of<Embedding>(),  &info_of<RmsNorm>(),
      &info_of<AddRmsNorm>(), &info_of<LayerNorm>(),
      &info_of<MatMul>(),     &info_of<NormMatMul>(),
      &info_of<Slice>(),      &info_of<Rope>(),
      &info_of<RopeAppend>(), &info_of<Attention>(),
      &info_of<Attend>(),     &info_of<RopeAttend>(),
      &info_of<Activation>(), &info_of<GatedActivation>(),
      &info_of<Add>(),        &info_of<Mul>(),
      &info_of<Scale>(),      &info_of<Softcap>(),
      &info_of<SelectRows>(),
  };
  return kOps;
}

}  // namespace tokamak::op
