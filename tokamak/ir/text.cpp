// SPDX-License-Identifier: Apache-2.0
#include "tokamak/ir/text.h"

#include <charconv>
#include <map>

namespace tokamak::ir {
namespace {

std::string attribute_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{}", value.get<double>());
  if (!value.is_array()) return value.dump();
  std::string out = "[";
  for (const Json& element : value) out += (out.size() > 1 ? ", " : "") + attribute_text(element);
  return out + "]";
}

/// `alone`: the part's rows are the weight's and need no telling.
std::string part_text(const WeightPart& part, bool alone) {
  std::string out = "\"" + part.tensor + "\"";
  if (!alone) out += fmt::format("[{}]", part.rows);
  if (part.transposed) out = "transpose(" + out + ")";
  if (part.normalize_rows) out = "normalize_rows(" + out + ")";
  return out;
}

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-' ||
         c == '+';
}

/// A cursor over one line.
class Line {
 public:
  Line(std::string_view text, int number) : rest_(text), number_(number) {}

  Error error(std::string_view expected) const {
    return base::invalid(
        fmt::format("line {}: expected {}, found '{}'", number_, expected, rest_.substr(0, 20)));
  }
  bool done() {
    skip();
    return rest_.empty();
  }
  bool accept(std::string_view token) {
    skip();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  Result<void> expect(std::string_view token) {
    if (accept(token)) return {};
    return error(fmt::format("'{}'", token));
  }
  Result<std::string> word() {
    skip();
    size_t length = 0;
    while (length < rest_.size() && is_word(rest_[length])) ++length;
    if (length == 0) return error("a name");
    return std::string(take(length));
  }
  Result<std::string> quoted() {
    TKM_RETURN_IF_ERROR(expect("\""));
    size_t length = rest_.find('"');
    if (length == std::string_view::npos) return error("a closing quote");
    std::string out(take(length));
    rest_.remove_prefix(1);
    return out;
  }
  /// Up to and with the closing bracket that matches the one taken before.
  Result<std::string> until(char close) {
    size_t length = rest_.find(close);
    if (length == std::string_view::npos) return error(fmt::format("'{}'", close));
    std::string out(take(length));
    rest_.remove_prefix(1);
    return out;
  }
  Result<TensorType> type() {
    skip();
    size_t end = rest_.find(']');
    if (end == std::string_view::npos) return error("a type");
    auto parsed = TensorType::parse(take(end + 1));
    if (!parsed.ok())
      return base::invalid(fmt::format("line {}: {}", number_, parsed.error().message));
    return parsed;
  }
  int number() const { return number_; }

 private:
  void skip() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\t' || rest_[0] == '\r'))
      rest_.remove_prefix(1);
  }
  std::string_view take(size_t length) {
    std::string_view out = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return out;
  }
  std::string_view rest_;
  int number_;
};

Json scalar(std::string_view word) {
  if (word == "true") return true;
  if (word == "false") return false;
  int64_t integer = 0;
  if (auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), integer);
      code == std::errc() && end == word.data() + word.size()) {
    return integer;
  }
  double number = 0;
  if (auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), number);
      code == std::errc() && end == word.data() + word.size()) {
    return number;
  }
  return std::string(word);
}

class Parser {
 public:
  Result<std::unique_ptr<Graph>> parse(std::string_view text) {
    int number = 0;
    while (!text.empty()) {
      size_t end = text.find('\n');
      std::string_view line = text.substr(0, end);
      text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
      line = line.substr(0, line.find('#'));
      TKM_RETURN_IF_ERROR(statement(Line(line, ++number)));
    }
    TKM_RETURN_IF_ERROR(graph_->verify());
    return std::move(graph_);
  }

 private:
  Result<void> statement(Line line) {
    if (line.done()) return {};
    if (line.accept("input ")) return input(line);
    if (line.accept("weight ")) return weight(line);
    if (line.accept("return ")) return outputs(line);
    return node(line);
  }

  Result<void> define(const Line& line, const std::string& name, Value value) {
    if (!values_.emplace(name, value).second)
      return base::invalid(fmt::format("line {}: %{} is defined twice", line.number(), name));
    return {};
  }

  Result<void> input(Line& line) {
    TKM_RETURN_IF_ERROR(line.expect("%"));
    TKM_ASSIGN(std::string name, line.word());
    TKM_RETURN_IF_ERROR(line.expect(":"));
    TKM_ASSIGN(TensorType type, line.type());
    return define(line, name, graph_->input(name, type));
  }

  Result<WeightPart> part(Line& line) {
    if (line.accept("transpose(")) {
      TKM_ASSIGN(WeightPart inner, part(line));
      TKM_RETURN_IF_ERROR(line.expect(")"));
      inner.transposed = true;
      return inner;
    }
    if (line.accept("normalize_rows(")) {
      TKM_ASSIGN(WeightPart inner, part(line));
      TKM_RETURN_IF_ERROR(line.expect(")"));
      inner.normalize_rows = true;
      return inner;
    }
    WeightPart out;
    TKM_ASSIGN(out.tensor, line.quoted());
    if (line.accept("[")) {
      TKM_ASSIGN(std::string rows, line.until(']'));
      Json number = scalar(rows);
      if (!number.is_number_integer() || number.get<int64_t>() <= 0)
        return line.error("a number of rows");
      out.rows = number.get<int64_t>();
    }
    return out;
  }

  Result<void> weight(Line& line) {
    TKM_RETURN_IF_ERROR(line.expect("%"));
    TKM_ASSIGN(std::string name, line.word());
    std::vector<WeightPart> parts;
    if (line.accept("=")) {
      do {
        TKM_ASSIGN(WeightPart next, part(line));
        parts.push_back(std::move(next));
      } while (line.accept("+"));
    }
    TKM_RETURN_IF_ERROR(line.expect(":"));
    TKM_ASSIGN(TensorType type, line.type());
    int64_t rows = 0;
    for (const WeightPart& part : parts) rows += part.rows;
    if (parts.size() > 1 && (type.shape.empty() || Dim(rows) != type.shape[0])) {
      return base::invalid(fmt::format("line {}: the parts of %{} have {} rows, but it is {}",
                                       line.number(),
                                       name,
                                       rows,
                                       type.text()));
    }
    return define(line, name, graph_->weight(name, type, std::move(parts)));
  }

  Result<Value> use(Line& line) {
    TKM_RETURN_IF_ERROR(line.expect("%"));
    TKM_ASSIGN(std::string name, line.word());
    auto it = values_.find(name);
    if (it == values_.end())
      return base::invalid(fmt::format("line {}: %{} is not defined", line.number(), name));
    return it->second;
  }

  Result<void> outputs(Line& line) {
    do {
      TKM_ASSIGN(Value value, use(line));
      graph_->output(value);
    } while (line.accept(","));
    return {};
  }

  Result<void> node(Line& line) {
    std::vector<std::string> names;
    do {
      TKM_RETURN_IF_ERROR(line.expect("%"));
      TKM_ASSIGN(std::string name, line.word());
      names.push_back(std::move(name));
    } while (line.accept(","));
    TKM_RETURN_IF_ERROR(line.expect("="));
    TKM_ASSIGN(std::string op_name, line.word());
    TKM_RETURN_IF_ERROR(line.expect("("));
    std::vector<Value> inputs;
    if (!line.accept(")")) {
      do {
        TKM_ASSIGN(Value value, use(line));
        inputs.push_back(value);
      } while (line.accept(","));
      TKM_RETURN_IF_ERROR(line.expect(")"));
    }
    Json attributes = Json::object();
    if (line.accept("{")) {
      TKM_ASSIGN(std::string text, line.until('}'));
      TKM_ASSIGN(attributes, parse_attributes("{" + text + "}"));
    }
    TKM_ASSIGN(op::Op op, op::Op::parse(op_name, attributes));
    std::vector<Value> results = graph_->apply_all(std::move(op), std::move(inputs));
    if (auto status = graph_->status(); !status.ok())
      return base::invalid(fmt::format("line {}: {}", line.number(), status.error().message));
    if (results.size() != names.size())
      return base::invalid(fmt::format("line {}: {} has {} results, {} are named",
                                       line.number(),
                                       op_name,
                                       results.size(),
                                       names.size()));
    if (line.accept(":")) {
      for (size_t i = 0; i < results.size(); ++i) {
        if (i) TKM_RETURN_IF_ERROR(line.expect(","));
        TKM_ASSIGN(TensorType type, line.type());
        if (type != results[i].type())
          return base::invalid(fmt::format("line {}: %{} is {}, not {}",
                                           line.number(),
                                           names[i],
                                           results[i].type().text(),
                                           type.text()));
      }
    }
    for (size_t i = 0; i < results.size(); ++i) {
      graph_->rename(results[i], names[i]);
      TKM_RETURN_IF_ERROR(define(line, names[i], results[i]));
    }
    return {};
  }

  std::unique_ptr<Graph> graph_ = std::make_unique<Graph>();
  std::map<std::string, Value> values_;
};

}  // namespace

Result<std::unique_ptr<Graph>> parse_graph(std::string_view text) {
  return Parser().parse(text);
}

std::string attributes_text(const Json& attributes) {
  if (attributes.empty()) return "";
  std::string out = "{";
  for (const auto& [key, value] : attributes.items())
    out += fmt::format("{}{}={}", out.size() > 1 ? ", " : "", key, attribute_text(value));
  return out + "}";
}

Result<Json> parse_attributes(std::string_view text) {
  Line line(text, 1);
  Json out = Json::object();
  TKM_RETURN_IF_ERROR(line.expect("{"));
  if (line.accept("}")) return out;
  do {
    TKM_ASSIGN(std::string key, line.word());
    TKM_RETURN_IF_ERROR(line.expect("="));
    if (line.accept("[")) {
      Json list = Json::array();
      if (!line.accept("]")) {
        do {
          TKM_ASSIGN(std::string element, line.word());
          list.push_back(scalar(element));
        } while (line.accept(","));
        TKM_RETURN_IF_ERROR(line.expect("]"));
      }
      out[key] = std::move(list);
    } else {
      TKM_ASSIGN(std::string value, line.word());
      out[key] = scalar(value);
    }
  } while (line.accept(","));
  TKM_RETURN_IF_ERROR(line.expect("}"));
  return out;
}

std::string Graph::text() const {
  std::string out;
  for (const Value& value : inputs())
    out += fmt::format("input %{} : {}\n", value.name(), value.type().text());
  for (const Value& value : weights()) {
    std::string parts;
    bool named_so = value.parts().size() == 1 &&
                    part_text(value.parts()[0], true) == "\"" + value.name() + "\"";
    for (const WeightPart& part : value.parts())
      parts += (parts.empty() ? " = " : " + ") + part_text(part, value.parts().size() == 1);
    out += fmt::format(
        "weight %{}{} : {}\n", value.name(), named_so ? "" : parts, value.type().text());
  }
  for (const Node* node : nodes()) {
    std::string results, types, operands;
    for (size_t i = 0; i < node->num_outputs(); ++i) {
      results += fmt::format("{}%{}", i ? ", " : "", node->output(i).name());
      types += fmt::format("{}{}", i ? ", " : "", node->output(i).type().text());
    }
    for (const Value& value : node->inputs())
      operands += fmt::format("{}%{}", operands.empty() ? "" : ", ", value.name());
    std::string attributes = attributes_text(node->op().attributes());
    out += fmt::format("{} = {}({}){}{} : {}\n",
                       results,
                       node->op().name(),
                       operands,
                       attributes.empty() ? "" : " ",
                       attributes,
                       types);
  }
  for (size_t i = 0; i < outputs_.size(); ++i)
    out += fmt::format("{}%{}", i ? ", " : "return ", outputs_[i].name());
  return outputs_.empty() ? out : out + "\n";
}

}  // namespace tokamak::ir
