// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/jinja_compare.h"
#include "tokamak/text/jinja_filters.h"
#include "tokamak/text/jinja_interpreter.h"
#include "tokamak/text/jinja_methods.h"
#include "tokamak/text/jinja_nesting.h"
#include "tokamak/text/jinja_operators.h"
#include "tokamak/text/jinja_print.h"

namespace tokamak::text::jinja {

Value Interpreter::evaluate(const Expression& node) {
  heap_.step();
  line_ = node.line;
  if (node.kind == ExpressionKind::kLiteral) return node.value;
  if (node.kind == ExpressionKind::kName) {
    const Value& value = slot(node.variable);
    return value.is_missing() ? Value::undefined(node.value) : value;
  }
  Nesting nesting(*this);
  return evaluate_kind(node);
}

Value Interpreter::evaluate_kind(const Expression& node) {
  switch (node.kind) {
    case ExpressionKind::kList:
      return heap_.list(evaluate_operands(node));
    case ExpressionKind::kTuple:
      return heap_.tuple(evaluate_operands(node));
    case ExpressionKind::kDict:
      return evaluate_dict(node);
    case ExpressionKind::kAttribute:
      return get_attribute(evaluate(*node.operands[0]), node.value);
    case ExpressionKind::kItem: {
      Value object = evaluate(*node.operands[0]);
      return get_item(object, evaluate(*node.operands[1]));
    }
    case ExpressionKind::kSlice:
      return evaluate_slice(node);
    case ExpressionKind::kCall:
      return evaluate_call(node);
    case ExpressionKind::kFilter:
      return evaluate_filter(node);
    case ExpressionKind::kTest:
      return evaluate_test(node);
    case ExpressionKind::kNot:
      return Value::boolean(!truth(evaluate(*node.operands[0])));
    case ExpressionKind::kNegate:
      return negate(evaluate(*node.operands[0]));
    case ExpressionKind::kPlus:
      return plus(evaluate(*node.operands[0]));
    case ExpressionKind::kArithmetic:
      return evaluate_arithmetic(node);
    case ExpressionKind::kConcat:
      return evaluate_concat(node);
    case ExpressionKind::kCompare:
      return evaluate_compare(node);
    case ExpressionKind::kAnd:
      return evaluate_chain(node, false);
    case ExpressionKind::kOr:
      return evaluate_chain(node, true);
    case ExpressionKind::kConditional:
      return evaluate_conditional(node);
    default:
      return {};  // Literals and names: evaluate().
  }
}

std::vector<Value> Interpreter::evaluate_operands(const Expression& node) {
  std::vector<Value> values;
  values.reserve(node.operands.size());
  for (const auto& operand : node.operands) values.push_back(evaluate(*operand));
  return values;
}

Value Interpreter::evaluate_dict(const Expression& node) {
  auto dict = std::make_shared<Dict>();
  for (size_t i = 0; i < node.operands.size(); i += 2) {
    Value key = evaluate(*node.operands[i]);
    Value value = evaluate(*node.operands[i + 1]);
    dict->set(heap_, key, std::move(value));
  }
  return heap_.dict(std::move(dict));
}

Value Interpreter::evaluate_slice(const Expression& node) {
  Value parts[4];
  for (size_t i = 0; i < 4; ++i) {
    if (node.operands[i]) parts[i] = evaluate(*node.operands[i]);
  }
  return slice(heap_, parts[0], parts[1], parts[2], parts[3]);
}

Value Interpreter::evaluate_call(const Expression& node, const Value* caller) {
  const Expression& callee = *node.operands[0];
  auto arguments = [&] {
    Arguments evaluated = evaluate_arguments(*node.arguments);
    if (caller) evaluated.named.emplace_back("caller", *caller);
    line_ = node.line;
    return evaluated;
  };
  if (callee.kind != ExpressionKind::kAttribute) {
    Value function = evaluate(callee);
    return call(function, arguments());
  }
  // A method that is called at once needs no value of its own.
  Value object = evaluate(*callee.operands[0]);
  if (const Method* method = find_method(object, callee.value.text())) {
    return method->body(*this, object, arguments());
  }
  Value function = get_attribute(object, callee.value);
  return call(function, arguments());
}

Arguments Interpreter::evaluate_arguments(const CallArguments& arguments) {
  Arguments evaluated;
  evaluated.positional.reserve(arguments.positional.size());
  for (const auto& argument : arguments.positional) {
    evaluated.positional.push_back(evaluate(*argument));
  }
  for (const auto& [name, argument] : arguments.named) {
    evaluated.named.emplace_back(name, evaluate(*argument));
  }
  if (arguments.unpacked_list) {
    for (Value& item : collect(heap_, evaluate(*arguments.unpacked_list))) {
      evaluated.positional.push_back(std::move(item));
    }
  }
  if (arguments.unpacked_dict) {
    Value dict = evaluate(*arguments.unpacked_dict);
    if (!dict.is_dict()) fail("the argument after ** must be a dict, not {}", dict.type_name());
    for (const auto& [key, value] : dict.dict().entries()) {
      if (!key.is_string()) fail("names of arguments must be strings");
      for (const auto& [name, other] : evaluated.named) {
        heap_.step();
        if (name == key.text()) fail("the argument '{}' is given twice", name);
      }
      evaluated.named.emplace_back(key.text(), value);
    }
  }
  return evaluated;
}

Value Interpreter::evaluate_filter(const Expression& node) {
  Value value = node.operands[0] ? evaluate(*node.operands[0]) : *captured_;
  if (!node.filter) fail("unknown filter '{}'", node.value.text());
  Arguments arguments = evaluate_arguments(*node.arguments);
  line_ = node.line;
  return node.filter->apply(*this, value, arguments);
}

Value Interpreter::evaluate_test(const Expression& node) {
  Value value = evaluate(*node.operands[0]);
  if (!node.test) fail("unknown test '{}'", node.value.text());
  Arguments arguments = evaluate_arguments(*node.arguments);
  line_ = node.line;
  return Value::boolean(node.test->holds(*this, value, arguments));
}

Value Interpreter::evaluate_arithmetic(const Expression& node) {
  Value value = evaluate(*node.operands[0]);
  for (size_t i = 0; i < node.operators.size(); ++i) {
    Value operand = evaluate(*node.operands[i + 1]);
    line_ = node.line;
    value = apply_arithmetic(heap_, node.operators[i], value, operand);
  }
  return value;
}

Value Interpreter::evaluate_concat(const Expression& node) {
  std::string text;
  // All operands are evaluated before any of them is turned into text.
  for (const Value& value : evaluate_operands(node)) append_text(heap_, text, value);
  return heap_.string(std::move(text));
}

Value Interpreter::evaluate_compare(const Expression& node) {
  Value left = evaluate(*node.operands[0]);
  for (size_t i = 0; i < node.operators.size(); ++i) {
    Value right = evaluate(*node.operands[i + 1]);
    bool holds = false;
    switch (node.operators[i]) {
      case Operator::kEqual:
        holds = equals(heap_, left, right);
        break;
      case Operator::kNotEqual:
        holds = !equals(heap_, left, right);
        break;
      case Operator::kLess:
        holds = order(heap_, left, right, "<") == Order::kLess;
        break;
      case Operator::kLessEqual: {
        Order found = order(heap_, left, right, "<=");
        holds = found == Order::kLess || found == Order::kEqual;
        break;
      }
      case Operator::kGreater:
        holds = order(heap_, left, right, ">") == Order::kGreater;
        break;
      case Operator::kGreaterEqual: {
        Order found = order(heap_, left, right, ">=");
        holds = found == Order::kGreater || found == Order::kEqual;
        break;
      }
      case Operator::kIn:
        holds = contains(heap_, right, left);
        break;
      default:
        holds = !contains(heap_, right, left);
        break;
    }
    if (!holds) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

// `and` stops at the first operand that is false, `or` at the first that is true.
Value Interpreter::evaluate_chain(const Expression& node, bool stops_at) {
  Value value;
  for (const auto& operand : node.operands) {
    value = evaluate(*operand);
    if (truth(value) == stops_at) break;
  }
  return value;
}

Value Interpreter::evaluate_conditional(const Expression& node) {
  if (truth(evaluate(*node.operands[0]))) return evaluate(*node.operands[1]);
  if (node.operands[2]) return evaluate(*node.operands[2]);
  return Value::undefined_because(
      fmt::format("the 'if' expression in line {} is false and has no 'else'", node.line));
}

}  // namespace tokamak::text::jinja
