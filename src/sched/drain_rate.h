// SPDX-License-Identifier: Apache-2.0
// DrainRate: how fast requests leave the waiting queue, as measured over the last seconds in which
// some waited. From it follows when to come back after a refusal. A pure value.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "sched/request.h"

namespace banyan {

class DrainRate {
 public:
  // `left` requests have left the queue since the last call; `waited`: some were waiting meanwhile.
  void Observe(TimePoint now, int64_t left, bool waited) {
    const double seconds = std::chrono::duration<double>(now - last_).count();
    if (waited && last_ != TimePoint() && seconds > 0) {
      const double keep = std::exp(-seconds / kMemory);
      seconds_ = seconds_ * keep + seconds;
      left_ = left_ * keep + static_cast<double>(left);
    }
    last_ = now;
  }

  // Until `waiting` requests have left the queue; 0 when nothing is known.
  double Seconds(int64_t waiting) const {
    if (left_ <= 0) return seconds_;
    return static_cast<double>(waiting) * seconds_ / left_;
  }

 private:
  static constexpr double kMemory = 10;  // seconds
  TimePoint last_;
  double seconds_ = 0, left_ = 0;
};

}  // namespace banyan
