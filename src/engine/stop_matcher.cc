// SPDX-License-Identifier: Apache-2.0
#include "engine/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace banyan {

StopMatcher::StopMatcher(std::vector<std::string> stops, bool keep_match)
    : stops_(std::move(stops)), keep_match_(keep_match) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
  for (const std::string& stop : stops_) longest_ = std::max(longest_, stop.size());
}

std::string StopMatcher::Push(std::string_view piece) {
  if (matched() || piece.empty()) return {};
  if (stops_.empty()) return std::string(piece);

  std::string text = std::exchange(held_, {});
  text += piece;
  std::size_t best_end = std::string::npos;
  std::size_t best_begin = 0;
  for (const std::string& stop : stops_) {
    const std::size_t begin = text.find(stop);
    if (begin == std::string::npos) continue;
    const std::size_t end = begin + stop.size();
    if (end < best_end || (end == best_end && begin < best_begin)) {
      best_end = end;
      best_begin = begin;
      match_ = stop;
    }
  }
  if (matched()) {
    text.resize(keep_match_ ? best_end : best_begin);
    return text;
  }

  std::size_t keep = std::min(text.size(), longest_ - 1);
  const auto may_begin_a_stop = [&](std::size_t length) {
    const std::string_view tail = std::string_view(text).substr(text.size() - length);
    return std::any_of(stops_.begin(), stops_.end(), [&](const std::string& stop) {
      return length < stop.size() && std::string_view(stop).starts_with(tail);
    });
  };
  while (keep > 0 && !may_begin_a_stop(keep)) --keep;
  held_ = text.substr(text.size() - keep);
  text.resize(text.size() - keep);
  return text;
}

std::string StopMatcher::MatchWith(std::string_view next) const {
  if (matched() || next.empty()) return match_;
  StopMatcher copy = *this;
  copy.Push(next);
  return copy.match_;
}

std::string StopMatcher::Finish() { return matched() ? std::string() : std::exchange(held_, {}); }

}  // namespace banyan
