// SPDX-License-Identifier: Apache-2.0
// StepTime: how long steps take, and how long a chunk may be so that its step takes no longer than
// one at the beginning of a prompt. A step's time is taken to be
//   c + b * tokens + a * (pairs of a token and one that it sees),
// fitted by least squares to the steps measured so far, of which older ones count less. A pure
// value.
#pragma once

#include <cstdint>

namespace banyan {

class StepTime {
 public:
  static double Pairs(double context, double tokens) { return tokens * (context + tokens / 2); }

  void Observe(double tokens, double pairs, double seconds);

  // a / b: how many tokens' time one pair costs. 0 while that is not known.
  double pair_cost() const { return pair_cost_; }
  // The chunk that follows `context` tokens and takes the time of `full` tokens that follow none;
  // between a quarter of `full` and `full`.
  int64_t Chunk(int64_t context, int64_t full) const;

 private:
  void Fit();

  double pair_cost_ = 0;
  int observed_ = 0;
  double matrix_[3][3] = {};  // sums of products of (1, tokens, pairs)
  double vector_[3] = {};     // and of those with the time
};

}  // namespace banyan
