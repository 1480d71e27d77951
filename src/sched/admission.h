// SPDX-License-Identifier: Apache-2.0
// How much the scheduler dares to admit. Outputs have unknown lengths: every running request is
// expected to make `ratio` times the tokens it still may. The ratio decays while all goes well and
// rises when a retraction shows that it was too low. SGLang's rule and constants (its description,
// section 1.5.1).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cache/prefix_cache.h"
#include "sched/request_state.h"

namespace banyan {

class NewTokenRatio {
 public:
  explicit NewTokenRatio(double conservativeness);

  double value() const { return value_; }
  void Decay();  // after a step that decoded
  void Reset() { value_ = initial_; }
  // After a retraction: from what the requests that still run have made of what they may.
  void Raise(std::span<Request* const> running);

 private:
  double initial_, lowest_, decay_;
  double value_;
};

// Outputs that a request may still make, but at most 4096: nobody expects more.
Position ExpectedOutputs(const Request& request);

// The pages of each kind that are not spoken for by running requests.
class AdmissionBudget {
 public:
  AdmissionBudget(const PrefixCache& cache, std::span<Request* const> running, double ratio,
                  int64_t chunk);

  // Whether a request that has `shared` positions from the cache can be expected to end within what
  // is left. Its shared pages are locked already.
  bool Fits(const Request& request, Position shared) const;
  // How many pages of the kind it lacks for that; none when not positive.
  int64_t Missing(KindId kind, const Request& request, Position shared) const;
  // What a running request would free if it were retracted: its pages, and those kept for it.
  int64_t Occupied(KindId kind, const Request& running) const;
  void Take(const Request& request);  // it runs from now on

 private:
  int64_t Reserved(KindId kind, const Request& running) const;
  int64_t Growth(KindId kind, Position length, Position growth) const;

  const PrefixCache& cache_;
  const double ratio_;
  const int64_t chunk_;
  std::vector<int64_t> reserved_;
};

}  // namespace banyan
