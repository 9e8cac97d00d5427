// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_value.h"

#include <algorithm>

#include "tokamak/text/jinja_compare.h"
#include "tokamak/text/jinja_heap.h"
#include "tokamak/text/jinja_object.h"

namespace tokamak::text::jinja {
namespace {

// Fewer entries than this are faster compared than hashed.
constexpr size_t kIndexedEntries = 9;

// In place of the owner of an undefined value that has its reason as its name.
constexpr const char* kReasonGiven = "";

}  // namespace

String::String(std::string s, bool markup) : text(std::move(s)), is_markup(markup) {
  num_characters = static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

List::List(std::vector<Value> list_items) : items(std::move(list_items)) {}

Value Value::constant(std::string text) {
  return of(std::make_shared<const String>(std::move(text)));
}

Value Value::undefined_because(std::string reason) {
  return undefined(constant(std::move(reason)), kReasonGiven);
}

Value Value::of(std::shared_ptr<const Dict> d) {
  return Value(Kind::kDict, 0, std::move(d));
}

Value Value::of(std::shared_ptr<Object> object) {
  return Value(Kind::kObject, 0, std::move(object));
}

long double Value::as_number() const {
  if (is(Kind::kFloat)) return float_;
  if (is(Kind::kWideInt)) return as_wide_integer();
  return integer_;
}

const Dict& Value::dict() const {
  return static_cast<const Dict&>(*shared_);
}

Object& Value::object() const {
  // Objects are made mutable and shared as const only because Value holds all kinds in one pointer.
  return const_cast<Object&>(static_cast<const Object&>(*shared_));
}

std::string Value::undefined_reason() const {
  if (!shared_) return "the value is undefined";
  if (!owner_) return fmt::format("'{}' is undefined", text());
  if (owner_ == kReasonGiven) return text();
  return fmt::format("'{}' has no attribute '{}'", owner_, text());
}

std::string_view Value::type_name() const {
  switch (kind_) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
    case Kind::kWideInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return string().is_markup ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kObject:
      return object().type_name();
  }
  return {};
}

template <typename Matches>
int64_t Dict::find_entry(size_t hash, Matches matches) const {
  auto is_it = [&](size_t i) { return hashes_[i] == hash && matches(entries_[i].first); };
  if (buckets_.empty()) {
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (is_it(i)) return static_cast<int64_t>(i);
    }
    return -1;
  }
  int32_t i = buckets_[hash % buckets_.size()];
  while (i >= 0 && !is_it(static_cast<size_t>(i))) i = next_[static_cast<size_t>(i)];
  return i;
}

const Value* Dict::find(Heap& heap, const Value& key) const {
  int64_t i = find_entry(hash_value(heap, key),
                         [&](const Value& other) { return equals(heap, key, other); });
  return i < 0 ? nullptr : &entries_[static_cast<size_t>(i)].second;
}

const Value* Dict::find(std::string_view key) const {
  int64_t i = find_entry(
      hash_text(key), [&](const Value& other) { return other.is_string() && other.text() == key; });
  return i < 0 ? nullptr : &entries_[static_cast<size_t>(i)].second;
}

void Dict::set(Heap& heap, const Value& key, Value value) {
  size_t hash = hash_value(heap, key);
  int64_t i = find_entry(hash, [&](const Value& other) { return equals(heap, key, other); });
  if (i >= 0) {
    entries_[static_cast<size_t>(i)].second = std::move(value);
    return;
  }
  entries_.emplace_back(key, std::move(value));
  hashes_.push_back(hash);
  if (entries_.size() < kIndexedEntries) return;
  if (entries_.size() > buckets_.size()) return rebuild_index();
  int32_t& bucket = buckets_[hash % buckets_.size()];
  next_.push_back(bucket);
  bucket = static_cast<int32_t>(entries_.size() - 1);
}

void Dict::rebuild_index() {
  buckets_.assign(entries_.size() * 2, -1);
  next_.clear();
  for (size_t i = 0; i < entries_.size(); ++i) {
    int32_t& bucket = buckets_[hashes_[i] % buckets_.size()];
    next_.push_back(bucket);
    bucket = static_cast<int32_t>(i);
  }
}

std::vector<Value> bind_arguments(std::string_view function,
                                  const Arguments& arguments,
                                  std::initializer_list<std::string_view> parameters,
                                  size_t required) {
  std::vector<Value> bound(parameters.size());
  if (arguments.positional.size() > parameters.size()) {
    fail("{}() takes at most {} arguments, {} were given",
         function,
         parameters.size(),
         arguments.positional.size());
  }
  std::copy(arguments.positional.begin(), arguments.positional.end(), bound.begin());
  for (const auto& [name, value] : arguments.named) {
    auto found = std::find(parameters.begin(), parameters.end(), name);
    if (found == parameters.end()) {
      fail("{}() got an unexpected keyword argument '{}'", function, name);
    }
    Value& place = bound[static_cast<size_t>(found - parameters.begin())];
    if (!place.is_missing()) fail("{}() got two values for argument '{}'", function, name);
    place = value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (bound[i].is_missing()) {
      fail("{}() misses its argument '{}'", function, *(parameters.begin() + i));
    }
  }
  return bound;
}

}  // namespace tokamak::text::jinja
