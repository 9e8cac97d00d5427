// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/config_reader.h"

#include "tokamak/models/harmless_keys.h"

namespace tokamak::models {
namespace {

Error prefixed(const Error& error) {
  return {error.code, "config.json: " + error.message, error.hint};
}

}  // namespace

const Json* ConfigReader::find(std::string_view key) {
  read_.emplace(key);
  return base::find(config_, key);
}

bool ConfigReader::has(std::string_view key) {
  return find(key) != nullptr;
}

bool ConfigReader::is_null(std::string_view key) {
  read_.emplace(key);
  auto it = config_.find(std::string(key));
  return it != config_.end() && it->is_null();
}

void ConfigReader::fail(Error error) {
  if (!error_) error_ = prefixed(error);
}

int64_t ConfigReader::size(std::string_view key, std::optional<int64_t> fallback) {
  read_.emplace(key);
  auto value = base::get_int(config_, key, fallback);
  if (!value.ok()) {
    fail(value.error());
    return fallback.value_or(1);
  }
  if (*value < 1 || *value >= (int64_t{1} << 31)) {
    fail(base::invalid(fmt::format("'{}' = {}, must be between 1 and 2^31 - 1", key, *value)));
    return 1;
  }
  return *value;
}

int64_t ConfigReader::size(std::initializer_list<std::string_view> names,
                           std::optional<int64_t> fallback) {
  std::string_view found;
  for (std::string_view name : names) {
    if (!has(name)) continue;
    if (!found.empty() && *find(found) != *find(name)) {
      fail(base::invalid(fmt::format("'{}' = {} contradicts '{}' = {}",
                                     name,
                                     find(name)->dump(),
                                     found,
                                     find(found)->dump())));
    }
    if (found.empty()) found = name;
  }
  return size(found.empty() ? *names.begin() : found, fallback);
}

std::optional<int64_t> ConfigReader::size_or_off(std::string_view key,
                                                 std::optional<int64_t> fallback) {
  if (has(key)) return size(key);
  return is_null(key) ? std::nullopt : fallback;
}

double ConfigReader::number_or_off(std::string_view key, double fallback) {
  return is_null(key) ? 0.0 : number(key, fallback);
}

double ConfigReader::number(std::string_view key, std::optional<double> fallback) {
  read_.emplace(key);
  auto value = base::get_number(config_, key, fallback);
  if (!value.ok()) fail(value.error());
  return value.ok() ? *value : fallback.value_or(1.0);
}

bool ConfigReader::boolean(std::string_view key, std::optional<bool> fallback) {
  read_.emplace(key);
  auto value = base::get_bool(config_, key, fallback);
  if (!value.ok()) fail(value.error());
  return value.ok() ? *value : fallback.value_or(false);
}

std::string ConfigReader::string(std::string_view key, std::optional<std::string> fallback) {
  read_.emplace(key);
  auto value = base::get_string(config_, key, fallback);
  if (!value.ok()) fail(value.error());
  return value.ok() ? *value : fallback.value_or("");
}

std::vector<std::string> ConfigReader::strings(std::string_view key) {
  std::vector<std::string> out;
  const Json* list = find(key);
  if (!list) return out;
  for (const Json& element : list->is_array() ? *list : Json::array()) {
    if (element.is_string()) out.push_back(element.get<std::string>());
  }
  if (!list->is_array() || out.size() != list->size())
    fail(base::invalid(fmt::format("'{}' must be a list of strings", key)));
  return out;
}

void ConfigReader::ignore(std::string_view key) {
  read_.emplace(key);
}

void ConfigReader::require(std::string_view key, const Json& value) {
  const Json* found = find(key);
  if (found && *found != value) {
    fail(base::unsupported(fmt::format(
        "'{}' = {}; this family is supported with {} only", key, found->dump(), value.dump())));
  }
}

op::ActivationKind ConfigReader::activation(std::string_view key,
                                            std::optional<std::string> fallback) {
  std::string name = string(key, std::move(fallback));
  if (error_) return op::ActivationKind::kNone;
  if (name == "silu" || name == "swish") return op::ActivationKind::kSilu;
  if (name == "gelu") return op::ActivationKind::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast")
    return op::ActivationKind::kGeluTanh;
  if (name == "relu") return op::ActivationKind::kRelu;
  fail(base::unsupported(fmt::format(
      "'{}' = '{}' is not one of silu, gelu, gelu_new, gelu_pytorch_tanh, relu", key, name)));
  return op::ActivationKind::kNone;
}

Result<void> ConfigReader::finish() {
  if (error_) return *error_;
  for (const auto& [key, value] : config_.items()) {
    if (read_.contains(key) || is_harmless(key, value)) continue;
    return base::unsupported(
        fmt::format(
            "config.json: '{}' = {} is not known for this family and could change the results",
            key,
            value.dump().substr(0, 80)),
        "if the key is harmless, remove it from config.json");
  }
  return {};
}

}  // namespace tokamak::models
