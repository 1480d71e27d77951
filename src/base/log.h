// SPDX-License-Identifier: Apache-2.0
// Logging under short names: LogInfo("loaded {} tensors", n). One logger of the process, to stderr,
// so that stdout stays for results. Thread-safe. spdlog stands behind log.cc only: its headers cost
// ten seconds in each file that includes them.
#pragma once

#include <fmt/core.h>

#include <string_view>
#include <utility>

#include "base/status.h"

namespace banyan {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

void LogMessage(LogLevel level, fmt::string_view format, fmt::format_args args);

template <typename... Args>
void LogDebug(fmt::format_string<Args...> format, Args&&... args) {
  LogMessage(LogLevel::kDebug, format, fmt::make_format_args(args...));
}
template <typename... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  LogMessage(LogLevel::kInfo, format, fmt::make_format_args(args...));
}
template <typename... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  LogMessage(LogLevel::kWarning, format, fmt::make_format_args(args...));
}
template <typename... Args>
void LogError(fmt::format_string<Args...> format, Args&&... args) {
  LogMessage(LogLevel::kError, format, fmt::make_format_args(args...));
}

// Sends the log to stderr with time stamps, at `level` (debug, info, warning, error, critical,
// off). Called once by app/.
Status InitLog(std::string_view level);

}  // namespace banyan
