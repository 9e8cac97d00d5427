// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_filters.h"

#include <unordered_map>

#include "tokamak/text/jinja_filter_tables.h"
#include "tokamak/text/jinja_literal.h"
#include "tokamak/text/jinja_string.h"

namespace tokamak::text::jinja {
namespace {

class Generator : public Iterator {
 public:
  Generator(Heap& heap, OpenItems open, std::function<bool(Value&)> step)
      : heap_(heap), open_(std::move(open)), step_(std::move(step)) {}
  bool next(Value& out) override {
    if (!iterator_) iterator_ = open_();
    while (iterator_->next(out)) {
      heap_.step();
      if (!step_ || step_(out)) return true;
    }
    return false;
  }

 private:
  Heap& heap_;
  OpenItems open_;
  std::function<bool(Value&)> step_;
  std::shared_ptr<Iterator> iterator_;
};

std::unordered_map<std::string_view, const Filter*> index_filters() {
  std::unordered_map<std::string_view, const Filter*> index;
  for (auto table : {text_filters(), number_filters(), sequence_filters(), sort_filters()}) {
    for (const Filter& filter : table) index.emplace(filter.name, &filter);
  }
  return index;
}

}  // namespace

const Filter* find_filter(std::string_view name) {
  static const auto index = index_filters();
  auto found = index.find(name);
  return found == index.end() ? nullptr : found->second;
}

AttributePath::AttributePath(Interpreter& interpreter, const Value& attribute)
    : interpreter_(interpreter) {
  if (attribute.is_missing() || attribute.is_none()) return;
  if (!attribute.is_string()) {
    parts_.push_back(attribute);
    return;
  }
  for (std::string_view part : split(attribute.text(), ".", -1, false)) {
    bool is_index = has_property(part, TextProperty::kDigit);
    parts_.push_back(is_index ? Value::integer(parse_integer(part, 10).value_or(0))
                              : interpreter.heap().string(std::string(part)));
  }
}

Value AttributePath::get(const Value& item, const Value& fallback) const {
  Value value = item;
  for (const Value& part : parts_) {
    value = interpreter_.get_item(value, part);
    if (value.is_undefined() && !fallback.is_missing() && !fallback.is_none()) value = fallback;
  }
  return value;
}

Value ignore_case(Interpreter& interpreter, const Value& value) {
  if (!value.is_string()) return value;
  interpreter.heap().step_characters(value.text().size());
  return interpreter.heap().string(to_lower(value.text()));
}

Value make_generator(Interpreter& interpreter,
                     int depth,
                     OpenItems open,
                     std::function<bool(Value&)> step) {
  Heap& heap = interpreter.heap();
  return Value::of(heap.make<Generator>(depth + 1, heap, std::move(open), std::move(step)));
}

int64_t require_integer(const Value& value, std::string_view filter) {
  if (!value.is_integer()) fail("{}: expected an integer, found {}", filter, value.type_name());
  return value.as_integer();
}

}  // namespace tokamak::text::jinja
