// SPDX-License-Identifier: Apache-2.0
// An engine without a model, for tests of what stands above: it answers by a script, on a thread of
// its own, and keeps what it was asked. Of several ranks, all requests are on the first.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/engine.h"

namespace banyan::serve {

class FakeEngine final : public Engine {
 public:
  explicit FakeEngine(std::shared_ptr<const text::ChatTemplate> chat_template);
  ~FakeEngine() override;

  // Every accepted sample gets these updates' texts in turn, one token each, and then ends so. With
  // `hold`, only the first comes, and the rest waits until Release or an abort.
  struct Script {
    std::vector<std::string> pieces = {"Hel", "lo"};
    FinishReason finish;
    bool hold = false;
    Status refuse;  // not OK: Submit says no
    bool logprobs = false;
  };
  void SetScript(Script script);
  void Release();
  std::vector<GenerateRequest> submitted() const;
  int aborted() const;
  int flushes(int rank) const;  // asked for

  StatusOr<RequestId> Submit(GenerateRequest request, GenerateSink sink) override;
  void Abort(RequestId id) override;
  int AbortByRid(std::string_view rid_prefix, bool all) override;
  void FlushCache(int rank, std::function<void(Status)> done) override;
  void Pause(PauseMode mode, std::function<void(Status)> done) override;
  void Continue(std::function<void(Status)> done) override;
  StatusOr<std::string> OpenSession(const SessionSettings& settings) override;
  Status CloseSession(std::string_view id) override;
  void Drain(std::function<void()> done) override;
  void Stop() override;
  EngineSnapshot Snapshot() const override;
  void InspectCache(int, std::function<void(StatusOr<CacheSnapshot>)> done) override {
    done(CacheSnapshot{});
  }
  const EngineConfig& config() const override { return config_; }
  const nn::ModelInfo& model() const override { return model_; }
  int64_t max_request_length() const override { return 4096; }
  const std::shared_ptr<const text::Tokenizer>& tokenizer() const override { return tokenizer_; }
  const std::shared_ptr<const text::ChatTemplate>& chat_template() const override {
    return template_;
  }
  const json::object& generation_config() const override { return generation_config_; }
  const SamplingParams& default_sampling() const override { return default_sampling_; }
  Metrics& metrics() override { return metrics_; }

  int ranks() const override { return ranks_; }

  EngineConfig config_;
  int ranks_ = 1;
  SamplingParams default_sampling_;
  bool healthy = true;
  std::optional<PauseMode> paused;
  Sessions sessions{1 << 20};

 private:
  struct Live {
    GenerateRequest request;
    GenerateSink sink;
    Script script;
    bool aborted = false, started = false;
  };
  void Loop();
  void Play(Live& live, bool first, bool rest);

  nn::ModelInfo model_;
  json::object generation_config_;
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  std::shared_ptr<const text::ChatTemplate> template_;
  Metrics metrics_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Script script_;
  std::vector<GenerateRequest> submitted_;
  std::map<RequestId, Live> live_;
  RequestId next_ = 1;
  int aborted_ = 0;
  std::map<int, int> flushes_;  // by rank
  bool released_ = false;
  bool stopped_ = false;   // nothing is taken any more, what is there ends
  bool stopping_ = false;  // and the thread
  std::thread thread_;
};

// Prints "role: content\n" for each message and "assistant: " at the end.
std::shared_ptr<const text::ChatTemplate> MakeFakeTemplate();

}  // namespace banyan::serve
