// SPDX-License-Identifier: Apache-2.0
// EchoRunner: a StepRunner without a model. The next token is a fixed function of the last one, at
// the cost of a table look-up; what is left to measure is everything around a model: scheduling,
// detokenizing, HTTP. Its distribution has all weight on that one token: log-probability 0, and
// minus infinity for every other.
#pragma once

#include <string>
#include <vector>

#include "run/step_runner.h"

namespace banyan {

class EchoRunner final : public StepRunner {
 public:
  // next[t] follows t.
  EchoRunner(std::vector<TokenId> next, int rows);

  StepOutcome Execute(const StepPlan& plan) override;
  std::string stage() const override { return "echo"; }

 private:
  struct Row {
    TokenId last = 0;
    LogprobParams logprobs;
  };
  TokenLogprob Logprob(TokenId previous, TokenId id, const LogprobParams& wanted) const;

  std::vector<TokenId> next_;
  std::vector<Row> rows_;
};

}  // namespace banyan
