// SPDX-License-Identifier: Apache-2.0
// Times as ISO 8601 writes them.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace banyan {

// Seconds since 1970 of the clock's face: "2024-07-26", "2024-07-26T12:34" or
// "2024-07-26T12:34:56", the last two with 'T' or a space, a fraction behind the seconds, and a
// zone (Z, +02, +02:00, +0200). Fraction and zone are checked and of no effect: a template sees the
// face.
StatusOr<int64_t> ParseIsoClock(std::string_view text);

}  // namespace banyan
