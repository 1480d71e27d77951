// SPDX-License-Identifier: Apache-2.0
#include "run/runner.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/check.h"
#include "base/thread_pool.h"

namespace banyan {

Runner::Runner(ops::OpContext context, std::shared_ptr<nn::Model> model, nn::CachePools pools,
               const RunnerOptions& options)
    : context_(context),
      model_(std::move(model)),
      pools_(std::move(pools)),
      rows_(options.max_rows, static_cast<int>(model_->info().cache_groups.size())),
      options_(options),
      max_logit_rows_(std::max<int64_t>(
          1, options.max_logit_bytes / Bytes(DType::kF32, model_->info().vocab_size))) {
  context_.place = &place_;
  batch_.sequences.resize(model_->info().cache_groups.size());
  batch_.states.resize(model_->info().cache_groups.size());
}

void Runner::Batch::Clear() {
  tokens.clear();
  positions.clear();
  rope_lengths.clear();
  for (auto& group : sequences) group.clear();
  for (auto& group : states) group.clear();
  snapshots.clear();
  logit_rows.clear();
  samples.clear();
  prompts.clear();
}

void Runner::Begin() {
  if (context_.pool != nullptr) context_.pool->PinCaller();
}

Status Runner::Reserve(const StepMemory& memory) {
  BANYAN_RETURN_IF_ERROR(context_.scratch->Reserve(static_cast<std::size_t>(memory.scratch_bytes)));
  const int64_t row_bytes = Bytes(DType::kF32, model_->info().vocab_size);
  BANYAN_RETURN_IF_ERROR(Logits(memory.logit_bytes / row_bytes).status());
  scratch_bytes_ = memory.bytes();
  return OkStatus();
}

std::string Runner::stage() const {
  const char* stage = stage_.load(std::memory_order_relaxed);
  return stage != nullptr ? stage : model_->PlaceName(place_.load(std::memory_order_relaxed));
}

StepOutcome Runner::Execute(const StepPlan& plan) {
  StepOutcome outcome;
  outcome.number = plan.number;
  try {
    outcome.error = Run(plan, outcome);
  } catch (const std::bad_alloc&) {
    outcome.error = ResourceExhausted("no memory for step {} ({})", plan.number, stage());
  }
  if (!outcome.error.ok()) {
    // A plan made before this one failed may still name the rows: their state is lost.
    for (const Span& span : plan.spans) rows_[span.row].error = outcome.error;
  }
  scratch_bytes_ = static_cast<int64_t>(context_.scratch->bytes() + logits_.size());
  stage_ = "waiting";
  return outcome;
}

Status Runner::Run(const StepPlan& plan, StepOutcome& outcome) {
  stage_ = "row changes";
  rows_.Apply(plan);
  outcome.rows.resize(plan.spans.size());
  for (std::size_t i = 0; i < plan.spans.size(); ++i) {
    outcome.rows[i].row = plan.spans[i].row;
    outcome.rows[i].error = rows_[plan.spans[i].row].error;
  }
  for (const StateCopy& copy : plan.copies)
    pools_.CopySlot(*context_.backend, copy.kind, copy.from, copy.to);
  for (const std::vector<Part>& parts : Passes(plan))
    BANYAN_RETURN_IF_ERROR(RunPass(plan, parts, outcome));
  return OkStatus();
}

// Cuts the spans into passes of at most max_logit_rows_ logits each.
std::vector<std::vector<Runner::Part>> Runner::Passes(const StepPlan& plan) const {
  std::vector<std::vector<Part>> passes(1);
  int64_t room = max_logit_rows_;
  for (std::size_t i = 0; i < plan.spans.size(); ++i) {
    const Span& span = plan.spans[i];
    const int32_t prompt_first = span.prompt_logprob_first;
    const int32_t prompt_end =
        prompt_first + static_cast<int32_t>(span.prompt_logprob_targets.size());
    Part part{i, 0, 0};
    for (int32_t t = 0; t < span.num_tokens; ++t) {
      const int64_t wanted = (t >= prompt_first && t < prompt_end ? 1 : 0) +
                             (span.sample && t + 1 == span.num_tokens ? 1 : 0);
      if (wanted > room && room < max_logit_rows_) {
        if (part.count > 0) passes.back().push_back(part);
        part = Part{i, t, 0};
        passes.emplace_back();
        room = max_logit_rows_;
      }
      room -= wanted;
      ++part.count;
    }
    if (part.count > 0) passes.back().push_back(part);
  }
  return passes;
}

void Runner::Gather(const StepPlan& plan, const std::vector<Part>& parts, StepOutcome& outcome) {
  batch_.Clear();
  std::vector<int32_t> prompt_rows, plain_rows;
  std::vector<SampleTarget> plain_samples;
  for (const Part& part : parts) {
    const Span& span = plan.spans[part.span];
    RequestRow& row = rows_[span.row];
    RowOutcome& out = outcome.rows[part.span];
    if (!row.error.ok()) continue;
    const auto q_begin = static_cast<int32_t>(batch_.tokens.size());
    if (span.tokens.empty()) {
      BANYAN_CHECK(part.count == 1 && row.last_token >= 0,
                   "plan {} decodes row {}, which has no last token", plan.number, span.row);
      batch_.tokens.push_back(row.last_token);
    } else {
      batch_.tokens.insert(batch_.tokens.end(), span.tokens.begin() + part.begin,
                           span.tokens.begin() + part.begin + part.count);
    }
    for (int32_t t = 0; t < part.count; ++t) batch_.positions.push_back(row.length + t);
    batch_.rope_lengths.insert(batch_.rope_lengths.end(), static_cast<std::size_t>(part.count),
                               row.rope_length);
    row.length += part.count;
    BANYAN_CHECK(row.length <= span.length_bound, "row {} grows to {}, beyond its bound {}",
                 span.row, row.length, span.length_bound);
    GatherCache(span, part, row, q_begin);
    const auto prompt_end =
        span.prompt_logprob_first + static_cast<int32_t>(span.prompt_logprob_targets.size());
    for (int32_t t = std::max(part.begin, span.prompt_logprob_first);
         t < std::min(part.begin + part.count, prompt_end); ++t) {
      prompt_rows.push_back(q_begin + t - part.begin);
      batch_.prompts.push_back(
          {&row, &out, span.prompt_logprob_targets[t - span.prompt_logprob_first]});
    }
    if (span.sample && part.begin + part.count == span.num_tokens) {
      const int32_t last = q_begin + part.count - 1;
      if (row.logprobs.enabled) {
        batch_.logit_rows.push_back(last);
        batch_.samples.push_back({&row, &out});
      } else {
        plain_rows.push_back(last);
        plain_samples.push_back({&row, &out});
      }
    }
  }
  const auto append = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  append(batch_.logit_rows, plain_rows);
  append(batch_.samples, plain_samples);
  append(batch_.logit_rows, prompt_rows);
}

// What each cache group is told of a part, whose rows are already in row.length.
void Runner::GatherCache(const Span& span, const Part& part, const RequestRow& row,
                         int32_t q_begin) {
  const std::vector<CacheGroupSpec>& groups = model_->info().cache_groups;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    if (groups[g].type != CacheKindType::kState) {
      batch_.sequences[g].push_back({q_begin, part.count, row.length, row.pages[g]});
      continue;
    }
    std::vector<ops::StateSnapshot>& snapshots = batch_.snapshots.emplace_back();
    for (const StateSnapshot& snapshot : span.snapshots) {
      const int32_t after = snapshot.after - part.begin;
      if (snapshot.kind == static_cast<KindId>(g) && after > 0 && after <= part.count)
        snapshots.push_back({after, snapshot.slot});
    }
    // Moving the outer vector keeps what the inner ones hold in place.
    batch_.states[g].push_back(
        {q_begin, part.count, row.pages[g].front(), row.length == part.count, snapshots});
  }
}

Status Runner::RunPass(const StepPlan& plan, const std::vector<Part>& parts, StepOutcome& outcome) {
  Gather(plan, parts, outcome);
  if (batch_.tokens.empty()) return OkStatus();
  const auto samples = static_cast<int64_t>(batch_.samples.size());
  const auto rows = static_cast<int64_t>(batch_.logit_rows.size());
  BANYAN_ASSIGN_OR_RETURN(const Tensor logits, Logits(rows));

  std::vector<std::span<const ops::AttentionSequence>> sequences(batch_.sequences.begin(),
                                                                 batch_.sequences.end());
  nn::ForwardBatch forward;
  forward.tokens = batch_.tokens;
  forward.positions = batch_.positions;
  forward.rope_lengths = batch_.rope_lengths;
  forward.sequences = sequences;
  const std::vector<std::span<const ops::StateSequence>> states(batch_.states.begin(),
                                                                batch_.states.end());
  forward.states = states;
  forward.pools = pools_.pools();
  forward.logit_rows = batch_.logit_rows;
  place_.store(0, std::memory_order_relaxed);
  stage_ = nullptr;
  context_.scratch->Reset();
  BANYAN_RETURN_IF_ERROR(model_->Forward(context_, forward, logits));

  if (samples < rows) {
    stage_ = "prompt log-probabilities";
    ScorePrompt(context_, logits.Slice(0, samples, rows), batch_.prompts);
  }
  if (samples > 0) {
    stage_ = "sampling";
    SampleRows(context_, logits.Slice(0, 0, samples), batch_.samples, options_.original_logprobs);
  }
  return OkStatus();
}

StatusOr<Tensor> Runner::Logits(int64_t rows) {
  const int64_t vocab = model_->info().vocab_size;
  const auto needed = static_cast<std::size_t>(Bytes(DType::kF32, rows * vocab));
  if (needed > logits_.size()) {
    logits_ = Buffer();
    BANYAN_ASSIGN_OR_RETURN(logits_, context_.backend->Allocate(needed, "the logits of a step"));
  }
  return Tensor(logits_.data(), DType::kF32, Shape{rows, vocab});
}

}  // namespace banyan
