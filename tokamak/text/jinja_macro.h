// SPDX-License-Identifier: Apache-2.0
// Macros as values, and how their arguments find their parameters.
#pragma once

#include <vector>

#include "tokamak/text/jinja_interpreter.h"

namespace tokamak::text::jinja {

/// A macro with the variables around it. The interpreter keeps both.
class Macro : public Object {
 public:
  Macro(const MacroDefinition& definition, Activation& closure)
      : definition_(definition), closure_(closure) {}
  std::string_view type_name() const override { return "Macro"; }
  void append_repr(Heap& heap, std::string& out, int depth) const override;
  Value attribute(Interpreter& interpreter, const Value& name) const override;
  bool is_callable() const override { return true; }
  Value call(Interpreter& interpreter, const Arguments& arguments) override {
    return interpreter.call_macro(definition_, closure_, arguments);
  }

 private:
  const MacroDefinition& definition_;
  Activation& closure_;
};

struct BoundMacroArguments {
  std::vector<Value> values;  ///< One a parameter, missing where nothing was passed.
  Value caller, kwargs, varargs;
};

/// Fails on arguments that the macro does not take.
BoundMacroArguments bind_macro_arguments(Heap& heap,
                                         const MacroDefinition& macro,
                                         const Arguments& arguments);

}  // namespace tokamak::text::jinja
