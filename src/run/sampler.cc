// SPDX-License-Identifier: Apache-2.0
#include "run/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/sample.h"

namespace banyan {
namespace {

std::span<float> Row(const Tensor& logits, std::size_t i) {
  return {logits.Row(static_cast<int64_t>(i)).data<float>(),
          static_cast<std::size_t>(logits.dim(1))};
}

void ApplyPenalties(const RequestRow& row, std::span<float> logits) {
  const SamplingParams& sampling = row.sampling;
  if (row.counts_outputs()) {
    for (const auto& [token, count] : row.counts) {
      float& x = logits[token];
      x -= sampling.frequency_penalty * static_cast<float>(count);
      x -= sampling.presence_penalty;
      if (sampling.repetition_penalty != 1.0f)
        x = x < 0.0f ? x * sampling.repetition_penalty : x / sampling.repetition_penalty;
    }
  }
  if (row.generated < sampling.min_new_tokens) {
    for (const TokenId token : row.end_ids) {
      if (token >= 0 && token < static_cast<TokenId>(logits.size()))
        logits[token] = -std::numeric_limits<float>::infinity();
    }
  }
  for (const auto& [token, bias] : sampling.logit_bias) logits[token] += bias;
}

TokenLogprob ReadLogprob(std::span<const float> logprobs, TokenId token,
                         const LogprobParams& wanted) {
  TokenLogprob out;
  out.id = token;
  out.logprob = logprobs[token];
  if (wanted.top_n > 0) out.top = ops::TopN(logprobs, wanted.top_n);
  out.of_ids.reserve(wanted.token_ids.size());
  for (const TokenId id : wanted.token_ids) out.of_ids.push_back(logprobs[id]);
  return out;
}

// A broken model's logits, or minus infinity wherever the request's own settings put it.
Status WhyNoToken(std::span<const float> logits) {
  const bool masked = std::all_of(logits.begin(), logits.end(), [](float x) {
    return x == -std::numeric_limits<float>::infinity();
  });
  if (masked) return InvalidArgument("logit_bias and min_new_tokens leave no token to choose");
  return Internal("the model gave logits that are not finite numbers");
}

void Fail(RequestRow& row, RowOutcome& outcome, Status error) {
  row.error = error;
  outcome.error = std::move(error);
  outcome.accepted.clear();
}

}  // namespace

void SampleRows(const ops::OpContext& context, const Tensor& logits,
                std::span<const SampleTarget> targets, bool original_logprobs) {
  if (targets.empty()) return;
  std::vector<ops::SampleRow> samples(targets.size());
  std::vector<float> temperatures;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const RequestRow& row = *targets[i].row;
    ApplyPenalties(row, Row(logits, i));
    const SamplingParams& sampling = row.sampling;
    samples[i] = {.temperature = sampling.greedy() ? 0.0f : sampling.temperature,
                  .top_k = sampling.top_k,
                  .top_p = sampling.top_p,
                  .min_p = sampling.min_p,
                  .seed = row.seed,
                  .position = row.length - 1};
    if (row.logprobs.enabled) {
      temperatures.push_back(sampling.greedy() || original_logprobs ? 1.0f : sampling.temperature);
    }
  }
  std::vector<TokenId> tokens(targets.size());
  ops::Sample(context, logits, samples, tokens);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (tokens[i] < 0) Fail(*targets[i].row, *targets[i].outcome, WhyNoToken(Row(logits, i)));
  }

  const std::size_t scored = temperatures.size();
  if (scored > 0) {
    ops::LogSoftmax(context, logits.Slice(0, 0, static_cast<int64_t>(scored)), temperatures);
  }
  for (std::size_t i = 0; i < targets.size(); ++i) {
    RequestRow& row = *targets[i].row;
    RowOutcome& outcome = *targets[i].outcome;
    if (!row.error.ok()) continue;
    outcome.accepted.push_back(tokens[i]);
    if (i < scored)
      outcome.logprobs.push_back(ReadLogprob(Row(logits, i), tokens[i], row.logprobs));
    row.Accept(tokens[i]);
  }
}

void ScorePrompt(const ops::OpContext& context, const Tensor& logits,
                 std::span<const PromptTarget> targets) {
  if (targets.empty()) return;
  const std::vector<float> ones(targets.size(), 1.0f);
  ops::LogSoftmax(context, logits, ones);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const std::span<const float> logprobs = Row(logits, i);
    // One bad logit makes the whole row no number.
    if (std::isnan(logprobs[targets[i].token])) {
      Fail(*targets[i].row, *targets[i].outcome,
           Internal("the model gave logits that are not finite numbers"));
      continue;
    }
    targets[i].outcome->prompt_logprobs.push_back(
        ReadLogprob(logprobs, targets[i].token, targets[i].row->logprobs));
  }
}

}  // namespace banyan
