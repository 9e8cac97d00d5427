// SPDX-License-Identifier: Apache-2.0
// One rendering of a template. Statements run in jinja_execute.cpp, expressions in
// jinja_evaluate.cpp. Not for more than one thread or one call of run().
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokamak/text/jinja_ast.h"
#include "tokamak/text/jinja_heap.h"

namespace tokamak::text::jinja {

/// The variables of one call of a function.
struct Activation {
  Activation* parent = nullptr;  ///< Of the function that encloses it.
  std::vector<Value> slots;
};

class Interpreter {
 public:
  Interpreter(const TemplateTree& tree, const TemplateLimits& limits, int64_t now_unix_s);
  ~Interpreter();
  /// The variables that the template does not set itself: the members of an object, which must
  /// outlive the interpreter.
  void set_context(const Json& context);
  std::string run();

  Heap& heap() { return heap_; }
  /// The line that is being evaluated.
  int line() const { return line_; }
  int64_t now_unix_s() const { return now_unix_s_; }

  Value get_attribute(const Value& object, const Value& name);
  Value get_item(const Value& object, const Value& key);
  Value call(const Value& callee, const Arguments& arguments);
  Value call_macro(const MacroDefinition& macro, Activation& closure, const Arguments& arguments);
  /// The body of a recursive loop over `items`, as text.
  Value render_loop(const ForStatement& node, Activation& closure, const Value& items, int depth);
  /// Whether an item passes the `if` of a loop; `frame` holds the loop's variables.
  bool passes_test(const ForStatement& node, Activation& frame, const Value& item, bool is_first);
  Namespace& make_namespace();
  /// What loop.changed() saw last, by the loop.
  std::unordered_map<const void*, Value>& last_changed() { return last_changed_; }

 private:
  enum class Flow { kNormal, kBreak, kContinue };
  class Nesting;

  // Statements.
  Flow execute(const Block& block);
  Flow execute(const Statement& statement);
  Flow execute_if(const IfStatement& node);
  Flow execute_for(const ForStatement& node);
  Flow run_loop(const ForStatement& node, const Value& items, Activation* closure, int depth);
  Flow execute_capture(const CaptureStatement& node);
  Flow execute_with(const WithStatement& node);
  void execute_set(const SetStatement& node);
  void execute_macro(const MacroStatement& node);
  void print(const Value& value);
  void print_text_only(const Value& value);
  void enter(const ScopeEntry& scope);
  void require_namespaces(const Target& target);
  void assign(const Target& target, const Value& value);
  Value& slot(Variable variable);

  // Expressions.
  Value evaluate(const Expression& node);
  Value evaluate_kind(const Expression& node);
  Value evaluate_dict(const Expression& node);
  Value evaluate_slice(const Expression& node);
  Value evaluate_call(const Expression& node, const Value* caller = nullptr);
  Value evaluate_filter(const Expression& node);
  Value evaluate_test(const Expression& node);
  Value evaluate_arithmetic(const Expression& node);
  Value evaluate_concat(const Expression& node);
  Value evaluate_compare(const Expression& node);
  Value evaluate_chain(const Expression& node, bool stops_at);
  Value evaluate_conditional(const Expression& node);
  Arguments evaluate_arguments(const CallArguments& arguments);
  std::vector<Value> evaluate_operands(const Expression& node);

  // Calls `body` in a new activation; whatever it prints is returned.
  template <typename Body>
  Value in_function(int num_slots, bool is_kept, Activation& closure, Body body);
  Value make_macro(const MacroDefinition& macro);
  Value lookup(const Value& name) const;
  Value convert(const Json& json, int depth);

  Heap context_heap_;  // Counts nothing against the limits but depth. Outlives all values.
  Heap heap_;
  const TemplateTree& tree_;
  int64_t now_unix_s_;
  int line_ = 1;
  int depth_ = 0;        // Of evaluation.
  int macro_depth_ = 0;  // Of macro calls and recursive loops.
  std::string* out_ = nullptr;
  const Value* captured_ = nullptr;  // The text that a filter or set block filters.
  Activation* frame_ = nullptr;
  std::unordered_map<std::string_view, Value> context_;
  // What values point to without owning it.
  std::vector<std::unique_ptr<Activation>> activations_;
  std::vector<std::unique_ptr<Namespace>> namespaces_;
  std::unordered_map<const void*, Value> last_changed_;
};

}  // namespace tokamak::text::jinja
