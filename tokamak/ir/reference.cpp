// SPDX-License-Identifier: Apache-2.0
#include "tokamak/ir/reference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tokamak/op/attention.h"

namespace tokamak::ir {
namespace {

/// Caches for every layer that the graph's attention ops name, with the pages of one sequence.
class ReferenceCache {
 public:
  explicit ReferenceCache(int64_t num_tokens)
      : pages_(static_cast<size_t>((num_tokens + op::kPageTokens - 1) / op::kPageTokens)) {
    std::iota(pages_.begin(), pages_.end(), 0);
    sequence_ = {.num_tokens = static_cast<int32_t>(num_tokens), .pages = pages_};
  }
  Result<void> add_all(const Graph& graph) {
    for (const Node* node : graph.nodes()) {
      if (const auto* a = node->as<op::Attention>())
        TKM_RETURN_IF_ERROR(add(a->layer, a->num_kv_heads, a->head_dim));
      if (const auto* a = node->as<op::Attend>())
        TKM_RETURN_IF_ERROR(add(a->layer, a->num_kv_heads, a->head_dim));
      if (const auto* a = node->as<op::RopeAppend>())
        TKM_RETURN_IF_ERROR(add(a->layer, a->num_kv_heads, a->head_dim));
      if (const auto* a = node->as<op::RopeAttend>())
        TKM_RETURN_IF_ERROR(add(a->layer, a->num_kv_heads, a->head_dim));
    }
    return {};
  }
  op::BatchView batch() const { return {std::span(&sequence_, 1), layers_}; }

 private:
  Result<void> add(int64_t layer, int64_t kv_heads, int64_t head_dim) {
    if (layers_.size() <= static_cast<size_t>(layer))
      layers_.resize(static_cast<size_t>(layer) + 1);
    op::KvCache& cache = layers_[static_cast<size_t>(layer)];
    if (cache.data && (cache.num_kv_heads != kv_heads || cache.head_dim != head_dim)) {
      return base::invalid(fmt::format("layer {} has {} kv heads of {} and also {} of {}",
                                       layer,
                                       cache.num_kv_heads,
                                       cache.head_dim,
                                       kv_heads,
                                       head_dim));
    }
    if (cache.data) return {};
    int64_t page_bytes = op::KvCache::bytes_of_page(DType::kF32, kv_heads, head_dim);
    storage_.emplace_back(DType::kU8, Shape{static_cast<int64_t>(pages_.size()) * page_bytes});
    cache = {DType::kF32,
             static_cast<int32_t>(kv_heads),
             static_cast<int32_t>(head_dim),
             page_bytes,
             storage_.back().view().data};
    return {};
  }
  std::vector<Tensor> storage_;
  std::vector<op::KvCache> layers_;
  std::vector<int32_t> pages_;
  op::SequenceSpan sequence_;
};

/// The tensor that one part of a weight of `type` takes its rows from.
Result<TensorView> stored_part(const TensorMap& checkpoint,
                               const WeightPart& part,
                               const TensorType& type) {
  auto it = checkpoint.find(part.tensor);
  if (it == checkpoint.end()) return base::not_found(fmt::format("no tensor '{}'", part.tensor));
  const Shape stored = tensor::stored_shape(type, part);
  if (it->second.shape() == stored && (!part.transposed || stored.size() == 2))
    return it->second.view();
  return base::invalid(fmt::format("tensor '{}' is {}, expected {}",
                                   part.tensor,
                                   tensor::shape_text(it->second.shape()),
                                   tensor::shape_text(stored)));
}

Result<Tensor> checked_input(const TensorMap& inputs, Value value, int64_t tokens, int64_t rows) {
  auto it = inputs.find(value.name());
  if (it == inputs.end()) return base::not_found(fmt::format("no input '{}'", value.name()));
  Shape expected = value.type().resolve(tokens, rows);
  bool floats = tensor::is_float(value.type().dtype);
  if (it->second.shape() == expected &&
      it->second.dtype() == (floats ? DType::kF32 : value.type().dtype))
    return it->second;
  return base::invalid(fmt::format("input '{}' is {}{}, expected {}{}",
                                   value.name(),
                                   tensor::dtype_name(it->second.dtype()),
                                   tensor::shape_text(it->second.shape()),
                                   floats ? "f32" : tensor::dtype_name(value.type().dtype),
                                   tensor::shape_text(expected)));
}

}  // namespace

Result<Tensor> assemble_weight(const TensorMap& checkpoint, Value weight) {
  Tensor out(DType::kF32, weight.type().resolve(0, 0));
  const int64_t columns = out.shape().size() == 2 ? out.shape()[1] : 1;
  std::span<float> rest = out.floats();
  for (const WeightPart& part : weight.parts()) {
    auto stored = stored_part(checkpoint, part, weight.type());
    if (!stored.ok()) {
      Error error = stored.error();
      error.message = fmt::format("weight %{}: {}", weight.name(), error.message);
      return error;
    }
    tensor::read_rows(part, *stored, 0, part.rows, rest);
    rest = rest.subspan(static_cast<size_t>(part.rows * columns));
  }
  return out;
}

Result<std::vector<Tensor>> run_reference(const Graph& graph,
                                          const TensorMap& inputs,
                                          const TensorMap& checkpoint,
                                          int64_t num_tokens) {
  TKM_RETURN_IF_ERROR(graph.verify());
  ReferenceCache cache(num_tokens);
  TKM_RETURN_IF_ERROR(cache.add_all(graph));
  std::map<std::string, Tensor, std::less<>> values;
  auto given = inputs.find("rows");
  int64_t rows = given == inputs.end() ? 0 : given->second.count();
  for (const Value& value : graph.inputs()) {
    TKM_ASSIGN(values[value.name()], checked_input(inputs, value, num_tokens, rows));
  }
  for (const Value& value : graph.weights()) {
    TKM_ASSIGN(values[value.name()], assemble_weight(checkpoint, value));
  }
  for (const Node* node : graph.nodes()) {
    std::vector<TensorView> in, out;
    for (const Value& value : node->inputs()) in.push_back(values.at(value.name()).view());
    for (size_t i = 0; i < node->num_outputs(); ++i) {
      Value value = node->output(i);
      out.push_back(
          (values[value.name()] = Tensor(DType::kF32, value.type().resolve(num_tokens, rows)))
              .view());
    }
    node->op().reference(cache.batch(), in, out);
  }
  std::vector<Tensor> results;
  for (const Value& value : graph.outputs()) results.push_back(values.at(value.name()));
  return results;
}

}  // namespace tokamak::ir
