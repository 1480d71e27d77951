// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace banyan::sim {

// splitmix64: one is made in every step, which costs nothing.
class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed) {}
  uint32_t operator()() {
    uint64_t x = state_ += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return static_cast<uint32_t>((x ^ (x >> 31)) >> 32);
  }
  int Below(int bound) { return static_cast<int>((*this)() % bound); }

 private:
  uint64_t state_;
};

}  // namespace banyan::sim
