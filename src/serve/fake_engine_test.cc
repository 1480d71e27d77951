// SPDX-License-Identifier: Apache-2.0
#include "serve/fake_engine.h"

#include "engine/byte_tokenizer.h"

namespace banyan::serve {
namespace {

class FakeTemplate final : public text::ChatTemplate {
 public:
  StatusOr<std::string> Render(const json::object& variables,
                               std::optional<int64_t>) const override {
    std::string out;
    for (const json::value& message : variables.at("messages").get_array()) {
      const json::object& object = message.get_object();
      out += View(object.at("role").get_string());
      out += ": ";
      const json::value& content = object.at("content");
      out +=
          content.is_string() ? std::string(View(content.get_string())) : json::serialize(content);
      out += '\n';
    }
    if (variables.at("tools").is_array()) out += json::serialize(variables.at("tools")) + '\n';
    if (variables.contains("enable_thinking"))
      out += variables.at("enable_thinking").get_bool() ? "[think]" : "[no think]";
    return variables.at("add_generation_prompt").get_bool() ? out + "assistant: " : out;
  }
  StatusOr<std::string> RenderJson(std::string_view, const json::object&,
                                   std::optional<int64_t>) const override {
    return Unimplemented("not needed");
  }
  const std::string& source() const override { return source_; }

 private:
  std::string source_ = "{{ messages }}";
};

}  // namespace

std::shared_ptr<const text::ChatTemplate> MakeFakeTemplate() {
  return std::make_shared<FakeTemplate>();
}

FakeEngine::FakeEngine(std::shared_ptr<const text::ChatTemplate> chat_template)
    : tokenizer_(*MakeByteTokenizer()), template_(std::move(chat_template)) {
  config_.model_path = "models/fake";
  config_.served_model_name = "fake";
  model_.family = "fake";
  model_.architecture = "FakeForCausalLM";
  model_.vocab_size = 257;
  thread_ = std::thread([this] { Loop(); });
}

FakeEngine::~FakeEngine() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void FakeEngine::SetScript(Script script) {
  std::lock_guard lock(mutex_);
  script_ = std::move(script);
  released_ = false;
}

void FakeEngine::Release() {
  {
    std::lock_guard lock(mutex_);
    released_ = true;
  }
  changed_.notify_all();
}

std::vector<GenerateRequest> FakeEngine::submitted() const {
  std::lock_guard lock(mutex_);
  return submitted_;
}

int FakeEngine::aborted() const {
  std::lock_guard lock(mutex_);
  return aborted_;
}

StatusOr<RequestId> FakeEngine::Submit(GenerateRequest request, GenerateSink sink) {
  std::lock_guard lock(mutex_);
  if (!script_.refuse.ok()) return script_.refuse;
  if (stopped_) return Unavailable("stopped");
  submitted_.push_back(request);
  live_.emplace(next_, Live{std::move(request), std::move(sink), script_});
  changed_.notify_all();
  return next_++;
}

void FakeEngine::Abort(RequestId id) {
  std::lock_guard lock(mutex_);
  const auto found = live_.find(id);
  if (found == live_.end() || found->second.aborted) return;
  found->second.aborted = true;
  ++aborted_;
  changed_.notify_all();
}

int FakeEngine::AbortByRid(std::string_view rid_prefix, bool all) {
  std::lock_guard lock(mutex_);
  int count = 0;
  for (auto& [id, live] : live_) {
    if (live.aborted || (!all && !live.request.rid.starts_with(rid_prefix))) continue;
    live.aborted = true;
    ++count;
  }
  aborted_ += count;
  changed_.notify_all();
  return count;
}

int FakeEngine::flushes(int rank) const {
  std::lock_guard lock(mutex_);
  const auto found = flushes_.find(rank);
  return found == flushes_.end() ? 0 : found->second;
}

void FakeEngine::FlushCache(int rank, std::function<void(Status)> done) {
  std::unique_lock lock(mutex_);
  ++flushes_[rank];
  const bool idle = rank > 0 || live_.empty();
  lock.unlock();
  done(idle ? OkStatus() : FailedPrecondition("requests are running"));
}

void FakeEngine::Pause(PauseMode mode, std::function<void(Status)> done) {
  paused = mode;
  done(OkStatus());
}

void FakeEngine::Continue(std::function<void(Status)> done) {
  paused.reset();
  done(OkStatus());
}

StatusOr<std::string> FakeEngine::OpenSession(const SessionSettings& settings) {
  return sessions.Open(settings, TimePoint());
}

Status FakeEngine::CloseSession(std::string_view id) { return sessions.Close(id).status(); }

void FakeEngine::Drain(std::function<void()> done) { done(); }

void FakeEngine::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
}

EngineSnapshot FakeEngine::Snapshot() const {
  EngineSnapshot snapshot;
  snapshot.healthy = healthy;
  snapshot.max_total_tokens = 1024;
  snapshot.scheduler.pools.push_back({"full", 64, 60, 3, 1, 0});
  return snapshot;
}

void FakeEngine::Play(Live& live, bool first, bool rest) {
  for (int sample = 0; sample < live.request.sampling.n; ++sample) {
    const auto count = static_cast<int>(live.script.pieces.size());
    GenerateUpdate whole;
    for (int i = first ? 0 : 1; i < (rest ? count : 1); ++i) {
      GenerateUpdate update;
      update.index = sample;
      update.text = live.script.pieces[static_cast<std::size_t>(i)];
      update.tokens = {'a' + i};
      if (live.request.logprobs.enabled) {
        TokenLogprob token{.id = 'a' + i, .logprob = -0.5f * static_cast<float>(i)};
        for (int t = 0; t < live.request.logprobs.top_n; ++t)
          token.top.emplace_back(-1.0f - static_cast<float>(t), 0xE2 + t);
        for (std::size_t t = 0; t < live.request.logprobs.token_ids.size(); ++t)
          token.of_ids.push_back(-7);
        update.logprobs = {token};
        if (i == 0 && live.request.logprobs.prompt_start >= 0) {
          for (std::size_t p = 0; p < live.request.input_ids.size(); ++p) {
            TokenLogprob prompt{.id = live.request.input_ids[p]};
            if (p > 0) prompt.logprob = -2.25f;
            update.prompt_logprobs.push_back(prompt);
          }
        }
      }
      update.prompt_tokens = static_cast<int>(live.request.input_ids.size());
      update.completion_tokens = i + 1;
      update.cached_tokens = 1;
      if (rest && i + 1 == count) update.finish = live.script.finish;
      if (live.request.stream) {
        live.sink(std::move(update));
        continue;
      }
      update.text = whole.text + update.text;
      update.tokens.insert(update.tokens.begin(), whole.tokens.begin(), whole.tokens.end());
      update.logprobs.insert(update.logprobs.begin(), whole.logprobs.begin(), whole.logprobs.end());
      if (update.prompt_logprobs.empty()) update.prompt_logprobs = whole.prompt_logprobs;
      whole = std::move(update);
    }
    if (!live.request.stream && rest) live.sink(std::move(whole));
  }
}

void FakeEngine::Loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    Live* next = nullptr;
    RequestId id = 0;
    for (auto& [key, live] : live_) {
      const bool wait = live.script.hold && !released_ && !live.aborted && !stopped_;
      if (wait && (live.started || !live.request.stream)) continue;
      next = &live;
      id = key;
      break;
    }
    if (next == nullptr) {
      if (stopping_) return;
      changed_.wait(lock);
      continue;
    }
    const bool aborted = next->aborted || stopped_;
    const bool hold = next->script.hold && !released_ && !aborted;
    const bool first = !next->started;
    next->started = true;
    lock.unlock();
    if (aborted) {
      for (int sample = 0; sample < next->request.sampling.n; ++sample) {
        GenerateUpdate update;
        update.index = sample;
        update.prompt_tokens = static_cast<int>(next->request.input_ids.size());
        update.finish =
            FinishReason{.kind = FinishReason::Kind::kAbort,
                         .status = stopped_ ? Unavailable("stopped") : Cancelled("Abort in queue")};
        next->sink(std::move(update));
      }
    } else {
      Play(*next, first, !hold);
    }
    lock.lock();
    if (!hold) live_.erase(id);
  }
}

}  // namespace banyan::serve
