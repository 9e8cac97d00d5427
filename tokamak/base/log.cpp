// SPDX-License-Identifier: Apache-2.0
#include "tokamak/base/log.h"

#include <cstdlib>
#include <memory>

#include <spdlog/cfg/helpers.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace tokamak::base {
namespace {

spdlog::level::level_enum spd_level(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return spdlog::level::trace;
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      return spdlog::level::off;
  }
  return spdlog::level::off;
}

spdlog::logger& logger() {
  static std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>("tokamak",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%H:%M:%S.%e %l %v");
    made->set_level(spdlog::level::warn);
    if (const char* level = std::getenv("TOKAMAK_LOG_LEVEL"))
      made->set_level(spdlog::level::from_str(level));
    return made;
  }();
  return *instance;
}

}  // namespace

bool log_enabled(LogLevel level) {
  return logger().should_log(spd_level(level));
}
void log_line(LogLevel level, std::string_view line) {
  logger().log(spd_level(level), line);
}

}  // namespace tokamak::base
