// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_compare.h"
#include "tokamak/text/jinja_filters.h"
#include "tokamak/text/jinja_interpreter.h"
#include "tokamak/text/jinja_loop.h"
#include "tokamak/text/jinja_macro.h"
#include "tokamak/text/jinja_nesting.h"
#include "tokamak/text/jinja_print.h"

namespace tokamak::text::jinja {

Value& Interpreter::slot(Variable variable) {
  Activation* activation = frame_;
  for (int i = 0; i < variable.hops; ++i) activation = activation->parent;
  return activation->slots[static_cast<size_t>(variable.slot)];
}

void Interpreter::enter(const ScopeEntry& scope) {
  for (const auto& entry : scope.slots) {
    heap_.step();
    Value& place = frame_->slots[static_cast<size_t>(entry.slot)];
    switch (entry.source) {
      case ScopeEntry::Source::kNothing:
        place = Value();
        break;
      case ScopeEntry::Source::kContext:
        place = lookup(entry.name);
        break;
      case ScopeEntry::Source::kOuter:
        place = slot(entry.outer);
        break;
    }
  }
}

void Interpreter::print(const Value& value) {
  append_text(heap_, *out_, value);
  heap_.check_bytes(static_cast<int64_t>(out_->size()));
}

// What call and filter blocks yield is joined to the text around them without a conversion.
void Interpreter::print_text_only(const Value& value) {
  if (!value.is_string()) fail("the block yields {}, not text", value.type_name());
  print(value);
}

Interpreter::Flow Interpreter::execute(const Block& block) {
  for (const auto& statement : block) {
    Flow flow = execute(*statement);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::execute(const Statement& statement) {
  heap_.step();
  line_ = statement.line;
  if (statement.kind == StatementKind::kText) {
    const auto& text = static_cast<const TextStatement&>(statement).text;
    heap_.step_bytes(text.size());
    heap_.check_bytes(static_cast<int64_t>(out_->size() + text.size()));
    *out_ += text;
    return Flow::kNormal;
  }
  Nesting nesting(*this);
  switch (statement.kind) {
    case StatementKind::kOutput:
      for (const auto& e : static_cast<const OutputStatement&>(statement).expressions) {
        print(evaluate(*e));
      }
      break;
    case StatementKind::kIf:
      return execute_if(static_cast<const IfStatement&>(statement));
    case StatementKind::kFor:
      return execute_for(static_cast<const ForStatement&>(statement));
    case StatementKind::kSet:
      execute_set(static_cast<const SetStatement&>(statement));
      break;
    case StatementKind::kCapture:
      return execute_capture(static_cast<const CaptureStatement&>(statement));
    case StatementKind::kWith:
      return execute_with(static_cast<const WithStatement&>(statement));
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
    default:
      execute_macro(static_cast<const MacroStatement&>(statement));
      break;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::execute_if(const IfStatement& node) {
  for (const auto& branch : node.branches) {
    if (truth(evaluate(*branch.condition))) return execute(branch.body);
  }
  return execute(node.else_body);
}

Interpreter::Flow Interpreter::execute_for(const ForStatement& node) {
  Value items = evaluate(*node.iterable);
  if (!node.is_recursive) return run_loop(node, items, nullptr, 0);
  print(render_loop(node, *frame_, items, 0));
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run_loop(const ForStatement& node,
                                        const Value& items,
                                        Activation* closure,
                                        int depth) {
  std::shared_ptr<Iterator> iterator = iterate(heap_, items);
  if (node.test) {
    iterator = heap_.make<TestedItems>(iterator->depth() + 1, *this, node, *frame_, iterator);
  }
  std::shared_ptr<Loop> loop;
  if (node.loop_slot >= 0) {
    loop = heap_.make<Loop>(iterator->depth(), *this, node, items, iterator, closure, depth);
    last_changed_.erase(loop.get());
  }
  // `else` runs if no turn got to the end of the body, so that `break` in the first turn runs it.
  bool runs_else = true;
  Flow flow = Flow::kNormal;
  for (Value item; loop ? loop->next(item) : iterator->next(item);) {
    heap_.step();
    assign(node.target, item);
    if (loop) frame_->slots[static_cast<size_t>(node.loop_slot)] = Value::of(loop);
    enter(node.scope);
    flow = execute(node.body);
    if (flow == Flow::kBreak) break;
    if (flow == Flow::kNormal) runs_else = false;
  }
  if (loop) {
    loop->finish();
    frame_->slots[static_cast<size_t>(node.loop_slot)] = Value();
  }
  if (!runs_else || node.else_body.empty()) return Flow::kNormal;
  enter(node.else_scope);
  return execute(node.else_body);
}

bool Interpreter::passes_test(const ForStatement& node,
                              Activation& frame,
                              const Value& item,
                              bool is_first) {
  Temporarily in_frame(frame_, &frame);
  if (is_first) enter(node.test_scope);
  assign(node.test_target, item);
  return truth(evaluate(*node.test));
}

template <typename Body>
Value Interpreter::in_function(int num_slots, bool is_kept, Activation& closure, Body body) {
  int max_depth = heap_.limits().max_depth;
  if (macro_depth_ >= max_depth) {
    fail("macro calls are nested deeper than max_depth = {}", max_depth);
  }
  heap_.step(num_slots);
  Activation local;
  Activation* activation = &local;
  if (is_kept) {
    heap_.keep(static_cast<int64_t>(sizeof(Activation) + sizeof(Value) * num_slots));
    activations_.push_back(std::make_unique<Activation>());
    activation = activations_.back().get();
  }
  activation->parent = &closure;
  activation->slots.resize(static_cast<size_t>(num_slots));
  std::string text;
  int line = line_;
  {
    Temporarily depth(macro_depth_, macro_depth_ + 1);
    Temporarily in_frame(frame_, activation);
    Temporarily to(out_, &text);
    body();
  }
  line_ = line;
  return heap_.string(std::move(text));
}

Value Interpreter::render_loop(const ForStatement& node,
                               Activation& closure,
                               const Value& items,
                               int depth) {
  return in_function(node.num_slots, node.has_inner_functions, closure, [&] {
    run_loop(node, items, &closure, depth);
  });
}

Value Interpreter::call_macro(const MacroDefinition& macro,
                              Activation& closure,
                              const Arguments& arguments) {
  BoundMacroArguments bound = bind_macro_arguments(heap_, macro, arguments);
  return in_function(macro.num_slots, macro.has_inner_functions, closure, [&] {
    auto place = [&](int at) -> Value& { return frame_->slots[static_cast<size_t>(at)]; };
    for (size_t i = 0; i < macro.parameters.size(); ++i) {
      place(macro.parameters[i].variable.slot) = std::move(bound.values[i]);
    }
    if (macro.caller_slot >= 0) place(macro.caller_slot) = std::move(bound.caller);
    if (macro.kwargs_slot >= 0) place(macro.kwargs_slot) = std::move(bound.kwargs);
    if (macro.varargs_slot >= 0) place(macro.varargs_slot) = std::move(bound.varargs);
    enter(macro.scope);
    for (const auto& parameter : macro.parameters) {
      if (!place(parameter.variable.slot).is_missing()) continue;
      place(parameter.variable.slot) =
          parameter.fallback ? evaluate(*parameter.fallback)
                             : Value::undefined_because(fmt::format(
                                   "parameter '{}' was not provided", parameter.name.text()));
    }
    execute(macro.body);
  });
}

Value Interpreter::make_macro(const MacroDefinition& macro) {
  return Value::of(heap_.make<Macro>(1, macro, *frame_));
}

void Interpreter::execute_macro(const MacroStatement& node) {
  Value macro = make_macro(node.definition);
  switch (node.kind) {
    case StatementKind::kMacro:
      slot(node.variable) = std::move(macro);
      break;
    case StatementKind::kCallBlock:
      print_text_only(evaluate_call(*node.call, &macro));
      break;
    default:  // A generation block prints its body; that it is a function keeps its variables in.
      print(call_macro(node.definition, *frame_, {}));
      break;
  }
}

void Interpreter::execute_set(const SetStatement& node) {
  require_namespaces(node.target);
  Value value = evaluate(*node.value);
  line_ = node.line;
  assign(node.target, value);
}

void Interpreter::require_namespaces(const Target& target) {
  if (target.kind == Target::Kind::kNamespace && !slot(target.variable).as<NamespaceHandle>()) {
    fail("'{}' is not a namespace, its attributes cannot be assigned", target.name.text());
  }
  for (const Target& item : target.items) require_namespaces(item);
}

void Interpreter::assign(const Target& target, const Value& value) {
  switch (target.kind) {
    case Target::Kind::kName:
      slot(target.variable) = value;
      return;
    case Target::Kind::kNamespace: {
      Namespace& ns = slot(target.variable).as<NamespaceHandle>()->target();
      size_t count = ns.attributes.size();
      heap_.step(static_cast<int64_t>(count));
      ns.set(target.attribute, value);
      if (ns.attributes.size() > count) heap_.keep(2 * sizeof(Value));
      return;
    }
    case Target::Kind::kTuple:
      break;
  }
  std::vector<Value> items;
  for_each(heap_, value, [&](Value& item) {
    if (items.size() == target.items.size()) {
      fail("too many values to unpack, expected {}", target.items.size());
    }
    items.push_back(std::move(item));
  });
  if (items.size() < target.items.size()) {
    fail("too few values to unpack: expected {}, got {}", target.items.size(), items.size());
  }
  for (size_t i = 0; i < items.size(); ++i) assign(target.items[i], items[i]);
}

Interpreter::Flow Interpreter::execute_capture(const CaptureStatement& node) {
  std::string text;
  enter(node.scope);
  {
    Temporarily to(out_, &text);
    Flow flow = execute(node.body);
    if (flow != Flow::kNormal) return flow;  // The text so far is lost.
  }
  if (node.has_target) require_namespaces(node.target);
  Value value = heap_.string(std::move(text));
  if (node.filter) {
    Temporarily captured(captured_, static_cast<const Value*>(&value));
    Value filtered = evaluate(*node.filter);
    value = std::move(filtered);
  }
  line_ = node.line;
  node.has_target ? assign(node.target, value) : print_text_only(value);
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::execute_with(const WithStatement& node) {
  enter(node.scope);
  for (const auto& [target, value] : node.variables) assign(target, evaluate(*value));
  return execute(node.body);
}

}  // namespace tokamak::text::jinja
