// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_loop.h"

#include "tokamak/text/jinja_compare.h"

namespace tokamak::text::jinja {
namespace {

bool has_length(const Value& items) {
  return !items.is(Kind::kObject) || items.object().length().has_value();
}

// A loop that someone iterates over goes on where it stands.
class LoopIterator : public Iterator {
 public:
  LoopIterator(Heap& heap, Loop& loop, Value handle)
      : heap_(heap), loop_(loop), handle_(std::move(handle)) {}
  bool next(Value& out) override {
    Value item;
    if (!loop_.next(item)) return false;
    out = heap_.pair(std::move(item), handle_);
    return true;
  }

 private:
  Heap& heap_;
  Loop& loop_;
  Value handle_;
};

}  // namespace

bool TestedItems::next(Value& out) {
  while (source_->next(out)) {
    bool passes = interpreter_.passes_test(node_, frame_, out, is_first_);
    is_first_ = false;
    if (passes) return true;
  }
  return false;
}

Loop::Loop(Interpreter& interpreter,
           const ForStatement& node,
           Value items,
           std::shared_ptr<Iterator> iterator,
           Activation* closure,
           int depth)
    : interpreter_(interpreter),
      node_(node),
      iterator_(std::move(iterator)),
      closure_(closure),
      depth_(depth) {
  if (!node.test && has_length(items)) num_items_ = jinja::length(items);
}

bool Loop::peek() const {
  return !after_.is_missing() || iterator_->next(after_);
}

bool Loop::next(Value& item) {
  Value found;
  if (!after_.is_missing()) {
    found = std::exchange(after_, Value());
  } else if (!iterator_->next(found)) {
    return false;
  }
  ++index0_;
  before_ = std::exchange(current_, found);
  item = std::move(found);
  return true;
}

void Loop::finish() {
  Heap& heap = interpreter_.heap();
  iterator_ = jinja::iterate(heap, heap.list({}));
  interpreter_.last_changed().erase(this);
}

int64_t Loop::num_items() const {
  if (num_items_ >= 0) return num_items_;
  Heap& heap = interpreter_.heap();
  std::vector<Value> rest;
  for (Value item; iterator_->next(item);) {
    rest.push_back(std::move(item));
    heap.check_items(static_cast<int64_t>(rest.size()));
  }
  num_items_ = static_cast<int64_t>(rest.size()) + index0_ + 1 + (after_.is_missing() ? 0 : 1);
  iterator_ = jinja::iterate(heap, heap.list(std::move(rest)));
  return num_items_;
}

void Loop::append_repr(Heap&, std::string& out, int) const {
  out += fmt::format("<LoopContext {}/{}>", index0_ + 1, num_items());
}

Value Loop::attribute(Interpreter& interpreter, const Value& name_value) const {
  const std::string& name = name_value.text();
  if (name == "index0") return Value::integer(index0_);
  if (name == "index") return Value::integer(index0_ + 1);
  if (name == "first") return Value::boolean(index0_ == 0);
  if (name == "last") return Value::boolean(!peek());
  if (name == "length") return Value::integer(num_items());
  if (name == "revindex0") return Value::integer(num_items() - index0_ - 1);
  if (name == "revindex") return Value::integer(num_items() - index0_);
  if (name == "depth0") return Value::integer(depth_);
  if (name == "depth") return Value::integer(depth_ + 1);
  if (name == "previtem") {
    return index0_ == 0 ? Value::undefined_because("there is no previous item") : before_;
  }
  if (name == "nextitem") {
    return peek() ? after_ : Value::undefined_because("there is no next item");
  }
  Value self = Value::of(std::const_pointer_cast<Loop>(shared_from_this()));
  auto bind = [&](std::string_view method, Function::Body body) {
    return Value::of(interpreter.heap().make<Function>(1, method, body, self));
  };
  if (name == "cycle") {
    return bind("cycle", [](Interpreter&, const Value& loop, const Arguments& arguments) {
      return loop.as<Loop>()->cycle(arguments);
    });
  }
  if (name == "changed") {
    return bind("changed", [](Interpreter&, const Value& loop, const Arguments& arguments) {
      return Value::boolean(loop.as<Loop>()->changed(arguments));
    });
  }
  return {};
}

Value Loop::call(Interpreter& interpreter, const Arguments& arguments) {
  auto bound = bind_arguments("loop", arguments, {"iterable"}, 1);
  if (!closure_) fail("only a loop with 'recursive' can be called");
  return interpreter.render_loop(node_, *closure_, bound[0], depth_ + 1);
}

std::shared_ptr<Iterator> Loop::iterate(Heap& heap, bool reversed) {
  if (reversed) return nullptr;
  return heap.make<LoopIterator>(1, heap, *this, Value::of(shared_from_this()));
}

Value Loop::cycle(const Arguments& arguments) const {
  const auto& values = arguments.positional;
  if (values.empty() || !arguments.named.empty()) fail("cycle() needs values to cycle through");
  return values[static_cast<size_t>(index0_ < 0 ? 0 : index0_) % values.size()];
}

bool Loop::changed(const Arguments& arguments) {
  if (!arguments.named.empty()) fail("changed() takes no keyword arguments");
  Heap& heap = interpreter_.heap();
  Value values = heap.tuple(arguments.positional);
  Value& last = interpreter_.last_changed()[this];
  if (!last.is_missing() && equals(heap, last, values)) return false;
  last = std::move(values);
  return true;
}

}  // namespace tokamak::text::jinja
