// SPDX-License-Identifier: Apache-2.0
// Output: the thread between the engine and its callers. Turns the scheduler's events into updates:
// detokenizes, finds stop strings and posts them back, batches by the stream interval, and ends
// every stream exactly once.
//
// A stop string ends its stream at once, cut at the token that completed it; whatever the scheduler
// has made beyond is dropped here and cut there.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <variant>
#include <vector>

#include "base/queue.h"
#include "engine/engine_metrics.h"
#include "engine/stream.h"

namespace banyan {

// Called on the output thread.
struct OutputHooks {
  std::function<void(StopAt)> stop;           // a stop string was found
  std::function<void(RequestId)> abort;       // the stream cannot go on
  std::function<void(RequestId)> left_queue;  // no longer waits, admitted or ended; once each
  std::function<void(RequestId)> ended;       // the scheduler is done with it; once each
};

class Output {
 public:
  Output(std::shared_ptr<const text::Tokenizer> tokenizer, int stream_interval,
         EngineMetrics* metrics, OutputHooks hooks);
  ~Output();  // ends what is still open with kUnavailable

  // From the engine's thread. A stream is opened before its events come. They wait when the output
  // thread is far behind.
  void Open(std::vector<StreamOpened> streams);
  void Tell(std::vector<RequestEvent> events);
  void EndAll(Status status);  // every stream that is open

 private:
  class Loop;
  using Message = std::variant<std::vector<StreamOpened>, std::vector<RequestEvent>, Status>;

  std::unique_ptr<Queue<Message>> messages_;
  std::thread thread_;
};

}  // namespace banyan
