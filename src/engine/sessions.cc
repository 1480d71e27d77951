// SPDX-License-Identifier: Apache-2.0
#include "engine/sessions.h"

#include <algorithm>
#include <random>
#include <utility>

namespace banyan {
namespace {

constexpr std::size_t kMaxSessions = 16384;
// What a request is charged beside its tokens, so that the number of requests is bounded too.
constexpr int64_t kTurnCharge = 64;

std::string RandomName(uint64_t salt) {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(),
                     static_cast<uint32_t>(salt));
}

}  // namespace

// Made, reached and destroyed under the lock. Only a turn that has ended has others after it, so
// one that runs is held by its session alone.
struct Sessions::Turn {
  Turn(Session& in, std::string name, std::vector<TokenId> input, int64_t& all)
      : session(in),
        rid(std::move(name)),
        tokens(std::move(input)),
        inputs(tokens.size()),
        held(all) {
    held += Charge();
  }
  ~Turn() {
    held -= Charge();
    // One by one: destroyed each within the next, a long past overflows the stack.
    while (before != nullptr && before.use_count() == 1) {
      before = std::exchange(before->before, nullptr);
    }
  }
  int64_t Charge() const { return kTurnCharge + static_cast<int64_t>(tokens.size()); }

  Session& session;  // there while this runs
  const std::string rid;
  std::string parent;            // the name of the one it goes on from; empty: none
  std::shared_ptr<Turn> before;  // the last that brought some of `kept`, even if it has no name now
  // The one that had the name, until this one has begun. It has ended, and has none itself.
  std::shared_ptr<Turn> displaced;
  std::size_t kept = 0;         // tokens of what is before
  std::vector<TokenId> tokens;  // its own: the first `inputs` it brought, the others are output
  const std::size_t inputs;
  RequestId id = 0;
  bool ended = false;
  int64_t& held;
};

StatusOr<std::string> Sessions::Open(const SessionSettings& settings, TimePoint now) {
  std::lock_guard lock(mutex_);
  Expire(now);
  if (sessions_.size() >= kMaxSessions) {
    return ResourceExhausted("{} sessions are open, and no more can be", sessions_.size());
  }
  const std::string id = settings.id.empty() ? RandomName(++made_) : settings.id;
  const auto [session, made] = sessions_.try_emplace(id);
  if (!made) return InvalidArgument("session_id: a session '{}' is open already", id);
  session->second.timeout = settings.timeout;
  session->second.used = now;
  return id;
}

StatusOr<std::vector<RequestId>> Sessions::Close(std::string_view id) {
  std::lock_guard lock(mutex_);
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return InvalidArgument("session_id: there is no session '{}'", id);
  std::vector<RequestId> running;
  for (const auto& [rid, turn] : found->second.turns) Stop(*turn, running);
  sessions_.erase(found);
  return running;
}

int64_t Sessions::size() const {
  std::lock_guard lock(mutex_);
  return static_cast<int64_t>(sessions_.size());
}

// Looked through when sessions are opened or used: their number is bounded.
void Sessions::Expire(TimePoint now) {
  for (auto it = sessions_.begin(); it != sessions_.end();) {
    const Session& session = it->second;
    const std::chrono::duration<double> idle = now - session.used;
    if (session.timeout && session.running == 0 && idle.count() > *session.timeout) {
      it = sessions_.erase(it);
    } else {
      ++it;
    }
  }
}

// The first tokens of its text.
std::vector<TokenId> Sessions::Tokens(const Turn& turn, std::size_t length) {
  std::vector<TokenId> tokens(length);
  for (const Turn* at = &turn; length > 0; at = at->before.get()) {
    if (at->kept >= length) continue;
    std::copy_n(at->tokens.begin(), length - at->kept,
                tokens.begin() + static_cast<std::ptrdiff_t>(at->kept));
    length = at->kept;
  }
  return tokens;
}

void Sessions::Stop(Turn& turn, std::vector<RequestId>& running) {
  turn.displaced = nullptr;
  if (std::exchange(turn.ended, true)) return;
  running.push_back(turn.id);
  --turn.session.running;
}

// The requests that went on from `from`, and those that went on from them. Names used again may
// lead back to `from` itself, which stays.
void Sessions::Forget(Session& session, const std::string& from, std::vector<RequestId>& running) {
  std::multimap<std::string, std::string> after;  // by the parent's name
  for (const auto& [rid, turn] : session.turns) {
    if (!turn->parent.empty() && rid != from) after.emplace(turn->parent, rid);
  }
  std::vector<std::string> parents = {from};
  for (std::size_t at = 0; at < parents.size(); ++at) {
    const auto [first, last] = after.equal_range(parents[at]);
    for (auto it = first; it != last; ++it) {
      const auto turn = session.turns.find(it->second);
      Stop(*turn->second, running);
      session.turns.erase(turn);
      parents.push_back(it->second);
    }
  }
  for (const auto& [rid, turn] : session.turns) {
    const std::shared_ptr<Turn>& old = turn->displaced;
    if (old != nullptr && std::find(parents.begin(), parents.end(), old->parent) != parents.end()) {
      turn->displaced = nullptr;
    }
  }
}

StatusOr<Sessions::Begun> Sessions::Begin(const SessionParams& params, const std::string& rid,
                                          std::vector<TokenId> ids, std::optional<TokenId> bos,
                                          TimePoint now, const Accept& accept) {
  std::lock_guard lock(mutex_);
  Expire(now);
  const auto found = sessions_.find(params.id);
  if (found == sessions_.end()) {
    return InvalidArgument("session_params: session id {} does not exist", params.id);
  }
  Session& session = found->second;
  if (const auto same = session.turns.find(rid);
      same != session.turns.end() && !same->second->ended)
    return InvalidArgument("rid: request '{}' of the session has not ended", rid);
  std::shared_ptr<Turn> parent;
  std::vector<TokenId> prompt;
  if (!params.rid.empty()) {
    const auto named = session.turns.find(params.rid);
    if (named == session.turns.end()) {
      return InvalidArgument("session_params: the session has no request '{}'", params.rid);
    }
    parent = named->second;
    if (!parent->ended && !params.replace) {
      return InvalidArgument("session_params: request '{}' has not ended", params.rid);
    }
    const auto length = static_cast<int64_t>(
        parent->kept + (params.drop_previous_output ? parent->inputs : parent->tokens.size()));
    int64_t kept = length;
    if (params.offset != 0) kept = params.offset > 0 ? params.offset : length + params.offset;
    prompt = Tokens(*parent, static_cast<std::size_t>(std::clamp<int64_t>(kept, 0, length)));
    if (bos && !ids.empty() && ids.front() == *bos) ids.erase(ids.begin());
  }
  if (held_ + kTurnCharge + static_cast<int64_t>(ids.size()) > max_tokens_) {
    return ResourceExhausted("sessions hold {} tokens, and at most {}", held_, max_tokens_);
  }
  const auto turn = std::make_shared<Turn>(session, rid, std::move(ids), held_);
  turn->kept = prompt.size();
  turn->parent = params.rid;
  turn->before = parent;
  while (turn->before != nullptr && turn->before->kept >= turn->kept) {
    turn->before = turn->before->before;
  }
  prompt.insert(prompt.end(), turn->tokens.begin(), turn->tokens.end());
  Begun begun;
  BANYAN_ASSIGN_OR_RETURN(begun.id, accept(std::move(prompt), turn));
  turn->id = begun.id;
  if (params.replace && parent != nullptr) {
    Stop(*parent, begun.replaced);
    Forget(session, params.rid, begun.replaced);
  } else if (params.replace) {
    for (const auto& [name, old] : session.turns) Stop(*old, begun.replaced);
    session.turns.clear();
  }
  session.used = now;
  ++session.running;
  turn->displaced = std::exchange(session.turns[rid], turn);
  return begun;
}

void Sessions::Append(const Handle& handle, std::span<const TokenId> tokens) {
  std::lock_guard lock(mutex_);
  const std::shared_ptr<Turn> turn = handle.lock();
  if (turn == nullptr || turn->ended) return;
  if (!tokens.empty()) turn->displaced = nullptr;
  turn->tokens.insert(turn->tokens.end(), tokens.begin(), tokens.end());
  held_ += static_cast<int64_t>(tokens.size());
}

void Sessions::End(const Handle& handle, bool failed, TimePoint now) {
  std::lock_guard lock(mutex_);
  const std::shared_ptr<Turn> turn = handle.lock();
  if (turn == nullptr || turn->ended) return;
  turn->ended = true;
  --turn->session.running;
  turn->session.used = now;
  std::shared_ptr<Turn> displaced = std::move(turn->displaced);
  if (!failed) return;
  if (displaced != nullptr) {
    turn->session.turns[turn->rid] = std::move(displaced);
  } else {
    turn->session.turns.erase(turn->rid);
  }
}

}  // namespace banyan
