// SPDX-License-Identifier: Apache-2.0
#include "serve/generation.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "base/log.h"
#include "engine/admission.h"
#include "serve/errors.h"
#include "serve/json_writer.h"

namespace banyan::serve {
namespace {

template <typename T>
void MoveOnto(std::vector<T>& to, std::vector<T>& from) {
  if (to.empty()) {
    to = std::move(from);
  } else {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  }
}

}  // namespace

void ReplyFormat::AppendFailure(std::string& out, std::vector<Choice>&, const Status& status) {
  out += "data: " + ErrorJson(status) + "\n\n";
}

void Generation::Start(Engine& engine, std::vector<GenerateRequest> requests,
                       std::unique_ptr<ReplyFormat> format, bool stream, ReplyPtr reply,
                       const RequestLog* log) {
  std::make_shared<Generation>(engine, std::move(format), stream, std::move(reply), log)
      ->Submit(std::move(requests));
}

Generation::Generation(Engine& engine, std::unique_ptr<ReplyFormat> format, bool stream,
                       ReplyPtr reply, const RequestLog* log)
    : engine_(&engine),
      stream_(stream),
      log_(log),
      format_(std::move(format)),
      reply_(std::move(reply)) {}

// SGLang's rule: the requests of a batch have names of their own. (The engine looks at those that
// are at work.)
Status Generation::CheckNames(const std::vector<GenerateRequest>& requests) {
  std::set<std::string_view> names;
  for (const GenerateRequest& request : requests) {
    if (!request.rid.empty() && !names.insert(request.rid).second)
      return InvalidArgument("request: 'rid' names two of the prompts '{}'", request.rid);
  }
  return OkStatus();
}

// What could never be held is refused before anything is: more samples than the queues have room
// for, or more log-probabilities than fit into memory in passing. The past of a session the engine
// adds, and looks again.
Status Generation::CheckSize(const std::vector<GenerateRequest>& requests) const {
  const EngineConfig& config = engine_->config();
  const GenerateRequest& first = requests[0];
  int64_t samples = 0;
  bool one_rank = true;  // each rank has a queue of its own, and the samples of a prompt share one
  double logprobs = 0;
  for (const GenerateRequest& request : requests) {
    samples += request.sampling.n;
    one_rank = one_rank &&
               (request.dp_rank || requests.size() == 1 ||
                (request.session && first.session && request.session->id == first.session->id));
    logprobs += LogprobCount(request, engine_->max_request_length());
  }
  const int64_t of_rank = int64_t{config.max_queued_requests} + config.max_running_requests;
  const int64_t limit =
      first.sampling.n > of_rank || one_rank ? of_rank : of_rank * engine_->ranks();
  if (config.max_queued_requests > 0 && samples > limit) {
    return InvalidArgument(
        "request: 'n' {} of {} prompts makes {} samples, and the server holds at most {}",
        first.sampling.n, requests.size(), samples, limit);
  }
  return CheckLogprobCount(logprobs);
}

void Generation::Submit(std::vector<GenerateRequest> requests) {
  Status status = CheckNames(requests);
  if (status.ok()) status = CheckSize(requests);
  if (!status.ok()) {
    reply_->Send(ErrorResponse(status));
    return;
  }
  for (std::size_t prompt = 0; prompt < requests.size(); ++prompt) {
    for (int sample = 0; sample < requests[prompt].sampling.n; ++sample) {
      Choice& choice = choices_.emplace_back();
      choice.index = static_cast<int>(choices_.size()) - 1;
      choice.prompt = static_cast<int>(prompt);
      choice.rid = requests[prompt].rid;
      choice.prompt_tokens = static_cast<int>(requests[prompt].input_ids.size());
    }
  }
  left_ = choices_.size();
  const ReplyPtr reply = reply_;
  std::size_t first = 0;
  for (GenerateRequest& request : requests) {
    {
      std::lock_guard lock(mutex_);
      if (ended_) return;
    }
    const auto n = static_cast<std::size_t>(request.sampling.n);
    request.stream = stream_;
    if (log_ != nullptr) log_->Received(request);
    auto id = engine_->Submit(std::move(request),
                              [self = shared_from_this(), first](GenerateUpdate update) {
                                self->OnUpdate(first, std::move(update));
                              });
    std::lock_guard lock(mutex_);
    if (!id.ok()) {
      if (log_ != nullptr) {
        GenerateUpdate refused;
        refused.finish = {.kind = FinishReason::Kind::kAbort, .status = id.status()};
        Log(choices_[first], refused);
      }
      if (!ended_) Fail(id.status());
      return;
    }
    ids_.push_back(*id);
    if (ended_) engine_->Abort(*id);  // it ended while this one was on its way
    first += n;
  }
  reply->OnGone([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Gone();
  });
}

void Generation::OnUpdate(std::size_t first_choice, GenerateUpdate update) {
  std::lock_guard lock(mutex_);
  Choice& choice = choices_[first_choice + static_cast<std::size_t>(update.index)];
  if (log_ != nullptr) Log(choice, update);
  if (ended_) return;
  choice.prompt_tokens = update.prompt_tokens;
  choice.completion_tokens = update.completion_tokens;
  choice.cached_tokens = update.cached_tokens;
  choice.cache_miss = update.cache_miss;
  choice.dp_rank = update.dp_rank;
  choice.retractions = update.retractions;
  if (update.finish) {
    // What the caller aborted by name ends like any other; what the engine gave up is an error.
    const FinishReason& finish = *update.finish;
    if (finish.kind == FinishReason::Kind::kAbort && !finish.status.ok() &&
        finish.status.code() != StatusCode::kCancelled) {
      std::string rid;
      AppendJsonString(rid, choice.rid);  // the client's own words
      LogWarning("request rid={} has failed: {}", rid, Message(finish.status));
      if (streaming_ && !(update.tokens.empty() && update.text.empty())) {  // what had come
        events_.clear();
        format_->AppendUpdate(events_, choice, update);
        reply_->Write(events_);
      }
      return Fail(finish.status);
    }
    choice.finish = std::move(update.finish);
    --left_;
  }
  if (stream_) {
    if (!streaming_) reply_->StartStream("text/event-stream");
    streaming_ = true;
    events_.clear();
    format_->AppendUpdate(events_, choice, update);
    choice.started = true;
    if (left_ == 0) {
      format_->AppendEnd(events_, choices_);
      events_ += "data: [DONE]\n\n";
    }
    if (!events_.empty() && !reply_->Write(events_)) return AbortAll();
    if (left_ == 0) {
      reply_->Finish();
      reply_ = nullptr;
      ended_ = true;
    }
    return;
  }
  choice.text += update.text;
  MoveOnto(choice.tokens, update.tokens);
  MoveOnto(choice.logprobs, update.logprobs);
  if (!update.prompt_logprobs.empty()) choice.prompt_logprobs = std::move(update.prompt_logprobs);
  if (left_ > 0) return;
  ended_ = true;
  // Nobody else touches this any more: the output thread goes on with other requests.
  ReplyPtr reply = std::move(reply_);
  reply->Run([self = shared_from_this(), reply] {
    HttpResponse response;
    response.body = self->format_->Whole(self->choices_);
    reply->Send(std::move(response));
  });
}

void Generation::Log(Choice& choice, const GenerateUpdate& update) {
  std::size_t room = log_->output_limit() - std::min(log_->output_limit(), choice.logged.size());
  if (room < update.text.size()) {  // at a character's border
    while (room > 0 && (update.text[room] & 0xC0) == 0x80) --room;
  }
  choice.logged.append(update.text, 0, room);
  if (!update.finish) return;
  log_->Finished({.rid = choice.rid,
                  .reason = *update.finish,
                  .prompt_tokens = update.prompt_tokens,
                  .completion_tokens = update.completion_tokens,
                  .cached_tokens = update.cached_tokens,
                  .latency = std::chrono::steady_clock::now() - began_,
                  .output = choice.logged});
}

void Generation::Fail(const Status& status) {
  if (streaming_) {
    events_.clear();
    format_->AppendFailure(events_, choices_, status);
    events_ += "data: [DONE]\n\n";
    reply_->Write(events_);
    reply_->Finish();
  } else {
    reply_->Send(ErrorResponse(status));
  }
  AbortAll();
}

void Generation::AbortAll() {
  ended_ = true;
  reply_ = nullptr;
  for (RequestId id : ids_) engine_->Abort(id);
}

void Generation::Gone() {
  std::lock_guard lock(mutex_);
  if (!ended_) AbortAll();
}

}  // namespace banyan::serve
