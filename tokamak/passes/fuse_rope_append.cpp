// SPDX-License-Identifier: Apache-2.0
// attention(rope(norm(slice(qkv))), rope(norm(slice(qkv))), slice(qkv))
//   ->  attend(rope_append(qkv, positions, q_norm, k_norm))
//
// The slices are q, k, v in this order and all of qkv; norm (over each head) and rope are there for
// both q and k, with the same settings, or for neither. Anything else stays an attention, which
// targets run as it is.
#include <optional>

#include "tokamak/op/attention.h"
#include "tokamak/op/elementwise.h"
#include "tokamak/passes/passes.h"
#include "tokamak/passes/rewrite.h"

namespace tokamak::passes {
namespace {

/// How q or k is made from the merged projections.
struct Operand {
  const ir::Node* slice = nullptr;
  const ir::Node* norm = nullptr;
  const ir::Node* rope = nullptr;
};

Operand trace(ir::Value value, int64_t head_dim) {
  Operand out;
  out.rope = value.producer<op::Rope>();
  if (out.rope) value = out.rope->input(0);
  if (head_norm(value.producer(), head_dim)) {
    out.norm = value.producer();
    value = out.norm->input(0);
  }
  out.slice = value.producer<op::Slice>();
  return out;
}

bool slices_cover(const Operand& q, const Operand& k, const ir::Node* v) {
  if (!q.slice || !k.slice || !v) return false;
  int64_t begin = 0;
  for (const ir::Node* slice : {q.slice, k.slice, v}) {
    if (slice->input(0) != v->input(0) || slice->as<op::Slice>()->begin != begin) return false;
    begin += slice->as<op::Slice>()->size;
  }
  return begin == v->input(0).type().columns();
}

bool same_norm(const Operand& q, const Operand& k) {
  if (!q.norm || !k.norm) return q.norm == k.norm;
  const auto *a = q.norm->as<op::RmsNorm>(), *b = k.norm->as<op::RmsNorm>();
  return a->eps == b->eps && a->unit_offset == b->unit_offset;
}

bool same_rope(const Operand& q, const Operand& k, int64_t head_dim) {
  if (!q.rope || !k.rope) return q.rope == k.rope;
  const auto *a = q.rope->as<op::Rope>(), *b = k.rope->as<op::Rope>();
  return base::fields_equal(*a, *b) && a->head_dim == head_dim &&
         q.rope->input(1) == k.rope->input(1);
}

/// What rope_append reads as positions. Without rotation their values do not matter, only that
/// there is one for each row: preferably the graph's input of that name.
std::optional<ir::Value> positions_of(const ir::Graph& graph, const Operand& q, ir::Value qkv) {
  if (q.rope) return q.rope->input(1);
  std::optional<ir::Value> found;
  for (const ir::Value& input : graph.inputs()) {
    if (input.type() != TensorType{DType::kI32, {qkv.type().shape[0]}}) continue;
    if (!found || input.name() == "positions") found = input;
  }
  return found;
}

bool fuse(ir::Graph& graph, ir::Node* attention) {
  const auto& settings = *attention->as<op::Attention>();
  Operand q = trace(attention->input(0), settings.head_dim);
  Operand k = trace(attention->input(1), settings.head_dim);
  const ir::Node* v = attention->input(2).producer<op::Slice>();
  if (!slices_cover(q, k, v) || !same_norm(q, k) || !same_rope(q, k, settings.head_dim))
    return false;
  ir::Value qkv = v->input(0);
  std::optional<ir::Value> positions = positions_of(graph, q, qkv);
  if (!positions) return false;

  op::RopeAppend append;
  std::vector<ir::Value> inputs = {qkv, *positions};
  if (q.rope) static_cast<op::RotarySettings&>(append) = *q.rope->as<op::Rope>();
  append.layer = settings.layer;
  append.num_heads = settings.num_heads;
  append.num_kv_heads = settings.num_kv_heads;
  append.head_dim = settings.head_dim;
  if (q.norm) {
    append.qk_norm = true;
    append.eps = q.norm->as<op::RmsNorm>()->eps;
    append.unit_offset = q.norm->as<op::RmsNorm>()->unit_offset;
    inputs.push_back(q.norm->input(1));
    inputs.push_back(k.norm->input(1));
  }
  op::Attend attend;
  static_cast<op::AttentionSettings&>(attend) = settings;
  ir::Value rotated = graph.apply_before(attention, append, std::move(inputs));
  supersede(graph, attention->output(), graph.apply_before(attention, attend, {rotated}));
  return true;
}

}  // namespace

Result<int> fuse_rope_append(ir::Graph& graph) {
  int fused = 0;
  for (ir::Node* attention : graph.all<op::Attention>()) fused += fuse(graph, attention);
  return fused;
}

}  // namespace tokamak::passes
