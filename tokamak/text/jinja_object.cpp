// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_object.h"

#include "tokamak/text/jinja_heap.h"
#include "tokamak/text/jinja_print.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text::jinja {
namespace {

/// The elements of a list or tuple, in either direction.
class SequenceIterator : public Iterator {
 public:
  SequenceIterator(Heap& heap, Value sequence, bool reversed)
      : heap_(heap), sequence_(std::move(sequence)), reversed_(reversed) {}
  bool next(Value& out) override {
    const auto& items = sequence_.items();
    if (next_ >= items.size()) return false;
    heap_.step();
    out = items[reversed_ ? items.size() - 1 - next_ : next_];
    ++next_;
    return true;
  }

 private:
  Heap& heap_;
  Value sequence_;
  bool reversed_;
  size_t next_ = 0;
};

class CharacterIterator : public Iterator {
 public:
  CharacterIterator(Heap& heap, Value text, bool reversed)
      : heap_(heap), text_(std::move(text)), reversed_(reversed) {
    at_ = reversed ? text_.text().size() : 0;
  }
  bool next(Value& out) override {
    std::string_view text = text_.text();
    if (reversed_ ? at_ == 0 : at_ >= text.size()) return false;
    size_t begin = reversed_ ? previous_utf8(text, at_) : at_;
    size_t end = begin + utf8_size(text[begin]);
    at_ = reversed_ ? begin : end;
    out = heap_.string(std::string(text.substr(begin, end - begin)));
    return true;
  }

 private:
  Heap& heap_;
  Value text_;
  bool reversed_;
  size_t at_;
};

class EntryIterator : public Iterator {
 public:
  EntryIterator(Heap& heap, Value dict, DictPart part, bool reversed)
      : heap_(heap), dict_(std::move(dict)), part_(part), reversed_(reversed) {}
  bool next(Value& out) override {
    const auto& entries = dict_.dict().entries();
    if (next_ >= entries.size()) return false;
    heap_.step();
    const auto& [key, value] = entries[reversed_ ? entries.size() - 1 - next_ : next_];
    out = part_ == DictPart::kKeys     ? key
          : part_ == DictPart::kValues ? value
                                       : heap_.pair(key, value);
    ++next_;
    return true;
  }

 private:
  Heap& heap_;
  Value dict_;
  DictPart part_;
  bool reversed_;
  size_t next_ = 0;
};

class RangeIterator : public Iterator {
 public:
  RangeIterator(Heap& heap, int64_t start, int64_t step, int64_t count)
      : heap_(heap), next_(start), step_(step), left_(count) {}
  bool next(Value& out) override {
    if (left_ == 0) return false;
    heap_.step();
    out = Value::integer(next_);
    if (--left_ > 0) next_ += step_;
    return true;
  }

 private:
  Heap& heap_;
  int64_t next_, step_, left_;
};

class EmptyIterator : public Iterator {
 public:
  bool next(Value&) override { return false; }
};

}  // namespace

void Object::append_repr(Heap&, std::string& out, int) const {
  out += fmt::format("<{} object>", type_name());
}

Value Object::attribute(Interpreter&, const Value&) const {
  return {};
}

Value Object::item(Heap&, const Value&) const {
  return {};
}

Value Object::call(Interpreter&, const Arguments&) {
  fail("'{}' object is not callable", type_name());
}

std::shared_ptr<Iterator> Object::iterate(Heap&, bool) {
  return nullptr;
}

std::shared_ptr<Iterator> Iterator::iterate(Heap&, bool reversed) {
  return reversed ? nullptr : shared_from_this();
}

std::shared_ptr<Iterator> iterate(Heap& heap, const Value& value, bool reversed) {
  int depth = value.depth() + 1;
  std::shared_ptr<Iterator> found;
  switch (value.kind()) {
    case Kind::kUndefined:
      return heap.make<EmptyIterator>(0);
    case Kind::kString:
      return heap.make<CharacterIterator>(depth, heap, value, reversed);
    case Kind::kList:
    case Kind::kTuple:
      return heap.make<SequenceIterator>(depth, heap, value, reversed);
    case Kind::kDict:
      return heap.make<EntryIterator>(depth, heap, value, DictPart::kKeys, reversed);
    case Kind::kObject:
      found = value.object().iterate(heap, reversed);
      break;
    default:
      break;
  }
  if (!found)
    fail("'{}' object is not {}", value.type_name(), reversed ? "reversible" : "iterable");
  return found;
}

bool is_iterable(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
      return true;
    case Kind::kObject:
      return value.object().is_iterable();
    default:
      return false;
  }
}

int64_t length(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return static_cast<int64_t>(value.string().num_characters);
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().entries().size());
    case Kind::kObject:
      if (auto count = value.object().length()) return *count;
      break;
    default:
      break;
  }
  fail("object of type '{}' has no length", value.type_name());
}

std::vector<Value> collect(Heap& heap, const Value& value) {
  std::vector<Value> items;
  for_each(heap, value, [&](Value& item) {
    items.push_back(std::move(item));
    heap.check_items(static_cast<int64_t>(items.size()));
  });
  return items;
}

void Range::append_repr(Heap&, std::string& out, int) const {
  out += step_ == 1 ? fmt::format("range({}, {})", start_, stop_)
                    : fmt::format("range({}, {}, {})", start_, stop_, step_);
}

Value Range::item(Heap&, const Value& key) const {
  if (!key.is_integer()) return {};
  int64_t index = key.as_integer() < 0 ? key.as_integer() + count_ : key.as_integer();
  return index < 0 || index >= count_ ? Value() : Value::integer(at(index));
}

Value Range::slice(Heap& heap, int64_t start, int64_t stop, int64_t step, int64_t count) const {
  // The ends may lie one step outside.
  auto checked = [&](int64_t index) {
    int64_t value;
    if (__builtin_mul_overflow(index, step_, &value) ||
        __builtin_add_overflow(value, start_, &value)) {
      fail("the result does not fit 64 bits");
    }
    return value;
  };
  int64_t stride;
  if (__builtin_mul_overflow(step, step_, &stride)) fail("the result does not fit 64 bits");
  return Value::of(heap.make<Range>(0, checked(start), checked(stop), stride, count));
}

std::shared_ptr<Iterator> Range::iterate(Heap& heap, bool reversed) {
  if (!reversed || count_ == 0) return heap.make<RangeIterator>(1, heap, start_, step_, count_);
  return heap.make<RangeIterator>(1, heap, at(count_ - 1), -step_, count_);
}

std::string_view DictView::type_name() const {
  return part_ == DictPart::kKeys     ? "dict_keys"
         : part_ == DictPart::kValues ? "dict_values"
                                      : "dict_items";
}

void DictView::append_repr(Heap& heap, std::string& out, int depth) const {
  out += type_name();
  out += '(';
  std::vector<Value> items;
  auto walk = EntryIterator(heap, dict_, part_, false);
  for (Value item; walk.next(item);) items.push_back(std::move(item));
  jinja::append_repr(heap, out, heap.list(std::move(items)), depth + 1);
  out += ')';
}

std::optional<int64_t> DictView::length() const {
  return static_cast<int64_t>(dict_.dict().entries().size());
}

std::shared_ptr<Iterator> DictView::iterate(Heap& heap, bool reversed) {
  return heap.make<EntryIterator>(depth() + 1, heap, dict_, part_, reversed);
}

const Value* Namespace::find(std::string_view name) const {
  for (const auto& [key, value] : attributes) {
    if (key.is_string() && key.text() == name) return &value;
  }
  return nullptr;
}

void Namespace::set(const Value& name, Value value) {
  if (const Value* found = find(name.text())) {
    const_cast<Value&>(*found) = std::move(value);
  } else {
    attributes.emplace_back(name, std::move(value));
  }
}

void NamespaceHandle::append_repr(Heap& heap, std::string& out, int depth) const {
  out += "<Namespace {";
  bool is_first = true;
  for (const auto& [name, value] : target_->attributes) {
    if (!is_first) out += ", ";
    is_first = false;
    jinja::append_repr(heap, out, name, depth + 1);
    out += ": ";
    jinja::append_repr(heap, out, value, depth + 1);
  }
  out += "}>";
}

Value NamespaceHandle::attribute(Interpreter&, const Value& name) const {
  const Value* found = target_->find(name.text());
  return found ? *found : Value();
}

void Function::append_repr(Heap&, std::string& out, int) const {
  out += fmt::format("<built-in function {}>", name_);
}

}  // namespace tokamak::text::jinja
