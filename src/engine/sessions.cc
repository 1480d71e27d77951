// SPDX-License-Identifier: Apache-2.0
#include "engine/sessions.h"

#include <algorithm>
#include <random>
#include <utility>

namespace banyan {
namespace {

constexpr std::size_t kMaxSessions = 16384;

std::string RandomName(uint64_t salt) {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(),
                     static_cast<uint32_t>(salt));
}

}  // namespace

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

Status Sessions::Close(std::string_view id) {
  std::lock_guard lock(mutex_);
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return InvalidArgument("session_id: there is no session '{}'", id);
  tokens_ -= found->second.tokens;
  sessions_.erase(found);
  return OkStatus();
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
      tokens_ -= session.tokens;
      it = sessions_.erase(it);
    } else {
      ++it;
    }
  }
}

std::vector<TokenId> Sessions::Tokens(const Turn& turn, bool with_output) {
  std::vector<const Turn*> path;
  for (const Turn* at = &turn; at != nullptr; at = at->before.get()) path.push_back(at);
  std::vector<TokenId> tokens;
  for (auto it = path.rbegin(); it != path.rend(); ++it) {
    tokens.resize((*it)->kept);
    tokens.insert(tokens.end(), (*it)->input.begin(), (*it)->input.end());
    if (*it != &turn || with_output) {
      tokens.insert(tokens.end(), (*it)->output.begin(), (*it)->output.end());
    }
  }
  return tokens;
}

// The requests that went on from `parent`, and those that went on from them.
void Sessions::Forget(Session& session, const std::string& parent, std::vector<std::string>& open) {
  std::vector<std::string> parents = {parent};
  while (!parents.empty()) {
    const std::string name = std::exchange(parents.back(), {});
    parents.pop_back();
    for (auto it = session.turns.begin(); it != session.turns.end();) {
      const Turn& turn = *it->second;
      if (turn.before == nullptr || turn.parent != name) {
        ++it;
        continue;
      }
      if (!turn.ended) {
        open.push_back(it->first);
        --session.running;
      }
      parents.push_back(it->first);
      it = session.turns.erase(it);
    }
  }
}

StatusOr<Sessions::Begun> Sessions::Begin(const SessionParams& params, const std::string& rid,
                                          std::vector<TokenId> ids, std::optional<TokenId> bos,
                                          TimePoint now) {
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
  Begun begun;
  auto turn = std::make_shared<Turn>();
  if (params.rid.empty()) {
    if (params.replace) {
      for (const auto& [name, old] : session.turns) {
        if (!old->ended) begun.replaced.push_back(name);
      }
      session.turns.clear();
      session.running = 0;
    }
  } else {
    const auto parent = session.turns.find(params.rid);
    if (parent == session.turns.end()) {
      return InvalidArgument("session_params: the session has no request '{}'", params.rid);
    }
    if (!parent->second->ended && !params.replace) {
      return InvalidArgument("session_params: request '{}' has not ended", params.rid);
    }
    if (params.replace) {
      if (!std::exchange(parent->second->ended, true)) {
        begun.replaced.push_back(params.rid);
        --session.running;
      }
      Forget(session, params.rid, begun.replaced);
    }
    turn->before = parent->second;
    turn->parent = params.rid;
    begun.prompt = Tokens(*parent->second, !params.drop_previous_output);
    const auto length = static_cast<int64_t>(begun.prompt.size());
    if (params.offset != 0) {
      const int64_t kept = params.offset > 0 ? params.offset : length + params.offset;
      begun.prompt.resize(std::clamp<int64_t>(kept, 0, length));
    }
    if (bos && !ids.empty() && ids.front() == *bos) ids.erase(ids.begin());
  }
  const auto more = static_cast<int64_t>(ids.size());
  if (tokens_ + more > max_tokens_) {
    return ResourceExhausted("sessions hold {} tokens, and at most {}", tokens_, max_tokens_);
  }
  turn->kept = begun.prompt.size();
  begun.prompt.insert(begun.prompt.end(), ids.begin(), ids.end());
  turn->input = std::move(ids);
  tokens_ += more;
  session.tokens += more;
  session.used = now;
  ++session.running;
  session.turns[rid] = std::move(turn);
  return begun;
}

Sessions::Turn* Sessions::Find(const std::string& session, const std::string& rid,
                               Session** found) {
  const auto in = sessions_.find(session);
  if (in == sessions_.end()) return nullptr;
  *found = &in->second;
  const auto turn = in->second.turns.find(rid);
  return turn == in->second.turns.end() || turn->second->ended ? nullptr : turn->second.get();
}

void Sessions::Append(const std::string& session, const std::string& rid,
                      std::span<const TokenId> tokens) {
  std::lock_guard lock(mutex_);
  Session* in = nullptr;
  Turn* const turn = Find(session, rid, &in);
  if (turn == nullptr) return;
  turn->output.insert(turn->output.end(), tokens.begin(), tokens.end());
  in->tokens += static_cast<int64_t>(tokens.size());
  tokens_ += static_cast<int64_t>(tokens.size());
}

void Sessions::End(const std::string& session, const std::string& rid, bool failed, TimePoint now) {
  std::lock_guard lock(mutex_);
  Session* in = nullptr;
  Turn* const turn = Find(session, rid, &in);
  if (turn == nullptr) return;
  turn->ended = true;
  --in->running;
  in->used = now;
  if (failed) in->turns.erase(rid);
}

}  // namespace banyan
