// SPDX-License-Identifier: Apache-2.0
#include "run/step_memory.h"

#include <algorithm>
#include <new>
#include <vector>

#include "nn/cache_pools.h"
#include "ops/parallel.h"
#include "ops/sample.h"

namespace banyan {
namespace {

struct Part {
  int64_t rows = 0;    // new positions
  int64_t length = 0;  // after them
};

// Prompts as long as can be, beside as many decoding rows as there may be.
std::vector<Part> Prefill(const StepShape& shape) {
  const int64_t decoding = std::clamp<int64_t>(shape.rows - 1, 0, shape.tokens - 1);
  std::vector<Part> parts;
  for (int64_t left = shape.tokens - decoding; left > 0; left -= parts.back().rows)
    parts.push_back({std::min(left, shape.length), shape.length});
  parts.insert(parts.end(), static_cast<std::size_t>(decoding), {1, shape.length});
  return parts;
}

// Decoding rows alone, as long and as many as are split over their keys: ops/attention.cc splits
// what is more than a fair share, and writes a state for each split.
std::vector<Part> Decode(const StepShape& shape, int threads) {
  const int64_t rows = std::clamp<int64_t>(4 * threads - 1, 1, shape.rows);
  const int64_t length = std::clamp<int64_t>(shape.cached_tokens / rows, 1, shape.length);
  return std::vector<Part>(static_cast<std::size_t>(rows), {1, length});
}

class Measure {
 public:
  Measure(const ops::OpContext& context, nn::Model& model, const StepShape& shape)
      : scratch_(context.backend), context_(context), model_(model), shape_(shape) {
    context_.scratch = &scratch_;
    context_.measuring = true;
  }

  StatusOr<StepMemory> Run() {
    const auto groups = static_cast<std::size_t>(model_.info().cache_groups.size());
    BANYAN_ASSIGN_OR_RETURN(
        pools_, nn::CachePools::Allocate(*context_.backend, model_.info().cache_groups,
                                         std::vector<int64_t>(groups, 1), shape_.page_size));
    StepMemory out;
    out.logit_bytes = Bytes(DType::kF32, shape_.logit_rows * model_.info().vocab_size);
    BANYAN_ASSIGN_OR_RETURN(logits_,
                            context_.backend->Allocate(static_cast<std::size_t>(out.logit_bytes),
                                                       "the logits of a step"));
    pages_.resize(static_cast<std::size_t>(shape_.length / shape_.page_size + 1));
    for (const auto& parts : {Prefill(shape_), Decode(shape_, ops::Threads(context_))}) {
      BANYAN_RETURN_IF_ERROR(Pass(parts));
      out.scratch_bytes = std::max(out.scratch_bytes, static_cast<int64_t>(scratch_.peak()));
    }
    return out;
  }

 private:
  Status Pass(const std::vector<Part>& parts) {
    std::vector<int32_t> positions;
    std::vector<ops::AttentionSequence> sequences;
    std::vector<ops::StateSequence> states;
    const int64_t last = model_.info().context_length - 1;  // that the model knows
    for (const Part& part : parts) {
      const auto begin = static_cast<int32_t>(positions.size());
      const auto rows = static_cast<int32_t>(part.rows);
      sequences.push_back({begin, rows, static_cast<int32_t>(part.length), pages_});
      states.push_back({begin, rows, 0, false, {}});
      for (int64_t i = part.length - part.rows; i < part.length; ++i)
        positions.push_back(static_cast<int32_t>(std::min(i, last)));
    }
    const std::vector<TokenId> tokens(positions.size(), 0);
    std::vector<int32_t> logit_rows(
        static_cast<std::size_t>(std::min<int64_t>(shape_.logit_rows, tokens.size())));
    for (std::size_t i = 0; i < logit_rows.size(); ++i) logit_rows[i] = static_cast<int32_t>(i);

    std::vector<std::span<const ops::AttentionSequence>> group_sequences;
    std::vector<std::span<const ops::StateSequence>> group_states;
    for (const CacheGroupSpec& group : model_.info().cache_groups) {
      const bool state = group.type == CacheKindType::kState;
      group_sequences.push_back(state ? std::span<const ops::AttentionSequence>() : sequences);
      group_states.push_back(state ? states : std::span<const ops::StateSequence>());
    }
    const auto rows = static_cast<int64_t>(logit_rows.size());
    const Tensor logits(logits_.data(), DType::kF32, {rows, model_.info().vocab_size});
    scratch_.Reset();
    BANYAN_RETURN_IF_ERROR(model_.Forward(context_,
                                          {.tokens = tokens,
                                           .positions = positions,
                                           .sequences = group_sequences,
                                           .states = group_states,
                                           .pools = pools_.pools(),
                                           .logit_rows = logit_rows},
                                          logits));
    const std::vector<ops::SampleRow> samples(logit_rows.size(), {.temperature = 1.0f});
    std::vector<TokenId> drawn(samples.size());
    ops::Sample(context_, logits, samples, drawn);
    return OkStatus();
  }

  ops::Scratch scratch_;
  ops::OpContext context_;
  nn::Model& model_;
  const StepShape shape_;
  nn::CachePools pools_;
  Buffer logits_;
  std::vector<PageId> pages_;  // of every sequence: the dump page
};

}  // namespace

StatusOr<StepMemory> MeasureStep(const ops::OpContext& context, nn::Model& model,
                                 const StepShape& shape) {
  try {
    return Measure(context, model, shape).Run();
  } catch (const std::bad_alloc&) {
    return ResourceExhausted("no memory for the temporaries of a step of {} tokens", shape.tokens);
  }
}

}  // namespace banyan
