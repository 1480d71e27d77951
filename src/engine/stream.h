// SPDX-License-Identifier: Apache-2.0
// Stream: one open sample on the output thread. Turns the tokens of its events into text, looks for
// its stop strings, and collects what the next update will say.
//
// A stop string is looked for in all text, that of special tokens too, shown or not, and ends the
// output at the first token with which the text would hold it if nothing followed. It is cut off
// the text (unless asked for) where the text shows the whole of it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/stop_matcher.h"
#include "text/detokenizer.h"

namespace banyan {

// How a sample begins.
struct StreamOpened {
  RequestId id = 0;
  int index = 0;
  std::shared_ptr<const GenerateSink> sink;
  SamplingParams sampling;
  bool want_text = true;
  bool stream = true;
  bool log_metrics = true;
  int prompt_tokens = 0;
  std::vector<TokenId> context;  // the prompt's last tokens
  TimePoint arrived;
};

class Stream {
 public:
  // `tokenizer` may be null where no text is wanted.
  Stream(StreamOpened opened, const std::shared_ptr<const text::Tokenizer>& tokenizer);

  const StreamOpened& opened() const { return opened_; }
  int completion_tokens() const { return completion_tokens_; }
  int cached_tokens() const { return cached_tokens_; }

  // Takes one event in. True when the stream ends with it: by the event, or by a stop string that
  // a token of it completed (stopped_by_string), and then what follows that token is left out.
  bool Take(RequestEvent&& event);
  bool stopped_by_string() const { return !stop_.empty(); }
  StopAt stop_at() const;

  // Ends it for a reason of the engine's own.
  void End(Status status);

  // The reason, once it has ended.
  const std::optional<FinishReason>& finish() const { return pending_.finish; }
  // Whether an update is due: the first tokens, then every `stream_interval` of them.
  bool Due(int stream_interval) const;
  // Hands the update to the sink, and lets the sink go when it was the last.
  void Flush();
  bool told_the_end() const { return opened_.sink == nullptr; }

  // Book-keeping of the output thread.
  bool left_queue = false;
  TimePoint admitted, last_update;

 private:
  // The text with special tokens spelled out, of an output that leaves them out of its own.
  struct Spelled {
    text::Detokenizer detokenizer;
    StopMatcher stops;
  };

  void TakeToken(TokenId token, bool ended_by_it);
  void EndText();
  void StopHere();

  StreamOpened opened_;
  StopMatcher stops_;
  std::string stop_;  // the stop string that was found
  std::optional<text::Detokenizer> detokenizer_;
  std::optional<Spelled> spelled_;  // from the first special token on, where stops are looked for
  GenerateUpdate pending_;
  int completion_tokens_ = 0;
  int cached_tokens_ = 0;
  CacheMiss cache_miss_ = CacheMiss::kNone;
  int retractions_ = 0;
};

}  // namespace banyan
