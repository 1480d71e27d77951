// SPDX-License-Identifier: Apache-2.0
// What every op with a recurrent state is told about the step: which rows of its inputs are whose,
// and where the state lies. The ops themselves: ops/conv.h, ops/scan.h, ops/recurrence.h.
//
// A state pool is one tensor per layer and role, [slots, ...] f32; slot 0 is a dump. Such an op
// runs the rows of each sequence in order from the state in its slot (from zeros when `fresh`,
// whatever the slot holds), leaves the state after the last row there, and copies what it was after
// row `after` - 1 to each snapshot's slot. How rows are cut into steps never shows in the result.
#pragma once

#include <cstdint>
#include <span>

#include "cache/cache_spec.h"

namespace banyan::ops {

struct StateSnapshot {
  int32_t after = 0;  // rows of the sequence's share of the step, 1..count
  PageId slot = kNoPage;
};

struct StateSequence {
  int32_t begin = 0;  // rows [begin, begin + count) of the step
  int32_t count = 0;
  PageId slot = kNoPage;
  bool fresh = false;
  std::span<const StateSnapshot> snapshots;  // by `after`; borrowed
};

}  // namespace banyan::ops
