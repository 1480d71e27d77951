// SPDX-License-Identifier: Apache-2.0
#include "sim/fake_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace banyan::sim {

FakeDevice::FakeDevice(std::vector<Layer> layers, std::vector<int64_t> pages, int page_size,
                       int vocabulary, const Rope& rope)
    : layers_(std::move(layers)), page_size_(page_size), vocabulary_(vocabulary), rope_(rope) {
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    const bool state = layers_[layer].type == Layer::kState;
    pools_.emplace_back((pages[layer] + 1) * (state ? 1 : page_size));
  }
}

void FakeDevice::Fail(std::string what) {
  if (failure_.empty()) failure_ = std::move(what);
}

FakeDevice::Slot* FakeDevice::At(const Row& row, int layer, int position) {
  const auto index = static_cast<size_t>(position / page_size_);
  const auto& table = (*row.tables)[layer];
  if (index >= table.size() || table[index] < 1 ||
      table[index] * page_size_ >= static_cast<int64_t>(pools_[layer].size())) {
    Fail(fmt::format("layer {}: no page for position {}", layer, position));
    return nullptr;
  }
  return &pools_[layer][table[index] * page_size_ + position % page_size_];
}

FakeDevice::Slot* FakeDevice::StateOf(const Row& row, int layer) {
  const auto& table = (*row.tables)[layer];
  if (table.size() != 1 || table[0] < 1 || table[0] >= static_cast<PageId>(pools_[layer].size())) {
    Fail(fmt::format("layer {}: no slot for the state", layer));
    return nullptr;
  }
  return &pools_[layer][table[0]];
}

// The plan being issued will read or write the slot.
void FakeDevice::Use(Slot* slot, const Row& row, bool write, int layer) {
  // A row's own plans run one after the other.
  if (write && slot->last_use > ended_ && slot->last_user != row.serial) {
    Fail(fmt::format("plan {} writes a slot of layer {} where plan {} may be", issued_, layer,
                     slot->last_use));
  }
  slot->last_use = issued_;
  slot->last_user = row.serial;
}

void FakeDevice::Issue(StepPlan plan) {
  if (plan.number != ++issued_) Fail(fmt::format("plan {} after {}", plan.number, issued_ - 1));
  for (RowId row : plan.closed) {
    if (rows_.erase(row) == 0) Fail(fmt::format("row {} is closed but was not open", row));
  }
  for (const RowOpened& opened : plan.opened) {
    Row row = {opened.seed, opened.length, opened.rope_length, ++opened_,
               std::make_shared<Tables>(layers_.size())};
    if (!rows_.emplace(opened.row, std::move(row)).second) {
      Fail(fmt::format("row {} is opened twice", opened.row));
    }
  }
  for (const PageSet& set : plan.pages) {
    const auto row = rows_.find(set.row);
    if (row == rows_.end()) return Fail(fmt::format("a page for row {}, not open", set.row));
    std::shared_ptr<Tables>& tables = row->second.tables;
    if (tables.use_count() > 1) tables = std::make_shared<Tables>(*tables);
    auto& table = (*tables)[set.kind];
    if (table.size() <= static_cast<size_t>(set.index)) table.resize(set.index + 1, 0);
    table[set.index] = set.page;
  }
  for (const StateCopy& copy : plan.copies) {
    // The row that begins with it uses the target as well, as its own.
    Row nobody;
    for (const auto& [id, row] : rows_) {
      const auto& table = (*row.tables)[copy.kind];
      if (table.size() == 1 && table[0] == copy.to) nobody.serial = row.serial;
    }
    Use(&pools_[copy.kind][copy.from], Row{.serial = -1}, false, copy.kind);
    Use(&pools_[copy.kind][copy.to], nobody, true, copy.kind);
  }
  Work work = {.plan = std::move(plan), .rows = {}};
  std::set<RowId> named;
  int total = 0;
  for (const Span& span : work.plan.spans) {
    const auto found = rows_.find(span.row);
    if (found == rows_.end()) return Fail(fmt::format("a span of row {}, not open", span.row));
    if (!named.insert(span.row).second) Fail("two spans of one row");
    work.rows.push_back(found->second);
    total += span.num_tokens;
    IssueSpan(span, found->second);
  }
  if (total != work.plan.total_tokens) Fail("total_tokens is not the sum");
  queue_.push_back(std::move(work));
}

void FakeDevice::IssueSpan(const Span& span, Row& row) {
  const int begin = row.length, end = begin + span.num_tokens;
  row.length = end;
  if (span.num_tokens < 1 || end > span.length_bound) Fail("a span beyond its bound");
  for (int layer = 0; layer < static_cast<int>(layers_.size()); ++layer) {
    if (layers_[layer].type == Layer::kState) {
      if (Slot* slot = StateOf(row, layer)) Use(slot, row, true, layer);
      continue;
    }
    for (int j = 0; j < end; ++j) {
      // The lowest query of the span sees furthest back.
      if (j < begin && !Sees(layers_[layer], begin, j)) continue;
      Slot* slot = At(row, layer, j);
      if (slot == nullptr) return;
      Use(slot, row, j >= begin, layer);
    }
  }
  for (const StateSnapshot& snapshot : span.snapshots) {
    if (snapshot.after < 1 || snapshot.after > span.num_tokens) Fail("a snapshot beside its span");
    Use(&pools_[snapshot.kind][snapshot.slot], row, true, snapshot.kind);
  }
}

uint64_t FakeDevice::Visible(const Row& row, int p, const std::vector<uint64_t>& states) {
  uint64_t h = row.weights;
  for (int layer = 0; layer < static_cast<int>(layers_.size()); ++layer) {
    const bool state = layers_[layer].type == Layer::kState;
    for (int j = 0; j <= p && !state; ++j) {
      if (!Sees(layers_[layer], p, j)) continue;
      const Slot* slot = At(row, layer, j);
      if (slot == nullptr) return 0;
      if (slot->position != j || slot->weights != row.weights) {
        Fail(fmt::format("layer {} position {}: the entry read is of position {}{}", layer, j,
                         slot->position, slot->position == j ? ", other weights" : ""));
      }
      h = Mix(h, slot->value);
    }
    h = Mix(h, state ? states[layer] : 0);
  }
  return h;
}

StepOutcome FakeDevice::Run() {
  const Work work = std::move(queue_.front());
  queue_.pop_front();
  StepOutcome outcome;
  outcome.number = work.plan.number;
  for (const StateCopy& copy : work.plan.copies) {
    Slot& to = pools_[copy.kind][copy.to];
    const Slot& from = pools_[copy.kind][copy.from];
    to.value = from.value;
    to.weights = from.weights;
    to.position = from.position;
  }
  for (size_t i = 0; i < work.plan.spans.size(); ++i) {
    const Span& span = work.plan.spans[i];
    RowOutcome result;
    result.row = span.row;
    RunSpan(span, work.rows[i], &result);
    outcome.rows.push_back(std::move(result));
  }
  return outcome;
}

void FakeDevice::RunSpan(const Span& span, const Row& row, RowOutcome* result) {
  std::vector<int> tokens(span.tokens.begin(), span.tokens.end());
  if (tokens.empty()) tokens.push_back(last_tokens_[span.row]);
  if (static_cast<int>(tokens.size()) != span.num_tokens) return Fail("a span with too few tokens");
  const int layers = static_cast<int>(layers_.size());
  std::vector<uint64_t> states(layers);
  for (int layer = 0; layer < layers; ++layer) {
    if (layers_[layer].type != Layer::kState) continue;
    const Slot* slot = StateOf(row, layer);
    if (slot == nullptr || row.length == 0) continue;
    if (slot->position != row.length || slot->weights != row.weights) {
      Fail(fmt::format("layer {}: the state of {} tokens is of {}", layer, row.length,
                       slot->position));
    }
    states[layer] = slot->value;
  }
  for (int i = 0; i < span.num_tokens; ++i) {
    const int position = row.length + i;
    const uint64_t turned = Turned(rope_, row.weights, std::max(position + 1, row.rope_length));
    for (int layer = 0; layer < layers; ++layer) {
      const bool state = layers_[layer].type == Layer::kState;
      Slot* slot = state ? StateOf(row, layer) : At(row, layer, position);
      if (slot == nullptr) return;
      if (state) states[layer] = NextState(row.weights, layer, states[layer], tokens[i]);
      slot->value = state ? states[layer] : Entry(turned, layer, tokens[i], position);
      slot->weights = row.weights;
      slot->position = state ? position + 1 : position;
    }
    for (const StateSnapshot& snapshot : span.snapshots) {
      if (snapshot.after != i + 1) continue;
      Slot& slot = pools_[snapshot.kind][snapshot.slot];
      slot.value = states[snapshot.kind];
      slot.weights = row.weights;
      slot.position = position + 1;
    }
    const int target = i - span.prompt_logprob_first;
    if (target >= 0 && target < static_cast<int>(span.prompt_logprob_targets.size())) {
      result->prompt_logprobs.push_back(
          {.id = span.prompt_logprob_targets[target],
           .logprob = static_cast<float>(Visible(row, position, states) % 1000)});
    }
  }
  if (span.sample) {
    const uint64_t h = Visible(row, row.length + span.num_tokens - 1, states);
    result->accepted = {static_cast<TokenId>(h % vocabulary_)};
    last_tokens_[span.row] = result->accepted[0];
  }
}

}  // namespace banyan::sim
