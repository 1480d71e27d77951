// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>

#include "absl/strings/numbers.h"
#include "base/log.h"
#include "serve/admin/handlers.h"
#include "serve/errors.h"
#include "serve/json_writer.h"
#include "serve/request_fields.h"

namespace banyan::serve {
namespace {

constexpr std::chrono::seconds kProbeTimeout{20};  // SGLang's

void SendText(const ReplyPtr& reply, std::string text) {
  HttpResponse response;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::move(text);
  reply->Send(std::move(response));
}

// Fields that all of these have.
void ReadCommon(Fields& fields) {
  fields.Ignore({"rid"});
  constexpr RefusedField kRefused[] = {
      {"http_worker_ipc", "it is for the parts of an SGLang server among themselves", ""},
  };
  RefuseFields(fields, kRefused);
}

// A flush that each rank is asked for until its requests have ended, at the latest at `deadline`,
// while the client waits. A rank that was flushed is not asked again: what it has computed since
// stays, and ranks need not be idle together.
struct PendingFlush {
  Engine* engine = nullptr;
  ReplyPtr reply;
  std::chrono::steady_clock::time_point deadline;
  std::atomic<int> ranks{0};  // not flushed yet
  std::atomic<bool> ended{false};
};

void TryFlush(const std::shared_ptr<PendingFlush>& flush, int rank) {
  flush->engine->FlushCache(rank, [flush, rank](const Status& status) {
    using std::chrono::milliseconds;
    if (status.ok()) {
      if (--flush->ranks == 0) SendText(flush->reply, "Cache flushed.\n");
      return;
    }
    const auto left = flush->deadline - std::chrono::steady_clock::now();
    if (status.code() != StatusCode::kFailedPrecondition || left.count() <= 0) {
      flush->ended = true;
      return flush->reply->Send(ErrorResponse(status));
    }
    const auto delay = std::min(milliseconds(100), std::chrono::ceil<milliseconds>(left));
    flush->reply->RunAfter(delay, [flush, rank] {
      if (!flush->ended) TryFlush(flush, rank);
    });
  });
}

}  // namespace

void HandleHealthGenerate(const ServeContext& context, const ReplyPtr& reply) {
  const EngineSnapshot now = context.engine.Snapshot();
  if (!now.healthy) return reply->Send(ErrorResponse(503, "the engine has stopped answering"));
  // Busy, or told to stand still.
  if (now.scheduler.running + now.scheduler.waiting > 0 || now.scheduler.paused)
    return SendText(reply, "");
  GenerateRequest probe;
  probe.rid = NewId("HEALTH_CHECK_");
  probe.input_ids = {0};
  probe.sampling.max_new_tokens = 1;
  probe.sampling.temperature = 0;
  probe.sampling.ignore_eos = true;
  probe.want_text = false;
  probe.stream = false;
  probe.timeout = kProbeTimeout;
  probe.log_metrics = false;
  const auto answer = [reply, engine = &context.engine](const Status& status) {
    // Who ends the probe is alive: at an operator's word (an abort, a pause), or because all is
    // full, which is busy, and busy is well.
    const bool alive = status.ok() || status.code() == StatusCode::kCancelled ||
                       status.code() == StatusCode::kResourceExhausted ||
                       engine->Snapshot().scheduler.paused;
    alive ? SendText(reply, "") : reply->Send(ErrorResponse(503, Message(status)));
  };
  const auto id = context.engine.Submit(std::move(probe), [answer](const GenerateUpdate& update) {
    if (update.finish) answer(update.finish->status);
  });
  if (!id.ok()) return answer(id.status());
  // Later than the engine's own word about it.
  reply->RunAfter(kProbeTimeout + std::chrono::seconds(1), [reply] {
    reply->Send(ErrorResponse(503, "no answer from the engine in time"));
  });
}

void HandleFlushCache(const ServeContext& context, const HttpRequest& request,
                      const ReplyPtr& reply) {
  double seconds = 0;  // to wait for requests to end
  if (const auto asked = request.QueryValue("timeout")) {
    constexpr double kMost = 24 * 3600;
    if (!absl::SimpleAtod(*asked, &seconds) || !(seconds >= 0 && seconds <= kMost)) {
      return reply->Send(ErrorResponse(InvalidArgument(
          "request: 'timeout' '{}' is no number of seconds from 0 to {}", *asked, kMost)));
    }
  }
  const auto limit = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(seconds));
  const auto flush = std::make_shared<PendingFlush>();
  flush->engine = &context.engine;
  flush->reply = reply;
  flush->deadline = std::chrono::steady_clock::now() + limit;
  flush->ranks = context.engine.ranks();
  reply->OnGone([weak = std::weak_ptr(flush)] {
    if (const auto waiting = weak.lock()) waiting->ended = true;
  });
  for (int rank = 0; rank < context.engine.ranks(); ++rank) TryFlush(flush, rank);
}

void HandlePause(const ServeContext& context, const HttpRequest& request, const ReplyPtr& reply) {
  const auto body = ReadBody(request, reply);
  if (!body) return;
  Fields fields(*body, "request");
  const std::string name = fields.Optional<std::string>("mode", "abort");
  PauseMode mode = PauseMode::kAbort;
  if (name == "retract") {
    mode = PauseMode::kRetract;
  } else if (name == "in_place") {
    mode = PauseMode::kInPlace;
  } else if (name != "abort") {
    fields.Fail("mode", "is none of abort, retract, in_place");
  }
  ReadCommon(fields);
  if (Status status = FinishFields(fields); !status.ok()) return reply->Send(ErrorResponse(status));
  context.engine.Pause(mode, [reply](const Status& status) {
    if (!status.ok()) return reply->Send(ErrorResponse(status));
    SendJson(reply, R"({"message":"Generation paused successfully.","status":"ok"})");
  });
}

void HandleContinue(const ServeContext& context, const HttpRequest& request,
                    const ReplyPtr& reply) {
  const auto body = ReadBody(request, reply);
  if (!body) return;
  Fields fields(*body, "request");
  fields.Maybe<bool>("torch_empty_cache");  // there is no such cache
  ReadCommon(fields);
  if (Status status = FinishFields(fields); !status.ok()) return reply->Send(ErrorResponse(status));
  context.engine.Continue([reply](const Status& status) {
    if (!status.ok()) return reply->Send(ErrorResponse(status));
    SendJson(reply, R"({"message":"Generation continued successfully.","status":"ok"})");
  });
}

void HandleOpenSession(const ServeContext& context, const HttpRequest& request,
                       const ReplyPtr& reply) {
  const auto body = ReadBody(request, reply);
  if (!body) return;
  Fields fields(*body, "request");
  SessionSettings settings;
  // The bound is of tokens, over all sessions.
  fields.Required<int64_t>("capacity_of_str_len", {0, 9e15});
  settings.id = fields.Optional<std::string>("session_id", "");
  CheckKey(fields, "session_id", settings.id);
  settings.timeout = fields.Maybe<double>("timeout", {0, 1e9});
  constexpr RefusedField kRefused[] = {
      {"streaming", "every request of a session is found again through the prefix cache", "false"},
  };
  RefuseFields(fields, kRefused);
  ReadCommon(fields);
  if (Status status = FinishFields(fields); !status.ok()) return reply->Send(ErrorResponse(status));
  const auto id = context.engine.OpenSession(settings);
  if (!id.ok()) return reply->Send(ErrorResponse(id.status()));
  std::string out;
  AppendJsonString(out, *id);
  SendJson(reply, std::move(out));
}

void HandleCloseSession(const ServeContext& context, const HttpRequest& request,
                        const ReplyPtr& reply) {
  const auto body = ReadBody(request, reply);
  if (!body) return;
  Fields fields(*body, "request");
  const auto id = fields.Required<std::string>("session_id");
  ReadCommon(fields);
  if (Status status = FinishFields(fields); !status.ok()) return reply->Send(ErrorResponse(status));
  // As in SGLang it is no error to close what is not there, or is not any more: it may have timed
  // out.
  if (!context.engine.CloseSession(id).ok()) LogInfo("/close_session: there is no such session");
  SendText(reply, "");
}

void HandleAbort(const ServeContext& context, const HttpRequest& request, const ReplyPtr& reply) {
  const auto body = ReadBody(request, reply);
  if (!body) return;
  Fields fields(*body, "request");
  const bool all = fields.Optional<bool>("abort_all", false);
  const std::vector<std::string> rids = ReadStrings(fields, "rid");
  constexpr std::string_view kReason = "an aborted request always ends with the reason 'abort'";
  constexpr RefusedField kRefused[] = {
      {"finished_reason", kReason, ""},
      {"abort_message", kReason, ""},
      {"http_worker_ipc", "it is for the parts of an SGLang server among themselves", ""},
  };
  RefuseFields(fields, kRefused);
  bool named = !rids.empty();
  for (const std::string& rid : rids) named = named && !rid.empty();
  if (!all && !named) fields.Fail("rid", "or 'abort_all': true must say which requests");
  if (Status status = FinishFields(fields); !status.ok()) return reply->Send(ErrorResponse(status));
  if (all) context.engine.AbortByRid("", true);
  for (const std::string& rid : rids) context.engine.AbortByRid(rid, false);
  SendText(reply, "");
}

}  // namespace banyan::serve
