// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_heap.h"

#include <algorithm>

namespace tokamak::text::jinja {

Shared::~Shared() {
  if (heap_) heap_->live_bytes_ -= bytes_;
}

void Heap::count(Shared& shared, int64_t bytes, int depth) {
  check_depth(depth);
  shared.depth_ = depth;
  add_live(bytes);
  shared.heap_ = this;
  shared.bytes_ = bytes;
}

void Heap::add_live(int64_t bytes) {
  if (live_bytes_ + bytes > kLiveFactor * limits_.max_output_bytes) {
    fail("the template's values take more than {} times max_output_bytes = {}",
         kLiveFactor,
         limits_.max_output_bytes);
  }
  live_bytes_ += bytes;
}

void Heap::check_items(int64_t count) const {
  check_bytes(count > limits_.max_output_bytes ? count
                                               : count * static_cast<int64_t>(sizeof(Value)));
}

Value Heap::string(std::string text, bool is_markup) {
  auto size = static_cast<int64_t>(text.size());
  check_bytes(size);
  step_bytes(text.size());
  auto shared = std::make_shared<String>(std::move(text), is_markup);
  count(*shared, size + static_cast<int64_t>(sizeof(String)), 0);
  return Value::of(std::move(shared));
}

Value Heap::sequence(std::vector<Value> items, bool is_tuple, bool is_group) {
  auto size = static_cast<int64_t>(items.size());
  check_items(size);
  step(1 + size);
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  auto shared = std::make_shared<List>(std::move(items));
  shared->is_group = is_group;
  count(*shared, size * static_cast<int64_t>(sizeof(Value)) + int64_t{sizeof(List)}, depth + 1);
  return is_tuple ? Value::tuple_of(std::move(shared)) : Value::list_of(std::move(shared));
}

Value Heap::list(std::vector<Value> items) {
  return sequence(std::move(items), false, false);
}

Value Heap::tuple(std::vector<Value> items) {
  return sequence(std::move(items), true, false);
}

Value Heap::pair(Value first, Value second) {
  std::vector<Value> items;
  items.reserve(2);
  items.push_back(std::move(first));
  items.push_back(std::move(second));
  return tuple(std::move(items));
}

Value Heap::group(Value grouper, Value list) {
  return sequence({std::move(grouper), std::move(list)}, true, true);
}

Value Heap::dict(std::shared_ptr<Dict> dict) {
  auto size = static_cast<int64_t>(dict->entries().size());
  check_items(2 * size);
  step(1 + size);
  int depth = 0;
  for (const auto& [key, value] : dict->entries()) {
    depth = std::max({depth, key.depth(), value.depth()});
  }
  count(*dict, 3 * size * int64_t{sizeof(Value)} + int64_t{sizeof(Dict)}, depth + 1);
  return Value::of(std::shared_ptr<const Dict>(std::move(dict)));
}

void Heap::fail_steps() const {
  fail("rendering takes more than max_steps = {} steps", limits_.max_steps);
}

void Heap::fail_bytes(int64_t bytes) const {
  fail("a value or the output of {} bytes exceeds max_output_bytes = {}",
       bytes,
       limits_.max_output_bytes);
}

void Heap::fail_depth() const {
  fail("nesting is deeper than max_depth = {}", limits_.max_depth);
}

}  // namespace tokamak::text::jinja
