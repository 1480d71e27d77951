// SPDX-License-Identifier: Apache-2.0
// The command-line flags of an engine, under SGLang's names, shared by every command that starts
// one.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/config.h"

namespace banyan {

// Declares them on `app`; parsing fills `config`, which must outlive `app`. --model-path is
// required.
void AddEngineFlags(CLI::App& app, EngineConfig& config);

// "4096", "32k" (thousands), "32K" (1,024s); also m, M, g, G and a fraction before them ("1.5K").
StatusOr<int64_t> ParseSize(std::string_view text);

// Declares an option whose value ParseSize reads.
CLI::Option* AddSizeOption(CLI::App& app, std::string names, int64_t& value, std::string help);

}  // namespace banyan
