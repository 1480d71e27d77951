// SPDX-License-Identifier: Apache-2.0
// SGLang's flags that no command declares: each is known by name, and refused with its reason, or
// accepted because it asks for what is so anyway. docs/sglang-compatibility.md is made from this.
#pragma once

#include <CLI/CLI.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace banyan {

enum class FlagFate { kNoEffect, kRefused, kNotYet };

struct SglangFlag {
  std::string name;  // "--tp-size"
  FlagFate fate = FlagFate::kRefused;
  std::string reason;
  std::string neutral;  // a value with which it changes nothing and is accepted; may be empty
};

const std::vector<SglangFlag>& SglangFlags();

// What `app` did not know of its arguments: an error for the first that is misspelt or refused, and
// lines to tell the user about the flags that have no effect.
Status CheckLeftOver(const CLI::App& app, const std::vector<std::string>& left,
                     std::vector<std::string>& notes);

}  // namespace banyan
