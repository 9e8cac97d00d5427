// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/json_body.h"

#include <unordered_set>

namespace tokamak::server {
namespace {

struct Refused {
  std::string message;
};

/// Follows the parser and stops it at the first thing that is not allowed.
class Guard {
 public:
  explicit Guard(const JsonLimits& limits) : limits_(limits) {}

  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    switch (event) {
      case Json::parse_event_t::object_start:
      case Json::parse_event_t::array_start:
        count_value();
        if (depth >= limits_.max_depth) {
          throw Refused{fmt::format("body is nested deeper than {} levels", limits_.max_depth)};
        }
        if (event == Json::parse_event_t::object_start) keys_.emplace_back();
        break;
      case Json::parse_event_t::object_end:
        keys_.pop_back();
        break;
      case Json::parse_event_t::key:
        add_key(parsed.get_ref<const std::string&>());
        break;
      case Json::parse_event_t::value:
        count_value();
        break;
      case Json::parse_event_t::array_end:
        break;
    }
    return true;
  }

 private:
  void count_value() {
    if (++values_ > limits_.max_values) {
      throw Refused{fmt::format("body has more than {} values", limits_.max_values)};
    }
  }
  void add_key(const std::string& key) {
    if (!keys_.back().insert(key).second) {
      throw Refused{fmt::format("body names '{}' twice in one object", key.substr(0, 80))};
    }
    if (static_cast<int64_t>(keys_.back().size()) > limits_.max_members) {
      throw Refused{fmt::format("body has an object of more than {} members", limits_.max_members)};
    }
  }

  const JsonLimits limits_;
  int64_t values_ = 0;
  std::vector<std::unordered_set<std::string>> keys_;
};

}  // namespace

Result<Json> parse_object(std::string_view text, const JsonLimits& limits) {
  try {
    Guard guard(limits);
    Json body = Json::parse(text, [&guard](int depth, Json::parse_event_t event, Json& parsed) {
      return guard(depth, event, parsed);
    });
    if (body.is_object()) return body;
    return base::invalid(fmt::format("body must be a JSON object, but is {}", body.type_name()));
  } catch (const Refused& refused) {
    return base::invalid(refused.message);
  } catch (const Json::parse_error& e) {
    const bool encoding = std::string_view(e.what()).find("UTF-8") != std::string_view::npos;
    return base::invalid(
        fmt::format("body is not valid {}, at byte {}", encoding ? "UTF-8" : "JSON", e.byte));
  } catch (const Json::out_of_range&) {
    return base::invalid("body holds a number that is beyond the range of a double");
  } catch (const Json::exception&) {
    return base::invalid("body is not valid JSON");
  }
}

}  // namespace tokamak::server
