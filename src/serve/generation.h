// SPDX-License-Identifier: Apache-2.0
// Generation: one HTTP request at work. It submits one engine request per prompt, turns the updates
// into the reply's bytes through a ReplyFormat, and ends everything when the client goes away or
// one of them fails.
//
// Threads: updates come on the engine's output thread, which writes stream events itself; a whole
// reply is put together on the connection's I/O thread. A Generation keeps itself alive until every
// one of its engine requests has ended.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "serve/http.h"
#include "serve/request_log.h"

namespace banyan::serve {

// A list of log-probabilities as JSON, by what was asked for; each without its brackets.
struct LogprobText {
  std::string tokens, tops, of_ids;
};

// One sample of one prompt, as far as it has come.
struct Choice {
  int index = 0;   // in the reply: prompt * n + sample
  int prompt = 0;  // which prompt
  std::string rid;
  int prompt_tokens = 0, completion_tokens = 0, cached_tokens = 0, retractions = 0;
  CacheMiss cache_miss = CacheMiss::kNone;
  int dp_rank = 0;
  bool started = false;  // an update has come before
  std::optional<FinishReason> finish;
  // Whatever the format keeps from one update to the next. A reply that is not a stream has all.
  std::string text;
  std::vector<TokenId> tokens;
  std::vector<TokenLogprob> logprobs, prompt_logprobs;
  LogprobText logprob_text, prompt_logprob_text;
  std::string logged;  // the beginning of the text, for the request log
};

// How an API's replies look. Called under the Generation's lock, never by two threads at once.
class ReplyFormat {
 public:
  virtual ~ReplyFormat() = default;
  // Appends the events of one update; `choice` counts it already, and `started` is false the first
  // time.
  virtual void AppendUpdate(std::string& out, Choice& choice, GenerateUpdate& update) = 0;
  // Appends what follows the last update of all (usage); [DONE] comes from the caller.
  virtual void AppendEnd(std::string& out, const std::vector<Choice>& choices) = 0;
  // Appends what ends a stream that cannot go on, as an OpenAI client reads it unless an API has
  // words of its own; [DONE] comes from the caller.
  virtual void AppendFailure(std::string& out, std::vector<Choice>& choices, const Status& status);
  virtual std::string Whole(const std::vector<Choice>& choices) = 0;
};

class Generation : public std::enable_shared_from_this<Generation> {
 public:
  // `requests`: one per prompt, all with the same n. Answers `reply` in every case.
  static void Start(Engine& engine, std::vector<GenerateRequest> requests,
                    std::unique_ptr<ReplyFormat> format, bool stream, ReplyPtr reply,
                    const RequestLog* log);

  Generation(Engine& engine, std::unique_ptr<ReplyFormat> format, bool stream, ReplyPtr reply,
             const RequestLog* log);

 private:
  static Status CheckNames(const std::vector<GenerateRequest>& requests);
  Status CheckSize(const std::vector<GenerateRequest>& requests) const;
  void Submit(std::vector<GenerateRequest> requests);
  void OnUpdate(std::size_t first_choice, GenerateUpdate update);
  void Log(Choice& choice, const GenerateUpdate& update);
  void Fail(const Status& status);  // mutex_ is held
  void AbortAll();                  // mutex_ is held
  void Gone();

  Engine* engine_;
  const bool stream_;
  const RequestLog* log_;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();

  std::mutex mutex_;
  std::unique_ptr<ReplyFormat> format_;
  ReplyPtr reply_;  // null once answered
  std::vector<Choice> choices_;
  std::vector<RequestId> ids_;
  std::size_t left_ = 0;
  bool streaming_ = false, ended_ = false;
  std::string events_;
};

}  // namespace banyan::serve
