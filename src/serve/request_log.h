// SPDX-License-Identifier: Apache-2.0
// --log-requests: one line when a request comes and one when it ends. Levels as SGLang's: 0 names
// it, 1 adds its sampling parameters, 2 the first tokens of its prompt, 3 all of them. Thread-safe.
#pragma once

#include <string_view>

#include "engine/engine.h"

namespace banyan::serve {

class RequestLog {
 public:
  explicit RequestLog(int level) : level_(level) {}
  void Received(const GenerateRequest& request) const;
  void Finished(std::string_view rid, const FinishReason& reason, int completion_tokens) const;

 private:
  int level_;
};

}  // namespace banyan::serve
