// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/cpu/gemm/panel_layout.h"

#include <algorithm>

#include "tokamak/op/matmul.h"

namespace tokamak::kernels::cpu {
namespace {

/// Panel and lane of an output.
struct Place {
  int64_t panel, lane;
};
Place place_of(const PanelShape& shape, int64_t row) {
  if (!shape.gated) return {row / kPanelOutputs, row % kPanelOutputs};
  constexpr int64_t kHalf = kPanelOutputs / 2;
  int64_t columns = shape.columns();
  bool up = row >= columns;
  if (up) row -= columns;
  return {row / kHalf, row % kHalf + (up ? kHalf : 0)};
}

uint32_t word_of_bf16(const uint16_t* row, int64_t step, int64_t depth) {
  uint32_t low = row[2 * step], high = 2 * step + 1 < depth ? row[2 * step + 1] : 0u;
  return low | high << 16;
}

void pack_rows(
    const KernelDesc& desc, const void* rows, int64_t first, int64_t count, void* packed) {
  PanelShape shape = panel_shape(desc);
  int64_t steps = shape.steps();
  constexpr int64_t kBlock = 64;  // Steps a row at a time: 8 KiB of the panel stay in the cache.
  for (int64_t begin = 0; begin < steps; begin += kBlock) {
    int64_t end = std::min(begin + kBlock, steps);
    for (int64_t r = 0; r < count; ++r) {
      Place place = place_of(shape, first + r);
      auto* to = static_cast<uint32_t*>(packed) + place.panel * steps * kPanelOutputs + place.lane;
      if (shape.pairs) {
        auto* row = static_cast<const uint16_t*>(rows) + r * shape.depth;
        for (int64_t s = begin; s < end; ++s)
          to[s * kPanelOutputs] = word_of_bf16(row, s, shape.depth);
      } else {
        auto* row = static_cast<const uint32_t*>(rows) + r * shape.depth;
        for (int64_t s = begin; s < end; ++s) to[s * kPanelOutputs] = row[s];
      }
    }
  }
}

}  // namespace

PanelShape panel_shape(const KernelDesc& desc) {
  const TensorType& w = desc.inputs[1];
  const auto* matmul = desc.op.as<op::MatMul>();
  return {.outputs = w.shape[0].size,
          .depth = w.shape[1].size,
          .pairs = w.dtype == DType::kBF16,
          .gated = matmul && matmul->gated};
}

void unpack_row(const PanelShape& shape, const void* packed, int64_t row, void* to) {
  Place place = place_of(shape, row);
  int64_t steps = shape.steps();
  auto* from =
      static_cast<const uint32_t*>(packed) + place.panel * steps * kPanelOutputs + place.lane;
  if (!shape.pairs) {
    for (int64_t s = 0; s < steps; ++s) static_cast<uint32_t*>(to)[s] = from[s * kPanelOutputs];
    return;
  }
  auto* out = static_cast<uint16_t*>(to);
  for (int64_t s = 0; s < shape.depth / 2; ++s) {
    uint32_t word = from[s * kPanelOutputs];
    out[2 * s] = static_cast<uint16_t>(word);
    out[2 * s + 1] = static_cast<uint16_t>(word >> 16);
  }
  if (shape.depth % 2)
    out[shape.depth - 1] = static_cast<uint16_t>(from[(steps - 1) * kPanelOutputs]);
}

const WeightLayout& panel_layout() {
  static const WeightLayout layout = {.name = "cpu_panel32",
                                      .bytes =
                                          [](const KernelDesc& desc) {
                                            PanelShape shape = panel_shape(desc);
                                            return shape.num_panels() * shape.panel_bytes();
                                          },
                                      .pack_rows = pack_rows};
  return layout;
}

}  // namespace tokamak::kernels::cpu
