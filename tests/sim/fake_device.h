// SPDX-License-Identifier: Apache-2.0
// A device that runs plans late: its pools hold, instead of keys and values, the hash of a token at
// a position (for state: a hash of all tokens so far), and the token it samples is a hash of
// exactly the entries that the row may see. It fails at once when an entry is read that was never
// written, belongs to another position or other weights, or when a plan writes where a plan that
// has not ended may still read or write.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sched/plan.h"
#include "sim/expected.h"

namespace banyan::sim {

class FakeDevice {
 public:
  // `pages` per layer, without the dump page.
  FakeDevice(std::vector<Layer> layers, std::vector<int64_t> pages, int page_size, int vocabulary,
             const Rope& rope = {});

  void Issue(StepPlan plan);  // to the end of the queue
  bool queued() const { return !queue_.empty(); }
  StepOutcome Run();  // the oldest plan; what it wrote can be read from now on
  void Ended(PlanNumber plan) { ended_ = plan; }  // its outcome has been told

  // The first thing that went wrong; empty if nothing has.
  const std::string& failure() const { return failure_; }

 private:
  struct Slot {
    uint64_t value = 0;
    uint64_t weights = 0;
    int position = -1;  // never written; of state: how many tokens it has seen
    PlanNumber last_use = 0;
    int64_t last_user = 0;  // the row, by the order of opening
  };
  using Tables = std::vector<std::vector<PageId>>;
  struct Row {
    uint64_t weights = 0;
    int length = 0;
    int rope_length = 0;
    int64_t serial = 0;
    std::shared_ptr<Tables> tables;  // shared with plans not yet run: copied before it changes
  };
  struct Work {
    StepPlan plan;
    std::vector<Row> rows;  // of its spans, as they are before them
  };
  Slot* At(const Row& row, int layer, int position);
  Slot* StateOf(const Row& row, int layer);
  void Use(Slot* slot, const Row& row, bool write, int layer);
  void IssueSpan(const Span& span, Row& row);
  void RunSpan(const Span& span, const Row& row, RowOutcome* result);
  // `states`: per state layer, the state after the token at p.
  uint64_t Visible(const Row& row, int p, const std::vector<uint64_t>& states);
  void Fail(std::string what);

  const std::vector<Layer> layers_;
  const int page_size_, vocabulary_;
  const Rope rope_;
  std::vector<std::vector<Slot>> pools_;
  std::map<RowId, Row> rows_;         // as the plans issued so far leave them
  std::map<RowId, int> last_tokens_;  // as the plans run so far leave them
  std::deque<Work> queue_;
  PlanNumber issued_ = 0, ended_ = 0;
  int64_t opened_ = 0;
  std::string failure_;
};

}  // namespace banyan::sim
