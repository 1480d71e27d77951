// SPDX-License-Identifier: Apache-2.0
// --config FILE.yaml: a file of flags. `model-path: m` (or model_path) stands for --model-path m;
// true and false for a switch; a list for several values. The command line wins over the file.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/status.h"

namespace banyan {

// `args`: everything after the subcommand. Without --config they come back as they are; with it the
// file's flags stand before them. `one_value`: whether this flag ("--port") takes no list.
StatusOr<std::vector<std::string>> ExpandConfigFile(
    std::vector<std::string> args, const std::function<bool(const std::string&)>& one_value);

}  // namespace banyan
