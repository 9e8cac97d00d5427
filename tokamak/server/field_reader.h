// SPDX-License-Identifier: Apache-2.0
// Reads members of a JSON object into variables. The first that cannot be read is kept as the error
// and ends the reading, so that a request's fields are a flat list.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/base/json.h"

namespace tokamak::server {

/// What a list may hold at most; checked before anything of it is copied.
struct ListLimits {
  int64_t elements = std::numeric_limits<int64_t>::max();
  int64_t bytes = std::numeric_limits<int64_t>::max();  ///< Of one text.
};

class FieldReader {
 public:
  explicit FieldReader(const Json& object) : object_(object) {}

  /// A member that is absent or null leaves the variable as it is.
  void boolean(std::string_view name, bool& out);
  void text(std::string_view name, std::string& out);
  void number(std::string_view name, float& out);
  void integer(std::string_view name, int64_t& out);
  void integer(std::string_view name, int64_t& out, int64_t low, int64_t high);
  void integers(std::string_view name, std::vector<int64_t>& out, const ListLimits& limits = {});
  /// Token ids; that they are in the vocabulary is checked later.
  void ids(std::string_view name, std::vector<int32_t>& out, const ListLimits& limits = {});
  /// One string or a list of strings.
  void texts(std::string_view name, std::vector<std::string>& out, const ListLimits& limits = {});

  const Json* find(std::string_view name) const;
  void fail(Error error);
  bool ok() const { return !error_; }
  Result<void> status() const;

 private:
  bool has_at_most(std::string_view name, const Json& list, int64_t limit, std::string_view what);

  const Json& object_;
  std::optional<Error> error_;
};

/// Numbers beyond a float become infinite, which every range refuses.
float to_float(double number);

/// "'name' must be EXPECTED, but is TYPE".
Error wrong_type(std::string_view name, std::string_view expected, const Json& found);

/// The ids of a list. Errors: invalid, naming `name` and the index.
Result<std::vector<int32_t>> read_ids(std::string_view name, const Json& list);

}  // namespace tokamak::server
