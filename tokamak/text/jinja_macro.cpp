// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_macro.h"

#include <algorithm>

#include "tokamak/text/jinja_print.h"

namespace tokamak::text::jinja {
namespace {

std::string name_of(const MacroDefinition& macro) {
  return macro.name.is_string() ? fmt::format("macro '{}'", macro.name.text()) : "the call block";
}

Value take(NamedValues& named, std::string_view name) {
  auto found =
      std::find_if(named.begin(), named.end(), [&](const auto& n) { return n.first == name; });
  if (found == named.end()) return {};
  Value value = std::move(found->second);
  named.erase(found);
  return value;
}

}  // namespace

void Macro::append_repr(Heap& heap, std::string& out, int depth) const {
  out += "<Macro ";
  if (definition_.name.is_none()) {
    out += "anonymous";
  } else {
    jinja::append_repr(heap, out, definition_.name, depth);
  }
  out += '>';
}

Value Macro::attribute(Interpreter& interpreter, const Value& name) const {
  if (name.text() == "name") return definition_.name;
  if (name.text() == "caller") return Value::boolean(definition_.uses_caller);
  if (name.text() == "catch_kwargs") return Value::boolean(definition_.uses_kwargs);
  if (name.text() == "catch_varargs") return Value::boolean(definition_.uses_varargs);
  if (name.text() != "arguments") return {};
  std::vector<Value> names;
  for (const auto& parameter : definition_.parameters) names.push_back(parameter.name);
  return interpreter.heap().tuple(std::move(names));
}

BoundMacroArguments bind_macro_arguments(Heap& heap,
                                         const MacroDefinition& macro,
                                         const Arguments& arguments) {
  BoundMacroArguments bound;
  NamedValues named = arguments.named;
  const auto& positional = arguments.positional;
  heap.step(static_cast<int64_t>(positional.size() + named.size() * macro.parameters.size()));
  bool has_caller_parameter = false;
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const std::string& name = macro.parameters[i].name.text();
    has_caller_parameter |= name == "caller";
    bound.values.push_back(i < positional.size() ? positional[i] : take(named, name));
  }
  if (macro.uses_caller && !has_caller_parameter) {
    bound.caller = take(named, "caller");
    if (bound.caller.is_missing() || bound.caller.is_none()) {
      bound.caller = Value::undefined_because("there is no caller: not called by a call block");
    }
  }
  if (macro.uses_kwargs) {
    auto dict = std::make_shared<Dict>();
    for (auto& [name, value] : named) dict->set(heap, heap.string(name), std::move(value));
    bound.kwargs = heap.dict(std::move(dict));
  } else if (!named.empty()) {
    fail("{} takes no keyword argument '{}'", name_of(macro), named[0].first);
  }
  size_t taken = std::min(positional.size(), macro.parameters.size());
  if (macro.uses_varargs) {
    bound.varargs =
        heap.tuple({positional.begin() + static_cast<ptrdiff_t>(taken), positional.end()});
  } else if (positional.size() > taken) {
    fail("{} takes at most {} arguments, {} were given",
         name_of(macro),
         macro.parameters.size(),
         positional.size());
  }
  return bound;
}

}  // namespace tokamak::text::jinja
