// SPDX-License-Identifier: Apache-2.0
// Sessions: conversations whose past the server keeps, so that a request need only bring what is
// new. SGLang's session_params: a request goes on from an earlier one of its session, whole or from
// an offset, beside others that do the same (a branch) or in their stead (replace). What is kept
// are token ids; that they are not computed again is the prefix cache's doing.
//
// Thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "sched/request.h"

namespace banyan {

struct SessionSettings {
  std::string id;                 // empty: one is made
  std::optional<double> timeout;  // seconds without a request until it is closed; none: stays open
};

struct SessionParams {
  std::string id;
  std::string rid;     // the request to go on from; empty: from nothing
  int64_t offset = 0;  // keep only so much of its past: from the start, or if negative but the end
  bool replace = false;               // those that went on from it are forgotten (all, without rid)
  bool drop_previous_output = false;  // go on from its prompt alone
};

class Sessions {
 public:
  // At most `max_tokens` are kept in all; a request counts for some itself.
  explicit Sessions(int64_t max_tokens) : max_tokens_(max_tokens) {}

  // Its name. kInvalidArgument when it is taken; kResourceExhausted when there are too many.
  StatusOr<std::string> Open(const SessionSettings& settings, TimePoint now);
  // The requests that were still running, which are to be aborted. kInvalidArgument when it is not
  // there.
  StatusOr<std::vector<RequestId>> Close(std::string_view id);
  int64_t size() const;

 private:
  struct Turn;

 public:
  // A request's place in its session; of one that was replaced or closed nothing is left.
  using Handle = std::weak_ptr<Turn>;
  // Takes a request with its whole prompt: what was before, then what it brings. Called under the
  // lock of the sessions.
  using Accept =
      std::function<StatusOr<RequestId>(std::vector<TokenId> prompt, const Handle& handle)>;
  struct Begun {
    RequestId id = 0;                 // what `accept` gave
    std::vector<RequestId> replaced;  // still running, to be aborted
  };
  // Puts request `rid`, which brings `ids`, in its session, if `accept` takes it; otherwise all
  // stays as it was. `bos`: the token that begins a text, left out where a text goes on.
  // kInvalidArgument when the session or the request named is not there, or has not ended.
  StatusOr<Begun> Begin(const SessionParams& params, const std::string& rid,
                        std::vector<TokenId> ids, std::optional<TokenId> bos, TimePoint now,
                        const Accept& accept);
  void Append(const Handle& handle, std::span<const TokenId> tokens);
  // No more output comes; of one that failed before it began nothing stays, and an earlier one of
  // its name has it again.
  void End(const Handle& handle, bool failed, TimePoint now);

 private:
  struct Session {
    std::map<std::string, std::shared_ptr<Turn>, std::less<>> turns;  // by rid
    std::optional<double> timeout;
    TimePoint used;
    int running = 0;
  };
  static std::vector<TokenId> Tokens(const Turn& turn, std::size_t length);
  static void Stop(Turn& turn, std::vector<RequestId>& running);
  static void Forget(Session& session, const std::string& from, std::vector<RequestId>& running);
  void Expire(TimePoint now);

  const int64_t max_tokens_;
  mutable std::mutex mutex_;
  int64_t held_ = 0;  // tokens that all turns are charged, as long as there is a way to them
  std::map<std::string, Session, std::less<>> sessions_;
  uint64_t made_ = 0;
};

}  // namespace banyan
