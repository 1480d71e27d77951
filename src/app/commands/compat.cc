// SPDX-License-Identifier: Apache-2.0
// banyan compat (hidden): what of SGLang's interface this binary has, as JSON, from its own tables.
// tools/make_compatibility.py makes docs/sglang-compatibility.md of it.
#include <cstdio>
#include <memory>

#include "app/command.h"
#include "app/sglang_flags.h"
#include "base/log.h"
#include "engine/engine.h"
#include "serve/json_writer.h"
#include "serve/server.h"
#include "serve/sglang_routes.h"

namespace banyan {
namespace {

std::string_view Name(FlagFate fate) {
  switch (fate) {
    case FlagFate::kNoEffect:
      return "no effect";
    case FlagFate::kRefused:
      return "refused";
    case FlagFate::kNotYet:
      return "not yet";
  }
  return "";
}

void WriteFlags(serve::JsonWriter& json, const CLI::App& serve_app) {
  json.Key("flags").Begin('[');
  for (const CLI::Option* option : serve_app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      json.Begin('{').Field("name", "--" + name).Field("fate", "done");
      json.Field("note", option->get_description()).End('}');
    }
  }
  for (const SglangFlag& flag : SglangFlags()) {
    json.Begin('{').Field("name", flag.name).Field("fate", Name(flag.fate));
    json.Field("note", flag.reason).Field("neutral", flag.neutral).End('}');
  }
  json.End(']');
}

void WriteRoutes(serve::JsonWriter& json, const serve::Router& router) {
  json.Key("routes").Begin('[');
  for (const auto& route : router.routes()) {
    const serve::UnservedRoute* unserved = nullptr;
    for (const serve::UnservedRoute& candidate : serve::UnservedRoutes())
      if (candidate.path == route->pattern) unserved = &candidate;
    json.Begin('{').Field("method", route->method).Field("path", route->pattern);
    json.Field("fate", unserved == nullptr ? "done" : unserved->planned ? "not yet" : "refused");
    json.Field("note", unserved == nullptr ? std::string_view() : unserved->reason).End('}');
  }
  json.End(']');
}

Status RunCompat(const CLI::App& app) {
  BANYAN_RETURN_IF_ERROR(InitLog("warning"));
  EngineConfig config;
  config.model_path = kEchoModel;
  config.metrics.collect_tokens_histogram = true;  // all metrics that there can be
  BANYAN_ASSIGN_OR_RETURN(std::unique_ptr<Engine> engine, Engine::Start(config));
  serve::ServeConfig serve;
  serve.http.port = 0;
  BANYAN_ASSIGN_OR_RETURN(std::unique_ptr<serve::Server> server, serve::Server::Start(serve));
  server->Serve(*engine);
  for (const char* counted : {"sglang:http_requests_total", "sglang:http_responses_total"})
    engine->metrics().GetCounter(counted, "");
  for (const char* gauge : {"sglang:http_requests_active", "sglang:routing_key_running_req_count",
                            "sglang:routing_key_all_req_count"})
    engine->metrics().GetGauge(gauge, "");

  std::string out;
  serve::JsonWriter json(out);
  json.Begin('{');
  WriteFlags(json, *app.get_parent()->get_subcommand("serve"));
  WriteRoutes(json, server->router());
  json.Key("metrics").Begin('{');
  const std::string page = engine->metrics().Print();
  constexpr std::string_view kType = "# TYPE ";
  for (std::size_t at = page.find(kType); at != std::string::npos; at = page.find(kType, at + 1)) {
    const std::string_view line = std::string_view(page).substr(
        at + kType.size(), page.find('\n', at) - at - kType.size());  // "NAME KIND"
    const std::size_t space = line.find(' ');
    json.Field(line.substr(0, space), line.substr(space + 1));
  }
  json.End('}').End('}');
  server->Shutdown(std::chrono::milliseconds(0));
  engine.reset();
  std::puts(out.c_str());
  return OkStatus();
}

}  // namespace

void RegisterCompat(Commands& commands) {
  commands.push_back({"compat", "what of SGLang's interface there is, as JSON",
                      [](CLI::App& app) -> std::function<Status()> {
                        app.group("");  // not in the help: it is for the documentation
                        return [&app] { return RunCompat(app); };
                      }});
}

}  // namespace banyan
