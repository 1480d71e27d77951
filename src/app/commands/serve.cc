// SPDX-License-Identifier: Apache-2.0
// banyan serve: one engine behind HTTP.
#include <malloc.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>

#include "app/command.h"
#include "app/engine_flags.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "base/version.h"
#include "engine/engine.h"
#include "serve/server.h"

namespace banyan {
namespace {

struct ServeOptions {
  EngineConfig engine;
  serve::ServeConfig serve;
  std::string log_level = "info", log_level_http;
  std::string preferred_sampling_params;
  int http_threads = 0;
  int64_t max_body_bytes = 64 << 20;
};

void DeclareHttp(CLI::App& app, ServeOptions& options) {
  serve::HttpConfig& http = options.serve.http;
  app.add_option("--host", http.host, "address to listen on")->take_last();
  app.add_option("--port", http.port, "port to listen on; 0: any free one")
      ->check(CLI::Range(0, 65535))
      ->take_last();
  app.add_option("--unix-socket", http.unix_socket, "a path to listen on instead")->take_last();
  app.add_option("--http-threads", options.http_threads, "threads for connections (computed)")
      ->check(CLI::Range(1, 64))
      ->take_last();
  app.add_option("--max-connections", http.max_connections, "open at a time")
      ->check(CLI::Range(1, 1 << 20))
      ->take_last();
  AddSizeOption(app, "--max-body-bytes", options.max_body_bytes, "largest request");
}

void DeclareAccess(CLI::App& app, ServeOptions& options) {
  serve::ServeConfig& serve = options.serve;
  // An empty one, of a variable that was not set, would leave everything open.
  const auto given = [](const std::string& key) {
    return std::string(key.empty() ? "is empty" : "");
  };
  app.add_option("--api-key", serve.api_key, "closes every path but /health")
      ->check(given)
      ->take_last();
  app.add_option("--admin-api-key", serve.admin_api_key, "the only key for control paths")
      ->check(given)
      ->take_last();
  app.add_option("--open-paths", serve.open_paths, "paths that need no key, such as /metrics");
}

void DeclareLogs(CLI::App& app, ServeOptions& options) {
  serve::ServeConfig& serve = options.serve;
  const std::vector<std::string> levels = {"debug", "info", "warning", "error", "critical"};
  app.add_option("--log-level", options.log_level, "least important line that is logged")
      ->check(CLI::IsMember(levels))
      ->take_last();
  app.add_option("--log-level-http", options.log_level_http,
                 "above info: no line per HTTP request (as --log-level)")
      ->check(CLI::IsMember(levels))
      ->take_last();
  serve::RequestLogConfig& requests = serve.log_requests;
  app.add_flag("--log-requests", requests.enabled, "a line when a request comes and ends");
  app.add_option("--log-requests-level", requests.level,
                 "0: names, 1: and sampling, 2: and the beginnings of prompt and output, 3: all")
      ->check(CLI::Range(0, 3))
      ->take_last();
  app.add_option("--log-requests-format", requests.format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->take_last();
  app.add_option("--log-requests-target", requests.targets,
                 "stdout, or folders with a requests.log (the server's log)");
  app.add_option("--uvicorn-access-log-exclude-prefixes", serve.log_access_exclude,
                 "paths without a line per request");
}

void DeclareApi(CLI::App& app, ServeOptions& options) {
  serve::ServeConfig& serve = options.serve;
  app.add_option("--weight-version", serve.weight_version, "printed with every reply")->take_last();
  app.add_flag("--stream-response-default-include-usage", serve.stream_include_usage,
               "streams end with the usage unless the request says otherwise");
  app.add_flag("--incremental-streaming-output,--stream-output", serve.incremental_streaming,
               "/generate streams what is new, not all so far");
  app.add_option("--preferred-sampling-params", options.preferred_sampling_params,
                 "JSON that /generate's parameters start from")
      ->take_last();
}

Status Complete(ServeOptions& options) {
  serve::ServeConfig& serve = options.serve;
  if (!options.preferred_sampling_params.empty()) {
    BANYAN_ASSIGN_OR_RETURN(
        serve.preferred_sampling_params,
        ParseJsonObject(options.preferred_sampling_params, "--preferred-sampling-params"));
  }
  const std::string& level =
      options.log_level_http.empty() ? options.log_level : options.log_level_http;
  serve.log_access = level == "info" || level == "debug";
  serve.http.max_body_bytes = static_cast<std::size_t>(options.max_body_bytes);
  // One thread carries tens of thousands of events a second; the cores are for the model.
  serve.http.io_threads = options.http_threads > 0
                              ? options.http_threads
                              : std::clamp(static_cast<int>(UsableCores().size()) / 8, 1, 4);
  serve.server_args = json::object{{"host", serve.http.host},
                                   {"port", serve.http.port},
                                   {"log_level", options.log_level},
                                   {"log_requests", serve.log_requests.enabled},
                                   {"weight_version", serve.weight_version}};
  return OkStatus();
}

// For clients to read their last replies once all have ended, or after a second signal.
constexpr std::chrono::seconds kLastReplies{10}, kLastEvents{2};
// From a second signal until the process is ended, whatever the device is doing, if it had requests
// left to end.
constexpr unsigned kStopSeconds = 5;

// Signals and the engine's end of draining wake the main thread.
sem_t wake;
std::atomic<int> signals{0};
std::atomic<bool> drained{false};  // no request is left
std::atomic<bool> stopped{false};  // requests were ended by a second signal

void OnSignal(int) {
  if (signals.fetch_add(1) == 1)
    alarm(drained ? static_cast<unsigned>(kLastEvents.count()) : kStopSeconds);
  sem_post(&wake);
}

void OnAlarm(int) { _exit(drained && !stopped ? EXIT_SUCCESS : EXIT_FAILURE); }

void CatchSignals() {
  sem_init(&wake, 0, 0);
  struct sigaction action {};
  action.sa_handler = OnSignal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  signal(SIGALRM, OnAlarm);
  signal(SIGPIPE, SIG_IGN);  // a reader of the log that goes away does not end the server
}

void Wait() {
  while (sem_wait(&wake) != 0) {
  }
}

Status RunServe(ServeOptions options) {
  // With glibc's eight arenas a core, each of which keeps its own largest use, memory creeps up for
  // hours; requests are no slower with one a core.
  mallopt(M_ARENA_MAX, static_cast<int>(UsableCores().size()));
  BANYAN_RETURN_IF_ERROR(InitLog(options.log_level));
  LogInfo("banyan {} ({})", kVersion, kCommit);
  BANYAN_RETURN_IF_ERROR(Complete(options));
  BANYAN_ASSIGN_OR_RETURN(const std::vector<std::string> warnings, ReadEnvironment(options.engine));
  for (const std::string& warning : warnings) LogWarning("{}", warning);
  // Listening comes first: a port that is taken is known before the model is loaded, and probes see
  // a server that starts. Until the engine is there, a signal ends the process at once.
  BANYAN_ASSIGN_OR_RETURN(std::unique_ptr<serve::Server> server,
                          serve::Server::Start(options.serve));
  BANYAN_ASSIGN_OR_RETURN(std::unique_ptr<Engine> engine, Engine::Start(options.engine));
  CatchSignals();
  server->Serve(*engine);
  const serve::HttpConfig& http = options.serve.http;
  const bool ipv6 = http.host.find(':') != std::string::npos;
  const std::string host = ipv6 ? "[" + http.host + "]" : http.host;
  LogInfo("ready: {}", http.unix_socket.empty() ? fmt::format("http://{}:{}", host, server->port())
                                                : http.unix_socket);

  Wait();
  LogInfo("shutting down: running requests may end, a second signal stops them");
  server->BeginDrain();
  engine->Drain([] {
    drained = true;
    sem_post(&wake);
  });
  while (!drained && signals < 2) Wait();
  const bool stop = !drained;
  if (stop) {
    stopped = true;
    LogWarning("a second signal: ending the requests that are left");
    engine->Stop();
  } else {
    LogInfo("all requests have ended: waiting for clients to read their last replies");
  }
  server->Shutdown(stop ? kLastEvents : kLastReplies);
  engine.reset();
  LogInfo("stopped");
  return OkStatus();
}

}  // namespace

void RegisterServe(Commands& commands) {
  commands.push_back({"serve", "serve a model over HTTP (OpenAI's and SGLang's interfaces)",
                      [](CLI::App& app) -> std::function<Status()> {
                        auto options = std::make_shared<ServeOptions>();
                        AddEngineFlags(app, options->engine);
                        DeclareHttp(app, *options);
                        DeclareAccess(app, *options);
                        DeclareLogs(app, *options);
                        DeclareApi(app, *options);
                        return [options] { return RunServe(*options); };
                      }});
}

}  // namespace banyan
