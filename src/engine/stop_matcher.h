// SPDX-License-Identifier: Apache-2.0
// StopMatcher: finds stop strings in text that arrives in pieces, and holds back what may yet turn
// out to be the beginning of one.
//
// The match that ends first counts; of several that end at the same byte, the longest. So the
// answer does not depend on how the text was cut. Not thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace banyan {

class StopMatcher {
 public:
  // Empty strings are left out. `keep_match`: the stop string stays in the text (no_stop_trim).
  StopMatcher(std::vector<std::string> stops, bool keep_match);

  // Text that can be given out now. Once matched() nothing more comes.
  std::string Push(std::string_view piece);
  // The end of the text: what was held back.
  std::string Finish();

  // The stop string that matched, or would if the text went on with `next`; empty: none.
  std::string MatchWith(std::string_view next) const;

  bool empty() const { return stops_.empty(); }  // nothing to look for
  bool matched() const { return !match_.empty(); }
  const std::string& match() const { return match_; }

 private:
  std::vector<std::string> stops_;
  bool keep_match_;
  std::size_t longest_ = 0;
  std::string held_;  // a suffix of the text so far that is a proper prefix of a stop string
  std::string match_;
};

}  // namespace banyan
