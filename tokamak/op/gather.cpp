// SPDX-License-Identifier: Apache-2.0
#include "tokamak/op/gather.h"

#include <algorithm>

namespace tokamak::op {
namespace {

void gather(const TensorView& from,
            std::span<const int32_t> ids,
            int64_t offset,
            const TensorView& to) {
  auto x = from.as<float>(), y = to.as<float>();
  int64_t width = to.columns();
  for (size_t i = 0; i < ids.size(); ++i) {
    int64_t row = ids[i] + offset;
    TKM_CHECK(row >= 0 && row < from.rows(), "row {} of {}", row, from.rows());
    std::copy_n(x.begin() + row * width, width, y.begin() + static_cast<int64_t>(i) * width);
  }
}

}  // namespace

Result<Types> Embedding::infer(const Embedding&, TypeSpan inputs) {
  TKM_RETURN_IF_ERROR(expect_inputs(kName, inputs, 2));
  TKM_RETURN_IF_ERROR(expect_ids(kName, "ids", inputs[0]));
  TKM_RETURN_IF_ERROR(expect_float(kName, "table", inputs[1]));
  TKM_RETURN_IF_ERROR(expect_rank(kName, "table", inputs[1], 2));
  return Types{{inputs[1].dtype, {inputs[0].shape[0], inputs[1].shape[1]}}};
}

void Embedding::reference(const Embedding& e,
                          const BatchView&,
                          TensorSpan inputs,
                          TensorSpan outputs) {
  gather(inputs[1], inputs[0].as<int32_t>(), e.offset, outputs[0]);
}

Result<Types> SelectRows::infer(const SelectRows&, TypeSpan inputs) {
  TKM_RETURN_IF_ERROR(expect_inputs(kName, inputs, 2));
  TKM_RETURN_IF_ERROR(expect_float(kName, "x", inputs[0]));
  TKM_RETURN_IF_ERROR(expect_rank(kName, "x", inputs[0], 2));
  TKM_RETURN_IF_ERROR(expect_ids(kName, "rows", inputs[1]));
  return Types{{inputs[0].dtype, {inputs[1].shape[0], inputs[0].shape[1]}}};
}

void SelectRows::reference(const SelectRows&,
                           const BatchView&,
                           TensorSpan inputs,
                           TensorSpan outputs) {
  gather(inputs[0], inputs[1].as<int32_t>(), 0, outputs[0]);
}

}  // namespace tokamak::op
