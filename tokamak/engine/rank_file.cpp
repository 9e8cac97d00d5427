// SPDX-License-Identifier: Apache-2.0
#include "tokamak/engine/rank_file.h"

#include "tokamak/base/json.h"

namespace tokamak::engine {
namespace {

/// Takes parts from the front of a text.
class Parts {
 public:
  explicit Parts(std::string_view rest) : rest_(rest) {}
  Result<std::string> take(const Json& header, std::string_view key) {
    TKM_ASSIGN(int64_t bytes, base::get_int(header, key));
    if (bytes < 0 || bytes > std::ssize(rest_))
      return base::corrupt(
          fmt::format("'{}' is {}, but {} bytes follow", key, bytes, rest_.size()));
    std::string part(rest_.substr(0, static_cast<size_t>(bytes)));
    rest_.remove_prefix(part.size());
    return part;
  }
  size_t left() const { return rest_.size(); }

 private:
  std::string_view rest_;
};

Result<RankFile> read_parts(const Json& header, Parts parts) {
  RankFile out;
  TKM_ASSIGN(out.plan, parts.take(header, "plan_bytes"));
  const Json* list = base::find(header, "code");
  if (!list || !list->is_array()) return base::corrupt("'code' is not a list");
  for (const Json& element : *list) {
    EngineCode code;
    TKM_ASSIGN(code.name, base::get_string(element, "name"));
    TKM_ASSIGN(code.key, base::get_string(element, "key"));
    TKM_ASSIGN(code.content, parts.take(element, "bytes"));
    out.code.push_back(std::move(code));
  }
  if (parts.left()) return base::corrupt(fmt::format("{} bytes too many", parts.left()));
  return out;
}

}  // namespace

std::string write_rank_file(const RankFile& file) {
  Json code = Json::array();
  for (const EngineCode& one : file.code)
    code.push_back({{"name", one.name}, {"key", one.key}, {"bytes", one.content.size()}});
  Json header = {{"plan_bytes", file.plan.size()}, {"code", std::move(code)}};
  std::string out = header.dump() + "\n" + file.plan;
  for (const EngineCode& one : file.code) out += one.content;
  return out;
}

Result<RankFile> read_rank_file(std::string_view content, const std::string& shown) {
  size_t line = content.find('\n');
  if (line == std::string_view::npos)
    return base::corrupt(fmt::format("{}: its first line does not end", shown));
  TKM_ASSIGN(Json header, base::parse_json(content.substr(0, line), shown));
  auto file = read_parts(header, Parts(content.substr(line + 1)));
  if (!file.ok()) return base::corrupt(fmt::format("{}: {}", shown, file.error().message));
  return file;
}

}  // namespace tokamak::engine
