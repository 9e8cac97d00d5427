// SPDX-License-Identifier: Apache-2.0
// A parsed template. The parser builds it, resolve_names fills in where each variable lives, and
// from then on it never changes.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tokamak/text/jinja_value.h"

namespace tokamak::text::jinja {

struct Expression;
struct Filter;
struct Statement;
struct Test;
using ExpressionPtr = std::unique_ptr<Expression>;
using StatementPtr = std::unique_ptr<Statement>;
using Block = std::vector<StatementPtr>;

/// Where a variable lives: a slot of the function that runs, or of one that encloses it.
struct Variable {
  int hops = 0;  ///< How many functions further out.
  int slot = -1;
};

/// What the slots of a scope hold when it is entered.
struct ScopeEntry {
  enum class Source {
    kNothing,  ///< Unset until assigned.
    kContext,  ///< The member of that name of the context, or a global.
    kOuter,    ///< A copy of the outer variable of that name.
  };
  struct Slot {
    int slot;
    Source source;
    Value name;
    Variable outer;
  };
  std::vector<Slot> slots;
};

enum class ExpressionKind : uint8_t {
  kLiteral,      ///< value
  kName,         ///< value is the name; variable
  kList,         ///< operands
  kTuple,        ///< operands
  kDict,         ///< operands: key, value, key, value, …
  kAttribute,    ///< operands[0].value
  kItem,         ///< operands[0][operands[1]]
  kSlice,        ///< operands[0][operands[1]:operands[2]:operands[3]]; null where left out
  kCall,         ///< operands[0](arguments)
  kFilter,       ///< operands[0] | value(arguments); operands[0] is null for captured text
  kTest,         ///< operands[0] is value(arguments)
  kNot,          ///< not operands[0]
  kNegate,       ///< -operands[0]
  kPlus,         ///< +operands[0]
  kArithmetic,   ///< operands[0] operators[0] operands[1] …, from left to right
  kConcat,       ///< operands[0] ~ operands[1] ~ …
  kCompare,      ///< operands[0] operators[0] operands[1] …, each pair
  kAnd,          ///< operands[0] and operands[1] and …
  kOr,           ///< operands[0] or operands[1] or …
  kConditional,  ///< operands[1] if operands[0] else operands[2], which may be null
};

enum class Operator : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr unpacked_list, unpacked_dict;  ///< *expression, **expression
};

struct Expression {
  ExpressionKind kind;
  int line = 0;
  int depth = 1;  ///< How many expressions lie within one another.
  Value value;
  Variable variable;
  std::vector<ExpressionPtr> operands;
  std::vector<Operator> operators;
  std::unique_ptr<CallArguments> arguments;
  const Filter* filter = nullptr;  ///< Null: no filter has that name.
  const Test* test = nullptr;
};

/// What an assignment assigns to.
struct Target {
  enum class Kind : uint8_t { kName, kNamespace, kTuple };
  Kind kind = Kind::kName;
  int line = 0;
  Value name, attribute;
  Variable variable;
  std::vector<Target> items;
};

enum class StatementKind : uint8_t {
  kText,
  kOutput,
  kIf,
  kFor,
  kSet,
  kCapture,
  kMacro,
  kCallBlock,
  kGeneration,
  kWith,
  kBreak,
  kContinue,
};

struct Statement {
  Statement(StatementKind statement_kind, int statement_line)
      : kind(statement_kind), line(statement_line) {}
  virtual ~Statement() = default;
  StatementKind kind;
  int line;
};

/// Text between tags, as it is.
struct TextStatement : Statement {
  explicit TextStatement(int line) : Statement(StatementKind::kText, line) {}
  std::string text;
};

struct OutputStatement : Statement {
  explicit OutputStatement(int line) : Statement(StatementKind::kOutput, line) {}
  std::vector<ExpressionPtr> expressions;
};

struct IfStatement : Statement {
  explicit IfStatement(int line) : Statement(StatementKind::kIf, line) {}
  struct Branch {
    ExpressionPtr condition;
    Block body;
  };
  std::vector<Branch> branches;
  Block else_body;
};

struct ForStatement : Statement {
  explicit ForStatement(int line) : Statement(StatementKind::kFor, line) {}
  Target target;
  ExpressionPtr iterable;
  ExpressionPtr test;  ///< May be null.
  Target test_target;  ///< The target again, as variables of the test.
  Block body, else_body;
  bool is_recursive = false;
  bool uses_loop = false;  ///< The body names `loop`.
  int loop_slot = -1;
  ScopeEntry scope, test_scope, else_scope;
  int num_slots = 0;  ///< Of the function that a recursive loop is.
  bool has_inner_functions = false;
};

struct SetStatement : Statement {
  explicit SetStatement(int line) : Statement(StatementKind::kSet, line) {}
  Target target;
  ExpressionPtr value;
};

/// {% set x %}…{% endset %} and {% filter f %}…{% endfilter %}.
struct CaptureStatement : Statement {
  explicit CaptureStatement(int line) : Statement(StatementKind::kCapture, line) {}
  bool has_target = false;  ///< Otherwise the text is printed.
  Target target;
  ExpressionPtr filter;  ///< May be null. Its innermost operand is the captured text.
  Block body;
  ScopeEntry scope;
};

struct WithStatement : Statement {
  explicit WithStatement(int line) : Statement(StatementKind::kWith, line) {}
  std::vector<std::pair<Target, ExpressionPtr>> variables;
  Block body;
  ScopeEntry scope;
};

/// The function that a macro, a call block or a generation block is.
struct MacroDefinition {
  struct Parameter {
    Value name;
    ExpressionPtr fallback;  ///< Null: undefined if it is not passed.
    Variable variable;
  };
  Value name;  ///< None for a call block.
  std::vector<Parameter> parameters;
  Block body;
  bool uses_caller = false, uses_kwargs = false, uses_varargs = false;
  int caller_slot = -1, kwargs_slot = -1, varargs_slot = -1;
  ScopeEntry scope;
  int num_slots = 0;
  bool has_inner_functions = false;  ///< Its variables may outlive the call.
};

/// {% macro %}, {% call %} (which also has the call) and {% generation %}.
struct MacroStatement : Statement {
  using Statement::Statement;
  MacroDefinition definition;
  Variable variable;
  ExpressionPtr call;
};

struct LoopControlStatement : Statement {
  using Statement::Statement;
};

struct TemplateTree {
  Block body;
  ScopeEntry scope;
  int num_slots = 0;
};

}  // namespace tokamak::text::jinja
