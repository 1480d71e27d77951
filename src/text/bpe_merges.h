// SPDX-License-Identifier: Apache-2.0
// sentencepiece's BPE models have scores and no merges: two neighbours are joined when the result
// is a piece, best score first. The same as a list of merges.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace banyan::text {

struct ScoredPiece {
  std::string_view text;
  double score;
  bool mergeable;  // whether merging may make it or use it
};

// All pairs of pieces whose join is a piece, in the order in which they are to be merged. Borrows
// the texts. Pieces are numbered by their place; no two mergeable ones have the same text, and each
// is UTF-8. An error where the pairs are far longer than any true model's.
StatusOr<std::vector<std::pair<std::string_view, std::string_view>>> MergesByScore(
    const std::vector<ScoredPiece>& pieces);

}  // namespace banyan::text
