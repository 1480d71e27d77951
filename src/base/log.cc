// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

namespace banyan {
namespace {

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

// Not registered under its name, so that there may be another later.
void SetLogger(spdlog::level::level_enum level) {
  auto logger = std::make_shared<spdlog::logger>(
      "banyan", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_pattern("[%Y-%m-%d %H:%M:%S.%e] %^%l%$ %v");
  logger->set_level(level);
  spdlog::set_default_logger(std::move(logger));
}

// spdlog's own default writes to stdout, among the results of a command that sets up no log.
void LeaveStdoutAlone() {
  [[maybe_unused]] static const bool done = (SetLogger(spdlog::level::info), true);
}

}  // namespace

void LogMessage(LogLevel level, fmt::string_view format, fmt::format_args args) {
  LeaveStdoutAlone();
  const auto of_spdlog = SpdlogLevel(level);
  if (!spdlog::default_logger_raw()->should_log(of_spdlog)) return;
  const std::string message = fmt::vformat(format, args);
  spdlog::log(of_spdlog, spdlog::string_view_t(message));
}

Status InitLog(std::string_view level) {
  const std::string name(level);
  const auto parsed = spdlog::level::from_str(name == "warning" ? "warn" : name);
  if (parsed == spdlog::level::off && name != "off") {
    return InvalidArgument("log level '{}' is none of debug, info, warning, error, critical, off",
                           name);
  }
  LeaveStdoutAlone();
  SetLogger(parsed);
  return OkStatus();
}

}  // namespace banyan
