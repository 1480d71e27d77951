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
    for (const CacheGroupSpec& group : model.info().cache_groups) {
      nn::CachePool& pool = pools_.emplace_back();
      pool.page_size = page_size;
      pool.layers.resize(model.info().num_layers);
      for (const CacheSegment& segment : group.segments) {
        const Shape shape{count + 1, page_size, segment.heads, segment.dim};
        memory_.push_back(*context.backend->Allocate(
            static_cast<std::size_t>(Bytes(segment.dtype, shape.NumElements())), "test pool"));
        ops::PagedKv& layer = pool.layers[segment.layer];
        (segment.role == SegmentRole::kKey ? layer.keys : layer.values) =
            Tensor(memory_.back().data(), segment.dtype, shape);
      }
    }
    pages_.resize(count);
    std::iota(pages_.begin(), pages_.end(), 1);
    for (int i = 0; i < count; ++i) std::swap(pages_[i], pages_[(i * 7 + 3) % count]);
  }

  // Appends tokens, `chunk` at a time (0: all at once), and returns the log-softmax after each.
  std::vector<std::vector<double>> Extend(std::span<const TokenId> tokens, int chunk) {
    std::vector<std::vector<double>> rows;
    const std::size_t step = chunk > 0 ? static_cast<std::size_t>(chunk) : tokens.size();
    for (std::size_t begin = 0; begin < tokens.size(); begin += step)
      Step(tokens.subspan(begin, std::min(step, tokens.size() - begin)), rows);
    return rows;
  }

 private:
  void Step(std::span<const TokenId> tokens, std::vector<std::vector<double>>& rows) {
    const int n = static_cast<int>(tokens.size());
    std::vector<int32_t> positions(n), wanted(n);
    std::iota(positions.begin(), positions.end(), length_);
    std::iota(wanted.begin(), wanted.end(), 0);
    length_ += n;
    const ops::AttentionSequence sequence{0, n, length_, pages_};
    const std::vector<std::span<const ops::AttentionSequence>> groups(
        pools_.size(), std::span<const ops::AttentionSequence>(&sequence, 1));
    const int vocab = model_.info().vocab_size;
    std::vector<float> logits(static_cast<std::size_t>(n) * vocab);
    const Status status = model_.Forward(context_, {tokens, positions, groups, pools_, wanted},
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
  int length_ = 0;
  std::vector<PageId> pages_;
  std::vector<nn::CachePool> pools_;
  std::vector<Buffer> memory_;
};

}  // namespace banyan::models
