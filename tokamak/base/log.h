// SPDX-License-Identifier: Apache-2.0
// Log lines to stderr. Level by the environment: TOKAMAK_LOG_LEVEL =
// trace|debug|info|warn|error|off (default warn).
#pragma once

#include <array>
#include <string_view>

#include <fmt/format.h>

#include "tokamak/base/result.h"

namespace tokamak::base {

enum class LogLevel { kTrace, kDebug, kInfo, kWarn, kError, kOff };
constexpr auto enum_names(LogLevel) {
  return std::array<std::string_view, 6>{"trace", "debug", "info", "warn", "error", "off"};
}

bool log_enabled(LogLevel level);
void log_line(LogLevel level, std::string_view line);
/// Called before each line that is written, such as to take a progress bar away. Set once, before
/// threads log.
void before_log_line(void (*call)());
/// Errors: invalid, where TOKAMAK_LOG_LEVEL is none of the levels (the default holds then).
Result<void> check_log_level();

template <typename... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(level)) log_line(level, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::kDebug, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::kInfo, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_warn(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::kWarn, format, std::forward<Args>(args)...);
}

}  // namespace tokamak::base
