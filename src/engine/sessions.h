// SPDX-License-Identifier: Apache-2.0
// Sessions: conversations whose past the server keeps, so that a request need only bring what is
// new. SGLang's session_params: a request goes on from an earlier one of its session, whole or from
// an offset, beside others that do the same (a branch) or in their stead (replace). What is kept
// are token ids; that they are not computed again is the prefix cache's doing.
//
// Thread-safe.
#pragma once

#include <chrono>
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
  // At most `max_tokens` are kept in all.
  explicit Sessions(int64_t max_tokens) : max_tokens_(max_tokens) {}

  // Its name. kInvalidArgument when it is taken; kResourceExhausted when there are too many.
  StatusOr<std::string> Open(const SessionSettings& settings, TimePoint now);
  Status Close(std::string_view id);  // kInvalidArgument when it is not there
  int64_t size() const;

  struct Begun {
    std::vector<TokenId> prompt;        // what was before, then `ids`
    std::vector<std::string> replaced;  // requests still running that are to be aborted
  };
  // Puts request `rid`, which brings `ids`, in its session. `bos`: the token that begins a text,
  // left out where a text goes on. kInvalidArgument when the session or the request named is not
  // there, or has not ended.
  StatusOr<Begun> Begin(const SessionParams& params, const std::string& rid,
                        std::vector<TokenId> ids, std::optional<TokenId> bos, TimePoint now);
  void Append(const std::string& session, const std::string& rid, std::span<const TokenId> tokens);
  // No more output comes; of one that never began (`failed`) nothing stays.
  void End(const std::string& session, const std::string& rid, bool failed, TimePoint now);

 private:
  struct Turn {
    std::shared_ptr<const Turn> before;  // even where its name is forgotten
    std::string parent;                  // its name
    std::size_t kept = 0;                // tokens of what is before
    std::vector<TokenId> input, output;
    bool ended = false;
  };
  struct Session {
    std::map<std::string, std::shared_ptr<Turn>, std::less<>> turns;  // by rid
    std::optional<double> timeout;
    TimePoint used;
    int64_t tokens = 0;
    int running = 0;
  };
  static std::vector<TokenId> Tokens(const Turn& turn, bool with_output);
  static void Forget(Session& session, const std::string& parent, std::vector<std::string>& open);
  Turn* Find(const std::string& session, const std::string& rid, Session** found);
  void Expire(TimePoint now);

  const int64_t max_tokens_;
  mutable std::mutex mutex_;
  std::map<std::string, Session, std::less<>> sessions_;
  int64_t tokens_ = 0;
  uint64_t made_ = 0;
};

}  // namespace banyan
