// SPDX-License-Identifier: Apache-2.0
// The values of a template: Python's, as far as a template can see them. Strings, lists, tuples and
// dicts never change once made, so they are shared freely and cannot form cycles; what does change
// (namespaces, the variables that macros see) belongs to the render and is only pointed at.
#pragma once

#include <cstdint>
#include <exception>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "tokamak/base/result.h"

namespace tokamak::text::jinja {

class Heap;
class Object;
class Value;

/// Ends parsing or rendering. ChatTemplate turns it into an Error.
class Failure : public std::exception {
 public:
  Failure(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }
  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  ErrorCode code_;
  std::string message_;
};

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Failure(ErrorCode::kInvalid, fmt::format(format, std::forward<Args>(args)...));
}

enum class Kind : uint8_t {
  kMissing,  ///< No value at all: an unset variable, an argument that was not passed.
  kUndefined,
  kNone,
  kBool,
  kInt,
  kWideInt,  ///< An integer of the context that only an unsigned 64-bit integer holds.
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kObject,
};

/// Anything that values share. Gives its bytes back to the heap that counted them.
class Shared {
 public:
  Shared() = default;
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  virtual ~Shared();

  int depth() const { return depth_; }

 private:
  friend class Heap;
  Heap* heap_ = nullptr;
  int64_t bytes_ = 0;
  int depth_ = 0;  ///< How many containers lie within one another below this one.
};

class String : public Shared {
 public:
  explicit String(std::string text, bool is_markup = false);
  std::string text;        ///< Valid UTF-8.
  size_t num_characters;   ///< Code points.
  bool is_markup = false;  ///< Python's Markup: adding to it escapes what is added.
  bool is_ascii() const { return num_characters == text.size(); }
};

class List : public Shared {
 public:
  explicit List(std::vector<Value> list_items);
  std::vector<Value> items;
  bool is_group = false;  ///< What `groupby` yields, a tuple with the attributes grouper and list.
};

class Dict;

class Value {
 public:
  Value() = default;

  static Value none() { return Value(Kind::kNone); }
  static Value boolean(bool value) { return Value(Kind::kBool, value); }
  static Value integer(int64_t value) { return Value(Kind::kInt, value); }
  static Value wide_integer(uint64_t value) {
    return Value(Kind::kWideInt, static_cast<int64_t>(value));
  }
  static Value number(double value) {
    Value v(Kind::kFloat);
    v.float_ = value;
    return v;
  }
  /// `name` is what was looked for (a string), `owner` the type that does not have it, or null.
  static Value undefined(const Value& name, const char* owner = nullptr) {
    Value v(Kind::kUndefined, 0, name.shared_);
    v.owner_ = owner;
    return v;
  }
  /// An undefined value that explains itself with `reason`, not with a name.
  static Value undefined_because(std::string reason);
  /// A value that no heap counts: literals of the source, values of the context.
  static Value constant(std::string text);
  static Value of(std::shared_ptr<const String> s) { return Value(Kind::kString, 0, std::move(s)); }
  static Value list_of(std::shared_ptr<const List> l) {
    return Value(Kind::kList, 0, std::move(l));
  }
  static Value tuple_of(std::shared_ptr<const List> l) {
    return Value(Kind::kTuple, 0, std::move(l));
  }
  static Value of(std::shared_ptr<const Dict> d);
  static Value of(std::shared_ptr<Object> object);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_missing() const { return is(Kind::kMissing); }
  bool is_undefined() const { return is(Kind::kUndefined); }
  bool is_none() const { return is(Kind::kNone); }
  bool is_string() const { return is(Kind::kString); }
  bool is_dict() const { return is(Kind::kDict); }
  bool is_sequence() const { return is(Kind::kList) || is(Kind::kTuple); }
  /// int or bool, as Python has it.
  bool is_integer() const { return is(Kind::kInt) || is(Kind::kBool); }
  bool is_number() const { return is_integer() || is(Kind::kFloat) || is(Kind::kWideInt); }

  bool as_bool() const { return integer_ != 0; }
  int64_t as_integer() const { return integer_; }
  uint64_t as_wide_integer() const { return static_cast<uint64_t>(integer_); }
  double as_float() const { return float_; }
  /// Any number; long double holds every 64-bit integer exactly.
  long double as_number() const;
  const String& string() const { return static_cast<const String&>(*shared_); }
  const std::string& text() const { return string().text; }
  const std::vector<Value>& items() const { return static_cast<const List&>(*shared_).items; }
  bool is_group() const { return is(Kind::kTuple) && static_cast<const List&>(*shared_).is_group; }
  const Dict& dict() const;
  Object& object() const;
  /// The object as a T, or null.
  template <typename T>
  T* as() const {
    return is(Kind::kObject) ? dynamic_cast<T*>(&object()) : nullptr;
  }

  const Shared* shared() const { return shared_.get(); }
  const std::shared_ptr<const Shared>& shared_pointer() const { return shared_; }
  int depth() const { return shared_ ? shared_->depth() : 0; }
  /// Why an undefined value is undefined.
  std::string undefined_reason() const;
  /// Python's name of the type.
  std::string_view type_name() const;

 private:
  explicit Value(Kind kind, int64_t integer = 0, std::shared_ptr<const Shared> shared = {})
      : kind_(kind), integer_(integer), shared_(std::move(shared)) {}

  Kind kind_ = Kind::kMissing;
  union {
    int64_t integer_ = 0;
    double float_;
    const char* owner_;
  };
  std::shared_ptr<const Shared> shared_;
};

/// Entries in the order of their insertion. Filled before it becomes a value.
class Dict : public Shared {
 public:
  using Entry = std::pair<Value, Value>;
  const std::vector<Entry>& entries() const { return entries_; }
  /// Null if there is no such key. Fails if the key cannot be hashed.
  const Value* find(Heap& heap, const Value& key) const;
  const Value* find(std::string_view key) const;
  void set(Heap& heap, const Value& key, Value value);

 private:
  template <typename Matches>
  int64_t find_entry(size_t hash, Matches matches) const;
  void rebuild_index();

  std::vector<Entry> entries_;
  std::vector<size_t> hashes_;
  std::vector<int32_t> buckets_, next_;  ///< Chains of entries; empty while there are few.
};

using NamedValues = std::vector<std::pair<std::string, Value>>;

struct Arguments {
  std::vector<Value> positional;
  NamedValues named;
};

/// The arguments in the order of `parameters`, missing where none was passed. Fails if one of the
/// first `required` is missing, or on arguments that nobody asked for.
std::vector<Value> bind_arguments(std::string_view function,
                                  const Arguments& arguments,
                                  std::initializer_list<std::string_view> parameters,
                                  size_t required = 0);

}  // namespace tokamak::text::jinja
