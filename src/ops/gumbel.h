// SPDX-License-Identifier: Apache-2.0
// The noise of seeded sampling: a pure function of (seed, position, column), so that a request's
// tokens do not depend on its batch. ops/sample.h gives the rule.
#pragma once

#include <cstdint>

namespace banyan::ops {

// MurmurHash3_x86_32 (Appleby, public domain), seed 0, over the 16 bytes seed low word, seed high
// word, position, column.
uint32_t SampleHash(uint64_t seed, int64_t position, uint32_t column);

// The part of it that a row shares: the state after seed and position.
uint32_t SampleHashPrefix(uint64_t seed, int64_t position);

// -ln(-ln u) with u = hash / (2^32 - 1), in f64; ln u is held at -2^-32 from above and at the
// least finite f64 from below.
double GumbelOfHash(uint32_t hash);
inline double Gumbel(uint64_t seed, int64_t position, uint32_t column) {
  return GumbelOfHash(SampleHash(seed, position, column));
}

}  // namespace banyan::ops
