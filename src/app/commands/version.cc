// SPDX-License-Identifier: Apache-2.0
#include "base/version.h"

#include <fmt/format.h>

#include <cstdio>

#include "app/command.h"

namespace banyan {

void RegisterVersion(Commands& commands) {
  commands.push_back(
      {"version", "print the version and the commit", [](CLI::App&) -> std::function<Status()> {
         return [] {
           std::fputs(fmt::format("banyan {} ({})\n", kVersion, kCommit).c_str(), stdout);
           return OkStatus();
         };
       }});
}

}  // namespace banyan
