// SPDX-License-Identifier: Apache-2.0
// Values that are more than data: functions, iterators, namespaces, loops. A template reaches into
// them only through what is declared here.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tokamak/text/jinja_value.h"

namespace tokamak::text::jinja {

class Interpreter;
class Iterator;

class Object : public Shared {
 public:
  /// Python's name of the type.
  virtual std::string_view type_name() const = 0;
  virtual void append_repr(Heap& heap, std::string& out, int depth) const;
  /// The attribute of that name, or missing.
  virtual Value attribute(Interpreter& interpreter, const Value& name) const;
  /// The element of that key, or missing.
  virtual Value item(Heap& heap, const Value& key) const;
  virtual bool is_callable() const { return false; }
  virtual Value call(Interpreter& interpreter, const Arguments& arguments);
  virtual std::optional<int64_t> length() const { return {}; }
  virtual bool is_iterable() const { return false; }
  virtual bool is_sequence() const { return false; }
  /// Walks the elements, from the last to the first if `reversed`; null if that cannot be done.
  virtual std::shared_ptr<Iterator> iterate(Heap& heap, bool reversed);
};

/// Yields values once; iterating over it goes on where it stands.
class Iterator : public Object, public std::enable_shared_from_this<Iterator> {
 public:
  std::string_view type_name() const override { return "generator"; }
  bool is_iterable() const override { return true; }
  std::shared_ptr<Iterator> iterate(Heap& heap, bool reversed) override;
  /// False at the end.
  virtual bool next(Value& out) = 0;
};

/// Walks any value. Fails if it is not iterable.
std::shared_ptr<Iterator> iterate(Heap& heap, const Value& value, bool reversed = false);
bool is_iterable(const Value& value);
/// Python's len(). Fails if the value has none.
int64_t length(const Value& value);
std::vector<Value> collect(Heap& heap, const Value& value);

/// Calls visit(item) for each element.
template <typename Visit>
void for_each(Heap& heap, const Value& value, Visit&& visit) {
  auto iterator = iterate(heap, value);
  for (Value item; iterator->next(item);) visit(item);
}

/// range(): never held in memory.
class Range : public Object {
 public:
  Range(int64_t start, int64_t stop, int64_t step, int64_t count)
      : start_(start), stop_(stop), step_(step), count_(count) {}
  std::string_view type_name() const override { return "range"; }
  void append_repr(Heap& heap, std::string& out, int depth) const override;
  Value item(Heap& heap, const Value& key) const override;
  std::optional<int64_t> length() const override { return count_; }
  bool is_iterable() const override { return true; }
  bool is_sequence() const override { return true; }
  std::shared_ptr<Iterator> iterate(Heap& heap, bool reversed) override;
  int64_t at(int64_t index) const { return start_ + index * step_; }
  /// The elements from index `start` to `stop` in steps, as a range.
  Value slice(Heap& heap, int64_t start, int64_t stop, int64_t step, int64_t count) const;

 private:
  int64_t start_, stop_, step_, count_;
};

enum class DictPart { kKeys, kValues, kItems };

/// What keys(), values() and items() return.
class DictView : public Object {
 public:
  DictView(Value dict, DictPart part) : dict_(std::move(dict)), part_(part) {}
  std::string_view type_name() const override;
  void append_repr(Heap& heap, std::string& out, int depth) const override;
  std::optional<int64_t> length() const override;
  bool is_iterable() const override { return true; }
  std::shared_ptr<Iterator> iterate(Heap& heap, bool reversed) override;
  DictPart part() const { return part_; }
  const Value& dict() const { return dict_; }

 private:
  Value dict_;
  DictPart part_;
};

/// namespace(): the only thing whose attributes a template can set. Belongs to the interpreter.
struct Namespace {
  std::vector<std::pair<Value, Value>> attributes;
  const Value* find(std::string_view name) const;
  void set(const Value& name, Value value);
};

/// A namespace as a value.
class NamespaceHandle : public Object {
 public:
  explicit NamespaceHandle(Namespace& target) : target_(&target) {}
  std::string_view type_name() const override { return "Namespace"; }
  void append_repr(Heap& heap, std::string& out, int depth) const override;
  Value attribute(Interpreter& interpreter, const Value& name) const override;
  Namespace& target() const { return *target_; }

 private:
  Namespace* target_;
};

/// A function of ours: a global, or a method with its receiver.
class Function : public Object {
 public:
  using Body = Value (*)(Interpreter& interpreter, const Value& self, const Arguments& arguments);
  Function(std::string_view name, Body body, Value self = {})
      : name_(name), body_(body), self_(std::move(self)) {}
  std::string_view type_name() const override { return "builtin_function_or_method"; }
  void append_repr(Heap& heap, std::string& out, int depth) const override;
  bool is_callable() const override { return true; }
  Value call(Interpreter& interpreter, const Arguments& arguments) override {
    return body_(interpreter, self_, arguments);
  }

 private:
  std::string_view name_;
  Body body_;
  Value self_;
};

}  // namespace tokamak::text::jinja
