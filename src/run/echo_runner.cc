// SPDX-License-Identifier: Apache-2.0
#include "run/echo_runner.h"

#include <limits>
#include <utility>

namespace banyan {

namespace {
constexpr float kNever = -std::numeric_limits<float>::infinity();
}  // namespace

EchoRunner::EchoRunner(std::vector<TokenId> next, int rows) : next_(std::move(next)), rows_(rows) {}

TokenLogprob EchoRunner::Logprob(TokenId previous, TokenId id, const LogprobParams& wanted) const {
  const TokenId certain = next_[previous];
  TokenLogprob out;
  out.id = id;
  out.logprob = id == certain ? 0.0f : kNever;
  if (wanted.top_n > 0) out.top.emplace_back(0.0f, certain);
  for (const TokenId other : wanted.token_ids)
    out.of_ids.push_back(other == certain ? 0.0f : kNever);
  return out;
}

StepOutcome EchoRunner::Execute(const StepPlan& plan) {
  for (const RowOpened& opened : plan.opened) {
    Row& row = rows_[opened.row];
    row.logprobs = opened.logprobs;
    if (!opened.generated.empty()) row.last = opened.generated.back();
  }
  StepOutcome outcome;
  outcome.number = plan.number;
  outcome.rows.reserve(plan.spans.size());
  for (const Span& span : plan.spans) {
    Row& row = rows_[span.row];
    RowOutcome& out = outcome.rows.emplace_back();
    out.row = span.row;
    for (std::size_t i = 0; i < span.prompt_logprob_targets.size(); ++i) {
      out.prompt_logprobs.push_back(Logprob(span.tokens[span.prompt_logprob_first + i],
                                            span.prompt_logprob_targets[i], row.logprobs));
    }
    if (!span.tokens.empty()) row.last = span.tokens.back();
    if (!span.sample) continue;
    const TokenId token = next_[row.last];
    if (row.logprobs.enabled) out.logprobs.push_back(Logprob(row.last, token, row.logprobs));
    row.last = token;
    out.accepted.push_back(token);
  }
  return outcome;
}

}  // namespace banyan
