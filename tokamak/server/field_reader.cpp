// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/field_reader.h"

#include <cmath>
#include <limits>

namespace tokamak::server {

Error wrong_type(std::string_view name, std::string_view expected, const Json& found) {
  return base::invalid(
      fmt::format("'{}' must be {}, but is {}", name, expected, found.type_name()));
}

float to_float(double number) {
  if (std::abs(number) <= std::numeric_limits<float>::max()) return static_cast<float>(number);
  return std::copysign(std::numeric_limits<float>::infinity(), number > 0 ? 1.0f : -1.0f);
}

const Json* FieldReader::find(std::string_view name) const {
  return error_ ? nullptr : base::find(object_, name);
}

void FieldReader::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

Result<void> FieldReader::status() const {
  if (error_) return *error_;
  return {};
}

void FieldReader::boolean(std::string_view name, bool& out) {
  const Json* value = find(name);
  if (!value) return;
  if (!value->is_boolean()) return fail(wrong_type(name, "true or false", *value));
  out = value->get<bool>();
}

void FieldReader::text(std::string_view name, std::string& out) {
  const Json* value = find(name);
  if (!value) return;
  if (!value->is_string()) return fail(wrong_type(name, "a string", *value));
  out = value->get<std::string>();
}

void FieldReader::number(std::string_view name, float& out) {
  const Json* value = find(name);
  if (!value) return;
  if (!value->is_number()) return fail(wrong_type(name, "a number", *value));
  out = to_float(value->get<double>());
}

void FieldReader::integer(std::string_view name, int64_t& out) {
  if (!find(name)) return;
  auto value = base::get_int(object_, name);
  if (!value.ok()) return fail(value.error());
  out = *value;
}

void FieldReader::integer(std::string_view name, int64_t& out, int64_t low, int64_t high) {
  int64_t value = low;
  if (!find(name)) return;
  integer(name, value);
  if (!ok()) return;
  if (value < low || value > high) {
    return fail(
        base::invalid(fmt::format("{} is {}, must be between {} and {}", name, value, low, high)));
  }
  out = value;
}

void FieldReader::integers(std::string_view name,
                           std::vector<int64_t>& out,
                           const ListLimits& limits) {
  const Json* value = find(name);
  if (!value) return;
  std::vector<int32_t> ids;
  this->ids(name, ids, limits);
  if (ok()) out.assign(ids.begin(), ids.end());
}

void FieldReader::ids(std::string_view name, std::vector<int32_t>& out, const ListLimits& limits) {
  const Json* value = find(name);
  if (!value) return;
  if (!has_at_most(name, *value, limits.elements, "ids")) return;
  auto ids = read_ids(name, *value);
  if (!ids.ok()) return fail(ids.error());
  out = std::move(*ids);
}

bool FieldReader::has_at_most(std::string_view name,
                              const Json& list,
                              int64_t limit,
                              std::string_view what) {
  if (!list.is_array() || static_cast<int64_t>(list.size()) <= limit) return true;
  fail(base::invalid(
      fmt::format("{} has {} {}, at most {} are allowed", name, list.size(), what, limit)));
  return false;
}

void FieldReader::texts(std::string_view name,
                        std::vector<std::string>& out,
                        const ListLimits& limits) {
  const Json* value = find(name);
  if (!value) return;
  if (!value->is_string() && !value->is_array()) {
    return fail(wrong_type(name, "a string or a list of strings", *value));
  }
  if (!has_at_most(name, *value, limits.elements, "texts")) return;
  std::vector<std::string> texts;
  auto add = [&](const Json& text) {
    const auto& bytes = text.get_ref<const std::string&>();
    if (static_cast<int64_t>(bytes.size()) > limits.bytes) {
      return fail(base::invalid(fmt::format("{}[{}] has {} bytes, at most {} are allowed",
                                            name,
                                            texts.size(),
                                            bytes.size(),
                                            limits.bytes)));
    }
    texts.push_back(bytes);
  };
  if (value->is_string()) {
    add(*value);
  } else {
    for (const Json& element : *value) {
      if (!element.is_string()) return fail(wrong_type(name, "a list of strings", *value));
      add(element);
      if (!ok()) return;
    }
  }
  if (ok()) out = std::move(texts);
}

Result<std::vector<int32_t>> read_ids(std::string_view name, const Json& list) {
  if (!list.is_array()) return wrong_type(name, "a list of token ids", list);
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const Json& element : list) {
    if (!element.is_number_integer()) return wrong_type(name, "a list of token ids", element);
    const bool huge = element.is_number_unsigned() && element.get<uint64_t>() > INT32_MAX;
    const int64_t id = huge ? -1 : element.get<int64_t>();
    if (id < 0 || id > INT32_MAX) {
      return base::invalid(fmt::format(
          "{} holds {} at index {}, which is no token id", name, element.dump(), ids.size()));
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

}  // namespace tokamak::server
