// SPDX-License-Identifier: Apache-2.0
#include "tokamak/ir/graph.h"

#include <algorithm>
#include <charconv>
#include <set>

namespace tokamak::ir {

bool Value::has_one_use() const {
  return users().size() == 1 && !graph().is_output(*this);
}

std::string Graph::fresh_name() {
  return std::to_string(next_name_++);
}

/// Keeps fresh_name() clear of a number that somebody chose as a name.
void Graph::reserve_name(const std::string& name) {
  int64_t number = 0;
  auto [end, code] = std::from_chars(name.data(), name.data() + name.size(), number);
  bool is_number = code == std::errc() && end == name.data() + name.size();
  if (is_number && number < INT64_MAX) next_name_ = std::max(next_name_, number + 1);
}

detail::ValueInfo* Graph::add_value(ValueKind kind, std::string name, TensorType type) {
  auto info = std::make_unique<detail::ValueInfo>();
  info->graph = this;
  info->kind = kind;
  reserve_name(name);
  info->name = std::move(name);
  info->type = std::move(type);
  named_.emplace(info->name, info.get());
  sources_.push_back(std::move(info));
  return sources_.back().get();
}

Value Graph::input(std::string name, TensorType type) {
  return Value(add_value(ValueKind::kInput, std::move(name), std::move(type)));
}

Value Graph::weight(std::string name, TensorType type, std::vector<WeightPart> parts) {
  if (parts.empty()) parts.push_back({name});
  int64_t rows = type.shape.empty() ? 1 : type.shape[0].size;
  if (parts.size() == 1) parts[0].rows = rows;
  for (const WeightPart& part : parts) rows -= part.rows;
  TKM_CHECK(rows == 0, "the parts of weight {} leave {} rows of {}", name, rows, type.text());
  for (auto [it, end] = named_.equal_range(name); it != end; ++it) {
    detail::ValueInfo* known = it->second;
    if (known->kind != ValueKind::kWeight) continue;
    TKM_CHECK(known->type == type,
              "weight {} asked as {} and as {}",
              name,
              known->type.text(),
              type.text());
    TKM_CHECK(known->parts == parts, "weight {} asked of different parts", name);
    return Value(known);
  }
  auto* info = add_value(ValueKind::kWeight, std::move(name), std::move(type));
  info->parts = std::move(parts);
  return Value(info);
}

std::vector<Value> Graph::insert(std::list<std::unique_ptr<Node>>::iterator place,
                                 op::Op op,
                                 std::vector<Value> inputs) {
  op::Types input_types;
  for (const Value& value : inputs) {
    if (!value.valid()) {
      if (!error_)
        error_ =
            base::invalid(fmt::format("{}: input {} is not valid", op.name(), input_types.size()));
      return {};
    }
    TKM_CHECK(
        &value.graph() == this, "{}: input %{} belongs to another graph", op.name(), value.name());
    input_types.push_back(value.type());
  }
  auto types = op.infer(input_types);
  if (!types.ok()) {
    if (!error_) error_ = types.error();
    return {};
  }
  auto node = std::make_unique<Node>();
  node->op_ = std::move(op);
  node->inputs_ = std::move(inputs);
  for (const Value& value : node->inputs_) value.info_->users.push_back(node.get());
  std::vector<Value> results;
  for (size_t i = 0; i < types->size(); ++i) {
    auto info = std::make_unique<detail::ValueInfo>();
    info->graph = this;
    info->name = fresh_name();
    info->type = (*types)[i];
    info->producer = node.get();
    info->output_index = i;
    results.push_back(Value(info.get()));
    node->outputs_.push_back(std::move(info));
  }
  Node* raw = node.get();
  raw->place_ = nodes_.insert(place, std::move(node));
  return results;
}

std::vector<Value> Graph::apply_all(op::Op op, std::vector<Value> inputs) {
  return insert(nodes_.end(), std::move(op), std::move(inputs));
}
Value Graph::apply(op::Op op, std::vector<Value> inputs) {
  auto results = apply_all(std::move(op), std::move(inputs));
  return results.empty() ? Value() : results[0];
}
std::vector<Value> Graph::apply_all_before(Node* place, op::Op op, std::vector<Value> inputs) {
  return insert(place->place_, std::move(op), std::move(inputs));
}
Value Graph::apply_before(Node* place, op::Op op, std::vector<Value> inputs) {
  auto results = apply_all_before(place, std::move(op), std::move(inputs));
  return results.empty() ? Value() : results[0];
}

void Graph::output(Value value) {
  if (value.valid())
    outputs_.push_back(value);
  else if (!error_)
    error_ = base::invalid("an output of the graph is not valid");
}

std::vector<Value> Graph::inputs() const {
  std::vector<Value> out;
  for (const auto& source : sources_) {
    if (source->kind == ValueKind::kInput) out.push_back(Value(source.get()));
  }
  return out;
}

std::vector<Value> Graph::weights() const {
  std::vector<Value> out;
  for (const auto& source : sources_) {
    if (source->kind == ValueKind::kWeight) out.push_back(Value(source.get()));
  }
  return out;
}

std::vector<Node*> Graph::nodes() const {
  std::vector<Node*> out;
  for (const auto& node : nodes_) out.push_back(node.get());
  return out;
}

Value Graph::find(std::string_view name) const {
  if (auto known = named_.find(std::string(name)); known != named_.end())
    return Value(known->second);
  // A result that was not named is called by a number.
  if (name.find_first_not_of("0123456789") != std::string_view::npos) return {};
  for (const auto& node : nodes_) {
    for (size_t i = 0; i < node->num_outputs(); ++i) {
      if (node->output(i).name() == name) return node->output(i);
    }
  }
  return {};
}

void Graph::rename(Value value, std::string name) {
  reserve_name(name);
  forget_name(value.info_);
  value.info_->name = std::move(name);
  named_.emplace(value.info_->name, value.info_);
}

void Graph::forget_name(const detail::ValueInfo* info) {
  for (auto [it, end] = named_.equal_range(info->name); it != end; ++it) {
    if (it->second != info) continue;
    named_.erase(it);
    return;
  }
}

void Graph::replace(Value from, Value to) {
  TKM_CHECK(from.type() == to.type(),
            "replace %{} of {} by %{} of {}",
            from.name(),
            from.type().text(),
            to.name(),
            to.type().text());
  if (from == to) return;
  for (Node* user : from.info_->users) {
    std::replace(user->inputs_.begin(), user->inputs_.end(), from, to);
    to.info_->users.push_back(user);
  }
  from.info_->users.clear();
  std::replace(outputs_.begin(), outputs_.end(), from, to);
}

void Graph::erase(Node* node) {
  for (size_t i = 0; i < node->num_outputs(); ++i) {
    TKM_CHECK(node->output(i).users().empty() && !is_output(node->output(i)),
              "erase {}: %{} is used",
              node->op().name(),
              node->output(i).name());
  }
  for (const Value& value : node->inputs_) {
    auto& users = value.info_->users;
    users.erase(std::find(users.begin(), users.end(), node));
  }
  for (const auto& output : node->outputs_) forget_name(output.get());
  nodes_.erase(node->place_);
}

int Graph::erase_unused_weights() {
  size_t before = sources_.size();
  std::erase_if(sources_, [&](const auto& source) {
    const bool unused = source->kind == ValueKind::kWeight && source->users.empty() &&
                        !is_output(Value(source.get()));
    if (unused) forget_name(source.get());
    return unused;
  });
  return static_cast<int>(before - sources_.size());
}

bool Graph::is_output(Value value) const {
  return std::find(outputs_.begin(), outputs_.end(), value) != outputs_.end();
}

Result<void> Graph::status() const {
  if (error_) return *error_;
  return {};
}

Result<void> Graph::verify() const {
  TKM_RETURN_IF_ERROR(status());
  std::set<const detail::ValueInfo*> defined;
  std::map<const detail::ValueInfo*, std::multiset<const Node*>> uses;
  for (const auto& source : sources_) defined.insert(source.get());
  for (const auto& node : nodes_) {
    op::Types types;
    for (const Value& value : node->inputs_) {
      if (!defined.contains(value.info_)) {
        return base::internal_error(
            fmt::format("{} uses %{} before it is defined", node->op().name(), value.name()));
      }
      uses[value.info_].insert(node.get());
      types.push_back(value.type());
    }
    TKM_ASSIGN(op::Types results, node->op().infer(types));
    for (size_t i = 0; i < node->num_outputs(); ++i) {
      if (results.size() != node->num_outputs() || results[i] != node->output(i).type()) {
        return base::internal_error(fmt::format("{} gives %{} a type that is not {}",
                                                node->op().name(),
                                                node->output(i).name(),
                                                node->output(i).type().text()));
      }
      defined.insert(node->output(i).info_);
    }
  }
  std::set<std::string_view> names;
  for (const detail::ValueInfo* info : defined) {
    if (!names.insert(info->name).second)
      return base::internal_error(fmt::format("two values are called %{}", info->name));
    if (std::multiset<const Node*>(info->users.begin(), info->users.end()) != uses[info]) {
      return base::internal_error(
          fmt::format("the users of %{} are not what the nodes say", info->name));
    }
  }
  for (const Value& value : outputs_) {
    if (!defined.contains(value.info_))
      return base::internal_error(fmt::format("output %{} is not defined", value.name()));
  }
  return {};
}

}  // namespace tokamak::ir
