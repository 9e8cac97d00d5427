// SPDX-License-Identifier: Apache-2.0
// Log lines to stderr. Level by the environment: TOKAMAK_LOG_LEVEL =
// trace|debug|info|warn|error|off (default warn).
#pragma once

#include <string_view>

#include <fmt/format.h>

namespace tokamak::base {

enum class LogLevel { kTrace, kDebug, kInfo, kWarn, kError, kOff };

bool log_enabled(LogLevel level);
void log_line(LogLevel level, std::string_view line);

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
