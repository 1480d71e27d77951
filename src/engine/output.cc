// SPDX-License-Identifier: Apache-2.0
#include "engine/output.h"

#include <exception>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/log.h"

namespace banyan {
namespace {

// Messages that may wait for the output thread before the engine waits for it.
constexpr std::size_t kMaxBehind = 4096;

double Seconds(TimePoint::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

class Output::Loop {
 public:
  Loop(std::shared_ptr<const text::Tokenizer> tokenizer, int stream_interval,
       EngineMetrics* metrics, OutputHooks hooks)
      : tokenizer_(std::move(tokenizer)),
        stream_interval_(stream_interval),
        metrics_(metrics),
        hooks_(std::move(hooks)) {}

  void Run(Queue<Message>& messages) {
    std::vector<Message> batch;
    while (messages.PopAll(batch)) {
      now_ = std::chrono::steady_clock::now();
      for (Message& message : batch) std::visit([this](auto& body) { Handle(body); }, message);
      batch.clear();
    }
    Status gone = Unavailable("the engine has been shut down");
    Handle(gone);
  }

 private:
  using Streams = absl::flat_hash_map<RequestId, std::unique_ptr<Stream>>;

  void Handle(std::vector<StreamOpened>& streams) {
    for (StreamOpened& opened : streams) {
      const RequestId id = opened.id;
      const int index = opened.index, prompt_tokens = opened.prompt_tokens;
      const bool logged = opened.log_metrics;
      const double since_arrival = Seconds(now_ - opened.arrived);
      const std::shared_ptr<const GenerateSink> sink = opened.sink;
      metrics_->Arrived(logged, since_arrival);
      try {
        streams_.emplace(id, std::make_unique<Stream>(std::move(opened), tokenizer_));
      } catch (const std::exception& error) {
        metrics_->Ended(logged, {.kind = FinishReason::Kind::kAbort}, since_arrival, prompt_tokens,
                        0, 0);
        Refuse(id, index, *sink, error.what());
      }
    }
  }

  // Ends a sample that has no stream: whatever the scheduler says of it finds nothing here.
  void Refuse(RequestId id, int index, const GenerateSink& sink, const char* why) {
    hooks_.left_queue(id);
    hooks_.abort(id);
    try {
      GenerateUpdate update;
      update.index = index;
      update.finish = {.kind = FinishReason::Kind::kAbort,
                       .status = Internal("the output could not be begun: {}", why)};
      sink(std::move(update));
    } catch (const std::exception& error) {
      LogError("the receiver of request {} failed: {}", id, error.what());
    }
    hooks_.ended(id);
  }

  void Handle(std::vector<RequestEvent>& events) {
    for (RequestEvent& event : events) {
      const auto found = streams_.find(event.id);
      if (found == streams_.end()) continue;
      Stream& stream = *found->second;
      const RequestId id = event.id;
      const bool over = event.finished.has_value();
      if (event.admitted || over) LeaveQueue(stream, event);
      if (!stream.told_the_end()) Take(stream, std::move(event));
      if (!over) continue;
      streams_.erase(found);
      hooks_.ended(id);
    }
  }

  void Handle(Status& status) {
    for (auto& [id, stream] : std::exchange(streams_, {})) {
      if (!stream->left_queue) hooks_.left_queue(id);
      if (!stream->told_the_end()) {
        stream->End(status);
        Flush(*stream);
      }
      hooks_.ended(id);
    }
  }

  void LeaveQueue(Stream& stream, const RequestEvent& event) {
    if (event.admitted) {
      stream.admitted = now_;
      metrics_->Admitted(stream.opened().log_metrics, Seconds(now_ - stream.opened().arrived),
                         stream.opened().prompt_tokens, event.cached_tokens);
    }
    if (std::exchange(stream.left_queue, true)) return;
    hooks_.left_queue(event.id);
  }

  void Take(Stream& stream, RequestEvent&& event) {
    const int before = stream.completion_tokens();
    const RequestId id = event.id;
    bool failed = false;
    try {
      stream.Take(std::move(event));
    } catch (const std::exception& error) {
      failed = true;
      stream.End(Internal("the output could not be made: {}", error.what()));
    }
    const int tokens = stream.completion_tokens() - before;
    if (tokens > 0) {
      const TimePoint since = before == 0 ? stream.opened().arrived : stream.last_update;
      const bool logged = stream.opened().log_metrics;
      if (before == 0) {
        metrics_->FirstToken(logged, Seconds(now_ - since), Seconds(now_ - stream.admitted));
      } else {
        metrics_->NextTokens(logged, Seconds(now_ - since), tokens);
      }
      stream.last_update = now_;
    }
    // What the scheduler does not know yet.
    if (failed) hooks_.abort(id);
    if (stream.stopped_by_string()) hooks_.stop(stream.stop_at());
    if (stream.Due(stream_interval_)) Flush(stream);
  }

  void Flush(Stream& stream) {
    if (stream.finish()) {
      metrics_->Ended(stream.opened().log_metrics, *stream.finish(),
                      Seconds(now_ - stream.opened().arrived), stream.opened().prompt_tokens,
                      stream.cached_tokens(), stream.completion_tokens());
    }
    try {
      stream.Flush();
    } catch (const std::exception& error) {
      LogError("the receiver of request {} failed: {}", stream.opened().id, error.what());
      hooks_.abort(stream.opened().id);
    }
  }

  std::shared_ptr<const text::Tokenizer> tokenizer_;
  const int stream_interval_;
  EngineMetrics* metrics_;
  OutputHooks hooks_;
  Streams streams_;
  TimePoint now_;
};

Output::Output(std::shared_ptr<const text::Tokenizer> tokenizer, int stream_interval,
               EngineMetrics* metrics, OutputHooks hooks)
    : messages_(std::make_unique<Queue<Message>>(kMaxBehind)) {
  thread_ =
      std::thread([messages = messages_.get(),
                   loop = std::make_unique<Loop>(std::move(tokenizer), stream_interval, metrics,
                                                 std::move(hooks))] { loop->Run(*messages); });
}

Output::~Output() {
  messages_->Close();
  thread_.join();
}

void Output::Open(std::vector<StreamOpened> streams) { messages_->Push(std::move(streams)); }
void Output::Tell(std::vector<RequestEvent> events) { messages_->Push(std::move(events)); }
void Output::EndAll(Status status) { messages_->Push(std::move(status)); }

}  // namespace banyan
