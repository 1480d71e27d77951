// SPDX-License-Identifier: Apache-2.0
// StepPlan: what the device does in one step, and StepOutcome: what came of it.
//
// A plan is an immutable value that can be serialized and that stays true before earlier plans have
// ended: a span names a row and upper bounds, never a length that a plan still in flight decides.
// The device keeps a RequestRow per running request (run/request_rows.h); plans carry changes to it
// only, so that a step costs O(changes). Rows and pages are logical numbers, the same on every
// rank. docs/design.md sections 3 and 4.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"
#include "cache/cache_spec.h"
#include "sched/sampling_params.h"

namespace banyan {

using RowId = int32_t;
using PlanNumber = uint64_t;

// A row begins: everything that sampling needs to know and that never changes while it runs.
struct RowOpened {
  RowId row = 0;
  uint64_t request = 0;     // its RequestId: for logs and the watchdog only
  int32_t length = 0;       // positions [0, length) are already in the row's pages (prefix hit)
  int32_t rope_length = 0;  // RopeLengths: what its keys are turned for
  std::vector<TokenId>
      generated;  // outputs from before a retraction: penalties count them, seeds go on from them
  SamplingParams sampling;
  LogprobParams logprobs;
  uint64_t seed = 0;
  std::vector<TokenId> end_ids;  // all ids that end it: forbidden until min_new_tokens
};

// Entry `index` of the row's page table of one kind. Positions [index * page_size, (index + 1) *
// page_size).
struct PageSet {
  RowId row = 0;
  KindId kind = 0;
  int32_t index = 0;
  PageId page = kNoPage;
};

// One slot of a kState group is copied to another, before the spans of the plan. A row that is
// opened with length 0 begins with the zero state, whatever its slot (PageSet index 0) holds.
struct StateCopy {
  KindId kind = 0;
  PageId from = kNoPage, to = kNoPage;
};

// When the first `after` tokens of the span are done, the row's state is copied to `slot`.
struct StateSnapshot {
  KindId kind = 0;
  int32_t after = 0;
  PageId slot = kNoPage;
};

// A run of new tokens of one row. Prefill: `tokens` holds them. Decode: `tokens` is empty, the
// input is what the row's last step sampled, which may still be on the device.
struct Span {
  RowId row = 0;
  int32_t num_tokens = 0;    // at most so many new positions
  int32_t length_bound = 0;  // the row's length after this step is at most this
  std::vector<TokenId> tokens;
  bool sample =
      false;  // sample a token after the last position (decode, or the last chunk of a prefill)
  // Prompt logprobs wanted from this span: positions [first, first + count) of the span, each the
  // logprob of the token that follows it. `targets` are those following tokens (the last may lie
  // beyond the span).
  int32_t prompt_logprob_first = 0;
  std::vector<TokenId> prompt_logprob_targets;
  std::vector<StateSnapshot> snapshots;  // by `after`
};

struct StepPlan {
  PlanNumber number = 0;
  std::vector<RowId> closed;  // applied first: a number may be opened again in the same plan
  std::vector<RowOpened> opened;
  std::vector<PageSet> pages;
  std::vector<StateCopy> copies;  // before the spans
  std::vector<Span> spans;        // prefill and decode mixed, in the scheduler's order
  int32_t total_tokens = 0;       // sum of num_tokens

  bool empty() const { return spans.empty() && closed.empty() && opened.empty() && pages.empty(); }
};

struct RowOutcome {
  RowId row = 0;
  std::vector<TokenId>
      accepted;  // sampled tokens, one without speculation; empty for an unfinished prefill
  std::vector<TokenLogprob> logprobs;         // one per accepted token, when asked for
  std::vector<TokenLogprob> prompt_logprobs;  // one per prompt_logprob_targets
  Status error;                               // this row only
};

struct StepOutcome {
  PlanNumber number = 0;
  std::vector<RowOutcome> rows;  // in the order of the plan's spans
  Status error;                  // of the whole step: every row of the plan has failed
};

}  // namespace banyan
