// SPDX-License-Identifier: Apache-2.0
// A failure that says when to try again: seconds that travel with a Status, for Retry-After.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>

#include "absl/strings/cord.h"
#include "base/status.h"

namespace banyan {

inline constexpr char kRetryAfterPayload[] = "banyan/retry-after";

// Whole seconds, at least one and at most an hour.
inline Status WithRetryAfter(Status status, double seconds) {
  const double whole = std::clamp(std::ceil(seconds), 1.0, 3600.0);
  status.SetPayload(kRetryAfterPayload, absl::Cord(std::to_string(static_cast<int>(whole))));
  return status;
}

inline std::optional<int> RetryAfter(const Status& status) {
  const auto payload = status.GetPayload(kRetryAfterPayload);
  if (!payload) return std::nullopt;
  return std::atoi(std::string(*payload).c_str());
}

}  // namespace banyan
