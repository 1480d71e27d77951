// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include <string>

namespace banyan {

Status InitLog(std::string_view level) {
  const std::string name(level);
  const auto parsed = spdlog::level::from_str(name == "warning" ? "warn" : name);
  if (parsed == spdlog::level::off && name != "off") {
    return InvalidArgument("log level '{}' is none of debug, info, warning, error, critical, off",
                           name);
  }
  auto logger = spdlog::stderr_color_mt("banyan");
  logger->set_pattern("[%Y-%m-%d %H:%M:%S.%e] %^%l%$ %v");
  logger->set_level(parsed);
  spdlog::set_default_logger(std::move(logger));
  return OkStatus();
}

}  // namespace banyan
