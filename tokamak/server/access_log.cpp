// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/access_log.h"

#include <ctime>

#include <unistd.h>

#include "tokamak/base/json.h"

namespace tokamak::server {
namespace {

/// 2026-11-06T08:49:37.123Z
std::string iso_time(std::chrono::system_clock::time_point time) {
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch());
  const std::time_t seconds = since.count() / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  const size_t size = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:03}Z", std::string_view(text, size), since.count() % 1000);
}

}  // namespace

std::string access_line(const AccessRecord& record, std::chrono::system_clock::time_point now) {
  nlohmann::ordered_json line;
  line["time"] = iso_time(now);
  line["method"] = record.method;
  line["path"] = record.path;
  line["status"] = record.status;
  line["bytes"] = record.bytes;
  line["seconds"] =
      static_cast<double>(
          std::chrono::duration_cast<std::chrono::microseconds>(record.took).count()) /
      1e6;
  line["request_id"] = record.request_id;
  line["key"] = nullptr;
  if (record.key >= 0) line["key"] = record.key;
  if (!record.complete) line["complete"] = false;
  using Handler = nlohmann::ordered_json::error_handler_t;
  return line.dump(-1, ' ', /*ensure_ascii=*/true, Handler::replace) + "\n";
}

void write_access_line(const AccessRecord& record) {
  const std::string line = access_line(record, std::chrono::system_clock::now());
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace tokamak::server
