// SPDX-License-Identifier: Apache-2.0
// For tests of models: a CPU to run on, and a sequence that is fed to a model directly, with pages
// given out by hand in a scattered order.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "device/cpu/cpu_backend.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/table.h"
#include "nn/cache_pools.h"
#include "nn/model.h"
#include "ops/context.h"

namespace banyan::models {

class TestDevice {
 public:
  TestDevice()
      : backend_(MakeCpuBackend()),
        pool_({0}),
        table_(*kernels::MakeCpuTable(kernels::DetectIsa())),
        scratch_(backend_.get()),
        context_{backend_.get(), &table_, &pool_, &scratch_} {}
  const ops::OpContext& context() const { return context_; }

 private:
  std::unique_ptr<Backend> backend_;
  ThreadPool pool_;
  ops::OpTable table_;
  ops::Scratch scratch_;
  ops::OpContext context_;
};

class DirectSequence {
 public:
  // Room for `capacity` tokens.
  DirectSequence(const ops::OpContext& context, nn::Model& model, int page_size, int capacity)
      : context_(context), model_(model) {
    const int count = (capacity + page_size - 1) / page_size;
    const std::vector<CacheGroupSpec>& groups = model.info().cache_groups;
    const std::vector<int64_t> pages(groups.size(), count);
    pools_ = *nn::CachePools::Allocate(*context.backend, groups, pages, page_size);
    pages_.resize(count);
    std::iota(pages_.begin(), pages_.end(), 1);
    for (int i = 0; i < count; ++i) std::swap(pages_[i], pages_[(i * 7 + 3) % count]);
  }

  // Appends tokens, `chunk` at a time (0: all at once), and returns the log-softmax after each.
  // What comes first is the prompt.
  std::vector<std::vector<double>> Extend(std::span<const TokenId> tokens, int chunk) {
    std::vector<std::vector<double>> rows;
    const RopeLengths& lengths = model_.info().rope_lengths;
    const auto total = static_cast<int64_t>(tokens_.size() + tokens.size());
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
    std::span<const TokenId> todo = tokens;
    if (length_ == 0) {
      rope_length_ = lengths.Of(total);
    } else if (lengths.recompute && rope_length_ != lengths.Of(total)) {
      rope_length_ = lengths.Of(total);
      length_ = 0;
      todo = tokens_;
    }
    const std::size_t step = chunk > 0 ? static_cast<std::size_t>(chunk) : todo.size();
    for (std::size_t begin = 0; begin < todo.size(); begin += step)
      Step(todo.subspan(begin, std::min(step, todo.size() - begin)), rows);
    rows.erase(rows.begin(), rows.end() - static_cast<std::ptrdiff_t>(tokens.size()));
    return rows;
  }

 private:
  void Step(std::span<const TokenId> tokens, std::vector<std::vector<double>>& rows) {
    const int n = static_cast<int>(tokens.size());
    std::vector<int32_t> positions(n), wanted(n);
    const std::vector<int32_t> rope_lengths(n, rope_length_);
    std::iota(positions.begin(), positions.end(), length_);
    std::iota(wanted.begin(), wanted.end(), 0);
    length_ += n;
    const ops::AttentionSequence sequence{0, n, length_, pages_};
    const ops::StateSequence state{0, n, pages_[0], length_ == n, {}};
    const std::vector<CacheGroupSpec>& groups = model_.info().cache_groups;
    std::vector<std::span<const ops::AttentionSequence>> sequences(groups.size());
    std::vector<std::span<const ops::StateSequence>> states(groups.size());
    for (std::size_t g = 0; g < groups.size(); ++g) {
      if (groups[g].type == CacheKindType::kState) {
        states[g] = {&state, 1};
      } else {
        sequences[g] = {&sequence, 1};
      }
    }
    const int vocab = model_.info().vocab_size;
    std::vector<float> logits(static_cast<std::size_t>(n) * vocab);
    const Status status = model_.Forward(
        context_, {tokens, positions, sequences, states, pools_.pools(), wanted, rope_lengths},
        Tensor(logits.data(), DType::kF32, {n, vocab}));
    BANYAN_CHECK(status.ok(), "{}", Message(status));
    for (int i = 0; i < n; ++i) {
      const std::span<const float> row(&logits[static_cast<std::size_t>(i) * vocab], vocab);
      const double top = *std::max_element(row.begin(), row.end());
      double sum = 0;
      for (float logit : row) sum += std::exp(logit - top);
      std::vector<double>& out = rows.emplace_back();
      for (float logit : row) out.push_back(logit - top - std::log(sum));
    }
  }

  const ops::OpContext& context_;
  nn::Model& model_;
  std::vector<TokenId> tokens_;
  int length_ = 0;
  int32_t rope_length_ = 0;
  std::vector<PageId> pages_;
  nn::CachePools pools_;
};

}  // namespace banyan::models
