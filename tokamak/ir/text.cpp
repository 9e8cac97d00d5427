// SPDX-License-Identifier: Apache-2.0
#include "tokamak/ir/text.h"

#include <algorithm>
#include <charconv>
#include <map>

namespace tokamak::ir {
namespace {

constexpr int64_t kMaxDim = int64_t{1} << 48;  ///< Sums of dimensions stay far from overflowing.

std::string attribute_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{}", value.get<double>());
  if (!value.is_array()) return value.dump();
  std::string out = "[";
  for (const Json& element : value) out += (out.size() > 1 ? ", " : "") + attribute_text(element);
  return out + "]";
}

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-' ||
         c == '+';
}

std::string quoted_text(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out + "\"";
}

/// "%name", or "%\"name\"" if the name is not one word.
std::string value_text(const Value& value) {
  bool word =
      !value.name().empty() && std::all_of(value.name().begin(), value.name().end(), is_word);
  return "%" + (word ? value.name() : quoted_text(value.name()));
}

/// `alone`: the part's rows are the weight's and need no telling.
std::string part_text(const WeightPart& part, bool alone) {
  std::string out = quoted_text(part.tensor);
  if (!alone) out += fmt::format("[{}]", part.rows);
  if (part.transposed) out = "transpose(" + out + ")";
  if (part.normalize_rows) out = "normalize_rows(" + out + ")";
  return out;
}

/// A cursor over one line. Its errors do not know the number of the line: the parser does.
class Line {
 public:
  explicit Line(std::string_view text) : rest_(text) {}

  Error error(std::string_view expected) {
    skip();
    if (rest_.empty()) return base::invalid(fmt::format("expected {}, found the end", expected));
    return base::invalid(fmt::format("expected {}, found '{}'", expected, rest_.substr(0, 20)));
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
    std::string out;
    while (!rest_.empty() && rest_[0] != '"') {
      bool escaped = rest_[0] == '\\' && rest_.size() > 1;
      if (escaped) take(1);
      out += escaped && rest_[0] == 'n' ? '\n' : rest_[0];
      take(1);
    }
    if (rest_.empty()) return error("a closing quote");
    take(1);
    return out;
  }
  /// The name behind a '%'.
  Result<std::string> value_name() {
    TKM_RETURN_IF_ERROR(expect("%"));
    return rest_.starts_with('"') ? quoted() : word();
  }
  Result<TensorType> type() {
    skip();
    size_t end = rest_.find(']');
    if (end == std::string_view::npos) return error("a type");
    TKM_ASSIGN(TensorType type, TensorType::parse(take(end + 1)));
    for (const Dim& dim : type.shape) {
      if (dim.size > kMaxDim)
        return base::invalid(fmt::format("dimension {} is larger than {}", dim.size, kMaxDim));
    }
    return type;
  }

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
};

/// The line up to a '#' that is not within quotes.
std::string_view without_comment(std::string_view line) {
  bool inside = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"') inside = !inside;
    if (inside && line[i] == '\\') ++i;
    if (!inside && line[i] == '#') return line.substr(0, i);
  }
  return line;
}

Json scalar(std::string_view word) {
  if (word == "true") return true;
  if (word == "false") return false;
  if (word == "-0") return -0.0;  // No integer keeps the sign.
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

Result<Json> parse_attribute(Line& line) {
  if (!line.accept("[")) {
    TKM_ASSIGN(std::string value, line.word());
    return scalar(value);
  }
  Json list = Json::array();
  if (line.accept("]")) return list;
  do {
    TKM_ASSIGN(std::string element, line.word());
    list.push_back(scalar(element));
  } while (line.accept(","));
  TKM_RETURN_IF_ERROR(line.expect("]"));
  return list;
}

/// What follows "{".
Result<Json> parse_attribute_list(Line& line) {
  Json out = Json::object();
  if (line.accept("}")) return out;
  do {
    TKM_ASSIGN(std::string key, line.word());
    TKM_RETURN_IF_ERROR(line.expect("="));
    if (out.contains(key)) return base::invalid(fmt::format("'{}' is given twice", key));
    TKM_ASSIGN(out[key], parse_attribute(line));
  } while (line.accept(","));
  TKM_RETURN_IF_ERROR(line.expect("}"));
  return out;
}

class Parser {
 public:
  Result<std::unique_ptr<Graph>> parse(std::string_view text) {
    for (int number = 1; !text.empty(); ++number) {
      size_t end = text.find('\n');
      Line line(without_comment(text.substr(0, end)));
      text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
      auto status = statement(line);
      if (status.ok() && !line.done()) status = line.error("the end of the line");
      if (!status.ok()) {
        Error error = status.error();
        error.message = fmt::format("line {}: {}", number, error.message);
        return error;
      }
    }
    TKM_RETURN_IF_ERROR(graph_->verify());
    return std::move(graph_);
  }

 private:
  Result<void> statement(Line& line) {
    if (line.done()) return {};
    if (line.accept("input ")) return input(line);
    if (line.accept("weight ")) return weight(line);
    if (line.accept("return ")) return outputs(line);
    return node(line);
  }

  Result<std::string> new_name(Line& line) {
    TKM_ASSIGN(std::string name, line.value_name());
    if (values_.contains(name)) return base::invalid(fmt::format("%{} is defined twice", name));
    return name;
  }

  Result<void> input(Line& line) {
    TKM_ASSIGN(std::string name, new_name(line));
    TKM_RETURN_IF_ERROR(line.expect(":"));
    TKM_ASSIGN(TensorType type, line.type());
    values_[name] = graph_->input(name, type);
    return {};
  }

  /// normalize_rows(transpose("tensor"[rows])), each around it optional.
  Result<WeightPart> part(Line& line) {
    WeightPart out;
    out.normalize_rows = line.accept("normalize_rows(");
    out.transposed = line.accept("transpose(");
    TKM_ASSIGN(out.tensor, line.quoted());
    if (line.accept("[")) {
      TKM_ASSIGN(std::string rows, line.word());
      Json number = scalar(rows);
      if (!number.is_number_integer() || number.get<int64_t>() <= 0 ||
          number.get<int64_t>() > kMaxDim)
        return base::invalid(fmt::format("'{}' is not a number of rows", rows));
      out.rows = number.get<int64_t>();
      TKM_RETURN_IF_ERROR(line.expect("]"));
    }
    if (out.transposed) TKM_RETURN_IF_ERROR(line.expect(")"));
    if (out.normalize_rows) TKM_RETURN_IF_ERROR(line.expect(")"));
    return out;
  }

  Result<void> weight(Line& line) {
    TKM_ASSIGN(std::string name, new_name(line));
    std::vector<WeightPart> parts;
    if (line.accept("=")) {
      do {
        TKM_ASSIGN(WeightPart next, part(line));
        parts.push_back(std::move(next));
      } while (line.accept("+"));
    }
    TKM_RETURN_IF_ERROR(line.expect(":"));
    TKM_ASSIGN(TensorType type, line.type());
    for (const Dim& dim : type.shape) {
      if (!dim.is_constant())
        return base::invalid(fmt::format("weight %{} is {}, must be constant", name, type.text()));
    }
    int64_t rows = 0;
    for (const WeightPart& part : parts) rows += part.rows;
    if (parts.size() > 1 && (type.shape.empty() || Dim(rows) != type.shape[0])) {
      return base::invalid(
          fmt::format("the parts of %{} have {} rows, but it is {}", name, rows, type.text()));
    }
    values_[name] = graph_->weight(name, type, std::move(parts));
    return {};
  }

  Result<Value> use(Line& line) {
    TKM_ASSIGN(std::string name, line.value_name());
    auto it = values_.find(name);
    if (it == values_.end()) return base::invalid(fmt::format("%{} is not defined", name));
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
      TKM_ASSIGN(std::string name, new_name(line));
      if (std::find(names.begin(), names.end(), name) != names.end())
        return base::invalid(fmt::format("%{} is defined twice", name));
      names.push_back(std::move(name));
    } while (line.accept(","));
    TKM_RETURN_IF_ERROR(line.expect("="));
    TKM_ASSIGN(std::string op_name, line.word());
    TKM_ASSIGN(std::vector<Value> inputs, operands(line));
    Json attributes = Json::object();
    if (line.accept("{")) {
      TKM_ASSIGN(attributes, parse_attribute_list(line));
    }
    TKM_ASSIGN(op::Op op, op::Op::parse(op_name, attributes));
    std::vector<Value> results = graph_->apply_all(std::move(op), std::move(inputs));
    TKM_RETURN_IF_ERROR(graph_->status());
    if (results.size() != names.size()) {
      return base::invalid(
          fmt::format("{} has {} results, {} are named", op_name, results.size(), names.size()));
    }
    for (size_t i = 0; i < results.size(); ++i) {
      graph_->rename(results[i], names[i]);
      values_[names[i]] = results[i];
    }
    return line.accept(":") ? check_types(line, results) : Result<void>();
  }

  Result<std::vector<Value>> operands(Line& line) {
    std::vector<Value> out;
    TKM_RETURN_IF_ERROR(line.expect("("));
    if (line.accept(")")) return out;
    do {
      TKM_ASSIGN(Value value, use(line));
      out.push_back(value);
    } while (line.accept(","));
    TKM_RETURN_IF_ERROR(line.expect(")"));
    return out;
  }

  Result<void> check_types(Line& line, const std::vector<Value>& results) {
    for (size_t i = 0; i < results.size(); ++i) {
      if (i) TKM_RETURN_IF_ERROR(line.expect(","));
      TKM_ASSIGN(TensorType type, line.type());
      if (type != results[i].type()) {
        return base::invalid(fmt::format(
            "%{} is {}, not {}", results[i].name(), results[i].type().text(), type.text()));
      }
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
  Line line(text);
  TKM_RETURN_IF_ERROR(line.expect("{"));
  TKM_ASSIGN(Json out, parse_attribute_list(line));
  if (!line.done()) return line.error("the end of the attributes");
  return out;
}

std::string Graph::text() const {
  std::string out;
  for (const Value& value : inputs())
    out += fmt::format("input {} : {}\n", value_text(value), value.type().text());
  for (const Value& value : weights()) {
    std::string parts;
    bool alone = value.parts().size() == 1;
    for (const WeightPart& part : value.parts())
      parts += (parts.empty() ? " = " : " + ") + part_text(part, alone);
    if (alone && part_text(value.parts()[0], alone) == quoted_text(value.name())) parts.clear();
    out += fmt::format("weight {}{} : {}\n", value_text(value), parts, value.type().text());
  }
  for (const Node* node : nodes()) {
    std::string results, types, operands;
    for (size_t i = 0; i < node->num_outputs(); ++i) {
      results += (i ? ", " : "") + value_text(node->output(i));
      types += (i ? ", " : "") + node->output(i).type().text();
    }
    for (const Value& value : node->inputs())
      operands += (operands.empty() ? "" : ", ") + value_text(value);
    std::string attributes = attributes_text(node->op().attributes());
    out += fmt::format("{} = {}({}){}{} : {}\n",
                       results,
                       node->op().name(),
                       operands,
                       attributes.empty() ? "" : " ",
                       attributes,
                       types);
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    out += i ? ", " : "return ";
    out += value_text(outputs_[i]);
  }
  return outputs_.empty() ? out : out + "\n";
}

}  // namespace tokamak::ir
