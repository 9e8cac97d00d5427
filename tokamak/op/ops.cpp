// SPDX-License-Identifier: Apache-2.0
// The one table of operators, and what each is to those who do not know its struct.
#include "tokamak/base/fields_json.h"
#include "tokamak/op/activation.h"
#include "tokamak/op/attention.h"
#include "tokamak/op/elementwise.h"
#include "tokamak/op/gather.h"
#include "tokamak/op/matmul.h"
#include "tokamak/op/norm.h"
#include "tokamak/op/rope.h"

namespace tokamak::op {

// clang-format off
/// Every op, in the order of a decoder.
#define TKM_OPS(X)                                                                            \
  X(Embedding) X(RmsNorm) X(AddRmsNorm) X(LayerNorm) X(MatMul) X(NormMatMul) X(Slice)         \
  X(Rope) X(RopeAppend) X(Attention) X(Attend) X(RopeAttend) X(Activation)                    \
  X(GatedActivation) X(Add) X(Mul) X(Scale) X(Softcap) X(SelectRows)
// clang-format on

template <typename T>
const OpInfo& info_of() {
  static const OpInfo info = {
      T::kName,
      [](const void* a) { return base::fields_to_json(*static_cast<const T*>(a)); },
      [](const Json& json) -> Result<std::shared_ptr<const void>> {
        TKM_ASSIGN(T value, base::fields_from_json<T>(json));
        return std::shared_ptr<const void>(std::make_shared<T>(std::move(value)));
      },
      [](const void* a, const void* b) {
        return base::fields_equal(*static_cast<const T*>(a), *static_cast<const T*>(b));
      },
      [](const void* a, TypeSpan inputs) { return T::infer(*static_cast<const T*>(a), inputs); },
      [](const void* a, const BatchView& batch, TensorSpan inputs, TensorSpan outputs) {
        T::reference(*static_cast<const T*>(a), batch, inputs, outputs);
      },
      T::kHasState,
  };
  return info;
}

#define TKM_INSTANCE(T) template const OpInfo& info_of<T>();
TKM_OPS(TKM_INSTANCE)

std::span<const OpInfo* const> all_ops() {
#define TKM_ADDRESS(T) &info_of<T>(),
  static const OpInfo* const kOps[] = {TKM_OPS(TKM_ADDRESS)};
  return kOps;
}

}  // namespace tokamak::op
