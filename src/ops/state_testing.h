// SPDX-License-Identifier: Apache-2.0
// For tests: an op with a carried state over several sequences, cut into steps in any way, with
// snapshots on the way.
#pragma once

#include <functional>
#include <map>
#include <utility>

#include "ops/conv.h"
#include "ops/recurrence.h"
#include "ops/scan.h"
#include "ops/testing.h"

namespace banyan::ops {

// What is tested: `run` on inputs of these shapes, the rows' dimension left out.
struct StateOp {
  std::string name;
  std::vector<Shape> inputs;
  Shape out;
  int64_t state_size = 0;
  std::function<void(const OpContext&, const std::vector<Tensor>& inputs,
                     std::span<const StateSequence>, const Tensor& state, const Tensor& out)>
      run;
};

struct StateResult {
  std::vector<std::vector<float>> out;                       // by sequence
  std::map<std::pair<int, int>, std::vector<float>> states;  // by sequence and rows done
};

// Sequences of `lengths` rows, `chunk` rows of each in one step (one sequence a step if `alone`),
// with snapshots in the middle and at the end of every step. What sequence i sees is set by seed
// and i alone.
inline StateResult RunStateOp(const OpContext& context, const StateOp& op,
                              const std::vector<int>& lengths, uint32_t seed, int chunk,
                              bool alone = false) {
  const auto with_rows = [](int64_t rows, const Shape& shape) {
    std::vector<int64_t> dims{rows};
    dims.insert(dims.end(), shape.dims().begin(), shape.dims().end());
    return Shape(dims);
  };
  const int count = static_cast<int>(lengths.size());
  std::vector<std::vector<std::unique_ptr<TestTensor>>> all(lengths.size());
  for (int s = 0; s < count; ++s) {
    std::mt19937 rng(seed * 7919 + static_cast<uint32_t>(s));
    for (const Shape& shape : op.inputs) {
      all[s].push_back(std::make_unique<TestTensor>(with_rows(lengths[s], shape)));
      all[s].back()->Fill(rng);
    }
  }
  // Slot 0 is nobody's, 1 to count the sequences', the rest for snapshots. They begin otherwise
  // in each run: a fresh sequence must not see it.
  TestTensor state(Shape{1 + 3 * count, op.state_size}, 3);
  state.ForEach([&](float& x) { x = 1e6f * static_cast<float>(chunk); });
  const auto slot_values = [&](PageId slot) {
    const float* from = state.view.data<float>() + slot * state.view.stride(0);
    return std::vector<float>(from, from + op.state_size);
  };

  StateResult result;
  result.out.resize(lengths.size());
  const auto step = [&](const std::vector<int>& members, int first) {
    std::vector<StateSequence> sequences;
    std::vector<std::vector<StateSnapshot>> snapshots(lengths.size());
    int32_t rows = 0;
    for (int s : members) {
      const int n = std::min(chunk, lengths[s] - first);
      if (n <= 0) continue;
      if (n > 1) snapshots[s].push_back({n / 2, 1 + count + 2 * s});
      snapshots[s].push_back({n, 2 + count + 2 * s});
      sequences.push_back({rows, n, 1 + s, first == 0, snapshots[s]});
      rows += n;
    }
    if (rows == 0) return;
    std::vector<std::unique_ptr<TestTensor>> owned;
    std::vector<Tensor> inputs;
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      owned.push_back(std::make_unique<TestTensor>(with_rows(rows, op.inputs[i]), 0));
      inputs.push_back(owned.back()->view);
      const auto bytes = static_cast<std::size_t>(op.inputs[i].NumElements()) * sizeof(float);
      for (const StateSequence& q : sequences)
        std::memcpy(inputs[i].data<float>() + q.begin * inputs[i].stride(0),
                    all[q.slot - 1][i]->view.Row(first).raw(),
                    bytes * static_cast<std::size_t>(q.count));
    }
    TestTensor out(with_rows(rows, op.out), 5);
    op.run(context, inputs, sequences, state.view, out.view);
    BANYAN_CHECK(out.PaddingIntact() && state.PaddingIntact(), "written outside the rows");
    const std::vector<float> values = out.Values();
    const int64_t dim = op.out.NumElements();
    for (const StateSequence& q : sequences) {
      const int s = q.slot - 1;
      result.out[s].insert(result.out[s].end(), values.begin() + q.begin * dim,
                           values.begin() + (q.begin + q.count) * dim);
      for (const StateSnapshot& snapshot : q.snapshots)
        result.states[{s, first + snapshot.after}] = slot_values(snapshot.slot);
      BANYAN_CHECK(SameBits(slot_values(q.slot), slot_values(q.snapshots.back().slot)),
                   "the last snapshot is not the state");
    }
  };
  const int longest = *std::max_element(lengths.begin(), lengths.end());
  std::vector<int> members(lengths.size());
  std::iota(members.begin(), members.end(), 0);
  for (int first = 0; first < longest; first += chunk) {
    if (!alone) {
      step(members, first);
    } else {
      for (int s : members) step({s}, first);
    }
  }
  return result;
}

// Weights of a case, drawn once.
struct StateWeights {
  explicit StateWeights(uint32_t seed) : rng(seed) {}
  Tensor Draw(Shape shape, float mean, float spread) {
    tensors.push_back(std::make_shared<TestTensor>(shape));
    tensors.back()->Fill(rng, spread);
    tensors.back()->ForEach([&](float& x) { x += mean; });
    return tensors.back()->view;
  }
  std::mt19937 rng;
  std::vector<std::shared_ptr<TestTensor>> tensors;
};

inline StateOp ConvOp(StateWeights& weights, int64_t kernel, int64_t channels, bool bias,
                      bool silu) {
  ConvParams params{weights.Draw({kernel, channels}, 0, 0.5f),
                    bias ? weights.Draw({channels}, 0, 1) : Tensor(), silu};
  return {
      fmt::format("conv {} x {}", kernel, channels),
      {Shape{channels}},
      Shape{channels},
      (kernel - 1) * channels,
      [params](const OpContext& context, const std::vector<Tensor>& in,
               std::span<const StateSequence> sequences, const Tensor& state,
               const Tensor& out) { CausalConv(context, params, sequences, in[0], state, out); }};
}

inline StateOp ScanOp(StateWeights& weights, int64_t channels, int64_t state_dim, bool gate) {
  const Tensor a = weights.Draw({channels, state_dim}, -1.5f, 0.3f);
  const Tensor skip = weights.Draw({channels}, 1, 0.5f);
  return {fmt::format("scan {} x {}", channels, state_dim),
          {Shape{channels}, Shape{channels}, Shape{state_dim}, Shape{state_dim}, Shape{channels}},
          Shape{channels},
          channels * state_dim,
          [=](const OpContext& context, const std::vector<Tensor>& in,
              std::span<const StateSequence> sequences, const Tensor& state, const Tensor& out) {
            SelectiveScan(context, {in[0], in[1], in[2], in[3], gate ? in[4] : Tensor(), a, skip},
                          sequences, state, out);
          }};
}

struct RecurrenceCase {
  int64_t key_heads = 1, heads = 1, key_dim = 16, value_dim = 16;
  bool beta = true, skip = true, delta = false;
};

// Keys are scaled to norms under 1 and decays to at most 1, as models have them.
inline StateOp RecurrenceOp(StateWeights& weights, const RecurrenceCase& c) {
  const Tensor skip = c.skip ? weights.Draw({c.heads}, 1, 0.5f) : Tensor();
  const Tensor bias = weights.Draw({c.heads}, 0, 1);
  const Tensor a = weights.Draw({c.heads}, -1, 0.2f);
  const float scale = 0.7f / std::sqrt(static_cast<float>(c.key_dim));
  return {fmt::format("recurrence {}/{} heads {} x {} delta {}", c.heads, c.key_heads, c.key_dim,
                      c.value_dim, c.delta),
          {Shape{c.key_heads, c.key_dim}, Shape{c.key_heads, c.key_dim},
           Shape{c.heads, c.value_dim}, Shape{c.heads}},
          Shape{c.heads, c.value_dim},
          c.heads * c.key_dim * c.value_dim,
          [=](const OpContext& context, const std::vector<Tensor>& in,
              std::span<const StateSequence> sequences, const Tensor& state, const Tensor& out) {
            RecurrenceInputs inputs;
            TestTensor k(in[1].shape()), step(in[3].shape()), decay(in[3].shape());
            const float* from = in[1].data<float>();
            k.ForEach([&](float& x) { x = scale * *from++; });
            StepAndDecay(context, in[3], bias, a, 0.0f, 0.9f, step.view, decay.view);
            inputs.q = in[0], inputs.k = k.view, inputs.v = in[2], inputs.decay = decay.view;
            if (c.beta) inputs.beta = step.view;
            inputs.skip = skip;
            inputs.delta = c.delta;
            LinearRecurrence(context, inputs, sequences, state, out);
          }};
}

}  // namespace banyan::ops
