// SPDX-License-Identifier: Apache-2.0
// Python's arithmetic, with integers of 64 bits whose overflow is an error.
#pragma once

#include <optional>
#include <vector>

#include "tokamak/text/jinja_ast.h"
#include "tokamak/text/jinja_heap.h"

namespace tokamak::text::jinja {

/// `a op b` of + - * / // % **. `%` of a string formats.
Value apply_arithmetic(Heap& heap, Operator op, const Value& a, const Value& b);
Value negate(const Value& value);
Value plus(const Value& value);
/// value[start:stop:step]; missing where left out.
Value slice(
    Heap& heap, const Value& value, const Value& start, const Value& stop, const Value& step);

/// `format % values`.
Value format_percent(Heap& heap, const Value& format, const Value& values);

int64_t add_exactly(int64_t a, int64_t b);
/// A float as an integer. Fails if it does not fit.
int64_t integer_from(double value);

}  // namespace tokamak::text::jinja
