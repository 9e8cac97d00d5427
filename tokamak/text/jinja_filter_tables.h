// SPDX-License-Identifier: Apache-2.0
// What the files of filters share.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "tokamak/text/jinja_filters.h"
#include "tokamak/text/jinja_interpreter.h"

namespace tokamak::text::jinja {

std::span<const Filter> text_filters();
std::span<const Filter> number_filters();
std::span<const Filter> sequence_filters();
std::span<const Filter> sort_filters();

/// An attribute path such as "function.name" or "0.id" that is looked up in items.
class AttributePath {
 public:
  /// None or missing: the item itself.
  AttributePath(Interpreter& interpreter, const Value& attribute);
  /// `fallback`, unless missing or none, stands for what is undefined on the way.
  Value get(const Value& item, const Value& fallback = {}) const;

 private:
  Interpreter& interpreter_;
  std::vector<Value> parts_;
};

/// A string in lower case; any other value as it is.
Value ignore_case(Interpreter& interpreter, const Value& value);

/// Opens what a generator goes over, when its first item is asked for.
using OpenItems = std::function<std::shared_ptr<Iterator>()>;

/// A generator: step(item) may replace the item, and tells whether to yield it. Mistakes in either
/// function show when the generator is used, as in Python. `depth` is that of the source.
Value make_generator(Interpreter& interpreter,
                     int depth,
                     OpenItems open,
                     std::function<bool(Value&)> step = {});

int64_t require_integer(const Value& value, std::string_view filter);

}  // namespace tokamak::text::jinja
