// SPDX-License-Identifier: Apache-2.0
#include "tokamak/base/json_builder.h"

#include <algorithm>
#include <numeric>

namespace tokamak::base {

bool JsonBuilder::refuse(JsonFault::Kind kind, std::string detail) {
  fault_ = {kind, 0, std::move(detail)};
  return false;
}

bool JsonBuilder::parse_error(size_t byte, const std::string&, const Json::exception& error) {
  constexpr int kOutOfRange = 406;  // A number beyond a double.
  const std::string_view what = error.what();
  auto kind = JsonFault::Kind::kSyntax;
  if (error.id == kOutOfRange) kind = JsonFault::Kind::kRange;
  if (what.find("UTF-8") != std::string_view::npos) kind = JsonFault::Kind::kEncoding;
  fault_ = {kind, byte, std::string(what)};
  return false;
}

bool JsonBuilder::count() {
  return ++num_values_ <= limits_.max_values || refuse(JsonFault::Kind::kValues);
}

bool JsonBuilder::open(bool is_object) {
  if (!count()) return false;
  if (static_cast<int64_t>(open_.size()) >= limits_.max_depth) {
    return refuse(JsonFault::Kind::kDepth);
  }
  open_.emplace_back().is_object = is_object;
  return true;
}

bool JsonBuilder::scalar(Json value) {
  if (!count()) return false;
  add(std::move(value));
  return true;
}

void JsonBuilder::add(Json value) {
  if (open_.empty()) {
    value_ = std::move(value);
  } else if (open_.back().is_object) {
    open_.back().members.back().second = std::move(value);
  } else {
    open_.back().elements.push_back(std::move(value));
  }
}

bool JsonBuilder::key(std::string& name) {
  auto& members = open_.back().members;
  if (static_cast<int64_t>(members.size()) >= limits_.max_members) {
    return refuse(JsonFault::Kind::kMembers);
  }
  members.emplace_back(std::move(name), nullptr);
  return true;
}

/// Sees to it that each name stands once, where it stood first. By sorting and not by a table, as
/// whoever sends a text may choose names that a table holds badly.
bool JsonBuilder::merge_members(std::vector<Member>& members) {
  std::vector<uint32_t> order(members.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return members[a].first < members[b].first;
  });
  std::vector<bool> dropped;
  for (size_t first = 0, i = 1; i < order.size(); ++i) {
    Member& earlier = members[order[first]];
    Member& later = members[order[i]];
    if (earlier.first != later.first) {
      first = i;
      continue;
    }
    if (limits_.members_once) return refuse(JsonFault::Kind::kTwice, later.first);
    earlier.second = std::move(later.second);
    dropped.resize(members.size());
    dropped[order[i]] = true;
  }
  if (dropped.empty()) return true;
  size_t kept = 0;
  for (size_t i = 0; i < members.size(); ++i) {
    if (dropped[i]) continue;
    if (kept != i) members[kept] = std::move(members[i]);
    ++kept;
  }
  members.resize(kept);
  return true;
}

bool JsonBuilder::end_object() {
  std::vector<Member> members = std::move(open_.back().members);
  open_.pop_back();
  if (!merge_members(members)) return false;
  Json::object_t object;
  object.reserve(members.size());
  // Past the object's own emplace(), which looks for the name first.
  for (auto& [name, value] : members) object.emplace_back(std::move(name), std::move(value));
  add(std::move(object));
  return true;
}

bool JsonBuilder::end_array() {
  std::vector<Json> elements = std::move(open_.back().elements);
  open_.pop_back();
  add(std::move(elements));
  return true;
}

}  // namespace tokamak::base
