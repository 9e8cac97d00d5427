// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_globals.h"

#include <ctime>
#include <memory>

#include "tokamak/text/jinja_compare.h"
#include "tokamak/text/jinja_interpreter.h"
#include "tokamak/text/jinja_print.h"

namespace tokamak::text::jinja {
namespace {

// Jinja's sandbox refuses longer ranges.
constexpr int64_t kMaxRange = 100'000;

Value make_range(Interpreter& interpreter, const Value&, const Arguments& arguments) {
  const auto& given = arguments.positional;
  if (!arguments.named.empty() || given.empty() || given.size() > 3) {
    fail("range() takes one to three positional arguments");
  }
  for (const Value& argument : given) {
    if (!argument.is_integer()) fail("range() needs integers, not {}", argument.type_name());
  }
  int64_t start = given.size() > 1 ? given[0].as_integer() : 0;
  int64_t stop = given[given.size() > 1 ? 1 : 0].as_integer();
  int64_t step = given.size() > 2 ? given[2].as_integer() : 1;
  if (step == 0) fail("the step of range() must not be zero");
  int64_t count = 0;
  if (step > 0 ? start < stop : start > stop) {
    auto span = step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                         : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
    uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : ~static_cast<uint64_t>(step) + 1;
    uint64_t wide_count = (span - 1) / stride + 1;
    if (wide_count > static_cast<uint64_t>(kMaxRange)) {
      fail("a range of {} elements is longer than {}", wide_count, kMaxRange);
    }
    count = static_cast<int64_t>(wide_count);
  }
  return Value::of(interpreter.heap().make<Range>(0, start, stop, step, count));
}

// dict(other, **named), which namespace() takes, too.
std::shared_ptr<Dict> dict_of(Heap& heap, std::string_view function, const Arguments& arguments) {
  auto dict = std::make_shared<Dict>();
  if (arguments.positional.size() > 1) fail("{}() takes at most one positional argument", function);
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is_dict()) {
      for (const auto& [key, value] : source.dict().entries()) dict->set(heap, key, value);
    } else {
      for_each(heap, source, [&](const Value& item) {
        std::vector<Value> pair = collect(heap, item);
        if (pair.size() != 2) fail("{}() needs pairs of key and value", function);
        dict->set(heap, pair[0], pair[1]);
      });
    }
  }
  for (const auto& [name, value] : arguments.named) {
    heap.check_items(static_cast<int64_t>(dict->entries().size()));
    dict->set(heap, heap.string(name), value);
  }
  return dict;
}

Value make_dict(Interpreter& interpreter, const Value&, const Arguments& arguments) {
  return interpreter.heap().dict(dict_of(interpreter.heap(), "dict", arguments));
}

Value make_namespace(Interpreter& interpreter, const Value&, const Arguments& arguments) {
  Heap& heap = interpreter.heap();
  auto attributes = dict_of(heap, "namespace", arguments);
  Namespace& ns = interpreter.make_namespace();
  heap.keep(2 * int64_t{sizeof(Value)} * static_cast<int64_t>(attributes->entries().size()));
  ns.attributes = attributes->entries();
  return Value::of(heap.make<NamespaceHandle>(0, ns));
}

class Cycler : public Object, public std::enable_shared_from_this<Cycler> {
 public:
  explicit Cycler(std::vector<Value> items) : items_(std::move(items)) {}
  std::string_view type_name() const override { return "Cycler"; }
  Value attribute(Interpreter& interpreter, const Value& name) const override;
  const Value& current() const { return items_[at_]; }
  Value next() {
    Value value = current();
    at_ = (at_ + 1) % items_.size();
    return value;
  }
  void reset() { at_ = 0; }

 private:
  std::vector<Value> items_;
  size_t at_ = 0;
};

Value Cycler::attribute(Interpreter& interpreter, const Value& name) const {
  if (name.text() == "current") return current();
  auto bind = [&](Function::Body body) {
    Value self = Value::of(std::const_pointer_cast<Cycler>(shared_from_this()));
    return Value::of(interpreter.heap().make<Function>(depth() + 1, "cycler", body, self));
  };
  if (name.text() == "next") {
    return bind([](Interpreter&, const Value& self, const Arguments& arguments) {
      bind_arguments("next", arguments, {});
      return self.as<Cycler>()->next();
    });
  }
  if (name.text() == "reset") {
    return bind([](Interpreter&, const Value& self, const Arguments& arguments) {
      bind_arguments("reset", arguments, {});
      self.as<Cycler>()->reset();
      return Value::none();
    });
  }
  return {};
}

Value make_cycler(Interpreter& interpreter, const Value&, const Arguments& arguments) {
  if (arguments.positional.empty()) fail("cycler() needs at least one item");
  if (!arguments.named.empty()) fail("cycler() takes no keyword arguments");
  Heap& heap = interpreter.heap();
  Value items = heap.tuple(arguments.positional);
  return Value::of(heap.make<Cycler>(items.depth() + 1, arguments.positional));
}

/// Empty text at the first call, the separator at all others.
class Joiner : public Object {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) {}
  std::string_view type_name() const override { return "Joiner"; }
  Value attribute(Interpreter&, const Value& name) const override {
    if (name.text() == "sep") return separator_;
    return name.text() == "used" ? Value::boolean(is_used_) : Value();
  }
  bool is_callable() const override { return true; }
  Value call(Interpreter& interpreter, const Arguments& arguments) override {
    bind_arguments("joiner", arguments, {});
    return std::exchange(is_used_, true) ? separator_ : interpreter.heap().string("");
  }

 private:
  Value separator_;
  bool is_used_ = false;
};

Value make_joiner(Interpreter& interpreter, const Value&, const Arguments& arguments) {
  Heap& heap = interpreter.heap();
  Value separator = bind_arguments("joiner", arguments, {"sep"})[0];
  if (separator.is_missing()) separator = heap.string(", ");
  return Value::of(heap.make<Joiner>(separator.depth() + 1, separator));
}

Value raise_exception(Interpreter& interpreter, const Value&, const Arguments& arguments) {
  Value message = bind_arguments("raise_exception", arguments, {"message"}, 1)[0];
  fail("{}", to_text(interpreter.heap(), message));
}

Value format_time(Interpreter& interpreter, const Value&, const Arguments& arguments) {
  Value format = bind_arguments("strftime_now", arguments, {"format"}, 1)[0];
  if (!format.is_string()) fail("strftime_now() needs a string, not {}", format.type_name());
  // Python resolves %f (microseconds) itself; the space at the end tells an empty result
  // from a small buffer.
  std::string pattern;
  const std::string& text = format.text();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 1 < text.size()) {
      ++i;
      pattern += text[i] == 'f' ? "000000" : std::string{'%', text[i]};
    } else {
      pattern += text[i];
    }
  }
  pattern += ' ';
  auto now = static_cast<std::time_t>(interpreter.now_unix_s());
  std::tm utc{};
  gmtime_r(&now, &utc);
  Heap& heap = interpreter.heap();
  // Enough for all directives; a width such as %1000000d is refused.
  size_t capacity = pattern.size() * 32 + 256;
  heap.check_bytes(static_cast<int64_t>(capacity));
  std::string out(capacity, '\0');
  size_t size = std::strftime(out.data(), out.size(), pattern.c_str(), &utc);
  if (size == 0) fail("strftime_now() cannot use the format '{}'", text);
  out.resize(size - 1);
  return heap.string(std::move(out));
}

struct Global {
  std::string_view name;
  Function::Body body;
};

constexpr Global kGlobals[] = {
    {"cycler", make_cycler},
    {"dict", make_dict},
    {"joiner", make_joiner},
    {"namespace", make_namespace},
    {"raise_exception", raise_exception},
    {"range", make_range},
    {"strftime_now", format_time},
};

}  // namespace

Value find_global(std::string_view name) {
  for (const Global& global : kGlobals) {
    if (global.name == name) {
      return Value::of(std::make_shared<Function>(global.name, global.body));
    }
  }
  return {};
}

}  // namespace tokamak::text::jinja
