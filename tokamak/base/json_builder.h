// SPDX-License-Identifier: Apache-2.0
// Builds a Json from the events of nlohmann's parser in time linear in the text. The library's own
// builders are not: one looks through an object for each new member, the one with a callback
// through the parent of each child that ends.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tokamak/base/json.h"

namespace tokamak::base {

struct JsonLimits {
  int max_depth = 64;
  int64_t max_values = std::numeric_limits<int64_t>::max();
  int64_t max_members = std::numeric_limits<int64_t>::max();  ///< Of one object.
  bool members_once = false;  ///< Else the last of the members of one name counts.
};

/// Why a text was not built.
struct JsonFault {
  enum class Kind { kSyntax, kEncoding, kRange, kDepth, kValues, kMembers, kTwice };
  Kind kind = Kind::kSyntax;
  size_t byte = 0;     ///< Where, of kSyntax and kEncoding.
  std::string detail;  ///< The member's name, of kTwice; else what the parser says.
};

/// For Json::sax_parse(text, &builder). Stops at the first thing that is not allowed.
class JsonBuilder : public nlohmann::json_sax<Json> {
 public:
  explicit JsonBuilder(const JsonLimits& limits) : limits_(limits) {}

  /// After sax_parse() returned true.
  Json& value() { return value_; }
  /// After it returned false.
  const JsonFault& fault() const { return fault_; }

  bool null() override { return scalar(nullptr); }
  bool boolean(bool value) override { return scalar(value); }
  bool number_integer(int64_t value) override { return scalar(value); }
  bool number_unsigned(uint64_t value) override { return scalar(value); }
  bool number_float(double value, const std::string&) override { return scalar(value); }
  bool string(std::string& value) override { return scalar(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // JSON has none.
  bool start_object(size_t) override { return open(true); }
  bool key(std::string& name) override;
  bool end_object() override;
  bool start_array(size_t) override { return open(false); }
  bool end_array() override;
  bool parse_error(size_t byte, const std::string&, const Json::exception& error) override;

 private:
  using Member = std::pair<std::string, Json>;
  /// An object or array whose end has not come.
  struct Open {
    bool is_object = false;
    std::vector<Member> members;  // The last one's value is the next that comes.
    std::vector<Json> elements;
  };

  bool open(bool is_object);
  bool scalar(Json value);
  bool count();
  void add(Json value);
  bool merge_members(std::vector<Member>& members);
  bool refuse(JsonFault::Kind kind, std::string detail = {});

  const JsonLimits limits_;
  int64_t num_values_ = 0;
  std::vector<Open> open_;
  Json value_;
  JsonFault fault_;
};

}  // namespace tokamak::base
