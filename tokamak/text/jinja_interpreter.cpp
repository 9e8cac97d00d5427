// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_interpreter.h"

#include <ctime>

#include "tokamak/text/jinja_compare.h"
#include "tokamak/text/jinja_globals.h"
#include "tokamak/text/jinja_methods.h"
#include "tokamak/text/jinja_print.h"
#include "tokamak/text/jinja_string.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text::jinja {
namespace {

// The context is the caller's: its size is bounded where it comes from.
TemplateLimits limits_of_context(const TemplateLimits& limits) {
  TemplateLimits unlimited;
  unlimited.max_steps = INT64_MAX;
  unlimited.max_output_bytes = INT64_MAX / 16;
  unlimited.max_depth = limits.max_depth;
  return unlimited;
}

const char* owner_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return "bool object";
    case Kind::kInt:
    case Kind::kWideInt:
      return "int object";
    case Kind::kFloat:
      return "float object";
    case Kind::kString:
      return "str object";
    case Kind::kList:
      return "list object";
    case Kind::kTuple:
      return "tuple object";
    case Kind::kDict:
      return "dict object";
    default:
      return value.type_name().data();  // A literal.
  }
}

// The element of a sequence of `count`, or -1.
int64_t element_index(const Value& key, size_t count) {
  auto size = static_cast<int64_t>(count);
  if (!key.is_integer() || key.as_integer() < -size || key.as_integer() >= size) return -1;
  return key.as_integer() + (key.as_integer() < 0 ? size : 0);
}

bool is_hashable(Heap& heap, const Value& value) {
  heap.step();
  if (value.is(Kind::kList) || value.is_dict() || value.as<DictView>()) return false;
  if (!value.is(Kind::kTuple)) return true;
  for (const Value& item : value.items()) {
    if (!is_hashable(heap, item)) return false;
  }
  return true;
}

}  // namespace

Interpreter::Interpreter(const TemplateTree& tree, const TemplateLimits& limits, int64_t now_unix_s)
    : context_heap_(limits_of_context(limits)),
      heap_(limits),
      tree_(tree),
      now_unix_s_(now_unix_s < 0 ? static_cast<int64_t>(std::time(nullptr)) : now_unix_s) {}

void Interpreter::set_context(const Json& context) {
  if (!context.is_object()) fail("the context must be an object, but is {}", context.type_name());
  for (const auto& [name, value] : context.items()) context_[name] = convert(value, 0);
}

Interpreter::~Interpreter() {
  // Values point to heaps, so that what holds values goes first, whatever the order of members.
  last_changed_.clear();
  namespaces_.clear();
  activations_.clear();
  context_.clear();
}

Value Interpreter::convert(const Json& json, int depth) {
  heap_.check_depth(depth);
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case Json::value_t::number_integer:
      return Value::integer(json.get<int64_t>());
    case Json::value_t::number_unsigned: {
      auto wide = json.get<uint64_t>();
      return wide > INT64_MAX ? Value::wide_integer(wide)
                              : Value::integer(static_cast<int64_t>(wide));
    }
    case Json::value_t::number_float:
      return Value::number(json.get<double>());
    case Json::value_t::string: {
      const auto& text = json.get_ref<const std::string&>();
      if (find_invalid_utf8(text)) fail("a string of the context is not valid UTF-8");
      return context_heap_.string(text);
    }
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(convert(item, depth + 1));
      return context_heap_.list(std::move(items));
    }
    case Json::value_t::object: {
      auto dict = std::make_shared<Dict>();
      for (const auto& [name, item] : json.items()) {
        if (find_invalid_utf8(name)) fail("a key of the context is not valid UTF-8");
        dict->set(context_heap_, context_heap_.string(name), convert(item, depth + 1));
      }
      return context_heap_.dict(std::move(dict));
    }
    default:
      return Value::none();
  }
}

std::string Interpreter::run() {
  Activation root;
  root.slots.resize(static_cast<size_t>(tree_.num_slots));
  frame_ = &root;
  std::string out;
  out_ = &out;
  enter(tree_.scope);
  execute(tree_.body);
  // Macros that namespaces hold point to the root's variables, and these may hold namespaces.
  root.slots.clear();
  return out;
}

Value Interpreter::lookup(const Value& name) const {
  auto found = context_.find(name.text());
  return found == context_.end() ? find_global(name.text()) : found->second;
}

Namespace& Interpreter::make_namespace() {
  heap_.keep(sizeof(Namespace) + 64);
  namespaces_.push_back(std::make_unique<Namespace>());
  return *namespaces_.back();
}

Value Interpreter::get_attribute(const Value& object, const Value& name) {
  if (object.is_undefined()) fail("{}", object.undefined_reason());
  if (object.is(Kind::kObject)) {
    Value found = object.object().attribute(*this, name);
    if (!found.is_missing()) return found;
  } else {
    if (const Method* method = find_method(object, name.text())) {
      return Value::of(
          heap_.make<Function>(object.depth() + 1, method->name, method->body, object));
    }
    if (is_mutating_method(object, name.text())) {
      return Value::undefined_because(fmt::format(
          "'{}' would modify a {}, and templates may not", name.text(), owner_name(object)));
    }
    if (object.is_dict()) {
      if (const Value* found = object.dict().find(name.text())) return *found;
    }
    if (object.is_group() && name.text() == "grouper") return object.items()[0];
    if (object.is_group() && name.text() == "list") return object.items()[1];
  }
  return Value::undefined(name, owner_name(object));
}

Value Interpreter::get_item(const Value& object, const Value& key) {
  if (object.is_undefined()) fail("{}", object.undefined_reason());
  switch (object.kind()) {
    case Kind::kList:
    case Kind::kTuple: {
      int64_t i = element_index(key, object.items().size());
      if (i >= 0) return object.items()[static_cast<size_t>(i)];
      break;
    }
    case Kind::kString: {
      const String& s = object.string();
      int64_t i = element_index(key, s.num_characters);
      if (i < 0) break;
      if (!s.is_ascii()) heap_.step_bytes(s.text.size());
      size_t begin = byte_of_character(s, static_cast<size_t>(i));
      return heap_.string(s.text.substr(begin, utf8_size(s.text[begin])));
    }
    case Kind::kDict:
      if (!is_hashable(heap_, key)) break;
      if (const Value* found = object.dict().find(heap_, key)) return *found;
      break;
    case Kind::kObject: {
      Value found = object.object().item(heap_, key);
      if (!found.is_missing()) return found;
      break;
    }
    default:
      break;
  }
  if (key.is_string()) {
    // A dict's own keys were asked already, so that this finds methods only.
    return get_attribute(object, key);
  }
  std::string name;
  append_repr(heap_, name, key);
  return Value::undefined(heap_.string(std::move(name)), owner_name(object));
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
  if (callee.is_undefined()) fail("{}", callee.undefined_reason());
  if (!callee.is(Kind::kObject) || !callee.object().is_callable()) {
    fail("'{}' object is not callable", callee.type_name());
  }
  return callee.object().call(*this, arguments);
}

}  // namespace tokamak::text::jinja
