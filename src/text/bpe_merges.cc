// SPDX-License-Identifier: Apache-2.0
#include "text/bpe_merges.h"

#include <algorithm>
#include <cstdint>
#include <tuple>

#include "absl/container/flat_hash_map.h"

namespace banyan::text {

std::vector<std::pair<std::string_view, std::string_view>> MergesByScore(
    const std::vector<ScoredPiece>& pieces) {
  absl::flat_hash_map<std::string_view, uint32_t> ids;
  ids.reserve(pieces.size());
  for (uint32_t id = 0; id < pieces.size(); ++id)
    if (pieces[id].mergeable) ids.emplace(pieces[id].text, id);

  struct Merge {
    double score;
    uint32_t whole, left, right;
  };
  std::vector<Merge> merges;
  for (const auto& [text, id] : ids) {
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      if ((text[cut] & 0xC0) == 0x80) continue;  // within a character
      const auto left = ids.find(text.substr(0, cut));
      if (left == ids.end()) continue;
      const auto right = ids.find(text.substr(cut));
      if (right != ids.end()) merges.push_back({pieces[id].score, id, left->second, right->second});
    }
  }
  // Pieces of equal score in the order of their ids, as sentencepiece wrote them.
  std::sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) {
    if (a.score != b.score) return a.score > b.score;
    return std::tie(a.whole, a.left, a.right) < std::tie(b.whole, b.left, b.right);
  });
  std::vector<std::pair<std::string_view, std::string_view>> result;
  result.reserve(merges.size());
  for (const Merge& merge : merges)
    result.emplace_back(pieces[merge.left].text, pieces[merge.right].text);
  return result;
}

}  // namespace banyan::text
