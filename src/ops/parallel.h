// SPDX-License-Identifier: Apache-2.0
// Splitting an op over the pool: for the entries of this layer.
#pragma once

#include <algorithm>
#include <functional>

#include "base/thread_pool.h"
#include "ops/context.h"

namespace banyan::ops {

// Below this much work an op runs on the caller's thread alone: handing out and waiting would cost
// more than half of what it saves. Half as much is the least that a thread takes at a time, which
// bounds how long the others wait at the end.
inline constexpr double kSerialNanoseconds = 6'000;

inline int Threads(const OpContext& context) {
  return context.pool == nullptr ? 1 : context.pool->size();
}

// fn(begin, end) over parts of [0, n), each item worth about `item_nanoseconds` on one thread; not
// at all where the pass is only measured. Allocates nothing: a reference is all that the pool's
// std::function holds.
template <typename Fn>
void ParallelItems(const OpContext& context, int64_t n, double item_nanoseconds, Fn&& fn) {
  if (n <= 0 || context.measuring) return;
  if (Threads(context) == 1 || n == 1 ||
      static_cast<double>(n) * item_nanoseconds < kSerialNanoseconds) {
    fn(int64_t{0}, n);
    return;
  }
  const int64_t grain =
      std::max<int64_t>(1, static_cast<int64_t>(kSerialNanoseconds / 2 / item_nanoseconds));
  context.pool->ParallelFor(n, grain, std::ref(fn));
}

}  // namespace banyan::ops
