// SPDX-License-Identifier: Apache-2.0
// RequestRows: what the device keeps for each running request between steps: length, last token,
// sampling parameters, penalty counts, page tables. Plans carry changes only, so a step costs
// O(changes); decode inputs come from here, so a plan may be made before the last token is known.
// Not thread-safe: belongs to the executor's thread.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/status.h"
#include "sched/plan.h"

namespace banyan {

struct RequestRow {
  bool open = false;
  int32_t length = 0;       // positions in the cache
  int32_t rope_length = 0;  // RopeLengths
  TokenId last_token = -1;  // sampled last: the input of the next decode; -1: none yet
  int32_t generated = 0;    // outputs so far, from before a retraction too
  SamplingParams sampling;
  LogprobParams logprobs;
  uint64_t seed = 0;
  std::vector<TokenId> end_ids;
  absl::flat_hash_map<TokenId, int32_t> counts;  // of the outputs; kept only where a penalty is set
  std::vector<std::vector<PageId>> pages;        // per cache group
  Status error;  // the row has failed: later spans of it are answered with this

  bool counts_outputs() const {
    return sampling.frequency_penalty != 0.0f || sampling.presence_penalty != 0.0f ||
           sampling.repetition_penalty != 1.0f;
  }
  void Accept(TokenId token);  // takes an output in
};

class RequestRows {
 public:
  RequestRows(int rows, int groups);

  // Rows closed, rows opened, page table entries, in this order.
  void Apply(const StepPlan& plan);

  RequestRow& operator[](RowId row);

 private:
  int groups_;
  std::vector<RequestRow> rows_;
};

}  // namespace banyan
