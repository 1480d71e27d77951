// SPDX-License-Identifier: Apache-2.0
// Sessions for the hash model: the engine's own, driven at random and held against plain copies of
// every text. A turn becomes an arrival as in the engine: what was before is put in front of what
// it brings, whoever is replaced or closed is aborted, and outputs count when the output thread has
// seen them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/sessions.h"
#include "sim/rng.h"

namespace banyan::sim {

class Conversations {
 public:
  explicit Conversations(int longest_prompt) : longest_prompt_(longest_prompt) {}

  // Makes the arrival a turn of some session, which goes on from any request of it, whole or from
  // an offset, beside others or in their stead: its prompt becomes the whole. `aborts` are those
  // whose place it takes. False when it is refused, as some must be.
  bool Enter(Rng& rng, TimePoint now, Arrival* arrival, std::vector<RequestId>* aborts);
  // Closes some session, running or not.
  void Close(Rng& rng, std::vector<RequestId>* aborts);
  // The output thread has seen so much more of a request; a stop string ends it at output `stop`.
  void See(RequestId id, std::span<const TokenId> tokens, int stop,
           const std::optional<FinishReason>& finished, TimePoint now);
  // At the end of all: nothing may be left that runs.
  void CloseAll();

  const std::string& failure() const { return failure_; }  // empty: all is well
  int64_t turns() const { return turns_; }                 // that went on from an earlier one

 private:
  struct Turn {
    std::vector<TokenId> text;
    std::size_t prompt = 0;
    std::string parent;  // its name; empty: none
    RequestId id = 0;
    bool ended = false;
    std::vector<Turn> displaced;  // what had the name, if this has not begun
  };
  struct Session {
    std::map<std::string, Turn> turns;  // by name
    std::optional<double> timeout;
    TimePoint used;
  };
  struct Live {
    Sessions::Handle handle;
    std::string session, name;
    int outputs = 0;
  };

  std::string Open(Rng& rng, TimePoint now);
  void Expire(TimePoint now);
  static std::vector<RequestId> Replace(Session& session, const std::string& from);
  Turn* Running(const Live& live, RequestId id);
  void Fail(std::string what);

  const int longest_prompt_;
  Sessions sessions_{int64_t{1} << 40};
  std::map<std::string, Session> model_;
  std::map<RequestId, Live> live_;
  int64_t turns_ = 0;
  std::string failure_;
};

}  // namespace banyan::sim
