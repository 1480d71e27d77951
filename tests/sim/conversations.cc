// SPDX-License-Identifier: Apache-2.0
#include "sim/conversations.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace banyan::sim {
namespace {

constexpr int kSessions = 3, kNames = 8;  // few, so that names are used again

// Whether it ended before it began, so that the session forgets it.
bool NeverBegan(const FinishReason& reason, int outputs) {
  return outputs == 0 && !reason.status.ok() && reason.status.code() != StatusCode::kCancelled;
}

}  // namespace

void Conversations::Fail(std::string what) {
  if (failure_.empty()) failure_ = "sessions: " + std::move(what);
}

void Conversations::Expire(TimePoint now) {
  std::erase_if(model_, [&](const auto& item) {
    const auto& [name, session] = item;
    const std::chrono::duration<double> idle = now - session.used;
    return session.timeout && idle.count() > *session.timeout &&
           std::all_of(session.turns.begin(), session.turns.end(),
                       [](const auto& turn) { return turn.second.ended; });
  });
}

// The name of a session that is open from now on.
std::string Conversations::Open(Rng& rng, TimePoint now) {
  Expire(now);
  std::string name = fmt::format("s{}", rng.Below(kSessions));
  const bool there = model_.contains(name);
  if (!there || rng.Below(20) == 0) {
    SessionSettings settings = {.id = name};
    if (rng.Below(2) == 0) settings.timeout = 0.1 * (1 + rng.Below(20));
    const auto opened = sessions_.Open(settings, now);
    if (opened.ok() == there) Fail(fmt::format("{} opened, which was open: {}", name, there));
    if (!there) model_[name] = {.turns = {}, .timeout = settings.timeout, .used = now};
  }
  return name;
}

// Forgets what went on from `from`, which stays, or all of it; returns what of that still ran.
std::vector<RequestId> Conversations::Replace(Session& session, const std::string& from) {
  std::vector<RequestId> running;
  const auto stop = [&](Turn& turn) {
    turn.displaced.clear();
    if (!std::exchange(turn.ended, true)) running.push_back(turn.id);
  };
  if (from.empty()) {
    for (auto& [name, turn] : session.turns) stop(turn);
    session.turns.clear();
    return running;
  }
  stop(session.turns.at(from));
  std::vector<std::string> parents = {from};
  for (std::size_t at = 0; at < parents.size(); ++at) {
    const std::string parent = parents[at];
    for (auto it = session.turns.begin(); it != session.turns.end();) {
      if (it->second.parent != parent || it->first == from) {
        ++it;
        continue;
      }
      stop(it->second);
      parents.push_back(it->first);
      it = session.turns.erase(it);
    }
    for (auto& [name, turn] : session.turns)
      std::erase_if(turn.displaced, [&](const Turn& old) { return old.parent == parent; });
  }
  return running;
}

bool Conversations::Enter(Rng& rng, TimePoint now, Arrival* arrival,
                          std::vector<RequestId>* aborts) {
  const std::string session_name = Open(rng, now);
  Session& session = model_[session_name];
  SessionParams params = {.id = session_name};
  if (!session.turns.empty() && rng.Below(4) > 0) {
    params.rid =
        std::next(session.turns.begin(), rng.Below(static_cast<int>(session.turns.size())))->first;
  } else if (rng.Below(10) == 0) {
    params.rid = "nobody";
  }
  if (rng.Below(3) == 0) params.offset = rng.Below(2 * longest_prompt_) - longest_prompt_ / 2;
  params.replace = rng.Below(5) == 0;
  params.drop_previous_output = rng.Below(5) == 0;
  const std::string name = fmt::format("r{}", rng.Below(kNames));
  std::optional<TokenId> bos;
  if (rng.Below(2) == 0) bos = rng.Below(2) == 0 ? arrival->prompt.front() : 0;

  // What must come of it.
  const auto same = session.turns.find(name), parent = session.turns.find(params.rid);
  const bool on = !params.rid.empty();
  bool allowed = same == session.turns.end() || same->second.ended;
  std::vector<TokenId> ids = arrival->prompt, whole;
  if (on) {
    ids.resize(std::min<std::size_t>(ids.size(), 1 + rng.Below(8)));
    allowed = allowed && parent != session.turns.end() && (parent->second.ended || params.replace);
  }
  const std::vector<TokenId> brought = ids;
  if (on && parent != session.turns.end()) {
    whole = parent->second.text;
    if (params.drop_previous_output) whole.resize(parent->second.prompt);
    const auto length = static_cast<int64_t>(whole.size());
    const int64_t kept =
        params.offset > 0 ? params.offset : length + params.offset;  // 0: all of it
    whole.resize(static_cast<std::size_t>(std::clamp<int64_t>(kept, 0, length)));
    if (bos && ids.front() == *bos) ids.erase(ids.begin());
  }
  whole.insert(whole.end(), ids.begin(), ids.end());
  const bool fits = !whole.empty() && static_cast<int>(whole.size()) <= longest_prompt_;

  Live live = {.handle = {}, .session = session_name, .name = name};
  const auto accept = [&](std::vector<TokenId> prompt,
                          const Sessions::Handle& handle) -> StatusOr<RequestId> {
    if (prompt != whole) Fail(fmt::format("turn {} of {} has another past", name, session_name));
    if (!fits) return InvalidArgument("the prompt does not fit");
    live.handle = handle;
    arrival->prompt = std::move(prompt);
    return arrival->id;
  };
  auto begun = sessions_.Begin(params, name, brought, bos, now, accept);
  if (begun.ok() != (allowed && fits)) {
    Fail(fmt::format("turn {} of {} was {}", name, session_name,
                     begun.ok() ? "taken" : "refused: " + Message(begun.status())));
  }
  if (!begun.ok()) return false;
  std::vector<RequestId> replaced;
  if (params.replace) replaced = Replace(session, params.rid);
  std::sort(replaced.begin(), replaced.end());
  std::sort(begun->replaced.begin(), begun->replaced.end());
  if (begun->replaced != replaced) Fail("others are replaced than went on from there");
  Turn turn = {.text = whole, .prompt = whole.size(), .parent = params.rid, .id = arrival->id};
  if (const auto old = session.turns.find(name); old != session.turns.end()) {
    turn.displaced.push_back(std::move(old->second));
    turn.displaced.back().displaced.clear();
  }
  session.turns[name] = std::move(turn);
  session.used = now;
  live_.emplace(arrival->id, std::move(live));
  aborts->insert(aborts->end(), replaced.begin(), replaced.end());
  turns_ += on;
  return true;
}

void Conversations::Close(Rng& rng, std::vector<RequestId>* aborts) {
  const std::string name = fmt::format("s{}", rng.Below(kSessions));
  auto closed = sessions_.Close(name);
  const auto found = model_.find(name);
  if (closed.ok() != (found != model_.end())) Fail(fmt::format("{} is not what it was", name));
  if (!closed.ok() || found == model_.end()) return;
  std::vector<RequestId> running = Replace(found->second, "");
  std::sort(running.begin(), running.end());
  std::sort(closed->begin(), closed->end());
  if (*closed != running) Fail(fmt::format("{} closes others than ran in it", name));
  model_.erase(found);
  aborts->insert(aborts->end(), running.begin(), running.end());
}

// Null when it was replaced or closed.
Conversations::Turn* Conversations::Running(const Live& live, RequestId id) {
  const auto session = model_.find(live.session);
  if (session == model_.end()) return nullptr;
  const auto turn = session->second.turns.find(live.name);
  if (turn == session->second.turns.end()) return nullptr;
  return turn->second.id == id && !turn->second.ended ? &turn->second : nullptr;
}

void Conversations::See(RequestId id, std::span<const TokenId> tokens, int stop,
                        const std::optional<FinishReason>& finished, TimePoint now) {
  const auto found = live_.find(id);
  if (found == live_.end()) return;
  Live& live = found->second;
  const bool stopped = stop >= 0 && live.outputs + static_cast<int>(tokens.size()) > stop;
  if (stopped) tokens = tokens.first(stop + 1 - live.outputs);
  live.outputs += static_cast<int>(tokens.size());
  Turn* const turn = Running(live, id);
  sessions_.Append(live.handle, tokens);
  if (turn != nullptr) {
    if (!tokens.empty()) turn->displaced.clear();
    turn->text.insert(turn->text.end(), tokens.begin(), tokens.end());
  }
  if (!stopped && !finished) return;
  const bool failed = !stopped && NeverBegan(*finished, live.outputs);
  sessions_.End(live.handle, failed, now);
  if (turn != nullptr) {
    Session& session = model_[live.session];
    session.used = now;
    turn->ended = true;
    std::vector<Turn> displaced = std::move(turn->displaced);
    turn->displaced.clear();
    if (failed) session.turns.erase(live.name);
    if (failed && !displaced.empty()) session.turns[live.name] = std::move(displaced.front());
  }
  live_.erase(found);
}

void Conversations::CloseAll() {
  for (const auto& [name, session] : model_) {
    const auto closed = sessions_.Close(name);
    if (!closed.ok()) Fail(fmt::format("{} is gone", name));
    if (closed.ok() && !closed->empty()) Fail(fmt::format("{} still runs", name));
  }
  model_.clear();
  if (sessions_.size() != 0) Fail(fmt::format("{} are left", sessions_.size()));
}

}  // namespace banyan::sim
