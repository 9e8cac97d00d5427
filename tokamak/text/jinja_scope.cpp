// SPDX-License-Identifier: Apache-2.0
// Each scope is walked twice. The first walk (declare) notes which names the scope itself loads and
// stores, in the order of the source and without entering the scopes within it. The second
// (resolve) gives each use its slot and enters the inner scopes, which by then see all names of the
// outer one. The order of the two matters: it is what makes a loop see a variable that its outer
// scope assigns only after it.
#include "tokamak/text/jinja_scope.h"

#include <map>
#include <optional>
#include <set>

#include "tokamak/text/jinja_heap.h"

namespace tokamak::text::jinja {
namespace {

using Source = ScopeEntry::Source;

/// A function of Jinja's: the template, a macro, a call block, a recursive loop.
struct FunctionFrame {
  int num_slots = 0;
  bool has_inner_functions = false;
};

enum class Origin { kParameter, kNothing, kContext, kOuter };

struct Names {
  std::map<std::string, Origin> known;
  std::set<std::string> stored;
};

/// One change of a scope's Names, so that a branch can be taken back.
struct Change {
  std::string name;
  bool is_store;
  std::optional<Origin> before;  ///< Of a definition.
};

struct Scope {
  Scope* parent;
  FunctionFrame* function;
  Names names;
  std::map<std::string, int> slots;
  std::vector<Change> changes;

  Scope(Scope* outer, FunctionFrame* frame) : parent(outer), function(frame) {}

  Scope* find(const std::string& name) {
    for (Scope* scope = this; scope; scope = scope->parent) {
      if (scope->names.known.contains(name)) return scope;
    }
    return nullptr;
  }
  Scope* find_outer(const std::string& name) { return parent ? parent->find(name) : nullptr; }

  void define(const std::string& name, Origin origin) {
    auto [place, is_new] = names.known.try_emplace(name, origin);
    changes.push_back({name, false, is_new ? std::nullopt : std::optional(place->second)});
    place->second = origin;
    if (slots.emplace(name, function->num_slots).second) ++function->num_slots;
  }
  void note_store(const std::string& name) {
    if (names.stored.insert(name).second) changes.push_back({name, true, {}});
  }
  void load(const std::string& name) {
    if (!find(name)) define(name, Origin::kContext);
  }
  void store(const std::string& name) {
    note_store(name);
    if (names.known.contains(name)) return;
    define(name, find_outer(name) ? Origin::kOuter : Origin::kNothing);
  }
  int declare_parameter(const std::string& name) {
    note_store(name);
    define(name, Origin::kParameter);
    return slots.at(name);
  }
};

// ---- declare: what a scope mentions

void declare(Scope& scope, const Expression* node);

void declare(Scope& scope, const CallArguments* arguments) {
  if (!arguments) return;
  for (const auto& argument : arguments->positional) declare(scope, argument.get());
  for (const auto& [name, argument] : arguments->named) declare(scope, argument.get());
  declare(scope, arguments->unpacked_list.get());
  declare(scope, arguments->unpacked_dict.get());
}

void declare(Scope& scope, const Expression* node) {
  if (!node) return;
  if (node->kind == ExpressionKind::kName) scope.load(node->value.text());
  for (const auto& operand : node->operands) declare(scope, operand.get());
  declare(scope, node->arguments.get());
}

void declare(Scope& scope, const Target& target) {
  if (target.kind == Target::Kind::kName) scope.store(target.name.text());
  if (target.kind == Target::Kind::kNamespace) scope.load(target.name.text());
  for (const Target& item : target.items) declare(scope, item);
}

void declare_parameters(Scope& scope, const Target& target) {
  if (target.kind == Target::Kind::kName) scope.declare_parameter(target.name.text());
  for (const Target& item : target.items) declare_parameters(scope, item);
}

void declare(Scope& scope, const Block& block);

// Declares a branch, takes its changes back and returns them.
template <typename Declare>
Names declare_branch(Scope& scope, Declare declare_body) {
  size_t begin = scope.changes.size();
  declare_body();
  Names branch;
  for (; scope.changes.size() > begin; scope.changes.pop_back()) {
    const auto& [name, is_store, before] = scope.changes.back();
    if (is_store) {
      branch.stored.insert(name);
      scope.names.stored.erase(name);
      continue;
    }
    auto place = scope.names.known.find(name);
    branch.known.emplace(name, place->second);  // The first seen is the last that was made.
    if (before) {
      place->second = *before;
    } else {
      scope.names.known.erase(place);
    }
  }
  return branch;
}

// What only some branches assign is, in the others, the outer variable or the context's member.
void merge_branches(Scope& scope, const std::vector<Names>& branches) {
  std::set<std::string> assigned;
  for (const Names& branch : branches) {
    for (const std::string& name : branch.stored) {
      if (!scope.names.stored.contains(name)) assigned.insert(name);
    }
  }
  for (const Names& branch : branches) {
    for (const auto& [name, origin] : branch.known) scope.define(name, origin);
    for (const std::string& name : branch.stored) scope.note_store(name);
  }
  for (const std::string& name : assigned) {
    scope.define(name, scope.find_outer(name) ? Origin::kOuter : Origin::kContext);
  }
}

void declare(Scope& scope, const IfStatement& node) {
  declare(scope, node.branches[0].condition.get());
  Names first = declare_branch(scope, [&] { declare(scope, node.branches[0].body); });
  Names others = declare_branch(scope, [&] {
    for (size_t i = 1; i < node.branches.size(); ++i) {
      declare(scope, node.branches[i].condition.get());
      Names branch = declare_branch(scope, [&] { declare(scope, node.branches[i].body); });
      merge_branches(scope, {branch});
    }
  });
  Names last = declare_branch(scope, [&] { declare(scope, node.else_body); });
  merge_branches(scope, {first, others, last});
}

void declare(Scope& scope, const Statement& statement) {
  switch (statement.kind) {
    case StatementKind::kOutput:
      for (const auto& e : static_cast<const OutputStatement&>(statement).expressions) {
        declare(scope, e.get());
      }
      break;
    case StatementKind::kIf:
      return declare(scope, static_cast<const IfStatement&>(statement));
    case StatementKind::kFor:
      return declare(scope, static_cast<const ForStatement&>(statement).iterable.get());
    case StatementKind::kSet: {
      const auto& node = static_cast<const SetStatement&>(statement);
      declare(scope, node.value.get());
      return declare(scope, node.target);
    }
    case StatementKind::kCapture: {
      const auto& node = static_cast<const CaptureStatement&>(statement);
      return node.has_target ? declare(scope, node.target) : declare(scope, node.filter.get());
    }
    case StatementKind::kMacro:
      return scope.store(static_cast<const MacroStatement&>(statement).definition.name.text());
    case StatementKind::kCallBlock:
      return declare(scope, static_cast<const MacroStatement&>(statement).call.get());
    case StatementKind::kWith:
      for (const auto& [target, value] : static_cast<const WithStatement&>(statement).variables) {
        declare(scope, value.get());
      }
      break;
    default:
      break;
  }
}

void declare(Scope& scope, const Block& block) {
  for (const auto& statement : block) declare(scope, *statement);
}

// ---- resolve: slots for all uses

Variable variable_of(Scope& scope, const std::string& name) {
  Variable variable;
  FunctionFrame* function = scope.function;
  for (Scope* at = &scope; at; at = at->parent) {
    if (at->function != function) {
      ++variable.hops;
      function = at->function;
    }
    if (!at->names.known.contains(name)) continue;
    variable.slot = at->slots.at(name);
    return variable;
  }
  TKM_CHECK(false, "variable '{}' was never declared", name);
  return variable;
}

ScopeEntry entry_of(Scope& scope) {
  ScopeEntry entry;
  for (const auto& [name, origin] : scope.names.known) {
    if (origin == Origin::kParameter) continue;
    ScopeEntry::Slot slot{scope.slots.at(name), Source::kNothing, Value::constant(name), {}};
    if (origin == Origin::kContext) slot.source = Source::kContext;
    if (origin == Origin::kOuter) {
      slot.source = Source::kOuter;
      slot.outer = variable_of(*scope.parent, name);
      if (scope.parent->function != scope.function) ++slot.outer.hops;
    }
    entry.slots.push_back(std::move(slot));
  }
  return entry;
}

void resolve(Scope& scope, Expression* node);

void resolve(Scope& scope, CallArguments* arguments) {
  if (!arguments) return;
  for (auto& argument : arguments->positional) resolve(scope, argument.get());
  for (auto& [name, argument] : arguments->named) resolve(scope, argument.get());
  resolve(scope, arguments->unpacked_list.get());
  resolve(scope, arguments->unpacked_dict.get());
}

void resolve(Scope& scope, Expression* node) {
  if (!node) return;
  if (node->kind == ExpressionKind::kName) {
    node->variable = variable_of(scope, node->value.text());
  }
  for (auto& operand : node->operands) resolve(scope, operand.get());
  resolve(scope, node->arguments.get());
}

void resolve(Scope& scope, Target& target) {
  if (target.kind != Target::Kind::kTuple) {
    target.variable = variable_of(scope, target.name.text());
  }
  for (Target& item : target.items) resolve(scope, item);
}

void resolve(Scope& scope, Block& block);

void resolve(Scope& scope, ForStatement& node) {
  resolve(scope, node.iterable.get());
  FunctionFrame own_function;
  FunctionFrame* function = node.is_recursive ? &own_function : scope.function;
  if (node.is_recursive) scope.function->has_inner_functions = true;

  Scope body(&scope, function);
  if (node.uses_loop || node.is_recursive) node.loop_slot = body.declare_parameter("loop");
  declare_parameters(body, node.target);
  declare(body, node.body);
  node.scope = entry_of(body);
  resolve(body, node.target);
  resolve(body, node.body);

  if (node.test) {
    Scope test(&scope, function);
    declare_parameters(test, node.test_target);
    declare(test, node.test.get());
    node.test_scope = entry_of(test);
    resolve(test, node.test_target);
    resolve(test, node.test.get());
  }
  Scope otherwise(&scope, function);
  declare(otherwise, node.else_body);
  node.else_scope = entry_of(otherwise);
  resolve(otherwise, node.else_body);
  node.num_slots = own_function.num_slots;
  node.has_inner_functions = own_function.has_inner_functions;
}

void resolve(Scope& scope, CaptureStatement& node) {
  Scope body(&scope, scope.function);
  if (node.has_target) {
    resolve(scope, node.target);
  }
  declare(body, node.filter.get());
  declare(body, node.body);
  node.scope = entry_of(body);
  resolve(body, node.filter.get());
  resolve(body, node.body);
}

void resolve(Scope& scope, WithStatement& node) {
  Scope body(&scope, scope.function);
  for (const auto& [target, value] : node.variables) declare_parameters(body, target);
  declare(body, node.body);
  node.scope = entry_of(body);
  for (auto& [target, value] : node.variables) {
    resolve(scope, value.get());
    resolve(body, target);
  }
  resolve(body, node.body);
}

void resolve(Scope& scope, MacroDefinition& macro) {
  scope.function->has_inner_functions = true;
  FunctionFrame function;
  Scope body(&scope, &function);
  for (const auto& parameter : macro.parameters) body.declare_parameter(parameter.name.text());
  auto declare_special = [&](bool is_used, const char* name) {
    if (!is_used || body.names.known.contains(name)) return -1;
    return body.declare_parameter(name);
  };
  macro.caller_slot = declare_special(macro.uses_caller, "caller");
  macro.kwargs_slot = declare_special(macro.uses_kwargs, "kwargs");
  macro.varargs_slot = declare_special(macro.uses_varargs, "varargs");
  for (const auto& parameter : macro.parameters) declare(body, parameter.fallback.get());
  declare(body, macro.body);
  macro.scope = entry_of(body);
  for (auto& parameter : macro.parameters) {
    parameter.variable = variable_of(body, parameter.name.text());
    resolve(body, parameter.fallback.get());
  }
  resolve(body, macro.body);
  macro.num_slots = function.num_slots;
  macro.has_inner_functions = function.has_inner_functions;
}

void resolve(Scope& scope, MacroStatement& node) {
  if (node.kind == StatementKind::kMacro) {
    node.variable = variable_of(scope, node.definition.name.text());
  }
  resolve(scope, node.call.get());
  resolve(scope, node.definition);
}

void resolve(Scope& scope, Statement& statement) {
  switch (statement.kind) {
    case StatementKind::kOutput:
      for (auto& e : static_cast<OutputStatement&>(statement).expressions) resolve(scope, e.get());
      break;
    case StatementKind::kIf: {
      auto& node = static_cast<IfStatement&>(statement);
      for (auto& branch : node.branches) {
        resolve(scope, branch.condition.get());
        resolve(scope, branch.body);
      }
      resolve(scope, node.else_body);
      break;
    }
    case StatementKind::kFor:
      return resolve(scope, static_cast<ForStatement&>(statement));
    case StatementKind::kSet: {
      auto& node = static_cast<SetStatement&>(statement);
      resolve(scope, node.value.get());
      return resolve(scope, node.target);
    }
    case StatementKind::kCapture:
      return resolve(scope, static_cast<CaptureStatement&>(statement));
    case StatementKind::kMacro:
    case StatementKind::kCallBlock:
    case StatementKind::kGeneration:
      return resolve(scope, static_cast<MacroStatement&>(statement));
    case StatementKind::kWith:
      return resolve(scope, static_cast<WithStatement&>(statement));
    default:
      break;
  }
}

void resolve(Scope& scope, Block& block) {
  for (auto& statement : block) resolve(scope, *statement);
}

}  // namespace

void resolve_names(TemplateTree& tree) {
  FunctionFrame function;
  Scope root(nullptr, &function);
  declare(root, tree.body);
  tree.scope = entry_of(root);
  resolve(root, tree.body);
  tree.num_slots = function.num_slots;
}

}  // namespace tokamak::text::jinja
