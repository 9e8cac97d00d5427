// SPDX-License-Identifier: Apache-2.0
// Reads a Hugging Face config.json and keeps account of what was read, so that a key that nobody
// understood is an error and not a silently different model.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "tokamak/base/json.h"
#include "tokamak/op/activation.h"
#include "tokamak/tensor/dtype.h"

namespace tokamak::models {

/// The first error sticks: readers after it return their fallback, and finish() reports it.
class ConfigReader {
 public:
  explicit ConfigReader(const Json& config) : config_(config) {}

  bool has(std::string_view key);      ///< Present and not null.
  bool is_null(std::string_view key);  ///< Present, and says that there is none.
  /// The value, which counts as read; null if it is absent or null.
  const Json* find(std::string_view key);
  /// Without a fallback the key must be there. Sizes are positive and below 2^31.
  int64_t size(std::string_view key, std::optional<int64_t> fallback = {});
  /// Of a key with several names; two of them must not contradict each other.
  int64_t size(std::initializer_list<std::string_view> names, std::optional<int64_t> fallback = {});
  /// Null turns off what a missing key has at its fallback: nothing, or 0.
  std::optional<int64_t> size_or_off(std::string_view key, std::optional<int64_t> fallback);
  double number_or_off(std::string_view key, double fallback);
  double number(std::string_view key, std::optional<double> fallback = {});
  bool boolean(std::string_view key, std::optional<bool> fallback = {});
  std::string string(std::string_view key, std::optional<std::string> fallback = {});
  std::vector<std::string> strings(std::string_view key);
  /// The key may be there, with any value.
  void ignore(std::string_view key);
  /// The key, if there, must have this value (features that a family of ours does not have).
  void require(std::string_view key, const Json& value);

  op::ActivationKind activation(std::string_view key, std::optional<std::string> fallback = {});
  void fail(Error error);
  /// The first error, or unsupported: a key that could change the numbers and that no reader asked
  /// for, by name.
  Result<void> finish();

 private:
  const Json& config_;
  std::set<std::string, std::less<>> read_;
  std::optional<Error> error_;
};

}  // namespace tokamak::models
