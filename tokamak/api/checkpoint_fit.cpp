// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/checkpoint_fit.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "tokamak/base/log.h"
#include "tokamak/engine/engine.h"
#include "tokamak/runtime/weights.h"

namespace tokamak::api {
namespace {

/// Of any float types; tensors of other types are equal only if their bytes are.
bool equal_values(const TensorView& a, const TensorView& b) {
  if (a.shape != b.shape) return false;
  const int64_t count = a.count();
  if (a.dtype == b.dtype) return std::memcmp(a.data, b.data, static_cast<size_t>(a.bytes())) == 0;
  if (!tensor::is_float(a.dtype) || !tensor::is_float(b.dtype)) return false;
  constexpr int64_t kBlock = 1 << 16;
  std::vector<float> of_a(kBlock), of_b(kBlock);
  auto block = [](const TensorView& view, int64_t begin, int64_t size, std::vector<float>& out) {
    const auto* from =
        static_cast<const std::byte*>(view.data) + begin * tensor::dtype_bytes(view.dtype);
    tensor::convert(view.dtype, from, DType::kF32, out.data(), size);
  };
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = std::min(kBlock, count - begin);
    block(a, begin, size, of_a);
    block(b, begin, size, of_b);
    if (!std::equal(of_a.begin(), of_a.begin() + size, of_b.begin())) return false;
  }
  return true;
}

}  // namespace

Result<void> fit_to_tensors(const tensor::TensorFiles& files, models::ModelInfo& info) {
  models::DecoderSpec& spec = info.spec;
  const std::string table = files.stored_name(spec.names.embedding),
                    head = files.stored_name(spec.names.lm_head);
  if (!info.stored_dtype && files.contains(table)) {
    TKM_ASSIGN(TensorView view, files.find(table));
    if (tensor::is_float(view.dtype)) info.stored_dtype = view.dtype;
  }
  if (!spec.tied_embeddings || !files.contains(head) || !files.contains(table)) return {};
  TKM_ASSIGN(TensorView a, files.find(table));
  TKM_ASSIGN(TensorView b, files.find(head));
  if (equal_values(a, b)) return {};
  spec.tied_embeddings = false;
  base::log_warn(
      "{}: '{}' is not the same as '{}', although config.json ties the two: the head of its own is "
      "used",
      files.file_of(head),
      head,
      table);
  return {};
}

Result<void> check_tensors(const ir::Graph& graph, const tensor::TensorFiles& files) {
  for (ir::Value weight : graph.weights()) {
    for (const WeightPart& part : weight.parts()) {
      const Shape shape = tensor::stored_shape(weight.type(), part);
      TKM_RETURN_IF_ERROR(runtime::find_weight(files, part.tensor, shape));
    }
  }
  return {};
}

Result<void> check_dummy_sizes(const ir::Graph& graph, const device::Device& device) {
  for (ir::Value weight : graph.weights()) {
    const int64_t bytes = tensor::num_elements(weight.type().resolve(0, 0)) *
                          tensor::dtype_bytes(weight.type().dtype);
    if (bytes > device.total_bytes())
      return base::out_of_memory(fmt::format("weight '{}' of {} takes {}, the device has {}",
                                             weight.name(),
                                             weight.type().text(),
                                             engine::bytes_text(bytes),
                                             engine::bytes_text(device.total_bytes())));
  }
  return {};
}

}  // namespace tokamak::api
