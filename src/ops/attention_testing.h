// SPDX-License-Identifier: Apache-2.0
// For tests: a random step of attention (sequences, pages in random order, pools), and its result.
#pragma once

#include <algorithm>
#include <limits>

#include "ops/attention.h"
#include "ops/testing.h"

namespace banyan::ops {

struct AttentionCase {
  int heads = 4;
  int kv_heads = 2;
  int key_dim = 16;
  int value_dim = 16;
  DType dtype = DType::kF32;
  int page_size = 16;
  AttentionParams params;
  struct Length {
    int cached = 0;  // positions before this step
    int fresh = 1;
    uint32_t id = 0;  // with the seed sets the sequence's numbers
  };
  std::vector<Length> lengths;
};

// The keys, values and queries of a sequence are set by (seed, id, position), so that a case
// cut into other steps, pages or batches sees the same numbers.
class AttentionStage {
 public:
  AttentionStage(const AttentionCase& spec, uint32_t seed) : spec_(spec) {
    for (const AttentionCase::Length& length : spec.lengths) {
      std::mt19937 rng(seed * 7919 + length.id);
      const int total = length.cached + length.fresh;
      Draw(rng, total * spec.heads * spec.key_dim, q_.emplace_back());
      Draw(rng, total * spec.kv_heads * spec.key_dim, k_.emplace_back());
      Draw(rng, total * spec.kv_heads * spec.value_dim, v_.emplace_back());
    }
    int pages = 1;
    for (const AttentionCase::Length& length : spec.lengths)
      pages += (length.cached + length.fresh + spec.page_size - 1) / spec.page_size;
    std::vector<PageId> free(static_cast<std::size_t>(pages - 1));
    std::iota(free.begin(), free.end(), 1);
    std::mt19937 rng(seed);
    std::shuffle(free.begin(), free.end(), rng);
    for (const AttentionCase::Length& length : spec.lengths) {
      const int n = (length.cached + length.fresh + spec.page_size - 1) / spec.page_size;
      tables_.emplace_back(free.end() - n, free.end());
      free.resize(free.size() - static_cast<std::size_t>(n));
    }
    const int64_t element = Bytes(spec.dtype, 1);
    const Shape keys{pages, spec.page_size, spec.kv_heads, spec.key_dim};
    const Shape values{pages, spec.page_size, spec.kv_heads, spec.value_dim};
    // Unwritten slots hold large finite numbers: whoever reads one shows it.
    key_bytes_.assign(static_cast<std::size_t>(keys.NumElements() * element), std::byte{0x4b});
    value_bytes_.assign(static_cast<std::size_t>(values.NumElements() * element), std::byte{0x4b});
    pool_ = {Tensor(key_bytes_.data(), spec.dtype, keys),
             Tensor(value_bytes_.data(), spec.dtype, values)};
  }

  // Runs positions [from, to) of every sequence (clipped to its length) as one step and appends the
  // outputs to what Output returns.
  void Step(const OpContext& context, int from, int to) {
    std::vector<AttentionSequence> sequences;
    std::vector<int> owner;
    int rows = 0;
    for (std::size_t s = 0; s < spec_.lengths.size(); ++s) {
      const int total = spec_.lengths[s].cached + spec_.lengths[s].fresh;
      const int end = std::min(to, total);
      if (from >= end) continue;
      sequences.push_back({rows, end - from, end, tables_[s]});
      owner.push_back(static_cast<int>(s));
      rows += end - from;
    }
    if (rows == 0) return;
    // Heads side by side with a gap, as slices of a fused product lie.
    TestTensor q(Shape{rows, spec_.heads * spec_.key_dim}, 8);
    TestTensor k(Shape{rows, spec_.kv_heads * spec_.key_dim}, 4);
    TestTensor v(Shape{rows, spec_.kv_heads * spec_.value_dim});
    TestTensor out(Shape{rows, spec_.heads * spec_.value_dim}, 3);
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      const auto s = static_cast<std::size_t>(owner[i]);
      for (int row = 0; row < sequences[i].q_len; ++row) {
        const int position = from + row;
        const auto copy = [&](const std::vector<float>& source, TestTensor& target) {
          const int64_t dim = target.view.dim(1);
          std::copy_n(
              source.begin() + position * dim, dim,
              target.view.data<float>() + (sequences[i].q_begin + row) * target.view.stride(0));
        };
        copy(q_[s], q);
        copy(k_[s], k);
        copy(v_[s], v);
      }
    }
    const auto heads = [&](const Tensor& x, int n, int dim) {
      return Tensor(x.raw(), DType::kF32, Shape{x.dim(0), n, dim}, Shape{x.stride(0), dim, 1});
    };
    const AttentionPlan plan = PlanAttention(context, sequences, spec_.page_size);
    WriteKv(context, plan, heads(k.view, spec_.kv_heads, spec_.key_dim),
            heads(v.view, spec_.kv_heads, spec_.value_dim), pool_);
    Attention(context, plan, spec_.params, heads(q.view, spec_.heads, spec_.key_dim), pool_,
              heads(out.view, spec_.heads, spec_.value_dim));
    outputs_.resize(spec_.lengths.size());
    for (std::size_t i = 0; i < sequences.size(); ++i)
      for (int row = 0; row < sequences[i].q_len; ++row) {
        const float* from_row =
            out.view.data<float>() + (sequences[i].q_begin + row) * out.view.stride(0);
        outputs_[static_cast<std::size_t>(owner[i])].insert(
            outputs_[static_cast<std::size_t>(owner[i])].end(), from_row,
            from_row + out.view.dim(1));
      }
    context.scratch->Reset();
  }

  // Everything in steps of `chunk` positions.
  std::vector<std::vector<float>> RunAll(const OpContext& context, int chunk) {
    int longest = 0;
    for (const AttentionCase::Length& length : spec_.lengths)
      longest = std::max(longest, length.cached + length.fresh);
    for (int from = 0; from < longest; from += chunk) Step(context, from, from + chunk);
    return std::move(outputs_);
  }

  const std::vector<float>& q(std::size_t sequence) const { return q_[sequence]; }
  const std::vector<float>& k(std::size_t sequence) const { return k_[sequence]; }
  const std::vector<float>& v(std::size_t sequence) const { return v_[sequence]; }
  std::vector<std::vector<PageId>>& tables() { return tables_; }
  std::vector<std::vector<float>>& outputs() { return outputs_; }

 private:
  static void Draw(std::mt19937& rng, int n, std::vector<float>& out) {
    std::normal_distribution<float> normal;
    out.resize(static_cast<std::size_t>(n));
    for (float& x : out) x = normal(rng);
  }

  AttentionCase spec_;
  std::vector<std::vector<float>> q_, k_, v_;
  std::vector<std::vector<PageId>> tables_;
  std::vector<std::byte> key_bytes_, value_bytes_;
  PagedKv pool_;
  std::vector<std::vector<float>> outputs_;
};

}  // namespace banyan::ops
