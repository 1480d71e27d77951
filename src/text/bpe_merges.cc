// SPDX-License-Identifier: Apache-2.0
#include "text/bpe_merges.h"

#include <algorithm>
#include <cstdint>
#include <tuple>

namespace banyan::text {
namespace {

constexpr uint32_t kNoPiece = UINT32_MAX;
constexpr std::size_t kMaxMergeBytes = std::size_t{256} << 20;

// For each piece of `ids` the longest other one that it starts with (ends with, if `backward`); so
// that a piece's chain of these is all that it starts with. In the order of the alphabet a piece
// comes right after those that it starts with, but for others that start with them too: no text is
// looked at once for each place where it could be cut.
std::vector<uint32_t> LongestWithin(const std::vector<ScoredPiece>& pieces,
                                    std::vector<uint32_t> ids, bool backward) {
  std::sort(ids.begin(), ids.end(), [&](uint32_t left, uint32_t right) {
    const std::string_view a = pieces[left].text, b = pieces[right].text;
    return backward ? std::lexicographical_compare(a.rbegin(), a.rend(), b.rbegin(), b.rend())
                    : a < b;
  });
  std::vector<uint32_t> within(pieces.size(), kNoPiece), open;
  for (const uint32_t id : ids) {
    const std::string_view text = pieces[id].text;
    const auto holds = [&](std::string_view other) {
      return backward ? text.ends_with(other) : text.starts_with(other);
    };
    while (!open.empty() && !holds(pieces[open.back()].text)) open.pop_back();
    if (!open.empty()) within[id] = open.back();
    open.push_back(id);
  }
  return within;
}

}  // namespace

StatusOr<std::vector<std::pair<std::string_view, std::string_view>>> MergesByScore(
    const std::vector<ScoredPiece>& pieces) {
  std::vector<uint32_t> ids;
  for (uint32_t id = 0; id < pieces.size(); ++id)
    if (pieces[id].mergeable && !pieces[id].text.empty()) ids.push_back(id);
  const std::vector<uint32_t> starts = LongestWithin(pieces, ids, false);
  const std::vector<uint32_t> ends = LongestWithin(pieces, ids, true);

  struct Merge {
    double score;
    uint32_t whole, left, right;
  };
  std::vector<Merge> merges;
  std::vector<uint32_t> rights;
  std::size_t bytes = 0;
  for (const uint32_t id : ids) {
    const auto size = [&](uint32_t part) { return pieces[part].text.size(); };
    rights.clear();
    for (uint32_t right = ends[id]; right != kNoPiece; right = ends[right]) rights.push_back(right);
    // As the left parts get shorter, the right ones get longer.
    for (uint32_t left = starts[id]; left != kNoPiece && !rights.empty(); left = starts[left]) {
      while (!rights.empty() && size(left) + size(rights.back()) < size(id)) rights.pop_back();
      if (rights.empty() || size(left) + size(rights.back()) != size(id)) continue;
      merges.push_back({pieces[id].score, id, left, rights.back()});
      bytes += size(id);
    }
    if (bytes > kMaxMergeBytes)
      return InvalidArgument(
          "the pieces can be joined from one another in more than {} MiB of ways",
          kMaxMergeBytes >> 20);
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
