// SPDX-License-Identifier: Apache-2.0
#include "tokamak/base/log.h"

#include <atomic>
#include <cstdlib>
#include <memory>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "tokamak/base/fields.h"

namespace tokamak::base {
namespace {

constexpr LogLevel kDefaultLevel = LogLevel::kWarn;

/// What the environment asks for; an empty variable is none.
Result<LogLevel> asked_level() {
  const char* name = std::getenv("TOKAMAK_LOG_LEVEL");
  if (!name || !*name) return kDefaultLevel;
  return enum_from_name<LogLevel>(name, "TOKAMAK_LOG_LEVEL");
}

std::atomic<void (*)()> before_line{nullptr};

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
    auto level = asked_level();
    made->set_level(spd_level(level.ok() ? *level : kDefaultLevel));
    return made;
  }();
  return *instance;
}

}  // namespace

bool log_enabled(LogLevel level) {
  return logger().should_log(spd_level(level));
}
void log_line(LogLevel level, std::string_view line) {
  if (auto* call = before_line.load(); call && log_enabled(level)) call();
  logger().log(spd_level(level), line);
}
void before_log_line(void (*call)()) {
  before_line = call;
}
Result<void> check_log_level() {
  TKM_RETURN_IF_ERROR(asked_level());
  return {};
}

}  // namespace tokamak::base
