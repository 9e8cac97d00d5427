// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cpu/gemm/epilogue.h"

#include "tokamak/kernels/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tokamak/kernels/cpu/gemm/epilogue.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.
#include "tokamak/kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tokamak::kernels::cpu {
namespace HWY_NAMESPACE {

template <op::ActivationKind kKind, class Y, class B>
void finish_rows(const Epilogue& e, const SumTile& tile) {
  auto* bias = static_cast<const B*>(e.bias);
  if (bias) bias += tile.first_column;
  for (int64_t row = 0; row < tile.num_rows; ++row) {
    const float* sums = tile.sums + row * tile.stride;
    const int64_t at = (tile.first_row + row) * e.columns + tile.first_column;
    auto* residual = e.residual ? static_cast<const Y*>(e.residual) + at : nullptr;
    for_lanes(tile.num_columns, [&](auto d, int64_t i) HWY_ATTR {
      auto v = hn::LoadU(d, sums + i);
      if (bias) v = hn::Add(v, load(d, bias + i));
      v = activate<kKind>(d, v);
      if (e.gated) {
        auto up = hn::LoadU(d, sums + tile.up_offset + i);
        if (bias) up = hn::Add(up, load(d, bias + e.columns + i));
        v = hn::Mul(v, up);
      }
      if (residual) v = hn::Add(v, load(d, residual + i));
      store(d, v, static_cast<Y*>(e.y) + at + i);
    });
  }
}

void finish_tile_simd(const Epilogue& e, const SumTile& tile) {
  with_activation(e.activation, [&](auto kind) HWY_ATTR {
    with_type(e.y_dtype, [&](auto* y_type) HWY_ATTR {
      with_type(e.bias_dtype, [&](auto* b_type) HWY_ATTR {
        finish_rows<decltype(kind)::value,
                    std::remove_pointer_t<decltype(y_type)>,
                    std::remove_pointer_t<decltype(b_type)>>(e, tile);
      });
    });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace tokamak::kernels::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tokamak::kernels::cpu {

HWY_EXPORT(finish_tile_simd);

void finish_tile(const Epilogue& epilogue, const SumTile& tile) {
  HWY_DYNAMIC_DISPATCH(finish_tile_simd)(epilogue, tile);
}

Epilogue Epilogue::bind(const op::MatMul& matmul, const Launch& launch) {
  Epilogue e{.activation = matmul.activation,
             .gated = matmul.gated,
             .y_dtype = launch.outputs[0].dtype,
             .y = launch.outputs[0].data,
             .columns = launch.outputs[0].columns()};
  if (matmul.bias) {
    e.bias = launch.inputs[2].data;
    e.bias_dtype = launch.inputs[2].dtype;
  }
  if (matmul.residual) e.residual = launch.inputs[matmul.num_inputs() - 1].data;
  return e;
}

}  // namespace tokamak::kernels::cpu
#endif
