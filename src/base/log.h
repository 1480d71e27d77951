// SPDX-License-Identifier: Apache-2.0
// Logging is spdlog under short names: LogInfo("loaded {} tensors", n). One logger of the process,
// to stderr, so that stdout stays for results. Thread-safe.
#pragma once

#include <spdlog/spdlog.h>

#include <string_view>
#include <utility>

#include "base/status.h"

namespace banyan {

template <typename... Args>
void LogDebug(fmt::format_string<Args...> format, Args&&... args) {
  spdlog::debug(format, std::forward<Args>(args)...);
}
template <typename... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  spdlog::info(format, std::forward<Args>(args)...);
}
template <typename... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  spdlog::warn(format, std::forward<Args>(args)...);
}
template <typename... Args>
void LogError(fmt::format_string<Args...> format, Args&&... args) {
  spdlog::error(format, std::forward<Args>(args)...);
}

// Sends the log to stderr with time stamps, at `level` (debug, info, warning, error, critical).
// Called once by app/.
Status InitLog(std::string_view level);

}  // namespace banyan
