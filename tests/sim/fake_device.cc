// SPDX-License-Identifier: Apache-2.0
#include "sim/fake_device.h"

#include <fmt/format.h>

#include <utility>

namespace banyan::sim {

FakeDevice::FakeDevice(std::vector<Layer> layers, std::vector<int64_t> pages, int page_size,
                       int vocabulary)
    : layers_(std::move(layers)), page_size_(page_size), vocabulary_(vocabulary) {
  for (int64_t count : pages) pools_.emplace_back((count + 1) * page_size);
}

void FakeDevice::Fail(std::string what) {
  if (failure_.empty()) failure_ = std::move(what);
}

FakeDevice::Slot* FakeDevice::At(const Row& row, int layer, int position) {
  const auto index = static_cast<size_t>(position / page_size_);
  const auto& table = row.tables[layer];
  if (index >= table.size() || table[index] < 1 ||
      table[index] * page_size_ >= static_cast<int64_t>(pools_[layer].size())) {
    Fail(fmt::format("layer {}: no page for position {}", layer, position));
    return nullptr;
  }
  return &pools_[layer][table[index] * page_size_ + position % page_size_];
}

void FakeDevice::Issue(StepPlan plan) {
  if (plan.number != ++issued_) Fail(fmt::format("plan {} after {}", plan.number, issued_ - 1));
  for (RowId row : plan.closed) {
    if (rows_.erase(row) == 0) Fail(fmt::format("row {} is closed but was not open", row));
  }
  for (const RowOpened& opened : plan.opened) {
    Row row = {opened.seed, opened.length, {}};
    row.tables.resize(layers_.size());
    if (!rows_.emplace(opened.row, std::move(row)).second) {
      Fail(fmt::format("row {} is opened twice", opened.row));
    }
  }
  for (const PageSet& set : plan.pages) {
    const auto row = rows_.find(set.row);
    if (row == rows_.end()) return Fail(fmt::format("a page for row {}, not open", set.row));
    auto& table = row->second.tables[set.kind];
    if (table.size() <= static_cast<size_t>(set.index)) table.resize(set.index + 1, 0);
    table[set.index] = set.page;
  }
  Work work = {.plan = std::move(plan), .rows = {}};
  int total = 0;
  for (const Span& span : work.plan.spans) {
    const auto found = rows_.find(span.row);
    if (found == rows_.end()) return Fail(fmt::format("a span of row {}, not open", span.row));
    Row& row = found->second;
    if (!work.rows.emplace(span.row, row).second) Fail("two spans of one row");
    const int begin = row.length, end = begin + span.num_tokens;
    total += span.num_tokens;
    row.length = end;
    if (span.num_tokens < 1 || end > span.length_bound) Fail("a span beyond its bound");
    for (int layer = 0; layer < static_cast<int>(layers_.size()); ++layer) {
      for (int j = 0; j < end; ++j) {
        // The lowest query of the span sees furthest back.
        if (j < begin && !Sees(layers_[layer], begin, j)) continue;
        Slot* slot = At(row, layer, j);
        if (slot == nullptr) return;
        if (j >= begin && slot->last_use > ended_) {
          Fail(fmt::format("plan {} writes layer {} position {} of row {} where plan {} may be",
                           issued_, layer, j, span.row, slot->last_use));
        }
        slot->last_use = issued_;
      }
    }
  }
  if (total != work.plan.total_tokens) Fail("total_tokens is not the sum");
  queue_.push_back(std::move(work));
}

uint64_t FakeDevice::Visible(const Row& row, int p) {
  uint64_t h = row.weights;
  for (int layer = 0; layer < static_cast<int>(layers_.size()); ++layer) {
    for (int j = 0; j <= p; ++j) {
      if (!Sees(layers_[layer], p, j)) continue;
      const Slot* slot = At(row, layer, j);
      if (slot == nullptr) return 0;
      if (slot->position != j || slot->weights != row.weights) {
        Fail(fmt::format("layer {} position {}: the entry read is of position {}{}", layer, j,
                         slot->position, slot->position == j ? ", other weights" : ""));
      }
      h = Mix(h, slot->value);
    }
    h = Mix(h, 0);
  }
  return h;
}

StepOutcome FakeDevice::Run() {
  const Work work = std::move(queue_.front());
  queue_.pop_front();
  StepOutcome outcome;
  outcome.number = work.plan.number;
  for (const Span& span : work.plan.spans) {
    const Row& row = work.rows.at(span.row);
    RowOutcome result;
    result.row = span.row;
    std::vector<int> tokens(span.tokens.begin(), span.tokens.end());
    if (tokens.empty()) tokens.push_back(last_tokens_[span.row]);
    if (static_cast<int>(tokens.size()) != span.num_tokens) Fail("a span with too few tokens");
    for (int layer = 0; layer < static_cast<int>(layers_.size()); ++layer) {
      for (int i = 0; i < span.num_tokens; ++i) {
        const int position = row.length + i;
        Slot* slot = At(row, layer, position);
        if (slot == nullptr) return outcome;
        slot->value = Entry(row.weights, layer, tokens[i], position);
        slot->weights = row.weights;
        slot->position = position;
      }
    }
    for (size_t i = 0; i < span.prompt_logprob_targets.size(); ++i) {
      const int p = row.length + span.prompt_logprob_first + static_cast<int>(i);
      result.prompt_logprobs.push_back({.id = span.prompt_logprob_targets[i],
                                        .logprob = static_cast<float>(Visible(row, p) % 1000)});
    }
    if (span.sample) {
      const uint64_t h = Visible(row, row.length + span.num_tokens - 1);
      result.accepted = {static_cast<TokenId>(h % vocabulary_)};
      last_tokens_[span.row] = result.accepted[0];
    }
    outcome.rows.push_back(std::move(result));
  }
  return outcome;
}

}  // namespace banyan::sim
