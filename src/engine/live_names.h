// SPDX-License-Identifier: Apache-2.0
// LiveNames: the names (rids) of the requests at work in all ranks of an engine: no two of them
// have the same, as in SGLang. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

namespace banyan {

class LiveNames {
 public:
  // Taken as long as this is there.
  class Hold {
   public:
    Hold(std::shared_ptr<LiveNames> names, std::string name)
        : names_(std::move(names)), name_(std::move(name)) {}
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    const std::shared_ptr<LiveNames> names_;
    const std::string name_;
  };

  // Null when a request has the name already.
  static std::shared_ptr<Hold> Take(const std::shared_ptr<LiveNames>& names,
                                    const std::string& name);

 private:
  std::mutex mutex_;
  std::set<std::string> taken_;
};

}  // namespace banyan
