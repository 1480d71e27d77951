// SPDX-License-Identifier: Apache-2.0
#include "ops/gumbel.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "ops/op_table.h"

namespace banyan::ops {
namespace {

uint32_t Mix(uint32_t hash, uint32_t word) {
  word *= 0xcc9e2d51u;
  word = std::rotl(word, 15);
  word *= 0x1b873593u;
  hash ^= word;
  hash = std::rotl(hash, 13);
  return hash * 5 + 0xe6546b64u;
}

}  // namespace

uint32_t SampleHashPrefix(uint64_t seed, int64_t position) {
  uint32_t hash = Mix(0, static_cast<uint32_t>(seed));
  hash = Mix(hash, static_cast<uint32_t>(seed >> 32));
  return Mix(hash, static_cast<uint32_t>(position));
}

uint32_t SampleHash(uint64_t seed, int64_t position, uint32_t column) {
  uint32_t hash = Mix(SampleHashPrefix(seed, position), column);
  hash ^= 16;  // bytes hashed
  hash ^= hash >> 16;
  hash *= 0x85ebca6bu;
  hash ^= hash >> 13;
  hash *= 0xc2b2ae35u;
  return hash ^ hash >> 16;
}

double GumbelOfHash(uint32_t hash) {
  const double log_u = std::log(static_cast<double>(hash) / std::numeric_limits<uint32_t>::max());
  return -std::log(-std::clamp(log_u, std::numeric_limits<double>::lowest(), -0x1p-32));
}

// Two arrays of n candidates of 8 bytes, and a histogram.
std::size_t SampleWorkspaceBytes(int64_t n) {
  return (static_cast<std::size_t>(n) * 16 + 32768 + 63) / 64 * 64;
}

}  // namespace banyan::ops
