// SPDX-License-Identifier: Apache-2.0
#include "cache/prefix_tree.h"

#include <algorithm>

#include "absl/container/inlined_vector.h"
#include "base/check.h"

namespace banyan {
namespace {

// How many leading items are equal.
uint32_t CommonLength(const TokenId* a, const TokenId* b, uint32_t n) {
  uint32_t i = 0;
  // Blocks of 16 without an early exit compile to vector compares.
  for (; i + 16 <= n; i += 16) {
    uint32_t differ = 0;
    for (uint32_t j = 0; j < 16; ++j) differ |= static_cast<uint32_t>(a[i + j] ^ b[i + j]);
    if (differ != 0) break;
  }
  while (i < n && a[i] == b[i]) ++i;
  return i;
}

// The hash of the page that ends `length` tokens into `node`, which goes on from `chain`.
BlockHash ChainOf(const Node& node, BlockHash chain, uint32_t length, int page_size) {
  for (uint32_t at = 0; at < length; at += page_size) {
    chain = HashBlock(chain, {node.tokens.data() + at, static_cast<size_t>(page_size)});
  }
  return chain;
}

absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

PrefixTree::PrefixTree(std::span<const std::unique_ptr<CacheKind>> kinds, std::span<PagePool> pools,
                       int page_size, EvictionPolicy policy)
    : kinds_(kinds),
      pools_(pools),
      page_size_(page_size),
      store_(static_cast<int>(kinds.size())),
      index_(store_, page_size),
      counts_(kinds.size()) {
  BANYAN_CHECK(page_size >= 1 && kinds.size() == pools.size());
  for (size_t kind = 0; kind < kinds.size(); ++kind) {
    orders_.emplace_back(store_, static_cast<KindId>(kind), policy);
  }
}

uint32_t PrefixTree::num_pages(NodeId id, KindId kind) const {
  return kinds_[kind]->paged() ? store_.node(id).length / page_size_ : 1;
}

NodeId PrefixTree::Child(NodeId parent, std::span<const TokenId> tokens, uint32_t* common) const {
  *common = 0;
  if (tokens.size() < static_cast<size_t>(page_size_)) return kNoNode;
  const NodeId child = index_.Find(parent, tokens.data(), index_.Hash(parent, tokens.data()));
  if (child == kNoNode) return kNoNode;
  const Node& node = store_.node(child);
  const auto n = static_cast<uint32_t>(std::min<size_t>(tokens.size(), node.length));
  const uint32_t same = CommonLength(node.tokens.data(), tokens.data(), n);
  *common = same / page_size_ * page_size_;
  return child;
}

TreeMatch PrefixTree::Match(std::string_view name, std::span<const TokenId> tokens) const {
  TreeMatch match;
  const auto root = roots_.find(Absl(name));
  if (root == roots_.end()) return match;
  match.resume.node = match.deepest.node = root->second;
  absl::InlinedVector<Reach, 8> reach(kinds_.size());
  while (true) {
    uint32_t common = 0;
    const NodeId at = match.deepest.node;
    const NodeId child = Child(at, tokens.subspan(match.deepest.position), &common);
    if (child == kNoNode) return match;
    const Node& node = store_.node(child);
    for (size_t kind = 0; kind < reach.size(); ++kind) {
      if (store_.slot(child, static_cast<KindId>(kind)).pages) continue;
      reach[kind].from = node.end();  // also for a part of the node: see Resumable
      if (node.begin < kinds_[kind]->sinks()) reach[kind].head = false;
    }
    match.deepest = {child, common, node.begin + common};
    const Position resume = Resumable(child, match.deepest.position, reach);
    if (resume > node.begin) {
      match.resume = {child, static_cast<uint32_t>(resume - node.begin), resume};
    }
    if (common < node.length) return match;
  }
}

// The deepest position in the node, up to `end`, at which all kinds can go on; its begin if none.
Position PrefixTree::Resumable(NodeId id, Position end, std::span<const Reach> reach) const {
  const Node& node = store_.node(id);
  for (size_t kind = 0; kind < kinds_.size();) {
    const bool whole = end == node.end();
    const Presence presence = {node.begin, end, std::min(reach[kind].from, end), reach[kind].head,
                               whole && bool{store_.slot(id, static_cast<KindId>(kind)).pages}};
    const Position resume = kinds_[kind]->Resume(presence);
    if (resume == CacheKind::kNowhere) return node.begin;
    // A shorter end has to suit the kinds before as well.
    kind = resume < end ? 0 : kind + 1;
    end = resume;
  }
  return end;
}

NodeId PrefixTree::Root(std::string_view name) {
  const auto [it, made] = roots_.try_emplace(std::string(name), kNoNode);
  if (made) {
    it->second = store_.Make();
    store_.node(it->second).chain = HashNamespace(name);
    names_.emplace(it->second, std::string(name));
  }
  return it->second;
}

NodeId PrefixTree::AddChild(NodeId parent, std::span<const TokenId> tokens) {
  BANYAN_CHECK(!tokens.empty() && tokens.size() % page_size_ == 0);
  const NodeId id = store_.Make();
  Node& node = store_.node(id);
  Node& above = store_.node(parent);
  node.tokens.Assign(tokens.data(), static_cast<uint32_t>(tokens.size()));
  node.parent = parent;
  node.begin = static_cast<uint32_t>(above.end());
  node.length = static_cast<uint32_t>(tokens.size());
  node.hash = index_.Hash(parent, tokens.data());
  node.inserted = insertion_;
  ++above.children;
  num_tokens_ += node.length;
  ++changes_;
  index_.Add(id);
  const std::span<const BlockHash> hashes = HashPages(above.chain, tokens);
  node.chain = hashes.back();
  if (observer_ != nullptr) {
    observer_->OnStored(above.chain, above.parent == kNoNode, tokens, hashes);
  }
  return id;
}

std::span<const BlockHash> PrefixTree::HashPages(BlockHash chain, std::span<const TokenId> tokens) {
  hashes_.clear();
  for (; !tokens.empty(); tokens = tokens.subspan(page_size_)) {
    chain = HashBlock(chain, tokens.first(page_size_));
    hashes_.push_back(chain);
  }
  return hashes_;
}

BlockHash PrefixTree::HashAt(const TreePlace& place) const {
  const Node& node = store_.node(place.node);
  if (place.offset == node.length) return node.chain;
  return ChainOf(node, store_.node(node.parent).chain, place.offset, page_size_);
}

void PrefixTree::Visit(TreeObserver& observer) const {
  // Parents first; the ids say nothing of the order.
  std::vector<NodeId> nodes;
  for (NodeId id = 0; id < store_.limit(); ++id) {
    if (store_.node(id).live && store_.node(id).parent != kNoNode) nodes.push_back(id);
  }
  std::sort(nodes.begin(), nodes.end(),
            [&](NodeId a, NodeId b) { return store_.node(a).begin < store_.node(b).begin; });
  std::vector<BlockHash> hashes;
  for (NodeId id : nodes) {
    const Node& node = store_.node(id);
    const Node& above = store_.node(node.parent);
    hashes.clear();
    BlockHash chain = above.chain;
    for (uint32_t at = 0; at < node.length; at += page_size_) {
      chain = HashBlock(chain, {node.tokens.data() + at, static_cast<size_t>(page_size_)});
      hashes.push_back(chain);
    }
    observer.OnStored(above.chain, above.parent == kNoNode, {node.tokens.data(), node.length},
                      hashes);
  }
}

Position PrefixTree::Insert(std::string_view name, std::span<const TokenId> tokens) {
  tokens = tokens.first(tokens.size() / page_size_ * page_size_);
  const TreeMatch match = Match(name, tokens);
  const TreePlace& place = match.deepest;
  if (static_cast<size_t>(place.position) == tokens.size()) return place.position;
  NodeId at = place.node == kNoNode ? Root(name) : place.node;
  if (place.offset != 0 && place.offset < store_.node(at).length) at = Split(at, place.offset);
  AddChild(at, tokens.subspan(place.position));
  return place.position;
}

NodeId PrefixTree::Split(NodeId id, uint32_t offset) {
  const NodeId made = store_.Make();
  Node& lower = store_.node(id);
  Node& upper = store_.node(made);
  BANYAN_CHECK(offset > 0 && offset < lower.length && offset % page_size_ == 0);
  ++splits_;
  upper.tokens = lower.tokens.TakeFront(offset, lower.length);
  upper.parent = lower.parent;
  upper.begin = lower.begin;
  upper.length = offset;
  upper.children = 1;
  upper.hits = lower.hits;
  upper.inserted = lower.inserted;
  upper.priority = lower.priority;
  upper.hash = lower.hash;
  upper.chain = HashPages(store_.node(upper.parent).chain, {upper.tokens.data(), offset}).back();
  index_.Replace(id, made);

  for (KindId kind = 0; kind < kinds(); ++kind) {
    NodeSlot& from = store_.slot(id, kind);
    NodeSlot& to = store_.slot(made, kind);
    if (!kinds_[kind]->paged()) continue;
    to.locks = from.locks;
    if (!from.pages) continue;
    to.pages = from.pages.TakeFront(offset / page_size_, lower.length / page_size_);
    if (from.listed) orders_[kind].AddAfter(id, made);
  }
  lower.parent = made;
  lower.begin += offset;
  lower.length -= offset;
  lower.hash = index_.Hash(made, lower.tokens.data());
  index_.Add(id);
  return made;
}

void PrefixTree::Fill(NodeId id, KindId kind, const PageId* pages, uint32_t count) {
  NodeSlot& slot = store_.slot(id, kind);
  BANYAN_CHECK(!slot.pages && count == num_pages(id, kind));
  slot.pages.Assign(pages, count);
  ++changes_;
  counts_[kind].pages += count;
  if (slot.locks > 0) {
    counts_[kind].locked += count;
  } else {
    orders_[kind].Add(id);
  }
}

PageId PrefixTree::TakeState(NodeId id, KindId kind) {
  NodeSlot& slot = store_.slot(id, kind);
  BANYAN_CHECK(!kinds_[kind]->paged() && slot.pages && slot.locks == 1);
  const PageId page = slot.pages.data()[0];
  ++changes_;
  --counts_[kind].pages;
  --counts_[kind].locked;
  slot.pages.Clear();
  return page;
}

void PrefixTree::Use(NodeId id, int priority) {
  Node& node = store_.node(id);
  node.priority = node.hits == 0 ? priority : std::max(node.priority, priority);
  ++node.hits;
}

void PrefixTree::Lock(NodeId id, KindId kind) {
  NodeSlot& slot = store_.slot(id, kind);
  if (slot.locks++ == 0 && slot.pages) {
    orders_[kind].Remove(id);
    counts_[kind].locked += num_pages(id, kind);
  }
}

void PrefixTree::Unlock(NodeId id, KindId kind) {
  NodeSlot& slot = store_.slot(id, kind);
  BANYAN_CHECK(slot.locks > 0, "node {} is not locked in kind {}", id, kind);
  if (--slot.locks == 0 && slot.pages) {
    orders_[kind].Add(id);
    counts_[kind].locked -= num_pages(id, kind);
  }
}

void PrefixTree::Unpin(NodeId id) {
  BANYAN_CHECK(store_.node(id).pins > 0);
  --store_.node(id).pins;
  DropIfUseless(id);
}

int64_t PrefixTree::Evict(KindId kind, int64_t count) {
  const int64_t before = counts_[kind].pages;
  while (before - counts_[kind].pages < count) {
    const NodeId id = orders_[kind].first();
    if (id == kNoNode) break;
    BANYAN_DCHECK(kinds_[kind]->may_have_gaps() || store_.node(id).children == 0);
    FreeSlot(id, kind);
    DropIfUseless(id);
  }
  return before - counts_[kind].pages;
}

void PrefixTree::FreeSlot(NodeId id, KindId kind) {
  NodeSlot& slot = store_.slot(id, kind);
  if (!slot.pages) return;
  BANYAN_CHECK(slot.locks == 0, "a locked slot is freed");
  const uint32_t count = num_pages(id, kind);
  orders_[kind].Remove(id);
  for (uint32_t i = 0; i < count; ++i) pools_[kind].Give(slot.pages.data()[i]);
  counts_[kind].pages -= count;
  ++changes_;
  slot.pages.Clear();
}

// Whether some request could resume in this leaf, as far as the leaf itself can tell.
bool PrefixTree::Useful(NodeId id) const {
  const Node& node = store_.node(id);
  bool any = false;
  for (KindId kind = 0; kind < kinds(); ++kind) {
    const bool there = bool{store_.slot(id, kind).pages};
    any = any || there;
    const CacheKind& rule = *kinds_[kind];
    const Presence without = {.begin = node.begin,
                              .end = node.end(),
                              .present_from = node.end(),
                              .head_present = rule.sinks() == 0};
    if (!there && rule.Resume(without) == CacheKind::kNowhere) return false;
  }
  return any;
}

// A leaf in which nobody can resume goes, with what it still has; then perhaps its parent.
void PrefixTree::DropIfUseless(NodeId id) {
  while (true) {
    const Node& node = store_.node(id);
    if (node.children > 0 || node.pins > 0) return;
    const NodeId parent = node.parent;
    if (parent != kNoNode) {
      for (KindId kind = 0; kind < kinds(); ++kind)
        if (store_.slot(id, kind).locks > 0) return;
      if (Useful(id)) return;
    }
    Remove(id);
    if (parent == kNoNode) return;
    id = parent;
  }
}

void PrefixTree::Remove(NodeId id) {
  const Node& node = store_.node(id);
  for (KindId kind = 0; kind < kinds(); ++kind) FreeSlot(id, kind);
  if (node.parent == kNoNode) {
    const auto name = names_.find(id);
    roots_.erase(name->second);
    names_.erase(name);
  } else {
    index_.Remove(id);
    --store_.node(node.parent).children;
    num_tokens_ -= node.length;
    if (observer_ != nullptr) {
      observer_->OnRemoved(
          HashPages(store_.node(node.parent).chain, {node.tokens.data(), node.length}));
    }
  }
  store_.Free(id);
}

void PrefixTree::Clear() {
  for (KindId kind = 0; kind < kinds(); ++kind) Evict(kind, counts_[kind].pages);
}

Status PrefixTree::CheckStructure() const {
  std::vector<Count> counts(kinds_.size());
  std::vector<int64_t> listed(kinds_.size());
  std::vector<uint32_t> children(store_.limit());
  int64_t tokens = 0, nodes = 0;
  for (NodeId id = 0; id < store_.limit(); ++id) {
    const Node& node = store_.node(id);
    if (!node.live) continue;
    ++nodes;
    tokens += node.length;
    if (node.parent == kNoNode) continue;
    ++children[node.parent];
    const Node& parent = store_.node(node.parent);
    if (!parent.live || parent.end() != node.begin) return Internal("node {}: bad parent", id);
    if (ChainOf(node, parent.chain, node.length, page_size_) != node.chain) {
      return Internal("node {} has another hash than its tokens", id);
    }
    if (index_.Find(node.parent, node.tokens.data(), node.hash) != id) {
      return Internal("node {} is not found by its parent", id);
    }
    for (KindId kind = 0; kind < kinds(); ++kind) {
      const NodeSlot& slot = store_.slot(id, kind);
      const NodeSlot& above = store_.slot(node.parent, kind);
      const uint32_t pages = slot.pages ? num_pages(id, kind) : 0;
      counts[kind].pages += pages;
      counts[kind].locked += slot.locks > 0 ? pages : 0;
      if (slot.listed != (slot.pages && slot.locks == 0)) {
        return Internal("node {} kind {}: wrongly in or out of the order of eviction", id, kind);
      }
      if (kinds_[kind]->may_have_gaps() || node.begin == 0) continue;
      if ((slot.pages && !above.pages) || slot.locks > above.locks) {
        return Internal("node {} kind {}: entries or locks without its parent's", id, kind);
      }
      if (slot.listed && above.listed && slot.rank > above.rank) {
        return Internal("node {} kind {}: evicted after its parent", id, kind);
      }
    }
  }
  for (NodeId id = 0; id < store_.limit(); ++id) {
    if (store_.node(id).live && store_.node(id).children != children[id]) {
      return Internal("node {}: wrong number of children", id);
    }
  }
  for (KindId kind = 0; kind < kinds(); ++kind) {
    if (counts[kind].pages != counts_[kind].pages || counts[kind].locked != counts_[kind].locked) {
      return Internal("kind {}: {} pages, {} locked; counted {}, {}", kind, counts_[kind].pages,
                      counts_[kind].locked, counts[kind].pages, counts[kind].locked);
    }
  }
  if (tokens != num_tokens_ || nodes != store_.size())
    return Internal("tokens or nodes miscounted");
  return OkStatus();
}

}  // namespace banyan
