// SPDX-License-Identifier: Apache-2.0
// DrainRate: how fast requests leave the waiting queue, as measured over the last seconds in which
// some waited, or the last departures where those take longer. From it follows when to come back
// after a refusal. A pure value.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "sched/request.h"

namespace banyan {

class DrainRate {
 public:
  // `left` requests have left the queue since the last call; `waited`: some were waiting meanwhile.
  void Observe(TimePoint now, int64_t left, bool waited) {
    const double seconds = std::chrono::duration<double>(now - last_).count();
    if (waited && last_ != TimePoint() && seconds > 0) {
      since_ += seconds;
      if (left > 0) {
        const auto gone = static_cast<double>(left);
        const double keep = std::exp(-std::min(since_ / kMemory, gone / kDepartures));
        seconds_ = seconds_ * keep + std::exchange(since_, 0);
        left_ = left_ * keep + gone;
      }
    }
    last_ = now;
  }

  // Until `waiting` requests have left the queue; 0 when nothing is known.
  double Seconds(int64_t waiting) const {
    const double seconds = seconds_ + since_;
    return left_ <= 0 ? seconds : static_cast<double>(waiting) * seconds / left_;
  }

 private:
  static constexpr double kMemory = 10;  // seconds
  static constexpr double kDepartures = 8;
  TimePoint last_;
  double seconds_ = 0, left_ = 0;
  double since_ = 0;  // seconds since the last departure
};

}  // namespace banyan
