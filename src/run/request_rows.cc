// SPDX-License-Identifier: Apache-2.0
#include "run/request_rows.h"

#include "base/check.h"

namespace banyan {

void RequestRow::Accept(TokenId token) {
  last_token = token;
  ++generated;
  if (counts_outputs()) ++counts[token];
}

RequestRows::RequestRows(int rows, int groups) : groups_(groups), rows_(rows) {}

RequestRow& RequestRows::operator[](RowId row) {
  BANYAN_CHECK(row >= 0 && row < static_cast<RowId>(rows_.size()), "row {} of {}", row,
               rows_.size());
  return rows_[row];
}

void RequestRows::Apply(const StepPlan& plan) {
  for (const RowId id : plan.closed) {
    RequestRow& row = (*this)[id];
    BANYAN_CHECK(row.open, "plan {} closes row {}, which is not open", plan.number, id);
    row = RequestRow();
  }
  for (const RowOpened& opened : plan.opened) {
    RequestRow& row = (*this)[opened.row];
    BANYAN_CHECK(!row.open, "plan {} opens row {}, which is open", plan.number, opened.row);
    row.open = true;
    row.length = opened.length;
    row.rope_length = opened.rope_length;
    row.sampling = opened.sampling;
    row.logprobs = opened.logprobs;
    row.seed = opened.seed;
    row.end_ids = opened.end_ids;
    row.pages.resize(groups_);
    for (const TokenId token : opened.generated) row.Accept(token);
  }
  for (const PageSet& set : plan.pages) {
    RequestRow& row = (*this)[set.row];
    BANYAN_CHECK(row.open && set.kind >= 0 && set.kind < groups_ && set.index >= 0,
                 "plan {} sets page {} of row {}, group {}", plan.number, set.index, set.row,
                 set.kind);
    std::vector<PageId>& pages = row.pages[set.kind];
    if (set.index >= static_cast<int32_t>(pages.size())) pages.resize(set.index + 1, kNoPage);
    pages[set.index] = set.page;
  }
}

}  // namespace banyan
