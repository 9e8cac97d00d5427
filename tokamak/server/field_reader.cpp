// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/field_reader.h"

#include <cmath>
#include <limits>

namespace tokamak::server {

Error wrong_type(std::string_view name, std::string_view expected, const Json& found) {
  return base::invalid(
      fmt::format("'{}' must be {}, but is {}", name, expected, found.type_name()));
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
  const double number = value->get<double>();
  constexpr float kMost = std::numeric_limits<float>::max();
  if (std::abs(number) <= kMost) {
    out = static_cast<float>(number);
  } else {
    out = std::copysign(std::numeric_limits<float>::infinity(),
                        static_cast<float>(number > 0 ? 1 : -1));
  }
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

void FieldReader::integers(std::string_view name, std::vector<int64_t>& out) {
  const Json* value = find(name);
  if (!value) return;
  std::vector<int32_t> ids;
  this->ids(name, ids);
  if (ok()) out.assign(ids.begin(), ids.end());
}

void FieldReader::ids(std::string_view name, std::vector<int32_t>& out) {
  const Json* value = find(name);
  if (!value) return;
  auto ids = read_ids(name, *value);
  if (!ids.ok()) return fail(ids.error());
  out = std::move(*ids);
}

void FieldReader::texts(std::string_view name, std::vector<std::string>& out) {
  const Json* value = find(name);
  if (!value) return;
  std::vector<std::string> texts;
  if (value->is_string()) {
    texts.push_back(value->get<std::string>());
  } else if (value->is_array()) {
    for (const Json& element : *value) {
      if (!element.is_string()) return fail(wrong_type(name, "a list of strings", *value));
      texts.push_back(element.get<std::string>());
    }
  } else {
    return fail(wrong_type(name, "a string or a list of strings", *value));
  }
  out = std::move(texts);
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
