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
  ReferenceCache(const Graph& graph, int64_t num_tokens) {
    for (const Node* node : graph.nodes()) {
      if (const auto* a = node->as<op::Attention>())
        add(a->layer, a->num_kv_heads, a->head_dim, num_tokens);
      if (const auto* a = node->as<op::Attend>())
        add(a->layer, a->num_kv_heads, a->head_dim, num_tokens);
    }
    pages_.resize(static_cast<size_t>((num_tokens + op::kPageTokens - 1) / op::kPageTokens));
    std::iota(pages_.begin(), pages_.end(), 0);
    sequence_ = {.num_tokens = static_cast<int32_t>(num_tokens), .pages = pages_};
  }
  op::BatchView batch() const { return {std::span(&sequence_, 1), layers_}; }

 private:
  void add(int64_t layer, int64_t kv_heads, int64_t head_dim, int64_t num_tokens) {
    if (layers_.size() <= static_cast<size_t>(layer))
      layers_.resize(static_cast<size_t>(layer) + 1);
    int64_t page_bytes = op::KvCache::bytes_of_page(DType::kF32, kv_heads, head_dim);
    int64_t pages = (num_tokens + op::kPageTokens - 1) / op::kPageTokens;
    storage_.emplace_back(DType::kU8, Shape{pages * page_bytes});
    layers_[static_cast<size_t>(layer)] = {DType::kF32,
                                           static_cast<int32_t>(kv_heads),
                                           static_cast<int32_t>(head_dim),
                                           page_bytes,
                                           storage_.back().view().data};
  }
  std::vector<Tensor> storage_;
  std::vector<op::KvCache> layers_;
  std::vector<int32_t> pages_;
  op::SequenceSpan sequence_;
};

Tensor transposed(const Tensor& x) {
  int64_t rows = x.shape()[0], columns = x.shape()[1];
  Tensor out(DType::kF32, {columns, rows});
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j)
      out.floats()[static_cast<size_t>(j * rows + i)] =
          x.floats()[static_cast<size_t>(i * columns + j)];
  }
  return out;
}

void normalize_rows(std::span<float> values, int64_t columns) {
  for (size_t begin = 0; begin < values.size(); begin += static_cast<size_t>(columns)) {
    std::span<float> row = values.subspan(begin, static_cast<size_t>(columns));
    double squares = std::inner_product(row.begin(), row.end(), row.begin(), 0.0);
    float scale = static_cast<float>(1.0 / std::max(std::sqrt(squares), 1e-12));
    for (float& value : row) value *= scale;
  }
}

}  // namespace

Result<Tensor> assemble_weight(const TensorMap& checkpoint, Value weight) {
  Tensor out(DType::kF32, weight.type().resolve(0, 0));
  size_t filled = 0;
  for (const WeightPart& part : weight.parts()) {
    auto it = checkpoint.find(part.tensor);
    if (it == checkpoint.end())
      return base::not_found(
          fmt::format("no tensor '{}' for weight %{}", part.tensor, weight.name()));
    Tensor rows = part.transposed ? transposed(it->second) : it->second.to(DType::kF32);
    if (part.normalize_rows) normalize_rows(rows.floats(), rows.view().columns());
    auto values = rows.floats();
    if (filled + values.size() > static_cast<size_t>(out.count()))
      return base::invalid(fmt::format(
          "the parts of weight %{} are larger than {}", weight.name(), weight.type().text()));
    std::copy(values.begin(), values.end(), out.floats().begin() + static_cast<int64_t>(filled));
    filled += values.size();
  }
  if (filled != static_cast<size_t>(out.count()))
    return base::invalid(
        fmt::format("the parts of weight %{} do not fill {}", weight.name(), weight.type().text()));
  return out;
}

Result<std::vector<Tensor>> run_reference(const Graph& graph,
                                          const TensorMap& inputs,
                                          const TensorMap& checkpoint,
                                          int64_t num_tokens) {
  TKM_RETURN_IF_ERROR(graph.verify());
  ReferenceCache cache(graph, num_tokens);
  std::map<std::string, Tensor, std::less<>> values;
  int64_t rows = 0;
  for (const Value& value : graph.inputs()) {
    auto it = inputs.find(value.name());
    if (it == inputs.end()) return base::not_found(fmt::format("no input '{}'", value.name()));
    values[value.name()] = it->second;
    if (value.name() == "rows") rows = it->second.count();
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
