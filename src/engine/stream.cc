// SPDX-License-Identifier: Apache-2.0
#include "engine/stream.h"

#include <iterator>
#include <utility>

namespace banyan {
namespace {

void Append(std::vector<TokenLogprob>& to, std::vector<TokenLogprob>&& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

Stream::Stream(StreamOpened opened, const std::shared_ptr<const text::Tokenizer>& tokenizer)
    : opened_(std::move(opened)), stops_(opened_.sampling.stop, opened_.sampling.no_stop_trim) {
  if (opened_.want_text)
    detokenizer_.emplace(tokenizer, opened_.sampling.skip_special_tokens, opened_.context);
}

bool Stream::Take(RequestEvent&& event) {
  if (event.admitted) {
    cached_tokens_ = event.cached_tokens;
    cache_miss_ = event.cache_miss;
  }
  retractions_ = event.retractions;
  Append(pending_.prompt_logprobs, std::move(event.prompt_logprobs));
  const bool by_token = event.finished && event.finished->kind == FinishReason::Kind::kStop &&
                        event.finished->stop_token >= 0;
  for (std::size_t i = 0; i < event.tokens.size(); ++i) {
    if (i < event.logprobs.size()) pending_.logprobs.push_back(std::move(event.logprobs[i]));
    TakeToken(event.tokens[i], by_token && i + 1 == event.tokens.size());
    if (!stop_.empty()) {
      StopHere();
      return true;
    }
  }
  if (!event.finished) return false;
  if (detokenizer_) EndText();
  if (!stop_.empty() && event.finished->kind != FinishReason::Kind::kAbort) {
    StopHere();
    return true;
  }
  pending_.finish = std::move(event.finished);
  return true;
}

void Stream::TakeToken(TokenId token, bool ended_by_it) {
  pending_.tokens.push_back(token);
  ++completion_tokens_;
  // The token that ended it is part of the output, and its text is not (unless asked for).
  if (!detokenizer_ || (ended_by_it && !opened_.sampling.no_stop_trim)) return;
  const bool looks = !stops_.empty() && !ended_by_it;
  if (looks && !spelled_ && detokenizer_->Skips(token))
    spelled_ = Spelled{text::Detokenizer(*detokenizer_, /*skip_special=*/false), stops_};
  pending_.text += stops_.Push(detokenizer_->Push(token));
  if (stops_.empty()) return;
  stop_ = stops_.MatchWith(detokenizer_->Held());
  if (stop_.empty() && looks && spelled_) {
    spelled_->stops.Push(spelled_->detokenizer.Push(token));
    stop_ = spelled_->stops.MatchWith(spelled_->detokenizer.Held());
  }
  if (!stop_.empty()) EndText();
}

void Stream::EndText() {
  pending_.text += stops_.Push(detokenizer_->Finish());
  if (stops_.matched()) stop_ = stops_.match();
  pending_.text += stops_.Finish();
}

void Stream::StopHere() {
  pending_.finish = FinishReason{.kind = FinishReason::Kind::kStop, .stop_string = stop_};
}

StopAt Stream::stop_at() const { return {opened_.id, completion_tokens_ - 1, stop_}; }

void Stream::End(Status status) {
  pending_.finish = FinishReason{.kind = FinishReason::Kind::kAbort, .status = std::move(status)};
}

bool Stream::Due(int stream_interval) const {
  if (pending_.finish) return true;
  const auto tokens = static_cast<int>(pending_.tokens.size());
  return opened_.stream && tokens > 0 &&
         (tokens == completion_tokens_ || tokens >= stream_interval);
}

void Stream::Flush() {
  pending_.index = opened_.index;
  pending_.prompt_tokens = opened_.prompt_tokens;
  pending_.completion_tokens = completion_tokens_;
  pending_.cached_tokens = cached_tokens_;
  pending_.cache_miss = cache_miss_;
  pending_.retractions = retractions_;
  const std::shared_ptr<const GenerateSink> sink = opened_.sink;
  if (pending_.finish) opened_.sink.reset();
  (*sink)(std::exchange(pending_, {}));
}

}  // namespace banyan
