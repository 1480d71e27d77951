// SPDX-License-Identifier: Apache-2.0
// --log-requests: one line when a request comes and one when it ends. Levels as SGLang's: 0 names
// it, 1 adds its sampling parameters, 2 the beginnings of its prompt and output, 3 all of them.
// Lines are text or JSON, and go to the server's own log or to targets: "stdout", or folders, where
// they are appended to requests.log. Thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace banyan::serve {

struct RequestLogConfig {
  bool enabled = false;
  int level = 2;
  std::string format = "text";       // or "json"
  std::vector<std::string> targets;  // none: the server's log
};

class RequestLog {
 public:
  // Null when not enabled; an error when a target cannot be written.
  static StatusOr<std::unique_ptr<const RequestLog>> Open(const RequestLogConfig& config);
  ~RequestLog();
  RequestLog(const RequestLog&) = delete;
  RequestLog& operator=(const RequestLog&) = delete;

  // How many bytes of an output Finished would show.
  std::size_t output_limit() const;

  void Received(const GenerateRequest& request) const;
  struct End {
    std::string_view rid;
    const FinishReason& reason;
    int prompt_tokens, completion_tokens, cached_tokens;
    std::chrono::duration<double> latency;
    std::string_view output;  // its text, as far as it was kept
  };
  void Finished(const End& end) const;

 private:
  explicit RequestLog(const RequestLogConfig& config);
  // `json` holds the fields after "rid".
  void Write(std::string_view event, std::string_view rid, std::string_view text,
             std::string_view json) const;

  const int level_;
  const bool json_;
  std::vector<int> files_;  // descriptors; none: the server's log
};

}  // namespace banyan::serve
