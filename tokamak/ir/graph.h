// SPDX-License-Identifier: Apache-2.0
// The graph of one model: SSA values with types, few and semantic ops, in the order they run.
// Goals: passes read like the rewrite they do; every graph has a text form that reads back the
// same. Non-goals: control flow, shapes beyond constants and the two symbols T (tokens) and R (rows
// of logits).
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokamak/op/op.h"
#include "tokamak/tensor/weight_part.h"

namespace tokamak::ir {

class Graph;
class Node;

enum class ValueKind { kInput, kWeight, kResult };

namespace detail {
struct ValueInfo {
  Graph* graph = nullptr;
  ValueKind kind = ValueKind::kResult;
  std::string name;
  TensorType type;
  std::vector<WeightPart> parts;  ///< Of a weight: its rows, one part below the other.
  Node* producer = nullptr;
  size_t output_index = 0;
  std::vector<Node*> users;  ///< Once for each use.
};
}  // namespace detail

/// A handle to a value of a graph; cheap to copy, valid as long as the graph. A default-constructed
/// one, or the result of an op whose type rule failed, is not valid: ops on it yield values that
/// are not valid, and Graph::status() tells the first error.
class Value {
 public:
  Value() = default;
  bool valid() const { return info_ != nullptr; }
  const TensorType& type() const { return info().type; }
  const std::string& name() const { return info().name; }
  bool is_weight() const { return info().kind == ValueKind::kWeight; }
  bool is_input() const { return info().kind == ValueKind::kInput; }
  const std::vector<WeightPart>& parts() const { return info().parts; }
  /// The node that computes it; null for inputs and weights.
  Node* producer() const { return info().producer; }
  /// The producer, if it is a T.
  template <typename T>
  Node* producer() const;
  size_t output_index() const { return info().output_index; }
  const std::vector<Node*>& users() const { return info().users; }
  /// Exactly one node uses it, once, and it is not an output of the graph.
  bool has_one_use() const;
  Graph& graph() const { return *info().graph; }
  friend bool operator==(const Value&, const Value&) = default;

 private:
  friend class Graph;
  friend class Node;
  explicit Value(detail::ValueInfo* info) : info_(info) {}
  const detail::ValueInfo& info() const {
    TKM_CHECK(info_, "a value that is not valid was read");
    return *info_;
  }
  detail::ValueInfo* info_ = nullptr;
};

class Node {
 public:
  const op::Op& op() const { return op_; }
  template <typename T>
  const T* as() const {
    return op_.as<T>();
  }
  size_t num_inputs() const { return inputs_.size(); }
  Value input(size_t i) const { return inputs_.at(i); }
  const std::vector<Value>& inputs() const { return inputs_; }
  size_t num_outputs() const { return outputs_.size(); }
  Value output(size_t i = 0) const { return Value(outputs_.at(i).get()); }

 private:
  friend class Graph;
  op::Op op_;
  std::vector<Value> inputs_;
  std::vector<std::unique_ptr<detail::ValueInfo>> outputs_;
  std::list<std::unique_ptr<Node>>::iterator place_;
};

template <typename T>
Node* Value::producer() const {
  Node* node = producer();
  return node && node->as<T>() ? node : nullptr;
}

class Graph {
 public:
  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  Value input(std::string name, TensorType type);
  /// A weight made of `parts` (default: the one checkpoint tensor called `name`); the rows of
  /// several parts must add up. The same name, type and parts again give the same value.
  Value weight(std::string name, TensorType type, std::vector<WeightPart> parts = {});
  /// Appends a node. If the type rule refuses, the values are not valid and status() has the error.
  std::vector<Value> apply_all(op::Op op, std::vector<Value> inputs);
  Value apply(op::Op op, std::vector<Value> inputs);
  /// The same, placed before `place` in the order.
  std::vector<Value> apply_all_before(Node* place, op::Op op, std::vector<Value> inputs);
  Value apply_before(Node* place, op::Op op, std::vector<Value> inputs);
  /// Appends to the graph's outputs.
  void output(Value value);

  const std::vector<Value>& outputs() const { return outputs_; }
  std::vector<Value> inputs() const;
  std::vector<Value> weights() const;
  std::vector<Node*> nodes() const;
  /// The nodes whose op is a T, in order.
  template <typename T>
  std::vector<Node*> all() const;
  size_t num_nodes() const { return nodes_.size(); }
  /// The input, weight or result called `name`; not valid if there is none.
  Value find(std::string_view name) const;

  /// Gives a value a name of the caller's choice, unique in the graph (the text form keeps names).
  void rename(Value value, std::string name);
  /// Every use of `from` becomes a use of `to`, graph outputs included. Types must be equal.
  void replace(Value from, Value to);
  /// Removes a node whose outputs have no uses.
  void erase(Node* node);
  /// Removes weights that nothing uses; returns how many. (Inputs are the interface: they stay.)
  int erase_unused_weights();
  bool is_output(Value value) const;

  /// The first error of a type rule while building, if any.
  Result<void> status() const;
  /// status(), and: each value is defined before its use, types are what the type rules say, user
  /// lists are right, names are unique.
  Result<void> verify() const;

  /// The text form; see text.h for reading it.
  std::string text() const;

 private:
  detail::ValueInfo* add_value(ValueKind kind, std::string name, TensorType type);
  std::vector<Value> insert(std::list<std::unique_ptr<Node>>::iterator place,
                            op::Op op,
                            std::vector<Value> inputs);
  std::string fresh_name();
  void reserve_name(const std::string& name);
  void forget_name(const detail::ValueInfo* info);

  std::list<std::unique_ptr<Node>> nodes_;
  std::vector<std::unique_ptr<detail::ValueInfo>>
      sources_;  // inputs and weights, in order of creation
  /// All values but results that have the fresh name, a number, that they were made with. Of
  /// weights there are many, and each is looked up.
  std::unordered_multimap<std::string, detail::ValueInfo*> named_;
  std::vector<Value> outputs_;
  std::optional<Error> error_;
  int64_t next_name_ = 0;
};

template <typename T>
std::vector<Node*> Graph::all() const {
  std::vector<Node*> out;
  for (Node* node : nodes()) {
    if (node->as<T>()) out.push_back(node);
  }
  return out;
}

}  // namespace tokamak::ir
