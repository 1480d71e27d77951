// SPDX-License-Identifier: Apache-2.0
// The bounds of histograms as SGLang's flags give them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace banyan {

// --bucket-*: ascending finite numbers; none: empty.
Status CheckBounds(std::string_view flag, const std::vector<double>& bounds);

// --prompt-tokens-buckets and its like: "default" (or nothing), which gives none; "custom" and the
// bounds in any order; "tse", a middle, a base over 1 and a count: the middle and, on either side,
// the base's powers away from it.
StatusOr<std::vector<double>> BoundsByRule(std::string_view flag,
                                           const std::vector<std::string>& rule);

}  // namespace banyan
