// SPDX-License-Identifier: Apache-2.0
#include "ops/rope.h"

namespace banyan::ops {
namespace {

void Turn(const Rows& x, const float* cos, const float* sin, int64_t half, RopePairing pairing,
          int64_t begin, int64_t end) {
  const bool halves = pairing == RopePairing::kHalves;
  for (int64_t token = begin; token < end; ++token) {
    for (int64_t head = 0; head < x.inner; ++head) {
      float* row = x.at(token * x.inner + head);
      for (int64_t i = 0; i < half; ++i) {
        float& a = row[halves ? i : 2 * i];
        float& b = row[halves ? i + half : 2 * i + 1];
        const float c = cos[token * half + i];
        const float s = sin[token * half + i];
        const float turned = a * c - b * s;
        b = b * c + a * s;
        a = turned;
      }
    }
  }
}

}  // namespace

void FillRopeReference(OpTable& table) { table.rope = {Turn}; }

}  // namespace banyan::ops
