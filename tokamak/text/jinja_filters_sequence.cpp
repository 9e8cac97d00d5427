// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "tokamak/text/jinja_compare.h"
#include "tokamak/text/jinja_filter_tables.h"
#include "tokamak/text/jinja_print.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text::jinja {
namespace {

Value length_filter(Interpreter&, const Value& value, const Arguments& arguments) {
  bind_arguments("length", arguments, {});
  return Value::integer(length(value));
}

Value list_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("list", arguments, {});
  return interpreter.heap().list(collect(interpreter.heap(), value));
}

Value default_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  auto bound = bind_arguments("default", arguments, {"default_value", "boolean"});
  bool is_replaced = value.is_undefined() || (truth(bound[1]) && !truth(value));
  if (!is_replaced) return value;
  return bound[0].is_missing() ? interpreter.heap().string("") : bound[0];
}

Value first(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("first", arguments, {});
  Value item;
  if (iterate(interpreter.heap(), value)->next(item)) return item;
  return Value::undefined_because("there is no first item, the sequence is empty");
}

Value last(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("last", arguments, {});
  Value item;
  if (iterate(interpreter.heap(), value, true)->next(item)) return item;
  return Value::undefined_because("there is no last item, the sequence is empty");
}

Value join(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  auto bound = bind_arguments("join", arguments, {"d", "attribute"});
  Heap& heap = interpreter.heap();
  AttributePath path(interpreter, bound[1]);
  std::string separator = bound[0].is_missing() ? "" : to_text(heap, bound[0]);
  std::string out;
  bool is_first = true;
  for_each(heap, value, [&](const Value& item) {
    if (!is_first) {
      heap.step_bytes(separator.size());
      out += separator;
    }
    is_first = false;
    append_text(heap, out, path.get(item));
    heap.check_bytes(static_cast<int64_t>(out.size()));
  });
  return heap.string(std::move(out));
}

Value reverse(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("reverse", arguments, {});
  Heap& heap = interpreter.heap();
  if (value.is_string()) {
    std::string out;
    std::string_view text = value.text();
    while (!text.empty()) {
      size_t last = previous_utf8(text, text.size());
      out += text.substr(last);
      text = text.substr(0, last);
    }
    return heap.string(std::move(out), value.string().is_markup);
  }
  bool is_iterator = value.as<Iterator>() != nullptr;
  if (!is_iterator) return Value::of(iterate(heap, value, true));
  std::vector<Value> items = collect(heap, value);
  std::reverse(items.begin(), items.end());
  return heap.list(std::move(items));
}

// The entries of a mapping. What is no mapping fails only when it is looped over.
Value items(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("items", arguments, {});
  return make_generator(interpreter, value.depth(), [&heap = interpreter.heap(), value] {
    if (value.is_undefined()) return iterate(heap, value);
    if (!value.is_dict()) fail("items: expected a mapping, found {}", value.type_name());
    return DictView(value, DictPart::kItems).iterate(heap, false);
  });
}

// What map, select and their like go over: nothing, if the value is false, whatever it is.
OpenItems open_if_true(Interpreter& interpreter, const Value& value) {
  return [&heap = interpreter.heap(), value] {
    return iterate(heap, truth(value) ? value : heap.list({}));
  };
}

Value map(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  OpenItems open = open_if_true(interpreter, value);
  if (arguments.positional.empty() && !arguments.named.empty()) {
    auto bound = bind_arguments("map", arguments, {"attribute", "default"}, 1);
    AttributePath path(interpreter, bound[0]);
    return make_generator(
        interpreter, value.depth(), open, [path, fallback = bound[1]](Value& item) {
          item = path.get(item, fallback);
          return true;
        });
  }
  return make_generator(interpreter, value.depth(), open, [&interpreter, arguments](Value& item) {
    if (arguments.positional.empty()) fail("map needs the name of a filter or an attribute");
    const Value& name = arguments.positional[0];
    const Filter* filter = name.is_string() ? find_filter(name.text()) : nullptr;
    if (!filter) fail("unknown filter '{}'", to_text(interpreter.heap(), name));
    Arguments rest{{arguments.positional.begin() + 1, arguments.positional.end()}, arguments.named};
    item = filter->apply(interpreter, item, rest);
    return true;
  });
}

// select, reject, selectattr and rejectattr.
Value choose(Interpreter& interpreter,
             const Value& value,
             const Arguments& arguments,
             bool by_attribute,
             bool wanted) {
  auto chooses = [=, &interpreter](Value& item) {
    const auto& given = arguments.positional;
    size_t used = by_attribute ? 1 : 0;
    if (given.size() < used) fail("the name of the attribute is missing");
    Value tested = by_attribute ? AttributePath(interpreter, given[0]).get(item) : item;
    if (given.size() == used) return truth(tested) == wanted;
    const Value& name = given[used];
    const Test* test = name.is_string() ? find_test(name.text()) : nullptr;
    if (!test) fail("unknown test '{}'", to_text(interpreter.heap(), name));
    Arguments rest{{given.begin() + static_cast<ptrdiff_t>(used) + 1, given.end()},
                   arguments.named};
    return test->holds(interpreter, tested, rest) == wanted;
  };
  return make_generator(interpreter, value.depth(), open_if_true(interpreter, value), chooses);
}

Value select(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  return choose(interpreter, value, arguments, false, true);
}
Value reject(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  return choose(interpreter, value, arguments, false, false);
}
Value select_attribute(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  return choose(interpreter, value, arguments, true, true);
}
Value reject_attribute(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  return choose(interpreter, value, arguments, true, false);
}

std::vector<Value> batches_of(Heap& heap, const Value& value, int64_t size, const Value& filler) {
  std::vector<Value> batches, current;
  for_each(heap, value, [&](const Value& item) {
    if (static_cast<int64_t>(current.size()) == size) {
      batches.push_back(heap.list(std::exchange(current, {})));
    }
    current.push_back(item);
  });
  if (current.empty()) return batches;
  if (!filler.is_missing() && !filler.is_none()) {
    heap.check_items(size);
    while (static_cast<int64_t>(current.size()) < size) current.push_back(filler);
  }
  batches.push_back(heap.list(std::move(current)));
  return batches;
}

std::vector<Value> slices_of(Heap& heap, const Value& value, int64_t count, const Value& filler) {
  std::vector<Value> sequence = collect(heap, value);
  if (count == 0) fail("slice: division by zero");
  heap.check_items(count);
  std::vector<Value> slices;
  auto size = static_cast<int64_t>(sequence.size());
  int64_t begin = 0;
  for (int64_t i = 0; i < count; ++i) {
    bool has_extra = i < size % count;
    int64_t end = begin + size / count + (has_extra ? 1 : 0);
    std::vector<Value> part(sequence.begin() + begin, sequence.begin() + end);
    if (!filler.is_missing() && !filler.is_none() && !has_extra) part.push_back(filler);
    slices.push_back(heap.list(std::move(part)));
    begin = end;
  }
  return slices;
}

Value batch(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  auto bound = bind_arguments("batch", arguments, {"linecount", "fill_with"}, 1);
  return make_generator(interpreter, value.depth() + 1, [=, &heap = interpreter.heap()] {
    int64_t size = require_integer(bound[0], "batch");
    return iterate(heap, heap.list(batches_of(heap, value, size, bound[1])));
  });
}

Value slice_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  auto bound = bind_arguments("slice", arguments, {"slices", "fill_with"}, 1);
  return make_generator(interpreter, value.depth() + 1, [=, &heap = interpreter.heap()] {
    int64_t count = require_integer(bound[0], "slice");
    return iterate(heap, heap.list(slices_of(heap, value, count, bound[1])));
  });
}

Value attribute(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  Value name = bind_arguments("attr", arguments, {"name"}, 1)[0];
  if (!name.is_string()) fail("attr: the name must be text, not {}", name.type_name());
  if (value.is_undefined()) fail("{}", value.undefined_reason());
  // Unlike value.name, this never finds a key of a dict.
  bool is_key = value.is_dict() && value.dict().find(name.text()) != nullptr;
  if (is_key) return Value::undefined(name, "dict object");
  return interpreter.get_attribute(value, name);
}

constexpr Filter kFilters[] = {
    {"attr", attribute},
    {"batch", batch},
    {"count", length_filter},
    {"d", default_filter},
    {"default", default_filter},
    {"first", first},
    {"items", items},
    {"join", join},
    {"last", last},
    {"length", length_filter},
    {"list", list_filter},
    {"map", map},
    {"reject", reject},
    {"rejectattr", reject_attribute},
    {"reverse", reverse},
    {"select", select},
    {"selectattr", select_attribute},
    {"slice", slice_filter},
};

}  // namespace

std::span<const Filter> sequence_filters() {
  return kFilters;
}

}  // namespace tokamak::text::jinja
